//! A partition of a storage device: a storage device itself, and the only thing that whoever holds
//! it can reach.
//!
//! [`find`] reads the GUID partition table: the primary one, and if that is damaged the backup at
//! the end of the disk. It never writes.

use alloc::vec::Vec;

use hal::dma::{DmaBuf, DmaDomain, Memory};
use protocols::gpt::{Entry, GptError, Guid, Header, PRIMARY_LBA};

use crate::storage::{Completion, Erase, Lba, StorageDevice, StorageError, StorageInfo, Transfer};

/// Why a partition was not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum PartitionError {
    /// Neither table can be used; this is what was wrong with the primary one.
    #[error("{0}")]
    Table(#[from] GptError),
    /// The disk could not be read.
    #[error("{0}")]
    Disk(#[from] StorageError),
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

/// The one partition of type `kind` on `device`.
///
/// # Errors
/// The disk cannot be read, has no table that can be used, or has none or several of them.
pub async fn find<'a, D: StorageDevice>(
    device: &'a D,
    dma: &DmaDomain,
    kind: Guid,
) -> Result<Partition<'a, D>, PartitionError> {
    let entries = list(device, dma).await?;
    let mut found = entries.iter().filter(|entry| entry.kind == kind);
    match (found.next(), found.next()) {
        (None, _) => Err(PartitionError::Absent),
        (Some(entry), None) => Partition::new(device, entry).ok_or(PartitionError::Absent),
        (Some(_), Some(_)) => Err(PartitionError::Ambiguous),
    }
}

/// All partitions of `device`.
///
/// # Errors
/// The disk cannot be read, or has no table that can be used.
pub async fn list<D: StorageDevice>(
    device: &D,
    dma: &DmaDomain,
) -> Result<Vec<Entry>, PartitionError> {
    match table(device, dma, PRIMARY_LBA).await {
        Err(PartitionError::Table(error)) => {
            let backup = device.info().blocks.saturating_sub(1);
            let found = table(device, dma, backup).await;
            let entries = found.map_err(|_| PartitionError::Table(error))?;
            log::warn!("gpt: {error}: the backup table is used");
            Ok(entries)
        }
        other => other,
    }
}

async fn table<D: StorageDevice>(
    device: &D,
    dma: &DmaDomain,
    lba: u64,
) -> Result<Vec<Entry>, PartitionError> {
    let info = device.info();
    let block = info.block_size as usize;
    let header = read(device, dma, Lba(lba), block).await?;
    let header = Header::new_checked(&header, lba, info.blocks)?;
    // Block by block: the entries may be more than the device takes at once.
    let mut bytes = Vec::new();
    let blocks = header.entries_bytes().div_ceil(block) as u64;
    for number in 0..blocks {
        let lba = Lba(header.entries_lba).checked_add(number).ok_or(StorageError::OutOfRange)?;
        bytes.extend_from_slice(&read(device, dma, lba, block).await?);
    }
    Ok(header.entries(&bytes)?.collect())
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
