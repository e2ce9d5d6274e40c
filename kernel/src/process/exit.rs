//! An event that happens once and that any number of tasks on any cores may wait for; and one that
//! happens again and again.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

/// The event; `T` is what it leaves behind.
#[derive(Debug)]
pub struct Event<T> {
    inner: spin::Mutex<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    value: Option<T>,
    /// Who waits, by ticket, in order.
    waiting: Vec<(u64, Waker)>,
    tickets: u64,
}

impl<T: Copy> Event<T> {
    /// It hasn't happened.
    pub const fn new() -> Self {
        Self { inner: spin::Mutex::new(Inner { value: None, waiting: Vec::new(), tickets: 0 }) }
    }

    /// It happens now, unless it has. Not from interrupt handlers.
    pub fn set(&self, value: T) {
        let woken = {
            let mut inner = self.inner.lock();
            if inner.value.is_some() {
                return;
            }
            inner.value = Some(value);
            core::mem::take(&mut inner.waiting)
        };
        for (_, waker) in woken {
            waker.wake();
        }
    }

    /// What it left behind, if it has happened.
    pub fn get(&self) -> Option<T> {
        self.inner.lock().value
    }

    /// Waits for it. Given up, the wait leaves nothing behind: who waits with a deadline, again and
    /// again, must not fill the kernel's memory.
    pub fn wait(&self) -> Wait<'_, T> {
        Wait { event: self, ticket: None }
    }
}

impl<T: Copy> Default for Event<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// See [`Event::wait`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Wait<'a, T> {
    event: &'a Event<T>,
    ticket: Option<u64>,
}

impl<T> Inner<T> {
    fn place(&self, ticket: u64) -> Option<usize> {
        self.waiting.binary_search_by_key(&ticket, |waiter| waiter.0).ok()
    }
}

impl<T: Copy> Future for Wait<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let event = self.event;
        let mut inner = event.inner.lock();
        if let Some(value) = inner.value {
            return Poll::Ready(value);
        }
        match self.ticket.and_then(|ticket| inner.place(ticket)) {
            Some(place) => inner.waiting[place].1.clone_from(context.waker()),
            None => {
                let ticket = inner.tickets;
                inner.tickets += 1;
                inner.waiting.push((ticket, context.waker().clone()));
                drop(inner);
                self.ticket = Some(ticket);
            }
        }
        Poll::Pending
    }
}

impl<T> Drop for Wait<'_, T> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let mut inner = self.event.inner.lock();
        let waiter = inner.place(ticket).map(|place| inner.waiting.remove(place));
        drop(inner);
        drop(waiter);
    }
}

/// Something that happens again and again. Who waits takes the [`next`](Self::next) time, looks
/// whether there is need to wait, and waits.
#[derive(Debug)]
pub struct Announcement(spin::Mutex<Option<Arc<Event<()>>>>);

impl Announcement {
    /// It has not happened.
    pub const fn new() -> Self {
        Self(spin::Mutex::new(None))
    }

    /// The next time that it happens.
    pub fn next(&self) -> Arc<Event<()>> {
        self.0.lock().get_or_insert_with(|| Arc::new(Event::new())).clone()
    }

    /// It happens.
    pub fn announce(&self) {
        let event = self.0.lock().take();
        if let Some(event) = event {
            event.set(());
        }
    }
}

impl Default for Announcement {
    fn default() -> Self {
        Self::new()
    }
}
