//! The loader's thinking, apart from its doing: everything here is a pure function of bytes
//! that the UEFI side (`main.rs`) has read, so all of it is tested on the host.
//!
//! ```text
//! limine.conf ─ config ─┐
//! kernel file ─ elf ────┤→ image bytes ─ requests ─ responses ─→ arena bytes ┐
//! firmware map ─ memory_map ──────────── paging ─→ table bytes ──────────────┴→ enter the kernel
//! ```
//!
//! The source for all of it is the Limine boot protocol, base revisions 2 and 3
//! (`PROTOCOL.md` of the Limine project). Nothing here can panic on any input: files on a boot
//! medium are not trusted to be well formed, and a loader that panics tells its user nothing.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod acpi;
pub mod config;
pub mod date;
pub mod elf;
pub mod memory_map;
pub mod paging;
pub mod requests;
pub mod responses;

/// Size of the pages everything is allocated and mapped in, in bytes.
pub const PAGE: u64 = 4096;

/// Where the higher-half direct map begins under 4-level paging.
pub const HHDM: u64 = 0xffff_8000_0000_0000;

/// `value` rounded up to whole pages, or `None` where that leaves 64 bits.
pub fn page_up(value: u64) -> Option<u64> {
    Some(value.checked_add(PAGE - 1)? & !(PAGE - 1))
}
