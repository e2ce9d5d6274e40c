//! What a controller keeps about itself: health, errors, changed namespaces (NVMe 1.4, section
//! 5.14.1).

use super::{NAMESPACES_LISTED, Status, namespace_ids};
use crate::fields::{array_at, u8_at, u16_at, u32_at, u64_at};

/// Which log page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LogPage {
    /// Errors, the latest first.
    Errors = 0x01,
    /// Health and wear.
    Health = 0x02,
    /// Namespaces that changed since it was last read.
    ChangedNamespaces = 0x04,
}

/// The page is shorter than it has to be. Ask again, or do without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
#[error("a log page is shorter than the specification says")]
pub struct ShortLogPage;

/// Bytes of the health page.
pub const HEALTH_BYTES: usize = 512;

/// Health and wear (5.14.1.2). Counters stop at their highest value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// What is wrong now.
    pub warnings: Warnings,
    /// Temperature of the whole, in kelvins; 0: it does not say.
    pub temperature: u16,
    /// What is left of the spare blocks, in percent.
    pub spare_percent: u8,
    /// Below this it warns.
    pub spare_threshold_percent: u8,
    /// How much of its life is used up, by the vendor's estimate; may exceed 100.
    pub used_percent: u8,
    /// What was read, in units of 1000 blocks of 512 bytes.
    pub units_read: u128,
    /// What was written, in the same units.
    pub units_written: u128,
    /// Read commands carried out.
    pub reads: u128,
    /// Write commands carried out.
    pub writes: u128,
    /// Minutes it was busy.
    pub busy_minutes: u128,
    /// Times it was switched on.
    pub power_cycles: u128,
    /// Hours it was on.
    pub power_on_hours: u128,
    /// Times power went without notice.
    pub unsafe_shutdowns: u128,
    /// Times data could not be kept or given back.
    pub media_errors: u128,
    /// Entries ever written to the error log.
    pub error_log_entries: u128,
}

impl Health {
    /// Reads the page.
    ///
    /// # Errors
    /// Fewer than [`HEALTH_BYTES`] bytes.
    pub fn new_checked(bytes: &[u8]) -> Result<Self, ShortLogPage> {
        if bytes.len() < HEALTH_BYTES {
            return Err(ShortLogPage);
        }
        let byte = |at| u8_at(bytes, at).ok_or(ShortLogPage);
        let counter = |at| array_at(bytes, at).map(u128::from_le_bytes).ok_or(ShortLogPage);
        Ok(Self {
            warnings: Warnings(byte(0)?),
            temperature: u16_at(bytes, 1).ok_or(ShortLogPage)?,
            spare_percent: byte(3)?,
            spare_threshold_percent: byte(4)?,
            used_percent: byte(5)?,
            units_read: counter(32)?,
            units_written: counter(48)?,
            reads: counter(64)?,
            writes: counter(80)?,
            busy_minutes: counter(96)?,
            power_cycles: counter(112)?,
            power_on_hours: counter(128)?,
            unsafe_shutdowns: counter(144)?,
            media_errors: counter(160)?,
            error_log_entries: counter(176)?,
        })
    }

    /// Temperature in degrees Celsius, if it says one.
    pub fn celsius(&self) -> Option<i32> {
        (self.temperature != 0).then(|| i32::from(self.temperature) - 273)
    }
}

/// What is wrong with a device, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warnings(pub u8);

impl Warnings {
    const WORDS: [&'static str; 6] = [
        "few spare blocks are left",
        "its temperature is beyond the limits",
        "it has become unreliable",
        "it has become read-only",
        "its power backup has failed",
        "its persistent memory has become unreliable",
    ];

    /// In words; empty if all is well.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        Self::WORDS.into_iter().enumerate().filter_map(move |(bit, words)| {
            let is_set = self.0 >> bit & 1 == 1;
            is_set.then_some(words)
        })
    }
}

/// Bytes of an entry of the error log.
pub const ERROR_BYTES: usize = 64;

/// An entry of the error log (5.14.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorEntry {
    /// Counts errors over the life of the controller; never 0.
    pub number: u64,
    /// The queue and the command it happened to; `u16::MAX`: to none.
    pub queue: u16,
    /// See `queue`.
    pub command: u16,
    /// How the command ended.
    pub status: Status,
    /// The first block concerned.
    pub lba: u64,
    /// The namespace concerned.
    pub namespace: u32,
}

/// The entries of the error log that say something, the latest first. Bytes left over at the end
/// are ignored.
pub fn error_entries(bytes: &[u8]) -> impl Iterator<Item = ErrorEntry> {
    bytes.chunks_exact(ERROR_BYTES).filter_map(|entry| {
        let number = u64_at(entry, 0).filter(|number| *number != 0)?;
        let status = u16_at(entry, 12)? >> 1;
        Some(ErrorEntry {
            number,
            queue: u16_at(entry, 8)?,
            command: u16_at(entry, 10)?,
            status: Status {
                kind: (status >> 8 & 0b111) as u8,
                code: status as u8,
                do_not_retry: status >> 14 & 1 == 1,
            },
            lba: u64_at(entry, 16)?,
            namespace: u32_at(entry, 24)?,
        })
    })
}

/// Bytes of the page of changed namespaces.
pub const CHANGED_BYTES: usize = 4 * NAMESPACES_LISTED;

/// Which namespaces changed (5.14.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed<'a> {
    /// So many that they are not listed.
    Any,
    /// Those in this list.
    Listed(&'a [u8]),
}

impl<'a> Changed<'a> {
    /// Reads the page; whatever it says is some list.
    pub fn read(bytes: &'a [u8]) -> Self {
        if u32_at(bytes, 0) == Some(u32::MAX) { Self::Any } else { Self::Listed(bytes) }
    }

    /// Whether namespace `id` is among them.
    pub fn contains(&self, id: u32) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(bytes) => namespace_ids(bytes).any(|listed| listed == id),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn a_health_page() {
        let mut bytes = [0u8; HEALTH_BYTES];
        bytes[..6].copy_from_slice(&[0b101, 0x43, 0x01, 100, 10, 3]);
        bytes[32] = 9;
        bytes[176 + 15] = 0x80;
        let health = Health::new_checked(&bytes).unwrap();
        assert_eq!((health.celsius(), health.spare_percent), (Some(50), 100));
        assert_eq!((health.units_read, health.error_log_entries), (9, 1 << 127));
        let words: Vec<_> = health.warnings.words().collect();
        assert_eq!(words, ["few spare blocks are left", "it has become unreliable"]);
        assert_eq!(Health::new_checked(&bytes[1..]), Err(ShortLogPage));
    }

    #[test]
    fn an_error_log() {
        let mut bytes = [0u8; 3 * ERROR_BYTES];
        bytes[0] = 7;
        bytes[8..14].copy_from_slice(&[1, 0, 2, 0, 0x02, 0x05]);
        bytes[16] = 99;
        bytes[24] = 1;
        bytes[2 * ERROR_BYTES + 1] = 1;
        let entries: Vec<_> = error_entries(&bytes).collect();
        assert_eq!(entries.len(), 2);
        let first = entries[0];
        assert_eq!((first.number, first.queue, first.command), (7, 1, 2));
        assert_eq!((first.status.kind, first.status.code), (2, 0x81));
        assert_eq!((first.lba, first.namespace, entries[1].number), (99, 1, 256));
    }

    #[test]
    fn changed_namespaces() {
        let mut bytes = [0u8; CHANGED_BYTES];
        bytes[0] = 3;
        assert!(Changed::read(&bytes).contains(3) && !Changed::read(&bytes).contains(4));
        bytes[..4].fill(0xff);
        assert_eq!(Changed::read(&bytes), Changed::Any);
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..1100)) {
            prop_assert_eq!(Health::new_checked(&bytes).is_ok(), bytes.len() >= HEALTH_BYTES);
            prop_assert!(error_entries(&bytes).all(|entry| entry.number != 0));
            prop_assert!(!Changed::read(&[]).contains(1));
            let _ = Changed::read(&bytes).contains(7);
        }
    }
}
