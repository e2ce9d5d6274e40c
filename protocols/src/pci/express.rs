//! The PCI Express capability: function-level reset, link and slot (PCI Express 5.0, 7.5.3).

use bitflags::bitflags;

use super::{Capability, Config};

/// Places behind the capability's start.
pub mod place {
    /// Device control (16 bits).
    pub const DEVICE_CONTROL: u16 = 0x08;
    /// Device status (16 bits).
    pub const DEVICE_STATUS: u16 = 0x0a;
    /// Link control (16 bits).
    pub const LINK_CONTROL: u16 = 0x10;
    /// Link status (16 bits).
    pub const LINK_STATUS: u16 = 0x12;
    /// Slot control (16 bits).
    pub const SLOT_CONTROL: u16 = 0x18;
    /// Slot status (16 bits); ones clear events.
    pub const SLOT_STATUS: u16 = 0x1a;
    /// Device control 2 (16 bits); where the capability's version is 2 or more.
    pub const DEVICE_CONTROL_2: u16 = 0x28;
}

/// In device control: reset the function.
pub const FUNCTION_LEVEL_RESET: u16 = 1 << 15;
/// In device status: requests of the function are still on their way.
pub const TRANSACTIONS_PENDING: u16 = 1 << 5;
/// In link status: the link carries packets.
pub const LINK_ACTIVE: u16 = 1 << 13;

bitflags! {
    /// What a slot can do (7.5.3.9).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct SlotCapabilities: u32 {
        /// A button asks for orderly removal, or to power on what was inserted.
        const ATTENTION_BUTTON = 1 << 0;
        /// Power can be switched.
        const POWER_CONTROLLER = 1 << 1;
        /// A latch holds the card; the slot knows whether it is open.
        const LATCH_SENSOR = 1 << 2;
        /// A light for the attention of people.
        const ATTENTION_INDICATOR = 1 << 3;
        /// A light that shows power.
        const POWER_INDICATOR = 1 << 4;
        /// A device may vanish without being asked for.
        const SURPRISE = 1 << 5;
        /// Hot-plug at all.
        const HOT_PLUG = 1 << 6;
        /// Commands need not be waited for, and never report completion.
        const NO_COMMAND_COMPLETED = 1 << 18;
    }

    /// What is being asked of a slot (7.5.3.10).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct SlotControl: u16 {
        /// Interrupt when the button is pressed.
        const ON_BUTTON = 1 << 0;
        /// Interrupt on power faults.
        const ON_POWER_FAULT = 1 << 1;
        /// Interrupt when the latch moves.
        const ON_LATCH = 1 << 2;
        /// Interrupt when presence changes.
        const ON_PRESENCE = 1 << 3;
        /// Interrupt when a command has completed.
        const ON_COMMAND = 1 << 4;
        /// Interrupt at all.
        const INTERRUPT = 1 << 5;
        /// The attention light's two bits.
        const ATTENTION_LIGHT = 0b11 << 6;
        /// The power light's two bits.
        const POWER_LIGHT = 0b11 << 8;
        /// Power is off.
        const POWER_OFF = 1 << 10;
        /// Interrupt when the link comes or goes.
        const ON_LINK = 1 << 12;
        /// What is not named here is kept.
        const _ = !0;
    }

    /// What has happened at a slot, and how it is (7.5.3.11).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct SlotStatus: u16 {
        /// The button was pressed.
        const BUTTON_PRESSED = 1 << 0;
        /// The power controller gave up.
        const POWER_FAULT = 1 << 1;
        /// The latch moved.
        const LATCH_CHANGED = 1 << 2;
        /// Something was inserted or pulled out.
        const PRESENCE_CHANGED = 1 << 3;
        /// The last command has completed.
        const COMMAND_COMPLETED = 1 << 4;
        /// How it is: the latch is open.
        const LATCH_OPEN = 1 << 5;
        /// How it is: something is in the slot.
        const PRESENT = 1 << 6;
        /// The link came or went.
        const LINK_CHANGED = 1 << 8;
        /// The bits that say what happened; writing ones clears them.
        const EVENTS = 0b1_0001_1111;
        /// What is not named here is kept.
        const _ = !0;
    }
}

/// What a light does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Light {
    /// Is on.
    On,
    /// Blinks.
    Blinking,
    /// Is off.
    Off,
}

impl Light {
    const fn bits(self) -> u16 {
        match self {
            Self::On => 0b01,
            Self::Blinking => 0b10,
            Self::Off => 0b11,
        }
    }
}

impl SlotControl {
    /// The same with the power light so.
    #[must_use]
    pub const fn with_power_light(self, light: Light) -> Self {
        Self::from_bits_retain(self.bits() & !Self::POWER_LIGHT.bits() | light.bits() << 8)
    }

    /// The same with the attention light so.
    #[must_use]
    pub const fn with_attention_light(self, light: Light) -> Self {
        Self::from_bits_retain(self.bits() & !Self::ATTENTION_LIGHT.bits() | light.bits() << 6)
    }
}

/// What sort of function it is, where that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortKind {
    /// The top of a hierarchy: a port of the root complex.
    Root,
    /// A port of a switch that leads further down.
    Downstream,
    /// Anything else.
    Other(u8),
}

/// What the capability says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Express {
    /// Where in configuration space it begins.
    pub offset: u16,
    /// In which version.
    pub version: u8,
    /// What sort of function it is.
    pub kind: PortKind,
    /// Whether the function can be reset by itself.
    pub function_level_reset: Offered,
    /// Whether the port says if its link is up.
    pub link_reports: Offered,
    /// The port's slot, if it has one.
    pub slot: Option<SlotCapabilities>,
}

/// Whether a function offers something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// It does.
    Yes,
    /// It does not.
    No,
}

impl Offered {
    const fn of(word: u32, bit: u32) -> Self {
        if word >> bit & 1 == 1 { Self::Yes } else { Self::No }
    }
}

impl Express {
    /// Reads it.
    pub fn read(config: &impl Config, capability: Capability) -> Self {
        let offset = capability.offset & !0b11;
        let word = |place: u16| config.read(offset.saturating_add(place) & !0b11);
        let flags = word(0) >> 16;
        let kind = match (flags >> 4 & 0xf) as u8 {
            4 => PortKind::Root,
            6 => PortKind::Downstream,
            other => PortKind::Other(other),
        };
        let is_port = matches!(kind, PortKind::Root | PortKind::Downstream);
        let has_slot = is_port && flags >> 8 & 1 == 1;
        Self {
            offset,
            version: (flags & 0xf) as u8,
            kind,
            function_level_reset: Offered::of(word(4), 28),
            link_reports: if is_port { Offered::of(word(0xc), 20) } else { Offered::No },
            slot: has_slot.then(|| SlotCapabilities::from_bits_truncate(word(0x14))),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::super::id;
    use super::super::tests::Bytes;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_root_port_with_a_slot() {
        let mut space = [0u8; 256];
        space[0x54..0x58].copy_from_slice(&[id::EXPRESS, 0, 0x42, 0x01]);
        space[0x60..0x64].copy_from_slice(&(1u32 << 20).to_le_bytes());
        space[0x68..0x6c].copy_from_slice(&0x0008_007b_u32.to_le_bytes());
        let port = Capability { id: id::EXPRESS, offset: 0x54 };
        let found = Express::read(&Bytes(space.to_vec()), port);
        assert_eq!((found.kind, found.version), (PortKind::Root, 2));
        assert_eq!((found.link_reports, found.function_level_reset), (Offered::Yes, Offered::No));
        let slot = found.slot.unwrap();
        assert!(slot.contains(SlotCapabilities::HOT_PLUG | SlotCapabilities::POWER_CONTROLLER));
        assert!(!slot.contains(SlotCapabilities::LATCH_SENSOR));
        space[0x56] = 0x02;
        space[0x5b] = 0x10;
        let found = Express::read(&Bytes(space.to_vec()), port);
        assert_eq!((found.kind, found.slot), (PortKind::Other(0), None), "an endpoint");
        assert_eq!(found.function_level_reset, Offered::Yes);
    }

    #[test]
    fn lights() {
        let control = SlotControl::from_bits_retain(0xf3ff);
        let control = control.with_power_light(Light::Blinking).with_attention_light(Light::Off);
        assert_eq!(control.bits(), 0xf2ff);
        assert_eq!(control.with_power_light(Light::On).bits(), 0xf1ff);
        assert!(!SlotStatus::EVENTS.intersects(SlotStatus::PRESENT | SlotStatus::LATCH_OPEN));
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300), offset: u16) {
            let found = Express::read(&Bytes(bytes), Capability { id: 0, offset });
            prop_assert!(found.slot.is_none() || !matches!(found.kind, PortKind::Other(_)));
        }
    }
}
