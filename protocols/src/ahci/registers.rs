//! The HBA's own registers (AHCI 1.3.1, section 3.1).

use core::fmt;

/// Offsets of the registers in bytes, all of 32 bits.
pub mod offset {
    /// Capabilities.
    pub const CAP: usize = 0x00;
    /// Global control.
    pub const GHC: usize = 0x04;
    /// Interrupt status, a bit for each port.
    pub const IS: usize = 0x08;
    /// Ports implemented, a bit for each.
    pub const PI: usize = 0x0c;
    /// Version.
    pub const VS: usize = 0x10;
    /// More capabilities.
    pub const CAP2: usize = 0x24;
    /// Handing over from firmware.
    pub const BOHC: usize = 0x28;
}

/// Most ports an HBA has.
pub const PORTS: usize = 32;
/// Where the ports' registers begin.
pub const PORTS_AT: usize = 0x100;
/// Bytes of registers of each port.
pub const PORT_BYTES: usize = 0x80;

/// What the HBA can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities(pub u32);

impl Capabilities {
    /// Whether nothing answers there.
    pub const fn is_gone(self) -> bool {
        self.0 == u32::MAX
    }

    /// How many ports it can have, 1 to 32.
    pub const fn ports(self) -> u32 {
        (self.0 & 0x1f) + 1
    }

    /// How many commands a port holds, 1 to 32.
    pub const fn slots(self) -> u16 {
        (self.0 >> 8 & 0x1f) as u16 + 1
    }

    /// Whether it passes on queued commands.
    pub const fn has_queued_commands(self) -> bool {
        self.0 >> 30 & 1 == 1
    }

    /// Whether it reaches memory beyond 4 GiB.
    pub const fn is_64_bit(self) -> bool {
        self.0 >> 31 & 1 == 1
    }

    /// Whether it knows AHCI only, and no older way.
    pub const fn is_ahci_only(self) -> bool {
        self.0 >> 18 & 1 == 1
    }

    /// Whether disks spin up one by one, when they are told to.
    pub const fn has_staggered_spin_up(self) -> bool {
        self.0 >> 27 & 1 == 1
    }
}

/// The global control register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control(pub u32);

impl Control {
    /// Reset: cleared by the HBA once it is done.
    pub const RESET: u32 = 1 << 0;
    /// Interrupts.
    pub const INTERRUPTS: u32 = 1 << 1;
    /// AHCI rather than an older way.
    pub const AHCI: u32 = 1 << 31;

    /// Whether the reset is still under way.
    pub const fn is_resetting(self) -> bool {
        self.0 & Self::RESET != 0
    }

    /// Whether nothing answers there any more.
    pub const fn is_gone(self) -> bool {
        self.0 == u32::MAX
    }
}

/// The version of the specification it follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 1.31 means 1.3.1.
        let (minor, patch) = (self.0 >> 8 & 0xff, self.0 & 0xff);
        write!(f, "{}.{minor:x}", self.0 >> 16)?;
        if patch == 0 { Ok(()) } else { write!(f, ".{patch:x}") }
    }
}

/// Whether, by the register of more capabilities, firmware hands over when asked.
pub const fn has_handoff(cap2: u32) -> bool {
    cap2 & 1 == 1
}

/// The register for handing over from firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handoff(pub u32);

impl Handoff {
    /// The system wants the HBA.
    pub const WANTED: u32 = 1 << 1;

    /// Whether firmware holds it.
    pub const fn is_firmwares(self) -> bool {
        self.0 & 1 == 1
    }

    /// Whether firmware needs longer to let go.
    pub const fn is_busy(self) -> bool {
        self.0 >> 4 & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    #[test]
    fn registers_of_qemus_hba() {
        let capabilities = Capabilities(0xc014_1f05);
        assert_eq!((capabilities.ports(), capabilities.slots()), (6, 32));
        assert!(capabilities.has_queued_commands() && capabilities.is_64_bit());
        assert!(capabilities.is_ahci_only() && !capabilities.has_staggered_spin_up());
        assert_eq!(Version(0x0001_0000).to_string(), "1.0");
        assert_eq!(Version(0x0001_0301).to_string(), "1.3.1");
    }

    proptest! {
        #[test]
        fn any_value_is_within_bounds(raw: u32) {
            prop_assert!((1..=32).contains(&Capabilities(raw).ports()));
            prop_assert!((1..=32).contains(&Capabilities(raw).slots()));
            let _ = (Version(raw).to_string(), Handoff(raw).is_busy(), has_handoff(raw));
        }
    }
}
