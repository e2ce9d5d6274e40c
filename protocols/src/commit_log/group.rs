//! A group: what is written at once, in whole blocks.
//!
//! ```text
//! offset   0   8 bytes  "PLXGROUP"           36  16  the log
//!          8   4        CRC-32 of the rest   52   8  place: blocks before it in the log's life
//!         12   4        kind: 1 or 2         60   8  sequence of the first record, or of the next
//!         16   4        blocks               68  32  the chain's hash before it
//!         20   4        bytes of content    100      content, then zeros to the last block's end
//!         24   4        records, or number of the piece
//!         28   4        0, or bytes of the whole state
//!         32   4        opening
//! ```
//!
//! Kind 1: records, each as its length in two bytes and its encoding. Kind 2: a piece of a state.
//! The sum is over all its blocks.

use alloc::vec::Vec;

use super::Flaw;
use crate::axiom::Hash;
use crate::fields::{array_at, u16_at, u32_at, u64_at};
use crate::gpt::crc32;

const MAGIC: [u8; 8] = *b"PLXGROUP";
/// Bytes before the content.
pub const HEAD_BYTES: usize = 100;

/// What a group holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// So many records. None: it fills a segment up.
    Records(u32),
    /// A piece of a state.
    Piece {
        /// Which, from 0 on.
        number: u32,
        /// Bytes of the whole state.
        total: u32,
    },
}

/// A group's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// What it holds.
    pub kind: Kind,
    /// How many blocks it has.
    pub blocks: u32,
    /// Which opening of the log wrote it.
    pub opening: u32,
    /// Which log.
    pub log: [u8; 16],
    /// Blocks before it in the log's life.
    pub place: u64,
    /// The sequence of its first record, or of the record after it.
    pub sequence: u64,
    /// The chain's hash before it.
    pub before: Hash,
}

impl Group {
    /// Its blocks, of `block_size` bytes. `content` fits into them.
    pub fn encode(&self, content: &[u8], block_size: u32) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.blocks as usize * block_size as usize);
        bytes.extend_from_slice(&MAGIC);
        let (kind, count, total) = match self.kind {
            Kind::Records(count) => (1, count, 0),
            Kind::Piece { number, total } => (2, number, total),
        };
        let length = content.len() as u32;
        for word in [0, kind, self.blocks, length, count, total, self.opening] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(&self.log);
        bytes.extend_from_slice(&self.place.to_le_bytes());
        bytes.extend_from_slice(&self.sequence.to_le_bytes());
        bytes.extend_from_slice(&self.before.0);
        bytes.extend_from_slice(content);
        bytes.resize(self.blocks as usize * block_size as usize, 0);
        let sum = crc32(&bytes[12..]);
        bytes[8..12].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The group that begins with `bytes`, which reach to the end of its segment, and its content.
    pub fn new_checked(bytes: &[u8], block_size: u32) -> Result<(Self, &[u8]), Flaw> {
        let block = bytes.get(..block_size as usize).ok_or(Flaw::NoGroup)?;
        if block.iter().all(|byte| *byte == 0) {
            return Err(Flaw::Blank);
        }
        if array_at(block, 0) != Some(MAGIC) {
            return Err(Flaw::NoGroup);
        }
        let (group, length) = Self::read(block).ok_or(Flaw::Head)?;
        let end = group.blocks as usize * block_size as usize;
        let whole = bytes.get(..end).filter(|whole| !whole.is_empty()).ok_or(Flaw::Head)?;
        let content = whole.get(HEAD_BYTES..).and_then(|rest| rest.get(..length));
        let content = content.ok_or(Flaw::Head)?;
        if u32_at(block, 8) != Some(crc32(&whole[12..])) {
            return Err(Flaw::Checksum);
        }
        Ok((group, content))
    }

    /// Whether a group begins with `block`, by its first bytes.
    pub fn is_at(block: &[u8]) -> bool {
        array_at(block, 0) == Some(MAGIC)
    }

    /// What the group that begins with `block` says of itself, whatever its sum.
    pub fn claimed(block: &[u8]) -> Option<Self> {
        if Self::is_at(block) { Self::read(block).map(|(group, _)| group) } else { None }
    }

    fn read(block: &[u8]) -> Option<(Self, usize)> {
        let (count, total) = (u32_at(block, 24)?, u32_at(block, 28)?);
        let kind = match (u32_at(block, 12)?, total) {
            (1, 0) => Kind::Records(count),
            (2, total) => Kind::Piece { number: count, total },
            _ => return None,
        };
        let group = Self {
            kind,
            blocks: u32_at(block, 16)?,
            opening: u32_at(block, 32)?,
            log: array_at(block, 36)?,
            place: u64_at(block, 52)?,
            sequence: u64_at(block, 60)?,
            before: Hash(array_at(block, 68)?),
        };
        Some((group, u32_at(block, 20)? as usize))
    }
}

/// Appends a record to a group's content.
pub fn put_record(record: &[u8], content: &mut Vec<u8>) {
    content.extend_from_slice(&(record.len() as u16).to_le_bytes());
    content.extend_from_slice(record);
}

/// The records in a group's content: exactly `count`.
pub fn records(content: &[u8], count: u32) -> Result<impl Iterator<Item = &[u8]>, Flaw> {
    let (mut rest, mut there) = (content, 0u32);
    while !rest.is_empty() {
        split_record(&mut rest).ok_or(Flaw::Division)?;
        there += 1;
    }
    if there != count {
        return Err(Flaw::Division);
    }
    let mut rest = content;
    Ok(core::iter::from_fn(move || split_record(&mut rest)))
}

fn split_record<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::from(u16_at(rest, 0)?);
    let record = rest.get(2..2 + length)?;
    *rest = &rest[2 + length..];
    Some(record)
}
