//! A process's memory: page tables and the ranges mapped in them.
//!
//! Changes of one process go one at a time, under an async permit, since a large one yields on its
//! way and taking pages away waits for other cores. A thread killed in the middle leaves at worst a
//! range that is only partly mapped; the process is ending anyway.

mod backing;

pub use backing::Backing;

use super::limits::RESERVE_FRAMES;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use executor::sync::Semaphore;
use hal::memory::regions::{Range, Regions};
use hal::memory::{VirtAddr, frames};
use hal::x86_64::paging::{Access, AddressSpace, MapError};
use protocols::abi::{Error, PAGE, Protection, USER_END, USER_START};
use protocols::image::Segment;

/// Most ranges of a process.
const RANGES_MAX: usize = 1024;
/// Where the kernel looks for a free range first.
const SEARCH_FROM: u64 = 0x1_0000_0000;
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
    /// Pages that are being mapped.
    coming: AtomicU64,
    /// Pages of the memory objects that the process made.
    pub(super) objects: Arc<AtomicU64>,
    /// Pages that it may have: of its budget, what its children do not have.
    most: AtomicU64,
    revoked: spin::Mutex<Revoked>,
}

/// Shared memory that was revoked.
#[derive(Debug, Default)]
struct Revoked {
    /// There has been shared memory.
    is_possible: bool,
    /// To be taken away.
    claimed: Vec<Range>,
    /// Taken away. Nothing is mapped there, and nothing else will be until the process unmaps it.
    holes: Vec<Range>,
}

/// Takes `range` out of all of `ranges`.
fn subtract(ranges: &mut Vec<Range>, range: Range) {
    let rest = ranges.drain(..).flat_map(|old| {
        let before = Range { start: old.start, end: old.end.min(range.start) };
        let after = Range { start: old.start.max(range.end), end: old.end };
        [before, after]
    });
    *ranges = rest.filter(|rest| rest.start < rest.end).collect();
}

/// Pages on their way into a process's memory.
struct Coming<'a> {
    space: &'a Space,
    pages: u64,
}

impl Coming<'_> {
    /// So many are mapped.
    fn arrived(&mut self, pages: u64) {
        self.space.coming.fetch_sub(pages, SeqCst);
        self.pages -= pages;
    }
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        self.space.coming.fetch_sub(self.pages, SeqCst);
    }
}

/// Pages of a parent on their way to its child.
#[must_use = "dropped, they go back"]
pub struct Loan<'a> {
    space: &'a Space,
    frames: u64,
}

impl Loan<'_> {
    /// The child has them.
    pub fn keep(mut self) {
        self.frames = 0;
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        self.space.take_back(self.frames);
    }
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
    /// Nothing mapped, and at most so many pages to be.
    pub fn new(most: u64) -> Result<Self, Error> {
        let tables = Arc::new(AddressSpace::new().map_err(error)?);
        Ok(Self {
            raw: Arc::as_ptr(&tables),
            tables: spin::Mutex::new(Some(tables)),
            regions: spin::Mutex::new(no_regions()),
            change: Semaphore::new(1),
            coming: AtomicU64::new(0),
            objects: Arc::default(),
            most: AtomicU64::new(most),
            revoked: spin::Mutex::default(),
        })
    }

    /// Takes pages out of what the process may have, for a child.
    pub fn lend(&self, frames: u64) -> Result<Loan<'_>, Error> {
        let lent = self.most.fetch_update(SeqCst, SeqCst, |most| most.checked_sub(frames));
        lent.map_err(|_| Error::LimitReached)?;
        let loan = Loan { space: self, frames };
        // After the change, so that a mapping made meanwhile sees it, or is seen.
        self.check_share().map_err(|_| Error::LimitReached)?;
        Ok(loan)
    }

    /// A child has returned them.
    pub fn take_back(&self, frames: u64) {
        self.most.fetch_add(frames, SeqCst);
    }

    /// Pages that it may still have.
    pub fn left(&self) -> u64 {
        self.most.load(SeqCst).saturating_sub(self.used())
    }

    /// Shared memory there was revoked: to be taken away ([`Space::take_claimed`]). Under the
    /// authority's lock.
    pub fn claim(&self, address: u64, bytes: u64) {
        let range = Range { start: address, end: address + bytes };
        // The rest is being unmapped just now, by who has the turn.
        let parts: Vec<Range> = self.regions.lock().within(range).collect();
        self.revoked.lock().claimed.extend(parts);
    }

    /// Takes it away. The range stays in use, or the process might find something else there.
    pub async fn take_claimed(&self, address: u64, bytes: u64) {
        let range = Range { start: address, end: address + bytes };
        let Ok(_turn) = self.change.acquire(1).await else { return };
        // In pieces, if some of it was unmapped meanwhile.
        let pieces: Vec<Range> = {
            let mut revoked = self.revoked.lock();
            let is_in = |piece: &mut Range| range.start <= piece.start && piece.end <= range.end;
            let pieces: Vec<Range> = revoked.claimed.extract_if(.., is_in).collect();
            revoked.holes.extend_from_slice(&pieces);
            pieces
        };
        for piece in pieces {
            if let Err(error) = self.take_away(piece).await {
                log::error!("revoked memory at {address:#x} could not be taken away: {error}");
            }
        }
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

    /// [`protocols::abi::Syscall::MemoryUnmap`]. `commit` is told when nothing is mapped there any
    /// more.
    pub async fn unmap(
        &self,
        address: u64,
        len: u64,
        commit: impl FnOnce(Range),
    ) -> Result<(), Error> {
        let range = Range::new(address, len)?;
        let _turn = self.change.acquire(1).await.map_err(|_| Error::BadAddress)?;
        self.regions.lock().remove(range)?;
        // What was revoked is not mapped.
        let mut mapped = alloc::vec![range];
        let is_shared = {
            let mut revoked = self.revoked.lock();
            revoked.holes.iter().for_each(|hole| subtract(&mut mapped, *hole));
            subtract(&mut revoked.holes, range);
            subtract(&mut revoked.claimed, range);
            revoked.is_possible
        };
        for piece in mapped {
            self.take_away(piece).await?;
        }
        // Most programs share nothing: they need no lock of everybody's.
        let _done = is_shared.then(|| commit(range));
        Ok(())
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

    fn used(&self) -> u64 {
        self.page_count() + self.coming.load(SeqCst) + self.objects.load(SeqCst)
    }

    /// Whether the process has no more than it may. After a change, so that of two at a time at
    /// least one sees the other.
    pub(super) fn check_share(&self) -> Result<(), Error> {
        if self.used() > self.most.load(SeqCst) { Err(Error::OutOfMemory) } else { Ok(()) }
    }

    /// Pages that will be mapped: checked now, and counted until they are.
    fn expect(&self, pages: u64) -> Result<Coming<'_>, Error> {
        self.coming.fetch_add(pages, SeqCst);
        let coming = Coming { space: self, pages };
        self.check_share().map(|()| coming)
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
        let is_hit = |hole: &Range| hole.start < range.end && range.start < hole.end;
        if self.revoked.lock().holes.iter().any(is_hit) {
            return Err(Error::RangeConflict);
        }
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
        let _coming = self.expect(range.page_count())?;
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
        let mut large: Vec<Range> = regions.iter().map(|(range, _)| range).collect();
        drop(regions);
        self.revoked.lock().holes.iter().for_each(|hole| subtract(&mut large, *hole));
        large.retain(|range| range.page_count() > LARGE_BATCH);
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
