//! The kernel heap: `alloc`'s global allocator on metal.
//!
//! Small blocks come in powers of two from lists that each core keeps for itself, without a lock;
//! all else, and the lists' supply, from `talc` behind one lock, which grows by runs of frames on
//! demand and keeps them. Usable from every core, never from an interrupt handler: a core's lists
//! have one user at a time because handlers never allocate and tasks do not change cores.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use spin::Mutex;
use talc::base::Talc;
use talc::base::binning::Binning;
use talc::source::Source;
use talc::{DefaultBinning, min_first_heap_size};

use super::frames::{FrameRun, RunLimits};
use super::size_class::{CLASSES, SizeClass};
use super::{FRAME_SIZE, this_core};
use crate::x86_64::MAX_CORES;

/// The heap grows by this many bytes at a time, where memory is not short.
const GROWTH: usize = 256 * 1024;

struct KernelHeap;

#[global_allocator]
static HEAP: KernelHeap = KernelHeap;

/// Bytes in one piece that the heap keeps for the day when the pool has none: see [`has_room`].
const SPARE_BYTES: usize = 512 * 1024;

/// Bytes taken from the frame pool for good. `talc` counts a few less for each run.
static CLAIMED_BYTES: AtomicU64 = AtomicU64::new(0);
/// Taken while [`LARGE`] is held.
static SPARE: Mutex<Option<FrameRun>> = Mutex::new(None);
static LARGE: Mutex<Talc<Frames, DefaultBinning>> = Mutex::new(Talc::new(Frames));
static CORES: [FreeLists; MAX_CORES] = [const { FreeLists::new() }; MAX_CORES];

/// One core's free blocks, a list for each size class, linked through their first words.
struct FreeLists {
    heads: [AtomicPtr<FreeBlock>; CLASSES],
    counts: [AtomicU32; CLASSES],
}

struct FreeBlock {
    next: *mut FreeBlock,
}

impl FreeLists {
    const fn new() -> Self {
        Self {
            heads: [const { AtomicPtr::new(ptr::null_mut()) }; CLASSES],
            counts: [const { AtomicU32::new(0) }; CLASSES],
        }
    }

    /// This core's lists, once per-core blocks are in place.
    #[inline]
    fn here() -> Option<&'static Self> {
        this_core().map(|core| &CORES[usize::from(core)])
    }

    #[inline]
    fn pop(&self, class: SizeClass) -> Option<*mut u8> {
        let head = self.heads[class.index()].load(Ordering::Relaxed);
        if head.is_null() {
            return None;
        }
        // SAFETY: blocks in the list are free, live memory of the heap which this core alone uses.
        let next = unsafe { (*head).next };
        self.heads[class.index()].store(next, Ordering::Relaxed);
        let count = &self.counts[class.index()];
        // A push that never ended (firmware's code, left behind) has one block more than it counted.
        count.store(count.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
        Some(head.cast())
    }

    /// # Safety
    /// `block` is a block of that class, given to the heap for good.
    #[inline]
    unsafe fn push(&self, class: SizeClass, block: *mut u8) {
        let head = &self.heads[class.index()];
        let block = block.cast::<FreeBlock>();
        // SAFETY: the smallest class holds and aligns a pointer; the block is ours.
        unsafe { (*block).next = head.load(Ordering::Relaxed) };
        head.store(block, Ordering::Relaxed);
        let count = &self.counts[class.index()];
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    fn len(&self, class: SizeClass) -> u32 {
        self.counts[class.index()].load(Ordering::Relaxed)
    }

    #[cold]
    fn refill(&self, class: SizeClass) {
        let mut large = LARGE.lock();
        for _ in 0..class.kept_per_core() / 2 {
            // SAFETY: a class's layout is not empty.
            let Some(block) = (unsafe { large.allocate(class.layout()) }) else { return };
            // SAFETY: just allocated with the class's layout.
            unsafe { self.push(class, block.as_ptr()) };
        }
    }

    #[cold]
    fn drain(&self, class: SizeClass) {
        let mut large = LARGE.lock();
        for _ in 0..class.kept_per_core() / 2 {
            let Some(block) = self.pop(class) else { return };
            // SAFETY: every block in a list was allocated with the class's layout.
            unsafe { large.deallocate(block, class.layout()) };
        }
    }
}

// SAFETY: blocks come from `talc` or from this core's list of blocks that did, each in one place at
// a time; their layout (the class's, or the asked one) is what they are given back with.
unsafe impl GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if let Some(class) = SizeClass::of(layout) {
            if let Some(lists) = FreeLists::here() {
                if let Some(block) = lists.pop(class) {
                    return block;
                }
                lists.refill(class);
                return lists.pop(class).unwrap_or(ptr::null_mut());
            }
            return allocate_large(class.layout());
        }
        allocate_large(layout)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(class) = SizeClass::of(layout) {
            if let Some(lists) = FreeLists::here() {
                if lists.len(class) >= class.kept_per_core() {
                    lists.drain(class);
                }
                // SAFETY: the caller gives the block back; its layout is of this class.
                unsafe { lists.push(class, block) };
                return;
            }
            // SAFETY: as `alloc` did while no core had lists.
            unsafe { LARGE.lock().deallocate(block, class.layout()) };
            return;
        }
        // SAFETY: as `alloc` did for this layout.
        unsafe { LARGE.lock().deallocate(block, layout) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller vouches that `size`, rounded up to the alignment, is no overflow.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (SizeClass::of(layout), SizeClass::of(wanted)) {
            (Some(old), Some(new)) if old == new => return block,
            // SAFETY: the block came from `talc` with this layout; `size` is not zero.
            (None, None) if unsafe { LARGE.lock().try_realloc_in_place(block, layout, size) } => {
                return block;
            }
            _ => {}
        }
        // SAFETY: `size` is not zero, by the caller's contract.
        let new = unsafe { self.alloc(wanted) };
        if !new.is_null() {
            // SAFETY: both blocks are live, apart, and hold at least the lesser size.
            unsafe { ptr::copy_nonoverlapping(block, new, layout.size().min(size)) };
            // SAFETY: the old block is the caller's, with this layout.
            unsafe { self.dealloc(block, layout) };
        }
        new
    }
}

fn allocate_large(layout: Layout) -> *mut u8 {
    // SAFETY: `GlobalAlloc` layouts are never empty.
    unsafe { LARGE.lock().allocate(layout) }.map_or(ptr::null_mut(), NonNull::as_ptr)
}

/// Where `talc` gets memory from.
#[derive(Debug)]
struct Frames;

// SAFETY: `acquire` claims runs of frames that nothing else owns, and never takes them back.
unsafe impl Source for Frames {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        let overhead = if talc.is_metadata_established() { 0 } else { min_first_heap_size::<B>() };
        let needed = (layout.size())
            .checked_add(layout.align())
            .and_then(|bytes| bytes.checked_add(overhead + 256))
            .ok_or(())?
            .div_ceil(FRAME_SIZE);
        let wanted = needed.max(GROWTH / FRAME_SIZE);
        let run = FrameRun::allocate(wanted as u64, RunLimits::default())
            .or_else(|_| FrameRun::allocate(needed as u64, RunLimits::default()))
            .ok()
            .or_else(|| SPARE.lock().take())
            .ok_or(())?;
        let start = run.virtual_address().as_mut_ptr::<u8>();
        // SAFETY: the run is owned, mapped writable by the direct map, and forgotten below, so that
        // it stays the heap's for good.
        let claimed = unsafe { talc.claim(start, run.size()) };
        claimed.ok_or(())?;
        CLAIMED_BYTES.fetch_add(run.size() as u64, Ordering::Relaxed);
        core::mem::forget(run);
        Ok(())
    }
}

/// Whether the heap can take what can't be refused, so that something which can may be made: the
/// spare run is in its place, and the heap has not grown beyond `share` bytes, or at least is
/// rather empty again and not twice as large.
pub fn has_room(share: usize) -> bool {
    // In this order, as when the heap grows.
    let counters = *LARGE.lock().counters();
    let claimed = CLAIMED_BYTES.load(Ordering::Relaxed) as usize;
    if claimed > share && (claimed > 2 * share || counters.available_bytes < share / 4) {
        return false;
    }
    let mut spare = SPARE.lock();
    if spare.is_none() {
        *spare = FrameRun::allocate((SPARE_BYTES / FRAME_SIZE) as u64, RunLimits::default()).ok();
    }
    spare.is_some()
}

/// Bytes the heap has taken from the frame pool, for good.
pub fn claimed_bytes() -> u64 {
    CLAIMED_BYTES.load(Ordering::Relaxed)
}

/// Whether some core is at work in the part that all share: maybe this one, below an interrupt.
pub(crate) fn is_locked() -> bool {
    LARGE.is_locked()
}

/// How the heap is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HeapStatistics {
    /// Bytes the heap has taken from the frame pool, for good.
    pub claimed_bytes: u64,
    /// Bytes handed out, rounded up to their size classes.
    pub used_bytes: u64,
    /// Bytes free in cores' lists.
    pub cached_bytes: u64,
    /// Gaps between what is handed out.
    pub fragments: u64,
}

/// How the heap is used now. Other cores' lists may move meanwhile.
pub fn statistics() -> HeapStatistics {
    let cached_bytes = CORES
        .iter()
        .flat_map(|lists| SizeClass::all().map(|c| u64::from(lists.len(c)) * c.bytes() as u64))
        .sum();
    let large = LARGE.lock();
    let counters = large.counters();
    HeapStatistics {
        claimed_bytes: CLAIMED_BYTES.load(Ordering::Relaxed),
        used_bytes: (counters.allocated_bytes as u64).saturating_sub(cached_bytes),
        cached_bytes,
        fragments: counters.fragment_count as u64,
    }
}
