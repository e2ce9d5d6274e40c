//! Access to the transceiver's registers: MDIC (SDM, 13.4.6), a request written and an answer read.

/// Registers every transceiver has (IEEE 802.3, clause 22).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhyRegister {
    /// Control.
    Control = 0,
    /// Status.
    Status = 1,
    /// Identifier, high.
    IdHigh = 2,
    /// Identifier, low.
    IdLow = 3,
}

impl PhyRegister {
    /// Control: negotiate speed and duplex anew.
    pub const NEGOTIATE_ANEW: u16 = 1 << 9;
    /// Control: power down.
    pub const POWER_DOWN: u16 = 1 << 11;
    /// Control: negotiate speed and duplex.
    pub const NEGOTIATE: u16 = 1 << 12;
}

const WRITE: u32 = 0b01 << 26;
const READ: u32 = 0b10 << 26;
const READY: u32 = 1 << 28;
const ERROR: u32 = 1 << 30;

const fn place(phy: u8, register: PhyRegister) -> u32 {
    (phy as u32 & 0x1f) << 21 | (register as u32) << 16
}

/// Asks for a register of the transceiver at `phy`.
pub const fn read_request(phy: u8, register: PhyRegister) -> u32 {
    READ | place(phy, register)
}

/// Writes one.
pub const fn write_request(phy: u8, register: PhyRegister, value: u16) -> u32 {
    WRITE | place(phy, register) | value as u32
}

/// What MDIC says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MdiAnswer {
    /// Not done yet.
    Busy,
    /// Nobody at that address, or no such register.
    Error,
    /// Done; of a read, the value.
    Done(u16),
}

impl MdiAnswer {
    /// From the register.
    pub const fn of(mdic: u32) -> Self {
        if mdic & ERROR != 0 {
            Self::Error
        } else if mdic & READY != 0 {
            Self::Done(mdic as u16)
        } else {
            Self::Busy
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn requests() {
        assert_eq!(read_request(1, PhyRegister::Status), 0x0821_0000);
        assert_eq!(write_request(2, PhyRegister::Control, 0x1200), 0x0440_1200);
        assert_eq!(MdiAnswer::of(0x1821_796d), MdiAnswer::Done(0x796d));
        assert_eq!(MdiAnswer::of(0x0821_0000), MdiAnswer::Busy);
        assert_eq!(MdiAnswer::of(u32::MAX), MdiAnswer::Error);
    }

    proptest! {
        #[test]
        fn a_request_is_never_its_own_answer(phy: u8, value: u16, mdic: u32) {
            let written = write_request(phy, PhyRegister::Control, value);
            prop_assert_eq!(MdiAnswer::of(written), MdiAnswer::Busy);
            prop_assert_eq!(MdiAnswer::of(read_request(phy, PhyRegister::IdLow)), MdiAnswer::Busy);
            let _ = MdiAnswer::of(mdic);
        }
    }
}
