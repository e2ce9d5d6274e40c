//! Programs that live in ring 3, and the small runtime they share.
//!
//! [`runtime`] is what a ring-3 program stands on: entry, system calls, heap, console, threads, the
//! executor. `src/bin` holds the programs, one a file: those that measure (`bench` leads them) and
//! those that attack (`attack_suite`). [`arguments`] and [`measure`] are pure and tested on the
//! host.
//!
//! Everything type-checks on the host too, where system calls answer
//! [`protocols::abi::Error::NotSupported`] and a program's `main` only says where it belongs.
#![no_std]

extern crate alloc;

pub mod arguments;
pub mod attacks;
pub mod catalogue;
pub mod echo;
pub mod measure;
pub mod probe;
pub mod runtime;

pub use protocols::{abi, block_ring, http, pattern, shared, socket_ring, sync_mark};
