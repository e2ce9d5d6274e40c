//! A cache of a storage device's blocks, in bounded memory.
//!
//! ```text
//!                 ┌───────── few blocks ─────────> frames ──(in the order they were changed)──┐
//!   read, write ──┤                                  ^ read-ahead                             v
//!                 └───────── many blocks ──────────────────────────────────────────────────> device
//! ```
//!
//! A read that misses loads the blocks and some more after them ([`streams`]: the window doubles
//! while somebody goes on where they were). A write stays here until [`sync`](BlockCache::sync), or
//! until half of the cache is dirty; then blocks are written in the order they were first changed.
//! Whoever asks for [`DIRECT`] bytes or more gets them straight from the device, laid over with
//! what is newer here.
//!
//! Cancelling: an operation is dropped at any moment without harm ([`in_flight`]). A write back
//! that fails leaves its blocks dirty; the next sync tries again.
//!
//! The operations exist as futures and, for a filesystem that is polled, as `poll_` functions with
//! a [`Progress`] of their own.

mod frames;
mod in_flight;
mod streams;

use alloc::rc::Rc;
use core::future::poll_fn;
use core::task::{Context, Poll, ready};

use hal::dma::{DmaBuf, DmaDomain};

use self::frames::Frames;
use self::in_flight::{Ended, InFlight, Purpose};
use self::streams::Streams;
use crate::storage::{Lba, StorageDevice, StorageError, StorageInfo, Writable};

/// Bytes from which on a read or write goes past the cache.
pub const DIRECT: usize = 32 << 10;

/// Bytes the first read of a stream loads, and those it may grow to.
const AHEAD: (u64, u64) = (4 << 10, 64 << 10);

/// How much memory a cache may have for blocks, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheBytes(pub usize);

impl Default for CacheBytes {
    /// 1 MiB.
    fn default() -> Self {
        Self(1 << 20)
    }
}

/// How far an operation has come: the same one at every poll of it, a new one for each.
#[derive(Debug, Default)]
pub struct Progress {
    done: usize,
    /// Bytes under way for this operation past the cache.
    through: usize,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Not begun: what is in flight is somebody else's.
    #[default]
    New,
    /// What is in flight, if anything, is this operation's.
    Begun,
}

/// The cache of one device, which nobody else may write to.
pub struct BlockCache<D> {
    device: Rc<D>,
    dma: DmaDomain,
    block: usize,
    frames: Frames,
    streams: Streams,
    in_flight: Option<InFlight>,
    /// What was last read from the device, and where from.
    landed: Option<(u64, DmaBuf)>,
    /// Something was written since the last flush.
    is_unflushed: bool,
}

impl<D: StorageDevice + 'static> BlockCache<D> {
    /// A cache of `device` in `memory`, which is at least 16 blocks; buffers for the device come
    /// from `dma`.
    pub fn new(device: D, dma: &DmaDomain, memory: CacheBytes) -> Self {
        let info = device.info();
        let block = info.block_size.max(1) as usize;
        let capacity = (memory.0 / block).max(16);
        // One window may not push out more than a quarter of the rest.
        let most = (AHEAD.1 / block as u64).min(capacity as u64 / 4);
        let streams = Streams::new(AHEAD.0 / block as u64, most);
        Self {
            device: Rc::new(device),
            dma: dma.clone(),
            block,
            frames: Frames::new(block, capacity),
            streams,
            in_flight: None,
            landed: None,
            is_unflushed: false,
        }
    }

    /// What the device is.
    pub fn info(&self) -> &StorageInfo {
        self.device.info()
    }

    /// How many blocks are here that the device does not have yet.
    pub fn dirty_blocks(&self) -> usize {
        self.frames.dirty()
    }

    /// Reads whole blocks, from `lba` on, into `into`.
    ///
    /// # Errors
    /// `into` is no whole number of blocks or reaches beyond the end, or the device fails.
    pub async fn read(&mut self, lba: Lba, into: &mut [u8]) -> Result<(), StorageError> {
        let mut progress = Progress::default();
        poll_fn(|cx| self.poll_read(&mut progress, cx, lba, into)).await
    }

    /// Writes whole blocks, from `lba` on; they last after a [`sync`](Self::sync).
    ///
    /// # Errors
    /// As [`read`](Self::read), and the device is read-only, or an earlier write that must make
    /// room fails.
    pub async fn write(&mut self, lba: Lba, from: &[u8]) -> Result<(), StorageError> {
        let mut progress = Progress::default();
        poll_fn(|cx| self.poll_write(&mut progress, cx, lba, from)).await
    }

    /// Writes back all that is dirty, and makes it last.
    ///
    /// # Errors
    /// The device fails; what it did not take is still here.
    pub async fn sync(&mut self) -> Result<(), StorageError> {
        let mut progress = Progress::default();
        poll_fn(|cx| self.poll_sync(&mut progress, cx)).await
    }

    /// A step of [`read`](Self::read).
    pub fn poll_read(
        &mut self,
        progress: &mut Progress,
        cx: &mut Context<'_>,
        lba: Lba,
        into: &mut [u8],
    ) -> Poll<Result<(), StorageError>> {
        self.check(lba, into.len())?;
        loop {
            ready!(self.poll_settled(progress, cx))?;
            while let Some(rest) = into.get_mut(progress.done..).filter(|rest| !rest.is_empty()) {
                let at = lba.0 + (progress.done / self.block) as u64;
                let Some(taken) = self.take(at, rest) else { break };
                progress.done += taken;
            }
            let rest = into.len() - progress.done;
            if rest == 0 {
                return Poll::Ready(Ok(()));
            }
            self.load(lba.0 + (progress.done / self.block) as u64, rest)?;
        }
    }

    /// A step of [`write`](Self::write).
    pub fn poll_write(
        &mut self,
        progress: &mut Progress,
        cx: &mut Context<'_>,
        lba: Lba,
        from: &[u8],
    ) -> Poll<Result<(), StorageError>> {
        self.check(lba, from.len())?;
        if self.info().writable == Writable::No {
            return Poll::Ready(Err(StorageError::ReadOnly));
        }
        loop {
            ready!(self.poll_settled(progress, cx))?;
            progress.done += core::mem::take(&mut progress.through);
            let rest = from.get(progress.done..).unwrap_or_default();
            if rest.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let at = lba.0 + (progress.done / self.block) as u64;
            self.landed = None;
            if rest.len() >= DIRECT {
                progress.through = self.write_through(at, rest)?;
            } else if self.frames.dirty() >= self.frames.capacity() / 2 {
                self.write_back()?;
            } else {
                let block = &rest[..self.block];
                self.frames.put_dirty(at, block).ok_or(StorageError::OutOfMemory)?;
                progress.done += self.block;
            }
        }
    }

    /// A step of [`sync`](Self::sync).
    pub fn poll_sync(
        &mut self,
        progress: &mut Progress,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), StorageError>> {
        loop {
            ready!(self.poll_settled(progress, cx))?;
            if self.frames.dirty() > 0 {
                self.write_back()?;
            } else if self.is_unflushed {
                self.in_flight = Some(InFlight::flush(&self.device));
            } else {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn check(&self, lba: Lba, bytes: usize) -> Result<(), StorageError> {
        if !bytes.is_multiple_of(self.block) {
            return Err(StorageError::BadLength);
        }
        match lba.checked_add((bytes / self.block) as u64) {
            Some(end) if end.0 <= self.info().blocks => Ok(()),
            _ => Err(StorageError::OutOfRange),
        }
    }

    /// Sees what is in flight to its end. Its failure is the operation's if it began it; that of
    /// an abandoned one is nobody's.
    fn poll_settled(
        &mut self,
        progress: &mut Progress,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), StorageError>> {
        let stage = progress.stage;
        if let Some(in_flight) = &mut self.in_flight {
            let ended = ready!(in_flight.poll(cx));
            self.in_flight = None;
            let result = self.settle(ended);
            if stage == Stage::Begun {
                result?;
            }
        }
        progress.stage = Stage::Begun;
        Poll::Ready(Ok(()))
    }

    fn settle(&mut self, Ended { purpose, result, buf }: Ended) -> Result<(), StorageError> {
        result?;
        match purpose {
            Purpose::Keep(lba) | Purpose::Pass(lba) => {
                let buf = buf.ok_or(StorageError::Device)?;
                if let Purpose::Keep(_) = purpose {
                    for (at, block) in (lba..).zip(buf.chunks_exact(self.block)) {
                        self.frames.put_clean(at, block);
                    }
                }
                self.landed = Some((lba, buf));
            }
            Purpose::Back(blocks) => self.frames.written(blocks),
            Purpose::Through => {}
            Purpose::Flush => self.is_unflushed = false,
        }
        Ok(())
    }

    /// Copies what is at hand of the blocks from `lba` on, and says how many bytes that was.
    fn take(&mut self, lba: u64, into: &mut [u8]) -> Option<usize> {
        if let Some(block) = self.frames.get(lba) {
            into[..self.block].copy_from_slice(block);
            return Some(self.block);
        }
        let (first, landed) = self.landed.as_ref()?;
        let skip = usize::try_from(lba.checked_sub(*first)?).ok()?.checked_mul(self.block)?;
        let landed = landed.get(skip..).filter(|landed| !landed.is_empty())?;
        let bytes = landed.len().min(into.len());
        into[..bytes].copy_from_slice(&landed[..bytes]);
        self.frames.lay_over(lba, &mut into[..bytes]);
        Some(bytes)
    }

    /// Begins to read `lba`, which is missed, for somebody who wants `wanted` bytes from there on.
    fn load(&mut self, lba: u64, wanted: usize) -> Result<(), StorageError> {
        let most = self.most_blocks();
        let wanted_blocks = (wanted / self.block) as u64;
        let (purpose, blocks) = if wanted >= DIRECT {
            (Purpose::Pass(lba), wanted_blocks)
        } else {
            let left = self.info().blocks - lba;
            let window = self.streams.window(lba, wanted_blocks).min(left);
            (Purpose::Keep(lba), self.frames.absent(lba, window))
        };
        let buf = self.buffer(blocks.clamp(1, most) as usize)?;
        self.in_flight = Some(InFlight::read(&self.device, purpose, lba, buf));
        Ok(())
    }

    /// Begins to write the blocks that were changed first.
    fn write_back(&mut self) -> Result<(), StorageError> {
        let most = self.most_blocks() as usize;
        let Some((lba, blocks)) = self.frames.oldest(most) else { return Ok(()) };
        let mut buf = self.buffer(blocks)?;
        self.frames.copy_oldest(&mut buf);
        self.is_unflushed = true;
        self.in_flight = Some(InFlight::write(&self.device, Purpose::Back(blocks), lba, buf));
        Ok(())
    }

    /// Begins to write the first of `bytes` past the cache, and says how many.
    fn write_through(&mut self, lba: u64, bytes: &[u8]) -> Result<usize, StorageError> {
        let most = self.most_blocks() as usize;
        let mut buf = self.buffer((bytes.len() / self.block).min(most))?;
        let taken = buf.len();
        buf.copy_from_slice(&bytes[..taken]);
        self.frames.give_way(lba, &bytes[..taken]);
        self.is_unflushed = true;
        self.in_flight = Some(InFlight::write(&self.device, Purpose::Through, lba, buf));
        Ok(taken)
    }

    /// Most blocks one operation of the device carries.
    fn most_blocks(&self) -> u64 {
        u64::from(self.info().max_transfer_bytes / self.info().block_size.max(1)).max(1)
    }

    fn buffer(&self, blocks: usize) -> Result<DmaBuf, StorageError> {
        self.dma.buffer(blocks * self.block).map_err(|_| StorageError::OutOfMemory)
    }
}

#[cfg(test)]
mod tests;
