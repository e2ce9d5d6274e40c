//! MSI-X: a table of messages in the function's registers (PCI 3.0, 6.8.2; PCI Express 5.0, 7.7.2).
//!
//! The capability says where the table is and how long, and turns it on; each entry of the table
//! holds a message and a mask. A message that is due while its entry is masked is kept in the
//! pending bits and sent once it no longer is.

use super::{BAR_COUNT, Capability, Config};

/// Bits of the control register, the upper half of the capability's first double word.
pub mod control {
    /// The table counts; MSI and legacy interrupts do not.
    pub const ENABLE: u16 = 1 << 15;
    /// All entries are masked, whatever they say.
    pub const MASK_ALL: u16 = 1 << 14;
}

/// The control register's place behind the capability's start.
pub const CONTROL: u16 = 2;
/// Bytes of an entry.
pub const ENTRY_BYTES: u32 = 16;

/// Places in an entry.
pub mod entry {
    /// Where the message goes, low and high half.
    pub const ADDRESS: usize = 0;
    /// The upper half.
    pub const ADDRESS_HIGH: usize = 4;
    /// What the message says.
    pub const DATA: usize = 8;
    /// Bit 0: masked.
    pub const CONTROL: usize = 12;
    /// The mask in [`CONTROL`].
    pub const MASKED: u32 = 1;
}

/// A place in the function's registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which base address register.
    pub bar: u8,
    /// Bytes from its start; a multiple of eight.
    pub offset: u32,
}

impl Place {
    fn decode(word: u32) -> Option<Self> {
        let bar = (word & 0b111) as u8;
        (bar < BAR_COUNT).then_some(Self { bar, offset: word & !0b111 })
    }
}

/// What the capability says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsixCapability {
    /// Where in configuration space it begins.
    pub offset: u16,
    /// Entries in the table: 1 to 2048.
    pub entries: u16,
    /// Where the table is.
    pub table: Place,
    /// Where the pending bits are.
    pub pending: Place,
}

impl MsixCapability {
    /// Reads it. `None`: it names no base address register.
    pub fn read(config: &impl Config, capability: Capability) -> Option<Self> {
        let word = |place: u16| config.read(capability.offset.saturating_add(place) & !0b11);
        let control = (word(0) >> 16) as u16;
        Some(Self {
            offset: capability.offset,
            entries: (control & 0x7ff) + 1,
            table: Place::decode(word(4))?,
            pending: Place::decode(word(8))?,
        })
    }

    /// Where the table ends, in bytes from the start of its base address register's range.
    pub const fn table_end(&self) -> u64 {
        self.table.offset as u64 + self.entries as u64 * ENTRY_BYTES as u64
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::super::tests::Bytes;
    use super::super::{Header, capabilities, id};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_qemus_nvme_has_it() {
        let mut space = [0u8; 256];
        space[0x40..0x4c].copy_from_slice(&[0x11, 0, 0x40, 0, 0, 0x20, 0, 0, 0, 0x30, 0, 0]);
        let capability = Capability { id: id::MSIX, offset: 0x40 };
        let found = MsixCapability::read(&Bytes(space.to_vec()), capability).unwrap();
        assert_eq!((found.entries, found.table), (65, Place { bar: 0, offset: 0x2000 }));
        assert_eq!(found.pending, Place { bar: 0, offset: 0x3000 });
        assert_eq!(found.table_end(), 0x2000 + 65 * 16);
        space[0x44] = 6;
        assert_eq!(MsixCapability::read(&Bytes(space.to_vec()), capability), None, "no such BAR");
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300), offset: u16) {
            let space = Bytes(bytes);
            let offset = offset & !0b11;
            if let Some(found) = MsixCapability::read(&space, Capability { id: 0, offset }) {
                prop_assert!((1..=2048).contains(&found.entries) && found.table.bar < BAR_COUNT);
                prop_assert!(found.table.offset.is_multiple_of(8));
            }
            if let Some(header) = Header::read(&space) {
                for capability in capabilities(&space, &header) {
                    let _ = MsixCapability::read(&space, capability);
                }
            }
        }
    }
}
