//! The CommitLog on a disk: a partition of our own type that keeps the records of
//! [`axiom`](crate::axiom) over power cuts.
//!
//! ```text
//!  byte 0     4096      8192
//!  │ header 0 │ header 1 │ segment 0 │ segment 1 │ … │ segment n-1 │   a ring, each 64 KiB
//!                          └ groups: head, records or a piece of a state, zeros to the block's end
//!
//!  Writer:    groups ─► flush ─► header ─► flush ─► durable
//!  Recovery:  newest header ─► from where the log begins, group by group ─► durable head ─► tail
//! ```
//!
//! - A **group** is whole blocks, under CRC-32, with its place in the log, the sequence of its
//!   first record and the chain's hash before that. It lies in one segment. Blocks that hold
//!   anything durable are not written to until their segment is given up.
//! - The two **headers** are written in turn, each with a generation one higher. A header says
//!   which log this is, on which partition, where it begins and what is durable: place, sequence
//!   and hash. It is written after what it speaks of was flushed, and nobody is told that anything
//!   is durable before the header was flushed as well.
//! - A **checkpoint** is the state in pieces, then the `Checkpoint` record with its hash. A log
//!   that wraps begins with one: what was before it may be overwritten once *both* headers say so.
//! - What a power cut leaves after the durable head is a **tail**: groups that follow, whole and
//!   chained, still happened and are taken; from the first that is none on, all is dropped.
//! - Before the durable head everything must be there. If it isn't, the log is [refused](Refusal)
//!   with place and reason, and nobody writes to it any more; only a person can begin anew.
//!
//! One damaged header is no reason to refuse: the other one tells less, never anything wrong, and
//! the tail has the rest. What cannot be noticed here: that somebody puts back an older header
//! *with* the older records, or makes a new log with correct sums. That takes an anchor for the
//! head elsewhere, such as the TPM's, which there is not yet.
//!
//! Pure: [`Writer`] and [`Recovery`] say what to read, write and flush; the caller does it.

mod found;
mod geometry;
mod group;
mod header;
mod recovery;
mod refusal;
#[cfg(test)]
mod tests;
mod writer;

pub use found::{Found, Kept, Log, Seen, Tail};
pub use geometry::{Geometry, HEADERS_BYTES, Partition, SEGMENT_BYTES, TooSmall};
pub use header::{Header, HeaderFlaw, newest_generation};
pub use recovery::{Blocks, Recovery};
pub use refusal::{Damage, Flaw, Refusal};
pub use writer::{Start, Step, WriteError, Writer};

use crate::axiom::Hash;
use crate::axiom::replay::Replay;
use crate::gpt::Guid;

/// The partition's type: a3c1f0d2-6b57-4e1c-8f2a-706f6c6c7578.
pub const PARTITION_TYPE: Guid = Guid([
    0xd2, 0xf0, 0xc1, 0xa3, 0x57, 0x6b, 0x1c, 0x4e, 0x8f, 0x2a, 0x70, 0x6f, 0x6c, 0x6c, 0x75, 0x78,
]);

/// The partition's name.
pub const PARTITION_NAME: &str = "pollux-commits";

/// A point in a log, between two records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Blocks written before it in the log's whole life.
    pub place: u64,
    /// The next record's sequence.
    pub sequence: u64,
    /// The chain's hash.
    pub hash: Hash,
}

impl Mark {
    /// Where `replay` is, at `place`.
    fn of(replay: &Replay, place: u64) -> Self {
        Self { place, sequence: replay.next(), hash: replay.hash() }
    }
}
