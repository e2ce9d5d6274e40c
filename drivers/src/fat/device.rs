//! A block cache as the block device that `hadris-fat` asks for.

use core::task::{Context, Poll};

use hadris_io::{Error, ErrorKind, ErrorType};
use hadris_storage::async_::BlockDevice;
use hadris_storage::{BlockIndex, BlockSize};

use crate::cache::{BlockCache, Progress};
use crate::storage::{Lba, StorageDevice, StorageError, Writable};

pub(super) struct Cached<D>(pub(super) BlockCache<D>);

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
        BlockSize::new(self.0.info().block_size).unwrap_or(const { BlockSize::new(512).unwrap() })
    }

    fn block_count(&self) -> u64 {
        self.0.info().blocks
    }

    fn writable(&self) -> bool {
        self.0.info().writable == Writable::Yes
    }

    fn poll_read_blocks(
        &mut self,
        state: &mut Progress,
        cx: &mut Context<'_>,
        first: BlockIndex,
        buf: &mut [u8],
    ) -> Poll<Result<(), Error<StorageError>>> {
        self.0.poll_read(state, cx, Lba(first.get()), buf).map_err(told)
    }

    fn poll_write_blocks(
        &mut self,
        state: &mut Progress,
        cx: &mut Context<'_>,
        first: BlockIndex,
        buf: &[u8],
    ) -> Poll<Result<(), Error<StorageError>>> {
        self.0.poll_write(state, cx, Lba(first.get()), buf).map_err(told)
    }

    fn poll_flush(
        &mut self,
        state: &mut Progress,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error<StorageError>>> {
        self.0.poll_sync(state, cx).map_err(told)
    }

    /// What is in flight belongs to the cache, so there is nothing to stop.
    fn cancel(&mut self, _: &mut Progress) {}
}
