//! A ring that its driver and a device have at once.

use core::sync::atomic::{AtomicU64, Ordering};

use super::statistics::leaked;
use super::{DeviceAddress, DmaDomain, DmaError, check_size};
use crate::machine;

/// A ring of entries shared with a device: `WORDS` little-endian 64-bit words each.
///
/// Words of one entry are written in order, the last one as a release; a single word is read as an
/// acquire. So an ownership or phase bit in the last word publishes the entry, and one seen in
/// [`word`](Self::word) makes the rest of the entry safe to read. Indices wrap around.
pub struct DmaRing<const WORDS: usize> {
    memory: machine::RingMemory,
    /// Whether a device was told of it.
    is_shared: bool,
    entries: usize,
}

impl DmaDomain {
    /// A zeroed ring of `entries` entries of `WORDS` 64-bit words each, contiguous and aligned
    /// alike.
    pub fn ring<const WORDS: usize>(&self, entries: usize) -> Result<DmaRing<WORDS>, DmaError> {
        let words = entries.checked_mul(WORDS).ok_or(DmaError::BadSize)?;
        check_size(words.checked_mul(8).ok_or(DmaError::BadSize)?)?;
        let memory = self.space.allocate_ring(words, self.limit)?;
        Ok(DmaRing { memory, is_shared: false, entries })
    }
}

impl<const WORDS: usize> DmaRing<WORDS> {
    /// Where the device finds it. From the first call on, only [`retire`](Self::retire) frees it.
    pub fn address(&mut self) -> DeviceAddress {
        self.is_shared = true;
        self.memory.set_shared(true);
        self.memory.address()
    }

    /// How many entries it has.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// Its length in bytes.
    pub fn bytes(&self) -> usize {
        self.entries * WORDS * 8
    }

    /// The entry at `index`, which the device must have finished: words are read one by one.
    #[inline]
    pub fn entry(&self, index: usize) -> [u64; WORDS] {
        let base = self.base(index);
        let words = self.memory.words();
        core::array::from_fn(|word| u64::from_le(words[base + word].load(Ordering::Relaxed)))
    }

    /// Writes the entry at `index`, which the device must have given back.
    #[inline(always)]
    pub fn set_entry(&self, index: usize, entry: [u64; WORDS]) {
        let base = self.base(index);
        let Some(words) = self.memory.words()[base..].first_chunk::<WORDS>() else { return };
        for (word, value) in words.iter().zip(entry).take(WORDS - 1) {
            word.store(value.to_le(), Ordering::Relaxed);
        }
        words[WORDS - 1].store(entry[WORDS - 1].to_le(), Ordering::Release);
    }

    /// One word of an entry; what is read after it is read after it.
    #[inline(always)]
    pub fn word(&self, index: usize, word: usize) -> u64 {
        let place = self.base(index) + word % WORDS;
        u64::from_le(self.memory.words()[place].load(Ordering::Acquire))
    }

    /// Writes one word of an entry, after all that was written before it.
    #[inline]
    pub fn set_word(&self, index: usize, word: usize, value: u64) {
        let place = self.base(index) + word % WORDS;
        self.memory.words()[place].store(value.to_le(), Ordering::Release);
    }

    /// Flips `bits` of one word in one step, after all that was written before: for words whose
    /// parts have different writers.
    #[inline]
    pub fn flip_word(&self, index: usize, word: usize, bits: u64) {
        let place = self.base(index) + word % WORDS;
        self.memory.words()[place].fetch_xor(bits.to_le(), Ordering::AcqRel);
    }

    /// Copies bytes out, from `offset` bytes into the ring and around its end: for devices that
    /// write a stream (rtl8139).
    #[inline]
    pub fn copy_out(&self, offset: usize, into: &mut [u8]) {
        let (mut place, mut rest) = (offset % self.bytes(), into);
        while !rest.is_empty() {
            let (now, later) = rest.split_at_mut((self.bytes() - place).min(rest.len()));
            self.copy_run(place, now);
            (place, rest) = (0, later);
        }
    }

    /// Copies bytes out that lie before the end of the ring, by words.
    #[inline]
    fn copy_run(&self, place: usize, into: &mut [u8]) {
        let load = |word: &AtomicU64| word.load(Ordering::Relaxed).to_ne_bytes();
        let (mut words, skipped) = (self.memory.words()[place / 8..].iter(), place % 8);
        let (head, rest) = into.split_at_mut(((8 - skipped) % 8).min(into.len()));
        if !head.is_empty()
            && let Some(word) = words.next()
        {
            head.copy_from_slice(&load(word)[skipped..skipped + head.len()]);
        }
        let (whole, tail) = rest.as_chunks_mut::<8>();
        for (bytes, word) in whole.iter_mut().zip(&mut words) {
            *bytes = load(word);
        }
        if let Some(word) = words.next() {
            tail.copy_from_slice(&load(word)[..tail.len()]);
        }
    }

    /// Frees it. The caller says that the device has stopped using it: it was reset, or cut off
    /// from the bus.
    pub fn retire(mut self) {
        self.memory.set_shared(false);
        self.is_shared = false;
    }

    #[inline(always)]
    fn base(&self, index: usize) -> usize {
        if index < self.entries { index * WORDS } else { index % self.entries * WORDS }
    }
}

impl<const WORDS: usize> Drop for DmaRing<WORDS> {
    fn drop(&mut self) {
        if self.is_shared {
            leaked(self.bytes());
        }
    }
}
