//! Doorbells: how a controller is told of new commands, and of completions that were taken.
//!
//! Where the controller offers it, doorbells are mirrored in memory ([`Shadows`]) and the register
//! is written only if the controller has asked to hear of this value; for a virtual controller,
//! where each such write leaves the guest, that saves most of them.
//!
//! ```text
//!   ring(new):  shadow = new ──> full fence ──> event passed? ──yes──> register = new
//!   controller: event = where it stops ──> fence ──> shadow moved meanwhile? ──yes──> goes on
//! ```
//!
//! Each side writes, then looks at what the other writes; with the fence at least one of them sees
//! the other's, so no command is left lying.

use alloc::sync::Arc;

use hal::dma::{DeviceAddress, DmaDomain, DmaError, DmaRing, full_fence};
use hal::mmio::{DeviceRegion, Register};
use protocols::nvme::{PAGE_BYTES, Page, ShadowPlace, wants_ring};

/// Words of a page.
const WORDS: usize = PAGE_BYTES / 8;

/// A page that mirrors the doorbells, and one in which the controller says when it wants to hear.
pub(super) struct Shadows {
    doorbells: DmaRing<1>,
    events: DmaRing<1>,
    addresses: (DeviceAddress, DeviceAddress),
}

impl Shadows {
    pub(super) fn new(dma: &DmaDomain) -> Result<Self, DmaError> {
        let mut doorbells = dma.ring::<1>(WORDS)?;
        let mut events = dma.ring::<1>(WORDS)?;
        let addresses = (doorbells.address(), events.address());
        Ok(Self { doorbells, events, addresses })
    }

    /// The pages of doorbells and of events, as the controller is told them.
    pub(super) fn pages(&self) -> (Page, Page) {
        (Page(self.addresses.0.0), Page(self.addresses.1.0))
    }

    /// Makes a doorbell and its event 0, as they are when a queue is created.
    fn clear(&self, place: ShadowPlace) {
        for page in [&self.doorbells, &self.events] {
            let value = place.value(page.word(place.word, 0));
            page.flip_word(place.word, 0, place.change(value, 0));
        }
    }

    /// The controller has stopped.
    pub(super) fn retire(self) {
        self.doorbells.retire();
        self.events.retire();
    }
}

/// One doorbell of a queue.
pub(super) struct Doorbell {
    region: DeviceRegion,
    register: Register<u32>,
    place: Option<ShadowPlace>,
    shadows: Option<Arc<Shadows>>,
    /// What the controller can know.
    told: u32,
    /// What the register holds.
    written: u32,
    writes: u64,
}

impl Doorbell {
    /// The doorbell in `register`; `place` is where it is mirrored, if it can be.
    pub(super) fn new(
        region: DeviceRegion,
        register: Register<u32>,
        place: Option<ShadowPlace>,
    ) -> Self {
        Self { region, register, place, shadows: None, told: 0, written: 0, writes: 0 }
    }

    /// For a queue that begins anew: at 0, mirrored in `shadows` if there are any.
    pub(super) fn restart(&mut self, shadows: Option<Arc<Shadows>>) {
        (self.told, self.written) = (0, 0);
        self.shadows = shadows;
        if let (Some(shadows), Some(place)) = (&self.shadows, self.place) {
            shadows.clear(place);
        }
    }

    /// Tells the controller that the tail or head is now `new`.
    #[inline]
    pub(super) fn ring(&mut self, new: u32) {
        let old = core::mem::replace(&mut self.told, new);
        if old == new {
            return;
        }
        if let (Some(shadows), Some(place)) = (&self.shadows, self.place) {
            shadows.doorbells.flip_word(place.word, 0, place.change(old, new));
            full_fence();
            let event = place.value(shadows.events.word(place.word, 0));
            if !wants_ring(event, old, new) {
                return;
            }
        }
        self.write(new);
    }

    /// Writes the register if it is behind: for a controller that missed what memory says.
    pub(super) fn knock(&mut self) {
        if self.written != self.told {
            self.write(self.told);
        }
    }

    fn write(&mut self, value: u32) {
        self.written = value;
        self.writes += 1;
        self.region.write(self.register, value);
    }

    /// Whether it has a place in memory.
    pub(super) fn can_be_mirrored(&self) -> bool {
        self.place.is_some()
    }

    /// How often the register was written.
    pub(super) fn writes(&self) -> u64 {
        self.writes
    }
}
