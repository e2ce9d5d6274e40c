//! One direction: a ring of bytes between somebody who writes and somebody who reads.
//!
//! ```text
//!             taken            published        put
//!     ──────────┼──────────────────┼─────────────┼──────────
//!     free      │ the reader's     │ written,    │ free
//!               │                  │ not shown   │
//! ```
//!
//! Each side counts for itself, outside of the shared memory, and looks at the other's counter only
//! to learn how far it has come. A counter that goes back, or further than is possible, is
//! [`Corrupt`].
//!
//! A reader rings a writer that sleeps when half of the ring is free, so that they do not take turns
//! over every few bytes; whoever reads all there is has freed all of it.

use super::layout::Place;
use super::{Corrupt, Wake};
use crate::shared::{Bytes, Words};

impl Place {
    /// Where the byte of that number is, and how many follow it before the ring's end.
    const fn of(&self, number: u64) -> (usize, usize) {
        let offset = (number & (self.capacity as u64 - 1)) as usize;
        (self.at + offset, self.capacity as usize - offset)
    }
}

/// Whether a side that says in `word` that it sleeps must be rung; it is then taken as awake.
fn wake(words: &impl Words, word: usize) -> Wake {
    if words.load(word) == 0 {
        return Wake::No;
    }
    words.store(word, 0);
    Wake::Ring
}

/// The side that writes.
#[derive(Debug)]
pub struct Writer {
    place: Place,
    /// Bytes written.
    put: u64,
    /// Of these, those the reader has been told of.
    published: u64,
    /// Of these, those the reader said last that it has taken.
    taken: u64,
}

impl Writer {
    pub(super) const fn new(place: Place) -> Self {
        Self { place, put: 0, published: 0, taken: 0 }
    }

    /// Bytes of the ring.
    pub const fn capacity(&self) -> usize {
        self.place.capacity as usize
    }

    /// Bytes that can be written.
    pub fn room(&mut self, words: &impl Words) -> Result<usize, Corrupt> {
        let progress = words.load(self.place.taken).wrapping_sub(self.taken);
        if progress > self.published - self.taken {
            return Err(Corrupt);
        }
        self.taken += progress;
        Ok(self.capacity() - (self.put - self.taken) as usize)
    }

    /// Bytes written that the reader has not taken, as far as is known.
    pub const fn unread(&self) -> usize {
        (self.put - self.taken) as usize
    }

    /// Where the next byte goes: its place in the memory, and how many fit there before the end of
    /// the ring or what is unread. For a side that fills the memory itself and then says so with
    /// [`Writer::advance`].
    pub fn next(&mut self, words: &impl Words) -> Result<(usize, usize), Corrupt> {
        let room = self.room(words)?;
        let (at, before_end) = self.place.of(self.put);
        Ok((at, room.min(before_end)))
    }

    /// `bytes` of what [`Writer::next`] offered are written; never more than there was room for.
    pub fn advance(&mut self, bytes: usize) {
        let room = self.capacity() - self.unread();
        self.put += bytes.min(room) as u64;
    }

    /// Writes as many of the bytes as there is room for, and says how many. The reader sees them
    /// after [`Writer::publish`].
    pub fn write(&mut self, memory: &impl Bytes, bytes: &[u8]) -> Result<usize, Corrupt> {
        let count = self.room(memory)?.min(bytes.len());
        self.lay(memory, 0, &bytes[..count]);
        self.put += count as u64;
        Ok(count)
    }

    /// Lays bytes down at `offset` behind what is written, for which the caller knows that there is
    /// room.
    pub(super) fn lay(&self, memory: &impl Bytes, offset: u64, bytes: &[u8]) {
        let (at, before_end) = self.place.of(self.put + offset);
        let (first, second) = bytes.split_at(bytes.len().min(before_end));
        memory.write(at, first);
        if !second.is_empty() {
            memory.write(self.place.at, second);
        }
    }

    /// Shows the reader what was written.
    pub fn publish(&mut self, words: &impl Words) -> Wake {
        if self.published == self.put {
            return Wake::No;
        }
        self.published = self.put;
        words.swap(self.place.put, self.put);
        wake(words, self.place.reader_sleeps)
    }

    /// Wakes the reader for something that stands elsewhere.
    pub(super) fn wake_reader(&self, words: &impl Words) -> Wake {
        wake(words, self.place.reader_sleeps)
    }

    /// Says that it is about to sleep until there is room: then it looks once more
    /// ([`Writer::room`]), and sleeps or [wakes up](Writer::wake_up).
    pub fn fall_asleep(&self, words: &impl Words) {
        words.swap(self.place.writer_sleeps, 1);
    }

    /// Says that it looks by itself again.
    pub fn wake_up(&self, words: &impl Words) {
        words.store(self.place.writer_sleeps, 0);
    }
}

/// The side that reads.
#[derive(Debug)]
pub struct Reader {
    place: Place,
    /// Bytes read.
    taken: u64,
    /// Of these, those the writer has been told of.
    published: u64,
    /// Bytes the writer said last that it has written.
    put: u64,
}

impl Reader {
    pub(super) const fn new(place: Place) -> Self {
        Self { place, taken: 0, published: 0, put: 0 }
    }

    /// Bytes of the ring.
    pub const fn capacity(&self) -> usize {
        self.place.capacity as usize
    }

    /// Bytes that can be read.
    pub fn available(&mut self, words: &impl Words) -> Result<usize, Corrupt> {
        let progress = words.load(self.place.put).wrapping_sub(self.put);
        // What the writer does not know to be free it must not use.
        if progress > u64::from(self.place.capacity) - (self.put - self.published) {
            return Err(Corrupt);
        }
        self.put += progress;
        Ok((self.put - self.taken) as usize)
    }

    /// Where the next byte is: its place in the memory, and how many follow it there. For a side
    /// that uses them where they are and then says so with [`Reader::advance`].
    pub fn next(&mut self, words: &impl Words) -> Result<(usize, usize), Corrupt> {
        let available = self.available(words)?;
        let (at, before_end) = self.place.of(self.taken);
        Ok((at, available.min(before_end)))
    }

    /// `bytes` of what [`Reader::next`] offered are read; never more than there were.
    pub fn advance(&mut self, bytes: usize) {
        self.taken += (bytes as u64).min(self.put - self.taken);
    }

    /// Reads as many bytes as there are and as `into` holds, and says how many. Their room is free
    /// after [`Reader::publish`].
    pub fn read(&mut self, memory: &impl Bytes, into: &mut [u8]) -> Result<usize, Corrupt> {
        let count = self.available(memory)?.min(into.len());
        self.peek(memory, 0, &mut into[..count]);
        self.taken += count as u64;
        Ok(count)
    }

    /// Reads bytes at `offset` behind what is read, of which the caller knows that they are there.
    pub(super) fn peek(&self, memory: &impl Bytes, offset: u64, into: &mut [u8]) {
        let (at, before_end) = self.place.of(self.taken + offset);
        let (first, second) = into.split_at_mut(into.len().min(before_end));
        memory.read(at, first);
        if !second.is_empty() {
            memory.read(self.place.at, second);
        }
    }

    /// Gives the room of what was read back.
    pub fn publish(&mut self, words: &impl Words) -> Wake {
        if self.published == self.taken {
            return Wake::No;
        }
        self.published = self.taken;
        words.swap(self.place.taken, self.taken);
        // As much as is known to be there; more may have come, which is then read later.
        let free = self.capacity() - (self.put - self.taken) as usize;
        if free >= self.capacity() / 2 { self.wake_writer(words) } else { Wake::No }
    }

    /// Wakes the writer for something that stands elsewhere.
    pub(super) fn wake_writer(&self, words: &impl Words) -> Wake {
        wake(words, self.place.writer_sleeps)
    }

    /// Says that it is about to sleep until something is there: then it looks once more
    /// ([`Reader::available`]), and sleeps or [wakes up](Reader::wake_up).
    pub fn fall_asleep(&self, words: &impl Words) {
        words.swap(self.place.reader_sleeps, 1);
    }

    /// Says that it looks by itself again.
    pub fn wake_up(&self, words: &impl Words) {
        words.store(self.place.reader_sleeps, 0);
    }
}
