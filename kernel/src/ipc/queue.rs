//! A queue of threads, linked through themselves: nothing is allocated to wait in line.

use crate::process::thread::{Thread, ThreadRef};
use core::cell::Cell;

/// First in, first out. A thread stands in at most one queue.
#[derive(Debug, Default)]
pub struct Queue {
    front: Cell<Option<ThreadRef>>,
    back: Cell<Option<ThreadRef>>,
}

impl Queue {
    /// An empty queue.
    pub const fn new() -> Self {
        Self { front: Cell::new(None), back: Cell::new(None) }
    }

    /// The thread at the front.
    #[inline(always)]
    pub fn front(&self) -> Option<ThreadRef> {
        self.front.get()
    }

    /// Puts `thread` at the back. It must leave the queue before its record goes.
    #[inline]
    pub fn push(&self, thread: &Thread) {
        let thread = ThreadRef::of(thread);
        let back = self.back.replace(Some(thread));
        thread.links.previous.set(back);
        thread.links.next.set(None);
        match back {
            Some(back) => back.links.next.set(Some(thread)),
            None => self.front.set(Some(thread)),
        }
    }

    /// Takes `thread`, which stands in this queue, out of it.
    #[inline]
    pub fn remove(&self, thread: ThreadRef) {
        let previous = thread.links.previous.take();
        let next = thread.links.next.take();
        match previous {
            Some(previous) => previous.links.next.set(next),
            None => self.front.set(next),
        }
        match next {
            Some(next) => next.links.previous.set(previous),
            None => self.back.set(previous),
        }
    }

    /// Takes the front.
    #[inline(always)]
    pub fn pop(&self) -> Option<ThreadRef> {
        let front = self.front.get()?;
        let next = front.links.next.take();
        self.front.set(next);
        match next {
            Some(next) => next.links.previous.set(None),
            None => self.back.set(None),
        }
        Some(front)
    }
}
