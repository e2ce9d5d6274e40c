//! The commands a queue has in flight, and the memory that belongs to each.
//!
//! An operation reserves a slot, lends its buffer to the device *through* the slot, and awaits the
//! result. While the device may use the buffer the slot owns it, not the future: dropping the
//! future orphans the slot, and the buffer is freed when the completion arrives.
//!
//! ```text
//!            reserve           submit              complete              awaited
//!   Free ──────────> Reserved ───────> InFlight ─────────────────> Done ───────> Free
//!     ^                 │ drop             │  │                     ^ │ drop       ^
//!     ├─────────────────┘                  │  │ give_up   complete  │ └────────────┤
//!     │                                    │  └──────> GivenUp ─────┘              │
//!     │                               drop │              │ awaited, or drop       │
//!     │                                    v              v                        │
//!     │                                 Orphaned <────────┘                        │
//!     └──────────────── complete ──────────┘                                       │
//!   reset (the device has stopped): InFlight, GivenUp ─> Done; Orphaned ─> Free ───┘
//! ```
//!
//! - *Reaper*: [`complete`](SlotTable::complete) with what the device posted. Ids carry a
//!   generation, so a stale or repeated completion is an error to log, not a corrupted command.
//! - *Timeout*: [`overdue`](SlotTable::overdue) names it; the driver aborts it with the device. If
//!   that takes long, [`give_up`](SlotTable::give_up) tells the caller at once and keeps the
//!   memory.
//! - *Reset*: once the queue has provably stopped, [`reset`](SlotTable::reset) gives everything
//!   back.
//! - A table dropped with commands in flight leaks their memory (`DmaLoan` says so).
//!
//! The table may be used from several cores. It has one lock, held for a few instructions, never
//! while waking, dropping or reclaiming; interrupt handlers never come here. A command that finds a
//! free slot and is awaited by one task takes it five times on its way.
//! Model-checked with loom: `RUSTFLAGS="--cfg loom" cargo test -p drivers --lib --release slots`.

mod free;
mod id;
mod lent;
mod lock;
#[cfg(all(test, loom))]
mod loom_tests;
mod operation;
mod slot;
#[cfg(all(test, not(loom)))]
mod tests;

use alloc::boxed::Box;
use core::task::Waker;

use hal::clock::Ticks;

use self::free::FreeList;
pub use self::id::CommandId;
use self::id::IdLayout;
pub use self::lent::Lent;
use self::lock::Lock;
pub use self::operation::{Finished, Reservation, Reserve, Submitted};
use self::slot::{Ended, NotInFlight, Slot};

/// A completion nothing waits for. Log it and go on; many of them mean the queue needs a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum StaleCompletion {
    /// The device named a slot that does not exist.
    #[error("{0} names no slot")]
    NoSuchSlot(CommandId),
    /// The slot has been used for something else since.
    #[error("{0} is from an earlier use of its slot")]
    OldGeneration(CommandId),
    /// The command was completed already, or never submitted.
    #[error("{0} is not in flight")]
    NotInFlight(CommandId),
}

/// What became of a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completed {
    /// Somebody awaits it, or will.
    Delivered,
    /// Its future is gone; the memory has been freed.
    Orphan,
}

/// The in-flight table of one queue: commands that lend `T` and end with `R`.
pub struct SlotTable<T: Lent, R> {
    state: Lock<State<T, R>>,
    layout: IdLayout,
}

struct State<T, R> {
    slots: Box<[Slot<T, R>]>,
    free: FreeList,
}

impl<T: Lent, R> SlotTable<T, R> {
    /// A table of `depth` slots whose command ids have `id_bits` bits (NVMe 16, AHCI tags 5). What
    /// the slot number leaves of them is the generation. A depth of 0 is taken for 1, and one that
    /// `id_bits` cannot number is cut.
    pub fn new(depth: u16, id_bits: u32) -> Self {
        let layout = IdLayout::new(depth, id_bits);
        let slots = layout.indices().map(|_| Slot::new()).collect();
        let free = FreeList::new(layout.depth());
        Self { state: Lock::new(State { slots, free }), layout }
    }

    /// How many commands it can hold.
    pub fn depth(&self) -> usize {
        usize::from(self.layout.depth())
    }

    /// How many slots are free.
    pub fn free(&self) -> usize {
        self.state.with(|state| state.free.count())
    }

    /// How many commands the device may still be at, orphans included.
    pub fn in_flight(&self) -> usize {
        self.state.with(|state| state.slots.iter().filter(|slot| slot.is_lent()).count())
    }

    /// A slot, if one is free and nobody waits for it.
    #[inline(always)]
    pub fn try_reserve(&self) -> Option<Reservation<'_, T, R>> {
        let (index, generation) = self.state.with(|state| {
            let index = state.free.take()?;
            Some((index, state.slot(index).reserve()))
        })?;
        Some(self.reservation(index, generation))
    }

    /// Reserves a slot and submits at once, and has `waker` woken when the command
    /// ends: its task need not look before. Tell the device after this.
    ///
    /// # Errors
    /// Hands back what was to be lent: no slot is free, or somebody waits for one.
    #[inline(always)]
    pub fn try_submit(
        &self,
        lent: T,
        deadline: Ticks,
        waker: Waker,
    ) -> Result<Submitted<'_, T, R>, (T, Waker)> {
        let mut state = self.state.lock();
        let Some(index) = state.free.take() else { return Err((lent, waker)) };
        let slot = state.slot(index);
        let generation = slot.reserve();
        slot.submit(lent, deadline);
        // A free slot has no waker: nothing is dropped here.
        let _none = slot.register(waker);
        drop(state);
        Ok(Submitted::awaited(self, index, self.layout.join(index, generation)))
    }

    fn reservation(&self, index: u16, generation: u16) -> Reservation<'_, T, R> {
        Reservation { table: self, index, id: self.layout.join(index, generation) }
    }

    /// Waits for a slot; first come, first served.
    pub fn reserve(&self) -> Reserve<'_, T, R> {
        Reserve { table: self, ticket: None }
    }

    /// The device has finished command `id`.
    #[inline(always)]
    pub fn complete(&self, id: CommandId, result: R) -> Result<Completed, StaleCompletion> {
        let (index, generation) = self.layout.split(id).ok_or(StaleCompletion::NoSuchSlot(id))?;
        let mut state = self.state.lock();
        if self.layout.generation(state.slot(index).generation()) != generation {
            return Err(StaleCompletion::OldGeneration(id));
        }
        let ended = state.complete(index, result);
        drop(state);
        let (ended, next) = ended.map_err(|NotInFlight| StaleCompletion::NotInFlight(id))?;
        Ok(settle(ended, next))
    }

    /// Ends command `id` for its caller with `verdict`, while the device may still be at it: the
    /// memory stays with the slot until the device completes it or [`reset`](Self::reset) is
    /// called.
    pub fn give_up(&self, id: CommandId, verdict: R) -> Result<(), StaleCompletion> {
        let waker = self.step(id, |state, index| state.slot(index).give_up(verdict))?;
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// The device has stopped and uses none of this memory any more. Everyone still waiting gets
    /// `verdict` and the memory back; orphans are freed.
    pub fn reset(&self, mut verdict: impl FnMut() -> R) {
        self.reset_each(|_| verdict());
    }

    /// As [`reset`](Self::reset), with a verdict by the command's deadline.
    pub fn reset_each(&self, mut verdict: impl FnMut(Ticks) -> R) {
        for index in self.layout.indices() {
            let ended = self.state.with(|state| {
                let verdict = verdict(state.slot(index).deadline());
                state.complete(index, verdict)
            });
            if let Ok((ended, next)) = ended {
                settle(ended, next);
            }
        }
    }

    /// As [`give_up`](Self::give_up), for every command whose deadline has passed.
    pub fn give_up_overdue(&self, now: Ticks, mut verdict: impl FnMut() -> R) {
        for index in self.layout.indices() {
            let waker =
                self.state.with(|state| state.slot(index).give_up_overdue(now, &mut verdict));
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// A command whose deadline has passed and that the device is still at, if there is one:
    /// orphans and those given up too, whose slots and memory only the device, or a reset, gives
    /// back.
    pub fn overdue(&self, now: Ticks) -> Option<CommandId> {
        self.state.with(|state| {
            let slots = self.layout.indices().zip(&state.slots);
            let mut overdue = slots.filter(|(_, slot)| slot.is_overdue(now));
            overdue.next().map(|(index, slot)| self.layout.join(index, slot.generation()))
        })
    }

    /// Takes a step with the slot that `id` names, if it is still the same command's.
    fn step<X>(
        &self,
        id: CommandId,
        step: impl FnOnce(&mut State<T, R>, u16) -> Result<X, NotInFlight>,
    ) -> Result<X, StaleCompletion> {
        let (index, generation) = self.layout.split(id).ok_or(StaleCompletion::NoSuchSlot(id))?;
        self.state.with(|state| {
            if self.layout.generation(state.slot(index).generation()) != generation {
                return Err(StaleCompletion::OldGeneration(id));
            }
            step(state, index).map_err(|NotInFlight| StaleCompletion::NotInFlight(id))
        })
    }
}

impl<T, R> State<T, R> {
    #[inline(always)]
    fn slot(&mut self, index: u16) -> &mut Slot<T, R> {
        &mut self.slots[usize::from(index)]
    }

    /// Completes a slot's command. Whoever is then to have the slot is to be woken.
    #[inline(always)]
    fn complete(
        &mut self,
        index: u16,
        result: R,
    ) -> Result<(Ended<T>, Option<Waker>), NotInFlight> {
        let ended = self.slot(index).complete(result)?;
        let next = match ended {
            Ended::Free(_) => self.free.give_back(index),
            Ended::Wake(_) => None,
        };
        Ok((ended, next))
    }
}

/// Wakes and frees, after unlocking.
#[inline(always)]
fn settle<T: Lent>(ended: Ended<T>, next: Option<Waker>) -> Completed {
    match ended {
        Ended::Wake(waker) => {
            waker.into_iter().for_each(Waker::wake);
            Completed::Delivered
        }
        Ended::Free(lent) => {
            drop(lent.map(Lent::reclaim));
            next.into_iter().for_each(Waker::wake);
            Completed::Orphan
        }
    }
}
