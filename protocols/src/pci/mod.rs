//! PCI configuration space: what a function says it is, where its registers are, what it can do.
//!
//! Pure: a [`Config`] is anything that can be read a double word at a time. Every walk is bounded,
//! so that a broken function ends it instead of the reader.
//!
//! Source: PCI Local Bus Specification 3.0, chapter 6; PCI Express Base Specification 5.0, 7.5.

mod bar;
mod bridge;
mod capability;
mod class;
pub mod express;
mod extended;
pub mod intx;
pub mod msi;
pub mod msix;
pub mod power;

use core::fmt;

pub use self::bar::{BAR_COUNT, BRIDGE_BAR_COUNT, Bar, BarKind, bar, bar_base, bar_offset};
pub use self::bridge::{BridgeWindows, Span};
pub use self::capability::{Capabilities, Capability, capabilities, id};
pub use self::class::class_name;
pub use self::extended::{ExtendedCapabilities, ExtendedCapability, extended_capabilities};

/// Where a function is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Segment group.
    pub segment: u16,
    /// Bus.
    pub bus: u8,
    /// Device on the bus, below 32.
    pub device: u8,
    /// Function of the device, below 8.
    pub function: u8,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segment, bus, device, function } = self;
        write!(f, "{segment:04x}:{bus:02x}:{device:02x}.{function}")
    }
}

/// A function's configuration space.
pub trait Config {
    /// The double word at `offset`, which is a multiple of four; all ones where there is none.
    fn read(&self, offset: u16) -> u32;
}

/// Offsets of the registers that a driver of buses changes or reads often.
pub mod offset {
    /// Vendor (low half) and device.
    pub const ID: u16 = 0x00;
    /// Command (low half) and status.
    pub const COMMAND: u16 = 0x04;
    /// Revision, programming interface, subclass, class.
    pub const CLASS: u16 = 0x08;
    /// Cache line, latency, header type, self test.
    pub const HEADER_TYPE: u16 = 0x0c;
    /// The first base address register.
    pub const BAR0: u16 = 0x10;
    /// Of a bridge: primary, secondary and subordinate bus.
    pub const BUSES: u16 = 0x18;
    /// The expansion ROM's address in an ordinary function's header.
    pub const ROM: u16 = 0x30;
    /// Legacy interrupt line and pin; a bridge's control register in the upper half.
    pub const INTERRUPT: u16 = 0x3c;
    /// The first capability.
    pub const CAPABILITIES: u16 = 0x34;
}

/// Bits of the command register.
pub mod command {
    /// Answers in I/O ports.
    pub const IO: u16 = 1 << 0;
    /// Answers in memory.
    pub const MEMORY: u16 = 1 << 1;
    /// May reach memory by itself (DMA, MSI).
    pub const BUS_MASTER: u16 = 1 << 2;
    /// Raises no legacy interrupt.
    pub const INTERRUPT_OFF: u16 = 1 << 10;
}

/// Bit of the status register: there is a list of capabilities.
const HAS_CAPABILITIES: u16 = 1 << 4;

/// What kind of header a function has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderKind {
    /// An ordinary function.
    Device,
    /// A bridge to the buses `secondary..=subordinate`.
    Bridge {
        /// The bus behind it.
        secondary: u8,
        /// The last bus behind it.
        subordinate: u8,
    },
    /// Something else (CardBus).
    Other(u8),
}

/// The part of the header that all functions have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Who made it; never 0xffff.
    pub vendor: u16,
    /// What it is to its maker.
    pub device: u16,
    /// Base class.
    pub class: u8,
    /// Subclass.
    pub subclass: u8,
    /// Programming interface.
    pub interface: u8,
    /// Revision.
    pub revision: u8,
    /// What follows in the header.
    pub kind: HeaderKind,
    /// Whether the device has functions beyond 0.
    pub is_multifunction: bool,
    /// Status register.
    pub status: u16,
}

impl Header {
    /// Reads it. `None`: no function answers there.
    pub fn read(config: &impl Config) -> Option<Self> {
        let [vendor, device] = halves(config.read(offset::ID));
        if vendor == u16::MAX {
            return None;
        }
        let [revision, interface, subclass, class] = config.read(offset::CLASS).to_le_bytes();
        let [_, _, header_type, _] = config.read(offset::HEADER_TYPE).to_le_bytes();
        let [_, status] = halves(config.read(offset::COMMAND));
        let kind = match header_type & 0x7f {
            0 => HeaderKind::Device,
            1 => {
                let [_, secondary, subordinate, _] = config.read(offset::BUSES).to_le_bytes();
                HeaderKind::Bridge { secondary, subordinate }
            }
            other => HeaderKind::Other(other),
        };
        let is_multifunction = header_type & 0x80 != 0;
        Some(Self {
            vendor,
            device,
            class,
            subclass,
            interface,
            revision,
            kind,
            is_multifunction,
            status,
        })
    }

    /// Whether it is of that class.
    pub fn is_class(&self, wanted: impl Into<Class>) -> bool {
        let Class { class, subclass, interface } = wanted.into();
        (self.class, self.subclass) == (class, subclass)
            && interface.is_none_or(|interface| interface == self.interface)
    }
}

/// A kind of function: what drivers look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    /// Base class.
    pub class: u8,
    /// Subclass.
    pub subclass: u8,
    /// Programming interface; `None`: any.
    pub interface: Option<u8>,
}

impl From<(u8, u8)> for Class {
    fn from((class, subclass): (u8, u8)) -> Self {
        Self { class, subclass, interface: None }
    }
}

impl From<(u8, u8, u8)> for Class {
    fn from((class, subclass, interface): (u8, u8, u8)) -> Self {
        Self { class, subclass, interface: Some(interface) }
    }
}

fn halves(word: u32) -> [u16; 2] {
    [word as u16, (word >> 16) as u16]
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::format;
    use std::vec::Vec;

    /// Any bytes as a configuration space.
    pub(super) struct Bytes(pub Vec<u8>);

    impl Config for Bytes {
        fn read(&self, offset: u16) -> u32 {
            assert!(offset.is_multiple_of(4), "{offset:#x}");
            crate::fields::u32_at(&self.0, usize::from(offset)).unwrap_or(u32::MAX)
        }
    }

    #[test]
    fn an_nvme_controller_and_a_bridge() {
        let mut space = [0u8; 256];
        space[..4].copy_from_slice(&[0x36, 0x1b, 0x10, 0x00]);
        space[6] = 0x10;
        space[8..12].copy_from_slice(&[2, 2, 8, 1]);
        let header = Header::read(&Bytes(space.to_vec())).unwrap();
        assert_eq!((header.vendor, header.device, header.revision), (0x1b36, 0x0010, 2));
        assert!(header.is_class((1, 8, 2)) && header.is_class((1, 8)));
        assert!(!header.is_class((1, 8, 1)) && !header.is_class((1, 6)));
        assert_eq!((header.kind, header.is_multifunction), (HeaderKind::Device, false));
        space[14] = 0x81;
        space[0x18..0x1b].copy_from_slice(&[0, 3, 7]);
        let header = Header::read(&Bytes(space.to_vec())).unwrap();
        assert_eq!(header.kind, HeaderKind::Bridge { secondary: 3, subordinate: 7 });
        assert!(header.is_multifunction);
        assert_eq!(Header::read(&Bytes(Vec::new())), None);
        let address = Address { segment: 0, bus: 0x1f, device: 3, function: 1 };
        assert_eq!(format!("{address}"), "0000:1f:03.1");
    }

    proptest! {
        /// No configuration space does harm, and every walk ends.
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
            let space = Bytes(bytes);
            if let Some(header) = Header::read(&space) {
                prop_assert!(capabilities(&space, &header).count() <= 48);
                for capability in capabilities(&space, &header) {
                    prop_assert!(capability.offset >= 0x40 && capability.offset <= 0xfc);
                }
            }
        }
    }
}
