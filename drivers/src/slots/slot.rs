//! One slot: its states and the steps between them. Pure; the table locks around each step and does
//! what comes out of it (wake, reclaim, drop) after unlocking.

use core::task::Waker;

use hal::clock::Ticks;

/// See the diagram in the module's documentation.
enum State<T, R> {
    Free,
    Reserved,
    InFlight { lent: T, deadline: Ticks, waker: Option<Waker> },
    GivenUp { lent: T, verdict: R },
    Done { lent: T, result: R },
    Orphaned { lent: T },
}

pub(super) struct Slot<T, R> {
    generation: u16,
    state: State<T, R>,
}

/// The command is not in flight.
pub(super) struct NotInFlight;

/// What to do after a command has ended.
pub(super) enum Ended<T> {
    /// Wake whoever waits.
    Wake(Option<Waker>),
    /// The slot is free; so is the memory.
    Free(T),
}

/// What a look at one's own command gives.
pub(super) enum Look<T, R> {
    /// Finished; the slot is free.
    Finished { lent: T, result: R },
    /// Ended without the memory, which stays in the slot.
    GivenUp(R),
    /// Not yet. A waker there was no use for, to be dropped.
    NotYet { _unused: Option<Waker> },
}

/// What to do after a future has gone away.
pub(super) enum Gone<T, R> {
    /// The slot is free; so is the memory.
    Free { lent: T, _result: R },
    /// The slot is an orphan now. Things to be dropped.
    Orphaned { _waker: Option<Waker>, _verdict: Option<R> },
}

impl<T, R> Slot<T, R> {
    pub(super) const fn new() -> Self {
        Self { generation: 0, state: State::Free }
    }

    pub(super) fn generation(&self) -> u16 {
        self.generation
    }

    fn take(&mut self) -> State<T, R> {
        core::mem::replace(&mut self.state, State::Free)
    }

    /// Frees the slot; completions of its past use are stale from here on.
    fn retire(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.state = State::Free;
    }

    /// Free → Reserved. Gives the generation.
    pub(super) fn reserve(&mut self) -> u16 {
        self.state = State::Reserved;
        self.generation
    }

    /// Reserved → Free.
    pub(super) fn unreserve(&mut self) {
        self.retire();
    }

    /// Reserved → InFlight.
    pub(super) fn submit(&mut self, lent: T, deadline: Ticks) {
        self.state = State::InFlight { lent, deadline, waker: None };
    }

    /// InFlight, GivenUp → Done; Orphaned → Free.
    pub(super) fn complete(&mut self, result: R) -> Result<Ended<T>, NotInFlight> {
        match self.take() {
            State::InFlight { lent, waker, .. } => {
                self.state = State::Done { lent, result };
                Ok(Ended::Wake(waker))
            }
            State::GivenUp { lent, verdict } => {
                // The caller was woken when it was given up, and may keep that verdict.
                self.state = State::Done { lent, result: verdict };
                Ok(Ended::Wake(None))
            }
            State::Orphaned { lent } => {
                self.retire();
                Ok(Ended::Free(lent))
            }
            other => {
                self.state = other;
                Err(NotInFlight)
            }
        }
    }

    /// InFlight → GivenUp.
    pub(super) fn give_up(&mut self, verdict: R) -> Result<Option<Waker>, NotInFlight> {
        match self.take() {
            State::InFlight { lent, waker, .. } => {
                self.state = State::GivenUp { lent, verdict };
                Ok(waker)
            }
            other => {
                self.state = other;
                Err(NotInFlight)
            }
        }
    }

    /// Whether it is in flight and its deadline has passed.
    pub(super) fn is_overdue(&self, now: Ticks) -> bool {
        matches!(self.state, State::InFlight { deadline, .. } if deadline <= now)
    }

    /// Its deadline; long past if it is not in flight.
    pub(super) fn deadline(&self) -> Ticks {
        match self.state {
            State::InFlight { deadline, .. } => deadline,
            _ => Ticks(0),
        }
    }

    /// Whether a device may be using its memory.
    pub(super) fn is_lent(&self) -> bool {
        matches!(
            self.state,
            State::InFlight { .. } | State::GivenUp { .. } | State::Orphaned { .. }
        )
    }

    /// Done → Free; GivenUp → Orphaned; otherwise remembers the waker.
    pub(super) fn look(&mut self, fresh: Waker) -> Look<T, R> {
        match self.take() {
            State::Done { lent, result } => {
                self.retire();
                Look::Finished { lent, result }
            }
            State::GivenUp { lent, verdict } => {
                self.state = State::Orphaned { lent };
                Look::GivenUp(verdict)
            }
            State::InFlight { lent, deadline, waker } => {
                self.state = State::InFlight { lent, deadline, waker: Some(fresh) };
                Look::NotYet { _unused: waker }
            }
            other => {
                self.state = other;
                Look::NotYet { _unused: Some(fresh) }
            }
        }
    }

    /// InFlight, GivenUp → Orphaned; Done → Free. `None`: there was nothing to leave.
    pub(super) fn leave(&mut self) -> Option<Gone<T, R>> {
        match self.take() {
            State::InFlight { lent, waker, .. } => {
                self.state = State::Orphaned { lent };
                Some(Gone::Orphaned { _waker: waker, _verdict: None })
            }
            State::GivenUp { lent, verdict } => {
                self.state = State::Orphaned { lent };
                Some(Gone::Orphaned { _waker: None, _verdict: Some(verdict) })
            }
            State::Done { lent, result } => {
                self.retire();
                Some(Gone::Free { lent, _result: result })
            }
            other => {
                self.state = other;
                None
            }
        }
    }
}
