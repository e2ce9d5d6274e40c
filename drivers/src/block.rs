//! Disks and partitions as the rest of the kernel holds them: one concrete handle, whatever drives
//! the disk.
//!
//! ```text
//!   BlockHandle ─── range, access ───> Device ─┬─> nvme::Namespace
//!   (cheap to clone, any core)                 └─> ahci::Disk
//! ```
//!
//! A handle reaches the blocks of its range and nothing else, and writes only if it was opened so.
//! It stays valid when the device goes away: every operation then gives [`StorageError::Gone`].
//! Handles that may write can be [counted](Writers).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::future::{Future, ready};
use core::sync::atomic::{AtomicUsize, Ordering};

use executor::Platform;
use futures_util::future::Either;
use hal::dma::Memory;

use crate::completion::CompletionMode;
use crate::storage::{
    Completion, Erase, Lba, StorageDevice, StorageError, StorageInfo, Transfer, Writable,
};
use crate::{ahci, nvme};

/// A whole device of any kind.
pub enum Device<P> {
    /// A namespace of an NVMe controller.
    Nvme(nvme::Namespace<P>),
    /// A disk at a port of an AHCI controller.
    Ahci(ahci::Disk<P>),
}

/// Gives what each kind of device says to the same question.
macro_rules! ask {
    ($device:expr, $inner:ident => $answer:expr) => {
        match $device {
            Device::Nvme($inner) => $answer,
            Device::Ahci($inner) => $answer,
        }
    };
}

impl<P: Platform> Device<P> {
    /// What kind of device it is, as figures and names call it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Nvme(_) => "nvme",
            Self::Ahci(_) => "ahci",
        }
    }
}

/// Counts handles that may write: see [`BlockHandle::counted_by`].
#[derive(Clone, Debug, Default)]
pub struct Writers(Arc<AtomicUsize>);

impl Writers {
    /// How many handles there are.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

/// One of those that are counted.
#[derive(Debug)]
struct Writer(Writers);

impl Writer {
    fn new(writers: &Writers) -> Self {
        writers.0.fetch_add(1, Ordering::Relaxed);
        Self(writers.clone())
    }
}

impl Clone for Writer {
    fn clone(&self) -> Self {
        Self::new(&self.0)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Release);
    }
}

/// Some or all blocks of a device.
pub struct BlockHandle<P> {
    device: Arc<Device<P>>,
    name: Arc<str>,
    first: Lba,
    info: StorageInfo,
    writer: Option<Writer>,
}

impl<P> Clone for BlockHandle<P> {
    fn clone(&self) -> Self {
        Self {
            device: self.device.clone(),
            name: self.name.clone(),
            first: self.first,
            info: self.info.clone(),
            writer: self.writer.clone(),
        }
    }
}

impl<P> fmt::Debug for BlockHandle<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} blocks of {}", self.name, self.info.blocks, self.info.block_size)
    }
}

impl<P: Platform> BlockHandle<P> {
    /// All of `device`.
    pub fn new(name: String, device: Device<P>) -> Self {
        let info = ask!(&device, device => device.info().clone());
        Self { device: Arc::new(device), name: name.into(), first: Lba(0), info, writer: None }
    }

    /// `blocks` blocks of it, from `first` on. `None`: it does not have them.
    pub fn part(&self, name: String, first: Lba, blocks: u64) -> Option<Self> {
        let end = first.checked_add(blocks)?;
        if blocks == 0 || end.0 > self.info.blocks {
            return None;
        }
        let mut part = self.clone();
        part.name = name.into();
        part.first = self.first.checked_add(first.0)?;
        part.info.blocks = blocks;
        Some(part)
    }

    /// The same blocks, never to be written through this handle.
    #[must_use]
    pub fn read_only(&self) -> Self {
        let mut handle = self.clone();
        handle.info.writable = Writable::No;
        handle.writer = None;
        handle
    }

    /// The same blocks, through a handle that `writers` counts as long as it or a clone is there.
    #[must_use]
    pub fn counted_by(&self, writers: &Writers) -> Self {
        Self { writer: Some(Writer::new(writers)), ..self.clone() }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the blocks are of.
    pub fn device(&self) -> &Device<P> {
        &self.device
    }

    /// How the completions of the device's controller are noticed.
    pub fn completion_mode(&self) -> CompletionMode {
        ask!(&*self.device, device => device.completion_mode())
    }

    /// Changes that, for all that the controller does.
    pub fn set_completion_mode(&self, mode: CompletionMode) {
        ask!(&*self.device, device => device.set_completion_mode(mode));
    }

    /// Where on the device they begin.
    pub fn first(&self) -> Lba {
        self.first
    }

    /// Where on the device the operation begins, and how many blocks it has, if it may begin. The
    /// range of a handle lies inside of its device, and its access is no more than the device's.
    #[inline]
    fn check(&self, what: Transfer, lba: Lba, bytes: usize) -> Result<(Lba, u32), StorageError> {
        if what == Transfer::Write && self.info.writable == Writable::No {
            return Err(StorageError::ReadOnly);
        }
        let blocks = self.info.blocks_of(lba, bytes)?;
        Ok((self.locate(lba)?, blocks))
    }

    /// Where on the device `lba` is.
    fn locate(&self, lba: Lba) -> Result<Lba, StorageError> {
        self.first.checked_add(lba.0).ok_or(StorageError::OutOfRange)
    }
}

impl<P: Platform> StorageDevice for BlockHandle<P> {
    fn info(&self) -> &StorageInfo {
        &self.info
    }

    // Not an `async fn`: that would keep the memory beside the device's own future, and move both.
    #[inline]
    fn transfer(
        &self,
        what: Transfer,
        lba: Lba,
        memory: Memory,
    ) -> impl Future<Output = Completion<Memory>> {
        match self.check(what, lba, memory.bytes()) {
            Ok((lba, blocks)) => match &*self.device {
                Device::Nvme(device) => {
                    Either::Left(device.transfer_checked(what, lba, blocks, memory))
                }
                // Its future is large, and its device slow.
                Device::Ahci(device) => {
                    let moving = Box::pin(device.transfer(what, lba, memory));
                    Either::Right(Either::Left(moving))
                }
            },
            Err(error) => Either::Right(Either::Right(ready(Completion::refused(error, memory)))),
        }
    }

    async fn flush(&self) -> Result<(), StorageError> {
        ask!(&*self.device, device => device.flush().await)
    }

    async fn erase(&self, what: Erase, lba: Lba, blocks: u64) -> Result<(), StorageError> {
        if self.info.writable == Writable::No {
            return Err(StorageError::ReadOnly);
        }
        if lba.checked_add(blocks).is_none_or(|end| end.0 > self.info.blocks) {
            return Err(StorageError::OutOfRange);
        }
        let lba = self.locate(lba)?;
        ask!(&*self.device, device => device.erase(what, lba, blocks).await)
    }
}
