//! Where a log comes from: a disk or an image with a partition for it, such a partition alone, or a
//! file of records.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use anyhow::{Context, Result, bail};
use protocols::axiom::replay::Replay;
use protocols::commit_log::{
    self, Found, HEADERS_BYTES, Header, HeaderFlaw, PARTITION_NAME, PARTITION_TYPE, Recovery, Seen,
    Tail,
};

use super::{foreign, raw};
use crate::partitions::{self, Partition};

/// Bytes from a partition's beginning to its second header.
pub const SECOND_HEADER: u64 = HEADERS_BYTES / 2;

/// A log as it was read. What its records do is still to be looked at.
#[derive(Clone, Debug)]
pub struct Log {
    /// Where it was.
    pub what: String,
    /// Before the first record that is there.
    pub beginning: Replay,
    /// The records, in order.
    pub records: Vec<Vec<u8>>,
    /// How many of them were said to be durable.
    pub durable: usize,
    /// What comes after them.
    pub ending: Ending,
    /// Headers that cannot be used, beside the one that can.
    pub flaws: Vec<Flawed>,
}

/// A header that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flawed {
    /// Where it is, from the partition's beginning.
    pub block: u64,
    /// Why.
    pub flaw: HeaderFlaw,
}

impl fmt::Display for Flawed {
    /// As the kernel says it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { block, flaw } = self;
        write!(f, "the header in block {block} {flaw}: the other one is used")?;
        if *flaw == HeaderFlaw::Blank {
            // A writer makes both durable before it writes a record.
            f.write_str("; beside records no header is blank unless it was erased")?;
        }
        Ok(())
    }
}

/// What comes after the last record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nothing.
    Clean,
    /// A write that was cut off: here.
    Torn(String),
    /// Something that must not be there, or more that should be.
    Damaged {
        /// The first record that is not as it was.
        sequence: u64,
        /// Where, and why.
        why: String,
    },
}

impl Log {
    /// The sequence of the record after the last.
    pub fn end(&self) -> u64 {
        self.beginning.next() + self.records.len() as u64
    }

    /// The log in a file or on a device.
    pub fn open(path: &Path) -> Result<Self> {
        let mut file = File::open(path).context("cannot open it")?;
        if file.metadata().is_ok_and(|about| about.is_dir()) {
            bail!("it is a folder");
        }
        let mut magic = [0; 8];
        if partitions::length(&mut file)? >= 8 {
            magic = partitions::read_at(&mut file, 0, 8)?.try_into().unwrap_or_default();
        }
        if magic == *raw::MAGIC {
            file.rewind()?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            return raw::read(&bytes);
        }
        if let Some(partition) = bare(&mut file)? {
            return recover(&mut file, &partition, "a partition by itself");
        }
        let found = match partitions::find(&mut file, PARTITION_TYPE) {
            Ok(found) => found,
            Err(why) => bail!("{}", foreign::told(&mut file, &why)?),
        };
        match &found[..] {
            [] => bail!(
                "its GUID partition table has no partition of type {PARTITION_NAME} \
                 ({PARTITION_TYPE})"
            ),
            [partition] => {
                recover(&mut file, partition, &format!("partition {}", partition.number))
            }
            several => bail!(
                "it has {} partitions of type {PARTITION_NAME}: give the device of one of them",
                several.len()
            ),
        }
    }
}

/// The whole of `file` as a partition, if one of its places for headers holds a sound one.
fn bare(file: &mut (impl Read + Seek)) -> Result<Option<Partition>> {
    let length = partitions::length(file)?;
    for block in [512, 1024, 2048, 4096] {
        for slot in [0, 1] {
            let start = slot as u64 * SECOND_HEADER;
            if start + block > length {
                continue;
            }
            let bytes = partitions::read_at(file, start, block)?;
            if let Ok(header) = Header::new_checked(&bytes, slot) {
                let id = header.partition;
                return Ok(Some(Partition { number: 0, id, start: 0, bytes: length, block }));
            }
        }
    }
    Ok(None)
}

/// Reads what is on a partition for a log.
fn recover(disk: &mut (impl Read + Seek), partition: &Partition, what: &str) -> Result<Log> {
    let on = commit_log::Partition {
        id: partition.id,
        block_size: u32::try_from(partition.block)?,
        blocks: partition.bytes / partition.block,
    };
    let (mut beginning, mut records, mut durable) = (None, Vec::new(), 0);
    let mut recovery = Recovery::new(on);
    while let Some(wanted) = recovery.wanted() {
        let start = partition.start + wanted.first * partition.block;
        let bytes = partitions::read_at(disk, start, u64::from(wanted.count) * partition.block)?;
        recovery.give(&bytes, &mut |seen| match seen {
            Seen::Beginning(replay) => beginning = Some(replay.clone()),
            Seen::Record { bytes, kept, .. } => {
                records.push(bytes.to_vec());
                durable += usize::from(kept == commit_log::Kept::Durable);
            }
        });
    }
    let none = || format!("{what}: no log was ever begun there");
    let ending = match recovery.finish() {
        Some(Ok(Found::Log(log))) => match log.tail {
            Tail::Clean => Ending::Clean,
            Tail::Torn(damage) => Ending::Torn(damage.to_string()),
        },
        Some(Ok(Found::Nothing { .. })) | None => bail!(none()),
        Some(Err(refusal)) => match &beginning {
            None => bail!("{what}: {refusal}"),
            Some(beginning) => {
                let end = beginning.next() + records.len() as u64;
                let sequence = refusal.damage().map_or(end, |damage| damage.sequence);
                Ending::Damaged { sequence, why: refusal.to_string() }
            }
        },
    };
    let beginning = beginning.with_context(none)?;
    let flaws = flaws(disk, partition)?;
    Ok(Log { what: what.to_owned(), beginning, records, durable, ending, flaws })
}

/// Headers on a partition that cannot be used: recovery tells of them only if all else is sound.
fn flaws(disk: &mut (impl Read + Seek), partition: &Partition) -> Result<Vec<Flawed>> {
    let mut flaws = Vec::new();
    for slot in [0, 1] {
        let start = slot as u64 * SECOND_HEADER;
        let bytes = partitions::read_at(disk, partition.start + start, SECOND_HEADER)?;
        if let Err(flaw) = Header::new_checked(&bytes, slot) {
            flaws.push(Flawed { block: start / partition.block, flaw });
        }
    }
    Ok(flaws)
}
