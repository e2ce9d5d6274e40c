//! The registers (section 5).

/// Offsets of the registers in bytes. Each is to be accessed with its own width.
pub mod offset {
    /// The station address: six of 8 bits.
    pub const IDR: usize = 0x00;
    /// The group filter: two of 32 bits.
    pub const MAR: usize = 0x08;
    /// Status and command of the transmit descriptors: four of 32 bits.
    pub const TSD: usize = 0x10;
    /// Where their frames are: four of 32 bits.
    pub const TSAD: usize = 0x20;
    /// Where the receive buffer is, 32 bits.
    pub const RBSTART: usize = 0x30;
    /// Command, 8 bits.
    pub const CR: usize = 0x37;
    /// How far the driver has read, 16 bits: see [`ReadPlace`](super::super::ReadPlace).
    pub const CAPR: usize = 0x38;
    /// How far the device has written, 16 bits.
    pub const CBR: usize = 0x3a;
    /// Which causes interrupt, 16 bits.
    pub const IMR: usize = 0x3c;
    /// The causes, 16 bits; a one written clears.
    pub const ISR: usize = 0x3e;
    /// How to transmit, 32 bits.
    pub const TCR: usize = 0x40;
    /// How to receive, 32 bits.
    pub const RCR: usize = 0x44;
    /// Frames missed, 24 of 32 bits; any write clears.
    pub const MPC: usize = 0x4c;
    /// The medium, 8 bits.
    pub const MSR: usize = 0x58;
    /// The clock, 8 bits.
    pub const HLTCLK: usize = 0x5b;
    /// All transmit descriptors at a glance, 16 bits: see [`Summary`](super::super::Summary).
    pub const SUMMARY: usize = 0x60;
}

/// Written to the clock's register, it runs.
pub const WAKE_CLOCK: u8 = b'R';

/// The receive configuration used: what is for this station, for groups let through and for
/// everybody, without damaged frames; a buffer of 64 KiB that goes around; bursts without limit;
/// each frame passed on when it is whole.
pub const RECEIVE_CONFIG: u32 = (0b111 << 13) | (0b11 << 11) | (0b111 << 8) | 0b1110;

/// What of it decides which frames arrive, and where: acceptance, wrapping, the buffer's length.
pub const RECEIVE_CONFIG_CHECKED: u32 = (0b11 << 11) | (1 << 7) | 0b11_1111;

/// The transmit configuration used: the standard's gap between frames, bursts of 2 KiB.
pub const TRANSMIT_CONFIG: u32 = (0b11 << 24) | (0b111 << 8);

/// The command register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command(pub u8);

impl Command {
    /// Reset: cleared by the device once it is done.
    pub const RESET: u8 = 1 << 4;
    /// The receiver runs.
    pub const RECEIVE: u8 = 1 << 3;
    /// The transmitter runs.
    pub const TRANSMIT: u8 = 1 << 2;
    /// Both run.
    pub const RUN: u8 = Self::RECEIVE | Self::TRANSMIT;

    /// Whether nothing answers there any more.
    pub const fn is_gone(self) -> bool {
        self.0 == u8::MAX
    }

    /// Whether the reset is still under way.
    pub const fn is_resetting(self) -> bool {
        self.0 & Self::RESET != 0
    }

    /// Whether both receiver and transmitter run.
    pub const fn is_running(self) -> bool {
        self.0 & Self::RUN == Self::RUN
    }
}

/// What the device has to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Causes(pub u16);

impl Causes {
    /// A frame has arrived.
    pub const RECEIVED: u16 = 1 << 0;
    /// A damaged one has.
    pub const RECEIVE_ERROR: u16 = 1 << 1;
    /// A frame was sent.
    pub const SENT: u16 = 1 << 2;
    /// One could not be sent.
    pub const SEND_ERROR: u16 = 1 << 3;
    /// The receive buffer had no room for a frame.
    pub const BUFFER_OVERFLOW: u16 = 1 << 4;
    /// The link has changed (or the driver has read further than was written).
    pub const LINK: u16 = 1 << 5;
    /// The device's own memory had no room for a frame.
    pub const FIFO_OVERFLOW: u16 = 1 << 6;
    /// The bus failed.
    pub const SYSTEM_ERROR: u16 = 1 << 15;

    /// What may have to do with the receive buffer.
    pub const RECEIVE: u16 = Self::RECEIVED | Self::OVERFLOW;
    /// Either overflow. Cleared after the buffer has been read, else it comes back.
    pub const OVERFLOW: u16 = Self::BUFFER_OVERFLOW | Self::FIFO_OVERFLOW;
    /// Either end of a frame that was to be sent.
    pub const TRANSMIT: u16 = Self::SENT | Self::SEND_ERROR;

    /// Whether nothing answers there any more.
    pub const fn is_gone(self) -> bool {
        self.0 == u16::MAX
    }

    /// Whether any of these bits is set.
    pub const fn has(self, bits: u16) -> bool {
        self.0 & bits != 0
    }
}

/// The medium's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaStatus(pub u8);

impl MediaStatus {
    /// The link's speed in Mbit/s. `None`: it is down, or nothing answers any more.
    pub const fn megabits(self) -> Option<u32> {
        let (is_down, is_slow) = (self.0 >> 2 & 1 == 1, self.0 >> 3 & 1 == 1);
        if is_down {
            None
        } else if is_slow {
            Some(10)
        } else {
            Some(100)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_of_qemus_device() {
        assert_eq!(MediaStatus(0xd0).megabits(), Some(100));
        assert_eq!(MediaStatus(0xd4).megabits(), None);
        assert_eq!(MediaStatus(0xff).megabits(), None, "nothing answers");
        assert!(Command(0x0d).is_running() && !Command(0x0d).is_resetting());
        assert!(Command(0x10).is_resetting() && Command(0xff).is_gone());
        assert!(!Command(0x09).is_running());
        assert_eq!(Causes::RECEIVE, 0x51);
    }

    #[test]
    fn the_buffer_is_one_that_goes_around() {
        assert_eq!(8192 << (RECEIVE_CONFIG >> 11 & 3), super::super::BUFFER_BYTES);
        assert_eq!(RECEIVE_CONFIG >> 7 & 1, 0);
    }

    proptest! {
        #[test]
        fn any_value(raw: u16) {
            let (low, causes) = (raw as u8, Causes(raw));
            let _ = (Command(low).is_running(), Command(low).is_resetting());
            prop_assert!(matches!(MediaStatus(low).megabits(), None | Some(10 | 100)));
            prop_assert!(!causes.is_gone() || causes.has(Causes::RECEIVE));
        }
    }
}
