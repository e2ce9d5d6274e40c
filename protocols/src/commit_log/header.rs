//! The two headers: which log, where it begins, what of it is durable.
//!
//! ```text
//! offset   0   8 bytes  "PLXCLOG1"            56  16  the log: random bytes of its Genesis
//!          8   4        CRC-32 of the rest    72  48  where it begins: place, sequence, hash
//!         12   4        version: 1           120  48  the durable head: place, sequence, hash
//!         16   8        generation           168      zeros to the block's end
//!         24   4        bytes of a block
//!         28   4        blocks of a segment
//!         32   4        segments
//!         36   4        opening
//!         40  16        the partition's GUID
//! ```
//!
//! Numbers are little-endian. The header of generation g lies in slot g mod 2.

use alloc::vec;
use alloc::vec::Vec;

use super::geometry::SLOT_BYTES;
use super::{Geometry, Mark};
use crate::axiom::Hash;
use crate::fields::{array_at, u32_at, u64_at};
use crate::gpt::{Guid, crc32};

const MAGIC: [u8; 8] = *b"PLXCLOG1";
/// The format described here.
pub const VERSION: u32 = 1;
const BYTES: usize = 168;

/// A header's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Counts headers written.
    pub generation: u64,
    /// How the partition is divided.
    pub geometry: Geometry,
    /// Counts how often the log was opened to be written to.
    pub opening: u32,
    /// The partition the log was made on.
    pub partition: Guid,
    /// Which log.
    pub log: [u8; 16],
    /// Where it begins: with its first record, or with the state of a checkpoint.
    pub begin: Mark,
    /// Everything before this is durable.
    pub head: Mark,
}

/// Why a header cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum HeaderFlaw {
    /// Zeros.
    #[error("is blank")]
    Blank,
    /// Something else.
    #[error("holds no header")]
    Magic,
    /// Changed, or half written.
    #[error("has a wrong checksum")]
    Checksum,
    /// Another version.
    #[error("has version {0}")]
    Version(u32),
    /// Its numbers cannot be.
    #[error("makes no sense")]
    Nonsense,
    /// It belongs to the other slot.
    #[error("holds the other header")]
    Slot,
}

impl Header {
    /// The slot it lies in.
    pub const fn slot(&self) -> usize {
        (self.generation % 2) as usize
    }

    /// Its block.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.geometry.block_size as usize];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &MAGIC);
        put(12, &VERSION.to_le_bytes());
        put(16, &self.generation.to_le_bytes());
        put(24, &self.geometry.block_size.to_le_bytes());
        put(28, &self.geometry.segment_blocks.to_le_bytes());
        put(32, &self.geometry.segments.to_le_bytes());
        put(36, &self.opening.to_le_bytes());
        put(40, &self.partition.0);
        put(56, &self.log);
        for (at, mark) in [(72, &self.begin), (120, &self.head)] {
            put(at, &mark.place.to_le_bytes());
            put(at + 8, &mark.sequence.to_le_bytes());
            put(at + 16, &mark.hash.0);
        }
        let sum = crc32(&bytes[12..]);
        bytes[8..12].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The header that begins `slot`, a part of the partition of [`SLOT_BYTES`], which may have been
    /// written in blocks of another size.
    pub fn new_checked(slot_bytes: &[u8], slot: usize) -> Result<Self, HeaderFlaw> {
        if slot_bytes.iter().all(|byte| *byte == 0) {
            return Err(HeaderFlaw::Blank);
        }
        if array_at(slot_bytes, 0) != Some(MAGIC) {
            return Err(HeaderFlaw::Magic);
        }
        let size = u32_at(slot_bytes, 24).unwrap_or(0) as usize;
        let block = slot_bytes.get(..size).filter(|block| block.len() >= BYTES);
        let block = block.ok_or(HeaderFlaw::Checksum)?;
        if u32_at(block, 8) != Some(crc32(&block[12..])) {
            return Err(HeaderFlaw::Checksum);
        }
        match u32_at(block, 12) {
            Some(VERSION) => {}
            version => return Err(HeaderFlaw::Version(version.unwrap_or(0))),
        }
        let header = Self::read(block).filter(Self::is_sound).ok_or(HeaderFlaw::Nonsense)?;
        if header.slot() == slot { Ok(header) } else { Err(HeaderFlaw::Slot) }
    }

    fn read(block: &[u8]) -> Option<Self> {
        let mark = |at| {
            let (place, sequence) = (u64_at(block, at)?, u64_at(block, at + 8)?);
            Some(Mark { place, sequence, hash: Hash(array_at(block, at + 16)?) })
        };
        Some(Self {
            generation: u64_at(block, 16)?,
            geometry: Geometry {
                block_size: u32_at(block, 24)?,
                segment_blocks: u32_at(block, 28)?,
                segments: u32_at(block, 32)?,
            },
            opening: u32_at(block, 36)?,
            partition: Guid(array_at(block, 40)?),
            log: array_at(block, 56)?,
            begin: mark(72)?,
            head: mark(120)?,
        })
    }

    fn is_sound(&self) -> bool {
        let Self { begin, head, geometry, .. } = self;
        geometry.is_sound()
            && begin.place <= head.place
            && head.place - begin.place <= geometry.ring()
            // Nobody writes so much: what follows may count on.
            && head.place < u64::MAX >> 1
            && begin.sequence <= head.sequence
            && self.generation < u64::MAX >> 1
    }
}

/// Both headers in the first [`HEADERS_BYTES`] of a partition.
pub(super) fn both(bytes: &[u8]) -> [Result<Header, HeaderFlaw>; 2] {
    [0, 1].map(|slot| {
        let start = slot * SLOT_BYTES as usize;
        let end = start + SLOT_BYTES as usize;
        Header::new_checked(bytes.get(start..end).unwrap_or(&[]), slot)
    })
}

/// The highest generation of the headers in the first [`HEADERS_BYTES`] of a partition, of whatever
/// log; 0: there is none. What is to win over them needs a higher one.
pub fn newest_generation(bytes: &[u8]) -> u64 {
    both(bytes).iter().flatten().map(|header| header.generation).max().unwrap_or(0)
}
