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
use crate::memory::{VirtAddr, direct_map};

/// All memory below the limit.
#[derive(Clone, Copy)]
pub(crate) struct DmaSpace;

impl DmaSpace {
    pub(crate) fn allocate(
        &self,
        bytes: usize,
        limit: AddressLimit,
    ) -> Result<DmaMemory, DmaError> {
        Ok(DmaMemory::of_run(&Frames::allocate(bytes, limit)?, bytes))
    }

    pub(crate) fn allocate_listed(
        &self,
        bytes: usize,
        limit: AddressLimit,
    ) -> Result<DmaMemory, DmaError> {
        Ok(DmaMemory::of_pages(Pages::allocate(bytes, limit)?, bytes))
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

/// Memory its driver owns: two words, since these values travel through futures within futures.
///
/// Contiguous frames are known by where the direct map shows them; pages from anywhere by a
/// [`Pages`] on the heap.
pub(crate) struct DmaMemory {
    /// The first byte, or a `Box<Pages>` as a pointer.
    place: NonNull<u8>,
    /// Most allocations have 32 MiB.
    bytes: u32,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Run,
    Listed,
}

// SAFETY: it owns memory that no other object refers to, directly or by a box.
unsafe impl Send for DmaMemory {}
// SAFETY: it is only reached through `&` as bytes nobody writes, and through `&mut`.
unsafe impl Sync for DmaMemory {}

impl DmaMemory {
    fn of_run(frames: &Frames, bytes: usize) -> Self {
        Self { place: frames.base, bytes: bytes as u32, kind: Kind::Run }
    }

    fn of_pages(pages: Pages, bytes: usize) -> Self {
        let place = NonNull::from(Box::leak(Box::new(pages))).cast();
        Self { place, bytes: bytes as u32, kind: Kind::Listed }
    }

    /// The pages, if it is listed.
    #[inline]
    fn pages(&self) -> Option<&Pages> {
        // SAFETY: `of_pages` leaked the box into `place`, and only the drop takes it back.
        (self.kind == Kind::Listed).then(|| unsafe { self.place.cast::<Pages>().as_ref() })
    }

    /// The frames, if it is contiguous.
    #[inline]
    fn run(&self) -> Frames {
        let physical = direct_map::to_physical(VirtAddr(self.place.as_ptr() as u64));
        Frames { base: self.place, physical: physical.0 }
    }

    #[inline]
    fn base(&self) -> NonNull<u8> {
        self.pages().map_or(self.place, Pages::base)
    }

    #[inline]
    pub(crate) fn length(&self) -> usize {
        self.bytes as usize
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the frames are ours, initialised, at least `bytes` long, and no device knows
        // them.
        unsafe { core::slice::from_raw_parts(self.base().as_ptr(), self.length()) }
    }

    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` makes it the only reference.
        unsafe { core::slice::from_raw_parts_mut(self.base().as_ptr(), self.length()) }
    }

    #[inline]
    pub(crate) fn lend(self, _direction: Direction) -> LentMemory {
        LentMemory { memory: ManuallyDrop::new(self) }
    }
}

impl Drop for DmaMemory {
    #[inline]
    fn drop(&mut self) {
        match self.kind {
            Kind::Run => self.run().free(self.length()),
            // SAFETY: `of_pages` leaked this box; nothing refers to it any more.
            Kind::Listed => drop(unsafe { Box::from_raw(self.place.cast::<Pages>().as_ptr()) }),
        }
    }
}

/// Memory a device may be using: its bytes are out of reach. Dropping it frees nothing.
pub(crate) struct LentMemory {
    memory: ManuallyDrop<DmaMemory>,
}

impl LentMemory {
    #[inline]
    pub(crate) fn length(&self) -> usize {
        self.memory.length()
    }

    #[inline]
    pub(crate) fn address(&self) -> DeviceAddress {
        self.page(0)
    }

    /// Where page `index` is; it is below their number.
    #[inline]
    pub(crate) fn page(&self, index: usize) -> DeviceAddress {
        match self.memory.pages() {
            None => DeviceAddress(self.memory.run().physical + (index * PAGE) as u64),
            Some(pages) => DeviceAddress(pages.physical().get(index).copied().unwrap_or(u64::MAX)),
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

// These values travel through futures within futures: each word more is paid for several times in
// every operation of a device.
const _: () = assert!(size_of::<DmaMemory>() == 16);
const _: () = assert!(size_of::<crate::dma::Loan>() == 24);
