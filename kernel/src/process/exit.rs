//! An event that happens once and that any number of tasks on any cores may wait for; and one that
//! happens again and again.

use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::sync::atomic::{AtomicU64, Ordering::*};
use core::task::{Context, Poll, Waker};

/// The event; `T` is what it leaves behind.
#[derive(Debug)]
pub struct Event<T> {
    inner: spin::Mutex<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    value: Option<T>,
    queue: Queue,
}

impl<T: Copy> Event<T> {
    /// It hasn't happened.
    pub const fn new() -> Self {
        Self { inner: spin::Mutex::new(Inner { value: None, queue: Queue::new() }) }
    }

    /// It happens now, unless it has. Not from interrupt handlers.
    pub fn set(&self, value: T) {
        let woken = {
            let mut inner = self.inner.lock();
            if inner.value.is_some() {
                return;
            }
            inner.value = Some(value);
            inner.queue.take()
        };
        woken.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// What it left behind, if it has happened.
    pub fn get(&self) -> Option<T> {
        self.inner.lock().value
    }

    /// Waits for it. Given up, the wait leaves nothing behind: who waits with a deadline, again and
    /// again, must not fill the kernel's memory.
    pub fn wait(&self) -> Wait<'_, T> {
        Wait { event: self, place: Place::None }
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
    place: Place,
}

impl<T: Copy> Future for Wait<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let event = self.event;
        let mut inner = event.inner.lock();
        match inner.value {
            Some(value) => Poll::Ready(value),
            None => {
                inner.queue.wait(&mut self.place, context);
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Wait<'_, T> {
    fn drop(&mut self) {
        if let Place::Ticket(ticket) = self.place {
            let waker = self.event.inner.lock().queue.leave(ticket);
            drop(waker);
        }
    }
}

/// Something that happens again and again. Who waits takes the [`next`](Self::next) time, looks
/// whether there is need to wait, and waits.
#[derive(Debug)]
pub struct Announcement {
    /// How often it has happened. Written with the lock held.
    times: AtomicU64,
    queue: spin::Mutex<Queue>,
}

impl Announcement {
    /// It has not happened.
    pub const fn new() -> Self {
        Self { times: AtomicU64::new(0), queue: spin::Mutex::new(Queue::new()) }
    }

    /// The next time that it happens.
    pub fn next(&self) -> Next<'_> {
        Next { announcement: self, after: self.times.load(Acquire), place: Place::None }
    }

    /// It happens.
    pub fn announce(&self) {
        let woken = {
            let mut queue = self.queue.lock();
            self.times.store(self.times.load(Relaxed) + 1, Release);
            queue.take()
        };
        woken.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Waits until `poll` is ready, as long as `check` has nothing against it: it is asked before
    /// each poll, and again each time that this is announced.
    pub async fn poll_while<T, E>(
        &self,
        mut check: impl FnMut() -> Result<(), E>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Result<T, E> {
        let mut next = self.next();
        poll_fn(move |context| {
            loop {
                // Taken before the look: what happens after that ends this wait.
                next.renew();
                check()?;
                if let Poll::Ready(done) = poll(context) {
                    return Poll::Ready(Ok(done));
                }
                if Pin::new(&mut next).poll(context).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }
}

impl Default for Announcement {
    fn default() -> Self {
        Self::new()
    }
}

/// See [`Announcement::next`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Next<'a> {
    announcement: &'a Announcement,
    /// How often it had happened.
    after: u64,
    place: Place,
}

impl Next<'_> {
    /// The time after now.
    fn renew(&mut self) {
        let times = self.announcement.times.load(Acquire);
        if times != self.after {
            *self = Next { after: times, place: Place::None, announcement: self.announcement };
        }
    }
}

impl Future for Next<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let announcement = self.announcement;
        let mut queue = announcement.queue.lock();
        if announcement.times.load(Relaxed) != self.after {
            return Poll::Ready(());
        }
        queue.wait(&mut self.place, context);
        Poll::Pending
    }
}

impl Drop for Next<'_> {
    fn drop(&mut self) {
        if let Place::Ticket(ticket) = self.place {
            let waker = self.announcement.queue.lock().leave(ticket);
            drop(waker);
        }
    }
}

/// Who waits, in order.
#[derive(Debug)]
struct Queue {
    waiting: Vec<(u64, Waker)>,
    tickets: u64,
}

/// A place in a queue. It may have been taken off it since.
#[derive(Clone, Copy, Debug)]
enum Place {
    None,
    Ticket(u64),
}

impl Queue {
    const fn new() -> Self {
        Self { waiting: Vec::new(), tickets: 0 }
    }

    /// Has the task of `context` woken, at its place or a new one.
    fn wait(&mut self, place: &mut Place, context: &Context<'_>) {
        if let Place::Ticket(ticket) = *place
            && let Some(at) = self.at(ticket)
        {
            self.waiting[at].1.clone_from(context.waker());
            return;
        }
        *place = Place::Ticket(self.tickets);
        self.waiting.push((self.tickets, context.waker().clone()));
        self.tickets += 1;
    }

    /// The place is given up. The waker, to be dropped without the lock.
    fn leave(&mut self, ticket: u64) -> Option<Waker> {
        self.at(ticket).map(|at| self.waiting.remove(at).1)
    }

    /// All of them, to be woken without the lock.
    fn take(&mut self) -> Vec<(u64, Waker)> {
        core::mem::take(&mut self.waiting)
    }

    fn at(&self, ticket: u64) -> Option<usize> {
        self.waiting.binary_search_by_key(&ticket, |waiter| waiter.0).ok()
    }
}
