//! A ring-3 thread: its machine state, where it is in its life, and whom it is talking to.
//!
//! # Who may touch a thread
//!
//! The fields are plain cells because at any moment one core *owns* the thread: its home core,
//! except while it is blocked on another core's affair.
//!
//! ```text
//!   Ready ──► Running ──► Busy ──► Ready            owner: home core
//!               │  (a system call its task works on)
//!               ├──► Receiving, Calling, Sending     owner: the endpoint's home core
//!               └──► AwaitingReply                   owner: the home core of the thread that owes it the reply
//! ```
//!
//! Ownership passes with the state: the old owner writes everything, then stores the state with
//! release order; the new one loads it with acquire order. Coming back to `Ready` from another core
//! is followed by a wake of the thread's task. A killed thread's task asks the owner to let go
//! ([`crate::ipc::unlink`]) before the record may be freed, so that no queue ever holds a dangling
//! reference. Even then a core that just made the thread `Ready` may still be about to wake it: the
//! record is freed only once every core has passed a quiescent point ([`super::reclaim`]).

use super::Process;
use crate::ipc::Endpoint;
use alloc::sync::Arc;
use core::cell::{Cell, UnsafeCell};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, AtomicU8, Ordering::*};
use core::task::Waker;
use executor::CoreId;
use hal::x86_64::user::{Registers, ResumeBy, UserThread, fpu};
use protocols::abi::message::Sender;
use protocols::axiom::Cause;

/// Where a thread is in its life; see the module's picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Can go (back) to ring 3; its task will take it there.
    Ready = 0,
    /// In ring 3, or in a system call that is being answered on the spot.
    Running = 1,
    /// Its task is working on a system call, a fault or its end.
    Busy = 2,
    /// Waits for a message.
    Receiving = 3,
    /// Its message, which wants a reply, waits for a receiver.
    Calling = 4,
    /// Its message waits for a receiver.
    Sending = 5,
    /// Its message was received; waits for the reply.
    AwaitingReply = 6,
}

impl State {
    fn from_raw(raw: u8) -> Self {
        match raw {
            0 => Self::Ready,
            1 => Self::Running,
            3 => Self::Receiving,
            4 => Self::Calling,
            5 => Self::Sending,
            6 => Self::AwaitingReply,
            _ => Self::Busy,
        }
    }
}

/// Why a thread left ring 3 and needs its task.
#[derive(Clone, Copy, Debug)]
pub enum Leave {
    /// A system call that can't be answered on the spot; number and arguments are in its registers.
    Syscall,
    /// An exception: vector, error code, and for page faults the address.
    Fault {
        /// Vector of the exception.
        vector: u8,
        /// Error code, or zero.
        error: u64,
        /// CR2 at a page fault, else zero.
        address: u64,
    },
}

/// A thread.
#[repr(C)]
pub struct Thread {
    /// First, so that hal's pointer to it is a pointer to the thread.
    user: UnsafeCell<UserThread>,
    /// Whom its messages come from.
    pub stamp: Sender,
    /// The core it lives on.
    pub home: CoreId,
    state: AtomicU8,
    /// Core that owns it while it is `AwaitingReply`.
    pub replier_core: Cell<CoreId>,
    /// The system call whose response SysLog still lacks.
    pub unanswered: Cell<Option<u8>>,
    /// Where the call that it is in stands in SysLog, if that may change authority.
    pub call: Cell<u64>,
    /// While it is `Receiving`, `Calling` or `Sending`: whether it stands in its endpoint's queue (its
    /// mail to a remote endpoint may still be under way).
    pub queued: Cell<bool>,
    /// Neighbours in the queue it stands in.
    pub links: Links,
    /// The endpoint it is queued at.
    pub endpoint: Cell<*const Endpoint>,
    /// The thread it owes a reply.
    pub caller: Cell<Option<ThreadRef>>,
    /// While `AwaitingReply`: the thread that owes it the reply.
    pub replier: Cell<Option<ThreadRef>>,
    /// Why it left ring 3.
    pub leave: Cell<Option<Leave>>,
    /// Next in a core's mail (see [`crate::ipc::mail`]).
    pub mail_next: AtomicPtr<Thread>,
    /// The remote endpoint it is posted to, kept alive until it is back. For its own task.
    pub visiting: Cell<Option<Arc<Endpoint>>>,
    waker: spin::Once<Waker>,
    /// Resolved when the thread is to die.
    pub death: super::exit::Event<()>,
    /// Its end, for those who join it.
    pub ending: Arc<Ending>,
    /// Its process.
    pub process: Arc<Process>,
    _fpu: fpu::Area,
}

/// What a capability to a thread names. It outlives the thread, whose record, task and FPU area are
/// far larger.
#[derive(Debug, Default)]
pub struct Ending {
    /// Resolved with its exit code once it has ended.
    pub code: super::exit::Event<i32>,
}

/// Neighbours in an intrusive queue.
#[derive(Debug, Default)]
pub struct Links {
    /// Towards the front.
    pub previous: Cell<Option<ThreadRef>>,
    /// Towards the back.
    pub next: Cell<Option<ThreadRef>>,
}

// SAFETY: the cells belong to the thread's owning core, which changes only with the release/acquire
// protocol of the module's head; everything else is atomic, immutable or synchronised in itself.
unsafe impl Sync for Thread {}
// SAFETY: nothing in it is tied to the core it was made on.
unsafe impl Send for Thread {}

impl core::fmt::Debug for Thread {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{}", self.process.name, self.stamp.thread())
    }
}

/// What a new thread begins with.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// Where it starts.
    pub entry: u64,
    /// Its stack pointer.
    pub stack: u64,
    /// What it finds in `rdi`.
    pub argument: u64,
    /// Its FS base.
    pub tls: u64,
}

impl Thread {
    /// A thread, ready to start. `None` without memory for its FPU state.
    pub fn new(process: Arc<Process>, id: u32, home: CoreId, start: Start) -> Option<Arc<Self>> {
        let fpu = fpu::Area::new()?;
        let user = UserThread::new(
            start.entry,
            start.stack,
            start.argument,
            start.tls,
            process.space.as_ptr(),
            fpu.as_ptr(),
        );
        Some(Arc::new(Self {
            user: UnsafeCell::new(user),
            stamp: Sender::new(process.id, id),
            home,
            state: AtomicU8::new(State::Ready as u8),
            replier_core: Cell::new(home),
            unanswered: Cell::new(None),
            call: Cell::new(0),
            queued: Cell::new(false),
            links: Links::default(),
            endpoint: Cell::new(core::ptr::null()),
            caller: Cell::new(None),
            replier: Cell::new(None),
            leave: Cell::new(None),
            mail_next: AtomicPtr::new(core::ptr::null_mut()),
            visiting: Cell::new(None),
            waker: spin::Once::new(),
            death: super::exit::Event::new(),
            ending: Arc::default(),
            process,
            _fpu: fpu,
        }))
    }

    /// What it does is the cause of.
    pub fn cause(&self) -> Cause {
        Cause::Call { core: self.home.0, sequence: self.call.get() }
    }

    /// Where it is in its life.
    #[inline(always)]
    pub fn state(&self) -> State {
        State::from_raw(self.state.load(Acquire))
    }

    /// Moves it on; whoever does so owns it.
    #[inline(always)]
    pub fn set_state(&self, state: State) {
        self.state.store(state as u8, Release);
    }

    /// Its saved registers. Owner only, and not while it is in ring 3; take one at a time.
    #[inline(always)]
    #[allow(
        clippy::mut_from_ref,
        reason = "an UnsafeCell accessor; the owner is one core, which is single-threaded here"
    )]
    pub fn registers(&self) -> &mut Registers {
        // SAFETY: only the owning core calls this (module head), outside of interrupt handlers, and
        // no caller keeps the reference across another call.
        unsafe { &mut (*self.user.get()).registers }
    }

    /// hal's view of it.
    #[inline(always)]
    pub fn user(&self) -> *mut UserThread {
        self.user.get()
    }

    /// Files the registers of an interrupt or exception from ring 3. Owner only.
    pub fn save_interrupted(&self, frame: &hal::x86_64::exceptions::TrapFrame) {
        // SAFETY: as for `registers`.
        unsafe { (*self.user.get()).save_interrupted(frame) }
    }

    /// Puts a system call's answer into its registers. Owner only.
    #[inline]
    pub fn answer(&self, rax: u64, rdx: u64) {
        let registers = self.registers();
        registers.rax = rax;
        registers.rdx = rdx;
        registers.rdi = 0;
        registers.rsi = 0;
        registers.r8 = 0;
        registers.r9 = 0;
        registers.r10 = 0;
        // SAFETY: as for `registers`.
        unsafe { (*self.user.get()).resume_by = ResumeBy::SysReturn };
    }

    /// Remembers whom to wake when it can go on. Its task, once.
    pub fn set_waker(&self, waker: &Waker) {
        self.waker.call_once(|| waker.clone());
    }

    /// Wakes its task.
    #[inline]
    pub fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// Gives it back to its home core, to go on in ring 3. From another core: between the two lines
    /// the thread may already have run and ended; its record is still there (module head).
    #[inline]
    pub fn make_ready(&self) {
        self.set_state(State::Ready);
        self.wake();
    }
}

/// A thread known to be alive: it is running, or stands in a queue or a reply link that its death
/// would first take it out of (module head).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ThreadRef(NonNull<Thread>);

impl ThreadRef {
    /// For as long as the thread is in the structure this reference is put into.
    #[inline(always)]
    pub fn of(thread: &Thread) -> Self {
        Self(NonNull::from(thread))
    }

    /// The thread whose stay or system call this core is in.
    #[inline(always)]
    pub fn current() -> Self {
        // SAFETY: in a stay the slot names the thread that `run` or a switch put there, alive until
        // its task ends, which can't happen during the stay. `UserThread` is the first field of
        // `Thread`.
        Self(unsafe { NonNull::new_unchecked(hal::x86_64::user::current().cast()) })
    }

    /// Counts it, for whoever may look at it after it has left every structure.
    pub fn counted(self) -> Arc<Thread> {
        let thread = self.0.as_ptr().cast_const();
        // SAFETY: the thread is alive (the type's promise), and `Thread::new` makes none outside of
        // an `Arc`.
        unsafe {
            Arc::increment_strong_count(thread);
            Arc::from_raw(thread)
        }
    }

    /// As the mail links it.
    pub fn as_ptr(self) -> *mut Thread {
        self.0.as_ptr()
    }

    /// From what the mail links.
    pub fn from_mail(thread: *mut Thread) -> Option<Self> {
        NonNull::new(thread).map(Self)
    }
}

impl core::ops::Deref for ThreadRef {
    type Target = Thread;

    #[inline(always)]
    fn deref(&self) -> &Thread {
        // SAFETY: the type's promise.
        unsafe { self.0.as_ref() }
    }
}

impl core::fmt::Debug for ThreadRef {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        (**self).fmt(f)
    }
}
