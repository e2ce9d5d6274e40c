//! One operation's way through the table: wait for a slot, fill it, await the end. Dropping it at
//! any point is fine.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use hal::clock::Ticks;

use super::free::Ticket;
use super::slot::{Gone, Look};
use super::{CommandId, Lent, SlotTable};

/// Waits for a free slot.
#[must_use = "futures do nothing unless awaited"]
pub struct Reserve<'a, T: Lent, R> {
    pub(super) table: &'a SlotTable<T, R>,
    pub(super) ticket: Option<Ticket>,
}

impl<'a, T: Lent, R> Future for Reserve<'a, T, R> {
    type Output = Reservation<'a, T, R>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let table = self.table;
        let mut waker = Some(context.waker().clone());
        let granted = table.state.with(|state| {
            let index = state.free.wait(&mut self.ticket, &mut waker)?;
            Some((index, state.slot(index).reserve()))
        });
        match granted {
            Some((index, generation)) => Poll::Ready(table.reservation(index, generation)),
            None => Poll::Pending,
        }
    }
}

impl<T: Lent, R> Drop for Reserve<'_, T, R> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let (next, own) = self.table.state.with(|state| state.free.leave(ticket));
            next.into_iter().for_each(Waker::wake);
            drop(own);
        }
    }
}

/// A slot to fill; dropping it gives it back.
#[must_use = "a reservation holds a slot of the queue"]
pub struct Reservation<'a, T: Lent, R> {
    pub(super) table: &'a SlotTable<T, R>,
    pub(super) index: u16,
    pub(super) id: CommandId,
}

impl<'a, T: Lent, R> Reservation<'a, T, R> {
    /// What to call the command towards the device.
    pub fn id(&self) -> CommandId {
        self.id
    }

    /// The slot's number, below the table's depth: for what exists once for each slot.
    pub fn index(&self) -> usize {
        usize::from(self.index)
    }

    /// Puts what the device borrows into the slot. Tell the device *after* this.
    pub fn submit(self, lent: T, deadline: Ticks) -> Submitted<'a, T, R> {
        let (table, index, id) = (self.table, self.index, self.id);
        core::mem::forget(self);
        table.state.with(|state| state.slot(index).submit(lent, deadline));
        Submitted { table: Some(table), index, id }
    }
}

impl<T: Lent, R> Drop for Reservation<'_, T, R> {
    fn drop(&mut self) {
        let next = self.table.state.with(|state| {
            state.slot(self.index).unreserve();
            state.free.give_back(self.index)
        });
        next.into_iter().for_each(Waker::wake);
    }
}

/// How a command ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Finished<B, R> {
    /// What the reaper, or whoever gave it up, said.
    pub result: R,
    /// What was lent; `None` if the device may still be using it.
    pub returned: Option<B>,
}

/// A command in flight, as its caller awaits it. Dropping it orphans the slot.
#[must_use = "dropping it orphans the command"]
pub struct Submitted<'a, T: Lent, R> {
    /// `None` once it has given its result.
    table: Option<&'a SlotTable<T, R>>,
    index: u16,
    id: CommandId,
}

impl<'a, T: Lent, R> Submitted<'a, T, R> {
    /// Submitted with a waker: its task need not look before it is woken.
    #[inline(always)]
    pub(super) fn awaited(table: &'a SlotTable<T, R>, index: u16, id: CommandId) -> Self {
        Self { table: Some(table), index, id }
    }

    /// What the command is called towards the device.
    pub fn id(&self) -> CommandId {
        self.id
    }
}

impl<T: Lent, R> Future for Submitted<'_, T, R> {
    type Output = Finished<T::Returned, R>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.finished() {
            Some(finished) => Poll::Ready(finished),
            None => self.look(context),
        }
    }
}

impl<T: Lent, R> Submitted<'_, T, R> {
    /// The end, if it is there: for those who have left a waker and were woken.
    #[inline(always)]
    pub fn finished(&mut self) -> Option<Finished<T::Returned, R>> {
        let table = self.table?;
        let mut state = table.state.lock();
        let (lent, result) = state.slot(self.index).finish()?;
        let next = state.free.give_back(self.index);
        drop(state);
        self.table = None;
        next.into_iter().for_each(Waker::wake);
        Some(Finished { result: result?, returned: lent.map(Lent::reclaim) })
    }

    /// Looks what has become of the command, and leaves a waker if it is not over.
    #[inline(never)]
    pub fn look(&mut self, context: &mut Context<'_>) -> Poll<Finished<T::Returned, R>> {
        let Some(table) = self.table else { return Poll::Pending };
        let index = self.index;
        let mut fresh = Some(context.waker().clone());
        let (look, other) = table.state.with(|state| {
            let look = state.slot(index).look(context.waker());
            let other = match look {
                Look::NotYet => fresh.take().and_then(|fresh| state.slot(index).register(fresh)),
                Look::Finished { .. } => state.free.give_back(index),
                Look::GivenUp(_) | Look::Known => None,
            };
            (look, other)
        });
        match look {
            // Another waker was there, perhaps.
            Look::Known | Look::NotYet => {
                drop(other);
                Poll::Pending
            }
            Look::GivenUp(result) => {
                self.table = None;
                finish(None, result)
            }
            Look::Finished { lent, result } => {
                self.table = None;
                other.into_iter().for_each(Waker::wake);
                finish(lent.map(Lent::reclaim), result)
            }
        }
    }
}

fn finish<B, R>(returned: Option<B>, result: Option<R>) -> Poll<Finished<B, R>> {
    match result {
        Some(result) => Poll::Ready(Finished { result, returned }),
        // A command that has ended has a result.
        None => Poll::Pending,
    }
}

impl<T: Lent, R> Drop for Submitted<'_, T, R> {
    fn drop(&mut self) {
        let Some(table) = self.table else { return };
        let (gone, next) = table.state.with(|state| {
            let gone = state.slot(self.index).leave();
            let next = match gone {
                Gone::Free { .. } => state.free.give_back(self.index),
                Gone::Orphaned { .. } | Gone::Nothing => None,
            };
            (gone, next)
        });
        if let Gone::Free { lent, .. } = gone {
            drop(lent.map(Lent::reclaim));
        }
        next.into_iter().for_each(Waker::wake);
    }
}
