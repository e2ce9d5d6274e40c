//! A disk at a port, as a storage device.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;
use core::marker::PhantomData;
use core::time::Duration;

use executor::Platform;
use hal::dma::{DmaDomain, Memory};
use protocols::ata::{
    Cache, Command, Failure, Identity, SECTOR_BYTES, SMART_UNHEALTHY, SmartData, TRIM_BLOCKS,
    trim_list,
};

use super::Shared;
use super::memory::TRANSFER_MOST;
use super::queue::{Ended, Flow, Queue};
use crate::completion::CompletionMode;
use crate::storage::{
    Asked, Completion, Erase, Lba, StorageDevice, StorageError, StorageInfo, Transfer, Writable,
};

/// How long a read or write may take: a disk that has to try again needs seconds.
const TRANSFER_LIMIT: Duration = Duration::from_secs(10);
/// How long writing a whole cache to the medium may take, or giving up data.
const FLUSH_LIMIT: Duration = Duration::from_secs(30);

/// A disk of an HBA that is being served. After it was unplugged or the driver has ended, every
/// operation gives [`StorageError::Gone`].
pub struct Disk<P> {
    queue: Arc<Queue>,
    shared: Arc<Shared>,
    info: StorageInfo,
    identity: Identity,
    queued: Option<u8>,
    platform: PhantomData<fn() -> P>,
}

/// What a disk says of its health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether it expects to fail soon. Save the data.
    pub is_failing: bool,
    /// How warm it is, in degrees Celsius, if it says so.
    pub celsius: Option<u8>,
}

impl<P: Platform> Disk<P> {
    pub(super) fn new(
        queue: Arc<Queue>,
        shared: Arc<Shared>,
        identity: &Identity,
        queued: Option<u8>,
    ) -> Self {
        let geometry = identity.geometry;
        let most = u64::from(identity.addressing.most_blocks()) * u64::from(geometry.block_bytes);
        let info = StorageInfo {
            block_size: geometry.block_bytes,
            blocks: geometry.blocks,
            // Both are multiples of a block.
            max_transfer_bytes: most.min(u64::from(TRANSFER_MOST)) as u32,
            depth: queue.depth(),
            writable: shared.writable,
        };
        Self { queue, shared, info, identity: *identity, queued, platform: PhantomData }
    }

    /// The HBA's name and the port's number.
    pub fn name(&self) -> (&str, u8) {
        (&self.shared.name, self.queue.port().number)
    }

    /// What it says of itself: model, serial number, firmware, blocks, cache.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// How many queued commands it is given at once; `None`: one at a time.
    pub fn queue_depth(&self) -> Option<u8> {
        self.queued
    }

    /// The memory its HBA can reach. Memory beyond that is refused
    /// ([`StorageError::Unsupported`]); it is all memory but for HBAs of 32 bits.
    pub fn dma(&self) -> &DmaDomain {
        &self.shared.dma
    }

    /// How completion is noticed at its port. Polling where the HBA has no interrupt.
    pub fn completion_mode(&self) -> CompletionMode {
        self.queue.port().mode()
    }

    /// Changes how completion is noticed; it follows at once. Without an interrupt it goes on
    /// polling.
    pub fn set_completion_mode(&self, mode: CompletionMode) {
        self.queue.port().control.set_mode(mode);
    }

    /// What it says of its health.
    ///
    /// # Errors
    /// [`StorageError::Unsupported`]: it does not watch it. Else as for any command.
    pub async fn health(&self) -> Result<Health, StorageError> {
        if !self.identity.has_smart {
            return Err(StorageError::Unsupported);
        }
        let status = self
            .queue
            .carry_out::<P>(Command::smart_status(), Flow::In, None, TRANSFER_LIMIT)
            .await
            .result;
        self.verdict(status, Asked::Health)?;
        let is_failing = matches!(status, Ended::Done(left) if left & 0xff_ff00 == SMART_UNHEALTHY);
        let page = self.shared.dma.buffer(SECTOR_BYTES).map_err(|_| StorageError::OutOfMemory)?;
        let finished = self
            .queue
            .carry_out::<P>(Command::smart_data(), Flow::In, Some(page.into()), TRANSFER_LIMIT)
            .await;
        // Not every disk that knows its status has attributes.
        let page = match (self.verdict(finished.result, Asked::Health), finished.returned) {
            (Ok(()), Some(Some(memory))) => memory.into_buf(),
            _ => None,
        };
        let data = page.and_then(|page| SmartData::new_checked(&page).ok());
        Ok(Health { is_failing, celsius: data.and_then(|data| data.celsius) })
    }

    async fn carry(&self, what: Transfer, lba: Lba, memory: Memory) -> Completion<Memory> {
        let blocks = match self.info.blocks_of(lba, memory.bytes()) {
            Ok(blocks) => blocks,
            Err(error) => return Completion::refused(error, memory),
        };
        if what == Transfer::Write && self.info.writable == Writable::No {
            return Completion::refused(StorageError::ReadOnly, memory);
        }
        let (queued, addressing) = (self.queued.is_some(), self.queue.addressing());
        let (command, flow) = match (what, queued) {
            (Transfer::Read, true) => (Command::read_queued(lba.0, blocks), Flow::In),
            (Transfer::Read, false) => (Command::read(addressing, lba.0, blocks), Flow::In),
            (Transfer::Write, true) => (Command::write_queued(lba.0, blocks), Flow::Out),
            (Transfer::Write, false) => (Command::write(addressing, lba.0, blocks), Flow::Out),
        };
        let finished = self.queue.carry_out::<P>(command, flow, Some(memory), TRANSFER_LIMIT).await;
        let result = self.verdict(finished.result, Asked::Transfer(what, lba));
        Completion { result, buf: finished.returned.flatten() }
    }

    fn verdict(&self, ended: Ended, asked: Asked) -> Result<(), StorageError> {
        match ended {
            Ended::Done(_) => Ok(()),
            Ended::Failed(outcome) => {
                log::warn!("{}: {asked} failed: {outcome}", self.queue.port().name);
                Err(match outcome.failure() {
                    Some(Failure::Uncorrectable) => StorageError::Media,
                    Some(Failure::NoSuchBlock) => StorageError::OutOfRange,
                    _ => StorageError::Device,
                })
            }
            Ended::TimedOut => Err(StorageError::TimedOut),
            Ended::Reset => Err(StorageError::Reset),
            Ended::Gone => Err(StorageError::Gone),
            Ended::Unreachable => Err(StorageError::Unsupported),
        }
    }

    /// Gives up the data of at most [`TRIM_BLOCKS`] blocks.
    async fn trim(&self, lba: u64, blocks: u64) -> Result<(), StorageError> {
        let list = self.shared.dma.buffer(SECTOR_BYTES);
        let mut list = list.map_err(|_| StorageError::OutOfMemory)?;
        list.copy_from_slice(&trim_list(lba, blocks));
        let (command, list) = (Command::trim(1), Some(list.into()));
        let finished = self.queue.carry_out::<P>(command, Flow::Out, list, FLUSH_LIMIT).await;
        self.verdict(finished.result, Asked::Erase(Erase::Discard, Lba(lba)))
    }
}

impl<P: Platform> StorageDevice for Disk<P> {
    fn info(&self) -> &StorageInfo {
        &self.info
    }

    async fn transfer(&self, what: Transfer, lba: Lba, memory: Memory) -> Completion<Memory> {
        self.carry(what, lba, memory).await
    }

    async fn flush(&self) -> Result<(), StorageError> {
        let flush = self.queue.flush();
        let finished = self.queue.carry_out::<P>(flush, Flow::In, None, FLUSH_LIMIT).await;
        self.verdict(finished.result, Asked::Flush)
    }

    /// [`Erase::Discard`] where the disk has TRIM; [`Erase::Zero`] never.
    async fn erase(&self, what: Erase, lba: Lba, blocks: u64) -> Result<(), StorageError> {
        if what == Erase::Zero || !self.identity.has_trim {
            return Err(StorageError::Unsupported);
        }
        if self.info.writable == Writable::No {
            return Err(StorageError::ReadOnly);
        }
        let end = lba.checked_add(blocks).filter(|end| end.0 <= self.info.blocks);
        let end = end.ok_or(StorageError::OutOfRange)?;
        let mut next = lba.0;
        while next < end.0 {
            let blocks = (end.0 - next).min(TRIM_BLOCKS);
            self.trim(next, blocks).await?;
            next += blocks;
        }
        Ok(())
    }
}

impl<P: Platform> fmt::Display for Disk<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { identity, info, .. } = self;
        let queue: String = match self.queued {
            Some(depth) => alloc::format!("{depth} queued commands"),
            None => "one command at a time".to_string(),
        };
        let cache = match identity.cache {
            Cache::None => "no write cache",
            Cache::Off => "write cache off",
            Cache::On => "write cache on",
        };
        write!(
            f,
            "{} {} (firmware {}): {} blocks of {} bytes, {queue}, {cache}",
            identity.model(),
            identity.serial(),
            identity.firmware(),
            info.blocks,
            info.block_size
        )
    }
}
