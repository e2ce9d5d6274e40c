//! A core: its loop, its parking, its doors for ring 3, its numbers.
//!
//! ```text
//!            ┌────────────────────────── turn ──────────────────────────┐
//!   inbox ─► │ due timers ─► polls: High before Normal before Low, each │ ─► anything? again
//!            │ within its share; after every poll: inbox, due timers    │
//!            └──────────────────────────────────────────────────────────┘
//!                                    │ nothing
//!                                    ▼
//!     park: publish SLEEPING, full fence, look again, sleep ── kick, interrupt, deadline ─► again
//! ```
//!
//! A turn is bounded: each class has a share, a task that wakes itself waits for the next turn, and
//! timers fire in bounded bunches. What a core's own context wakes goes through plain cells; what
//! any other context wakes goes through the inbox ([`crate::raw`]).

use alloc::{rc::Rc, vec::Vec};
use core::{
    cell::Cell,
    future::Future,
    pin::pin,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering},
    task::{Context, Poll},
};

use crate::{
    platform::{CoreId, Instant, Platform, Priority, Stall},
    raw::{
        inbox::Inbox,
        local::{Local, Owned},
        presence::{Presence, Published},
        run_queue::Credits,
        task::Header,
    },
    stats::{Counter, TaskInfo},
};

/// Timers fired in one bunch.
const TIMERS_PER_BUNCH: usize = 64;

/// Keeps what other cores write off the lines that the owner works on.
#[repr(align(128))]
pub(crate) struct Padded<T>(T);

impl<T> core::ops::Deref for Padded<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

pub(crate) struct Counters {
    pub(crate) queued: Counter,
    pub(crate) polls: Counter,
    pub(crate) busy_ticks: Counter,
    pub(crate) longest_ticks: Counter,
    pub(crate) poll_started: Counter,
    pub(crate) yields: Counter,
    pub(crate) wakes_remote: Counter,
    pub(crate) idle_ticks: Counter,
    pub(crate) parks: Counter,
    pub(crate) timers_fired: Counter,
    pub(crate) stalls: Counter,
    /// `poll_started` of the poll that `check_stall` complained about last.
    stall_reported: Counter,
}

/// One executor: a core's run queues, timers, inbox and published state.
pub struct Core<P: Platform> {
    id: CoreId,
    pub(crate) owned: Owned<Local<P>>,
    pub(crate) fresh: AtomicBool,
    pub(crate) running: AtomicPtr<Header<P>>,
    /// The earliest deadline in ticks; `u64::MAX` if there is none.
    pub(crate) earliest: Counter,
    pub(crate) counters: Counters,
    pub(crate) shared: Padded<Everybody<P>>,
}

/// What other cores write to.
pub(crate) struct Everybody<P: Platform> {
    pub(crate) inbox: Inbox<Header<P>>,
    pub(crate) published: Published,
    pub(crate) tasks: AtomicU32,
    online: AtomicBool,
}

/// A poll that is going on.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    /// The task's name.
    pub task: &'static str,
    /// When the poll began.
    pub since: Instant,
}

/// Marks the core as in a turn.
struct InTurn<'a, P: Platform>(&'a Local<P>);

impl<P: Platform> Drop for InTurn<'_, P> {
    fn drop(&mut self) {
        self.0.in_turn.set(false);
    }
}

impl<P: Platform> Core<P> {
    /// A core, for a static array in which it has index `id`. See also [`Core::array`].
    #[must_use]
    pub const fn new(id: CoreId) -> Self {
        Self {
            id,
            owned: Owned::new(Local::new()),
            fresh: AtomicBool::new(false),
            running: AtomicPtr::new(core::ptr::null_mut()),
            earliest: Counter::starting_at(u64::MAX),
            counters: Counters {
                queued: Counter::new(),
                polls: Counter::new(),
                busy_ticks: Counter::new(),
                longest_ticks: Counter::new(),
                poll_started: Counter::new(),
                yields: Counter::new(),
                wakes_remote: Counter::new(),
                idle_ticks: Counter::new(),
                parks: Counter::new(),
                timers_fired: Counter::new(),
                stalls: Counter::new(),
                stall_reported: Counter::starting_at(u64::MAX),
            },
            shared: Padded(Everybody {
                inbox: Inbox::new(),
                published: Published::new(),
                tasks: AtomicU32::new(0),
                online: AtomicBool::new(false),
            }),
        }
    }

    /// The core's index.
    #[inline(always)]
    pub const fn id(&self) -> CoreId {
        self.id
    }

    /// The core this code runs on.
    ///
    /// # Panics
    ///
    /// On none: in an interrupt handler or on a foreign thread.
    #[must_use]
    pub fn current() -> &'static Self {
        let id = P::current().expect("this needs a core: not in an interrupt or foreign thread");
        &P::cores()[usize::from(id.0)]
    }

    /// The core's loop.
    ///
    /// # Panics
    ///
    /// If this is not the core itself, or it is in a poll.
    pub fn run(&'static self) -> ! {
        self.bring_up();
        loop {
            if !self.turn() {
                self.park();
            }
        }
    }

    /// Runs the core's tasks until `future` is ready. `future` is polled here and never moves. The
    /// core counts as up meanwhile; its other tasks wait until it runs again.
    ///
    /// # Panics
    ///
    /// If this is not the core itself, or it is in a poll.
    pub fn block_on<F: Future>(&'static self, future: F) -> F::Output {
        assert!(!self.local().in_turn.get(), "a poll cannot run the core it runs on");
        let was_online = self.shared.online.swap(true, Ordering::AcqRel);
        let mut future = pin!(future);
        let woken = Rc::new(Cell::new(true));
        // A task whose only work is to say that `future` was woken.
        let signal = woken.clone();
        let relay = core::future::poll_fn(move |_| {
            signal.set(true);
            Poll::<()>::Pending
        });
        let (_relay, waker) = self.adopt("block_on", Priority::Normal, relay);
        let mut cx = Context::from_waker(&waker);
        loop {
            if woken.replace(false)
                && let Poll::Ready(output) = future.as_mut().poll(&mut cx)
            {
                self.shared.online.store(was_online, Ordering::Release);
                return output;
            }
            if !self.turn() {
                self.park();
            }
        }
    }

    /// Says that this core runs: new tasks may be placed here. `run` does so too, and `block_on`
    /// for as long as it lasts.
    pub fn bring_up(&self) {
        self.shared.online.store(true, Ordering::Release);
    }

    /// Whether this core has come up.
    pub fn is_online(&self) -> bool {
        self.shared.online.load(Ordering::Acquire)
    }

    /// One bounded pass: inbox, due timers, a share of each class. True if anything ran.
    ///
    /// # Panics
    ///
    /// If this is not the core itself, or it is in a poll.
    pub fn turn(&'static self) -> bool {
        let local = self.local();
        assert!(!local.in_turn.replace(true), "a poll cannot run the core it runs on");
        let _in_turn = InTurn(local);

        if !self.shared.inbox.is_empty() {
            self.take_inbox();
        }
        local.queues.begin_turn();
        let mut ran = false;
        let mut now = P::now();
        let mut credits = Credits::TURN;
        let stall_ticks = Self::stall_ticks(local);
        loop {
            if now.0 >= self.earliest.get() {
                ran |= self.fire_timers(local, now);
            }
            let Some(task) = local.queues.pop(&mut credits) else { break };
            now = self.poll_task(task, now, stall_ticks);
            ran = true;
            if !self.shared.inbox.is_empty() {
                self.take_inbox();
            }
        }
        self.end_polls();
        local.reap();
        ran
    }

    /// Idles until an interrupt, a kick, or the next timer, unless work waits.
    ///
    /// # Panics
    ///
    /// If this is not the core itself.
    pub fn park(&'static self) {
        let local = self.local();
        let start = P::now();
        self.counters.parks.add(1);
        P::park(self.next_deadline(), || {
            self.shared.published.leave(Presence::Sleeping, || {
                !self.shared.inbox.is_empty()
                    || !local.queues.is_empty()
                    || P::now().0 >= self.earliest.get()
            })
        });
        self.shared.published.back();
        self.counters.idle_ticks.add(P::now().since(start));
    }

    fn fire_timers(&self, local: &Local<P>, now: Instant) -> bool {
        let mut fired = 0;
        while fired < TIMERS_PER_BUNCH {
            // Not borrowed while waking: a foreign waker may do anything.
            let due = local.timers.borrow_mut().pop_due(now);
            let Some(waker) = due else { break };
            waker.wake();
            fired += 1;
        }
        self.note_earliest(local);
        self.counters.timers_fired.add(fired as u64);
        fired > 0
    }

    pub(crate) fn note_earliest(&self, local: &Local<P>) {
        self.earliest.set(local.timers.borrow().next().map_or(u64::MAX, |at| at.0));
    }

    // Ring 3. All of these: with interrupts off on this core.

    /// Before entering ring 3: publishes USER, full fence, looks for work. False: work waits (woken
    /// since this poll began and at least as urgent as it, or in the inbox), and RUNNING is
    /// published again; the poll should wake itself and return.
    #[inline]
    #[must_use]
    pub fn publish_user(&self) -> bool {
        self.shared.published.leave(Presence::User, || self.attention())
    }

    /// After leaving ring 3.
    #[inline(always)]
    pub fn publish_running(&self) {
        self.shared.published.back();
    }

    /// Whether anything became ready since the current poll began that should end its stay in ring
    /// 3: a task of this core's, at least as urgent as the one being polled, or anything in the
    /// inbox. Two loads.
    #[inline(always)]
    #[must_use]
    pub fn attention(&self) -> bool {
        self.fresh.load(Ordering::Relaxed) | !self.shared.inbox.is_empty()
    }

    /// The earliest timer, to bound a stay in ring 3.
    #[inline(always)]
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        match self.earliest.get() {
            u64::MAX => None,
            ticks => Some(Instant(ticks)),
        }
    }

    // Numbers.

    /// Books a poll that took `ticks`.
    #[inline(always)]
    pub(crate) fn book(&self, name: &'static str, ticks: u64, stall_ticks: u64) {
        self.counters.polls.add(1);
        self.counters.busy_ticks.add(ticks);
        if ticks > self.counters.longest_ticks.get() {
            self.counters.longest_ticks.set(ticks);
        }
        if ticks > stall_ticks {
            self.complain(name, ticks);
        }
    }

    /// [`Platform::stall_ticks`], asked once.
    fn stall_ticks(local: &Local<P>) -> u64 {
        if local.stall_ticks.get() == 0 {
            local.stall_ticks.set(P::stall_ticks().max(1));
        }
        local.stall_ticks.get()
    }

    #[cold]
    fn complain(&self, task: &'static str, held_ticks: u64) {
        self.counters.stalls.add(1);
        P::stalled(&Stall { core: self.id, task, held_ticks });
    }

    /// For a timer interrupt on this core: names a task whose poll has not ended for too long, once
    /// a poll. Polls that end are checked without this.
    pub fn check_stall(&self) {
        let Some(running) = self.running() else { return };
        let held_ticks = P::now().since(running.since);
        if held_ticks > P::stall_ticks() && self.counters.stall_reported.get() != running.since.0 {
            self.counters.stall_reported.set(running.since.0);
            P::stalled(&Stall { core: self.id, task: running.task, held_ticks });
        }
    }

    /// Where the core was last heard to be.
    pub fn presence(&self) -> Presence {
        self.shared.published.get()
    }

    /// Statistics of the tasks that live here. For another core's, [`crate::tasks_of`].
    ///
    /// # Panics
    ///
    /// If this is not the core itself.
    pub fn tasks(&self) -> Vec<TaskInfo> {
        self.local().tasks().into_iter().map(|task| task.info()).collect()
    }
}
