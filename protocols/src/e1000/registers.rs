//! The registers (SDM, section 13; 82574, section 10): offsets in bytes, all of 32 bits, and bits.

/// Offsets of the registers in bytes.
pub mod offset {
    /// Device control.
    pub const CTRL: usize = 0x0000;
    /// Device status.
    pub const STATUS: usize = 0x0008;
    /// EEPROM/flash control.
    pub const EECD: usize = 0x0010;
    /// EEPROM read.
    pub const EERD: usize = 0x0014;
    /// Extended device control.
    pub const CTRL_EXT: usize = 0x0018;
    /// Access to the transceiver.
    pub const MDIC: usize = 0x0020;
    /// Flow control: the address of pause frames, low.
    pub const FCAL: usize = 0x0028;
    /// The same, high.
    pub const FCAH: usize = 0x002c;
    /// Flow control: the type of pause frames.
    pub const FCT: usize = 0x0030;
    /// Interrupt causes. Read: clears them (not with MSI-X). Written: clears those that are 1.
    pub const ICR: usize = 0x00c0;
    /// Interrupt throttling, in units of 256 ns between two interrupts.
    pub const ITR: usize = 0x00c4;
    /// Interrupt mask, set those that are 1.
    pub const IMS: usize = 0x00d0;
    /// Interrupt mask, clear those that are 1.
    pub const IMC: usize = 0x00d8;
    /// Causes that clear themselves when their MSI-X message is sent (82574).
    pub const EIAC: usize = 0x00dc;
    /// Causes that are masked by themselves.
    pub const IAM: usize = 0x00e0;
    /// Which cause has which MSI-X vector (82574).
    pub const IVAR: usize = 0x00e4;
    /// Throttling of MSI-X vector 0 (82574); 4 bytes for each vector.
    pub const EITR: usize = 0x00e8;
    /// Receive control.
    pub const RCTL: usize = 0x0100;
    /// Flow control: how long others are to pause.
    pub const FCTTV: usize = 0x0170;
    /// Transmit control.
    pub const TCTL: usize = 0x0400;
    /// Gaps between frames that are sent.
    pub const TIPG: usize = 0x0410;
    /// Who has the chipset's transceiver: firmware, or the driver.
    pub const EXTCNF_CTRL: usize = 0x0f00;
    /// Flow control: when to ask for a pause; 0: never.
    pub const FCRTL: usize = 0x2160;
    /// Flow control: when to ask for no more pause.
    pub const FCRTH: usize = 0x2168;
    /// Receive descriptors: address, low.
    pub const RDBAL: usize = 0x2800;
    /// Receive descriptors: address, high.
    pub const RDBAH: usize = 0x2804;
    /// Receive descriptors: length in bytes, a multiple of 128.
    pub const RDLEN: usize = 0x2808;
    /// Receive descriptors: the first that the device has.
    pub const RDH: usize = 0x2810;
    /// Receive descriptors: the first that the device does not have.
    pub const RDT: usize = 0x2818;
    /// Receive interrupt delay.
    pub const RDTR: usize = 0x2820;
    /// Receive descriptor thresholds.
    pub const RXDCTL: usize = 0x2828;
    /// Absolute receive interrupt delay.
    pub const RADV: usize = 0x282c;
    /// Transmit descriptors: address, low.
    pub const TDBAL: usize = 0x3800;
    /// Transmit descriptors: address, high.
    pub const TDBAH: usize = 0x3804;
    /// Transmit descriptors: length in bytes, a multiple of 128.
    pub const TDLEN: usize = 0x3808;
    /// Transmit descriptors: the first that the device has not sent.
    pub const TDH: usize = 0x3810;
    /// Transmit descriptors: the first that the device does not have.
    pub const TDT: usize = 0x3818;
    /// Transmit interrupt delay.
    pub const TIDV: usize = 0x3820;
    /// Transmit descriptor thresholds.
    pub const TXDCTL: usize = 0x3828;
    /// Absolute transmit interrupt delay.
    pub const TADV: usize = 0x382c;
    /// Arbitration between transmit queues (PCI Express and chipset).
    pub const TARC0: usize = 0x3840;
    /// Frames with a wrong FCS. All statistics are cleared by reading them.
    pub const CRCERRS: usize = 0x4000;
    /// Frames with an error the transceiver saw.
    pub const RXERRC: usize = 0x400c;
    /// Frames missed since there was no room for them.
    pub const MPC: usize = 0x4010;
    /// Frames given up after too many collisions.
    pub const ECOL: usize = 0x4018;
    /// Collisions later than there may be.
    pub const LATECOL: usize = 0x4020;
    /// Frames whose length is wrong.
    pub const RLEC: usize = 0x4040;
    /// Control of receive checksums.
    pub const RXCSUM: usize = 0x5000;
    /// Receive filter control.
    pub const RFCTL: usize = 0x5008;
    /// The hash filter for group addresses.
    pub const MTA: usize = 0x5200;
    /// Receive address 0, low.
    pub const RAL0: usize = 0x5400;
    /// Receive address 0, high.
    pub const RAH0: usize = 0x5404;
    /// Multiple receive queues.
    pub const MRQC: usize = 0x5818;
    /// All registers end here.
    pub const END: usize = 0x6000;
}

/// Whether nothing answers there any more.
pub const fn deaf(register: u32) -> bool {
    register == u32::MAX
}

/// Device control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control;

impl Control {
    /// PCI Express: begin no more transfers.
    pub const MASTER_OFF: u32 = 1 << 2;
    /// Link reset (fibre only; off).
    pub const LINK_RESET: u32 = 1 << 3;
    /// Take the speed from the transceiver.
    pub const AUTO_SPEED: u32 = 1 << 5;
    /// Set link up.
    pub const LINK_UP: u32 = 1 << 6;
    /// Invert loss of signal (off).
    pub const INVERT_LOSS: u32 = 1 << 7;
    /// Force the speed (off).
    pub const FORCE_SPEED: u32 = 1 << 11;
    /// Force duplex (off).
    pub const FORCE_DUPLEX: u32 = 1 << 12;
    /// Reset; cleared by the device once it is done.
    pub const RESET: u32 = 1 << 26;
    /// Take VLAN tags off what is received (off).
    pub const VLAN: u32 = 1 << 30;
    /// Reset the transceiver.
    pub const PHY_RESET: u32 = 1 << 31;
}

/// Extended device control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlExtended;

impl ControlExtended {
    /// Reserved, to be set on PCI Express and chipset models.
    pub const RESERVED_SET: u32 = 1 << 22;
    /// The driver is in charge, no longer firmware.
    pub const DRIVER_LOADED: u32 = 1 << 28;
    /// MSI-X: setting the mask forgets pending messages. To be set with MSI-X (82574, 10.2.2.5).
    pub const PENDING_CLEARED: u32 = 1 << 31;
}

/// Device status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u32);

impl Status {
    /// Whether nothing answers there any more.
    pub const fn is_gone(self) -> bool {
        deaf(self.0)
    }

    /// Whether the link is up.
    pub const fn link_is_up(self) -> bool {
        self.0 >> 1 & 1 == 1
    }

    /// The link's speed in Mbit/s, as the device sees it.
    pub const fn megabits(self) -> u32 {
        match self.0 >> 6 & 0b11 {
            0 => 10,
            1 => 100,
            _ => 1000,
        }
    }

    /// PCI Express: whether it may still begin transfers.
    pub const fn is_master(self) -> bool {
        self.0 >> 19 & 1 == 1
    }
}

/// Interrupt causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause;

impl Cause {
    /// A transmit descriptor was written back.
    pub const SENT: u32 = 1 << 0;
    /// The link has changed.
    pub const LINK: u32 = 1 << 2;
    /// Frames were received (the timer, which is off: each).
    pub const RECEIVED: u32 = 1 << 7;
    /// MSI-X: receive queue 0.
    pub const RECEIVE_QUEUE: u32 = 1 << 20;
    /// MSI-X: transmit queue 0.
    pub const TRANSMIT_QUEUE: u32 = 1 << 22;
    /// MSI-X: anything else.
    pub const OTHER: u32 = 1 << 24;
    /// All of them.
    pub const ALL: u32 = u32::MAX;
}

/// The value of IVAR with which every cause has MSI-X vector 0 (82574, 10.2.4.9).
pub const fn interrupt_vectors() -> u32 {
    const VALID: u32 = 1 << 3;
    VALID | VALID << 4 | VALID << 8 | VALID << 12 | VALID << 16
}

/// Bits of receive control.
pub mod receive_control {
    /// Receive.
    pub const ENABLE: u32 = 1 << 1;
    /// Receive what is for everybody.
    pub const BROADCAST: u32 = 1 << 15;
    /// Do not store the FCS.
    pub const STRIP_FCS: u32 = 1 << 26;
    /// Receive, into buffers of 2048 bytes, good frames of at most 1522 bytes with FCS, for this
    /// station and for everybody; group addresses through the hash filter of address bits 47:36.
    pub const NORMAL: u32 = ENABLE | BROADCAST | STRIP_FCS;
    /// RXCSUM: check the checksums of IP headers, and of TCP and UDP.
    pub const CHECKSUMS: u32 = 1 << 8 | 1 << 9;
}

/// Bits of transmit control.
pub mod transmit_control {
    /// Transmit.
    pub const ENABLE: u32 = 1 << 1;
    /// Several requests for data at a time: left as the device has it.
    pub const MANY_REQUESTS: u32 = 1 << 28;
    /// Transmit; pad short frames; 15 tries; collisions as full duplex wants them.
    pub const NORMAL: u32 = ENABLE | 1 << 3 | 0x0f << 4 | 0x40 << 12;
    /// TIPG: gaps for copper.
    pub const GAPS: u32 = 8 | 8 << 10 | 6 << 20;
    /// TXDCTL: thresholds count descriptors, and each report is written at once.
    pub const THRESHOLDS: u32 = 1 << 24 | 1 << 16;
    /// TXDCTL: to be set on PCI Express and chipset models.
    pub const COUNTED: u32 = 1 << 22;
    /// RXDCTL: the same for receiving.
    pub const RECEIVE_THRESHOLDS: u32 = 1 << 24 | 1 << 16;
    /// TARC0: workarounds that Intel demands of PCI Express and chipset models.
    pub const ARBITRATION: u32 = 1 << 23 | 1 << 24 | 1 << 26 | 1 << 27;
}

/// Bits of RAH: the address is valid.
pub mod receive_address {
    /// The address is valid.
    pub const VALID: u32 = 1 << 31;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_the_manuals_have_it() {
        assert_eq!(transmit_control::GAPS, 0x0060_2008);
        assert_eq!(transmit_control::NORMAL, 0x0004_00fa);
        assert_eq!(interrupt_vectors(), 0x0008_8888);
        assert_eq!(receive_control::NORMAL, 0x0400_8002);
        // QEMU's 82540EM after its reset.
        let status = Status(0x8008_0783);
        assert!(status.link_is_up() && !status.is_gone());
        assert_eq!(status.megabits(), 1000);
    }

    proptest! {
        #[test]
        fn any_status_has_a_speed(raw: u32) {
            prop_assert!([10, 100, 1000].contains(&Status(raw).megabits()));
            prop_assert_eq!(Status(raw).is_gone(), raw == u32::MAX);
        }
    }
}
