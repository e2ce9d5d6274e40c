//! Wire formats and pure state machines: one format a file, no I/O, no clock, no `unsafe`.
//!
//! Everything here is a function of its arguments, so everything here runs and is fuzzed on the
//! host. Parsers follow one shape: `new_checked`/`parse` takes any bytes and returns an error,
//! never a panic.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod abi;
pub mod ahci;
pub mod ata;
pub mod axiom;
pub mod block_ring;
pub mod calendar;
pub mod commit_log;
pub mod e1000;
pub mod events;
mod fields;
pub mod gpt;
pub mod http;
pub mod image;
pub mod ingress;
pub mod iperf3;
pub mod json;
pub mod line_editor;
pub mod nvme;
pub mod pattern;
pub mod pci;
pub mod results;
pub mod rtl8139;
pub mod shared;
pub mod socket_ring;
pub mod sync_mark;
pub mod syslog;
