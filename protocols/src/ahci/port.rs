//! The registers of a port (AHCI 1.3.1, section 3.3).

use crate::ata::Outcome;

/// Offsets within a port's registers in bytes, all of 32 bits.
pub mod port_offset {
    /// The command list's address, low and high half.
    pub const CLB: usize = 0x00;
    /// Its high half.
    pub const CLBU: usize = 0x04;
    /// Where received frames go, low half.
    pub const FB: usize = 0x08;
    /// Its high half.
    pub const FBU: usize = 0x0c;
    /// Interrupt status: write ones to clear.
    pub const IS: usize = 0x10;
    /// Interrupts let through.
    pub const IE: usize = 0x14;
    /// Command and status.
    pub const CMD: usize = 0x18;
    /// The device's status and error registers.
    pub const TFD: usize = 0x20;
    /// What kind of device it is.
    pub const SIG: usize = 0x24;
    /// The link's status.
    pub const SSTS: usize = 0x28;
    /// The link's control.
    pub const SCTL: usize = 0x2c;
    /// The link's errors: write ones to clear.
    pub const SERR: usize = 0x30;
    /// Queued commands the device is at: write ones to set.
    pub const SACT: usize = 0x34;
    /// Commands handed over: write ones to set.
    pub const CI: usize = 0x38;
}

/// The command and status register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortCommand(pub u32);

impl PortCommand {
    /// Carry out commands.
    pub const START: u32 = 1 << 0;
    /// Spin the device up.
    pub const SPIN_UP: u32 = 1 << 1;
    /// Power the device.
    pub const POWER: u32 = 1 << 2;
    /// Put received frames into memory.
    pub const RECEIVE: u32 = 1 << 4;
    /// The port can lose its device while it has power.
    pub const COLD_PRESENCE: u32 = 1 << 20;
    /// Interface active.
    pub const ACTIVE: u32 = 1 << 28;
    const RECEIVING: u32 = 1 << 14;
    const RUNNING: u32 = 1 << 15;
    const INTERFACE: u32 = 0xf << 28;

    /// Whether nothing answers there any more.
    pub const fn is_gone(self) -> bool {
        self.0 == u32::MAX
    }

    /// Whether the command engine runs: it may be using memory.
    pub const fn is_running(self) -> bool {
        self.0 & Self::RUNNING != 0
    }

    /// Whether received frames go to memory.
    pub const fn is_receiving(self) -> bool {
        self.0 & Self::RECEIVING != 0
    }

    /// Whether it is told to do, or does, anything.
    pub const fn is_at_rest(self) -> bool {
        self.0 & (Self::START | Self::RECEIVE | Self::RUNNING | Self::RECEIVING) == 0
    }

    /// The same with these bits, and no change of the interface's state.
    #[must_use]
    pub const fn with(self, bits: u32) -> Self {
        Self(self.0 & !Self::INTERFACE | bits)
    }

    /// The same without these bits, and no change of the interface's state.
    #[must_use]
    pub const fn without(self, bits: u32) -> Self {
        Self(self.0 & !Self::INTERFACE & !bits)
    }
}

/// What a port has to report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortInterrupts(pub u32);

impl PortInterrupts {
    /// A command has ended: one of the four frames that can tell so has come.
    pub const DONE: u32 = 0b1111;
    /// The device was exchanged: cleared in the link's errors.
    pub const CONNECT_CHANGE: u32 = 1 << 6;
    /// The link went up or down: cleared in the link's errors.
    pub const READY_CHANGE: u32 = 1 << 22;
    /// More data came than there was room for.
    pub const OVERFLOW: u32 = 1 << 24;
    /// The cable's fault, survived.
    pub const INTERFACE: u32 = 1 << 26;
    /// The cable's fault, and the transfer has stopped.
    pub const INTERFACE_FATAL: u32 = 1 << 27;
    /// The memory's fault, on data.
    pub const BUS_DATA: u32 = 1 << 28;
    /// The memory's fault, on a command.
    pub const BUS_FATAL: u32 = 1 << 29;
    /// The device says that a command failed.
    pub const TASK_FILE: u32 = 1 << 30;
    /// All that a driver wants to hear of.
    pub const WANTED: u32 = Self::DONE | Self::LINK | Self::ERRORS;
    /// The link has changed.
    pub const LINK: u32 = Self::CONNECT_CHANGE | Self::READY_CHANGE;
    /// The port has stopped, or should be.
    pub const ERRORS: u32 =
        Self::OVERFLOW | Self::INTERFACE_FATAL | Self::BUS_DATA | Self::BUS_FATAL | Self::TASK_FILE;

    /// Whether nothing answers there any more.
    pub const fn is_gone(self) -> bool {
        self.0 == u32::MAX
    }

    /// Whether any of these bits is set.
    pub const fn has(self, bits: u32) -> bool {
        self.0 & bits != 0
    }
}

/// The device's status and error registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskFile(pub u32);

impl TaskFile {
    /// How the last command ended.
    pub const fn outcome(self) -> Outcome {
        Outcome::new(self.0 as u8, (self.0 >> 8) as u8)
    }
}

/// What kind of device says it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// A disk.
    Ata,
    /// A device that takes packets, such as a CD drive.
    Packet,
    /// An enclosure's management.
    Enclosure,
    /// A port multiplier, with more devices behind it.
    Multiplier,
    /// Nothing known.
    Other(u32),
}

impl Signature {
    /// Reads the register.
    pub const fn new(raw: u32) -> Self {
        match raw {
            0x0000_0101 => Self::Ata,
            0xeb14_0101 => Self::Packet,
            0xc33c_0101 => Self::Enclosure,
            0x9669_0101 => Self::Multiplier,
            other => Self::Other(other),
        }
    }
}

/// Whether there is a device at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detection {
    /// None.
    Nothing,
    /// One, to which there is no connection yet.
    Unconnected,
    /// One, and it can be talked to.
    Connected,
    /// The port is switched off.
    Off,
    /// A value the specification reserves.
    Reserved,
}

/// The link's status register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkStatus(pub u32);

impl LinkStatus {
    /// Whether nothing answers there any more.
    pub const fn is_gone(self) -> bool {
        self.0 == u32::MAX
    }

    /// Whether there is a device.
    pub const fn detection(self) -> Detection {
        match self.0 & 0xf {
            0 => Detection::Nothing,
            1 => Detection::Unconnected,
            3 => Detection::Connected,
            4 => Detection::Off,
            _ => Detection::Reserved,
        }
    }

    /// The link's generation: 1 (1.5 Gbit/s), 2 (3) or 3 (6); 0: none.
    pub const fn generation(self) -> u8 {
        (self.0 >> 4 & 0xf) as u8
    }
}

/// The link's control register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkControl(pub u32);

impl LinkControl {
    /// The link does not go to sleep by itself (partial and slumber are off).
    pub const AWAKE: u32 = 0x3 << 8;
    /// Resets the device, for as long as it is written.
    pub const RESET: u32 = Self::AWAKE | 1;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_of_qemus_ports() {
        assert_eq!(LinkStatus(0x113).detection(), Detection::Connected);
        assert_eq!(LinkStatus(0x113).generation(), 1);
        assert_eq!(Signature::new(0xeb14_0101), Signature::Packet);
        assert_eq!(TaskFile(0x4051).outcome(), Outcome::new(0x51, 0x40));
        let command = PortCommand(0xc017);
        assert!(command.is_running() && command.is_receiving() && !command.is_at_rest());
        assert_eq!(command.without(PortCommand::START).0, 0xc016);
        assert!(PortCommand(6).is_at_rest());
        assert_eq!(PortInterrupts::WANTED & 1 << 31, 0);
    }

    proptest! {
        #[test]
        fn any_value(raw: u32, bits: u32) {
            let _ = (LinkStatus(raw).detection(), Signature::new(raw), TaskFile(raw).outcome());
            prop_assert_eq!(PortCommand(raw).without(bits).0 & bits & !(0xf << 28), 0);
            let with = PortCommand(raw).with(bits & !(0xf << 28)).0;
            prop_assert_eq!(with >> 28, 0);
        }
    }
}
