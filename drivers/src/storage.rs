//! Storage devices as the rest of the kernel knows them.
//!
//! How completion is noticed (polled, by interrupt) is not to be seen here. Several operations may
//! be under way at once; nothing orders them but [`flush`](StorageDevice::flush) and awaiting.

use core::fmt;

use hal::dma::{Direction, DmaBuf, Memory};

/// The number of a block of a device, in blocks of [`StorageInfo::block_size`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lba(pub u64);

impl Lba {
    /// The block so many further on, if there is such a number.
    pub const fn checked_add(self, blocks: u64) -> Option<Lba> {
        match self.0.checked_add(blocks) {
            Some(lba) => Some(Lba(lba)),
            None => None,
        }
    }
}

impl fmt::Display for Lba {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "LBA {}", self.0)
    }
}

/// Whether a device may be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writable {
    /// It may.
    Yes,
    /// It is read-only: by itself, or because nobody has said otherwise.
    No,
}

/// What a storage device is. Does not change while it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageInfo {
    /// Bytes in a block: a power of two, 512 or more.
    pub block_size: u32,
    /// How many blocks there are.
    pub blocks: u64,
    /// The most bytes one operation may carry: a multiple of `block_size`, at least one block.
    pub max_transfer_bytes: u32,
    /// How many operations it takes at once, all queues together.
    pub depth: u32,
    /// Whether it may be written to.
    pub writable: Writable,
}

impl StorageInfo {
    /// Checks an operation on `bytes` bytes at `lba`, and says how many blocks they are. Every
    /// device asks this before it tells the hardware anything.
    pub fn blocks_of(&self, lba: Lba, bytes: usize) -> Result<u32, StorageError> {
        let size = self.block_size.max(1) as usize;
        if bytes == 0 || !bytes.is_multiple_of(size) || bytes > self.max_transfer_bytes as usize {
            return Err(StorageError::BadLength);
        }
        // At most `max_transfer_bytes`, so it fits.
        let blocks = (bytes / size) as u32;
        match lba.checked_add(u64::from(blocks)) {
            Some(end) if end.0 <= self.blocks => Ok(blocks),
            _ => Err(StorageError::OutOfRange),
        }
    }
}

/// Why an operation failed, and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum StorageError {
    /// Blocks beyond the end. The caller's mistake; do not repeat it.
    #[error("beyond the end of the device")]
    OutOfRange,
    /// Not whole blocks, none, or more than the device takes at once. The caller's mistake.
    #[error("not a length the device takes")]
    BadLength,
    /// The device is read-only.
    #[error("the device is read-only")]
    ReadOnly,
    /// The medium cannot give back, or keep, this data. Repeating it may help reads only.
    #[error("the medium failed")]
    Media,
    /// The device has no such operation. Do without it.
    #[error("the device cannot do this")]
    Unsupported,
    /// The device refused or failed it for a reason of its own. It may be repeated once.
    #[error("the device failed the operation")]
    Device,
    /// The device did not answer in time; what became of the operation is unknown. It may be
    /// repeated.
    #[error("the device did not answer in time")]
    TimedOut,
    /// The device was reset under the operation; what became of it is unknown. It may be repeated.
    #[error("the device was reset during the operation")]
    Reset,
    /// The device is no longer there. Give it up.
    #[error("the device is gone")]
    Gone,
    /// No memory for it. Try again later.
    #[error("out of memory for the operation")]
    OutOfMemory,
}

/// What a [`transfer`](StorageDevice::transfer) does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// From the device to memory.
    Read,
    /// From memory to the device.
    Write,
}

impl Transfer {
    /// What the device does with the memory.
    pub const fn direction(self) -> Direction {
        match self {
            Self::Read => Direction::FromDevice,
            Self::Write => Direction::ToDevice,
        }
    }
}

/// What is to become of blocks whose data nobody wants any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Erase {
    /// They read as zeros afterwards.
    Zero,
    /// They may read as anything afterwards: a hint to the device, which may do nothing.
    Discard,
}

/// What a device was asked for, as its driver's log says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Transfer(Transfer, Lba),
    Flush,
    Erase(Erase, Lba),
    Health,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transfer(Transfer::Read, lba) => write!(f, "a read at {lba}"),
            Self::Transfer(Transfer::Write, lba) => write!(f, "a write at {lba}"),
            Self::Flush => f.write_str("a flush"),
            Self::Erase(Erase::Zero, lba) => write!(f, "zeroing from {lba} on"),
            Self::Erase(Erase::Discard, lba) => write!(f, "a discard from {lba} on"),
            Self::Health => f.write_str("a question for its health"),
        }
    }
}

/// How a read or write ended.
#[derive(Debug)]
#[must_use = "it says whether the operation succeeded, and holds the memory"]
pub struct Completion<M = DmaBuf> {
    /// Whether it succeeded.
    pub result: Result<(), StorageError>,
    /// The memory; `None` if the device may still be using it (it is freed when the device is
    /// done).
    pub buf: Option<M>,
}

impl<M> Completion<M> {
    /// An operation refused before the device heard of it.
    pub fn refused(error: StorageError, memory: M) -> Self {
        Self { result: Err(error), buf: Some(memory) }
    }
}

impl Completion<Memory> {
    /// As the completion of an operation on a buffer.
    pub(crate) fn of_buf(self) -> Completion {
        Completion { result: self.result, buf: self.buf.and_then(Memory::into_buf) }
    }
}

/// A disk, a partition, anything made of numbered blocks.
///
/// The futures are cancelled by dropping them: the memory then belongs to the device until it is
/// done, and to nobody afterwards. They stay on the core that polls them (no `Send` bound).
#[allow(async_fn_in_trait)]
pub trait StorageDevice {
    /// What it is.
    fn info(&self) -> &StorageInfo;

    /// Reads or writes all of `memory`, from `lba` on: what [`read`](Self::read) and
    /// [`write`](Self::write) are made of.
    async fn transfer(&self, what: Transfer, lba: Lba, memory: Memory) -> Completion<Memory>;

    /// Makes every write that completed before this call survive a loss of power.
    async fn flush(&self) -> Result<(), StorageError>;

    /// Gives up the data of `blocks` blocks from `lba` on.
    /// [`Unsupported`](StorageError::Unsupported) where the device cannot.
    async fn erase(&self, what: Erase, lba: Lba, blocks: u64) -> Result<(), StorageError> {
        let _ = (what, lba, blocks);
        Err(StorageError::Unsupported)
    }

    /// Reads `buf.len()` bytes from `lba` on into `buf`.
    async fn read(&self, lba: Lba, buf: DmaBuf) -> Completion {
        self.transfer(Transfer::Read, lba, buf.into()).await.of_buf()
    }

    /// Writes `buf` from `lba` on. Once it has completed, reads see the data; it survives a loss of
    /// power only after a [`flush`](Self::flush).
    async fn write(&self, lba: Lba, buf: DmaBuf) -> Completion {
        self.transfer(Transfer::Write, lba, buf.into()).await.of_buf()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// What is let through is exactly the whole blocks inside the device, and nothing
        /// overflows.
        #[test]
        fn only_whole_blocks_inside_pass(
            shift in 9u32..13,
            blocks in prop_oneof![0u64..5000, any::<u64>()],
            lba in prop_oneof![0u64..5000, any::<u64>()],
            bytes in prop_oneof![0usize..100_000, any::<usize>()],
        ) {
            let size = 1u32 << shift;
            let info = StorageInfo {
                block_size: size,
                blocks,
                max_transfer_bytes: 64 << 10,
                depth: 1,
                writable: Writable::Yes,
            };
            let wanted = bytes as u128 / u128::from(size);
            let fits = u128::from(lba) + wanted <= u128::from(blocks);
            let whole = bytes != 0 && bytes % size as usize == 0 && bytes <= 64 << 10;
            let expected = match (whole, fits) {
                (false, _) => Err(StorageError::BadLength),
                (true, false) => Err(StorageError::OutOfRange),
                (true, true) => Ok(wanted as u32),
            };
            prop_assert_eq!(info.blocks_of(Lba(lba), bytes), expected);
        }
    }
}
