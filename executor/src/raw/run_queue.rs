//! The owner's run queues: one FIFO of woken tasks per priority, linked through the headers.
//!
//! Each class has two lists. `now` is what this turn polls. A task that woke *itself* during its
//! poll (a yield, a polled completion queue) goes to `later` and is seen in the next turn, so that
//! it cannot take the turn's whole share of its class.

use core::cell::Cell;

use super::task::TaskRef;
use crate::platform::{Platform, Priority};

struct Fifo<P: Platform> {
    head: Cell<Option<TaskRef<P>>>,
    tail: Cell<Option<TaskRef<P>>>,
}

impl<P: Platform> Fifo<P> {
    const fn new() -> Self {
        Self { head: Cell::new(None), tail: Cell::new(None) }
    }

    #[inline(always)]
    fn push(&self, task: TaskRef<P>) {
        task.header().next.set(None);
        match self.tail.replace(Some(task)) {
            Some(tail) => tail.header().next.set(Some(task)),
            None => self.head.set(Some(task)),
        }
    }

    #[inline(always)]
    fn pop(&self) -> Option<TaskRef<P>> {
        let task = self.head.get()?;
        let next = task.header().next.get();
        self.head.set(next);
        if next.is_none() {
            self.tail.set(None);
        }
        Some(task)
    }

    /// Moves all of `other` behind our own.
    fn append(&self, other: &Self) {
        let Some(first) = other.head.take() else { return };
        let last = other.tail.take();
        match self.tail.replace(last) {
            Some(tail) => tail.header().next.set(Some(first)),
            None => self.head.set(Some(first)),
        }
    }
}

/// What each class may still poll in this turn.
pub(crate) struct Credits([u32; Priority::COUNT]);

impl Credits {
    /// High goes first, but Normal and Low always get something.
    pub(crate) const TURN: Self = Self([64, 32, 4]);
}

/// All queues of a core. Every method: on the owner core only.
pub(crate) struct RunQueues<P: Platform> {
    now: [Fifo<P>; Priority::COUNT],
    later: [Fifo<P>; Priority::COUNT],
}

impl<P: Platform> RunQueues<P> {
    pub(crate) const fn new() -> Self {
        Self { now: [const { Fifo::new() }; 3], later: [const { Fifo::new() }; 3] }
    }

    /// Queues a task for this turn. It is in no queue yet.
    #[inline(always)]
    pub(crate) fn push(&self, task: TaskRef<P>) {
        self.now[task.header().priority as usize].push(task);
    }

    /// Queues a task for the next turn. It is in no queue yet.
    pub(crate) fn push_later(&self, task: TaskRef<P>) {
        self.later[task.header().priority as usize].push(task);
    }

    /// A turn begins: `later` becomes part of `now`.
    #[inline]
    pub(crate) fn begin_turn(&self) {
        for (now, later) in self.now.iter().zip(&self.later) {
            now.append(later);
        }
    }

    /// The most urgent task whose class has credit left.
    #[inline(always)]
    pub(crate) fn pop(&self, credits: &mut Credits) -> Option<TaskRef<P>> {
        for (queue, credit) in self.now.iter().zip(&mut credits.0) {
            if *credit > 0
                && let Some(task) = queue.pop()
            {
                *credit -= 1;
                return Some(task);
            }
        }
        None
    }

    /// Whether nothing is queued.
    pub(crate) fn is_empty(&self) -> bool {
        self.now.iter().chain(&self.later).all(|queue| queue.head.get().is_none())
    }
}
