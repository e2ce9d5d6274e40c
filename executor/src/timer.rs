//! A core's timers: a binary heap of deadlines with a way back from a timer to its place in the
//! heap, so that cancelling costs O(log n) like the rest. Memory grows when a timer is set, never
//! when one fires. Equal deadlines fire in the order they were set.
//!
//! ```text
//!   heap:  [deadline, order, slot] …   smallest first
//!            │                ▲
//!            ▼ slot           │ position
//!   slots: [generation, Set { position, waker } | Free { next }] …
//! ```
//!
//! A key names slot and generation: the key of a timer that fired or was cancelled is recognised,
//! whatever became of the slot.

use alloc::vec::Vec;
use core::task::Waker;

use crate::platform::Instant;

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    deadline: Instant,
    order: u64,
    slot: u32,
}

enum Slot {
    Set { position: u32, waker: Waker },
    Free { next: u32 },
}

/// A timer that was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerKey {
    slot: u32,
    generation: u32,
}

/// The timers of one core.
#[derive(Default)]
pub struct Timers {
    heap: Vec<Entry>,
    slots: Vec<(u32, Slot)>,
    free: Option<u32>,
    order: u64,
}

#[allow(clippy::cast_possible_truncation)]
impl Timers {
    /// No timers.
    #[must_use]
    pub const fn new() -> Self {
        Self { heap: Vec::new(), slots: Vec::new(), free: None, order: 0 }
    }

    /// Number of timers set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether no timer is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// The earliest deadline.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.heap.first().map(|entry| entry.deadline)
    }

    /// Sets a timer that hands out `waker` at `deadline`. O(log n).
    pub fn set(&mut self, deadline: Instant, waker: Waker) -> TimerKey {
        let position = self.heap.len() as u32;
        let set = Slot::Set { position, waker };
        let slot = if let Some(slot) = self.free {
            let entry = &mut self.slots[slot as usize];
            if let Slot::Free { next } = entry.1 {
                self.free = (next != NONE).then_some(next);
            }
            entry.1 = set;
            slot
        } else {
            self.slots.push((0, set));
            self.slots.len() as u32 - 1
        };
        self.heap.push(Entry { deadline, order: self.order, slot });
        self.order += 1;
        self.rise(position as usize);
        TimerKey { slot, generation: self.slots[slot as usize].0 }
    }

    /// The waker of a timer that is still set, to be replaced.
    pub fn waker(&mut self, key: TimerKey) -> Option<&mut Waker> {
        match self.slots.get_mut(key.slot as usize) {
            Some((generation, Slot::Set { waker, .. })) if *generation == key.generation => {
                Some(waker)
            }
            _ => None,
        }
    }

    /// Takes back a timer; gives its waker, or `None` if it has fired. O(log n).
    pub fn cancel(&mut self, key: TimerKey) -> Option<Waker> {
        match self.slots.get(key.slot as usize) {
            Some((generation, Slot::Set { position, .. })) if *generation == key.generation => {
                let position = *position as usize;
                Some(self.remove(position))
            }
            _ => None,
        }
    }

    /// The waker of the earliest timer if it is due at `now`. O(log n).
    pub fn pop_due(&mut self, now: Instant) -> Option<Waker> {
        (self.next()? <= now).then(|| self.remove(0))
    }

    fn remove(&mut self, position: usize) -> Waker {
        let entry = self.heap.swap_remove(position);
        if position < self.heap.len() {
            self.placed(position);
            self.rise(position);
            self.sink(position);
        }
        let (generation, state) = &mut self.slots[entry.slot as usize];
        *generation = generation.wrapping_add(1);
        let free = Slot::Free { next: self.free.unwrap_or(NONE) };
        self.free = Some(entry.slot);
        match core::mem::replace(state, free) {
            Slot::Set { waker, .. } => waker,
            Slot::Free { .. } => unreachable!("a heap entry's slot is set"),
        }
    }

    /// Notes in the slot where its entry is now.
    fn placed(&mut self, at: usize) {
        if let Slot::Set { position, .. } = &mut self.slots[self.heap[at].slot as usize].1 {
            *position = at as u32;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.placed(a);
        self.placed(b);
    }

    fn rise(&mut self, mut at: usize) {
        while at > 0 {
            let parent = (at - 1) / 2;
            if self.heap[parent] <= self.heap[at] {
                break;
            }
            self.swap(parent, at);
            at = parent;
        }
    }

    fn sink(&mut self, mut at: usize) {
        loop {
            let left = 2 * at + 1;
            let right = left + 1;
            let mut least = at;
            if left < self.heap.len() && self.heap[left] < self.heap[least] {
                least = left;
            }
            if right < self.heap.len() && self.heap[right] < self.heap[least] {
                least = right;
            }
            if least == at {
                break;
            }
            self.swap(at, least);
            at = least;
        }
    }
}
