//! Which slots are free, and who waits for one.
//!
//! First come, first served: a slot given back while somebody waits goes to the one who waited
//! longest, and nobody passes by. Free slots are used in turn, so that an id comes back as late as
//! possible.

use alloc::collections::VecDeque;
use core::task::Waker;

use super::lock::Lock;

pub(super) struct FreeList(Lock<Inner>);

struct Inner {
    free: VecDeque<u16>,
    waiting: VecDeque<Waiter>,
    next_ticket: u64,
}

struct Waiter {
    ticket: Ticket,
    waker: Option<Waker>,
    granted: Option<u16>,
}

/// A place in the line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(u64);

impl FreeList {
    pub(super) fn new(depth: u16) -> Self {
        let free = (0..depth).collect();
        Self(Lock::new(Inner { free, waiting: VecDeque::new(), next_ticket: 0 }))
    }

    pub(super) fn count(&self) -> usize {
        self.0.with(|inner| inner.free.len())
    }

    /// A slot, unless none is free or somebody waits for one.
    pub(super) fn take(&self) -> Option<u16> {
        self.0.with(|inner| if inner.waiting.is_empty() { inner.free.pop_front() } else { None })
    }

    /// Gives a slot back: to the one who waited longest, if anybody does.
    pub(super) fn give_back(&self, index: u16) {
        let waker = self.0.with(|inner| {
            match inner.waiting.iter_mut().find(|waiter| waiter.granted.is_none()) {
                Some(waiter) => {
                    waiter.granted = Some(index);
                    waiter.waker.take()
                }
                None => {
                    inner.free.push_back(index);
                    None
                }
            }
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes a slot or joins the line. `None` and a ticket: wait, then ask again with it.
    pub(super) fn wait(&self, ticket: &mut Option<Ticket>, waker: Waker) -> Option<u16> {
        let mut fresh = Some(waker);
        self.0.with(|inner| {
            let Some(held) = *ticket else {
                if inner.waiting.is_empty()
                    && let Some(index) = inner.free.pop_front()
                {
                    return Some(index);
                }
                let joined = Ticket(inner.next_ticket);
                inner.next_ticket += 1;
                let waker = fresh.take();
                inner.waiting.push_back(Waiter { ticket: joined, waker, granted: None });
                *ticket = Some(joined);
                return None;
            };
            let place = inner.waiting.iter().position(|waiter| waiter.ticket == held)?;
            if let Some(index) = inner.waiting[place].granted {
                inner.waiting.remove(place);
                *ticket = None;
                return Some(index);
            }
            core::mem::swap(&mut inner.waiting[place].waker, &mut fresh);
            None
        })
    }

    /// Leaves the line; what was already granted goes to the next.
    pub(super) fn leave(&self, ticket: Ticket) {
        let left = self.0.with(|inner| {
            let place = inner.waiting.iter().position(|waiter| waiter.ticket == ticket)?;
            inner.waiting.remove(place)
        });
        if let Some(index) = left.and_then(|waiter| waiter.granted) {
            self.give_back(index);
        }
    }
}
