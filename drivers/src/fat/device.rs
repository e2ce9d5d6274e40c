//! A block cache as the block device that `hadris-fat` asks for.
//!
//! It counts what an operation asks for. The filesystem sees loops by itself; but whatever a damaged
//! volume leads it to, there is an end.

use alloc::rc::Rc;
use core::cell::Cell;
use core::task::{Context, Poll};

use hadris_io::{Error, ErrorKind, ErrorType};
use hadris_storage::async_::BlockDevice;
use hadris_storage::{BlockIndex, BlockSize};

use crate::cache::{BlockCache, Progress};
use crate::storage::{Lba, StorageDevice, StorageError, Writable};

/// Accesses an operation may always make, and those it may make for each block of the device: a
/// file in pieces is removed with four for each of its clusters.
const ACCESSES: (u64, u64) = (1 << 20, 8);

/// How many accesses an operation has left.
#[derive(Clone)]
pub(super) struct Budget {
    left: Rc<Cell<u64>>,
    whole: u64,
}

impl Budget {
    fn of(blocks: u64) -> Self {
        let whole = ACCESSES.0.saturating_add(ACCESSES.1.saturating_mul(blocks));
        Self { left: Rc::new(Cell::new(whole)), whole }
    }

    /// An operation begins.
    pub(super) fn renew(&self) {
        self.left.set(self.whole);
    }

    fn spend(&self) -> Result<(), Error<StorageError>> {
        let endless = || Error::new(ErrorKind::Corrupt, "an operation without end");
        self.left.set(self.left.get().checked_sub(1).ok_or_else(endless)?);
        Ok(())
    }
}

pub(super) struct Cached<D> {
    cache: BlockCache<D>,
    budget: Budget,
}

impl<D: StorageDevice + 'static> Cached<D> {
    pub(super) fn new(cache: BlockCache<D>) -> (Self, Budget) {
        let budget = Budget::of(cache.info().blocks);
        (Self { cache, budget: budget.clone() }, budget)
    }
}

// What `hadris-fat` asks of a device's error.
impl core::error::Error for StorageError {}

impl<D> ErrorType for Cached<D> {
    type Error = StorageError;
}

fn told(error: StorageError) -> Error<StorageError> {
    let failed = Error::device(error, "the device failed");
    match error {
        // The filesystem stops writing when it hears this.
        StorageError::ReadOnly => failed.with_kind(ErrorKind::ReadOnly),
        _ => failed,
    }
}

impl<D: StorageDevice + 'static> BlockDevice for Cached<D> {
    type State = Progress;

    fn block_size(&self) -> BlockSize {
        // `Volume::mount` has checked it.
        BlockSize::new(self.cache.info().block_size)
            .unwrap_or(const { BlockSize::new(512).unwrap() })
    }

    fn block_count(&self) -> u64 {
        self.cache.info().blocks
    }

    fn writable(&self) -> bool {
        self.cache.info().writable == Writable::Yes
    }

    fn poll_read_blocks(
        &mut self,
        state: &mut Progress,
        cx: &mut Context<'_>,
        first: BlockIndex,
        buf: &mut [u8],
    ) -> Poll<Result<(), Error<StorageError>>> {
        self.budget.spend()?;
        self.cache.poll_read(state, cx, Lba(first.get()), buf).map_err(told)
    }

    fn poll_write_blocks(
        &mut self,
        state: &mut Progress,
        cx: &mut Context<'_>,
        first: BlockIndex,
        buf: &[u8],
    ) -> Poll<Result<(), Error<StorageError>>> {
        self.budget.spend()?;
        self.cache.poll_write(state, cx, Lba(first.get()), buf).map_err(told)
    }

    fn poll_flush(
        &mut self,
        state: &mut Progress,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error<StorageError>>> {
        self.cache.poll_sync(state, cx).map_err(told)
    }

    /// What is in flight belongs to the cache, so there is nothing to stop.
    fn cancel(&mut self, _: &mut Progress) {}
}
