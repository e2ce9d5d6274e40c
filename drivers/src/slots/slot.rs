//! One slot: its states and the steps between them. Pure; the table locks around each step and does
//! what comes out of it (wake, reclaim, drop) after unlocking.
//!
//! A step touches only the fields it changes: what was lent lies still from the submission to the
//! end.

use core::task::Waker;

use hal::clock::Ticks;

/// See the diagram in the module's documentation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    Reserved,
    InFlight,
    GivenUp,
    Done,
    Orphaned,
}

pub(super) struct Slot<T, R> {
    generation: u16,
    state: State,
    /// While in flight.
    deadline: Ticks,
    /// From the submission until it is free.
    lent: Option<T>,
    /// Once given up or done.
    result: Option<R>,
    /// Who awaits it, while in flight.
    waker: Option<Waker>,
}

/// The command is not in flight.
pub(super) struct NotInFlight;

/// What to do after a command has ended.
pub(super) enum Ended<T> {
    /// Wake whoever waits.
    Wake(Option<Waker>),
    /// The slot is free; so is the memory.
    Free(Option<T>),
}

/// What a look at one's own command gives.
pub(super) enum Look<T, R> {
    /// Finished; the slot is free.
    Finished { lent: Option<T>, result: Option<R> },
    /// Ended without the memory, which stays in the slot.
    GivenUp(Option<R>),
    /// Not yet, and whoever is woken is the one who looks.
    Known,
    /// Not yet, and a waker is to be left.
    NotYet,
}

/// What to do after a future has gone away.
pub(super) enum Gone<T, R> {
    /// The slot is free; so is the memory.
    Free { lent: Option<T>, _result: Option<R> },
    /// The slot is an orphan now. Things to be dropped.
    Orphaned { _waker: Option<Waker>, _verdict: Option<R> },
    /// There was nothing to leave.
    Nothing,
}

impl<T, R> Slot<T, R> {
    pub(super) const fn new() -> Self {
        Self {
            generation: 0,
            state: State::Free,
            deadline: Ticks(0),
            lent: None,
            result: None,
            waker: None,
        }
    }

    pub(super) fn generation(&self) -> u16 {
        self.generation
    }

    /// Frees the slot; completions of its past use are stale from here on.
    #[inline(always)]
    fn retire(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.state = State::Free;
    }

    /// Free → Reserved. Gives the generation.
    #[inline(always)]
    pub(super) fn reserve(&mut self) -> u16 {
        self.state = State::Reserved;
        self.generation
    }

    /// Reserved → Free.
    pub(super) fn unreserve(&mut self) {
        self.retire();
    }

    /// Reserved → InFlight.
    #[inline(always)]
    pub(super) fn submit(&mut self, lent: T, deadline: Ticks) {
        self.lent = Some(lent);
        self.deadline = deadline;
        self.state = State::InFlight;
    }

    /// InFlight, GivenUp → Done; Orphaned → Free.
    #[inline(always)]
    pub(super) fn complete(&mut self, result: R) -> Result<Ended<T>, NotInFlight> {
        match self.state {
            State::InFlight => {
                self.result = Some(result);
                self.state = State::Done;
                Ok(Ended::Wake(self.waker.take()))
            }
            State::GivenUp => {
                // The caller was woken when it was given up, and keeps that verdict.
                self.state = State::Done;
                Ok(Ended::Wake(None))
            }
            State::Orphaned => {
                self.retire();
                Ok(Ended::Free(self.lent.take()))
            }
            State::Free | State::Reserved | State::Done => Err(NotInFlight),
        }
    }

    /// InFlight → GivenUp.
    pub(super) fn give_up(&mut self, verdict: R) -> Result<Option<Waker>, NotInFlight> {
        if self.state != State::InFlight {
            return Err(NotInFlight);
        }
        self.result = Some(verdict);
        self.state = State::GivenUp;
        Ok(self.waker.take())
    }

    /// Whether the device is still at it and its deadline has passed, whoever waits for it.
    pub(super) fn is_overdue(&self, now: Ticks) -> bool {
        self.is_lent() && self.deadline <= now
    }

    /// InFlight → GivenUp, if its deadline has passed.
    pub(super) fn give_up_overdue(
        &mut self,
        now: Ticks,
        verdict: impl FnOnce() -> R,
    ) -> Option<Waker> {
        if self.state != State::InFlight || self.deadline > now {
            return None;
        }
        self.give_up(verdict()).ok().flatten()
    }

    /// The deadline it was submitted with.
    pub(super) fn deadline(&self) -> Ticks {
        self.deadline
    }

    /// Whether a device may be using its memory.
    pub(super) fn is_lent(&self) -> bool {
        matches!(self.state, State::InFlight | State::GivenUp | State::Orphaned)
    }

    /// Done → Free, with what was lent and the result; `None`: it is something else.
    #[inline(always)]
    pub(super) fn finish(&mut self) -> Option<(Option<T>, Option<R>)> {
        if self.state != State::Done {
            return None;
        }
        self.retire();
        Some((self.lent.take(), self.result.take()))
    }

    /// Done → Free; GivenUp → Orphaned; otherwise says whether `waker` is what will be woken.
    #[inline(always)]
    pub(super) fn look(&mut self, waker: &Waker) -> Look<T, R> {
        match self.state {
            State::Done => {
                self.retire();
                Look::Finished { lent: self.lent.take(), result: self.result.take() }
            }
            State::GivenUp => {
                self.state = State::Orphaned;
                Look::GivenUp(self.result.take())
            }
            _ => match &self.waker {
                Some(known) if known.will_wake(waker) => Look::Known,
                _ => Look::NotYet,
            },
        }
    }

    /// Leaves a waker, in exchange for the one there was.
    #[inline(always)]
    pub(super) fn register(&mut self, waker: Waker) -> Option<Waker> {
        self.waker.replace(waker)
    }

    /// InFlight, GivenUp → Orphaned; Done → Free.
    pub(super) fn leave(&mut self) -> Gone<T, R> {
        match self.state {
            State::InFlight | State::GivenUp => {
                self.state = State::Orphaned;
                Gone::Orphaned { _waker: self.waker.take(), _verdict: self.result.take() }
            }
            State::Done => {
                self.retire();
                Gone::Free { lent: self.lent.take(), _result: self.result.take() }
            }
            State::Free | State::Reserved | State::Orphaned => Gone::Nothing,
        }
    }
}
