//! The list of capabilities (PCI 3.0, 6.7).

use super::{Config, HAS_CAPABILITIES, Header, offset};

/// Capability ids.
pub mod id {
    /// Power management.
    pub const POWER: u8 = 0x01;
    /// Message-signalled interrupts.
    pub const MSI: u8 = 0x05;
    /// PCI Express.
    pub const EXPRESS: u8 = 0x10;
    /// Message-signalled interrupts, extended.
    pub const MSIX: u8 = 0x11;
}

/// So many fit into the space behind the header, at four bytes each.
const MOST: u8 = 48;

/// One capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// What it is; see [`id`].
    pub id: u8,
    /// Where in configuration space it begins.
    pub offset: u16,
}

/// The capabilities of a function.
pub struct Capabilities<'a, C> {
    config: &'a C,
    next: u8,
    left: u8,
}

/// The capabilities of the function that `header` was read from. Ends after as many as there can
/// be, should the list be a circle.
pub fn capabilities<'a, C: Config>(config: &'a C, header: &Header) -> Capabilities<'a, C> {
    let listed = header.status & HAS_CAPABILITIES != 0;
    let next = if listed { config.read(offset::CAPABILITIES) as u8 } else { 0 };
    Capabilities { config, next, left: MOST }
}

impl<C: Config> Iterator for Capabilities<'_, C> {
    type Item = Capability;

    fn next(&mut self) -> Option<Capability> {
        // The low two bits are reserved; the header is no place for a capability.
        let offset = u16::from(self.next & !0b11);
        if offset < 0x40 || self.left == 0 {
            return None;
        }
        self.left -= 1;
        let [id, next, ..] = self.config.read(offset).to_le_bytes();
        self.next = next;
        (id != 0xff).then_some(Capability { id, offset })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::super::tests::Bytes;
    use super::*;
    use std::vec::Vec;

    fn space() -> Vec<u8> {
        let mut space = [0u8; 256].to_vec();
        space[..2].copy_from_slice(&[1, 1]);
        space[6] = 0x10;
        space[0x34] = 0x43;
        space[0x40..0x42].copy_from_slice(&[id::MSIX, 0x80]);
        space[0x80..0x82].copy_from_slice(&[id::EXPRESS, 0]);
        space
    }

    fn ids(space: Vec<u8>) -> Vec<u8> {
        let space = Bytes(space);
        let header = Header::read(&space).unwrap();
        capabilities(&space, &header).map(|found| found.id).collect()
    }

    #[test]
    fn a_list_is_walked() {
        assert_eq!(ids(space()), [id::MSIX, id::EXPRESS]);
        let mut without = space();
        without[6] = 0;
        assert_eq!(ids(without), []);
    }

    #[test]
    fn a_circle_ends() {
        let mut circle = space();
        circle[0x81] = 0x40;
        assert_eq!(ids(circle).len(), usize::from(MOST));
    }
}
