//! DMA memory of this machine: whole frames, seen through the direct map.
//!
//! x86 keeps DMA coherent with the caches, so nothing is flushed. Without an IOMMU a device address
//! is a physical address.

use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;

use crate::dma::{AddressLimit, DeviceAddress, Direction, DmaDomain, DmaError};
use crate::memory::frames::{FrameRun, RunLimits};
use crate::memory::{FRAME_SIZE, FrameNumber, PhysAddr};

/// All memory below the limit.
#[derive(Clone, Copy)]
pub(crate) struct DmaSpace;

impl DmaSpace {
    pub(crate) fn allocate(
        &self,
        bytes: usize,
        limit: AddressLimit,
    ) -> Result<DmaMemory, DmaError> {
        Ok(DmaMemory { frames: Frames::allocate(bytes, limit)?, bytes })
    }

    pub(crate) fn allocate_ring(
        &self,
        words: usize,
        limit: AddressLimit,
    ) -> Result<RingMemory, DmaError> {
        Ok(RingMemory { frames: Frames::allocate(words * 8, limit)?, words, shared: false })
    }
}

impl DmaDomain {
    /// All of the machine's memory, for one device.
    pub const fn machine() -> Self {
        Self::new(DmaSpace, AddressLimit::NONE)
    }
}

/// Contiguous frames, zeroed. Dropping them frees nothing; see `free`.
struct Frames {
    base: NonNull<u8>,
    physical: u64,
}

// SAFETY: `Frames` owns memory that no other object refers to.
unsafe impl Send for Frames {}
// SAFETY: it is only reached through `&` as atomics or bytes nobody writes, and through `&mut`.
unsafe impl Sync for Frames {}

impl Frames {
    fn allocate(bytes: usize, limit: AddressLimit) -> Result<Self, DmaError> {
        let below = limit.highest().checked_add(1).map(PhysAddr);
        let limits = RunLimits { below, ..RunLimits::default() };
        let mut run = FrameRun::allocate(bytes.div_ceil(FRAME_SIZE) as u64, limits)
            .map_err(|_| DmaError::OutOfMemory)?;
        run.zero();
        let base = NonNull::new(run.virtual_address().as_mut_ptr()).ok_or(DmaError::OutOfMemory)?;
        let physical = run.physical().0;
        core::mem::forget(run);
        Ok(Self { base, physical })
    }

    fn free(&self, bytes: usize) {
        let first = FrameNumber::containing(PhysAddr(self.physical));
        // SAFETY: `allocate` forgot the run of that size; the owner of `self` calls this once,
        // last.
        drop(unsafe { FrameRun::from_numbers(first, bytes.div_ceil(FRAME_SIZE) as u64) });
    }
}

/// Memory its driver owns.
pub(crate) struct DmaMemory {
    frames: Frames,
    bytes: usize,
}

impl DmaMemory {
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the frames are ours, initialised, at least `bytes` long, and no device knows
        // them.
        unsafe { core::slice::from_raw_parts(self.frames.base.as_ptr(), self.bytes) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` makes it the only reference.
        unsafe { core::slice::from_raw_parts_mut(self.frames.base.as_ptr(), self.bytes) }
    }

    pub(crate) fn lend(self, _direction: Direction) -> LentMemory {
        let lent = LentMemory {
            base: self.frames.base,
            physical: self.frames.physical,
            bytes: self.bytes,
        };
        core::mem::forget(self);
        lent
    }
}

impl Drop for DmaMemory {
    fn drop(&mut self) {
        self.frames.free(self.bytes);
    }
}

/// Memory a device may be using. Dropping it frees nothing.
pub(crate) struct LentMemory {
    base: NonNull<u8>,
    physical: u64,
    bytes: usize,
}

// SAFETY: it owns the memory, as `DmaMemory` does, and gives no access to it.
unsafe impl Send for LentMemory {}
// SAFETY: as above.
unsafe impl Sync for LentMemory {}

impl LentMemory {
    pub(crate) fn address(&self) -> DeviceAddress {
        DeviceAddress(self.physical)
    }

    pub(crate) fn reclaim(self) -> DmaMemory {
        DmaMemory { frames: Frames { base: self.base, physical: self.physical }, bytes: self.bytes }
    }
}

/// A ring, seen by driver and device at once. Dropping it frees it unless it is shared.
pub(crate) struct RingMemory {
    frames: Frames,
    words: usize,
    shared: bool,
}

impl RingMemory {
    #[inline]
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: the frames are ours, initialised, page-aligned and `words` words long, and only
        // ever accessed as atomics while the ring lives.
        unsafe { core::slice::from_raw_parts(self.frames.base.as_ptr().cast(), self.words) }
    }

    pub(crate) fn address(&self) -> DeviceAddress {
        DeviceAddress(self.frames.physical)
    }

    pub(crate) fn set_shared(&mut self, shared: bool) {
        self.shared = shared;
    }
}

impl Drop for RingMemory {
    fn drop(&mut self) {
        if !self.shared {
            self.frames.free(self.words * 8);
        }
    }
}
