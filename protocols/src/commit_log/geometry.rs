//! Where on the partition what is.

use crate::gpt::Guid;

/// Bytes of a segment, where the partition is large enough.
pub const SEGMENT_BYTES: u64 = 64 << 10;
/// Least bytes of a segment.
const SEGMENT_LEAST: u64 = 4096;
/// Most bytes of a segment that are believed: what recovery reads at once.
const SEGMENT_MOST: u64 = 1 << 20;
/// A log has at least so many segments.
const SEGMENTS_LEAST: u32 = 8;
/// Bytes from one header to the other: no disk writes them as one.
pub(super) const SLOT_BYTES: u64 = 4096;
/// Bytes of both headers: where the ring begins.
pub const HEADERS_BYTES: u64 = 2 * SLOT_BYTES;
/// Block sizes there are.
const BLOCK_SIZES: core::ops::RangeInclusive<u32> = 512..=4096;

/// A partition for a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its own GUID, by its table.
    pub id: Guid,
    /// Bytes of a block: 512, 1024, 2048 or 4096.
    pub block_size: u32,
    /// How many there are.
    pub blocks: u64,
}

/// No log fits there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum TooSmall {
    /// Blocks of such a size are not supported.
    #[error("blocks of {0} bytes are not supported: 512 to 4096")]
    BlockSize(u32),
    /// Make it larger.
    #[error("the partition has {there} bytes, a log takes {needed} or more")]
    Bytes {
        /// What it has.
        there: u64,
        /// The least it needs.
        needed: u64,
    },
}

/// How a partition is divided. Made once, kept in the headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes of a block.
    pub block_size: u32,
    /// Blocks of a segment.
    pub segment_blocks: u32,
    /// How many segments.
    pub segments: u32,
}

impl Geometry {
    /// For a new log on `partition`.
    pub fn of(partition: &Partition) -> Result<Self, TooSmall> {
        let block_size = partition.block_size;
        if !BLOCK_SIZES.contains(&block_size) || !block_size.is_power_of_two() {
            return Err(TooSmall::BlockSize(block_size));
        }
        let there = partition.blocks.saturating_mul(block_size.into());
        let ring = there.saturating_sub(HEADERS_BYTES);
        let mut segment = SEGMENT_BYTES;
        while segment > SEGMENT_LEAST && ring / segment < u64::from(SEGMENTS_LEAST) {
            segment /= 2;
        }
        let segments = u32::try_from(ring / segment).unwrap_or(u32::MAX);
        if segments < SEGMENTS_LEAST {
            let needed = HEADERS_BYTES + u64::from(SEGMENTS_LEAST) * segment;
            return Err(TooSmall::Bytes { there, needed });
        }
        Ok(Self { block_size, segment_blocks: (segment / u64::from(block_size)) as u32, segments })
    }

    /// Whether a log could be so divided. It need not fit anywhere.
    pub(super) fn is_sound(&self) -> bool {
        let segment = u64::from(self.segment_blocks) * u64::from(self.block_size);
        BLOCK_SIZES.contains(&self.block_size)
            && self.block_size.is_power_of_two()
            && (SEGMENT_LEAST..=SEGMENT_MOST).contains(&segment)
            && self.segments >= SEGMENTS_LEAST
    }

    /// Blocks from the partition's beginning to the ring's end.
    pub fn blocks(&self) -> u64 {
        self.first() + self.ring()
    }

    /// Blocks of the ring.
    pub fn ring(&self) -> u64 {
        u64::from(self.segment_blocks) * u64::from(self.segments)
    }

    /// The block of the header in slot 0 or 1.
    pub fn header(&self, slot: usize) -> u64 {
        header_block(self.block_size, slot)
    }

    /// The first block of the ring.
    pub fn first(&self) -> u64 {
        first_block(self.block_size)
    }

    /// The block on the partition for `place` in the log.
    pub fn block(&self, place: u64) -> u64 {
        self.first() + place % self.ring()
    }

    /// The segment on the partition for `place` in the log.
    pub fn segment(&self, place: u64) -> u32 {
        (place / u64::from(self.segment_blocks) % u64::from(self.segments)) as u32
    }

    /// Where the segment of `place` begins.
    pub(super) fn segment_start(&self, place: u64) -> u64 {
        place - place % u64::from(self.segment_blocks)
    }

    /// Blocks from `place` to the end of its segment.
    pub(super) fn left(&self, place: u64) -> u32 {
        self.segment_blocks - (place % u64::from(self.segment_blocks)) as u32
    }
}

/// The block of the header in `slot`.
pub(super) fn header_block(block_size: u32, slot: usize) -> u64 {
    slot as u64 * SLOT_BYTES / u64::from(block_size)
}

/// The first block after the headers.
pub(super) fn first_block(block_size: u32) -> u64 {
    HEADERS_BYTES / u64::from(block_size)
}
