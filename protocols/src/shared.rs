//! Memory that two sides have in common, as words and as bytes.
//!
//! The other side writes to it at any time, so there are no slices of it: it is read and written a
//! word at a time. Whoever must not believe the other side reads each word once and checks its copy.

use core::sync::atomic::{AtomicU64, Ordering};

/// Bytes in a word.
const WORD: usize = 8;

/// Words that two sides have in common. Beyond the end nothing is read (zero) or written.
pub trait Words {
    /// Reads a word, as an acquire.
    fn load(&self, index: usize) -> u64;
    /// Writes a word, as a release.
    fn store(&self, index: usize, value: u64);
    /// Writes a word and says what it was; everything before it comes before everything after it.
    fn swap(&self, index: usize, value: u64) -> u64;
}

/// The same memory as bytes, in bulk and in no order: the words that say what is there keep it.
pub trait Bytes: Words {
    /// Copies from `at` on. Beyond the end: zeros.
    fn read(&self, at: usize, into: &mut [u8]);
    /// Copies there. Beyond the end: nothing. Only one side may be writing to the words it touches.
    fn write(&self, at: usize, from: &[u8]);
}

/// [`Bytes::read`] from words that lie one after the other.
pub fn read(words: &[AtomicU64], at: usize, into: &mut [u8]) {
    let load = |index: usize| {
        let word = words.get(index).map_or(0, |word| word.load(Ordering::Relaxed));
        u64::from_le(word).to_le_bytes()
    };
    let (first, skipped) = (at / WORD, at % WORD);
    let head = if skipped == 0 { 0 } else { (WORD - skipped).min(into.len()) };
    let (head, rest) = into.split_at_mut(head);
    let mut next = first;
    if !head.is_empty() {
        head.copy_from_slice(&load(first)[skipped..skipped + head.len()]);
        next += 1;
    }
    let (whole, tail) = rest.as_chunks_mut::<WORD>();
    let there = words.get(next..).unwrap_or_default();
    for (chunk, word) in whole.iter_mut().zip(there) {
        *chunk = u64::from_le(word.load(Ordering::Relaxed)).to_le_bytes();
    }
    whole.get_mut(there.len()..).unwrap_or_default().fill([0; WORD]);
    next += whole.len();
    tail.copy_from_slice(&load(next)[..tail.len()]);
}

/// [`Bytes::write`] to words that lie one after the other.
pub fn write(words: &[AtomicU64], at: usize, from: &[u8]) {
    let merge = |index: usize, skipped: usize, part: &[u8]| {
        if let Some(word) = words.get(index) {
            let mut bytes = u64::from_le(word.load(Ordering::Relaxed)).to_le_bytes();
            bytes[skipped..skipped + part.len()].copy_from_slice(part);
            word.store(u64::from_le_bytes(bytes).to_le(), Ordering::Relaxed);
        }
    };
    let (first, skipped) = (at / WORD, at % WORD);
    let head = if skipped == 0 { 0 } else { (WORD - skipped).min(from.len()) };
    let (head, rest) = from.split_at(head);
    let mut next = first;
    if !head.is_empty() {
        merge(first, skipped, head);
        next += 1;
    }
    let (whole, tail) = rest.as_chunks::<WORD>();
    for (chunk, word) in whole.iter().zip(words.get(next..).unwrap_or_default()) {
        word.store(u64::from_le_bytes(*chunk).to_le(), Ordering::Relaxed);
    }
    next += whole.len();
    if !tail.is_empty() {
        merge(next, 0, tail);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    fn memory(bytes: &[u8]) -> Vec<AtomicU64> {
        let (words, _) = bytes.as_chunks::<8>();
        words.iter().map(|word| AtomicU64::new(u64::from_le_bytes(*word).to_le())).collect()
    }

    proptest! {
        /// As if it were an ordinary array, with zeros behind it.
        #[test]
        fn bytes_are_where_they_belong(
            words in 0usize..20,
            writes in prop::collection::vec((0usize..200, prop::collection::vec(any::<u8>(), 0..100)), 0..10),
            at in 0usize..200,
            len in 0usize..200,
        ) {
            let mut plain = vec![0; words * 8];
            let shared = memory(&plain);
            for (at, bytes) in &writes {
                write(&shared, *at, bytes);
                for (place, byte) in bytes.iter().enumerate() {
                    if let Some(slot) = plain.get_mut(at + place) {
                        *slot = *byte;
                    }
                }
            }
            let mut read_back = vec![0xee; len];
            read(&shared, at, &mut read_back);
            plain.resize(400, 0);
            prop_assert_eq!(&read_back[..], &plain[at..at + len]);
        }
    }
}
