//! What the executor asks of its home: who am I, what time is it, interrupt that core, sleep.
//!
//! Three homes implement [`Platform`]: a core in the kernel (GS, TSC, IPI, `sti; hlt`), a ring-3
//! process (system calls) and a host test (threads, the `host` feature). The executor assumes
//! neither interrupts nor their absence: a wake that does not come from the core's own loop, for
//! whatever reason, takes the cross-core path.

use crate::Core;

/// Index of a core in [`Platform::cores`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CoreId(pub u16);

impl core::fmt::Display for CoreId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "core{}", self.0)
    }
}

/// A point in time: ticks of the platform's monotonic clock (on metal, the TSC).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Instant(pub u64);

impl Instant {
    /// This instant plus `ticks`, stopping at the end of time.
    #[must_use]
    pub const fn after(self, ticks: u64) -> Self {
        Self(self.0.saturating_add(ticks))
    }

    /// Ticks since `earlier`, zero if that is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// How urgent a task is. Each class gets a share of every turn, so none starves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Priority {
    /// Drivers' reapers and mail between processes.
    High = 0,
    /// User threads and services.
    Normal = 1,
    /// Background work.
    Low = 2,
}

impl Priority {
    /// Number of classes.
    pub const COUNT: usize = 3;
}

/// A task that held its core for longer than [`Platform::stall_ticks`] in one poll.
#[derive(Clone, Copy, Debug)]
pub struct Stall {
    /// The core that was held.
    pub core: CoreId,
    /// The task's name.
    pub task: &'static str,
    /// How long the poll took, or has taken so far, in ticks.
    pub held_ticks: u64,
}

/// The home of a set of cores.
///
/// # Safety
///
/// The executor touches a core's own state without atomics wherever [`Platform::current`] says
/// that it runs on that core. So an implementation promises:
///
/// - `cores()` always returns (the beginning of) the same slice, which never gets shorter, and the
///   core at index `i` has the id `CoreId(i)`;
/// - `current()` returns `Some(c)` only in *the* context that drives core `c`: at any time at
///   most one context (hardware core outside interrupt handlers, or thread) gets that answer, it
///   is the same one for as long as any task lives there, and an interrupt handler, signal handler
///   or foreign thread gets `None`; `interrupted()` is as its own line says;
/// - `kick` and `park` do not re-enter the executor on the calling core (`park` may let interrupt
///   handlers run, which wake).
pub unsafe trait Platform: Sized + 'static {
    /// The cores, one executor each.
    fn cores() -> &'static [Core<Self>];

    /// The core whose own context this is; `None` in an interrupt handler or on a foreign thread,
    /// whose wakes then take the cross-core path.
    fn current() -> Option<CoreId>;

    /// The core this code runs on, in an interrupt handler too: lets [`Core::running`] and
    /// [`Core::check_stall`] work there. A core may be named only while its own context is this one
    /// or is held up by it. The default knows nothing in a handler.
    fn interrupted() -> Option<CoreId> {
        Self::current()
    }

    /// The clock, monotonic on each core.
    fn now() -> Instant;

    /// The clock's rate.
    fn ticks_per_second() -> u64;

    /// Interrupt `core`, which is not running its loop: bring it out of [`Platform::park`] or out
    /// of ring 3. A kick that arrives before the core sleeps must not be lost. An interrupt handler
    /// on `core` itself may get here too; there it may be left out if the way back from the handler
    /// looks at [`Core::attention`] and wakes from `hlt`.
    fn kick(core: CoreId);

    /// Idle until an interrupt, a kick or `deadline`.
    ///
    /// Disable interrupts, arm the timer, call `may_sleep` exactly once, and sleep only if it
    /// returned true (`sti; hlt` as one). Return with interrupts on. Early returns are harmless. A
    /// deadline that passes before the core sleeps must still wake it.
    fn park(deadline: Option<Instant>, may_sleep: impl FnOnce() -> bool);

    /// How long one poll may take before [`Platform::stalled`] hears of it: 50 ms.
    fn stall_ticks() -> u64 {
        Self::ticks_per_second() / 20
    }

    /// A task held its core too long. Only log.
    fn stalled(stall: &Stall) {
        let _ = stall;
    }
}
