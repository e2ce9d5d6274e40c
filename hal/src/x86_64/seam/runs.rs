//! Contiguous frames for DMA, from this core's pool.
//!
//! ```text
//!   allocate ──▶ this core's pool ──(none fits)──▶ the frames' pool, one lock
//!   free     ──▶ this core's pool ──(enough, or memory is scarce)──▶ the frames' pool, one lock
//! ```

use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::dma::pool::{Class, CorePool};
use crate::dma::{AddressLimit, DmaError};
use crate::memory::frames::{self, FrameRun, RunLimits};
use crate::memory::{FRAME_SIZE, FrameNumber, PhysAddr, direct_map, this_core};
use crate::x86_64::MAX_CORES;

/// What a core keeps, and what it handed out and took back in all. Written by that core alone.
struct PerCore {
    pool: CorePool,
    handed_out: AtomicUsize,
    taken_back: AtomicUsize,
}

static CORES: [PerCore; MAX_CORES] = [const {
    PerCore {
        pool: CorePool::new(),
        handed_out: AtomicUsize::new(0),
        taken_back: AtomicUsize::new(0),
    }
}; MAX_CORES];

#[inline]
fn here() -> Option<&'static PerCore> {
    this_core().and_then(|core| CORES.get(usize::from(core)))
}

/// Adds, wrapping, where nobody else writes.
#[inline]
pub(super) fn count_out(bytes: usize) {
    if let Some(here) = here() {
        let sum = here.handed_out.load(Ordering::Relaxed).wrapping_add(bytes);
        here.handed_out.store(sum, Ordering::Relaxed);
    }
}

/// As [`count_out`].
#[inline]
pub(super) fn count_back(bytes: usize) {
    if let Some(here) = here() {
        let sum = here.taken_back.load(Ordering::Relaxed).wrapping_add(bytes);
        here.taken_back.store(sum, Ordering::Relaxed);
    }
}

/// Bytes that are handed out, and bytes in the cores' pools, in this order.
pub(crate) fn dma_bytes() -> (usize, usize) {
    CORES.iter().fold((0, 0), |(out, pooled): (usize, usize), core| {
        let net = core.handed_out.load(Ordering::Relaxed);
        let net = net.wrapping_sub(core.taken_back.load(Ordering::Relaxed));
        (out.wrapping_add(net), pooled + core.pool.bytes())
    })
}

/// Gives what this core keeps back to the frames' pool.
pub(crate) fn drain_dma() {
    let Some(here) = here() else { return };
    for class in Class::all() {
        while let Some(first) = here.pool.pop(class, AddressLimit::NONE) {
            give_back(u64::from(first), class.frames());
        }
    }
}

/// Contiguous frames, zeroed. Dropping them frees nothing; see `free`.
pub(super) struct Frames {
    pub base: NonNull<u8>,
    pub physical: u64,
}

// SAFETY: `Frames` owns memory that no other object refers to.
unsafe impl Send for Frames {}
// SAFETY: it is only reached through `&` as atomics or bytes nobody writes, and through `&mut`.
unsafe impl Sync for Frames {}

impl Frames {
    /// As many frames as `bytes` take, below the limit.
    #[inline]
    pub fn allocate(bytes: usize, limit: AddressLimit) -> Result<Self, DmaError> {
        let class = Class::of(bytes);
        let pooled = match (here(), class) {
            (Some(here), Some(class)) => here.pool.pop(class, limit),
            _ => None,
        };
        let first = match pooled {
            Some(first) => u64::from(first),
            None => fresh(bytes, class, limit)?,
        };
        let physical = first * FRAME_SIZE as u64;
        let base = direct_map::to_virtual(PhysAddr(physical)).as_mut_ptr();
        let base = NonNull::new(base).ok_or(DmaError::OutOfMemory)?;
        let length = bytes.next_multiple_of(FRAME_SIZE);
        // SAFETY: the run was just taken, so nobody else has it; it is at least `length` long, and
        // the direct map covers it.
        unsafe { frames::zero(direct_map::to_virtual(PhysAddr(physical)), length) };
        count_out(length);
        Ok(Self { base, physical })
    }

    /// Frees them. The caller is their owner, `bytes` is what they were allocated for, and this is
    /// the last thing that happens to them.
    #[inline]
    pub fn free(&self, bytes: usize) {
        count_back(bytes.next_multiple_of(FRAME_SIZE));
        let first = self.physical / FRAME_SIZE as u64;
        let class = Class::of(bytes);
        if frames::is_scarce() {
            drain_dma();
        } else if let (Some(here), Some(class)) = (here(), class)
            && here.pool.push(class, first as u32).is_ok()
        {
            return;
        }
        give_back(first, length(bytes, class));
    }
}

/// How many frames a run for so many bytes has.
fn length(bytes: usize, class: Option<Class>) -> u64 {
    class.map_or(bytes.div_ceil(FRAME_SIZE) as u64, Class::frames)
}

/// A run that no pool had; its first frame.
#[cold]
fn fresh(bytes: usize, class: Option<Class>, limit: AddressLimit) -> Result<u64, DmaError> {
    let below = limit.highest().checked_add(1).map(PhysAddr);
    let limits = RunLimits { below, ..RunLimits::default() };
    let allocate = || FrameRun::allocate(length(bytes, class), limits);
    let run = allocate().or_else(|_| {
        // What lies about here, in pieces too small or too high, may make up what is wanted.
        drain_dma();
        frames::drain_core_cache();
        allocate()
    });
    let run = run.map_err(|_| DmaError::OutOfMemory)?;
    let first = run.numbers().start;
    core::mem::forget(run);
    Ok(first)
}

fn give_back(first: u64, count: u64) {
    // SAFETY: `fresh` forgot a run of that length; its owner gave it up, or the pool had it.
    drop(unsafe { FrameRun::from_numbers(FrameNumber(first), count) });
}
