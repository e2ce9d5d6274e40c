//! The log that names the queued command that failed (ACS-3, A.14: NCQ Command Error log).

use super::{Outcome, SECTOR_BYTES};
use crate::fields::u8_at;

/// Why the page cannot be used: which command failed is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum LogError {
    /// Not 512 bytes.
    #[error("a log page has {SECTOR_BYTES} bytes")]
    Length,
    /// The checksum it carries is not its own.
    #[error("the page was damaged on the way")]
    Checksum,
    /// The command that failed was not a queued one.
    #[error("the command that failed was not a queued one")]
    NotQueued,
}

/// The queued command that failed, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueError {
    /// Its tag, below 32.
    pub tag: u8,
    /// How it ended.
    pub outcome: Outcome,
}

impl QueueError {
    /// Reads the page.
    pub fn new_checked(bytes: &[u8]) -> Result<Self, LogError> {
        if bytes.len() != SECTOR_BYTES {
            return Err(LogError::Length);
        }
        if bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) != 0 {
            return Err(LogError::Checksum);
        }
        let byte = |at| u8_at(bytes, at).ok_or(LogError::Length);
        if byte(0)? & 0x80 != 0 {
            return Err(LogError::NotQueued);
        }
        Ok(Self { tag: byte(0)? & 0x1f, outcome: Outcome::new(byte(2)?, byte(3)?) })
    }

    /// The page that says so.
    pub fn page(&self) -> [u8; SECTOR_BYTES] {
        let mut bytes = [0; SECTOR_BYTES];
        bytes[0] = self.tag & 0x1f;
        bytes[2] = self.outcome.status.0;
        bytes[3] = self.outcome.error.0;
        let sum = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        bytes[SECTOR_BYTES - 1] = 0u8.wrapping_sub(sum);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn there_and_back(tag in 0u8..32, status: u8, error: u8, at in 0usize..512, flip in 1u8..) {
            let failed = QueueError { tag, outcome: Outcome::new(status, error) };
            let mut page = failed.page();
            prop_assert_eq!(QueueError::new_checked(&page), Ok(failed));
            prop_assert_eq!(QueueError::new_checked(&page[1..]), Err(LogError::Length));
            page[at] ^= flip;
            prop_assert_eq!(QueueError::new_checked(&page), Err(LogError::Checksum));
        }

        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 512)) {
            let _ = QueueError::new_checked(&bytes);
        }
    }

    #[test]
    fn a_command_that_was_not_queued() {
        let mut page = QueueError { tag: 0, outcome: Outcome::new(0, 0) }.page();
        (page[0], page[511]) = (0x80, 0x80);
        assert_eq!(QueueError::new_checked(&page), Err(LogError::NotQueued));
    }
}
