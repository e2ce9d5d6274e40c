//! GUID partition tables: which parts of a disk are what.
//!
//! A table is a header block, at block 1 and once more at the disk's last block, and an array of
//! entries that each header names. Both are under CRC-32. Pure: whoever reads the disk asks
//! [`Header`] which blocks hold the entries, and gives their bytes to [`Header::entries`]. A table
//! is used as a whole or not at all: where one entry makes no sense, none is believed. What a disk
//! without a table has in its first block, [`FirstBlock`] says.
//!
//! Source: UEFI Specification 2.10, sections 5.2 and 5.3.

mod entries;
mod first_block;
mod guid;

pub use self::entries::{Attributes, Entries, Entry};
pub use self::first_block::FirstBlock;
pub use self::guid::Guid;

use crate::fields::{array_at, u32_at, u64_at};

/// Where the primary header is; the backup is in the last block.
pub const PRIMARY_LBA: u64 = 1;

const SIGNATURE: [u8; 8] = *b"EFI PART";
const HEADER_BYTES: usize = 92;
/// Most bytes of entries that are believed: 1,024 entries of 128 bytes.
const MOST_ENTRY_BYTES: u64 = 128 << 10;

/// Why a table cannot be used. Try the backup; never write to such a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum GptError {
    /// There is no table.
    #[error("no GUID partition table")]
    Absent,
    /// A header's or an array's sum is wrong.
    #[error("the partition table is damaged: wrong checksum")]
    Checksum,
    /// Numbers in it contradict the disk or each other.
    #[error("the partition table makes no sense: {0}")]
    Nonsense(&'static str),
}

/// CRC-32 as IEEE 802.3 and GPT have it.
pub fn crc32(bytes: &[u8]) -> u32 {
    const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    CRC.checksum(bytes)
}

/// A header that checks out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The disk.
    pub disk: Guid,
    /// First block partitions may have.
    pub first_usable: u64,
    /// Last block partitions may have.
    pub last_usable: u64,
    /// First block of the entries.
    pub entries_lba: u64,
    entry_count: u32,
    entry_bytes: u32,
    entries_crc: u32,
}

impl Header {
    /// Reads the header in `block`, which was read from `lba` of a disk of `blocks` blocks.
    pub fn new_checked(block: &[u8], lba: u64, blocks: u64) -> Result<Self, GptError> {
        if array_at(block, 0) != Some(SIGNATURE) {
            return Err(GptError::Absent);
        }
        let nonsense = GptError::Nonsense;
        let short = nonsense("the block is too short");
        let word = |at| u32_at(block, at).ok_or(short);
        let long = |at| u64_at(block, at).ok_or(short);
        let length = word(12)? as usize;
        if !(HEADER_BYTES..=block.len()).contains(&length) {
            return Err(nonsense("the header's length"));
        }
        if header_crc(&block[..length]) != word(16)? {
            return Err(GptError::Checksum);
        }
        if word(8)? >> 16 != 1 {
            return Err(nonsense("its revision is not 1"));
        }
        if long(24)? != lba {
            return Err(nonsense("it belongs to another block"));
        }
        let header = Self {
            disk: Guid(array_at(block, 56).ok_or(short)?),
            first_usable: long(40)?,
            last_usable: long(48)?,
            entries_lba: long(72)?,
            entry_count: word(80)?,
            entry_bytes: word(84)?,
            entries_crc: word(88)?,
        };
        if header.first_usable > header.last_usable || header.last_usable >= blocks {
            return Err(nonsense("its usable blocks are not on the disk"));
        }
        if header.entry_bytes < 128 || !header.entry_bytes.is_power_of_two() {
            return Err(nonsense("the size of its entries"));
        }
        let bytes = u64::from(header.entry_count) * u64::from(header.entry_bytes);
        if bytes == 0 || bytes > MOST_ENTRY_BYTES {
            return Err(nonsense("the number of its entries"));
        }
        let end = header.entries_lba.checked_add(bytes.div_ceil(block.len() as u64));
        let is_clear = |end| end <= header.first_usable || header.entries_lba > header.last_usable;
        if header.entries_lba < 2 || !end.is_some_and(|end| end <= blocks && is_clear(end)) {
            return Err(nonsense("the place of its entries"));
        }
        Ok(header)
    }

    /// Whether the other one, the backup, says the same.
    pub fn agrees_with(&self, other: &Header) -> bool {
        // They are in different places, as they should be.
        Self { entries_lba: other.entries_lba, ..*self } == *other
    }

    /// How many bytes the entries have: at most 128 KiB, at least 128.
    pub const fn entries_bytes(&self) -> usize {
        self.entry_count as usize * self.entry_bytes as usize
    }

    /// The entries in `bytes`, which were read from [`entries_lba`](Self::entries_lba) on; more may
    /// follow them.
    ///
    /// # Errors
    /// Their sum is wrong, they are not all there, or a partition overlaps another or reaches
    /// beyond the blocks it may have.
    pub fn entries<'a>(&self, bytes: &'a [u8]) -> Result<Entries<'a>, GptError> {
        let bytes = bytes
            .get(..self.entries_bytes())
            .ok_or(GptError::Nonsense("its entries are not all there"))?;
        if crc32(bytes) != self.entries_crc {
            return Err(GptError::Checksum);
        }
        let entry_bytes = self.entry_bytes as usize;
        Entries::new_checked(bytes, entry_bytes, self.first_usable, self.last_usable)
    }
}

/// The header's sum, taken with the field for it zero.
fn header_crc(header: &[u8]) -> u32 {
    const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    let mut digest = CRC.digest();
    digest.update(header.get(..16).unwrap_or(&[]));
    digest.update(&[0; 4]);
    digest.update(header.get(20..).unwrap_or(&[]));
    digest.finalize()
}

#[cfg(test)]
mod tests;
