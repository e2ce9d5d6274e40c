//! Operations in flight: each has a slot that owns the pages of its buffer.
//!
//! ```text
//!   Free ──begin──> InFlight ──complete──> Done ──taken by its future──> Free
//!                      │ future dropped
//!                      └──> Orphaned ──complete──> Free, the pages with it
//! ```
//!
//! A tag is the slot's number and its generation, so a completion that came twice is recognised.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use super::Session;
use super::buffer::{Buffer, Pages};
use crate::block_ring::Status;

enum State {
    Free,
    InFlight { pages: Option<Pages>, waker: Option<Waker> },
    Orphaned { pages: Option<Pages> },
    Done { status: Status, pages: Option<Pages> },
}

struct Slot {
    generation: u32,
    state: State,
}

/// The slots of a session.
pub(super) struct Slots {
    slots: Vec<Slot>,
    free: Vec<usize>,
}

impl Slots {
    /// `count` free ones.
    pub fn new(count: usize) -> Self {
        let slot = || Slot { generation: 0, state: State::Free };
        Self {
            slots: core::iter::repeat_with(slot).take(count).collect(),
            free: (0..count).rev().collect(),
        }
    }

    /// Takes a free slot, of which there is one: its number and its tag.
    pub fn begin(&mut self, pages: Option<Pages>) -> (usize, u64) {
        let number = self.free.pop().expect("a permit stands for a free slot");
        let slot = &mut self.slots[number];
        slot.generation = slot.generation.wrapping_add(1);
        slot.state = State::InFlight { pages, waker: None };
        (number, u64::from(slot.generation) << 32 | number as u64)
    }

    fn release(&mut self, number: usize) -> State {
        self.free.push(number);
        mem::replace(&mut self.slots[number].state, State::Free)
    }

    /// The operation of `tag` has ended.
    pub fn complete(&mut self, tag: u64, status: Status) -> Completed {
        let (number, generation) = ((tag & 0xffff_ffff) as usize, (tag >> 32) as u32);
        let slot = self.slots.get_mut(number).filter(|slot| slot.generation == generation);
        let Some(slot) = slot else { return Completed::Unknown };
        match mem::replace(&mut slot.state, State::Free) {
            State::InFlight { pages, waker } => {
                slot.state = State::Done { status, pages };
                Completed::Awaited(waker)
            }
            State::Orphaned { pages } => {
                self.free.push(number);
                Completed::Orphan(pages)
            }
            other => {
                slot.state = other;
                Completed::Unknown
            }
        }
    }

    /// The service has ended the session: whatever is in flight has failed, and its pages stay with
    /// the device.
    pub fn fail_all(&mut self) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for slot in &mut self.slots {
            match mem::replace(&mut slot.state, State::Free) {
                State::InFlight { waker, .. } => {
                    wakers.extend(waker);
                    slot.state = State::Done { status: Status::Gone, pages: None };
                }
                State::Orphaned { .. } => {}
                other => slot.state = other,
            }
        }
        wakers
    }
}

/// What came of a completion.
pub(super) enum Completed {
    /// Its future is to be woken.
    Awaited(Option<Waker>),
    /// Nobody waited: slot and pages are free.
    Orphan(Option<Pages>),
    /// No operation has that tag.
    Unknown,
}

/// Waits for the operation of a slot.
pub(super) struct Pending<'a> {
    session: &'a Rc<Session>,
    slot: Option<usize>,
}

impl<'a> Pending<'a> {
    pub fn new(session: &'a Rc<Session>, slot: usize) -> Self {
        Self { session, slot: Some(slot) }
    }
}

impl Future for Pending<'_> {
    type Output = (Result<(), Status>, Option<Buffer>);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let number = self.slot.expect("polled after its end");
        let mut slots = self.session.slots.borrow_mut();
        if let State::InFlight { waker, .. } = &mut slots.slots[number].state {
            match waker {
                Some(waker) => waker.clone_from(context.waker()),
                None => *waker = Some(context.waker().clone()),
            }
            return Poll::Pending;
        }
        let ended = slots.release(number);
        drop(slots);
        self.slot = None;
        self.session.free.release(1);
        // The slot is this future's: nobody else changes it but to done.
        let State::Done { status, pages } = ended else {
            return Poll::Ready((Err(Status::Gone), None));
        };
        let result = if status == Status::Done { Ok(()) } else { Err(status) };
        Poll::Ready((result, pages.map(|pages| Buffer::of(self.session, pages))))
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let Some(number) = self.slot else { return };
        let mut slots = self.session.slots.borrow_mut();
        let state = &mut slots.slots[number].state;
        if let State::InFlight { pages, .. } = state {
            *state = State::Orphaned { pages: *pages };
            return;
        }
        let ended = slots.release(number);
        drop(slots);
        if let State::Done { pages: Some(pages), .. } = ended {
            self.session.give_back(pages);
        }
        self.session.free.release(1);
    }
}
