//! Reads the CommitLog in the bytes of a partition with the kernel's own recovery, and says which of
//! these bytes it stands on.

use std::ops::Range;

use anyhow::{Context, Result};
use protocols::axiom::Hash;
use protocols::commit_log::{self, Blocks, Kept, Partition, Recovery, Refusal, Seen};

use super::found::Found;

/// A log on a partition.
#[derive(Debug)]
pub struct Read {
    /// Its records.
    pub found: Found,
    /// The log, if one has begun.
    pub log: Option<commit_log::Log>,
}

/// Reads and verifies all of it.
///
/// # Errors
/// As the kernel.
pub fn read(partition: Partition, bytes: &[u8]) -> Result<Read, Refusal> {
    let mut found = Found::nothing();
    let mut see = |seen: Seen<'_>| match seen {
        Seen::Beginning(replay) => {
            found = Found { first: replay.next(), hashes: vec![replay.hash()], durable: 0 };
        }
        Seen::Record { replay, kept, .. } => {
            found.hashes.push(replay.hash());
            if kept == Kept::Durable {
                found.durable = replay.next();
            }
        }
    };
    let log = match recover(partition, bytes, &mut see)? {
        commit_log::Found::Log(log) => Some(*log),
        commit_log::Found::Nothing { .. } => None,
    };
    Ok(Read { found, log })
}

/// What the durable part of a log stands on, in bytes of its partition: both headers, and all from
/// where it begins to its durable head.
pub fn durable_bytes(log: &commit_log::Log) -> Vec<Range<usize>> {
    let header = &log.header;
    let geometry = &header.geometry;
    let size = geometry.block_size as usize;
    let block = |block: u64| block as usize * size..(block as usize + 1) * size;
    let headers = [0, 1].map(|slot| block(geometry.header(slot)));
    let places = header.begin.place..header.head.place;
    headers.into_iter().chain(places.map(|place| block(geometry.block(place)))).collect()
}

/// The chain's hash and the state's after so many records of the log.
///
/// # Errors
/// The log is refused, or it has no such record.
pub fn state_at(partition: Partition, bytes: &[u8], records: u64) -> Result<(Hash, Hash)> {
    let mut there = None;
    let mut see = |seen: Seen<'_>| {
        let (Seen::Beginning(replay) | Seen::Record { replay, .. }) = seen;
        if replay.next() == records {
            there = Some((replay.hash(), replay.state().hash()));
        }
    };
    recover(partition, bytes, &mut see).map_err(anyhow::Error::msg)?;
    there.with_context(|| format!("there is no point after {records} records in it"))
}

/// Has the recovery look at the bytes.
fn recover(
    partition: Partition,
    bytes: &[u8],
    see: &mut dyn FnMut(Seen<'_>),
) -> Result<commit_log::Found, Refusal> {
    let mut recovery = Recovery::new(partition);
    let size = partition.block_size as usize;
    while let Some(Blocks { first, count }) = recovery.wanted() {
        let start = usize::try_from(first).unwrap_or(usize::MAX).saturating_mul(size);
        let end = start.saturating_add(count as usize * size);
        // Outside of the partition there is nothing.
        recovery.give(bytes.get(start..end).unwrap_or_default(), see);
    }
    recovery.finish().unwrap_or(Ok(commit_log::Found::Nothing { generation: 0 }))
}
