//! A wire that pins of PCI functions are joined to: a level-triggered interrupt line, shared, with
//! the controller in front of it, as behind an I/O APIC.
//!
//! It is asserted while any device on it asserts its line, and fires while it is asserted and open:
//! see [`lines`](crate::x86_64::lines), which decides here as on metal.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::vec::Vec;

use super::device::Level;
use super::world::lock;
use crate::interrupt::{InterruptControl, InterruptError, InterruptLatch};
use crate::x86_64::lines::{Owner, SharedLine, Wants};

/// A wire. Clones are the same one.
#[derive(Clone)]
pub struct Wire(Arc<Inside>);

struct Inside {
    line: SharedLine,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What each device's pin is at, by the device's place.
    levels: BTreeMap<usize, Level>,
    /// The owners' latches, by their numbers.
    latches: BTreeMap<u16, Arc<InterruptLatch>>,
    fired: u64,
}

impl Wire {
    pub(super) fn new() -> Self {
        Self(Arc::new(Inside { line: SharedLine::new(), state: Mutex::default() }))
    }

    /// How many times it has fired.
    pub fn fired(&self) -> u64 {
        lock(&self.0.state).fired
    }

    /// Whether it may fire: somebody wants interrupts, and nobody has still to look.
    pub fn is_open(&self) -> bool {
        self.0.line.is_open()
    }

    pub(super) fn set_level(&self, device: usize, level: Level) {
        lock(&self.0.state).levels.insert(device, level);
        self.settle();
    }

    /// A share of it, masked.
    pub(super) fn join(&self) -> Result<(Arc<InterruptLatch>, Control), InterruptError> {
        let latch = Arc::new(InterruptLatch::new());
        let mut state = lock(&self.0.state);
        let number = (0..).find(|number| !state.latches.contains_key(number)).unwrap_or(0);
        let owner = self.0.line.join(number).ok_or(InterruptError::LineTaken(0))?;
        state.latches.insert(number, latch.clone());
        Ok((latch, Control { wire: self.clone(), owner, number }))
    }

    /// Fires if it has to.
    fn settle(&self) {
        let mut raised: Vec<Arc<InterruptLatch>> = Vec::new();
        let mut state = lock(&self.0.state);
        let is_asserted = state.levels.values().any(|level| *level == Level::Asserted);
        if is_asserted && self.0.line.is_open() {
            state.fired += 1;
            let latches = &state.latches;
            // No clock here, so no storm.
            let _sound =
                self.0.line.fired(1, 0, |number| raised.extend(latches.get(&number).cloned()));
        }
        drop(state);
        raised.iter().for_each(|latch| latch.raise());
    }
}

/// What an owner's `Interrupt` holds.
pub(super) struct Control {
    wire: Wire,
    owner: Owner,
    number: u16,
}

impl InterruptControl for Control {
    fn mask(&self) {
        let _ = self.wire.0.line.set(self.owner, Wants::Nothing);
        self.wire.settle();
    }

    fn unmask(&self) {
        let _ = self.wire.0.line.set(self.owner, Wants::Interrupts);
        self.wire.settle();
    }

    fn rearm(&self) {
        let _ = self.wire.0.line.rearm(self.owner);
        self.wire.settle();
    }

    fn claim(&self) {
        self.wire.0.line.claim();
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let mut state = lock(&self.wire.0.state);
        self.wire.0.line.leave(self.owner);
        state.latches.remove(&self.number);
        drop(state);
        self.wire.settle();
    }
}
