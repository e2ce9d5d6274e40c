//! A partition of a storage device: a storage device itself, and the only thing that whoever holds
//! it can reach.
//!
//! [`list`] and [`find`] read the GUID partition table: the primary one, and if that is damaged the
//! backup at the end of the disk. They never write.
//!
//! ```text
//!   primary   backup    first block
//!   sound     any       any              the primary's entries (a warning if the backup disagrees)
//!   damaged   sound     any              the backup's entries, and a warning
//!   absent    any       FAT volume, MBR  refused: the backup may be left over from another life
//!   absent    sound     otherwise        the backup's entries, and a warning
//!   neither             any              what is wrong with the primary
//! ```

use alloc::vec::Vec;

use hal::dma::{DmaBuf, DmaDomain, Memory};
use protocols::gpt::{FirstBlock, GptError, Header, PRIMARY_LBA};

pub use protocols::gpt::{Attributes, Entry, Guid};

use crate::storage::{Completion, Erase, Lba, StorageDevice, StorageError, StorageInfo, Transfer};

/// Why partitions were not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum PartitionError {
    /// Neither table can be used; this is what was wrong with the primary one.
    #[error("{0}")]
    Table(#[from] GptError),
    /// The disk could not be read.
    #[error("{0}")]
    Disk(#[from] StorageError),
    /// The disk has a master boot record with partitions of its own, which are not supported.
    #[error("an MBR partition table, which is not supported: use GPT")]
    Mbr,
    /// The disk has no table but a FAT volume, which fills it: mount the disk.
    #[error("no partitions: the whole disk is a FAT volume")]
    WholeVolume,
    /// There is no partition of that type.
    #[error("no partition of the type asked for")]
    Absent,
    /// There are several: which one is meant nobody can say.
    #[error("several partitions of the type asked for")]
    Ambiguous,
}

/// Part of a device. Operations are relative to its beginning; none can leave it.
pub struct Partition<'a, D> {
    device: &'a D,
    first: Lba,
    info: StorageInfo,
}

impl<'a, D: StorageDevice> Partition<'a, D> {
    /// The blocks of `entry`. `None`: they are not on the device.
    pub fn new(device: &'a D, entry: &Entry) -> Option<Self> {
        let whole = device.info();
        if entry.first > entry.last || entry.last >= whole.blocks {
            return None;
        }
        let info = StorageInfo { blocks: entry.blocks(), ..whole.clone() };
        Some(Self { device, first: Lba(entry.first), info })
    }

    /// Where on the device an operation goes, if it stays inside.
    fn locate(&self, lba: Lba, bytes: usize) -> Result<Lba, StorageError> {
        self.info.blocks_of(lba, bytes)?;
        self.first.checked_add(lba.0).ok_or(StorageError::OutOfRange)
    }
}

impl<D: StorageDevice> StorageDevice for Partition<'_, D> {
    fn info(&self) -> &StorageInfo {
        &self.info
    }

    async fn transfer(&self, what: Transfer, lba: Lba, memory: Memory) -> Completion<Memory> {
        match self.locate(lba, memory.bytes()) {
            Ok(lba) => self.device.transfer(what, lba, memory).await,
            Err(error) => Completion::refused(error, memory),
        }
    }

    async fn erase(&self, what: Erase, lba: Lba, blocks: u64) -> Result<(), StorageError> {
        match lba.checked_add(blocks) {
            Some(end) if end.0 <= self.info.blocks => {}
            _ => return Err(StorageError::OutOfRange),
        }
        let lba = self.first.checked_add(lba.0).ok_or(StorageError::OutOfRange)?;
        self.device.erase(what, lba, blocks).await
    }

    async fn flush(&self) -> Result<(), StorageError> {
        self.device.flush().await
    }
}

/// The partitions of `device`, in the order of their numbers. What is wrong with a table that is
/// used, or with the other one, is in the log, with the disk's `name`.
///
/// # Errors
/// The disk cannot be read or has no table that can be used, and [says what it has
/// instead](PartitionError).
pub async fn list<D: StorageDevice>(
    name: &str,
    device: &D,
    dma: &DmaDomain,
) -> Result<Vec<Entry>, PartitionError> {
    let primary = table(device, dma, PRIMARY_LBA).await;
    let without = match primary {
        Err(PartitionError::Table(GptError::Absent)) => first_block(device, dma).await?,
        _ => FirstBlock::Protective,
    };
    match without {
        FirstBlock::FatVolume => return Err(PartitionError::WholeVolume),
        FirstBlock::Mbr => return Err(PartitionError::Mbr),
        FirstBlock::Protective | FirstBlock::Unknown => {}
    }
    let backup = table(device, dma, device.info().blocks.saturating_sub(1)).await;
    let agrees = |(backup, _): &(Header, _), primary: &Header| primary.agrees_with(backup);
    match (primary, backup) {
        (Ok((header, entries)), backup) => {
            match backup {
                Ok(backup) if agrees(&backup, &header) => {}
                Ok(_) => {
                    log::warn!("{name}: the backup partition table says something else: repair it");
                }
                Err(error) => {
                    log::warn!(
                        "{name}: the backup partition table is of no use: {error}: repair it"
                    );
                }
            }
            Ok(entries)
        }
        (Err(error), Ok((_, entries))) => {
            log::warn!("{name}: {error}: the backup table is used: repair it");
            Ok(entries)
        }
        (Err(error), Err(_)) => Err(error),
    }
}

/// The one partition of type `kind` on `device`.
///
/// # Errors
/// As [`list`], or there are none or several of them.
pub async fn find<'a, D: StorageDevice>(
    name: &str,
    device: &'a D,
    dma: &DmaDomain,
    kind: Guid,
) -> Result<Partition<'a, D>, PartitionError> {
    let entries = list(name, device, dma).await?;
    let mut found = entries.iter().filter(|entry| entry.kind == kind);
    match (found.next(), found.next()) {
        (None, _) => Err(PartitionError::Absent),
        (Some(entry), None) => Partition::new(device, entry).ok_or(PartitionError::Absent),
        (Some(_), Some(_)) => Err(PartitionError::Ambiguous),
    }
}

async fn first_block<D: StorageDevice>(
    device: &D,
    dma: &DmaDomain,
) -> Result<FirstBlock, StorageError> {
    let block = read(device, dma, Lba(0), device.info().block_size as usize).await?;
    Ok(FirstBlock::of(&block))
}

async fn table<D: StorageDevice>(
    device: &D,
    dma: &DmaDomain,
    lba: u64,
) -> Result<(Header, Vec<Entry>), PartitionError> {
    let info = device.info();
    if lba >= info.blocks {
        // It is too small for one.
        return Err(GptError::Absent.into());
    }
    let block = info.block_size as usize;
    let header = read(device, dma, Lba(lba), block).await?;
    let header = Header::new_checked(&header, lba, info.blocks)?;
    // In pieces: the entries may be more than the device takes at once.
    let most = (info.max_transfer_bytes as usize / block).max(1);
    let blocks = header.entries_bytes().div_ceil(block);
    let mut bytes = Vec::new();
    for first in (0..blocks).step_by(most) {
        let lba = Lba(header.entries_lba).checked_add(first as u64);
        let lba = lba.ok_or(StorageError::OutOfRange)?;
        let piece = most.min(blocks - first) * block;
        bytes.extend_from_slice(&read(device, dma, lba, piece).await?);
    }
    let entries = header.entries(&bytes)?.collect();
    Ok((header, entries))
}

async fn read<D: StorageDevice>(
    device: &D,
    dma: &DmaDomain,
    lba: Lba,
    bytes: usize,
) -> Result<DmaBuf, StorageError> {
    let buf = dma.buffer(bytes).map_err(|_| StorageError::OutOfMemory)?;
    let Completion { result, buf } = device.read(lba, buf).await;
    result?;
    buf.ok_or(StorageError::Device)
}

#[cfg(test)]
mod tests;
