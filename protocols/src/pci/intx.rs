//! Legacy interrupts: a device has up to four pins, and a bridge passes those behind it on as its
//! own, turned by the number of the device, so that not all devices share one wire.
//!
//! ```text
//!   device 0: A B C D     device 1: A B C D     device 2: A B C D      behind the bridge
//!             │ │ │ │               │ │ │ │               │ │ │ │
//!             A B C D               B C D A               C D A B      the bridge's own
//! ```
//!
//! Source: PCI-to-PCI Bridge Architecture Specification 1.2, 9.1; PCI Express 5.0, 2.2.8.1.

/// One of the pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum Pin {
    A,
    B,
    C,
    D,
}

impl Pin {
    /// All four.
    pub const ALL: [Self; 4] = [Self::A, Self::B, Self::C, Self::D];

    /// What the interrupt pin register says (PCI 3.0, 6.2.4). `None`: the function uses no pin, or
    /// the value is reserved.
    pub fn from_register(value: u8) -> Option<Self> {
        Self::from_index(value.checked_sub(1)?)
    }

    /// Pin number 0 to 3, as ACPI counts them (ACPI 6.5, 6.2.13).
    pub fn from_index(index: u8) -> Option<Self> {
        Self::ALL.get(usize::from(index)).copied()
    }

    /// The pin of the bridge that this pin of `device`, on the bus behind it, arrives at.
    #[must_use]
    pub fn through_bridge(self, device: u8) -> Self {
        Self::ALL[(self as usize + usize::from(device)) % 4]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_name_pins() {
        assert_eq!(Pin::from_register(0), None);
        assert_eq!(Pin::from_register(1), Some(Pin::A));
        assert_eq!(Pin::from_register(4), Some(Pin::D));
        assert!((5..=255).all(|value| Pin::from_register(value).is_none()));
        assert_eq!(Pin::from_index(0), Some(Pin::A));
        assert_eq!(Pin::from_index(4), None);
    }

    #[test]
    fn bridges_turn_pins_by_the_device() {
        assert_eq!(Pin::A.through_bridge(0), Pin::A);
        assert_eq!(Pin::A.through_bridge(1), Pin::B);
        assert_eq!(Pin::D.through_bridge(1), Pin::A);
        assert_eq!(Pin::C.through_bridge(31), Pin::B);
        for device in 0..32 {
            let mut seen = Pin::ALL.map(|pin| pin.through_bridge(device));
            seen.sort();
            assert_eq!(seen, Pin::ALL, "no two pins of one device share a wire");
        }
    }
}
