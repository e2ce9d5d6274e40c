//! Partitions of a disk or an image, found by their type. Nothing is ever written.

use std::io::{Read, Seek, SeekFrom};

use anyhow::{Context, Result, bail};
use protocols::gpt::{GptError, Guid, Header, PRIMARY_LBA};

/// Block sizes disks have.
const BLOCKS: [u64; 2] = [512, 4096];

/// A partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number in the table, from 1.
    pub number: u32,
    /// Its own GUID.
    pub id: Guid,
    /// Where it begins, in bytes.
    pub start: u64,
    /// How many bytes it has.
    pub bytes: u64,
    /// Bytes of a block of the table it is in.
    pub block: u64,
}

/// Bytes of a disk, a file or a partition. A block device's metadata say 0.
pub fn length(disk: &mut impl Seek) -> Result<u64> {
    Ok(disk.seek(SeekFrom::End(0))?)
}

/// Partitions of that type, by the first of the disk's two tables that can be used.
pub fn find(disk: &mut (impl Read + Seek), kind: Guid) -> Result<Vec<Partition>> {
    let length = length(disk)?;
    let mut why = GptError::Absent;
    let places = BLOCKS.map(|block| {
        let backup = (length / block).saturating_sub(1);
        [(block, PRIMARY_LBA), (block, backup)]
    });
    for (block, lba) in places.into_iter().flatten() {
        match table(disk, length, block, lba, kind)? {
            Ok(partitions) => return Ok(partitions),
            Err(GptError::Absent) => {}
            Err(error) => why = error,
        }
    }
    bail!("{why}")
}

/// Partitions of that type, by the table at `lba` of blocks of `block` bytes.
fn table(
    disk: &mut (impl Read + Seek),
    length: u64,
    block: u64,
    lba: u64,
    kind: Guid,
) -> Result<Result<Vec<Partition>, GptError>> {
    if length < (lba.max(PRIMARY_LBA) + 1) * block {
        return Ok(Err(GptError::Absent));
    }
    let header = read_at(disk, lba * block, block)?;
    let header = match Header::new_checked(&header, lba, length / block) {
        Ok(header) => header,
        Err(error) => return Ok(Err(error)),
    };
    let entries = read_at(disk, header.entries_lba * block, header.entries_bytes() as u64)?;
    let entries = match header.entries(&entries) {
        Ok(entries) => entries,
        Err(error) => return Ok(Err(error)),
    };
    let partitions = entries.filter(|entry| entry.kind == kind).map(|entry| Partition {
        number: entry.number,
        id: entry.id,
        start: entry.first * block,
        bytes: entry.blocks() * block,
        block,
    });
    Ok(Ok(partitions.collect()))
}

/// So many bytes from `start` on.
pub fn read_at(disk: &mut (impl Read + Seek), start: u64, length: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length)?];
    disk.seek(SeekFrom::Start(start))?;
    disk.read_exact(&mut bytes).context("cannot read it")?;
    Ok(bytes)
}
