//! Physical memory that is no memory of ours: device registers and firmware's tables.
//!
//! Both are mapped on demand in the kernel's window, never through the direct map, and unmapped
//! when dropped; their addresses are not used again before every core has flushed. A piece of a
//! device belongs to one [`DeviceRegion`] (and its parts) at a time.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::ptr::NonNull;

use spin::Mutex;

use crate::memory::frames::memory_map;
use crate::memory::{FRAME_SIZE, FrameNumber, PhysAddr, VirtAddr, direct_map};
use crate::mmio::{DeviceRegion, MmioError};
use crate::x86_64::paging::windows::Mapping;
use crate::x86_64::paging::{Access, Caching, MapError, physical_bits};

const PAGE: u64 = FRAME_SIZE as u64;

/// Largest region a driver may map: 1 GiB.
const LARGEST: u64 = 1 << 30;

/// What is mapped now, as physical addresses.
static CLAIMED: Mutex<Vec<Range<u64>>> = Mutex::new(Vec::new());

/// Maps a device's registers: uncacheable, never executable. Refuses memory, what is claimed
/// already, and what lies beyond the CPU's physical addresses.
pub fn map(physical: PhysAddr, bytes: usize) -> Result<DeviceRegion, MmioError> {
    let (base, registers) = claim(physical, bytes)?;
    let keep = Arc::new(registers);
    // SAFETY: mapped for as long as `keep` lives, uncacheable, and claimed by this region alone.
    Ok(unsafe { DeviceRegion::over_memory(base, bytes, Some(keep)) })
}

/// Maps the registers of a chip that the kernel itself drives (APICs, HPET), for good, on the terms
/// of [`map`]; where they are.
pub fn map_forever(physical: PhysAddr, bytes: usize) -> Result<*mut u8, MmioError> {
    let (base, registers) = claim(physical, bytes)?;
    core::mem::forget(registers);
    Ok(base.as_ptr())
}

fn claim(physical: PhysAddr, bytes: usize) -> Result<(NonNull<u8>, Registers), MmioError> {
    let end = physical.checked_add(bytes as u64).filter(|end| end.0 <= 1 << physical_bits());
    let end = end.ok_or(MmioError::OutOfRange)?;
    if bytes == 0 || bytes as u64 > LARGEST {
        return Err(MmioError::OutOfRange);
    }
    let (first, last) = frames(physical, end);
    let memory = memory_map().ok_or(MmioError::NotDevice)?;
    if memory.overlaps_memory(first, last) {
        return Err(MmioError::NotDevice);
    }
    let claim = Claim::new(physical.0..end.0)?;
    // SAFETY: no memory of anybody lies there, by the sanitised map; registers are reached as such.
    let mapping =
        unsafe { Mapping::over(first, last.0 - first.0, Access::ReadWrite, Caching::Uncacheable) }
            .map_err(|_| MmioError::NoSpace)?;
    let base = mapping.start().0 + physical.0 % PAGE;
    let base = NonNull::new(base as *mut u8).ok_or(MmioError::NoSpace)?;
    Ok((base, Registers { _mapping: mapping, _claim: claim }))
}

struct Registers {
    // Unmapped first, then free for others to claim.
    _mapping: Mapping,
    _claim: Claim,
}

impl crate::x86_64::seam::Mapping for Registers {}

struct Claim(Range<u64>);

impl Claim {
    fn new(range: Range<u64>) -> Result<Self, MmioError> {
        let mut claimed = CLAIMED.lock();
        if claimed.iter().any(|other| other.start < range.end && range.start < other.end) {
            return Err(MmioError::NotDevice);
        }
        claimed.try_reserve(1).map_err(|_| MmioError::NoSpace)?;
        claimed.push(range.clone());
        Ok(Self(range))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        CLAIMED.lock().retain(|range| *range != self.0);
    }
}

/// A table that firmware left in memory: readable for as long as this lives.
pub struct FirmwareTable {
    start: VirtAddr,
    bytes: usize,
    _mapping: Option<Mapping>,
}

impl FirmwareTable {
    /// Makes `bytes` bytes at `physical` readable: through the direct map where that covers them,
    /// else by a mapping of their own (firmware may put tables into reserved memory).
    ///
    /// # Safety
    /// Firmware's tables lie there: reading has no effect and nobody writes there.
    pub unsafe fn map(physical: PhysAddr, bytes: usize) -> Result<Self, MapError> {
        let end = physical.checked_add(bytes as u64).filter(|end| end.0 <= 1 << physical_bits());
        let end = end.ok_or(MapError::BadRange)?;
        let (first, last) = frames(physical, end);
        if direct_map::covers(first, last) {
            return Ok(Self { start: direct_map::to_virtual(physical), bytes, _mapping: None });
        }
        let pages = last.0 - first.0;
        // SAFETY: the caller vouches that reading is harmless; the mapping is read-only.
        let mapping = unsafe { Mapping::over(first, pages, Access::Read, Caching::WriteBack)? };
        let start = VirtAddr(mapping.start().0 + physical.0 % PAGE);
        Ok(Self { start, bytes, _mapping: Some(mapping) })
    }

    /// Its first byte.
    pub const fn start(&self) -> VirtAddr {
        self.start
    }
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: mapped readable for as long as `self` lives, and nobody writes there (see `map`).
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }
}

fn frames(start: PhysAddr, end: PhysAddr) -> (FrameNumber, FrameNumber) {
    (FrameNumber::containing(start), FrameNumber(end.0.div_ceil(PAGE)))
}
