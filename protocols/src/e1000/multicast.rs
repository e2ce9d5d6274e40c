//! The hash filter for group addresses (SDM, 13.5.1): a bit for each value of some address bits.
//! What passes it may still be for others.

/// The filter's registers, as many of them as a model has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MulticastFilter {
    words: [u32; 128],
    registers: usize,
}

impl MulticastFilter {
    /// One that lets nothing pass, with so many registers: 128 or 32.
    pub const fn new(registers: usize) -> Self {
        Self { words: [0; 128], registers: if registers < 128 { 32 } else { 128 } }
    }

    /// Lets `group` pass.
    pub fn allow(&mut self, group: [u8; 6]) {
        let (register, bit) = self.place(group);
        if let Some(word) = self.words.get_mut(register) {
            *word |= 1 << bit;
        }
    }

    /// Whether `group` passes.
    pub fn allows(&self, group: [u8; 6]) -> bool {
        let (register, bit) = self.place(group);
        self.words.get(register).is_some_and(|word| word >> bit & 1 == 1)
    }

    /// What the registers hold.
    pub fn words(&self) -> &[u32] {
        self.words.get(..self.registers).unwrap_or_default()
    }

    /// Bits 47:36 of the address, as its bytes are numbered; with a quarter of the registers, bits
    /// 47:38.
    const fn place(&self, group: [u8; 6]) -> (usize, u32) {
        let top = (group[5] as u32) << 8 | group[4] as u32;
        let hash = if self.registers == 128 { top >> 4 } else { top >> 6 };
        ((hash >> 5) as usize, hash & 31)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// The example of the manual (SDM, 13.5.1): 01:AA:00:12:34:56, the first byte on the wire first.
    #[test]
    fn the_manuals_example() {
        let mut filter = MulticastFilter::new(128);
        filter.allow([0x01, 0xaa, 0x00, 0x12, 0x34, 0x56]);
        assert_eq!(filter.words()[0x563 >> 5], 1 << (0x563 & 31));
    }

    proptest! {
        #[test]
        fn what_was_allowed_passes(groups: Vec<[u8; 6]>, few: bool) {
            let mut filter = MulticastFilter::new(if few { 32 } else { 128 });
            groups.iter().for_each(|group| filter.allow(*group));
            prop_assert!(groups.iter().all(|group| filter.allows(*group)));
            let set: u32 = filter.words().iter().map(|word| word.count_ones()).sum();
            prop_assert!(set as usize <= groups.len());
        }
    }
}
