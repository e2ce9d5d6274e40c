//! The host backend of the seam (see `machine.rs`): the same names as on metal.

use std::boxed::Box;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};

use super::violation::Violation;
use super::world::{Device, TICKS_PER_SECOND, World, lock};
use crate::clock::Ticks;
use crate::dma::{AddressLimit, DeviceAddress, Direction, DmaError};
use crate::interrupt::{InterruptError, InterruptLatch, Message};
use crate::mmio::{RegisterValue, Width};

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
        Ok(DmaMemory { storage, place: Place { world: self.0.clone(), base } })
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

/// A place in the arena; freed on drop.
struct Place {
    world: Arc<World>,
    base: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.world.arena).free(self.base);
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
        let (world, base) = (place.world.clone(), place.base);
        std::mem::forget(place);
        lock(&world.arena).lend(base, storage, direction);
        LentMemory { world, base }
    }
}

/// Memory a device may be using; its bytes are in the arena, and stay there if this is dropped.
pub(crate) struct LentMemory {
    world: Arc<World>,
    base: u64,
}

impl LentMemory {
    pub(crate) fn address(&self) -> DeviceAddress {
        DeviceAddress(self.base)
    }

    pub(crate) fn reclaim(self) -> DmaMemory {
        let Self { world, base } = self;
        let storage = lock(&world.arena).reclaim(base).unwrap_or_default();
        DmaMemory { storage, place: Place { world, base } }
    }
}

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
