//! Address spaces of processes: the lower half is theirs, the upper half the kernel's.
//!
//! A space owns the frames mapped in it and its tables; dropping it frees all of them once no core
//! can reach them. Writable and executable at once cannot be expressed. Any core may change a space
//! at any time (one short lock); taking pages away makes a [`Flush`].
//!
//! Which cores may hold translations is kept as a set that only grows: a core joins when it first
//! activates the space. With PCIDs a core that is in the set keeps its translations from one
//! activation to the next; one that joins drops what an earlier owner of the PCID left.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use spin::Mutex;

use super::control::{self, KEEP_TRANSLATIONS};
use super::entry::{Access, Backing, Caching, Entry, Owner, PageSize};
use super::flush::{CoreSet, Flush, Holds};
use super::held::Held;
use super::kernel::{self, FrameTables};
use super::pcid;
use super::shared::{NoRoom, SharedRanges};
use super::tables::{MapError, TableFrames, Tables, Translation, Visited};
use crate::memory::frames::Frame;
use crate::memory::{FRAME_SIZE, FrameNumber, PhysAddr, VirtAddr, direct_map, this_core};

const PAGE: u64 = FRAME_SIZE as u64;
/// First address a process may map: page 0 stays unmapped, for null pointers.
pub const USER_START: VirtAddr = VirtAddr(0x1000);
/// One past the last address a process may map. The last page of the lower half is never mapped: a
/// `syscall` at its very end would make `sysret` return to a non-canonical address.
pub const USER_END: VirtAddr = VirtAddr(0x0000_7fff_ffff_f000);
/// Software bit in the first kernel entry of a root: the space is going away, leave it.
const DOOMED: u64 = 1 << 11;
/// Pages that are flushed one by one; beyond, the whole space is.
const FLUSH_SINGLY: u64 = 32;

/// The address space of one process.
pub struct AddressSpace {
    root: FrameNumber,
    pcid: u16,
    /// Cores that may hold translations.
    cores: AtomicU64,
    /// Held while the tables change.
    usage: Mutex<Usage>,
}

/// What is mapped, and what keeps it alive that is not the space's own.
#[derive(Default)]
struct Usage {
    pages: u64,
    shared: SharedRanges,
}

/// Frames that a space holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SpaceUsage {
    /// Pages mapped.
    pub pages: u64,
}

impl AddressSpace {
    /// A space with nothing mapped in its lower half.
    pub fn new() -> Result<Self, MapError> {
        let root = Frame::allocate_zeroed().map_err(|_| MapError::OutOfFrames)?.into_number();
        let (own, kernels) = (FrameTables.table(root), FrameTables.table(kernel::root()));
        for (slot, entry) in own[256..].iter().zip(&kernels[256..]) {
            slot.store(entry.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        let pcid = if control::pcid_on() { pcid::take() } else { 0 };
        Ok(Self { root, pcid, cores: AtomicU64::new(0), usage: Mutex::default() })
    }

    fn tables(&self) -> Tables<'static, FrameTables> {
        Tables::new(self.root, &FrameTables)
    }

    /// Maps a frame, which the space then owns, at `page`. On error the frame is freed.
    pub fn map(&self, page: VirtAddr, frame: Frame, access: Access) -> Result<(), MapError> {
        check_range(page, 1)?;
        let entry = user_page(frame.number(), access, Caching::WriteBack, Backing::Owned);
        let mut usage = self.usage.lock();
        self.tables().map(page, PageSize::Small, entry, Owner::User)?;
        usage.pages += 1;
        frame.into_number();
        Ok(())
    }

    /// Maps `pages` fresh pages of zeros from `start` on: all of them, or none and an error.
    pub fn map_zeroed(&self, start: VirtAddr, pages: u64, access: Access) -> Result<(), MapError> {
        check_range(start, pages)?;
        for index in 0..pages {
            let page = VirtAddr(start.0 + index * PAGE);
            let result = Frame::allocate_zeroed()
                .map_err(|_| MapError::OutOfFrames)
                .and_then(|frame| self.map(page, frame, access));
            if let Err(error) = result {
                if index > 0 {
                    drop(self.unmap(start, index));
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Maps held pages: all of them or none.
    pub(super) fn map_held(
        &self,
        start: VirtAddr,
        held: &Held,
        access: Access,
        most: Access,
    ) -> Result<(), MapError> {
        let (count, caching) = (held.count() as u64, held.caching());
        check_range(start, count)?;
        let mut usage = self.usage.lock();
        usage.shared.make_room().map_err(|NoRoom| MapError::TooManyPieces)?;
        let mut done = 0;
        let result = pages_from(start, count).zip(0..).try_for_each(|(page, index)| {
            let address = held.physical(index).ok_or(MapError::BadRange)?;
            let frame = FrameNumber::containing(PhysAddr(address));
            let entry = user_page(frame, access, caching, Backing::Borrowed);
            self.tables().map(page, PageSize::Small, entry, Owner::User)?;
            done += 1;
            Ok(())
        });
        usage.pages += done;
        if let Some(mapped) = held.part(0..done as usize) {
            usage.shared.add(start.0 / PAGE, mapped, most);
        }
        drop(usage);
        if result.is_err() && done > 0 {
            drop(self.unmap(start, done));
        }
        result
    }

    /// Whether `pages` pages from `start` on may be used so, as far as they are shared.
    pub fn may_protect(&self, start: VirtAddr, pages: u64, access: Access) -> bool {
        let first = start.0 / PAGE;
        self.usage.lock().shared.allow(&(first..first.saturating_add(pages)), access)
    }

    /// Takes away `pages` pages from `start` on, all of which must be mapped.
    pub fn unmap(&self, start: VirtAddr, pages: u64) -> Result<Flush, MapError> {
        check_range(start, pages)?;
        let mut usage = self.usage.lock();
        self.all_mapped(start, pages)?;
        let mut holds = Holds::default();
        // A page each, and the tables: one of each level for every one they could fill, and one
        // more.
        let tables = 3 + pages.div_ceil(512) + pages.div_ceil(512 * 512) + 2;
        holds.frames.reserve((pages + tables) as usize).map_err(|_| MapError::OutOfFrames)?;
        let range = start.0 / PAGE..start.0 / PAGE + pages;
        let prepared = usage.shared.prepare(&range, &mut holds.shared);
        prepared.map_err(|NoRoom| MapError::OutOfFrames)?;
        for page in pages_from(start, pages) {
            let entry = self.tables().unmap(page, Owner::User, |table| holds.frames.push(table));
            if let Some(entry) = entry.filter(|entry| entry.is_owned()) {
                holds.frames.push(entry.frame());
            }
        }
        usage.shared.take(&range, &mut holds.shared);
        usage.pages -= pages;
        Ok(self.flush(start, pages, holds))
    }

    /// Changes what may be done with `pages` pages from `start` on, all of which must be mapped;
    /// of shared ones see [`may_protect`](Self::may_protect).
    pub fn protect(&self, start: VirtAddr, pages: u64, access: Access) -> Result<Flush, MapError> {
        check_range(start, pages)?;
        let _usage = self.usage.lock();
        self.all_mapped(start, pages)?;
        for page in pages_from(start, pages) {
            self.tables().protect(page, access);
        }
        Ok(self.flush(start, pages, Holds::default()))
    }

    /// Drops this core's translations and asks the others that may have some.
    fn flush(&self, start: VirtAddr, pages: u64, holds: Holds) -> Flush {
        let here = this_core().map_or(0, |core| 1_u64 << core);
        if control::root() == self.root {
            if pages <= FLUSH_SINGLY {
                pages_from(start, pages).for_each(control::flush_page);
            } else {
                // SAFETY: these tables are the ones in use; without the bit, the PCID is flushed.
                unsafe { control::write_root(self.root.start().0 | u64::from(self.pcid)) };
            }
        } else if self.pcid != 0 {
            // Not now: this core flushes when it joins again.
            self.cores.fetch_and(!here, Ordering::SeqCst);
        }
        // The load must come after the tables' change: a core that joins later finds the change.
        core::sync::atomic::fence(Ordering::SeqCst);
        Flush::request(self.cores.load(Ordering::SeqCst) & !here, holds)
    }

    fn all_mapped(&self, start: VirtAddr, pages: u64) -> Result<(), MapError> {
        let mapped = pages_from(start, pages).all(|page| self.tables().small_page(page).is_some());
        if mapped { Ok(()) } else { Err(MapError::NotMapped) }
    }

    /// What a user address leads to; `None` for the kernel's half as well.
    ///
    /// Without the lock: a page that another core unmaps meanwhile may still be found. Its frame
    /// stays what it was until that core's [`Flush`] is complete, for which this core must answer.
    pub fn translate(&self, address: VirtAddr) -> Option<Translation> {
        if address >= USER_END {
            return None;
        }
        self.tables().translate(address).filter(|found| found.owner == Owner::User)
    }

    /// Whether all of `bytes` bytes at `start` are mapped for ring 3 with at least that access.
    pub fn allows(&self, start: VirtAddr, bytes: u64, access: Access) -> bool {
        if bytes == 0 {
            return start <= USER_END;
        }
        let Some(last) = start.0.checked_add(bytes - 1).filter(|last| *last < USER_END.0) else {
            return false;
        };
        (start.0 / PAGE..=last / PAGE).all(|page| {
            self.translate(VirtAddr(page * PAGE)).is_some_and(|found| found.access.allows(access))
        })
    }

    /// Copies `bytes` to `start` whatever the pages' rights, page by page through the direct map,
    /// whether or not the space is active: for loading programs. Nothing is copied if a page is
    /// missing.
    pub fn write(&self, start: VirtAddr, bytes: &[u8]) -> Result<(), MapError> {
        if !self.allows(start, bytes.len() as u64, Access::Read) {
            return Err(MapError::NotMapped);
        }
        let mut rest = bytes;
        let mut at = start;
        while !rest.is_empty() {
            let within = (at.0 % PAGE) as usize;
            let (now, later) = rest.split_at(rest.len().min(FRAME_SIZE - within));
            let found = self.translate(at).ok_or(MapError::NotMapped)?;
            let target = direct_map::to_virtual(found.frame.start()).0 + within as u64;
            // SAFETY: the frame is mapped for ring 3, so no Rust object lives there; the direct map
            // covers it; `now` is kernel memory and ends within the page.
            unsafe {
                core::ptr::copy_nonoverlapping(now.as_ptr(), target as *mut u8, now.len());
            }
            at = VirtAddr(at.0 + now.len() as u64);
            rest = later;
        }
        Ok(())
    }

    /// Frames held.
    pub fn usage(&self) -> SpaceUsage {
        SpaceUsage { pages: self.usage.lock().pages }
    }

    /// The value for CR3 that takes this space on this core, for entry code that loads it itself.
    #[inline]
    pub fn root_word(&self) -> u64 {
        let here = this_core().map_or(0, |core| 1_u64 << core);
        let word = self.root.start().0 | u64::from(self.pcid);
        if self.cores.load(Ordering::Relaxed) & here != 0 {
            return if self.pcid == 0 { word } else { word | KEEP_TRANSLATIONS };
        }
        self.cores.fetch_or(here, Ordering::SeqCst);
        word
    }

    /// Makes this the current space of this core.
    ///
    /// # Safety
    /// The space is not dropped, and its `Flush` not awaited on this core, while ring 3 runs in it
    /// here.
    #[inline]
    pub unsafe fn activate(&self) {
        let word = self.root_word();
        // SAFETY: the upper half is the kernel's, so the kernel goes on undisturbed.
        unsafe { control::write_root(word) };
    }

    /// Lets `core` take this space with [`enter`](Self::enter). Before the first thread of the
    /// process goes there.
    pub fn join(&self, core: u16) {
        if self.pcid == 0 {
            self.cores.fetch_or(1 << core, Ordering::SeqCst);
        }
    }

    /// Makes this the current space of this core, which has [joined](Self::join), unless it is: the
    /// short way for the switch between threads.
    ///
    /// # Safety
    /// As [`activate`](Self::activate).
    #[inline(always)]
    pub unsafe fn enter(&self) {
        if self.pcid == 0 {
            // Without PCIDs a core that has joined stays in the set, and the word is always the
            // same.
            let word = self.root.start().0;
            if control::root_word() != word {
                // SAFETY: the upper half is the kernel's, so the kernel goes on undisturbed.
                unsafe { control::write_root(word) };
            }
        } else if !self.is_active() {
            // SAFETY: the caller's promise.
            unsafe { self.activate() };
        }
    }

    /// Whether this core is in this space.
    pub fn is_active(&self) -> bool {
        control::root() == self.root
    }

    /// Ends the space: no core may enter it any more. Everything is free once the result is
    /// complete.
    pub fn destroy(self: Arc<Self>) -> Option<Flush> {
        let space = Arc::into_inner(self)?;
        let flush = space.doom();
        core::mem::forget(space);
        Some(flush)
    }

    fn doom(&self) -> Flush {
        FrameTables.table(self.root)[256].fetch_or(DOOMED, Ordering::SeqCst);
        leave_if_doomed();
        let shared = core::mem::take(&mut self.usage.lock().shared);
        let doomed = Doomed { root: self.root, pcid: self.pcid, _shared: shared };
        let holds = Holds { space: Some(doomed), ..Holds::default() };
        Flush::request(self.cores.load(Ordering::SeqCst), holds)
    }
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        drop(self.doom());
    }
}

/// A space that no core will enter again.
pub(super) struct Doomed {
    root: FrameNumber,
    pcid: u16,
    _shared: SharedRanges,
}

impl Doomed {
    /// Frees its frames, tables and PCID. All cores have left it and flushed.
    pub(super) fn free(self) {
        // SAFETY, for both: the tables are reachable by nobody any more, each frame in them is
        // found once, and the owned ones came from `into_number`.
        Tables::new(self.root, &FrameTables).visit_lower_half(|visited| match visited {
            Visited::Page(entry) if entry.is_owned() => {
                // SAFETY: see above.
                drop(unsafe { Frame::from_number(entry.frame()) });
            }
            Visited::Page(_) => {}
            // SAFETY: see above; children come before their table.
            Visited::Table(frame) => drop(unsafe { Frame::from_number(frame) }),
        });
        // SAFETY: the root came from `Frame::into_number` in `AddressSpace::new`.
        drop(unsafe { Frame::from_number(self.root) });
        pcid::give(self.pcid);
    }
}

/// Takes the kernel's tables if the space in use on this core is going away.
pub(super) fn leave_if_doomed() {
    let current = control::root();
    if current != kernel::root()
        && FrameTables.table(current)[256].load(Ordering::SeqCst) & DOOMED != 0
    {
        super::activate_kernel();
    }
}

fn user_page(frame: FrameNumber, access: Access, caching: Caching, backing: Backing) -> Entry {
    Entry::page(frame, PageSize::Small, access, caching, Owner::User, backing)
}

fn check_range(start: VirtAddr, pages: u64) -> Result<(), MapError> {
    let end = pages.checked_mul(PAGE).and_then(|bytes| start.0.checked_add(bytes));
    let inside = end.is_some_and(|end| end <= USER_END.0) && start >= USER_START;
    if inside && pages > 0 && start.is_aligned(PAGE) { Ok(()) } else { Err(MapError::BadRange) }
}

fn pages_from(start: VirtAddr, pages: u64) -> impl Iterator<Item = VirtAddr> {
    (0..pages).map(move |index| VirtAddr(start.0 + index * PAGE))
}

const _: () = assert!(core::mem::size_of::<CoreSet>() == 8);
