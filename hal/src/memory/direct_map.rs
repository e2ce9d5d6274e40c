//! The direct map: all of memory at one fixed distance from its physical address.
//!
//! The loader's tables and the kernel's own map it at the same place. What it covers is memory
//! (usable, the loader's, the kernel's, ACPI's); never devices.

use core::sync::atomic::{AtomicU64, Ordering};

use super::frames::memory_map;
use super::{FrameNumber, PhysAddr, VirtAddr};
use crate::boot::RegionKind;

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

/// Whether the kernel's direct map holds all of the frames `first..end`.
pub fn covers(first: FrameNumber, end: FrameNumber) -> bool {
    let Some(map) = memory_map() else { return false };
    (first.0..end.0).all(|frame| {
        matches!(
            map.kind_of(FrameNumber(frame)),
            Some(
                RegionKind::Usable
                    | RegionKind::LoaderReclaimable
                    | RegionKind::AcpiReclaimable
                    | RegionKind::AcpiNvs
            )
        )
    })
}
