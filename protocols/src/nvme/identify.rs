//! What controllers and namespaces say of themselves (NVMe 1.4, section 5.15.2).

use super::PAGE_BYTES;
use crate::fields::{array_at, u8_at, u16_at, u32_at, u64_at};

/// Bytes of every identify structure.
pub const IDENTIFY_BYTES: usize = 4096;

/// Ids a list of namespaces has room for.
pub const NAMESPACES_LISTED: usize = IDENTIFY_BYTES / 4;

/// Why an identify structure cannot be used. The device is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum IdentifyError {
    /// Not [`IDENTIFY_BYTES`] bytes.
    #[error("an identify structure has {IDENTIFY_BYTES} bytes")]
    Length,
    /// The block size is none between 512 bytes and 64 KiB.
    #[error("blocks of 2^{0} bytes are not supported")]
    BlockSize(u8),
    /// Blocks carry metadata: reading and writing without it is impossible.
    #[error("blocks carry {0} bytes of metadata each: format the namespace without")]
    Metadata(u16),
    /// Data are protected end to end.
    #[error("data are protected end to end: format the namespace without protection information")]
    Protected,
    /// It is empty.
    #[error("the namespace has no blocks")]
    Empty,
}

/// What a controller says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Controller {
    serial: [u8; 20],
    model: [u8; 40],
    firmware: [u8; 8],
    commands: u16,
    admin_commands: u16,
    /// Most bytes in one command; `None`: no limit.
    pub max_transfer_bytes: Option<u64>,
    /// How many namespaces there can be.
    pub namespaces: u32,
    /// Whether writes go to a cache that a loss of power empties.
    pub has_volatile_cache: bool,
    /// How many event requests may be outstanding at once, at least 1.
    pub event_requests_most: u16,
    /// How many entries the error log has, at least 1.
    pub error_log_entries: u16,
    /// All its capacity in bytes; 0: it does not say.
    pub capacity_bytes: u128,
    /// Warning and critical temperature in kelvins; 0: it does not say.
    pub temperature_limits: (u16, u16),
}

impl Controller {
    /// Reads the structure.
    pub fn new_checked(bytes: &[u8]) -> Result<Self, IdentifyError> {
        if bytes.len() != IDENTIFY_BYTES {
            return Err(IdentifyError::Length);
        }
        let short = IdentifyError::Length;
        let max_shift = u8_at(bytes, 77).ok_or(short)?;
        let limit =
            (PAGE_BYTES as u64).checked_shl(u32::from(max_shift)).filter(|limit| *limit != 0);
        Ok(Self {
            serial: array_at(bytes, 4).ok_or(short)?,
            model: array_at(bytes, 24).ok_or(short)?,
            firmware: array_at(bytes, 64).ok_or(short)?,
            commands: u16_at(bytes, 520).ok_or(short)?,
            admin_commands: u16_at(bytes, 256).ok_or(short)?,
            max_transfer_bytes: if max_shift == 0 { None } else { limit },
            namespaces: u32_at(bytes, 516).ok_or(short)?,
            has_volatile_cache: u8_at(bytes, 525).ok_or(short)? & 1 == 1,
            event_requests_most: u16::from(u8_at(bytes, 259).ok_or(short)?) + 1,
            error_log_entries: u16::from(u8_at(bytes, 262).ok_or(short)?) + 1,
            capacity_bytes: u128::from_le_bytes(array_at(bytes, 280).ok_or(short)?),
            temperature_limits: (
                u16_at(bytes, 266).ok_or(short)?,
                u16_at(bytes, 268).ok_or(short)?,
            ),
        })
    }

    /// Its serial number.
    pub fn serial(&self) -> &str {
        text(&self.serial)
    }

    /// Its model.
    pub fn model(&self) -> &str {
        text(&self.model)
    }

    /// The revision of its firmware.
    pub fn firmware(&self) -> &str {
        text(&self.firmware)
    }

    /// Whether it knows Write Zeroes (ONCS bit 3).
    pub const fn can_write_zeroes(&self) -> bool {
        self.commands >> 3 & 1 == 1
    }

    /// Whether it knows Dataset Management (ONCS bit 2).
    pub const fn can_deallocate(&self) -> bool {
        self.commands >> 2 & 1 == 1
    }

    /// Whether it knows Doorbell Buffer Config (OACS bit 8).
    pub const fn has_doorbell_buffer(&self) -> bool {
        self.admin_commands >> 8 & 1 == 1
    }
}

/// The printable part of a padded text.
fn text(bytes: &[u8]) -> &str {
    let end = bytes.iter().position(|byte| !matches!(byte, b' '..=b'~')).unwrap_or(bytes.len());
    core::str::from_utf8(&bytes[..end]).unwrap_or("").trim()
}

/// What a namespace says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// How many blocks it has; never 0.
    pub blocks: u64,
    /// Bytes of a block: a power of two from 512 to 64 KiB.
    pub block_bytes: u32,
    /// Whether it is protected from writing.
    pub is_write_protected: bool,
}

impl Namespace {
    /// Reads the structure, and refuses what cannot be used.
    pub fn new_checked(bytes: &[u8]) -> Result<Self, IdentifyError> {
        if bytes.len() != IDENTIFY_BYTES {
            return Err(IdentifyError::Length);
        }
        let short = IdentifyError::Length;
        let blocks = u64_at(bytes, 0).ok_or(short)?;
        if blocks == 0 {
            return Err(IdentifyError::Empty);
        }
        if u8_at(bytes, 29).ok_or(short)? & 0b111 != 0 {
            return Err(IdentifyError::Protected);
        }
        // More than 16 formats take two more bits to number.
        let (formats, chosen) = (u8_at(bytes, 25).ok_or(short)?, u8_at(bytes, 26).ok_or(short)?);
        let high = if formats > 15 { chosen >> 5 & 0b11 } else { 0 };
        let format = usize::from(high << 4 | chosen & 0xf);
        let at = 128 + 4 * format;
        let metadata = u16_at(bytes, at).ok_or(short)?;
        if metadata != 0 {
            return Err(IdentifyError::Metadata(metadata));
        }
        let shift = u8_at(bytes, at + 2).ok_or(short)?;
        if !(9..=16).contains(&shift) {
            return Err(IdentifyError::BlockSize(shift));
        }
        let is_write_protected = u8_at(bytes, 99).ok_or(short)? & 1 == 1;
        Ok(Self { blocks, block_bytes: 1 << shift, is_write_protected })
    }
}

/// How many I/O queue pairs a controller granted, by the result of
/// [`Command::set_queue_count`](super::Command::set_queue_count) (5.21.1.7).
pub fn granted_queues(result: u32) -> u32 {
    (result & 0xffff).min(result >> 16) + 1
}

/// The ids in a list of namespaces: up to the first 0.
pub fn namespace_ids(bytes: &[u8]) -> impl Iterator<Item = u32> {
    let words = bytes.chunks_exact(4).map_while(|word| u32_at(word, 0));
    words.take_while(|id| *id != 0)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn a_controller() {
        let mut bytes = [0u8; IDENTIFY_BYTES];
        bytes[4..24].copy_from_slice(b"pollux-boot         ");
        bytes[24..64].copy_from_slice(b"QEMU NVMe Ctrl                          ");
        bytes[77] = 7;
        bytes[516] = 0;
        bytes[517] = 1;
        bytes[525] = 1;
        bytes[64..72].copy_from_slice(b"7.2.22  ");
        bytes[256..258].copy_from_slice(&0x12au16.to_le_bytes());
        bytes[259] = 3;
        bytes[520] = 0b1100;
        let controller = Controller::new_checked(&bytes).unwrap();
        assert_eq!((controller.serial(), controller.model()), ("pollux-boot", "QEMU NVMe Ctrl"));
        assert_eq!(controller.max_transfer_bytes, Some(512 << 10));
        assert_eq!((controller.namespaces, controller.has_volatile_cache), (256, true));
        assert_eq!((controller.firmware(), controller.event_requests_most), ("7.2.22", 4));
        assert!(controller.can_write_zeroes() && controller.can_deallocate());
        assert!(controller.has_doorbell_buffer());
        assert_eq!((granted_queues(0x0003_0007), granted_queues(u32::MAX)), (4, 65536));
        bytes[4] = 0xff;
        bytes[77] = 255;
        let controller = Controller::new_checked(&bytes).unwrap();
        assert_eq!((controller.serial(), controller.max_transfer_bytes), ("", None));
    }

    fn namespace() -> [u8; IDENTIFY_BYTES] {
        let mut bytes = [0; IDENTIFY_BYTES];
        bytes[1] = 2;
        bytes[26] = 1;
        bytes[128 + 4 + 2] = 12;
        bytes
    }

    #[test]
    fn namespaces_that_can_be_used_and_others() {
        let read = |change: fn(&mut [u8; IDENTIFY_BYTES])| {
            let mut bytes = namespace();
            change(&mut bytes);
            Namespace::new_checked(&bytes)
        };
        let good = read(|_| {}).unwrap();
        assert_eq!((good.blocks, good.block_bytes, good.is_write_protected), (512, 4096, false));
        assert_eq!(read(|bytes| bytes[1] = 0), Err(IdentifyError::Empty));
        assert_eq!(read(|bytes| bytes[132] = 8), Err(IdentifyError::Metadata(8)));
        assert_eq!(read(|bytes| bytes[29] = 1), Err(IdentifyError::Protected));
        assert_eq!(read(|bytes| bytes[26] = 0), Err(IdentifyError::BlockSize(0)));
        assert!(read(|bytes| bytes[99] = 1).unwrap().is_write_protected);
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..4100)) {
            let mut whole: Vec<u8> = bytes.clone();
            whole.resize(IDENTIFY_BYTES, 0);
            for bytes in [bytes, whole] {
                if let Ok(controller) = Controller::new_checked(&bytes) {
                    prop_assert!(controller.max_transfer_bytes != Some(0));
                    prop_assert!(controller.serial().is_ascii() && controller.model().is_ascii());
                }
                if let Ok(namespace) = Namespace::new_checked(&bytes) {
                    prop_assert!(namespace.block_bytes.is_power_of_two() && namespace.blocks > 0);
                }
                prop_assert!(namespace_ids(&bytes).count() <= bytes.len() / 4);
                prop_assert!(namespace_ids(&bytes).all(|id| id != 0));
            }
        }
    }
}
