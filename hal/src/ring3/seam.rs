//! What [`crate::machine`] chooses for a program in ring 3.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;

use protocols::abi::Error;

use super::call::{self, Lease, Run};
use crate::dma::{AddressLimit, DeviceAddress, Direction, DmaError, PAGE};
use crate::interrupt::InterruptLatch;
use crate::mmio::{RegisterValue, Width};

/// Whoever waits for the notification shares it with the driver.
pub(crate) type LatchRef = Arc<InterruptLatch>;

/// Mapped registers. The last clone unmaps them.
#[derive(Clone)]
pub(crate) struct Window(Arc<Mapped>);

struct Mapped {
    base: NonNull<u8>,
    bytes: usize,
    _lease: Arc<Lease>,
}

// SAFETY: the pointer goes to device registers, which any thread may access.
unsafe impl Send for Mapped {}
// SAFETY: as above; there are no references, only single volatile accesses.
unsafe impl Sync for Mapped {}

impl Window {
    /// Registers that the kernel has mapped, uncached, for the device of that lease.
    pub fn new(base: NonNull<u8>, bytes: usize, lease: Arc<Lease>) -> Self {
        Self(Arc::new(Mapped { base, bytes, _lease: lease }))
    }

    /// `offset` is in range and aligned for `T`: `DeviceRegion` checked it.
    #[inline]
    pub(crate) fn read<T: RegisterValue>(&self, offset: usize) -> T {
        // SAFETY: mapped while this lives; the caller keeps `offset` in range and aligned. Where
        // the kernel took the device back, this faults, and ends the program and nothing else.
        unsafe { self.0.base.as_ptr().add(offset).cast::<T>().read_volatile() }
    }

    /// As `read`.
    #[inline]
    pub(crate) fn write<T: RegisterValue>(&self, offset: usize, value: T) {
        // SAFETY: as in `read`.
        unsafe { self.0.base.as_ptr().add(offset).cast::<T>().write_volatile(value) }
    }

    /// Nothing more to do than what `DeviceRegion` logs.
    pub(crate) fn report_stray(&self, _offset: usize, _width: Width) {}
}

impl Drop for Mapped {
    fn drop(&mut self) {
        call::unmap(self.base, self.bytes);
    }
}

/// The memory that a device was lent with.
#[derive(Clone)]
pub(crate) struct DmaSpace(pub(super) Arc<Lease>);

fn refused(error: Error) -> DmaError {
    match error {
        Error::InvalidArgument => DmaError::BadSize,
        _ => DmaError::OutOfMemory,
    }
}

impl DmaSpace {
    pub(crate) fn allocate(
        &self,
        bytes: usize,
        limit: AddressLimit,
    ) -> Result<DmaMemory, DmaError> {
        Ok(DmaMemory { piece: self.piece(bytes, limit)?, bytes })
    }

    fn piece(&self, bytes: usize, limit: AddressLimit) -> Result<Piece, DmaError> {
        let Run { base, bytes, device } = self.0.run(bytes, limit).map_err(refused)?;
        Ok(Piece { base, bytes, places: Places::Run(device), lease: self.0.clone(), keeps: true })
    }

    pub(crate) fn allocate_listed(
        &self,
        bytes: usize,
        limit: AddressLimit,
    ) -> Result<DmaMemory, DmaError> {
        let (base, pages) = self.0.listed(bytes, limit).map_err(refused)?;
        let (places, lease) = (Places::Listed(pages), self.0.clone());
        let piece = Piece { base, bytes: bytes.next_multiple_of(PAGE), places, lease, keeps: true };
        Ok(DmaMemory { piece, bytes })
    }

    pub(crate) fn allocate_ring(
        &self,
        words: usize,
        limit: AddressLimit,
    ) -> Result<RingMemory, DmaError> {
        Ok(RingMemory { piece: self.piece(words * 8, limit)?, words })
    }
}

/// Where a device finds pages.
enum Places {
    /// One behind the other from here.
    Run(u64),
    /// Each somewhere.
    Listed(Vec<u64>),
}

impl Places {
    fn page(&self, index: usize) -> u64 {
        match self {
            Self::Run(first) => first + (index * PAGE) as u64,
            Self::Listed(pages) => pages.get(index).copied().unwrap_or(u64::MAX),
        }
    }
}

/// Whole pages that the kernel keeps where they are. Freed on drop, unless a device may be using
/// them: then they are the kernel's to free, once it has taken the device back.
struct Piece {
    base: NonNull<u8>,
    bytes: usize,
    places: Places,
    lease: Arc<Lease>,
    /// It is its driver's own.
    keeps: bool,
}

// SAFETY: it owns memory that no other object refers to.
unsafe impl Send for Piece {}
// SAFETY: it is only reached through `&` as atomics or bytes nobody writes, and through `&mut`.
unsafe impl Sync for Piece {}

impl Drop for Piece {
    fn drop(&mut self) {
        if !self.keeps {
            return;
        }
        let Self { base, bytes, .. } = *self;
        match &self.places {
            Places::Run(device) => self.lease.free(Run { base, bytes, device: *device }),
            places @ Places::Listed(_) => self.lease.give_back(base, bytes, places.page(0)),
        }
    }
}

/// Memory its driver owns.
pub(crate) struct DmaMemory {
    piece: Piece,
    bytes: usize,
}

impl DmaMemory {
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: ours, initialised, at least `bytes` long, and no device knows it.
        unsafe { core::slice::from_raw_parts(self.piece.base.as_ptr(), self.bytes) }
    }

    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` makes it the only reference.
        unsafe { core::slice::from_raw_parts_mut(self.piece.base.as_ptr(), self.bytes) }
    }

    pub(crate) fn lend(mut self, _direction: Direction) -> LentMemory {
        self.piece.keeps = false;
        LentMemory { memory: self }
    }
}

/// Memory a device may be using: its bytes are out of reach. Dropping it frees nothing.
pub(crate) struct LentMemory {
    memory: DmaMemory,
}

impl LentMemory {
    #[inline]
    pub(crate) fn length(&self) -> usize {
        self.memory.bytes
    }

    #[inline]
    pub(crate) fn address(&self) -> DeviceAddress {
        self.page(0)
    }

    /// Where page `index` is; it is below their number.
    #[inline]
    pub(crate) fn page(&self, index: usize) -> DeviceAddress {
        DeviceAddress(self.memory.piece.places.page(index))
    }

    pub(crate) fn reclaim(self) -> DmaMemory {
        let mut memory = self.memory;
        memory.piece.keeps = true;
        memory
    }
}

/// A ring, seen by driver and device at once. Dropping it frees it unless it is shared.
pub(crate) struct RingMemory {
    piece: Piece,
    words: usize,
}

impl RingMemory {
    #[inline]
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: ours, initialised, page-aligned and `words` words long, and only ever accessed
        // as atomics while the ring lives.
        unsafe { core::slice::from_raw_parts(self.piece.base.as_ptr().cast(), self.words) }
    }

    pub(crate) fn address(&self) -> DeviceAddress {
        DeviceAddress(self.piece.places.page(0))
    }

    pub(crate) fn set_shared(&mut self, shared: bool) {
        self.piece.keeps = !shared;
    }
}

/// The kernel counts a program's memory.
pub(crate) fn dma_bytes() -> (usize, usize) {
    (0, 0)
}

/// What is kept goes back with the device.
pub(crate) fn drain_dma() {}
