//! The task that watches the rings for those who wait.
//!
//! ```text
//!   look at all sockets with somebody waiting ── one is due: wake it, again after a turn
//!      ^        └── nobody waits: until somebody does
//!      │        └── nothing yet: a few turns, then "asleep" in all of them, one more look
//!      └───────────────────────────── until the signal, somebody new who waits, or a moment
//! ```

use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

use executor::sync::Notify;

use super::socket::Socket;
use crate::abi::Error;
use crate::runtime::executor::{sleep, yield_now};
use crate::runtime::signal::Signal;

/// Turns without anything before it sleeps, while the service works on another core.
const PATIENCE: u32 = 200;
/// Nanoseconds it sleeps at first: while other tasks keep the executor from parking, signals are
/// not seen. Each time in vain it sleeps twice as long, at most [`LOOK_MAX_NS`].
const LOOK_NS: u64 = 1_000_000;
const LOOK_MAX_NS: u64 = 64_000_000;

/// The sockets there are, and the bell they share.
pub(super) struct Board {
    sockets: RefCell<Vec<Weak<Socket>>>,
    signal: Signal,
    /// Wakes the reactor.
    work: Notify,
    /// The service runs on this thread's core: looking again and again keeps it from running.
    same_core: Cell<bool>,
}

impl Board {
    /// Without sockets.
    pub fn new() -> Result<Self, Error> {
        Ok(Self {
            sockets: RefCell::new(Vec::new()),
            signal: Signal::new()?,
            work: Notify::new(),
            same_core: Cell::new(true),
        })
    }

    /// What the service signals.
    pub fn bits(&self) -> u64 {
        self.signal.bits()
    }

    /// The signal itself.
    pub fn signal(&self) -> &Signal {
        &self.signal
    }

    /// Which core this thread is on, and which the service.
    pub fn served_on(&self, own: u32, service: u64) {
        self.same_core.set(u64::from(own) == service);
    }

    /// A socket more.
    pub fn add(&self, socket: &Rc<Socket>) {
        let mut sockets = self.sockets.borrow_mut();
        sockets.retain(|other| other.strong_count() > 0);
        sockets.push(Rc::downgrade(socket));
    }

    /// Somebody has begun to wait at a socket.
    pub fn somebody_waits(&self) {
        self.work.notify();
    }

    /// The sockets with somebody waiting.
    fn waited_at(&self) -> Vec<Rc<Socket>> {
        let sockets = self.sockets.borrow();
        sockets.iter().filter_map(Weak::upgrade).filter(|socket| socket.is_waited_at()).collect()
    }
}

/// Carries on for ever; it is dropped with the last socket.
pub(super) async fn run(board: Rc<Board>) {
    let (mut in_vain, mut look_ns) = (0, LOOK_NS);
    loop {
        board.work.take();
        let waited_at = board.waited_at();
        let woken: usize = waited_at.iter().map(|socket| socket.wake_due()).sum();
        if woken > 0 {
            (in_vain, look_ns) = (0, LOOK_NS);
            drop(waited_at);
            yield_now().await;
            continue;
        }
        if waited_at.is_empty() {
            board.work.wait().await;
            continue;
        }
        in_vain += 1;
        let patience = if board.same_core.get() { 1 } else { PATIENCE };
        if in_vain < patience {
            drop(waited_at);
            yield_now().await;
            continue;
        }
        in_vain = 0;
        waited_at.iter().for_each(|socket| socket.fall_asleep());
        let due = waited_at.iter().any(|socket| socket.is_due());
        // A socket that is dropped meanwhile is not to be kept by this.
        let asleep: Vec<_> = waited_at.iter().map(Rc::downgrade).collect();
        drop(waited_at);
        if !due {
            match rest(&board, look_ns).await {
                Rested::Called => look_ns = LOOK_NS,
                Rested::InVain => look_ns = (look_ns * 2).min(LOOK_MAX_NS),
            }
        }
        asleep.iter().filter_map(Weak::upgrade).for_each(|socket| socket.wake_up());
    }
}

enum Rested {
    Called,
    InVain,
}

/// Until the service signals, somebody begins to wait, or a moment has passed.
async fn rest(board: &Board, moment_ns: u64) -> Rested {
    let mut moment = pin!(sleep(moment_ns));
    poll_fn(|context| {
        let signalled = board.signal.poll_wait(context).is_ready();
        let work = board.work.poll_wait(context).is_ready();
        let passed = moment.as_mut().poll(context).is_ready();
        match signalled || work {
            true => Poll::Ready(Rested::Called),
            false if passed => Poll::Ready(Rested::InVain),
            false => Poll::Pending,
        }
    })
    .await
}
