//! Frame information structures: what goes over the cable (Serial ATA 3.0, section 10.3).
//!
//! A driver writes one kind, registers to the device; the others a port puts into memory.

use crate::ata::{Command, Outcome};
use crate::fields::{u8_at, u16_at, u32_at, u64_at};

/// The first byte of each kind.
pub mod kind {
    /// The registers, from host to device.
    pub const TO_DEVICE: u8 = 0x27;
    /// The registers, from device to host.
    pub const TO_HOST: u8 = 0x34;
    /// DMA activate.
    pub const DMA_ACTIVATE: u8 = 0x39;
    /// DMA setup.
    pub const DMA_SETUP: u8 = 0x41;
    /// PIO setup.
    pub const PIO_SETUP: u8 = 0x5f;
    /// Set device bits.
    pub const DEVICE_BITS: u8 = 0xa1;
}

/// Second byte: it carries a command rather than device control; or: it raises an interrupt.
const IS_COMMAND: u8 = 1 << 7;
const INTERRUPT: u8 = 1 << 6;
/// Second byte: data go to the host.
const TO_HOST: u8 = 1 << 5;

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum FisError {
    /// Fewer bytes than a frame of its kind has.
    #[error("the frame is cut off")]
    Short,
    /// Nothing that is used here begins so.
    #[error("a frame of unknown kind {0:#04x}")]
    Kind(u8),
    /// Device control instead of a command.
    #[error("the frame carries no command")]
    NoCommand,
}

/// The registers as a device reports them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// How the command ended.
    pub outcome: Outcome,
    /// Address, 48 bits.
    pub lba: u64,
    /// Count.
    pub count: u16,
}

impl Registers {
    /// Bytes of the frame.
    pub const BYTES: usize = 20;

    /// The frame a device sends when a command has ended.
    pub fn frame(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&[
            kind::TO_HOST,
            INTERRUPT,
            self.outcome.status.0,
            self.outcome.error.0,
        ]);
        put_lba(&mut bytes, self.lba);
        bytes[12..14].copy_from_slice(&self.count.to_le_bytes());
        bytes
    }
}

/// Queued commands have ended, or one has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetDeviceBits {
    /// How it ended: the bits of the status that this frame changes (0x77), and the error.
    pub outcome: Outcome,
    /// The tags that are done, a bit for each.
    pub done: u32,
}

impl SetDeviceBits {
    /// Bytes of the frame.
    pub const BYTES: usize = 8;

    /// The frame a device sends.
    pub fn frame(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let status = self.outcome.status.0 & 0x77;
        bytes[..4].copy_from_slice(&[kind::DEVICE_BITS, INTERRUPT, status, self.outcome.error.0]);
        bytes[4..].copy_from_slice(&self.done.to_le_bytes());
        bytes
    }
}

/// The device picks the queued command whose data it transfers next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaSetup {
    /// The command's tag.
    pub tag: u8,
    /// Whether data go to the host.
    pub to_host: bool,
    /// How many bytes.
    pub bytes: u32,
}

impl DmaSetup {
    /// Bytes of the frame.
    pub const BYTES: usize = 28;

    /// The frame a device sends.
    pub fn frame(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0] = kind::DMA_SETUP;
        bytes[1] = if self.to_host { TO_HOST } else { 0 };
        bytes[4] = self.tag;
        bytes[20..24].copy_from_slice(&self.bytes.to_le_bytes());
        bytes
    }
}

/// The device is about to transfer data of a command that knows no DMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PioSetup {
    /// The registers before the transfer.
    pub registers: Registers,
    /// The status after it.
    pub end_status: u8,
    /// How many bytes.
    pub bytes: u16,
}

impl PioSetup {
    /// Bytes of the frame.
    pub const BYTES: usize = 20;

    /// The frame a device sends; data go to the host.
    pub fn frame(&self) -> [u8; Self::BYTES] {
        let mut bytes = self.registers.frame();
        bytes[0] = kind::PIO_SETUP;
        bytes[1] = INTERRUPT | TO_HOST;
        bytes[15] = self.end_status;
        bytes[16..18].copy_from_slice(&self.bytes.to_le_bytes());
        bytes
    }
}

/// A frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fis {
    /// A command.
    Command(Command),
    /// The registers of a device.
    Registers(Registers),
    /// Queued commands have ended.
    DeviceBits(SetDeviceBits),
    /// The device waits for data.
    DmaActivate,
    /// The device picks a queued command.
    DmaSetup(DmaSetup),
    /// The device is about to transfer data without DMA.
    PioSetup(PioSetup),
}

impl Fis {
    /// Reads a frame; bytes after its end do not count.
    pub fn new_checked(bytes: &[u8]) -> Result<Self, FisError> {
        let byte = |at| u8_at(bytes, at).ok_or(FisError::Short);
        let half = |at| u16_at(bytes, at).ok_or(FisError::Short);
        let word = |at| u32_at(bytes, at).ok_or(FisError::Short);
        let registers = || {
            let outcome = Outcome::new(byte(2)?, byte(3)?);
            // The frame's last byte is there too.
            byte(Registers::BYTES - 1)?;
            Ok(Registers { outcome, lba: lba_at(bytes)?, count: half(12)? })
        };
        match byte(0)? {
            kind::TO_DEVICE => {
                byte(Command::FRAME_BYTES - 1)?;
                if byte(1)? & IS_COMMAND == 0 {
                    return Err(FisError::NoCommand);
                }
                Ok(Self::Command(Command {
                    code: byte(2)?,
                    features: u16::from_le_bytes([byte(3)?, byte(11)?]),
                    lba: lba_at(bytes)?,
                    count: half(12)?,
                    device: byte(7)?,
                }))
            }
            kind::TO_HOST => Ok(Self::Registers(registers()?)),
            kind::DEVICE_BITS => Ok(Self::DeviceBits(SetDeviceBits {
                outcome: Outcome::new(byte(2)? & 0x77, byte(3)?),
                done: word(4)?,
            })),
            kind::DMA_ACTIVATE => word(0).map(|_| Self::DmaActivate),
            kind::DMA_SETUP => {
                word(DmaSetup::BYTES - 4)?;
                let to_host = byte(1)? & TO_HOST != 0;
                Ok(Self::DmaSetup(DmaSetup { tag: byte(4)? & 0x1f, to_host, bytes: word(20)? }))
            }
            kind::PIO_SETUP => Ok(Self::PioSetup(PioSetup {
                registers: registers()?,
                end_status: byte(15)?,
                bytes: half(16)?,
            })),
            other => Err(FisError::Kind(other)),
        }
    }
}

impl Command {
    /// Bytes of the frame a command is sent in.
    pub const FRAME_BYTES: usize = 20;

    /// The frame a command is sent in, as words of a command table.
    pub const fn frame_words(&self) -> [u64; 3] {
        let features = self.features as u64;
        let low = self.lba & 0xff_ffff | (self.device as u64) << 24;
        let high = self.lba >> 24 & 0xff_ffff | (features >> 8) << 24;
        let first = kind::TO_DEVICE as u64
            | (IS_COMMAND as u64) << 8
            | (self.code as u64) << 16
            | (features & 0xff) << 24;
        [first | low << 32, high | (self.count as u64) << 32, 0]
    }
}

fn put_lba(bytes: &mut [u8; 20], lba: u64) {
    let [a, b, c, d, e, f, _, _] = lba.to_le_bytes();
    bytes[4..7].copy_from_slice(&[a, b, c]);
    bytes[8..11].copy_from_slice(&[d, e, f]);
}

fn lba_at(bytes: &[u8]) -> Result<u64, FisError> {
    let both = u64_at(bytes, 4).ok_or(FisError::Short)?;
    Ok(both & 0xff_ffff | (both >> 32 & 0xff_ffff) << 24)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn bytes_of(words: [u64; 3]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn a_read_as_it_goes_over_the_cable() {
        let read = Command::read_queued(0x0605_0403_0201, 0x1234).tagged(5);
        let bytes = bytes_of(read.frame_words());
        let expected =
            [0x27, 0x80, 0x60, 0x34, 1, 2, 3, 0x40, 4, 5, 6, 0x12, 0x28, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(bytes[..20], expected);
    }

    proptest! {
        #[test]
        fn commands_there_and_back(
            code: u8, features: u16, lba in 0u64..1 << 48, count: u16, device: u8,
        ) {
            let command = Command { code, features, lba, count, device };
            let bytes = bytes_of(command.frame_words());
            prop_assert_eq!(Fis::new_checked(&bytes), Ok(Fis::Command(command)));
        }

        #[test]
        fn frames_there_and_back(
            status: u8, error: u8, lba in 0u64..1 << 48, count: u16, done: u32, tag in 0u8..32,
            to_host: bool, cut in 0usize..8,
        ) {
            let registers = Registers { outcome: Outcome::new(status, error), lba, count };
            let read = |bytes: &[u8]| Fis::new_checked(bytes);
            prop_assert_eq!(read(&registers.frame()), Ok(Fis::Registers(registers)));
            let pio = PioSetup { registers, end_status: error, bytes: count };
            prop_assert_eq!(read(&pio.frame()), Ok(Fis::PioSetup(pio)));
            let setup = DmaSetup { tag, to_host, bytes: done };
            prop_assert_eq!(read(&setup.frame()), Ok(Fis::DmaSetup(setup)));
            let bits = SetDeviceBits { outcome: Outcome::new(status & 0x77, error), done };
            let frame = bits.frame();
            prop_assert_eq!(read(&frame), Ok(Fis::DeviceBits(bits)));
            prop_assert_eq!(read(&frame[..cut]), Err(FisError::Short));
        }

        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = Fis::new_checked(&bytes);
        }
    }
}
