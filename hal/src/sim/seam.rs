//! The host backend of the seam (see `machine.rs`): the same names as on metal.

use std::boxed::Box;
use std::mem::ManuallyDrop;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::vec;
use std::vec::Vec;

use super::violation::Violation;
use super::world::{Device, TICKS_PER_SECOND, World, lock};
use crate::clock::Ticks;
use crate::dma::{AddressLimit, DeviceAddress, Direction, DmaError, PAGE};
use crate::interrupt::{InterruptControl, InterruptError, InterruptLatch, Message};
use crate::mmio::{RegisterValue, Width};
use crate::pci::{Path, RouteError};

pub(crate) type LatchRef = Arc<InterruptLatch>;

/// A device's registers.
#[derive(Clone)]
pub(crate) struct Window {
    pub(super) world: Arc<World>,
    pub(super) device: Arc<Device>,
}

/// A device's registers, kept by others.
#[derive(Clone)]
pub(crate) struct WeakWindow {
    world: Weak<World>,
    device: Weak<Device>,
}

impl WeakWindow {
    pub(crate) fn upgrade(&self) -> Option<Window> {
        Some(Window { world: self.world.upgrade()?, device: self.device.upgrade()? })
    }
}

/// A vector on a core; its drop frees it.
pub(crate) struct MessageVector {
    world: Arc<World>,
    message: Message,
    latch: LatchRef,
}

impl MessageVector {
    /// A vector of the machine that `window`'s device is in.
    pub(crate) fn allocate(window: &Window, core: u16) -> Result<Self, InterruptError> {
        let (message, latch) = lock(&window.world.vectors).allocate(core)?;
        Ok(Self { world: window.world.clone(), message, latch })
    }

    pub(crate) fn message(&self) -> Result<Message, InterruptError> {
        Ok(self.message)
    }

    pub(crate) fn latch(&self) -> LatchRef {
        self.latch.clone()
    }
}

impl Drop for MessageVector {
    fn drop(&mut self) {
        lock(&self.world.vectors).free(self.message);
    }
}

/// A share of the wire that a test has joined the device's pin to.
pub(crate) fn pci_line(
    window: &Window,
    _path: &Path,
) -> Result<(LatchRef, Box<dyn InterruptControl>), InterruptError> {
    let (latch, control) = window.device.wire().ok_or(RouteError::NoEntry)?.join()?;
    Ok((latch, Box::new(control)))
}

impl Window {
    pub(crate) fn downgrade(&self) -> WeakWindow {
        let (world, device) = (Arc::downgrade(&self.world), Arc::downgrade(&self.device));
        WeakWindow { world, device }
    }

    pub(crate) fn read<T: RegisterValue>(&self, offset: usize) -> T {
        T::from_low_bits(self.device.register_read(&self.world, offset, T::WIDTH))
    }

    pub(crate) fn write<T: RegisterValue>(&self, offset: usize, value: T) {
        self.device.register_write(&self.world, offset, T::WIDTH, value.into());
    }

    pub(crate) fn report_stray(&self, offset: usize, width: Width) {
        self.world.report(Violation::StrayAccess { device: self.device.name, offset, width });
    }
}

/// The virtual clock.
#[derive(Clone)]
pub(crate) struct ClockSource(pub(super) Arc<World>);

impl ClockSource {
    pub(crate) fn now(&self) -> Ticks {
        self.0.now()
    }

    pub(crate) fn ticks_per_second(&self) -> u64 {
        TICKS_PER_SECOND
    }
}

/// The machine's DMA memory.
#[derive(Clone)]
pub(crate) struct DmaSpace(pub(super) Arc<World>);

impl DmaSpace {
    pub(crate) fn allocate(
        &self,
        bytes: usize,
        limit: AddressLimit,
    ) -> Result<DmaMemory, DmaError> {
        let (base, storage) = lock(&self.0.arena).allocate(bytes, limit)?;
        Ok(DmaMemory { storage, place: Place::new(&self.0, vec![base], bytes) })
    }

    pub(crate) fn allocate_listed(
        &self,
        bytes: usize,
        limit: AddressLimit,
    ) -> Result<DmaMemory, DmaError> {
        let bases = lock(&self.0.arena).allocate_listed(bytes, limit)?;
        let storage = vec![0; bytes].into_boxed_slice();
        Ok(DmaMemory { storage, place: Place::new(&self.0, bases, PAGE) })
    }

    pub(crate) fn allocate_ring(
        &self,
        words: usize,
        limit: AddressLimit,
    ) -> Result<RingMemory, DmaError> {
        let (base, words) = lock(&self.0.arena).allocate_ring(words, limit)?;
        Ok(RingMemory { words, world: self.0.clone(), base, shared: false })
    }
}

/// A place in the arena, or one for each page; freed on drop.
struct Place {
    world: Arc<World>,
    bases: Vec<u64>,
    /// Bytes that lie at each base; at the last one, what is left of them.
    piece: usize,
}

impl Place {
    fn new(world: &Arc<World>, bases: Vec<u64>, piece: usize) -> Self {
        Self { world: world.clone(), bases, piece }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut arena = lock(&self.world.arena);
        self.bases.iter().for_each(|base| arena.free(*base));
    }
}

/// Memory its driver owns.
pub(crate) struct DmaMemory {
    storage: Box<[u8]>,
    place: Place,
}

impl DmaMemory {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.storage
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.storage
    }

    pub(crate) fn lend(self, direction: Direction) -> LentMemory {
        let Self { storage, place } = self;
        let place = ManuallyDrop::new(place);
        let mut arena = lock(&place.world.arena);
        for (base, piece) in place.bases.iter().zip(storage.chunks(place.piece)) {
            arena.lend(*base, piece.into(), direction);
        }
        drop(arena);
        LentMemory { place, length: storage.len() }
    }
}

/// Memory a device may be using; its bytes are in the arena, and stay there if this is dropped.
pub(crate) struct LentMemory {
    place: ManuallyDrop<Place>,
    length: usize,
}

impl LentMemory {
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    pub(crate) fn address(&self) -> DeviceAddress {
        self.page(0)
    }

    /// Where page `index` is; it is below their number.
    pub(crate) fn page(&self, index: usize) -> DeviceAddress {
        let (base, offset) = (index * PAGE / self.place.piece, index * PAGE % self.place.piece);
        let base = self.place.bases.get(base).copied().unwrap_or(u64::MAX);
        DeviceAddress(base.wrapping_add(offset as u64))
    }

    pub(crate) fn reclaim(self) -> DmaMemory {
        let place = ManuallyDrop::into_inner(self.place);
        let mut arena = lock(&place.world.arena);
        let pieces = place.bases.iter().filter_map(|base| arena.reclaim(*base));
        let storage = pieces.collect::<Vec<_>>().concat().into_boxed_slice();
        drop(arena);
        DmaMemory { storage, place }
    }
}

/// Nothing is kept ready here, and each machine counts its own memory.
pub(crate) fn dma_bytes() -> (usize, usize) {
    (0, 0)
}

/// Nothing is kept ready here.
pub(crate) fn drain_dma() {}

/// A ring, seen by driver and device at once. Dropping it frees it unless it is shared.
pub(crate) struct RingMemory {
    words: Arc<[AtomicU64]>,
    world: Arc<World>,
    base: u64,
    shared: bool,
}

impl RingMemory {
    pub(crate) fn words(&self) -> &[AtomicU64] {
        &self.words
    }

    pub(crate) fn address(&self) -> DeviceAddress {
        DeviceAddress(self.base)
    }

    pub(crate) fn set_shared(&mut self, shared: bool) {
        self.shared = shared;
    }
}

impl Drop for RingMemory {
    fn drop(&mut self) {
        if !self.shared {
            lock(&self.world.arena).free(self.base);
        }
    }
}
