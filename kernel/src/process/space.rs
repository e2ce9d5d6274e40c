//! A process's memory: page tables and the ranges mapped in them.
//!
//! Changes of one process go one at a time, under an async permit, since a large one yields on its
//! way and taking pages away waits for other cores. A thread killed in the middle leaves at worst a
//! range that is only partly mapped; the process is ending anyway.

use super::limits::{self, RESERVE_FRAMES};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use executor::sync::Semaphore;
use hal::dma::SharedPages;
use hal::memory::regions::{Range, Regions};
use hal::memory::{VirtAddr, frames};
use hal::x86_64::paging::{Access, AddressSpace, MapError};
use protocols::abi::{Error, PAGE, Protection, USER_END, USER_START};
use protocols::image::Segment;

/// Most ranges of a process.
const RANGES_MAX: usize = 1024;
/// Where the kernel looks for a free range first.
const SEARCH_FROM: u64 = 0x1_0000_0000;
/// Pages mapped between two chances for other tasks.
const BATCH: u64 = 64;
/// Pages unmapped at once where there is no memory to list their frames: so few need none.
const FEW: u64 = 4;
/// Pages that are taken away or changed between two chances for other tasks.
const LARGE_BATCH: u64 = 512;

/// A process's memory.
pub struct Space {
    tables: spin::Mutex<Option<Arc<AddressSpace>>>,
    /// What the threads' records point to; it stays until they are gone.
    raw: *const AddressSpace,
    regions: spin::Mutex<Regions>,
    change: Semaphore,
    /// Pages of the memory objects that the process made.
    pub(super) objects: Arc<AtomicU64>,
}

// SAFETY: the raw pointer is only ever handed on to hal, which reads the tables' root through it
// while the process has threads; everything else is behind locks.
unsafe impl Sync for Space {}
// SAFETY: as above.
unsafe impl Send for Space {}

impl core::fmt::Debug for Space {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Space({} ranges)", self.regions.lock().count())
    }
}

fn access(protection: Protection) -> Access {
    if protection.contains(Protection::WRITE) {
        Access::ReadWrite
    } else if protection.contains(Protection::EXECUTE) {
        Access::ReadExecute
    } else {
        Access::Read
    }
}

fn error(error: MapError) -> Error {
    match error {
        MapError::OutOfFrames => Error::OutOfMemory,
        MapError::BadRange => Error::BadAddress,
        MapError::AlreadyMapped | MapError::NotMapped => Error::RangeConflict,
        MapError::TooManyPieces => Error::LimitReached,
    }
}

fn no_regions() -> Regions {
    Regions::new(Range { start: USER_START, end: USER_END }, SEARCH_FROM, RANGES_MAX)
}

fn pages(range: Range) -> (VirtAddr, u64) {
    (VirtAddr(range.start), range.page_count())
}

impl Space {
    /// Nothing mapped.
    pub fn new() -> Result<Self, Error> {
        let tables = Arc::new(AddressSpace::new().map_err(error)?);
        Ok(Self {
            raw: Arc::as_ptr(&tables),
            tables: spin::Mutex::new(Some(tables)),
            regions: spin::Mutex::new(no_regions()),
            change: Semaphore::new(1),
            objects: Arc::default(),
        })
    }

    /// For the threads' records: good until [`Space::dissolve`].
    pub fn as_ptr(&self) -> *const AddressSpace {
        self.raw
    }

    fn tables(&self) -> Result<Arc<AddressSpace>, Error> {
        self.tables.lock().clone().ok_or(Error::BadAddress)
    }

    /// Lets `core` run threads of the process.
    pub fn join(&self, core: u16) {
        if let Ok(tables) = self.tables() {
            tables.join(core);
        }
    }

    /// Makes this core's user half this process's. The caller is one of its threads' tasks and
    /// doesn't await before it is done with the memory.
    pub fn activate(&self) {
        if let Ok(tables) = self.tables()
            && !tables.is_active()
        {
            // SAFETY: the process lives, since one of its threads' tasks is running this.
            unsafe { tables.activate() };
        }
    }

    /// [`protocols::abi::Syscall::MemoryMap`].
    pub async fn map(&self, address: u64, len: u64, protection: Protection) -> Result<u64, Error> {
        let range = Range::new(address, len)?;
        if range.page_count() > frames::free_in_pool().saturating_sub(RESERVE_FRAMES) {
            return Err(Error::OutOfMemory);
        }
        let _turn = self.change.acquire(1).await.map_err(|_| Error::BadAddress)?;
        self.check_share(range.page_count())?;
        let range = {
            let mut regions = self.regions.lock();
            let range = if address == 0 { regions.find(len)? } else { range };
            regions.insert(range, protection)?;
            range
        };
        let tables = self.tables()?;
        let mut done = 0;
        while done < range.page_count() {
            let now = (range.page_count() - done).min(BATCH);
            let start = VirtAddr(range.start + done * PAGE as u64);
            let enough = frames::free_in_pool() > RESERVE_FRAMES;
            let mapped = if enough {
                tables.map_zeroed(start, now, access(protection))
            } else {
                Err(MapError::OutOfFrames)
            };
            if let Err(why) = mapped {
                let end = range.start + done * PAGE as u64;
                self.take_away(Range { start: range.start, end }).await?;
                // Taken whole a moment ago, so no more pieces come of it.
                self.regions.lock().take_back(range);
                return Err(error(why));
            }
            done += now;
            if done < range.page_count() {
                executor::yield_now().await;
            }
        }
        Ok(range.start)
    }

    /// [`protocols::abi::Syscall::MemoryAttach`]: maps shared pages, which may at most be used as
    /// `most` says.
    pub async fn attach(
        &self,
        shared: SharedPages,
        address: u64,
        protection: Protection,
        most: Protection,
    ) -> Result<u64, Error> {
        let range = Range::new(address, shared.bytes() as u64)?;
        if frames::free_in_pool() <= RESERVE_FRAMES {
            return Err(Error::OutOfMemory);
        }
        let _turn = self.change.acquire(1).await.map_err(|_| Error::BadAddress)?;
        self.check_share(range.page_count())?;
        let tables = self.tables()?;
        let range = {
            let mut regions = self.regions.lock();
            let range = if address == 0 { regions.find(shared.bytes() as u64)? } else { range };
            regions.insert(range, protection)?;
            range
        };
        let mut at = range.start;
        while at < range.end {
            let done = ((at - range.start) / PAGE as u64) as usize;
            let now = done..shared.count().min(done + LARGE_BATCH as usize);
            let bytes = now.len() as u64 * PAGE as u64;
            let piece = shared.part(now).ok_or(Error::InvalidArgument)?;
            let mapped = tables.map_shared(VirtAddr(at), &piece, access(protection), access(most));
            if let Err(why) = mapped {
                self.take_away(Range { start: range.start, end: at }).await?;
                self.regions.lock().take_back(range);
                return Err(error(why));
            }
            at += bytes;
            if at < range.end {
                executor::yield_now().await;
            }
        }
        Ok(range.start)
    }

    /// [`protocols::abi::Syscall::MemoryUnmap`].
    pub async fn unmap(&self, address: u64, len: u64) -> Result<(), Error> {
        let range = Range::new(address, len)?;
        let _turn = self.change.acquire(1).await.map_err(|_| Error::BadAddress)?;
        self.regions.lock().remove(range)?;
        self.take_away(range).await
    }

    /// Takes the pages of `range` away, piece by piece.
    async fn take_away(&self, range: Range) -> Result<(), Error> {
        let tables = self.tables()?;
        let (mut at, mut batch) = (range.start, LARGE_BATCH);
        while at < range.end {
            let now = Range { start: at, end: range.end.min(at + batch * PAGE as u64) };
            let (start, count) = pages(now);
            match tables.unmap(start, count) {
                Ok(flush) => flush.await,
                Err(MapError::OutOfFrames) if batch > FEW => {
                    batch = FEW;
                    continue;
                }
                Err(why) => return Err(error(why)),
            }
            at = now.end;
            if at < range.end {
                executor::yield_now().await;
            }
        }
        Ok(())
    }

    /// Whether the process may have `more` pages.
    pub(super) fn check_share(&self, more: u64) -> Result<(), Error> {
        let pages = self.page_count() + self.objects.load(Relaxed);
        let most = limits::pages_max();
        if pages.saturating_add(more) > most { Err(Error::OutOfMemory) } else { Ok(()) }
    }

    /// [`protocols::abi::Syscall::MemoryProtect`].
    pub async fn protect(
        &self,
        address: u64,
        len: u64,
        protection: Protection,
    ) -> Result<(), Error> {
        let range = Range::new(address, len)?;
        let _turn = self.change.acquire(1).await.map_err(|_| Error::BadAddress)?;
        let tables = self.tables()?;
        let (start, count) = pages(range);
        if !tables.may_protect(start, count, access(protection)) {
            return Err(Error::NotPermitted);
        }
        self.regions.lock().protect(range, protection)?;
        let mut at = range.start;
        while at < range.end {
            let now = Range { start: at, end: range.end.min(at + LARGE_BATCH * PAGE as u64) };
            let (start, count) = pages(now);
            tables.protect(start, count, access(protection)).map_err(error)?.await;
            at = now.end;
            if at < range.end {
                executor::yield_now().await;
            }
        }
        Ok(())
    }

    /// Maps a segment of a program with its bytes. Before the process runs.
    pub fn load(&self, segment: &Segment<'_>) -> Result<(), Error> {
        let range = Range { start: segment.first_page(), end: segment.end_page() };
        self.map_filled(range, segment.protection, segment.address, segment.bytes)
    }

    /// Maps `range` and writes `bytes` at `at` within it. Before the process runs.
    pub fn map_filled(
        &self,
        range: Range,
        protection: Protection,
        at: u64,
        bytes: &[u8],
    ) -> Result<(), Error> {
        self.check_share(range.page_count())?;
        self.regions.lock().insert(range, protection)?;
        let tables = self.tables()?;
        let (start, count) = pages(range);
        if count + RESERVE_FRAMES > frames::free_in_pool() {
            return Err(Error::OutOfMemory);
        }
        tables.map_zeroed(start, count, access(protection)).map_err(error)?;
        tables.write(VirtAddr(at), bytes).map_err(error)
    }

    /// Pages mapped.
    pub fn page_count(&self) -> u64 {
        self.tables().map_or(0, |tables| tables.usage().pages)
    }

    /// Returns all of it, once no core can be in it any more. The process has no threads left.
    pub async fn dissolve(&self) {
        let regions = core::mem::replace(&mut *self.regions.lock(), no_regions());
        let large: Vec<Range> = regions
            .iter()
            .map(|(range, _)| range)
            .filter(|range| range.page_count() > LARGE_BATCH)
            .collect();
        drop(regions);
        for range in large {
            // One that a killed thread left half done goes with the tables.
            let _ = self.take_away(range).await;
        }
        let tables = self.tables.lock().take();
        if let Some(flush) = tables.and_then(AddressSpace::destroy) {
            flush.await;
        }
    }
}
