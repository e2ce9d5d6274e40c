//! What a benchmark leaves on its boot medium: a partition of our own with a small header, then
//! text.
//!
//! ```text
//! offset 0   8 bytes   "PLXRSLT1"
//!        8   4 bytes   length of the text in bytes
//!       12   4 bytes   CRC-32 (IEEE 802.3) of the text
//!       16             the text: the events of `protocols::events`, one JSON object a line
//! ```
//!
//! Numbers are little-endian. The kernel writes to this partition and to nothing else; `cargo xtask
//! results` reads it.

use crate::fields::{array_at, u32_at};
use crate::gpt::{Guid, crc32};

/// The partition's type: 8d7a1c5e-3f42-4b6b-9d0e-706f6c6c7578.
pub const PARTITION_TYPE: Guid = Guid([
    0x5e, 0x1c, 0x7a, 0x8d, 0x42, 0x3f, 0x6b, 0x4b, 0x9d, 0x0e, 0x70, 0x6f, 0x6c, 0x6c, 0x75, 0x78,
]);

/// The partition's name.
pub const PARTITION_NAME: &str = "pollux-results";

/// Bytes before the text.
pub const HEADER_BYTES: usize = 16;

const MAGIC: [u8; 8] = *b"PLXRSLT1";

/// Why there are no results to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum ResultsError {
    /// Nothing was ever written there.
    #[error("no results there: nothing was ever written")]
    Nothing,
    /// The text is longer than the partition.
    #[error("the results claim to be longer than their partition: damaged")]
    Length,
    /// The sum is wrong: the machine lost power while it wrote, or the medium is failing.
    #[error("the results are damaged (wrong checksum): power lost while writing, or a bad medium")]
    Damaged,
    /// It is no text.
    #[error("the results are no text: damaged")]
    Text,
}

/// The header before `text`. `None`: nobody writes that much.
pub fn header(text: &[u8]) -> Option<[u8; HEADER_BYTES]> {
    let length = u32::try_from(text.len()).ok()?;
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&length.to_le_bytes());
    header[12..].copy_from_slice(&crc32(text).to_le_bytes());
    Some(header)
}

/// The text on a partition, from its first bytes on.
pub fn read(partition: &[u8]) -> Result<&str, ResultsError> {
    if array_at(partition, 0) != Some(MAGIC) {
        return Err(ResultsError::Nothing);
    }
    let number = |at| u32_at(partition, at).ok_or(ResultsError::Length);
    let (length, sum) = (number(8)? as usize, number(12)?);
    let text = partition.get(HEADER_BYTES..).and_then(|rest| rest.get(..length));
    let text = text.ok_or(ResultsError::Length)?;
    if crc32(text) != sum {
        return Err(ResultsError::Damaged);
    }
    core::str::from_utf8(text).map_err(|_| ResultsError::Text)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;
    use std::vec;
    use std::vec::Vec;

    #[test]
    fn the_type_reads_as_published() {
        assert_eq!(PARTITION_TYPE.to_string(), "8d7a1c5e-3f42-4b6b-9d0e-706f6c6c7578");
    }

    #[test]
    fn an_empty_partition() {
        assert_eq!(read(&[0; 512]), Err(ResultsError::Nothing));
        assert_eq!(read(&[]), Err(ResultsError::Nothing));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_damage_is_seen(text in "\\PC{1,200}", spot: usize, bit in 0u8..8) {
            let mut partition: Vec<u8> = header(text.as_bytes()).unwrap().to_vec();
            partition.extend_from_slice(text.as_bytes());
            let end = partition.len();
            partition.extend_from_slice(&[0xee; 40]);
            prop_assert_eq!(read(&partition), Ok(text.as_str()));
            partition[spot % end] ^= 1 << bit;
            prop_assert!(read(&partition).is_err());
        }

        #[test]
        fn any_bytes(tail in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut partition = vec![];
            partition.extend_from_slice(&MAGIC);
            partition.extend_from_slice(&tail);
            let _ = read(&partition);
            let _ = read(&tail);
        }
    }
}
