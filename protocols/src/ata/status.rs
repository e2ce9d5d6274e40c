//! The registers a command ends with (ACS-3, 6.2 and 6.3).

use core::fmt;

/// The status register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status(pub u8);

impl Status {
    /// The command failed; [`Error`] says why.
    pub const ERROR: u8 = 1 << 0;
    /// Data are to be transferred.
    pub const DATA_REQUEST: u8 = 1 << 3;
    /// The disk itself has failed.
    pub const FAULT: u8 = 1 << 5;
    /// It takes commands.
    pub const READY: u8 = 1 << 6;
    /// It is at work, and no other bit counts.
    pub const BUSY: u8 = 1 << 7;

    /// Whether it can be given a command.
    pub const fn is_free(self) -> bool {
        self.0 & (Self::BUSY | Self::DATA_REQUEST) == 0
    }

    /// Whether the command failed.
    pub const fn is_failed(self) -> bool {
        self.0 & (Self::ERROR | Self::FAULT) != 0
    }
}

/// The error register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Error(pub u8);

impl Error {
    /// The command is not known, or was given up.
    pub const ABORTED: u8 = 1 << 2;
    /// There is no such block.
    pub const ID_NOT_FOUND: u8 = 1 << 4;
    /// The data cannot be corrected.
    pub const UNCORRECTABLE: u8 = 1 << 6;
    /// The data were damaged on the cable.
    pub const INTERFACE_CRC: u8 = 1 << 7;
}

/// How a command ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Status register.
    pub status: Status,
    /// Error register; counts if the status says so.
    pub error: Error,
}

/// What went wrong, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The disk itself has failed.
    Fault,
    /// The data were damaged on the cable.
    InterfaceCrc,
    /// The medium does not give back the data.
    Uncorrectable,
    /// There is no such block.
    NoSuchBlock,
    /// The command is not known, or was given up.
    Aborted,
    /// None of these bits.
    Other,
}

impl Outcome {
    /// The registers as they stand.
    pub const fn new(status: u8, error: u8) -> Self {
        Self { status: Status(status), error: Error(error) }
    }

    /// What went wrong; `None`: nothing.
    pub const fn failure(self) -> Option<Failure> {
        if !self.status.is_failed() {
            return None;
        }
        Some(if self.status.0 & Status::FAULT != 0 {
            Failure::Fault
        } else if self.error.0 & Error::INTERFACE_CRC != 0 {
            Failure::InterfaceCrc
        } else if self.error.0 & Error::UNCORRECTABLE != 0 {
            Failure::Uncorrectable
        } else if self.error.0 & Error::ID_NOT_FOUND != 0 {
            Failure::NoSuchBlock
        } else if self.error.0 & Error::ABORTED != 0 {
            Failure::Aborted
        } else {
            Failure::Other
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.failure() {
            None => "no error",
            Some(Failure::Fault) => "the disk has failed",
            Some(Failure::InterfaceCrc) => "the data were damaged on the cable",
            Some(Failure::Uncorrectable) => "the data cannot be read",
            Some(Failure::NoSuchBlock) => "there is no such block",
            Some(Failure::Aborted) => "the disk does not carry out this command",
            Some(Failure::Other) => "an error of no known kind",
        };
        write!(f, "{text} (status {:#04x}, error {:#04x})", self.status.0, self.error.0)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::string::ToString;

    #[test]
    fn every_pair_of_registers() {
        for status in 0..=u8::MAX {
            for error in 0..=u8::MAX {
                let outcome = Outcome::new(status, error);
                assert_eq!(outcome.failure().is_some(), status & 0x21 != 0);
                assert!(!outcome.to_string().is_empty());
            }
        }
        let failure = |status, error| Outcome::new(status, error).failure();
        assert_eq!(failure(0x51, 0x40), Some(Failure::Uncorrectable));
        assert_eq!(failure(0x51, 0x84), Some(Failure::InterfaceCrc));
        assert_eq!(failure(0x51, 0x10), Some(Failure::NoSuchBlock));
        assert_eq!(failure(0x71, 0x04), Some(Failure::Fault));
        assert_eq!(failure(0x51, 0x04), Some(Failure::Aborted));
        assert_eq!(failure(0x51, 0x01), Some(Failure::Other));
        assert!(Status(0x50).is_free() && !Status(0x80).is_free() && !Status(0x58).is_free());
    }
}
