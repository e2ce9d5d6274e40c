//! A counting semaphore for tasks on any core, first come first served.
//!
//! The state is behind a spin lock held for a few instructions, never across a wake. Permits that
//! are released go to the longest waiter, who keeps its place until it has all it asked for; a
//! waiter that goes away gives back what it was granted. Closing wakes everybody.

use alloc::{collections::VecDeque, vec::Vec};
use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use spin::mutex::SpinMutex;

/// The other end is gone, or the primitive was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl core::fmt::Display for Closed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("closed")
    }
}

impl core::error::Error for Closed {}

struct Waiter {
    ticket: u64,
    missing: usize,
    waker: Waker,
}

struct State {
    permits: usize,
    tickets: u64,
    closed: bool,
    waiters: VecDeque<Waiter>,
    /// Tickets that got all their permits and have not looked yet.
    granted: Vec<u64>,
}

/// The semaphore.
pub struct Semaphore {
    state: SpinMutex<State>,
}

impl Semaphore {
    /// A semaphore with `permits` free.
    #[must_use]
    pub const fn new(permits: usize) -> Self {
        Self {
            state: SpinMutex::new(State {
                permits,
                tickets: 0,
                closed: false,
                waiters: VecDeque::new(),
                granted: Vec::new(),
            }),
        }
    }

    /// Takes `count` permits if they are free and nobody waits.
    pub fn try_acquire(&self, count: usize) -> Option<Permit<'_>> {
        let mut state = self.state.lock();
        if state.closed || !state.waiters.is_empty() || state.permits < count {
            return None;
        }
        state.permits -= count;
        Some(Permit { semaphore: self, count })
    }

    /// Waits for `count` permits.
    pub fn acquire(&self, count: usize) -> Acquire<'_> {
        Acquire { semaphore: self, count, ticket: None }
    }

    /// Adds `count` permits.
    pub fn release(&self, count: usize) {
        let mut free = count;
        while free > 0 {
            let mut state = self.state.lock();
            let Some(first) = state.waiters.front_mut() else {
                state.permits += free;
                return;
            };
            let give = first.missing.min(free);
            first.missing -= give;
            free -= give;
            if first.missing > 0 {
                return;
            }
            let Some(done) = state.waiters.pop_front() else { return };
            state.granted.push(done.ticket);
            drop(state);
            done.waker.wake();
        }
    }

    /// Lets nobody acquire any more; those who wait get [`Closed`].
    pub fn close(&self) {
        let waiters = {
            let mut state = self.state.lock();
            state.closed = true;
            core::mem::take(&mut state.waiters)
        };
        for waiter in waiters {
            waiter.waker.wake();
        }
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Free permits.
    pub fn available(&self) -> usize {
        self.state.lock().permits
    }
}

/// Permits held; dropping gives them back.
#[must_use = "dropping gives the permits back"]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
    count: usize,
}

impl Permit<'_> {
    /// Keeps the permits for good (or until [`Semaphore::release`]).
    pub fn forget(mut self) {
        self.count = 0;
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.semaphore.release(self.count);
    }
}

/// See [`Semaphore::acquire`].
#[must_use = "futures do nothing unless awaited"]
pub struct Acquire<'a> {
    semaphore: &'a Semaphore,
    count: usize,
    ticket: Option<u64>,
}

impl<'a> Future for Acquire<'a> {
    type Output = Result<Permit<'a>, Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let permit = Permit { semaphore: self.semaphore, count: self.count };
        let Some(ticket) = self.ticket else {
            // Cloned before the lock: a foreign waker may do anything.
            let waker = cx.waker().clone();
            let mut state = self.semaphore.state.lock();
            if state.closed {
                permit.forget();
                return Poll::Ready(Err(Closed));
            }
            let take = if state.waiters.is_empty() { state.permits.min(self.count) } else { 0 };
            state.permits -= take;
            if take == self.count {
                return Poll::Ready(Ok(permit));
            }
            let ticket = state.tickets;
            state.tickets += 1;
            let missing = self.count - take;
            state.waiters.push_back(Waiter { ticket, missing, waker });
            drop(state);
            permit.forget();
            self.ticket = Some(ticket);
            return Poll::Pending;
        };
        let mut state = self.semaphore.state.lock();
        if let Some(at) = state.granted.iter().position(|granted| *granted == ticket) {
            state.granted.swap_remove(at);
            drop(state);
            self.ticket = None;
            return Poll::Ready(Ok(permit));
        }
        let waiter = state.waiters.iter_mut().find(|waiter| waiter.ticket == ticket);
        let result = match waiter {
            Some(waiter) => {
                let old = (!waiter.waker.will_wake(cx.waker()))
                    .then(|| core::mem::replace(&mut waiter.waker, cx.waker().clone()));
                drop(state);
                drop(old);
                Poll::Pending
            }
            None => {
                drop(state);
                self.ticket = None;
                Poll::Ready(Err(Closed))
            }
        };
        permit.forget();
        result
    }
}

impl Drop for Acquire<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let mut state = self.semaphore.state.lock();
        let mut back = 0;
        let mut waker = None;
        if let Some(at) = state.granted.iter().position(|granted| *granted == ticket) {
            state.granted.swap_remove(at);
            back = self.count;
        } else if let Some(at) = state.waiters.iter().position(|waiter| waiter.ticket == ticket)
            && let Some(waiter) = state.waiters.remove(at)
        {
            back = self.count - waiter.missing;
            waker = Some(waiter.waker);
        }
        drop(state);
        drop(waker);
        self.semaphore.release(back);
    }
}
