//! The direct map: all of memory at one fixed distance from its physical address.
//!
//! The loader's tables and the kernel's own map it at the same place. What it covers is memory
//! (usable, the loader's, the kernel's, ACPI's); never devices.

use core::sync::atomic::{AtomicU64, Ordering};

use super::{PhysAddr, VirtAddr};

static OFFSET: AtomicU64 = AtomicU64::new(0);

/// Says where the direct map lies. Called once, from memory's initialisation.
pub(super) fn set_offset(offset: u64) {
    OFFSET.store(offset, Ordering::Relaxed);
}

/// Physical address plus this is the address in the direct map.
#[inline]
pub fn offset() -> u64 {
    OFFSET.load(Ordering::Relaxed)
}

/// Where physical memory lies in the direct map.
#[inline]
pub fn to_virtual(address: PhysAddr) -> VirtAddr {
    VirtAddr(address.0 + offset())
}

/// Where an address of the direct map lies in physical memory.
#[inline]
pub fn to_physical(address: VirtAddr) -> PhysAddr {
    PhysAddr(address.0 - offset())
}
