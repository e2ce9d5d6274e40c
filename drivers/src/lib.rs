//! Async drivers, the traits devices are known by ([`storage`], [`net`], [`input`]), and what every
//! driver needs: the table of commands in flight ([`slots`]), the task that takes completions
//! ([`reaper`]), how they are noticed ([`completion`]), and the [`registry`] that binds PCI ids to
//! drivers.
//!
//! A driver is an `async fn`: it is given the device's registers, DMA memory and interrupts by
//! `hal`, registers what it found under a device trait, and serves until the device goes away. No
//! `unsafe`, no interrupt handlers; every one is tested on the host against `hal`'s simulated
//! machine. How to write one: `docs/writing-a-driver.md`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

// Under loom only the table is compiled: the executor's own model check leaves out what the rest
// needs.
pub mod slots;

#[cfg(not(loom))]
pub mod ahci;
#[cfg(not(loom))]
pub mod block;
#[cfg(not(loom))]
pub mod cache;
#[cfg(not(loom))]
pub mod completion;
#[cfg(not(loom))]
pub mod e1000;
#[cfg(not(loom))]
pub mod edu;
#[cfg(all(feature = "kernel", not(loom)))]
pub mod fat;
#[cfg(all(feature = "kernel", not(loom)))]
pub mod hotplug;
#[cfg(not(loom))]
pub mod input;
#[cfg(not(loom))]
pub mod net;
#[cfg(not(loom))]
pub mod nvme;
#[cfg(not(loom))]
pub mod partition;
#[cfg(all(test, not(loom)))]
mod ram_disk;
#[cfg(not(loom))]
pub mod reaper;
#[cfg(not(loom))]
pub mod registry;
#[cfg(not(loom))]
pub mod rtl8139;
#[cfg(not(loom))]
pub mod serial;
#[cfg(not(loom))]
pub mod storage;
