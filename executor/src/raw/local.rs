//! What only the owner core touches, inside a `Core` that everybody can see; and the ways by which
//! tasks get into the core's lists.

use core::cell::{Cell, RefCell};
use core::mem::MaybeUninit;
use core::sync::atomic::Ordering;

use alloc::vec::Vec;

use super::{
    inbox::Pushed,
    join::RawJoin,
    run_queue::RunQueues,
    task::{Header, TaskRef},
    waker,
};
use crate::{
    core::{Core, Running},
    platform::{CoreId, Instant, Platform, Priority},
    timer::Timers,
};

/// A value that is reached only from one context, which the caller vouches for.
pub(crate) struct Owned<T>(T);

// SAFETY: `get` is the only way in, and its contract confines the value to one context.
unsafe impl<T> Sync for Owned<T> {}

impl<T> Owned<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(value)
    }

    /// # Safety
    ///
    /// The caller runs in the one context that owns the value.
    #[inline(always)]
    unsafe fn get(&self) -> &T {
        &self.0
    }
}

/// The owner's part of a core.
pub(crate) struct Local<P: Platform> {
    pub(crate) queues: RunQueues<P>,
    /// Class of the task being polled; beyond the last while none is.
    pub(crate) polling: Cell<u8>,
    /// The loop is in a turn: it cannot be entered again.
    pub(crate) in_turn: Cell<bool>,
    /// [`Platform::stall_ticks`], asked once.
    pub(crate) stall_ticks: Cell<u64>,
    /// Dead tasks, linked through `next`, to be freed by the loop.
    reap: Cell<Option<TaskRef<P>>>,
    /// All tasks that are not done: what the scheduler's references stand for.
    tasks: RefCell<Vec<TaskRef<P>>>,
    pub(crate) timers: RefCell<Timers>,
}

/// `Local::polling` outside of polls: below every class, so that any wake counts as fresh.
pub(crate) const NOBODY: u8 = u8::MAX;

impl<P: Platform> Local<P> {
    pub(crate) const fn new() -> Self {
        Self {
            queues: RunQueues::new(),
            polling: Cell::new(NOBODY),
            in_turn: Cell::new(false),
            stall_ticks: Cell::new(0),
            reap: Cell::new(None),
            tasks: RefCell::new(Vec::new()),
            timers: RefCell::new(Timers::new()),
        }
    }

    /// All tasks that are not done.
    pub(crate) fn tasks(&self) -> Vec<TaskRef<P>> {
        self.tasks.borrow().clone()
    }

    /// Frees what died since the last time.
    #[inline(always)]
    pub(crate) fn reap(&self) {
        while let Some(task) = self.reap.get() {
            self.reap.set(task.header().next.get());
            task.free();
        }
    }
}

impl<P: Platform> Core<P> {
    /// As many cores, with the ids 0, 1, 2…, for a static.
    #[must_use]
    pub const fn array<const N: usize>() -> [Self; N] {
        assert!(N <= u16::MAX as usize, "core ids are 16 bits");
        let mut cores: [MaybeUninit<Self>; N] = [const { MaybeUninit::uninit() }; N];
        let mut i = 0;
        while i < N {
            #[allow(clippy::cast_possible_truncation)]
            cores[i].write(Self::new(CoreId(i as u16)));
            i += 1;
        }
        // SAFETY: every element was written; `MaybeUninit<T>` has the layout of `T`.
        unsafe { (&raw const cores).cast::<[Self; N]>().read() }
    }

    /// The owner's part.
    ///
    /// # Panics
    ///
    /// If this is not the owner core.
    #[inline(always)]
    pub(crate) fn local(&self) -> &Local<P> {
        assert!(P::current() == Some(self.id()), "only the core itself may do this");
        // SAFETY: `current` says so.
        unsafe { self.owned.get() }
    }

    /// The owner's part, for code that works on a task and knows it is at the task's home.
    #[inline(always)]
    fn home(&self) -> &Local<P> {
        debug_assert!(P::current() == Some(self.id()));
        // SAFETY: called by `TaskRef`'s methods for the owner core only.
        unsafe { self.owned.get() }
    }

    /// Something of this class wants to run: whether that ends a stay in ring 3.
    #[inline(always)]
    pub(crate) fn note_ready(&self, priority: Priority) {
        if priority as u8 <= self.home().polling.get() {
            self.fresh.store(true, Ordering::Relaxed);
        }
    }

    #[inline(always)]
    pub(super) fn enqueue(&self, task: TaskRef<P>) {
        self.home().queues.push(task);
        self.counters.queued.add(1);
        self.note_ready(task.header().priority);
    }

    pub(super) fn enqueue_later(&self, task: TaskRef<P>) {
        self.home().queues.push_later(task);
        self.counters.queued.add(1);
        self.counters.yields.add(1);
    }

    /// Hands a task to its owner. The caller has just set its INBOX bit, and so is the only one to
    /// push it, and the owner keeps it until it has taken it.
    pub(super) fn post(&'static self, task: TaskRef<P>) {
        // SAFETY: see above.
        if unsafe { self.shared.inbox.push(task.node()) } == Pushed::First
            && self.shared.published.needs_kick()
        {
            P::kick(self.id());
        }
    }

    /// Takes a dead task for the loop to free.
    pub(super) fn reap_later(&self, task: TaskRef<P>) {
        let local = self.home();
        task.header().next.set(local.reap.replace(Some(task)));
    }

    pub(super) fn list(&self, task: TaskRef<P>) {
        let mut tasks = self.home().tasks.borrow_mut();
        task.header().index.set(u32::try_from(tasks.len()).expect("fewer than 2^32 tasks"));
        tasks.push(task);
    }

    /// A task is done: it leaves the list, and nobody will ask for its name any more.
    pub(super) fn delist(&self, task: TaskRef<P>) {
        self.running.store(core::ptr::null_mut(), Ordering::Relaxed);
        let mut tasks = self.home().tasks.borrow_mut();
        let index = task.header().index.get();
        tasks.swap_remove(index as usize);
        if let Some(moved) = tasks.get(index as usize) {
            moved.header().index.set(index);
        }
        self.shared.tasks.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes everything from the inbox. On the owner core.
    #[inline(never)]
    pub(crate) fn take_inbox(&self) {
        let before = self.counters.queued.get();
        for node in self.shared.inbox.take() {
            // SAFETY: a node of this core's inbox.
            unsafe { TaskRef::from_node(node) }.taken();
        }
        self.counters.wakes_remote.add(self.counters.queued.get() - before);
    }

    /// Polls a task taken from the run queue; returns the time after it. On the owner core.
    #[inline(always)]
    pub(crate) fn poll_task(&self, task: TaskRef<P>, start: Instant, stall_ticks: u64) -> Instant {
        self.running.store(task.node().as_ptr(), Ordering::Relaxed);
        self.home().polling.set(task.header().priority as u8);
        self.fresh.store(false, Ordering::Relaxed);
        self.counters.poll_started.set(start.0);
        task.run(start, stall_ticks)
    }

    /// The turn is over: nobody is being polled.
    pub(crate) fn end_polls(&self) {
        self.running.store(core::ptr::null_mut(), Ordering::Relaxed);
        self.home().polling.set(NOBODY);
    }

    /// The task that is being polled on this core, if the caller runs on it: in its own context or
    /// in an interrupt handler (see [`Platform::interrupted`]).
    pub fn running(&self) -> Option<Running> {
        if P::interrupted() != Some(self.id()) {
            return None;
        }
        let header: *const Header<P> = self.running.load(Ordering::Relaxed);
        // SAFETY: on the same core, nothing is freed while we look, and `delist` clears the pointer
        // before its task can go.
        let name = unsafe { header.as_ref() }?.name;
        Some(Running { task: name, since: Instant(self.counters.poll_started.get()) })
    }

    /// Makes a task of this core out of `future`. On the owner core.
    pub(crate) fn adopt<F: Future + 'static>(
        &'static self,
        name: &'static str,
        priority: Priority,
        future: F,
    ) -> (RawJoin<F::Output>, core::task::Waker) {
        let _ = self.local();
        self.shared.tasks.fetch_add(1, Ordering::Relaxed);
        // SAFETY: on the owner core.
        let task = unsafe { TaskRef::new(self, name, priority, future, 0) };
        task.acquire();
        self.list(task);
        task.wake_home();
        // SAFETY: the reference just acquired; the type is the future's.
        (unsafe { RawJoin::new(task) }, (*waker::borrowed(task)).clone())
    }

    /// Sends a task to this core, which is another one.
    pub(crate) fn send<F, M>(
        &'static self,
        name: &'static str,
        priority: Priority,
        make: M,
    ) -> RawJoin<F::Output>
    where
        F: Future + 'static,
        F::Output: Send,
        M: FnOnce() -> F + Send + 'static,
    {
        self.shared.tasks.fetch_add(1, Ordering::Relaxed);
        // SAFETY: until its first poll, which happens over there, this future holds nothing but
        // `make`, which is `Send`.
        let task = unsafe { TaskRef::new(self, name, priority, async move { make().await }, 1) };
        // SAFETY: the one shared reference; the output is `Send`.
        let join = unsafe { RawJoin::new(task) };
        task.wake_away();
        join
    }
}
