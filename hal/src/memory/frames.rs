//! Frames of physical memory: owned values that go back to the pool when dropped.
//!
//! ```text
//!   Frame::allocate ──▶ this core's cache ──(empty: half a cache, one lock)──▶ the pool's bitmap
//!   drop(Frame)     ──▶ this core's cache ──(full: half a cache, one lock)───▶ the pool's bitmap
//!   FrameRun        ──────────────────────────────────────────────────────────▶ the pool's bitmap
//! ```
//!
//! Relies on: interrupt handlers never allocate or free, and tasks do not move between cores, so a
//! core's cache has one user at a time and needs no lock. The pool's lock is held for at most half
//! a cache's worth of bit operations (a run: one scan of the bitmap).

use core::mem::ManuallyDrop;
use core::ops::Range;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::bitmap::{FrameBitmap, RunShape};
use super::map::MemoryMap;
use super::{FRAME_SIZE, FrameNumber, PhysAddr, VirtAddr, direct_map, this_core};
use crate::boot::{BootInfo, RegionKind};
use crate::lock::InterruptLock;
use crate::x86_64::MAX_CORES;

/// Frames a core keeps for itself at most.
const CACHE_SIZE: usize = 64;
/// Frames moved between a cache and the pool at once.
const BATCH: usize = CACHE_SIZE / 2;
/// Memory below this is for those who ask for it by a limit (AP trampoline, wake-up code).
const LOW_MEMORY: FrameNumber = FrameNumber(256);

/// No frame, or no run of frames of that shape, is free.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror_no_std::Error)]
#[error("out of physical memory: free some, or give the machine more")]
pub struct OutOfFrames;

struct Pool {
    bitmap: FrameBitmap<'static>,
    total: u64,
    low_water: u64,
}

struct Cache {
    count: AtomicU32,
    frames: [AtomicU32; CACHE_SIZE],
}

static POOL: InterruptLock<Option<Pool>> = InterruptLock::new(None);
/// Free frames in the pool, for those who only want to know about how many.
static POOL_FREE: AtomicU64 = AtomicU64::new(0);
/// Fewer than so many, and caches for speed's sake are kept no longer.
static SCARCE_BELOW: AtomicU64 = AtomicU64::new(0);
static MAP: spin::Once<&'static MemoryMap> = spin::Once::new();
static CACHES: [Cache; MAX_CORES] = [const { Cache::new() }; MAX_CORES];

impl Cache {
    const fn new() -> Self {
        Self { count: AtomicU32::new(0), frames: [const { AtomicU32::new(0) }; CACHE_SIZE] }
    }

    fn pop(&self) -> Option<FrameNumber> {
        let count = self.count.load(Ordering::Relaxed).checked_sub(1)?;
        self.count.store(count, Ordering::Relaxed);
        Some(FrameNumber(u64::from(self.frames[count as usize].load(Ordering::Relaxed))))
    }

    /// Returns whether there was room.
    fn push(&self, frame: FrameNumber) -> bool {
        let count = self.count.load(Ordering::Relaxed);
        let Some(slot) = self.frames.get(count as usize) else { return false };
        slot.store(frame.0 as u32, Ordering::Relaxed);
        self.count.store(count + 1, Ordering::Relaxed);
        true
    }
}

/// This core's cache, once per-core blocks are in place.
#[inline]
fn cache() -> Option<&'static Cache> {
    this_core().map(|core| &CACHES[usize::from(core)])
}

/// Fills the pool with the usable memory of the loader's map. Called once, before any allocation.
pub(super) fn init(info: &BootInfo, physical_bits: u32) {
    static mut STORAGE: MemoryMap = MemoryMap::empty();
    let map = MAP.call_once(|| {
        let storage = &raw mut STORAGE;
        // SAFETY: `Once` runs this a single time, and nothing else names STORAGE.
        let map = unsafe { &mut *storage };
        // A frame number in a cache has 32 bits.
        map.sanitise(info.memory, physical_bits.min(44));
        map
    });
    let handed_out = |kind| matches!(kind, RegionKind::Usable | RegionKind::LoaderReclaimable);
    let frames =
        map.ranges().iter().filter(|r| handed_out(r.kind)).map(|r| r.end.0).max().unwrap_or(0);
    let words = FrameBitmap::words_for(frames);
    let table = (words * 8).div_ceil(FRAME_SIZE) as u64;
    let Some(home) = map.of_kind(RegionKind::Usable).filter(|r| r.count() > table).last() else {
        return; // No memory at all: the first allocation says so.
    };
    let first = home.end.0 - table;
    let address = direct_map::to_virtual(FrameNumber(first).start());
    // SAFETY: the last frames of a usable range, which nothing has been given yet and which the
    // loop below leaves out; the direct map covers usable memory.
    let words = unsafe { core::slice::from_raw_parts_mut(address.as_mut_ptr::<u64>(), words) };
    let mut pool = Pool { bitmap: FrameBitmap::new(words, frames), total: 0, low_water: 0 };
    for range in map.of_kind(RegionKind::Usable) {
        let table = first..home.end.0;
        pool.add((range.first.0..range.end.0).filter(|frame| !table.contains(frame)));
    }
    *POOL.lock() = Some(pool);
}

impl Pool {
    fn add(&mut self, frames: impl Iterator<Item = u64>) {
        for frame in frames {
            if self.bitmap.free(FrameNumber(frame)).is_ok() {
                self.total += 1;
            }
        }
        self.low_water = self.bitmap.free_count();
        SCARCE_BELOW.store(self.total / 16, Ordering::Relaxed);
        self.account();
    }

    fn put(&mut self, frame: FrameNumber) {
        if let Err(error) = self.bitmap.free(frame) {
            panic!("{error}");
        }
    }

    /// After frames were taken or put.
    fn account(&mut self) {
        let free = self.bitmap.free_count();
        self.low_water = self.low_water.min(free);
        POOL_FREE.store(free, Ordering::Relaxed);
    }
}

/// Hands the loader's own memory to the pool. Returns how many frames that were.
///
/// # Safety
/// Nobody uses the loader's page tables, stack, GDT or responses any more, on any core.
pub unsafe fn reclaim_loader_memory() -> u64 {
    let mut guard = POOL.lock();
    let (Some(pool), Some(map)) = (guard.as_mut(), MAP.get()) else { return 0 };
    let before = pool.total;
    for range in map.of_kind(RegionKind::LoaderReclaimable) {
        pool.add(range.first.0..range.end.0);
    }
    pool.total - before
}

/// The sanitised memory map.
pub fn memory_map() -> Option<&'static MemoryMap> {
    MAP.get().copied()
}

/// One frame, owned. Its content is whatever it last held.
#[derive(PartialEq, Eq, Debug)]
pub struct Frame(FrameNumber);

impl Frame {
    /// Takes a frame.
    #[inline]
    pub fn allocate() -> Result<Self, OutOfFrames> {
        if let Some(cache) = cache() {
            if let Some(frame) = cache.pop() {
                return Ok(Self(frame));
            }
            refill(cache);
            return cache.pop().map(Self).ok_or(OutOfFrames);
        }
        let mut guard = POOL.lock();
        let pool = guard.as_mut().ok_or(OutOfFrames)?;
        let frame = pool.bitmap.take_highest(LOW_MEMORY).ok_or(OutOfFrames)?;
        pool.account();
        Ok(Self(frame))
    }

    /// Takes a frame full of zeros.
    pub fn allocate_zeroed() -> Result<Self, OutOfFrames> {
        let frame = Self::allocate()?;
        // SAFETY: the frame is owned and the direct map covers it.
        unsafe { zero(frame.virtual_address(), FRAME_SIZE) };
        Ok(frame)
    }

    /// Its number.
    pub const fn number(&self) -> FrameNumber {
        self.0
    }
    /// Its physical address.
    pub const fn physical(&self) -> PhysAddr {
        self.0.start()
    }
    /// Where the kernel reaches it, in the direct map.
    pub fn virtual_address(&self) -> VirtAddr {
        direct_map::to_virtual(self.physical())
    }
    /// Gives up ownership; [`from_number`](Self::from_number) takes it back.
    pub fn into_number(self) -> FrameNumber {
        ManuallyDrop::new(self).0
    }
    /// Takes back ownership.
    ///
    /// # Safety
    /// The number came from [`into_number`](Self::into_number), once, and nothing uses the frame.
    pub const unsafe fn from_number(number: FrameNumber) -> Self {
        Self(number)
    }
}

impl Drop for Frame {
    #[inline]
    fn drop(&mut self) {
        if let Some(cache) = cache() {
            if cache.push(self.0) {
                return;
            }
            drain(cache, BATCH);
            if cache.push(self.0) {
                return;
            }
        }
        if let Some(pool) = POOL.lock().as_mut() {
            pool.put(self.0);
            pool.account();
        }
    }
}

#[cold]
fn refill(cache: &Cache) {
    let mut guard = POOL.lock();
    let Some(pool) = guard.as_mut() else { return };
    for _ in 0..BATCH {
        let Some(frame) = pool.bitmap.take_highest(LOW_MEMORY) else { break };
        cache.push(frame);
    }
    pool.account();
}

#[cold]
fn drain(cache: &Cache, count: usize) {
    let mut guard = POOL.lock();
    let Some(pool) = guard.as_mut() else { return };
    for _ in 0..count {
        let Some(frame) = cache.pop() else { break };
        pool.put(frame);
    }
    pool.account();
}

/// Gives all that this core's cache holds back to the pool.
pub fn drain_core_cache() {
    if let Some(cache) = cache() {
        drain(cache, CACHE_SIZE);
    }
}

/// Frames one behind the other, owned.
#[derive(PartialEq, Eq, Debug)]
pub struct FrameRun {
    first: FrameNumber,
    count: u64,
}

/// What a [`FrameRun`] must look like besides its length.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RunLimits {
    /// The first byte's address is a multiple of this many bytes (a power of two; 0: any frame).
    pub alignment_bytes: u64,
    /// The last byte lies below this address (28-bit DMA: `1 << 28`).
    pub below: Option<PhysAddr>,
}

impl FrameRun {
    /// Takes `count` frames in a row.
    pub fn allocate(count: u64, limits: RunLimits) -> Result<Self, OutOfFrames> {
        let below = limits.below.map_or(FrameNumber(u64::MAX), FrameNumber::containing);
        let shape = RunShape {
            count,
            alignment: limits.alignment_bytes.div_ceil(FRAME_SIZE as u64),
            from: if below <= LOW_MEMORY { FrameNumber(1) } else { LOW_MEMORY },
            below,
        };
        let mut guard = POOL.lock();
        let pool = guard.as_mut().ok_or(OutOfFrames)?;
        let first = pool.bitmap.take_run(shape).ok_or(OutOfFrames)?;
        pool.account();
        Ok(Self { first, count: count.max(1) })
    }

    /// Takes back ownership of a run that was forgotten.
    ///
    /// # Safety
    /// These frames are such a run, taken back once, and nothing uses them.
    pub const unsafe fn from_numbers(first: FrameNumber, count: u64) -> Self {
        Self { first, count }
    }
    /// Its first byte.
    pub const fn physical(&self) -> PhysAddr {
        self.first.start()
    }
    /// Where the kernel reaches it, in the direct map.
    pub fn virtual_address(&self) -> VirtAddr {
        direct_map::to_virtual(self.physical())
    }
    /// Length in bytes.
    pub const fn size(&self) -> usize {
        self.count as usize * FRAME_SIZE
    }
    /// The frames' numbers.
    pub const fn numbers(&self) -> Range<u64> {
        self.first.0..self.first.0 + self.count
    }
    /// Fills it with zeros.
    pub fn zero(&mut self) {
        // SAFETY: the run is owned and the direct map covers it.
        unsafe { zero(self.virtual_address(), self.size()) };
    }
}

impl Drop for FrameRun {
    fn drop(&mut self) {
        if let Some(pool) = POOL.lock().as_mut() {
            self.numbers().for_each(|frame| pool.put(FrameNumber(frame)));
            pool.account();
        }
    }
}

/// Fills `bytes` (a multiple of 8) at `start` with zeros, eight at a time.
///
/// # Safety
/// The memory is mapped writable, aligned to 8, and nobody else uses it.
pub(crate) unsafe fn zero(start: VirtAddr, bytes: usize) {
    // SAFETY: the caller vouches for the memory; the direction flag is clear in Rust code.
    unsafe {
        core::arch::asm!(
            "rep stosq",
            inout("rcx") bytes / 8 => _,
            inout("rdi") start.0 => _,
            in("rax") 0_u64,
            options(nostack, preserves_flags)
        );
    }
}

/// How the machine's memory is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FrameStatistics {
    /// Frames the kernel was ever given.
    pub total: u64,
    /// Frames free in the pool.
    pub free_in_pool: u64,
    /// Frames free in cores' caches.
    pub cached: u64,
    /// The least the pool ever held.
    pub pool_low_water: u64,
}

impl FrameStatistics {
    /// Frames that are free, wherever they wait.
    pub const fn free(&self) -> u64 {
        self.free_in_pool + self.cached
    }
}

/// How the machine's memory is used now. Other cores' caches may move meanwhile.
pub fn statistics() -> FrameStatistics {
    let cached = (0..MAX_CORES as u16).map(cached_on).sum();
    POOL.lock().as_ref().map_or(FrameStatistics::default(), |pool| FrameStatistics {
        total: pool.total,
        free_in_pool: pool.bitmap.free_count(),
        cached,
        pool_low_water: pool.low_water,
    })
}

/// Frames free in the pool, by one load: for limits. What cores' caches hold comes on top.
#[inline]
pub fn free_in_pool() -> u64 {
    POOL_FREE.load(Ordering::Relaxed)
}

/// Whether less than a sixteenth of all memory is free: then nothing is kept for later.
#[inline]
pub fn is_scarce() -> bool {
    free_in_pool() < SCARCE_BELOW.load(Ordering::Relaxed)
}

/// Frames in one core's cache.
pub fn cached_on(core: u16) -> u64 {
    CACHES.get(usize::from(core)).map_or(0, |c| u64::from(c.count.load(Ordering::Relaxed)))
}
