//! A namespace as a storage device.

use alloc::sync::Arc;
use core::marker::PhantomData;

use executor::Platform;
use hal::dma::{Direction, Memory};
use protocols::nvme::{
    Command, Controller as Identity, LIST_ENTRIES, Namespace as Identified, PAGE_BYTES, Prp,
    Status, list_entries,
};

use super::Controller;
use super::queue::Ended;
use crate::completion::CompletionMode;
use crate::storage::{
    Completion, Lba, StorageDevice, StorageError, StorageInfo, Transfer, Writable,
};

/// Most bytes one list of pages describes.
const LIST_LIMIT: u64 = (LIST_ENTRIES * PAGE_BYTES) as u64;

/// A namespace of a controller that is being served. After the controller has failed or stopped,
/// every operation gives [`StorageError::Gone`].
pub struct Namespace<P> {
    controller: Arc<Controller>,
    id: u32,
    info: StorageInfo,
    platform: PhantomData<fn() -> P>,
}

impl<P: Platform> Namespace<P> {
    pub(super) fn new(
        controller: Arc<Controller>,
        id: u32,
        what: &Identified,
        identity: &Identity,
    ) -> Self {
        let limit = identity.max_transfer_bytes.unwrap_or(u64::MAX).min(LIST_LIMIT) as u32;
        let writable = if what.is_write_protected { Writable::No } else { controller.writable };
        let info = StorageInfo {
            block_size: what.block_bytes,
            blocks: what.blocks,
            // A block is at most 64 KiB; both are powers of two, so this stays a multiple of it.
            max_transfer_bytes: limit.max(what.block_bytes),
            depth: controller.io.depth(),
            writable,
        };
        Self { controller, id, info, platform: PhantomData }
    }

    /// How its completions are noticed.
    pub fn completion_mode(&self) -> CompletionMode {
        self.controller.io.control().mode()
    }

    /// Changes that, for the whole controller.
    pub fn set_completion_mode(&self, mode: CompletionMode) {
        self.controller.io.control().set_mode(mode);
    }

    /// The controller's name and the namespace's number.
    pub fn name(&self) -> (&str, u32) {
        (&self.controller.name, self.id)
    }

    async fn carry(&self, what: Transfer, lba: Lba, memory: Memory) -> Completion<Memory> {
        let bytes = memory.bytes();
        let blocks = match self.info.blocks_of(lba, bytes) {
            Ok(blocks) => blocks,
            Err(error) => return Completion::refused(error, memory),
        };
        // At most 2 MiB in blocks of at least 512 bytes.
        let Ok(blocks) = u16::try_from(blocks) else {
            return Completion::refused(StorageError::BadLength, memory);
        };
        let list = match list_entries(bytes) {
            Some(0) => None,
            Some(_) => match self.controller.dma.buffer(PAGE_BYTES) {
                Ok(list) => Some(list),
                Err(_) => return Completion::refused(StorageError::OutOfMemory, memory),
            },
            None => return Completion::refused(StorageError::BadLength, memory),
        };
        let data = memory.lend(what.direction());
        let pages = bytes.div_ceil(PAGE_BYTES);
        let list = list.map(|mut list| {
            for (entry, page) in list.chunks_exact_mut(8).zip(1..pages) {
                entry.copy_from_slice(&data.page(page).0.to_le_bytes());
            }
            list.lend(Direction::ToDevice)
        });
        // Two pages stand in the command itself.
        let second = list.as_ref().map_or_else(|| data.page(1), |list| list.address());
        let prp = Prp { first: data.page(0).0, second: if pages > 1 { second.0 } else { 0 } };
        let command = match what {
            Transfer::Read => Command::read,
            Transfer::Write => Command::write,
        };
        let command = command(self.id, lba.0, blocks, prp);
        let finished = self.controller.io.carry_out::<P>(command, (Some(data), list)).await;
        let buf = finished.returned.and_then(|(data, _)| data);
        Completion { result: self.verdict(finished.result), buf }
    }

    fn verdict(&self, ended: Ended) -> Result<(), StorageError> {
        match ended {
            Ended::Done(status) if status.is_success() => Ok(()),
            Ended::Done(status) => {
                let (name, id) = self.name();
                log::warn!("{name}: namespace {id}: a command failed: {status}");
                Err(meaning(status))
            }
            Ended::TimedOut => Err(StorageError::TimedOut),
            Ended::Reset => Err(StorageError::Reset),
            Ended::Gone => Err(StorageError::Gone),
        }
    }
}

/// What a status that is no success means to the caller.
fn meaning(status: Status) -> StorageError {
    if status.is_out_of_range() {
        StorageError::OutOfRange
    } else if status.is_media_error() {
        StorageError::Media
    } else if status.is_write_protected() {
        StorageError::ReadOnly
    } else {
        StorageError::Device
    }
}

impl<P: Platform> StorageDevice for Namespace<P> {
    fn info(&self) -> &StorageInfo {
        &self.info
    }

    async fn transfer(&self, what: Transfer, lba: Lba, memory: Memory) -> Completion<Memory> {
        if what == Transfer::Write && self.info.writable == Writable::No {
            return Completion::refused(StorageError::ReadOnly, memory);
        }
        self.carry(what, lba, memory).await
    }

    async fn flush(&self) -> Result<(), StorageError> {
        let command = Command::flush(self.id);
        let finished = self.controller.io.carry_out::<P>(command, (None, None)).await;
        self.verdict(finished.result)
    }
}
