//! Marks that tell a test when a sync of the CommitLog had returned.
//!
//! Whoever syncs writes one after each sync that returned, to blocks of the same disk that hold
//! nothing else. So in any record of the disk's writes a mark comes after all that the sync relied
//! on: whoever finds the mark knows that the records it names had been called durable.
//!
//! ```text
//! offset 0   8 bytes   "PLXSYNC1"
//!        8   8 bytes   the last record that is durable
//!       16   4 bytes   CRC-32 (IEEE 802.3) of the 16 bytes before
//! ```
//!
//! Numbers are little-endian.

use crate::fields::{array_at, u32_at, u64_at};
use crate::gpt::crc32;

/// Bytes of a mark; the block's others do not matter.
pub const BYTES: usize = 20;

const MAGIC: [u8; 8] = *b"PLXSYNC1";

/// The mark of a sync that made records up to and including `sequence` durable.
pub fn encode(sequence: u64) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&sequence.to_le_bytes());
    let sum = crc32(&bytes[..16]);
    bytes[16..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// What the mark at the beginning of `block` names, if there is one.
pub fn decode(block: &[u8]) -> Option<u64> {
    let mark = block.get(..BYTES)?;
    let is_whole = array_at(mark, 0) == Some(MAGIC) && u32_at(mark, 16) == Some(crc32(&mark[..16]));
    is_whole.then(|| u64_at(mark, 8)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn marks_come_back_and_damaged_ones_do_not(sequence: u64, bit in 0..BYTES * 8) {
            let mut block = [0xa5; 512];
            block[..BYTES].copy_from_slice(&encode(sequence));
            prop_assert_eq!(decode(&block), Some(sequence));
            block[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(decode(&block), None);
        }

        #[test]
        fn no_bytes_are_a_surprise(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = decode(&bytes);
        }
    }
}
