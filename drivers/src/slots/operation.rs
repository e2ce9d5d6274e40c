//! One operation's way through the table: wait for a slot, fill it, await the end. Dropping it at
//! any point is fine.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

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
        match table.free.wait(&mut self.ticket, context.waker().clone()) {
            Some(index) => Poll::Ready(table.reserved(index)),
            None => Poll::Pending,
        }
    }
}

impl<T: Lent, R> Drop for Reserve<'_, T, R> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.table.free.leave(ticket);
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
        table.slot(index).with(|slot| slot.submit(lent, deadline));
        Submitted { table: Some(table), index, id }
    }
}

impl<T: Lent, R> Drop for Reservation<'_, T, R> {
    fn drop(&mut self) {
        self.table.slot(self.index).with(super::Slot::unreserve);
        self.table.free.give_back(self.index);
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

impl<T: Lent, R> Submitted<'_, T, R> {
    /// What the command is called towards the device.
    pub fn id(&self) -> CommandId {
        self.id
    }
}

impl<T: Lent, R> Future for Submitted<'_, T, R> {
    type Output = Finished<T::Returned, R>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(table) = self.table else { return Poll::Pending };
        let fresh = context.waker().clone();
        match table.slot(self.index).with(|slot| slot.look(fresh)) {
            Look::NotYet { .. } => Poll::Pending,
            Look::GivenUp(result) => {
                self.table = None;
                Poll::Ready(Finished { result, returned: None })
            }
            Look::Finished { lent, result } => {
                self.table = None;
                table.free.give_back(self.index);
                Poll::Ready(Finished { result, returned: Some(lent.reclaim()) })
            }
        }
    }
}

impl<T: Lent, R> Drop for Submitted<'_, T, R> {
    fn drop(&mut self) {
        let Some(table) = self.table else { return };
        if let Some(Gone::Free { lent, .. }) = table.slot(self.index).with(super::Slot::leave) {
            drop(lent.reclaim());
            table.free.give_back(self.index);
        }
    }
}
