//! Carries out on a partition what the log's writer and recovery ask for. The drivers' time limits
//! end every operation.

use super::MemoryOnly;
use crate::devices::Block;
use alloc::vec;
use alloc::vec::Vec;
use drivers::storage::{Lba, StorageDevice, StorageError};
use hal::dma::{DmaDomain, DmaError};
use kernel_text::options::{CommitFlushes, Options};
use protocols::commit_log::{Blocks, Found, HEADERS_BYTES, Partition, Recovery, Step};
use protocols::gpt::Guid;

/// Most bytes of one operation.
const PIECE: usize = 64 << 10;

/// The partition.
#[derive(Clone)]
pub struct Disk {
    block: Block,
    dma: DmaDomain,
    id: Guid,
    flushes: CommitFlushes,
}

impl Disk {
    /// On `block`, which has the GUID `id`.
    pub fn new(block: Block, id: Guid) -> Self {
        let flushes = Options::parse(hal::boot::info().command_line.0).commit_flushes;
        if flushes == CommitFlushes::None {
            log::warn!("commits: {}: NOT DURABLE: `commits.flush=never`", block.name());
        }
        Self { block, dma: DmaDomain::machine(), id, flushes }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        self.block.name()
    }

    /// What the format needs to know of it.
    pub fn partition(&self) -> Partition {
        let info = self.block.info();
        Partition { id: self.id, block_size: info.block_size, blocks: info.blocks }
    }

    fn block_size(&self) -> usize {
        self.block.info().block_size as usize
    }

    /// Bytes of one operation.
    fn most(&self) -> usize {
        (self.block.info().max_transfer_bytes as usize).min(PIECE.max(self.block_size()))
    }

    /// Carries out a step; how many blocks it wrote.
    pub async fn carry_out(&self, step: &Step) -> Result<u64, StorageError> {
        match step {
            Step::Flush if self.flushes == CommitFlushes::None => Ok(0),
            Step::Flush => self.block.flush().await.map(|()| 0),
            Step::Write { block, bytes } => {
                let mut lba = Lba(*block);
                for piece in bytes.chunks(self.most()) {
                    let mut buf = self.dma.buffer(piece.len()).map_err(memory)?;
                    buf.copy_from_slice(piece);
                    self.block.write(lba, buf).await.result?;
                    lba = self.after(lba, piece.len())?;
                }
                Ok(lba.0 - block)
            }
        }
    }

    /// Reads `blocks`.
    async fn read(&self, Blocks { first, count }: Blocks) -> Result<Vec<u8>, StorageError> {
        let mut bytes = vec![0; count as usize * self.block_size()];
        let mut lba = Lba(first);
        for piece in bytes.chunks_mut(self.most()) {
            let buf = self.dma.buffer(piece.len()).map_err(memory)?;
            let completion = self.block.read(lba, buf).await;
            completion.result?;
            let buf = completion.buf.ok_or(StorageError::Device)?;
            piece.copy_from_slice(&buf);
            lba = self.after(lba, piece.len())?;
        }
        Ok(bytes)
    }

    fn after(&self, lba: Lba, bytes: usize) -> Result<Lba, StorageError> {
        lba.checked_add((bytes / self.block_size()) as u64).ok_or(StorageError::OutOfRange)
    }

    /// Reads and verifies what is there.
    pub async fn recover(&self) -> Result<Found, MemoryOnly> {
        let mut recovery = Recovery::new(self.partition());
        while let Some(blocks) = recovery.wanted() {
            let bytes = self.read(blocks).await?;
            recovery.give(&bytes, &mut |_| ());
            // A segment of records is some milliseconds of hashing.
            executor::yield_now().await;
        }
        // It is over when nothing more is wanted.
        let found = recovery.finish().ok_or(StorageError::Device)?;
        Ok(found?)
    }

    /// The first bytes, in which the headers are.
    pub async fn headers(&self) -> Result<Vec<u8>, StorageError> {
        let count = (HEADERS_BYTES as usize).div_ceil(self.block_size()) as u32;
        self.read(Blocks { first: 0, count }).await
    }
}

fn memory(_: DmaError) -> StorageError {
    StorageError::OutOfMemory
}
