//! The blocks a cache holds: which ones, whether they were changed, and which one makes room.
//!
//! ```text
//!            put_clean                put_dirty                 written
//!   absent ───────────> clean ──────────────────────> dirty ───────────────> clean
//!      ^                  │                            (first changed, first written back)
//!      └──── evicted ─────┘
//! ```
//!
//! Room is made by the clock algorithm: a hand goes around, and the first clean block it finds that
//! was not used since its last visit goes. A dirty block is never evicted.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

struct Frame {
    lba: u64,
    bytes: Box<[u8]>,
    state: State,
    is_used: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Empty,
    Clean,
    Dirty,
}

pub(super) struct Frames {
    block: usize,
    capacity: usize,
    frames: Vec<Frame>,
    places: BTreeMap<u64, usize>,
    hand: usize,
    /// The dirty blocks, the one that was changed first in front.
    dirty: VecDeque<u64>,
}

impl Frames {
    pub(super) fn new(block: usize, capacity: usize) -> Self {
        Self {
            block,
            capacity,
            frames: Vec::new(),
            places: BTreeMap::new(),
            hand: 0,
            dirty: VecDeque::new(),
        }
    }

    /// How many blocks fit.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn get(&mut self, lba: u64) -> Option<&[u8]> {
        let frame = self.frames.get_mut(*self.places.get(&lba)?)?;
        frame.is_used = true;
        Some(&frame.bytes)
    }

    /// How many of the `blocks` blocks from `lba` on come before the first one that is here.
    pub(super) fn absent(&self, lba: u64, blocks: u64) -> u64 {
        let next = self.places.range(lba..lba.saturating_add(blocks)).next();
        next.map_or(blocks, |(found, _)| found - lba)
    }

    /// Keeps what was read from the device. A block that is here already is newer and stays; where
    /// there is no room nothing is kept.
    pub(super) fn put_clean(&mut self, lba: u64, bytes: &[u8]) {
        if self.places.contains_key(&lba) {
            return;
        }
        if let Some(place) = self.place(lba) {
            let frame = &mut self.frames[place];
            frame.bytes.copy_from_slice(bytes);
            frame.state = State::Clean;
            // Or what was read ahead would be the first to go.
            frame.is_used = true;
        }
    }

    /// Keeps what is to be written. `None`: there is no room; write something back first.
    #[must_use]
    pub(super) fn put_dirty(&mut self, lba: u64, bytes: &[u8]) -> Option<()> {
        let place = match self.places.get(&lba) {
            Some(place) => *place,
            None => self.place(lba)?,
        };
        let frame = &mut self.frames[place];
        frame.bytes.copy_from_slice(bytes);
        frame.is_used = true;
        if frame.state != State::Dirty {
            frame.state = State::Dirty;
            self.dirty.push_back(lba);
        }
        Some(())
    }

    /// Makes way for `bytes`, which go to the device from `lba` on by themselves: what is clean
    /// here is dropped, since nobody knows what the device will have if that fails; what is dirty
    /// takes the new data and stays dirty.
    pub(super) fn give_way(&mut self, lba: u64, bytes: &[u8]) {
        let blocks = (bytes.len() / self.block) as u64;
        let here: Vec<_> =
            self.places.range(lba..lba + blocks).map(|(at, to)| (*at, *to)).collect();
        for (at, place) in here {
            let frame = &mut self.frames[place];
            if frame.state == State::Dirty {
                let start = (at - lba) as usize * self.block;
                frame.bytes.copy_from_slice(&bytes[start..start + self.block]);
            } else {
                frame.state = State::Empty;
                self.places.remove(&at);
            }
        }
    }

    /// Lays what is here over `bytes`, which the device has from `lba` on.
    pub(super) fn lay_over(&self, lba: u64, bytes: &mut [u8]) {
        let blocks = (bytes.len() / self.block) as u64;
        for (at, place) in self.places.range(lba..lba + blocks) {
            let start = (at - lba) as usize * self.block;
            bytes[start..start + self.block].copy_from_slice(&self.frames[*place].bytes);
        }
    }

    pub(super) fn dirty(&self) -> usize {
        self.dirty.len()
    }

    /// The block that was changed first, and how many that follow it both on the device and in
    /// time may be written with it: at most `most` in all.
    pub(super) fn oldest(&self, most: usize) -> Option<(u64, usize)> {
        let first = *self.dirty.front()?;
        let follows = |(step, lba): &(usize, &u64)| **lba == first + *step as u64;
        let run = self.dirty.iter().enumerate().take(most.max(1)).take_while(follows).count();
        Some((first, run))
    }

    /// Copies the `blocks` oldest dirty blocks, which [`oldest`](Self::oldest) named.
    pub(super) fn copy_oldest(&self, into: &mut [u8]) {
        for (lba, bytes) in self.dirty.iter().zip(into.chunks_exact_mut(self.block)) {
            if let Some(place) = self.places.get(lba) {
                bytes.copy_from_slice(&self.frames[*place].bytes);
            }
        }
    }

    /// The `blocks` oldest dirty blocks are on the device.
    pub(super) fn written(&mut self, blocks: usize) {
        for lba in self.dirty.drain(..blocks.min(self.dirty.len())) {
            if let Some(place) = self.places.get(&lba) {
                self.frames[*place].state = State::Clean;
            }
        }
    }

    /// A place for a block that is not here.
    fn place(&mut self, lba: u64) -> Option<usize> {
        let place = self.room()?;
        self.places.insert(lba, place);
        self.frames[place].lba = lba;
        Some(place)
    }

    fn room(&mut self) -> Option<usize> {
        if self.frames.len() < self.capacity {
            let bytes = alloc::vec![0; self.block].into_boxed_slice();
            self.frames.push(Frame { lba: 0, bytes, state: State::Empty, is_used: false });
            return Some(self.frames.len() - 1);
        }
        // The first time around every block may have been used; the second time none has.
        for _ in 0..2 * self.frames.len() {
            let place = self.hand;
            self.hand = (self.hand + 1) % self.frames.len();
            let frame = &mut self.frames[place];
            match frame.state {
                State::Dirty => {}
                State::Clean if frame.is_used => frame.is_used = false,
                State::Clean => {
                    self.places.remove(&frame.lba);
                    frame.state = State::Empty;
                    return Some(place);
                }
                State::Empty => return Some(place),
            }
        }
        None
    }
}
