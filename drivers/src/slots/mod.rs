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
//! The table may be used from several cores. Each slot has its own lock, held for a few
//! instructions, never while waking, dropping or reclaiming; interrupt handlers never come here.
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
pub use self::lent::{Lent, Untold};
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
    slots: Box<[Lock<Slot<T, R>>]>,
    free: FreeList,
    layout: IdLayout,
}

impl<T: Lent, R> SlotTable<T, R> {
    /// A table of `depth` slots whose command ids have `id_bits` bits (NVMe 16, AHCI tags 5). What
    /// the slot number leaves of them is the generation. A depth of 0 is taken for 1, and one that
    /// `id_bits` cannot number is cut.
    pub fn new(depth: u16, id_bits: u32) -> Self {
        let layout = IdLayout::new(depth, id_bits);
        Self {
            slots: layout.indices().map(|_| Lock::new(Slot::new())).collect(),
            free: FreeList::new(layout.depth()),
            layout,
        }
    }

    /// How many commands it can hold.
    pub fn depth(&self) -> usize {
        usize::from(self.layout.depth())
    }

    /// How many slots are free.
    pub fn free(&self) -> usize {
        self.free.count()
    }

    /// How many commands the device may still be at, orphans included.
    pub fn in_flight(&self) -> usize {
        self.slots.iter().filter(|slot| slot.with(|slot| slot.is_lent())).count()
    }

    /// A slot, if one is free and nobody waits for it.
    pub fn try_reserve(&self) -> Option<Reservation<'_, T, R>> {
        self.free.take().map(|index| self.reserved(index))
    }

    /// Waits for a slot; first come, first served.
    pub fn reserve(&self) -> Reserve<'_, T, R> {
        Reserve { table: self, ticket: None }
    }

    /// The device has finished command `id`.
    pub fn complete(&self, id: CommandId, result: R) -> Result<Completed, StaleCompletion> {
        let (index, ended) = self.step(id, |slot| slot.complete(result))?;
        Ok(self.settle(index, ended))
    }

    /// Ends command `id` for its caller with `verdict`, while the device may still be at it: the
    /// memory stays with the slot until the device completes it or [`reset`](Self::reset) is
    /// called.
    pub fn give_up(&self, id: CommandId, verdict: R) -> Result<(), StaleCompletion> {
        let (_, waker) = self.step(id, |slot| slot.give_up(verdict))?;
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
        for (index, slot) in self.layout.indices().zip(&self.slots) {
            if let Ok(ended) = slot.with(|slot| slot.complete(verdict(slot.deadline()))) {
                self.settle(index, ended);
            }
        }
    }

    /// A command whose deadline has passed, if there is one.
    pub fn overdue(&self, now: Ticks) -> Option<CommandId> {
        self.layout.indices().zip(&self.slots).find_map(|(index, slot)| {
            slot.with(|slot| {
                slot.is_overdue(now).then(|| self.layout.join(index, slot.generation()))
            })
        })
    }

    fn slot(&self, index: u16) -> &Lock<Slot<T, R>> {
        &self.slots[usize::from(index)]
    }

    fn reserved(&self, index: u16) -> Reservation<'_, T, R> {
        let generation = self.slot(index).with(Slot::reserve);
        Reservation { table: self, index, id: self.layout.join(index, generation) }
    }

    /// Takes a step with the slot that `id` names, if it is still the same command's.
    fn step<X>(
        &self,
        id: CommandId,
        step: impl FnOnce(&mut Slot<T, R>) -> Result<X, NotInFlight>,
    ) -> Result<(u16, X), StaleCompletion> {
        let (index, generation) = self.layout.split(id).ok_or(StaleCompletion::NoSuchSlot(id))?;
        self.slot(index).with(|slot| {
            if self.layout.generation(slot.generation()) != generation {
                return Err(StaleCompletion::OldGeneration(id));
            }
            match step(slot) {
                Ok(outcome) => Ok((index, outcome)),
                Err(NotInFlight) => Err(StaleCompletion::NotInFlight(id)),
            }
        })
    }

    fn settle(&self, index: u16, ended: Ended<T>) -> Completed {
        match ended {
            Ended::Wake(waker) => {
                waker.into_iter().for_each(Waker::wake);
                Completed::Delivered
            }
            Ended::Free(lent) => {
                drop(lent.reclaim());
                self.free.give_back(index);
                Completed::Orphan
            }
        }
    }
}
