//! DMA memory of this machine: whole frames. Contiguous ones are seen through the direct map, pages
//! from anywhere through a mapping of their own.
//!
//! x86 keeps DMA coherent with the caches, so nothing is flushed. Without an IOMMU a device address
//! is a physical address.

use alloc::boxed::Box;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;

use super::listed::Pages;
use super::runs::Frames;
use crate::dma::{AddressLimit, DeviceAddress, Direction, DmaDomain, DmaError, PAGE};

/// All memory below the limit.
#[derive(Clone, Copy)]
pub(crate) struct DmaSpace;

impl DmaSpace {
    pub(crate) fn allocate(
        &self,
        bytes: usize,
        limit: AddressLimit,
    ) -> Result<DmaMemory, DmaError> {
        Ok(DmaMemory { place: Place::Run(Frames::allocate(bytes, limit)?), bytes })
    }

    pub(crate) fn allocate_listed(
        &self,
        bytes: usize,
        limit: AddressLimit,
    ) -> Result<DmaMemory, DmaError> {
        let pages = Box::new(Pages::allocate(bytes, limit)?);
        Ok(DmaMemory { place: Place::Listed(pages), bytes })
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

/// Where memory is. Dropping it frees contiguous frames not at all; its owner does.
enum Place {
    Run(Frames),
    Listed(Box<Pages>),
}

impl Place {
    #[inline]
    fn base(&self) -> NonNull<u8> {
        match self {
            Self::Run(frames) => frames.base,
            Self::Listed(pages) => pages.base(),
        }
    }
}

/// Memory its driver owns.
pub(crate) struct DmaMemory {
    place: Place,
    bytes: usize,
}

impl DmaMemory {
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the frames are ours, initialised, at least `bytes` long, and no device knows
        // them.
        unsafe { core::slice::from_raw_parts(self.place.base().as_ptr(), self.bytes) }
    }

    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` makes it the only reference.
        unsafe { core::slice::from_raw_parts_mut(self.place.base().as_ptr(), self.bytes) }
    }

    #[inline]
    pub(crate) fn lend(self, _direction: Direction) -> LentMemory {
        LentMemory { memory: ManuallyDrop::new(self) }
    }
}

impl Drop for DmaMemory {
    #[inline]
    fn drop(&mut self) {
        if let Place::Run(frames) = &self.place {
            frames.free(self.bytes);
        }
    }
}

/// Memory a device may be using: its bytes are out of reach. Dropping it frees nothing.
pub(crate) struct LentMemory {
    memory: ManuallyDrop<DmaMemory>,
}

impl LentMemory {
    #[inline]
    pub(crate) fn address(&self) -> DeviceAddress {
        self.page(0)
    }

    /// Where page `index` is; it is below their number.
    #[inline]
    pub(crate) fn page(&self, index: usize) -> DeviceAddress {
        match &self.memory.place {
            Place::Run(frames) => DeviceAddress(frames.physical + (index * PAGE) as u64),
            Place::Listed(pages) => {
                DeviceAddress(pages.physical().get(index).copied().unwrap_or(u64::MAX))
            }
        }
    }

    #[inline]
    pub(crate) fn reclaim(self) -> DmaMemory {
        ManuallyDrop::into_inner(self.memory)
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
