//! The model's end of the rings: fetching commands, posting completions, doorbells in memory.

use std::array;

use hal::dma::DeviceAddress;
use hal::sim::Bus;
use protocols::nvme::{Command, Completion, Phase, QueueDoorbell, ShadowPlace, Status};

use super::Model;

pub(super) struct SubmissionRing {
    base: u64,
    entries: u64,
    place: u64,
    tail: u64,
}

impl SubmissionRing {
    pub(super) fn new(base: u64, entries: u64) -> Self {
        Self { base, entries, place: 0, tail: 0 }
    }
}

pub(super) struct CompletionRing {
    base: u64,
    entries: u64,
    place: u64,
    phase: Phase,
    /// How far the driver has taken them.
    pub(super) head: u64,
    vector: Option<u16>,
}

impl CompletionRing {
    pub(super) fn new(base: u64, entries: u64, vector: Option<u16>) -> Self {
        Self { base, entries, place: 0, phase: Phase::FIRST, head: 0, vector }
    }
}

impl Model {
    /// Where a doorbell is mirrored, and where its event is, in bytes.
    fn mirrored(&self, queue: u16, which: QueueDoorbell) -> Option<(u64, u64)> {
        let (doorbells, events) = self.shadows.filter(|_| queue > 0)?;
        let place = ShadowPlace::new(queue, which, 4)?;
        let at = (place.word * 8 + place.shift as usize / 8) as u64;
        Some((doorbells + at, events + at))
    }

    fn shadow(&self, bus: &mut Bus<'_>, queue: u16, which: QueueDoorbell) -> Option<u64> {
        let (doorbell, _) = self.mirrored(queue, which)?;
        let mut bytes = [0; 4];
        bus.dma_read(DeviceAddress(doorbell), &mut bytes).ok()?;
        Some(u64::from(u32::from_le_bytes(bytes)))
    }

    /// A tail's register was written.
    pub(super) fn tail_moved(&mut self, bus: &mut Bus<'_>, queue: u16, tail: u64) {
        let tail = self.shadow(bus, queue, QueueDoorbell::SubmissionTail).unwrap_or(tail);
        if let Some(ring) = self.submissions.get_mut(&queue)
            && tail < ring.entries
        {
            ring.tail = tail;
        }
        self.fetch_all(bus, queue);
        self.look_at_shadow(bus, queue);
    }

    /// While it has commands it looks by itself; then it asks to be told, and looks once more.
    pub(super) fn look_at_shadow(&mut self, bus: &mut Bus<'_>, queue: u16) {
        let Some((_, event)) = self.mirrored(queue, QueueDoorbell::SubmissionTail) else { return };
        for _ in 0..2 {
            let tail = self.shadow(bus, queue, QueueDoorbell::SubmissionTail);
            let Some(ring) = self.submissions.get_mut(&queue) else { return };
            ring.tail = tail.filter(|tail| *tail < ring.entries).unwrap_or(ring.tail);
            self.fetch_all(bus, queue);
            if self.pending.iter().any(|pending| pending.queue == queue) {
                return;
            }
            let tail = self.submissions[&queue].tail as u32;
            let _ = bus.dma_write(DeviceAddress(event), &tail.to_le_bytes());
        }
    }

    fn fetch_all(&mut self, bus: &mut Bus<'_>, queue: u16) {
        while let Some(ring) = self.submissions.get_mut(&queue) {
            if ring.place == ring.tail {
                return;
            }
            let mut bytes = [0; 64];
            if bus.dma_read(DeviceAddress(ring.base + ring.place * 64), &mut bytes).is_err() {
                return;
            }
            ring.place = (ring.place + 1) % ring.entries;
            let word = |at: usize| {
                u64::from_le_bytes(bytes[at * 8..at * 8 + 8].try_into().expect("eight bytes"))
            };
            self.fetch(bus, queue, Command(array::from_fn(word)));
        }
    }

    pub(super) fn post(
        &mut self,
        bus: &mut Bus<'_>,
        queue: u16,
        id: u16,
        status: Status,
        result: u32,
    ) {
        let shadow = self.shadow(bus, queue, QueueDoorbell::CompletionHead);
        let Some(ring) = self.completions.get_mut(&queue) else { return };
        ring.head = shadow.unwrap_or(ring.head);
        let next = (ring.place + 1) % ring.entries;
        if next == ring.head {
            // Its own fault, if it posts more than it was asked for.
            assert!(self.posts_too_much, "a completion queue overflows: a doorbell is missing");
            return;
        }
        let head = self.submissions.get(&queue).map_or(0, |ring| ring.place);
        let entry = Completion {
            result,
            submission_head: head as u16,
            submission_queue: queue,
            id,
            phase: ring.phase,
            status,
        };
        let mut bytes = [0; 16];
        for (place, word) in bytes.chunks_exact_mut(8).zip(entry.words()) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        let _ = bus.dma_write(DeviceAddress(ring.base + ring.place * 16), &bytes);
        ring.place = next;
        if next == 0 {
            ring.phase = ring.phase.next();
        }
        if let Some(vector) = ring.vector {
            bus.raise(u32::from(vector));
        }
    }
}
