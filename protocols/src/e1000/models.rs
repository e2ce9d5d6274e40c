//! Which PCI devices these are, and what each has.

/// Intel's PCI vendor id.
pub const VENDOR: u16 = 0x8086;

/// Generations that a driver tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// 82544 to 82546: PCI and PCI-X. Legacy interrupts only (MSI came with PCI Express).
    Pci,
    /// 82574 and 82583: PCI Express, MSI-X where there is a table.
    PciExpress,
    /// I217, I218, I219 and before: the half of it that is a part of the chipset. The transceiver
    /// is another chip, shared with firmware; settings are in the firmware's flash.
    Chipset,
}

/// What a model is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// As Intel calls it.
    pub name: &'static str,
    /// Its generation.
    pub family: Family,
    /// Whether it cuts IPv6 frames into segments too (the 82544 does not).
    pub segments_ipv6: bool,
}

impl Model {
    /// Registers of the hash filter for group addresses, 32 addresses each.
    pub const fn multicast_registers(self) -> usize {
        match self.family {
            Family::Chipset => 32,
            Family::Pci | Family::PciExpress => 128,
        }
    }

    /// Most bytes that one transmit descriptor should name. The data of a descriptor has to fit
    /// into the transmit FIFO beside what is being sent (SDM, 3.3.3; 16 KiB at the least).
    pub const fn piece_bytes(self) -> usize {
        match self.family {
            Family::Pci => 4096,
            Family::PciExpress | Family::Chipset => 8192,
        }
    }

    /// The address of the transceiver's standard registers on its bus.
    pub const fn phy_address(self) -> u8 {
        match self.family {
            // Pages below 768 are at the second address.
            Family::Chipset => 2,
            Family::Pci | Family::PciExpress => 1,
        }
    }

    /// Whether it has an EEPROM behind the register EERD (some 82544 have not, and none of the
    /// chipset's).
    pub const fn has_eeprom(self) -> bool {
        !matches!(self.family, Family::Chipset)
    }
}

const fn pci(name: &'static str) -> Model {
    Model { name, family: Family::Pci, segments_ipv6: true }
}

const fn express(name: &'static str) -> Model {
    Model { name, family: Family::PciExpress, segments_ipv6: true }
}

const fn chipset(name: &'static str) -> Model {
    Model { name, family: Family::Chipset, segments_ipv6: true }
}

const I82544: Model = Model { segments_ipv6: false, ..pci("82544") };
const I219_LM: Model = chipset("I219-LM");
const I219_V: Model = chipset("I219-V");

/// The model with this PCI device id of Intel's, if it is one of the family that is known. Those for
/// fibre are left out: their link is another matter.
pub const fn model(device: u16) -> Option<Model> {
    Some(match device {
        0x1008 | 0x100c | 0x100d => I82544,
        0x100e | 0x1015..=0x1017 | 0x101e => pci("82540"),
        0x100f | 0x1026 => pci("82545"),
        0x1010 | 0x101d | 0x1079 => pci("82546"),
        0x10d3 | 0x10f6 => express("82574L"),
        0x150c => express("82583V"),
        0x153a => chipset("I217-LM"),
        0x153b => chipset("I217-V"),
        0x155a | 0x15a0 | 0x15a2 => chipset("I218-LM"),
        0x1559 | 0x15a1 | 0x15a3 => chipset("I218-V"),
        0x156f | 0x15b7 | 0x15b9 | 0x15bb | 0x15bd | 0x15d7 | 0x15df | 0x15e1 | 0x15e3 => I219_LM,
        0x0d4c | 0x0d4e | 0x0d53 | 0x15fb | 0x15f9 | 0x15f4 | 0x1a1c | 0x1a1e | 0x550a => I219_LM,
        0x550c | 0x550e | 0x5510 | 0x57a0 | 0x57b3 | 0x57b5 | 0x57b7 | 0x57b9 => I219_LM,
        0x0dc5 | 0x0dc7 => I219_LM,
        0x1570 | 0x15b8 | 0x15bc | 0x15be | 0x15d6 | 0x15d8 | 0x15e0 | 0x15e2 => I219_V,
        0x0d4d | 0x0d4f | 0x0d55 | 0x15fc | 0x15fa | 0x15f5 | 0x1a1d | 0x1a1f | 0x550b => I219_V,
        0x550d | 0x550f | 0x5511 | 0x57a1 | 0x57b4 | 0x57b6 | 0x57b8 | 0x57ba => I219_V,
        0x0dc6 | 0x0dc8 => I219_V,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_models_of_qemu_are_known() {
        assert_eq!(model(0x100e).map(|model| model.family), Some(Family::Pci));
        assert_eq!(model(0x1008), Some(I82544));
        assert_eq!(model(0x100f).map(|model| model.name), Some("82545"));
        assert_eq!(model(0x10d3).map(|model| model.family), Some(Family::PciExpress));
        // Cousins with another programming model: 82576 (igb), 82598 (ixgbe), I225 (igc).
        for other in [0x10c9, 0x10c6, 0x15f2, 0, 0xffff] {
            assert_eq!(model(other), None);
        }
    }

    #[test]
    fn every_known_model_is_within_what_drivers_count_on() {
        for device in 0..=u16::MAX {
            let Some(model) = model(device) else { continue };
            assert!((1..=2).contains(&model.phy_address()));
            assert!(model.multicast_registers().is_power_of_two());
            assert!(model.piece_bytes().is_power_of_two());
            assert_eq!(model.has_eeprom(), model.family != Family::Chipset);
        }
    }
}
