//! Translations that other cores may still hold, and what must wait for them.
//!
//! Taking a page away makes a [`Flush`]: it owns the frames, tables and virtual ranges that no core
//! may reach any more, and gives them back only once every core concerned has flushed. There is no
//! other way to those frames, so none can be reused too early.
//!
//! ```text
//!   unmap ──▶ Flush ──(await, or finish() when is_complete())──▶ frames freed
//!               └──(drop while incomplete)──▶ quarantine ──(reap_quarantine())──▶ frames freed
//! ```
//!
//! A core is asked by writing a generation number into its word and interrupting it; it answers
//! with [`acknowledge`]. A parked core is not interrupted: it counts as having answered, and
//! flushes in [`end_park`], before it does anything else. Both sides write before they read,
//! sequentially consistent, so one of them always sees the other.
//!
//! Relies on: between [`begin_park`] and [`end_park`] a core (its interrupt handlers, that is)
//! touches nothing that is ever unmapped.

use alloc::vec::Vec;
use core::future::Future;
use core::ops::Range;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::task::{Context, Poll};

use spin::{Mutex, Once};

use super::held::Held;
use super::space::Doomed;
use super::{control, windows};
use crate::lock::InterruptsOff;
use crate::memory::frames::Frame;
use crate::memory::{FrameNumber, this_core};
use crate::x86_64::{MAX_CORES, percpu};

/// A set of cores: bit `n` for core `n`.
pub type CoreSet = u64;

const _: () = assert!(MAX_CORES <= CoreSet::BITS as usize);

static GENERATION: AtomicU64 = AtomicU64::new(0);
/// The generation each core must have flushed. Written by all.
static NEEDED: [AtomicU64; MAX_CORES] = [const { AtomicU64::new(0) }; MAX_CORES];
/// The generation each core has flushed. Written by that core.
static SEEN: [AtomicU64; MAX_CORES] = [const { AtomicU64::new(0) }; MAX_CORES];
static PARKED: [AtomicBool; MAX_CORES] = [const { AtomicBool::new(false) }; MAX_CORES];
static INTERRUPT: Once<fn(CoreSet)> = Once::new();
static QUARANTINE: Mutex<Vec<Flush>> = Mutex::new(Vec::new());

/// Says how to interrupt cores so that each calls [`acknowledge`] soon. Called once, before a
/// second core comes up. `interrupt` may be called from any task on any core; it must not wait.
pub fn set_interrupt(interrupt: fn(CoreSet)) {
    INTERRUPT.call_once(|| interrupt);
}

/// Flushes this core's translations if another core asked for it. Called by the handler of the
/// interrupt that [`set_interrupt`] names; harmless at any other time.
#[inline]
pub fn acknowledge() {
    let Some(core) = this_core() else { return };
    if NEEDED[usize::from(core)].load(Ordering::SeqCst)
        > SEEN[usize::from(core)].load(Ordering::Relaxed)
    {
        acknowledge_slow(usize::from(core));
    }
}

#[cold]
fn acknowledge_slow(core: usize) {
    // The interrupt and a task that wakes may both be here: without this, the later one could say
    // that it has seen less than the earlier one.
    let _off = InterruptsOff::new();
    let needed = NEEDED[core].load(Ordering::SeqCst);
    super::space::leave_if_doomed();
    control::flush_everything();
    SEEN[core].store(needed, Ordering::Release);
}

/// Before this core sleeps: it takes the kernel's own tables and is not interrupted for flushes
/// until [`end_park`]. Called with interrupts off, before the last look at the queues.
#[inline]
pub fn begin_park() {
    let Some(core) = this_core() else { return };
    super::activate_kernel();
    PARKED[usize::from(core)].store(true, Ordering::SeqCst);
}

/// After this core slept, before it does anything else: flushes what it missed.
#[inline]
pub fn end_park() {
    let Some(core) = this_core() else { return };
    PARKED[usize::from(core)].store(false, Ordering::SeqCst);
    acknowledge();
}

/// What may be used again once no core can reach it any more. See the module's first lines.
#[must_use = "await it, or `finish` it; dropping it leaves the frames to `reap_quarantine`"]
pub struct Flush {
    generation: u64,
    cores: CoreSet,
    holds: Holds,
}

/// What a [`Flush`] gives back in the end.
#[derive(Default)]
pub(super) struct Holds {
    pub frames: FrameList,
    pub window: Option<Range<u64>>,
    pub space: Option<Doomed>,
    pub shared: Vec<Held>,
}

impl Flush {
    /// Asks `cores` (other than this one, which has flushed already) to flush.
    pub(super) fn request(cores: CoreSet, holds: Holds) -> Self {
        let here = this_core().map_or(0, |core| 1 << core);
        let cores = cores & !here;
        if cores == 0 {
            return Self { generation: 0, cores, holds };
        }
        let generation = GENERATION.fetch_add(1, Ordering::SeqCst) + 1;
        let mut to_interrupt = 0;
        for core in each(cores) {
            NEEDED[core].fetch_max(generation, Ordering::SeqCst);
            if !PARKED[core].load(Ordering::SeqCst) {
                to_interrupt |= 1 << core;
            }
        }
        if let Some(interrupt) = INTERRUPT.get()
            && to_interrupt != 0
        {
            interrupt(to_interrupt);
        }
        Self { generation, cores, holds }
    }

    /// Whether all cores concerned have flushed.
    pub fn is_complete(&self) -> bool {
        each(self.cores).all(|core| {
            SEEN[core].load(Ordering::Acquire) >= self.generation
                || PARKED[core].load(Ordering::SeqCst)
        })
    }

    /// Gives everything back, or itself if some core has not flushed yet.
    #[expect(clippy::result_large_err, reason = "it is the caller's own value that comes back")]
    pub fn finish(mut self) -> Result<(), Self> {
        if !self.is_complete() {
            return Err(self);
        }
        self.release();
        Ok(())
    }

    fn release(&mut self) {
        self.cores = 0;
        let holds = core::mem::take(&mut self.holds);
        holds.frames.free();
        if let Some(window) = holds.window {
            windows::give_back(window);
        }
        if let Some(space) = holds.space {
            space.free();
        }
    }

    fn holds_nothing(&self) -> bool {
        let Holds { frames, window, space, shared } = &self.holds;
        frames.is_empty() && window.is_none() && space.is_none() && shared.is_empty()
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        if self.holds_nothing() {
            return;
        }
        if self.is_complete() {
            self.release();
            return;
        }
        let kept = Self {
            generation: self.generation,
            cores: self.cores,
            holds: core::mem::take(&mut self.holds),
        };
        let mut quarantine = QUARANTINE.lock();
        if quarantine.try_reserve(1).is_ok() {
            quarantine.push(kept);
        } else {
            // Freeing too early is worse than never.
            log::error!("paging: no memory to remember unmapped frames by; they are lost");
            core::mem::forget(kept);
        }
    }
}

impl Future for Flush {
    type Output = ();
    /// Asks to be polled again at once while cores are still to answer: they do within one
    /// interrupt.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.is_complete() {
            self.release();
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Gives back what dropped flushes held, as far as cores have answered by now. Returns how many are
/// still waiting. For a background task; cheap when there are none.
pub fn reap_quarantine() -> usize {
    let waiting = core::mem::take(&mut *QUARANTINE.lock());
    // Dropping an incomplete one puts it back.
    drop(waiting);
    QUARANTINE.lock().len()
}

/// All cores that are up.
pub(super) fn online_cores() -> CoreSet {
    if this_core().is_none() {
        return 0;
    }
    percpu::online().fold(0, |set, block| set | 1 << block.core())
}

fn each(cores: CoreSet) -> impl Iterator<Item = usize> {
    (0..MAX_CORES).filter(move |core| cores >> core & 1 == 1)
}

const INLINE: usize = 12;

/// Frames that nothing maps any more, the first few without touching the heap.
#[derive(Default)]
pub(super) struct FrameList {
    inline: [FrameNumber; INLINE],
    count: usize,
    more: Vec<FrameNumber>,
}

impl FrameList {
    /// Makes room for `count` frames, so that `push` cannot fail.
    pub fn reserve(&mut self, count: usize) -> Result<(), alloc::collections::TryReserveError> {
        self.more.try_reserve(count.saturating_sub(INLINE - self.count))
    }

    /// Adds a frame that was taken out of the tables. Room for it was reserved.
    pub fn push(&mut self, frame: FrameNumber) {
        match self.inline.get_mut(self.count) {
            Some(slot) => {
                *slot = frame;
                self.count += 1;
            }
            None => self.more.push(frame),
        }
    }

    fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn free(self) {
        for frame in self.inline[..self.count].iter().chain(&self.more) {
            // SAFETY: whoever pushed it took it out of the tables, where it was owned, and all
            // cores that could still reach it have flushed: this is the only place that frees a
            // list.
            drop(unsafe { Frame::from_number(*frame) });
        }
    }
}
