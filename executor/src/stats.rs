//! Numbers: per task, per core, and the load that placement looks at.
//!
//! Counters are written by their owner core alone, with plain stores, and may be read from any
//! core at any time: each is right, a set of them need not be of one instant.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::core::Core;
use crate::platform::{CoreId, Platform, Priority};

/// A counter with one writer.
#[derive(Debug)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) const fn new() -> Self {
        Self::starting_at(0)
    }

    pub(crate) const fn starting_at(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    #[inline(always)]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    #[inline(always)]
    pub(crate) fn add(&self, more: u64) {
        self.set(self.get().wrapping_add(more));
    }
}

/// What a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// Waits for a wake.
    Waiting,
    /// Woken, waits for its turn.
    Ready,
    /// Is the one asking.
    Polling,
}

/// A task's statistics.
#[derive(Clone, Copy, Debug)]
pub struct TaskInfo {
    /// The name it was spawned with.
    pub name: &'static str,
    /// Its home.
    pub core: CoreId,
    /// Its class.
    pub priority: Priority,
    /// What it is doing.
    pub state: TaskState,
    /// How often it was polled.
    pub polls: u64,
    /// Ticks spent in its polls.
    pub busy_ticks: u64,
    /// Ticks of the longest of them.
    pub longest_poll_ticks: u64,
}

/// A core's statistics since it started.
#[derive(Clone, Copy, Debug, Default)]
pub struct CoreStats {
    /// Polls of tasks.
    pub polls: u64,
    /// Ticks spent in them.
    pub busy_ticks: u64,
    /// Ticks spent parked.
    pub idle_ticks: u64,
    /// Ticks of the longest poll.
    pub longest_poll_ticks: u64,
    /// Tasks that live here now, those on their way included.
    pub tasks: u32,
    /// Tasks that want to run: woken and not polled yet, and the one being polled.
    pub ready: u32,
    /// Wakes on this core that queued a task.
    pub wakes_local: u64,
    /// Wakes from elsewhere (other cores, interrupt handlers) that queued a task.
    pub wakes_remote: u64,
    /// Polls in which a task woke itself.
    pub yields: u64,
    /// Times the core went to park.
    pub parks: u64,
    /// Timers that fired.
    pub timers_fired: u64,
    /// Polls longer than [`crate::Platform::stall_ticks`].
    pub stalls: u64,
}

/// How loaded a core is, for the placement of new tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Tasks that live there, those on their way included.
    pub tasks: u32,
    /// Tasks that want to run: woken and not polled yet, and the one being polled.
    pub ready: u32,
}

impl Load {
    /// One figure to compare by: a waiting task weighs 1, one that wants to run now 8.
    #[must_use]
    pub fn weight(self) -> u32 {
        self.tasks.saturating_add(self.ready.saturating_mul(8))
    }
}

impl<P: Platform> Core<P> {
    /// The core's statistics. Readable from any core.
    pub fn stats(&self) -> CoreStats {
        let c = &self.counters;
        let load = self.load();
        let remote = c.wakes_remote.get();
        let yields = c.yields.get();
        CoreStats {
            polls: c.polls.get(),
            busy_ticks: c.busy_ticks.get(),
            idle_ticks: c.idle_ticks.get(),
            longest_poll_ticks: c.longest_ticks.get(),
            tasks: load.tasks,
            ready: load.ready,
            wakes_local: c.queued.get().saturating_sub(remote).saturating_sub(yields),
            wakes_remote: remote,
            yields,
            parks: c.parks.get(),
            timers_fired: c.timers_fired.get(),
            stalls: c.stalls.get(),
        }
    }

    /// How loaded the core is. Readable from any core.
    pub fn load(&self) -> Load {
        let ready = self.counters.queued.get().saturating_sub(self.counters.polls.get());
        Load {
            tasks: self.shared.tasks.load(Ordering::Relaxed),
            ready: u32::try_from(ready).unwrap_or(u32::MAX),
        }
    }
}
