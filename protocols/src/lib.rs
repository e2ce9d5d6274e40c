//! Wire formats and pure state machines: one format a file, no I/O, no clock, no `unsafe`.
//!
//! Everything here is a function of its arguments, so everything here runs and is fuzzed on the
//! host. Parsers follow one shape: `new_checked`/`parse` takes any bytes and returns an error,
//! never a panic.
#![no_std]
#![forbid(unsafe_code)]

pub mod abi;
pub mod block_ring;
pub mod events;
mod fields;
pub mod gpt;
pub mod image;
pub mod line_editor;
pub mod nvme;
pub mod pattern;
pub mod pci;
pub mod results;
