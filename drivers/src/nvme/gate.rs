//! Whether a queue takes commands: submitters wait here while it is being reset.
//!
//! ```text
//!   Paused ──open──> Open ──pause──> Paused
//!      └───────close───┴──> Gone, for good
//! ```

use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::{Poll, Waker};

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
    waiting: Vec<Waker>,
}

impl Gate {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Inner { passage: Passage::Paused, waiting: Vec::new() }))
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
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Waits until it is no longer `passage`.
    pub(super) async fn leaves(&self, passage: Passage) {
        poll_fn(|context| {
            let mut fresh = Some(context.waker().clone());
            let mut inner = self.0.lock();
            if inner.passage != passage {
                return Poll::Ready(());
            }
            if !inner.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                inner.waiting.extend(fresh.take());
            }
            drop(inner);
            Poll::Pending
        })
        .await;
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
