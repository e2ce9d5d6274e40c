//! The group filter (section 5.1): a bit for each hash, 64 in all.

use crc::{CRC_32_ISO_HDLC, Crc};

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// Which groups are let through. Others with the same hashes are, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupFilter(pub u64);

impl GroupFilter {
    /// Lets through what is sent to this group address.
    #[must_use]
    pub fn with(self, group: &[u8; 6]) -> Self {
        Self(self.0 | 1 << Self::hash(group))
    }

    /// Whether frames to this group address are let through.
    pub fn admits(self, group: &[u8; 6]) -> bool {
        self.0 >> Self::hash(group) & 1 == 1
    }

    /// Its registers.
    pub const fn registers(self) -> [u32; 2] {
        [self.0 as u32, (self.0 >> 32) as u32]
    }

    /// The six highest bits of the check sequence of the address, in the order in which its bits go
    /// over the wire.
    fn hash(group: &[u8; 6]) -> u32 {
        (!CRC.checksum(group)).reverse_bits() >> 26
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// The check sequence bit by bit, as IEEE 802.3, 3.2.9, describes it.
    fn by_bits(group: [u8; 6]) -> u32 {
        let mut sum = u32::MAX;
        for byte in group {
            for bit in 0..8 {
                let feedback = sum >> 31 ^ u32::from(byte >> bit & 1);
                sum = sum << 1 ^ if feedback == 1 { 0x04c1_1db7 } else { 0 };
            }
        }
        sum >> 26
    }

    proptest! {
        #[test]
        fn groups_are_let_through_by_their_hash(groups: Vec<[u8; 6]>, other: [u8; 6]) {
            let all = groups.iter().fold(GroupFilter::default(), |some, one| some.with(one));
            for group in &groups {
                prop_assert!(all.admits(group));
            }
            let expected = groups.iter().any(|group| by_bits(*group) == by_bits(other));
            prop_assert_eq!(all.admits(&other), expected);
            let [low, high] = all.registers();
            prop_assert_eq!(u64::from(high) << 32 | u64::from(low), all.0);
        }
    }
}
