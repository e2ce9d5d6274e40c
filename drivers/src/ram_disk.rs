//! A disk in ordinary memory, for the tests of what stands on a storage device.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::vec;
use std::vec::Vec;

use hal::dma::Memory;

use crate::storage::{
    Completion, Lba, StorageDevice, StorageError, StorageInfo, Transfer, Writable,
};

/// Most bytes one operation carries.
const MOST: u32 = 64 << 10;

/// When an operation is over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    AtOnce,
    SecondPoll,
}

/// Something that happened to the disk.
pub(crate) enum Event {
    /// These bytes were written at this byte.
    Written(usize, Vec<u8>),
    Flushed,
}

pub(crate) struct RamDisk {
    info: StorageInfo,
    pub(crate) bytes: RefCell<Vec<u8>>,
    /// How many reads, writes and flushes it has carried out.
    pub(crate) reads: Cell<u64>,
    pub(crate) writes: Cell<u64>,
    pub(crate) flushes: Cell<u64>,
    /// Whether operations are over at once, or at the second poll.
    pub(crate) pace: Cell<Pace>,
    /// What was written and flushed, in order, once somebody wants to know.
    pub(crate) history: RefCell<Option<Vec<Event>>>,
    /// What becomes of the next operations, the last one first; empty: they succeed.
    pub(crate) errors: RefCell<Vec<Option<StorageError>>>,
}

impl RamDisk {
    pub(crate) fn new(block_size: u32, blocks: u64) -> Self {
        Self::of(block_size, vec![0; block_size as usize * blocks as usize])
    }

    /// A disk that holds these bytes, of which there are whole blocks.
    pub(crate) fn of(block_size: u32, bytes: Vec<u8>) -> Self {
        let blocks = bytes.len() as u64 / u64::from(block_size);
        let info = StorageInfo {
            block_size,
            blocks,
            max_transfer_bytes: MOST,
            depth: 1,
            writable: Writable::Yes,
        };
        Self {
            info,
            bytes: RefCell::new(bytes),
            reads: Cell::new(0),
            writes: Cell::new(0),
            flushes: Cell::new(0),
            pace: Cell::new(Pace::AtOnce),
            history: RefCell::new(None),
            errors: RefCell::new(Vec::new()),
        }
    }

    /// The same disk, read-only.
    pub(crate) fn read_only(mut self) -> Self {
        self.info.writable = Writable::No;
        self
    }

    async fn wait(&self) {
        let mut is_over = self.pace.get() == Pace::AtOnce;
        poll_fn(|_| {
            if core::mem::replace(&mut is_over, true) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn record(&self, event: impl FnOnce() -> Event) {
        if let Some(history) = &mut *self.history.borrow_mut() {
            history.push(event());
        }
    }

    fn verdict(&self) -> Result<(), StorageError> {
        self.errors.borrow_mut().pop().flatten().map_or(Ok(()), Err)
    }
}

impl StorageDevice for RamDisk {
    fn info(&self) -> &StorageInfo {
        &self.info
    }

    async fn transfer(&self, what: Transfer, lba: Lba, memory: Memory) -> Completion<Memory> {
        self.wait().await;
        let length = memory.bytes();
        if what == Transfer::Write && self.info.writable == Writable::No {
            return Completion::refused(StorageError::ReadOnly, memory);
        }
        if let Err(error) = self.info.blocks_of(lba, length).and_then(|_| self.verdict()) {
            return Completion::refused(error, memory);
        }
        let Memory::Buf(mut buf) = memory else {
            return Completion::refused(StorageError::Unsupported, memory);
        };
        let start = lba.0 as usize * self.info.block_size as usize;
        let place = &mut self.bytes.borrow_mut()[start..start + length];
        match what {
            Transfer::Read => {
                self.reads.set(self.reads.get() + 1);
                buf.copy_from_slice(place);
            }
            Transfer::Write => {
                self.writes.set(self.writes.get() + 1);
                place.copy_from_slice(&buf);
                self.record(|| Event::Written(start, buf.to_vec()));
            }
        }
        Completion { result: Ok(()), buf: Some(buf.into()) }
    }

    async fn flush(&self) -> Result<(), StorageError> {
        self.wait().await;
        self.verdict()?;
        self.flushes.set(self.flushes.get() + 1);
        self.record(|| Event::Flushed);
        Ok(())
    }
}

/// A disk that the test and what it tests both hold.
impl StorageDevice for Rc<RamDisk> {
    fn info(&self) -> &StorageInfo {
        &self.info
    }

    async fn transfer(&self, what: Transfer, lba: Lba, memory: Memory) -> Completion<Memory> {
        RamDisk::transfer(self, what, lba, memory).await
    }

    async fn flush(&self) -> Result<(), StorageError> {
        RamDisk::flush(self).await
    }
}
