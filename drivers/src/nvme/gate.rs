//! Whether a queue takes commands: submitters wait here while it is being reset.
//!
//! ```text
//!   Paused ──open──> Open ──pause──> Paused
//!      └───────close───┴──> Gone, for good
//! ```
//!
//! Whoever stops waiting takes its waker along: a gate may stay as it is for ever, while those who
//! look at it come and go.

use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};

use spin::Mutex;

/// Whether commands are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// Not now: it has not begun, or is being reset.
    Paused,
    /// Yes.
    Open,
    /// No, and never again.
    Gone,
}

pub(super) struct Gate(Mutex<Inner>);

struct Inner {
    passage: Passage,
    waiting: Vec<(Ticket, Waker)>,
    next_ticket: u64,
}

/// Whose waker it is.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Ticket(u64);

/// A place among those who wait; given up however the wait ends.
struct Place<'a> {
    gate: &'a Gate,
    ticket: Option<Ticket>,
}

impl Gate {
    pub(super) const fn new() -> Self {
        let passage = Passage::Paused;
        Self(Mutex::new(Inner { passage, waiting: Vec::new(), next_ticket: 0 }))
    }

    /// Changes the passage and wakes everybody.
    pub(super) fn set(&self, passage: Passage) {
        let waiting = {
            let mut inner = self.0.lock();
            if inner.passage != Passage::Gone {
                inner.passage = passage;
            }
            core::mem::take(&mut inner.waiting)
        };
        waiting.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Waits until it is no longer `passage`.
    pub(super) async fn leaves(&self, passage: Passage) {
        let mut place = Place { gate: self, ticket: None };
        poll_fn(|context| place.poll(passage, context)).await;
    }

    /// Waits until it is gone.
    pub(super) async fn closes(&self) {
        self.leaves(Passage::Paused).await;
        loop {
            let passage = self.0.lock().passage;
            if passage == Passage::Gone {
                return;
            }
            self.leaves(passage).await;
        }
    }
}

impl Place<'_> {
    fn poll(&mut self, passage: Passage, context: &mut Context<'_>) -> Poll<()> {
        let fresh = context.waker().clone();
        let mut inner = self.gate.0.lock();
        if inner.passage != passage {
            return Poll::Ready(());
        }
        let Inner { waiting, next_ticket, .. } = &mut *inner;
        let ticket = *self.ticket.get_or_insert_with(|| {
            *next_ticket += 1;
            Ticket(*next_ticket)
        });
        let before = match waiting.iter_mut().find(|(other, _)| *other == ticket) {
            Some((_, waker)) => Some(core::mem::replace(waker, fresh)),
            None => {
                waiting.push((ticket, fresh));
                None
            }
        };
        drop(inner);
        drop(before);
        Poll::Pending
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let left = {
            let waiting = &mut self.gate.0.lock().waiting;
            let place = waiting.iter().position(|(other, _)| *other == ticket);
            place.map(|place| waiting.swap_remove(place))
        };
        // Out of the lock.
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::pin::pin;
    use std::sync::Arc;
    use std::task::Wake;

    struct Waiter;

    impl Wake for Waiter {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn who_stops_waiting_leaves_no_waker() {
        let gate = Gate::new();
        gate.set(Passage::Open);
        let waiter = Arc::new(Waiter);
        for _ in 0..3 {
            let waker = Waker::from(waiter.clone());
            let mut wait = pin!(gate.closes());
            let mut context = Context::from_waker(&waker);
            assert!(wait.as_mut().poll(&mut context).is_pending());
            assert!(wait.as_mut().poll(&mut context).is_pending());
        }
        assert_eq!(Arc::strong_count(&waiter), 1);
    }

    #[test]
    fn who_waits_is_woken_and_sees_it() {
        let gate = Gate::new();
        let waker = Waker::from(Arc::new(Waiter));
        let mut context = Context::from_waker(&waker);
        let (mut open, mut gone) = (pin!(gate.leaves(Passage::Paused)), pin!(gate.closes()));
        assert!(open.as_mut().poll(&mut context).is_pending());
        assert!(gone.as_mut().poll(&mut context).is_pending());
        gate.set(Passage::Open);
        assert!(open.as_mut().poll(&mut context).is_ready());
        assert!(gone.as_mut().poll(&mut context).is_pending());
        gate.set(Passage::Gone);
        gate.set(Passage::Open);
        assert!(gone.as_mut().poll(&mut context).is_ready());
    }
}
