//! One interrupt line of a device, with the controller in front of it.
//!
//! Edges that arrive while masked stay pending, as MSI-X's pending bits do, or are lost, as behind
//! an I/O APIC. A level that stays asserted is delivered once, then again at each rearm, as behind
//! an IOAPIC whose handler masks it.

use std::sync::{Arc, Mutex};

use super::device::Level;
use super::world::lock;
use crate::interrupt::{InterruptControl, InterruptLatch};

#[derive(Default)]
pub(super) struct Line {
    pub(super) latch: Arc<InterruptLatch>,
    state: Mutex<State>,
}

/// What becomes of an edge that arrives while masked.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum MaskedEdges {
    #[default]
    StayPending,
    AreLost,
}

#[derive(Default)]
struct State {
    masked: bool,
    masked_edges: MaskedEdges,
    /// Edges that arrived while masked.
    pending: bool,
    asserted: bool,
    /// The handler has masked an asserted level; the driver has not rearmed it yet.
    in_service: bool,
    delivered: u64,
}

impl State {
    fn level_due(&mut self) -> bool {
        let due = self.asserted && !self.masked && !self.in_service;
        self.in_service |= due;
        self.delivered += u64::from(due);
        due
    }
}

impl Line {
    /// An edge or a message arrives at the controller.
    pub(super) fn edge(&self) {
        let mut state = lock(&self.state);
        if state.masked {
            state.pending = state.masked_edges == MaskedEdges::StayPending;
            return;
        }
        state.delivered += 1;
        drop(state);
        self.latch.raise();
    }

    pub(super) fn set_masked_edges(&self, masked_edges: MaskedEdges) {
        lock(&self.state).masked_edges = masked_edges;
    }

    pub(super) fn set_level(&self, level: Level) {
        let mut state = lock(&self.state);
        state.asserted = level == Level::Asserted;
        let due = state.level_due();
        drop(state);
        if due {
            self.latch.raise();
        }
    }

    pub(super) fn delivered(&self) -> u64 {
        lock(&self.state).delivered
    }

    pub(super) fn is_masked(&self) -> bool {
        lock(&self.state).masked
    }
}

/// What the driver's `Interrupt` holds.
pub(super) struct Control(pub(super) Arc<Line>);

impl InterruptControl for Control {
    fn mask(&self) {
        lock(&self.0.state).masked = true;
    }

    fn unmask(&self) {
        let mut state = lock(&self.0.state);
        state.masked = false;
        let edge = std::mem::take(&mut state.pending);
        state.delivered += u64::from(edge);
        let due = state.level_due() | edge;
        drop(state);
        if due {
            self.0.latch.raise();
        }
    }

    fn rearm(&self) {
        let mut state = lock(&self.0.state);
        state.in_service = false;
        let due = state.level_due();
        drop(state);
        if due {
            self.0.latch.raise();
        }
    }
}
