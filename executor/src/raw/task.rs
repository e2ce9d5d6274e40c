//! A task's memory and its life on the owner core.
//!
//! One allocation holds header, then the future or its output ([`super::stage`]). The header's
//! first cache line is the owner's, in plain cells; the second is for everybody ([`super::state`]).
//!
//! ```text
//!            wake                    turn                   Ready / cancelled
//!   IDLE ───────────► QUEUED ───────────────► POLLING ───────────────────────► DONE ──► (freed)
//!    ▲                  ▲                        │ │ wake during its own poll    (merge: see state)
//!    │                  └──── next turn ── REWOKEN ┘
//!    └───────────────────────── Pending ─────────┘
//! ```
//!
//! These are the bits of `flags`, which only the owner touches; CANCEL may accompany QUEUED and
//! POLLING. From elsewhere a task is woken through the inbox; when the owner takes it from there,
//! it goes through the same edge. A task is never in a run queue twice (QUEUED), nor in one when it
//! gets DONE (a wake during the last poll only sets REWOKEN). It is freed by the owner's loop
//! alone: at the merge, or when taken from the inbox or the reap list with no reference left.

use core::{cell::Cell, future::Future, ptr::NonNull, task::Context};

use futures_util::task::AtomicWaker;

use super::{
    inbox::{Link, Node},
    stage::{self, Vtable, vtable},
    state::{Found, Queue, Shared},
    waker,
};
use crate::{
    core::Core,
    platform::{CoreId, Instant, Platform, Priority},
    stats::{TaskInfo, TaskState},
};

pub(crate) const QUEUED: u8 = 1 << 0;
pub(crate) const POLLING: u8 = 1 << 1;
pub(crate) const REWOKEN: u8 = 1 << 2;
pub(crate) const CANCEL: u8 = 1 << 3;
pub(crate) const DONE: u8 = 1 << 4;

/// `Header::index` of a task that the owner has not listed yet.
const UNLISTED: u32 = u32::MAX;

/// What does not depend on the future's type.
#[repr(C, align(64))]
pub(crate) struct Header<P: Platform> {
    // The owner's line.
    pub(crate) vtable: &'static Vtable<P>,
    pub(crate) core: &'static Core<P>,
    pub(crate) next: Cell<Option<TaskRef<P>>>,
    pub(crate) home: CoreId,
    pub(crate) flags: Cell<u8>,
    pub(crate) priority: Priority,
    pub(crate) index: Cell<u32>,
    /// References counted by the owner, its own included. Moves to `shared` at the merge.
    pub(crate) references: Cell<isize>,
    polls: Cell<u64>,
    busy_ticks: Cell<u64>,
    longest_ticks: Cell<u64>,
    // Everybody's line.
    pub(crate) shared: Shared,
    link: Link<Header<P>>,
    pub(crate) joiner: AtomicWaker,
    pub(crate) name: &'static str,
}

// SAFETY: `link` is that of the header and used by the core's inbox alone.
unsafe impl<P: Platform> Node for Header<P> {
    unsafe fn link<'a>(node: NonNull<Self>) -> &'a Link<Self> {
        // SAFETY: live, by this function's contract.
        unsafe { &(*node.as_ptr()).link }
    }
}

/// A pointer to a live task. Holding one is not a reference: each place that keeps one says why the
/// task outlives it.
pub(crate) struct TaskRef<P: Platform>(NonNull<Header<P>>);

impl<P: Platform> Clone for TaskRef<P> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<P: Platform> Copy for TaskRef<P> {}
impl<P: Platform> PartialEq for TaskRef<P> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<P: Platform> TaskRef<P> {
    /// Allocates a task for `core`, with one reference for the scheduler (in the owner's count)
    /// and `shared` references for the caller. It is in no list and not queued.
    ///
    /// # Safety
    ///
    /// If this is not the owner core, `future` may be sent there in the state it is in.
    pub(crate) unsafe fn new<F: Future + 'static>(
        core: &'static Core<P>,
        name: &'static str,
        priority: Priority,
        future: F,
        shared: usize,
    ) -> Self {
        let header = Header {
            vtable: vtable::<P, F>(),
            core,
            next: Cell::new(None),
            home: core.id(),
            flags: Cell::new(0),
            priority,
            index: Cell::new(UNLISTED),
            references: Cell::new(1),
            polls: Cell::new(0),
            busy_ticks: Cell::new(0),
            longest_ticks: Cell::new(0),
            shared: Shared::new(shared),
            link: Link::new(),
            joiner: AtomicWaker::new(),
            name,
        };
        Self(stage::allocate(header, future))
    }

    #[inline(always)]
    pub(crate) fn as_ptr(self) -> *const () {
        self.0.as_ptr().cast_const().cast()
    }

    /// # Safety
    ///
    /// `ptr` came from [`Self::as_ptr`] with the same `P`, and the task lives.
    #[inline(always)]
    pub(crate) unsafe fn from_ptr(ptr: *const ()) -> Self {
        // SAFETY: never null, by contract.
        Self(unsafe { NonNull::new_unchecked(ptr.cast_mut().cast()) })
    }

    pub(crate) fn node(self) -> NonNull<Header<P>> {
        self.0
    }

    /// # Safety
    ///
    /// `node` came from the inbox of a core of this platform.
    pub(crate) unsafe fn from_node(node: NonNull<Header<P>>) -> Self {
        Self(node)
    }

    /// The header. Its cells are for the owner only.
    #[inline(always)]
    pub(crate) fn header<'a>(self) -> &'a Header<P> {
        // SAFETY: whoever made this `TaskRef` answers for the task being alive while it is used,
        // and no `&mut` to a header ever exists.
        unsafe { self.0.as_ref() }
    }

    /// Whether this is the owner core.
    #[inline(always)]
    pub(crate) fn is_home(self) -> bool {
        P::current() == Some(self.header().home)
    }

    /// Wakes from the owner core: plain loads and stores.
    #[inline(always)]
    pub(crate) fn wake_home(self) {
        let header = self.header();
        let flags = header.flags.get();
        if flags == 0 {
            header.flags.set(QUEUED);
            header.core.enqueue(self);
        } else if flags & POLLING != 0 {
            header.flags.set(flags | REWOKEN);
            header.core.note_ready(header.priority);
        }
    }

    /// Wakes from anywhere else.
    #[inline(never)]
    pub(crate) fn wake_away(self) {
        let header = self.header();
        if header.shared.wake() == Queue::Push {
            header.core.post(self);
        }
    }

    /// Asks for the future to be dropped, from anywhere.
    pub(crate) fn cancel(self) {
        let header = self.header();
        if !self.is_home() {
            if header.shared.cancel() == Queue::Push {
                header.core.post(self);
            }
        } else if header.flags.get() & DONE == 0 {
            self.wake_home();
            header.flags.set(header.flags.get() | CANCEL);
        }
    }

    /// One reference more, from anywhere.
    #[inline(always)]
    pub(crate) fn acquire(self) {
        let header = self.header();
        if self.is_home() && header.flags.get() & DONE == 0 {
            header.references.set(header.references.get() + 1);
        } else {
            header.shared.acquire();
        }
    }

    /// One reference less, from anywhere. Never frees.
    #[inline(always)]
    pub(crate) fn release(self) {
        if self.is_home() { self.release_home() } else { self.release_away() }
    }

    /// One reference less, on the owner core.
    #[inline(always)]
    pub(crate) fn release_home(self) {
        let header = self.header();
        if header.flags.get() & DONE == 0 {
            // The scheduler's reference is still there, so this is not the last.
            header.references.set(header.references.get() - 1);
        } else if header.shared.release() == Queue::Push {
            header.core.reap_later(self);
        }
    }

    /// One reference less, elsewhere.
    #[inline(never)]
    pub(crate) fn release_away(self) {
        let core = self.header().core;
        if self.header().shared.release() == Queue::Push {
            core.post(self);
        }
    }

    /// Polls on the owner core; the task was taken from a run queue. Returns the time afterwards.
    /// The task may be gone then.
    #[inline(always)]
    pub(crate) fn run(self, start: Instant, stall_ticks: u64) -> Instant {
        let header = self.header();
        let cancelled = header.flags.replace(POLLING) & CANCEL != 0;
        let mut done = false;
        if !cancelled {
            // The scheduler's reference covers the poll; clones count themselves.
            let waker = waker::borrowed(self);
            // SAFETY: on the owner core, live, and POLLING keeps others from polling it.
            done = unsafe { (header.vtable.poll)(self, &mut Context::from_waker(&waker)) };
        }
        let flags = header.flags.get();
        if !done && (cancelled || flags & CANCEL != 0) {
            // SAFETY: on the owner core; the future is not being polled.
            unsafe { (header.vtable.clear)(self) };
            done = true;
        }
        let end = P::now();
        self.book(end.since(start), stall_ticks);
        if done {
            self.finish();
        } else if flags & REWOKEN == 0 {
            header.flags.set(0);
        } else {
            header.flags.set(QUEUED);
            header.core.enqueue_later(self);
        }
        end
    }

    /// The future is gone: hand over the output, settle the references. May free the task.
    fn finish(self) {
        let header = self.header();
        if header.shared.complete() {
            // SAFETY: on the owner core, and with the handle gone the output is ours.
            unsafe { (header.vtable.clear)(self) };
        } else {
            header.joiner.wake();
        }
        header.core.delist(self);
        header.flags.set(DONE);
        // Without the scheduler's own reference.
        if header.shared.merge(header.references.get() - 1) {
            self.free();
        }
    }

    /// The owner took the task from the inbox.
    pub(crate) fn taken(self) {
        let header = self.header();
        match header.shared.taken() {
            Found::Dead => self.free(),
            _ if header.flags.get() & DONE != 0 => {}
            found => {
                if header.index.get() == UNLISTED {
                    header.core.list(self);
                }
                self.wake_home();
                if found == Found::Cancelled {
                    header.flags.set(header.flags.get() | CANCEL);
                }
            }
        }
    }

    /// Frees the memory. On the owner core, in its loop, with no reference left.
    pub(crate) fn free(self) {
        // SAFETY: the count says that this is the only pointer left, and we are on the owner core.
        unsafe { (self.header().vtable.free)(self) }
    }

    /// Books a poll that took `ticks`.
    #[inline(always)]
    fn book(self, ticks: u64, stall_ticks: u64) {
        let header = self.header();
        header.polls.set(header.polls.get() + 1);
        header.busy_ticks.set(header.busy_ticks.get() + ticks);
        if ticks > header.longest_ticks.get() {
            header.longest_ticks.set(ticks);
        }
        header.core.book(header.name, ticks, stall_ticks);
    }

    /// Statistics, on the owner core.
    pub(crate) fn info(self) -> TaskInfo {
        let header = self.header();
        let flags = header.flags.get();
        TaskInfo {
            name: header.name,
            core: header.home,
            priority: header.priority,
            state: if flags & POLLING != 0 {
                TaskState::Polling
            } else if flags & QUEUED != 0 {
                TaskState::Ready
            } else {
                TaskState::Waiting
            },
            polls: header.polls.get(),
            busy_ticks: header.busy_ticks.get(),
            longest_poll_ticks: header.longest_ticks.get(),
        }
    }
}
