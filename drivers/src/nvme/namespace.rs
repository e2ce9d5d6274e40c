//! A namespace as a storage device.

use alloc::sync::Arc;
use core::future::{Future, poll_fn};
use core::marker::PhantomData;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};

use executor::Platform;
use hal::dma::{Direction, DmaBuf, Memory};
use protocols::nvme::{
    BLOCKS_MOST, Command, Controller as Identity, Namespace as Identified, RANGE_BYTES, Status,
    discard_range,
};

use super::Controller;
use super::queue::{Cargo, Ended};
use super::transfer::Carrying;
use crate::storage::{
    Asked, Completion, Erase, Lba, StorageDevice, StorageError, StorageInfo, Transfer, Writable,
};

/// Most bytes of one transfer, whatever the controller takes: four pages of the list that
/// describes them.
const TRANSFER_LIMIT: u64 = 8 << 20;
/// Most bytes one command gives up: enough to be quick, little enough to be done in time.
const DISCARD_LIMIT: u64 = 4 << 30;

/// A namespace of a controller that is being served. After the controller has failed for good or
/// stopped, every operation gives [`StorageError::Gone`]; a reset that succeeds it survives.
pub struct Namespace<P> {
    pub(super) controller: Arc<Controller>,
    id: u32,
    info: StorageInfo,
    is_there: Arc<AtomicBool>,
    platform: PhantomData<fn() -> P>,
}

/// What the controller's driver remembers of a namespace it has announced.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) id: u32,
    pub(super) what: Identified,
    /// Whether it is still what it was.
    pub(super) is_there: Arc<AtomicBool>,
}

impl<P: Platform> Namespace<P> {
    pub(super) fn new(
        controller: Arc<Controller>,
        id: u32,
        what: &Identified,
        identity: &Identity,
        is_there: Arc<AtomicBool>,
    ) -> Self {
        let block = u64::from(what.block_bytes);
        let limit = identity.max_transfer_bytes.unwrap_or(u64::MAX);
        let limit = limit.min(TRANSFER_LIMIT).min(block * u64::from(BLOCKS_MOST));
        let writable = if what.is_write_protected { Writable::No } else { controller.writable };
        let info = StorageInfo {
            block_size: what.block_bytes,
            blocks: what.blocks,
            // A block is at most 64 KiB; both are powers of two, so this stays a multiple of it.
            max_transfer_bytes: limit.max(block) as u32,
            depth: controller.in_use().iter().map(super::queue::Queue::depth).sum(),
            writable,
        };
        Self { controller, id, info, is_there, platform: PhantomData }
    }

    /// The controller's name and the namespace's number.
    pub fn name(&self) -> (&str, u32) {
        (&self.controller.name, self.id)
    }

    #[inline]
    pub(super) fn check_there(&self) -> Result<(), StorageError> {
        if self.is_there.load(Ordering::Relaxed) { Ok(()) } else { Err(StorageError::Gone) }
    }

    fn check_writable(&self) -> Result<(), StorageError> {
        match self.info.writable {
            Writable::Yes => Ok(()),
            Writable::No => Err(StorageError::ReadOnly),
        }
    }

    /// The number of the namespace, towards the controller.
    pub(super) fn id(&self) -> u32 {
        self.id
    }

    /// How many blocks the operation is about, if it may begin.
    #[inline]
    pub(super) fn check(
        &self,
        what: Transfer,
        lba: Lba,
        bytes: usize,
    ) -> Result<u32, StorageError> {
        if what == Transfer::Write {
            self.check_writable()?;
        }
        self.info.blocks_of(lba, bytes)
    }

    /// A transfer of `blocks` blocks, all of `memory`, that was found to be inside of the namespace
    /// and allowed: by a handle, which has asked all this of itself.
    #[inline]
    pub(crate) fn transfer_checked(
        &self,
        what: Transfer,
        lba: Lba,
        blocks: u32,
        memory: Memory,
    ) -> impl Future<Output = Completion<Memory>> {
        Carrying::checked(self, what, lba, Ok(blocks), memory)
    }

    /// A command without data, or with data that is of no further use.
    async fn carry_out(
        &self,
        command: Command,
        cargo: Cargo,
        asked: Asked,
    ) -> Result<(), StorageError> {
        let queue = self.controller.queue_here::<P>();
        self.verdict(queue.carry_out::<P>(command, cargo).await.result, asked)
    }

    #[inline]
    pub(super) fn verdict(&self, ended: Ended, asked: Asked) -> Result<(), StorageError> {
        match ended {
            Ended::Done { status, .. } if status.is_success() => Ok(()),
            other => Err(self.failure(other, asked)),
        }
    }

    #[cold]
    fn failure(&self, ended: Ended, asked: Asked) -> StorageError {
        match ended {
            Ended::Done { status, .. } => {
                let (name, id) = self.name();
                log::warn!("{name}: namespace {id}: {asked} failed: {status}");
                meaning(status)
            }
            Ended::TimedOut => StorageError::TimedOut,
            Ended::Reset => StorageError::Reset,
            Ended::Gone => StorageError::Gone,
            Ended::NoMemory => StorageError::OutOfMemory,
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
    } else if status.is_unsupported() {
        StorageError::Unsupported
    } else if status.is_no_namespace() {
        StorageError::Gone
    } else if status.is_aborted() {
        // The driver aborts what is overdue, and nothing else.
        StorageError::TimedOut
    } else if status.is_queue_deleted() {
        StorageError::Reset
    } else {
        StorageError::Device
    }
}

impl<P: Platform> StorageDevice for Namespace<P> {
    fn info(&self) -> &StorageInfo {
        &self.info
    }

    #[inline]
    fn transfer(
        &self,
        what: Transfer,
        lba: Lba,
        memory: Memory,
    ) -> impl Future<Output = Completion<Memory>> {
        Carrying::new(self, what, lba, memory)
    }

    #[inline]
    fn read(&self, lba: Lba, buf: DmaBuf) -> impl Future<Output = Completion> {
        let mut read = Carrying::new(self, Transfer::Read, lba, buf.into());
        poll_fn(move |context| Pin::new(&mut read).poll(context).map(Completion::of_buf))
    }

    #[inline]
    fn write(&self, lba: Lba, buf: DmaBuf) -> impl Future<Output = Completion> {
        let mut write = Carrying::new(self, Transfer::Write, lba, buf.into());
        poll_fn(move |context| Pin::new(&mut write).poll(context).map(Completion::of_buf))
    }

    async fn flush(&self) -> Result<(), StorageError> {
        self.check_there()?;
        self.carry_out(Command::flush(self.id), None, Asked::Flush).await
    }

    async fn erase(&self, what: Erase, lba: Lba, blocks: u64) -> Result<(), StorageError> {
        self.check_writable()?;
        self.check_there()?;
        let end = lba.checked_add(blocks).filter(|end| end.0 <= self.info.blocks);
        let end = end.ok_or(StorageError::OutOfRange)?.0;
        if blocks == 0 {
            return Err(StorageError::BadLength);
        }
        let identity = self.controller.identity.get().ok_or(StorageError::Gone)?;
        let block = u64::from(self.info.block_size);
        let step = match what {
            // Controllers apply the limit of transfers here too, or a larger one.
            Erase::Zero if identity.can_write_zeroes() => {
                u64::from(self.info.max_transfer_bytes) / block
            }
            Erase::Discard if identity.can_deallocate() => DISCARD_LIMIT / block,
            _ => return Err(StorageError::Unsupported),
        };
        let mut at = lba.0;
        while at < end {
            let count = step.min(end - at) as u32;
            let asked = Asked::Erase(what, Lba(at));
            match what {
                Erase::Zero => {
                    let command = Command::write_zeroes(self.id, at, count);
                    self.carry_out(command, None, asked).await?;
                }
                Erase::Discard => {
                    let buf = self.controller.dma.buffer(RANGE_BYTES);
                    let mut buf = buf.map_err(|_| StorageError::OutOfMemory)?;
                    buf.copy_from_slice(&discard_range(at, count));
                    let cargo = Some((buf.into(), Direction::ToDevice));
                    self.carry_out(Command::deallocate(self.id), cargo, asked).await?;
                }
            }
            at += u64::from(count);
        }
        Ok(())
    }
}
