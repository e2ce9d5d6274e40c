//! Which slots are free, and who waits for one. Part of the table's state, under its lock.
//!
//! First come, first served: a slot given back while somebody waits goes to the one who waited
//! longest, and nobody passes by. Free slots are used in turn, so that an id comes back as late as
//! possible. They are a list through the slots themselves: taking one and giving it back are a few
//! stores.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::task::Waker;

/// No slot.
const NONE: u16 = u16::MAX;

pub(super) struct FreeList {
    /// By slot, the free one after it.
    next: Box<[u16]>,
    first: u16,
    last: u16,
    count: u16,
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
    /// All of `depth` slots, at most 2^15.
    pub(super) fn new(depth: u16) -> Self {
        Self {
            next: (1..depth).chain([NONE]).collect(),
            first: 0,
            last: depth - 1,
            count: depth,
            waiting: VecDeque::new(),
            next_ticket: 0,
        }
    }

    pub(super) fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// A slot, unless none is free or somebody waits for one.
    #[inline(always)]
    pub(super) fn take(&mut self) -> Option<u16> {
        if self.waiting.is_empty() { self.pop() } else { None }
    }

    #[inline(always)]
    fn pop(&mut self) -> Option<u16> {
        let index = self.first;
        self.first = *self.next.get(usize::from(index))?;
        self.count -= 1;
        Some(index)
    }

    /// Gives a slot back: to the one who waited longest, if anybody does; that one is to be woken.
    #[inline(always)]
    #[must_use]
    pub(super) fn give_back(&mut self, index: u16) -> Option<Waker> {
        if self.waiting.is_empty() {
            self.push(index);
            return None;
        }
        self.grant(index)
    }

    #[cold]
    #[inline(never)]
    fn grant(&mut self, index: u16) -> Option<Waker> {
        match self.waiting.iter_mut().find(|waiter| waiter.granted.is_none()) {
            Some(waiter) => {
                waiter.granted = Some(index);
                waiter.waker.take()
            }
            None => {
                self.push(index);
                None
            }
        }
    }

    #[inline(always)]
    fn push(&mut self, index: u16) {
        if self.first == NONE {
            self.first = index;
        } else {
            self.next[usize::from(self.last)] = index;
        }
        self.next[usize::from(index)] = NONE;
        self.last = index;
        self.count += 1;
    }

    /// Takes a slot or joins the line. `None` and a ticket: wait, then ask again with it. What is
    /// left in `waker` is to be dropped.
    pub(super) fn wait(
        &mut self,
        ticket: &mut Option<Ticket>,
        waker: &mut Option<Waker>,
    ) -> Option<u16> {
        let Some(held) = *ticket else {
            // Who has been granted a slot and has not fetched it is passed by nobody.
            if self.waiting.iter().all(|waiter| waiter.granted.is_some())
                && let Some(index) = self.pop()
            {
                return Some(index);
            }
            let joined = Ticket(self.next_ticket);
            self.next_ticket += 1;
            self.waiting.push_back(Waiter { ticket: joined, waker: waker.take(), granted: None });
            *ticket = Some(joined);
            return None;
        };
        let place = self.waiting.iter().position(|waiter| waiter.ticket == held)?;
        if let Some(index) = self.waiting[place].granted {
            self.waiting.remove(place);
            *ticket = None;
            return Some(index);
        }
        core::mem::swap(&mut self.waiting[place].waker, waker);
        None
    }

    /// Leaves the line; what was already granted goes to the next, who is to be woken. The other
    /// waker is to be dropped.
    pub(super) fn leave(&mut self, ticket: Ticket) -> (Option<Waker>, Option<Waker>) {
        let place = self.waiting.iter().position(|waiter| waiter.ticket == ticket);
        let Some(left) = place.and_then(|place| self.waiting.remove(place)) else {
            return (None, None);
        };
        (left.granted.and_then(|index| self.give_back(index)), left.waker)
    }
}
