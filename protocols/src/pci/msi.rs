//! MSI: one message in configuration space (PCI 3.0, 6.8.1; PCI Express 5.0, 7.7.1).
//!
//! Where the fields are depends on what the function can do: an address of 64 bits pushes the rest
//! on by four bytes, and only some functions have mask and pending bits.

use super::{Capability, Config};

/// Bits of the control register, the upper half of the capability's first double word.
pub mod control {
    /// Messages are sent; legacy interrupts are not.
    pub const ENABLE: u16 = 1;
    /// How many messages the function could send, as a power of two.
    pub const CAPABLE: u16 = 0b111 << 1;
    /// How many it may send, as a power of two; the low bits of the data tell them apart.
    pub const MULTIPLE: u16 = 0b111 << 4;
    /// The address has 64 bits.
    pub const WIDE: u16 = 1 << 7;
    /// There are mask and pending bits.
    pub const MASKABLE: u16 = 1 << 8;
}

/// The control register's place behind the capability's start.
pub const CONTROL: u16 = 2;
/// The address's low half.
pub const ADDRESS: u16 = 4;

/// Whether single messages can be masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masking {
    /// By a bit each; what is due meanwhile is kept. The double word of the mask bits is here.
    PerVector(u16),
    /// No: only all of MSI can be turned off, and what is due meanwhile is lost.
    None,
}

/// What the capability says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsiCapability {
    /// Where in configuration space it begins.
    pub offset: u16,
    /// The control register.
    pub control: u16,
}

impl MsiCapability {
    /// Reads it.
    pub fn read(config: &impl Config, capability: Capability) -> Self {
        let offset = capability.offset & !0b11;
        Self { offset, control: (config.read(offset) >> 16) as u16 }
    }

    /// How many messages the function could send: 1 to 32. (Reserved values count as 32.)
    pub const fn capable(&self) -> u8 {
        let shift = (self.control & control::CAPABLE) >> 1;
        if shift > 5 { 32 } else { 1 << shift }
    }

    /// Where the address's upper half is, if it has one.
    pub const fn address_high(&self) -> Option<u16> {
        if self.control & control::WIDE != 0 { Some(self.offset + 8) } else { None }
    }

    /// Where the 16 bits of data are.
    pub const fn data(&self) -> u16 {
        self.offset + if self.control & control::WIDE != 0 { 12 } else { 8 }
    }

    /// Whether, and where, messages are masked.
    pub const fn masking(&self) -> Masking {
        if self.control & control::MASKABLE == 0 {
            return Masking::None;
        }
        Masking::PerVector(self.data() + 4)
    }

    /// The control register for one message, sent or not.
    pub const fn one_message(&self, enable: u16) -> u16 {
        self.control & !(control::MULTIPLE | control::ENABLE) | enable & control::ENABLE
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::super::id;
    use super::super::tests::Bytes;
    use super::*;
    use proptest::prelude::*;

    fn with(control: u16) -> MsiCapability {
        let mut space = [0u8; 256];
        space[0x50] = id::MSI;
        space[0x52..0x54].copy_from_slice(&control.to_le_bytes());
        MsiCapability::read(&Bytes(space.to_vec()), Capability { id: id::MSI, offset: 0x50 })
    }

    #[test]
    fn four_shapes() {
        let small = with(0);
        assert_eq!((small.address_high(), small.data(), small.capable()), (None, 0x58, 1));
        assert_eq!(small.masking(), Masking::None);
        let wide = with(control::WIDE | 3 << 1);
        assert_eq!((wide.address_high(), wide.data(), wide.capable()), (Some(0x58), 0x5c, 8));
        assert_eq!(with(control::MASKABLE).masking(), Masking::PerVector(0x5c));
        assert_eq!(with(control::MASKABLE | control::WIDE).masking(), Masking::PerVector(0x60));
        let many = with(control::MULTIPLE | control::ENABLE | control::WIDE);
        assert_eq!(many.one_message(0), control::WIDE);
        assert_eq!(many.one_message(control::ENABLE), control::WIDE | control::ENABLE);
    }

    proptest! {
        #[test]
        fn any_control(control: u16, bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let found = with(control);
            prop_assert!(found.capable().is_power_of_two() && found.capable() <= 32);
            prop_assert!(found.data() > found.offset && found.data() <= found.offset + 12);
            let offset = control & 0xfc;
            let any = MsiCapability::read(&Bytes(bytes), Capability { id: id::MSI, offset });
            if let Masking::PerVector(place) = any.masking() {
                prop_assert!(place > any.data());
            }
        }
    }
}
