//! The list of extended capabilities, behind the first 256 bytes (PCI Express 5.0, 7.6).

use super::Config;

/// Where the list begins.
const FIRST: u16 = 0x100;
/// So many fit into the space, at eight bytes each.
const MOST: u16 = (4096 - FIRST) / 8;

/// One extended capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedCapability {
    /// What it is.
    pub id: u16,
    /// In which version.
    pub version: u8,
    /// Where in configuration space it begins: 0x100 or more.
    pub offset: u16,
}

/// The extended capabilities of a function.
pub struct ExtendedCapabilities<'a, C> {
    config: &'a C,
    next: u16,
    left: u16,
}

/// The extended capabilities in `config`; none where it ends after 256 bytes. Ends after as many as
/// there can be, should the list be a circle.
pub fn extended_capabilities<C: Config>(config: &C) -> ExtendedCapabilities<'_, C> {
    ExtendedCapabilities { config, next: FIRST, left: MOST }
}

impl<C: Config> Iterator for ExtendedCapabilities<'_, C> {
    type Item = ExtendedCapability;

    fn next(&mut self) -> Option<ExtendedCapability> {
        let offset = self.next & !0b11;
        if offset < FIRST || self.left == 0 {
            return None;
        }
        self.left -= 1;
        let word = self.config.read(offset);
        // An empty list is one entry of zeros; all ones: nothing answers.
        if word == 0 || word == u32::MAX {
            return None;
        }
        self.next = (word >> 20) as u16;
        Some(ExtendedCapability { id: word as u16, version: (word >> 16 & 0xf) as u8, offset })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::super::tests::Bytes;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn with(entries: &[(usize, u32)]) -> Bytes {
        let mut space = [0u8; 4096].to_vec();
        for (at, word) in entries {
            space[*at..*at + 4].copy_from_slice(&word.to_le_bytes());
        }
        Bytes(space)
    }

    #[test]
    fn a_list_a_circle_and_nothing() {
        let space = with(&[(0x100, 0x1482_0001), (0x148, 0x0001_0003)]);
        let found: Vec<_> = extended_capabilities(&space).collect();
        let expected = [(1, 2, 0x100), (3, 1, 0x148)]
            .map(|(id, version, offset)| ExtendedCapability { id, version, offset });
        assert_eq!(found, expected);
        let circle = with(&[(0x100, 0x1001_0001)]);
        assert_eq!(extended_capabilities(&circle).count(), usize::from(MOST));
        assert_eq!(extended_capabilities(&with(&[])).count(), 0);
        assert_eq!(extended_capabilities(&Bytes([0; 256].to_vec())).count(), 0);
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
            let space = Bytes(bytes);
            for found in extended_capabilities(&space) {
                prop_assert!(found.offset >= 0x100 && found.offset < 4096);
            }
        }
    }
}
