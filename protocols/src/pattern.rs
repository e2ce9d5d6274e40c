//! Test data for disks that says where it belongs: each word is made of a seed and of its place on
//! the whole disk, so a block that lies elsewhere, is old or is another run's is told apart.
//!
//! The kernel writes and checks it at its shell (`pattern`); the host checks the image file, and
//! writes what the kernel checks.

/// Bytes in a word of the pattern.
pub const WORD: usize = 8;

/// The word at byte `offset` of the disk, a multiple of [`WORD`] (SplitMix64's finaliser over place
/// and seed).
pub const fn word(seed: u64, offset: u64) -> u64 {
    let mut x = seed ^ (offset / WORD as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Fills `bytes`, which lie at byte `offset` of the disk.
pub fn fill(seed: u64, offset: u64, bytes: &mut [u8]) {
    for (place, word_bytes) in (offset..).step_by(WORD).zip(bytes.chunks_mut(WORD)) {
        let word = word(seed, place).to_le_bytes();
        word_bytes.copy_from_slice(&word[..word_bytes.len()]);
    }
}

/// The first byte of the disk that differs, if one does.
pub fn check(seed: u64, offset: u64, bytes: &[u8]) -> Option<u64> {
    for (place, word_bytes) in (offset..).step_by(WORD).zip(bytes.chunks(WORD)) {
        let word = word(seed, place).to_le_bytes();
        if word_bytes != &word[..word_bytes.len()] {
            let differs = word_bytes.iter().zip(word).position(|(is, should)| *is != should);
            return Some(place + differs.unwrap_or(0) as u64);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::vec;

    proptest! {
        /// What is filled is found right, in one piece or several, and any change is found where it
        /// is.
        #[test]
        fn fills_and_finds(seed: u64, block in 0u64..1 << 40, cut in 0usize..64, at in 0usize..512, with in 1u8..) {
            let offset = block * 512;
            let mut bytes = vec![0; 512];
            fill(seed, offset, &mut bytes[..cut * 8]);
            fill(seed, offset + cut as u64 * 8, &mut bytes[cut * 8..]);
            prop_assert_eq!(check(seed, offset, &bytes), None);
            bytes[at] ^= with;
            prop_assert_eq!(check(seed, offset, &bytes), Some(offset + at as u64));
        }

        #[test]
        fn places_and_seeds_differ(seed: u64, block in 0u64..1 << 40) {
            let mut bytes = vec![0; 512];
            fill(seed, block * 512, &mut bytes);
            prop_assert!(check(seed, (block + 1) * 512, &bytes).is_some());
            prop_assert!(check(seed ^ 1, block * 512, &bytes).is_some());
        }
    }
}
