//! The machine's devices: which driver runs for each PCI function, and the disks they announce.
//!
//! ```text
//!   PCI scan, hot-plug ──> registry ──> driver's task ──announce──> disks ──> partitions
//!                                            │ ends                   │
//!                                            └──> its disks go ───────┘ open(name, access) ──> Block
//! ```
//!
//! [`start`] begins it all at boot and returns at once; who needs disks waits for [`settled`].
//! Drivers read, and write nothing by themselves; the kernel writes to the partitions of its own
//! types. A disk is read-only to the shell and to ring 3 until somebody says otherwise: `disk.write=NAME[,NAME…]|all` on the command line, or `disk NAME
//! writable` at the shell. Not even then while the kernel keeps its log there ([`reserve_log`]).

mod access;
mod disks;
mod drive;
mod hotplug;
mod kinds;
pub mod lent;
mod nics;
mod partitions;

use crate::platform::Pollux;
use alloc::vec::Vec;
use drivers::completion::CompletionMode;

pub use disks::{
    Listed, OpenError, allow, disks, listed, open, partitions_of, release_log, reserve_log,
};
pub use drive::{functions, release, settled, start, stop, without_driver};
pub use kinds::edu;
pub use nics::nics;

/// A disk or partition as everybody in the kernel holds it.
pub type Block = drivers::block::BlockHandle<Pollux>;

static WINDOWS: spin::Once<Vec<hal::pci::Window>> = spin::Once::new();

/// Remembers where the PCI functions' configuration is, as ACPI says. Once, at boot.
pub fn remember_windows(windows: impl Iterator<Item = hal::pci::Window>) {
    WINDOWS.call_once(|| windows.collect());
}

/// How drivers notice completions unless told otherwise: `irq=` on the command line.
fn default_mode() -> CompletionMode {
    let line = &hal::boot::info().command_line;
    let Some(word) = line.value("irq") else { return CompletionMode::default() };
    word.parse().unwrap_or_else(|error| {
        log::warn!("irq={word}: {error}: {} is used", CompletionMode::default());
        CompletionMode::default()
    })
}
