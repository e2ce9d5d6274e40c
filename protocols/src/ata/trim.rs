//! The list of ranges that DATA SET MANAGEMENT takes (ACS-3, 7.5): eight bytes each, the first
//! block in the low 48 bits, the number of blocks in the high 16; a number of 0 counts for nothing.

use super::SECTOR_BYTES;

/// Most blocks in one range.
pub const RANGE_BLOCKS: u64 = 0xffff;
/// Ranges in a sector.
pub const RANGES: usize = SECTOR_BYTES / 8;
/// Most blocks that one sector of ranges covers.
pub const TRIM_BLOCKS: u64 = RANGES as u64 * RANGE_BLOCKS;

/// The ranges of `blocks` blocks from `lba` on; what is beyond [`TRIM_BLOCKS`] is left out.
pub fn trim_list(lba: u64, blocks: u64) -> [u8; SECTOR_BYTES] {
    let mut bytes = [0; SECTOR_BYTES];
    let (mut lba, mut left) = (lba, blocks);
    for entry in bytes.chunks_exact_mut(8) {
        let count = left.min(RANGE_BLOCKS);
        if count > 0 {
            entry.copy_from_slice(&(lba & 0xffff_ffff_ffff | count << 48).to_le_bytes());
        }
        lba = lba.wrapping_add(count);
        left -= count;
    }
    bytes
}

/// The ranges in a list: first block and number of blocks of each that has any.
pub fn ranges(bytes: &[u8]) -> impl Iterator<Item = (u64, u64)> + '_ {
    let entries = bytes.chunks_exact(8).filter_map(|entry| entry.try_into().ok());
    let parts = entries.map(u64::from_le_bytes).map(|word| (word & 0xffff_ffff_ffff, word >> 48));
    parts.filter(|(_, blocks)| *blocks != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The ranges follow each other and cover exactly what was asked for.
        #[test]
        fn ranges_cover(lba in 0u64..1 << 40, blocks in 0u64..=TRIM_BLOCKS) {
            let list = trim_list(lba, blocks);
            let mut next = lba;
            for (first, count) in ranges(&list) {
                prop_assert_eq!(first, next);
                prop_assert!(count <= RANGE_BLOCKS);
                next += count;
            }
            prop_assert_eq!(next, lba + blocks);
        }

        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            prop_assert!(ranges(&bytes).count() <= bytes.len() / 8);
        }
    }
}
