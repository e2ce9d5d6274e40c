//! A bounded channel: many senders, one receiver, on any cores. Order is kept per sender.
//!
//! ```text
//!   send:    permit of `free` ─► queue.push ─► wake the receiver
//!   receive: queue.pop ─► release the permit (wakes the longest-waiting sender)
//! ```
//!
//! A permit stands for a free place, so a push after it always finds one. Senders wait in the
//! semaphore, first come first served; when the receiver goes, it closes the semaphore.

use alloc::sync::Arc;
use core::{
    future::poll_fn,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll},
};

use crossbeam_queue::ArrayQueue;
use futures_util::task::AtomicWaker;

use super::{Closed, Semaphore};

struct Shared<T> {
    queue: ArrayQueue<T>,
    free: Semaphore,
    senders: AtomicUsize,
    receiver: AtomicWaker,
}

/// A sending end.
pub struct Sender<T>(Arc<Shared<T>>);

/// The receiving end.
pub struct Receiver<T>(Arc<Shared<T>>);

/// Why [`Sender::try_send`] handed the value back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// No place is free, or others wait for one.
    Full(T),
    /// The receiver is gone.
    Closed(T),
}

/// A channel with room for `capacity` values.
///
/// # Panics
///
/// If `capacity` is zero.
#[must_use]
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        queue: ArrayQueue::new(capacity),
        free: Semaphore::new(capacity),
        senders: AtomicUsize::new(1),
        receiver: AtomicWaker::new(),
    });
    (Sender(shared.clone()), Receiver(shared))
}

impl<T> Sender<T> {
    /// Sends `value`, waiting for a place.
    ///
    /// # Errors
    ///
    /// Hands the value back if the receiver is gone.
    pub async fn send(&self, value: T) -> Result<(), T> {
        match self.0.free.acquire(1).await {
            Ok(permit) => {
                permit.forget();
                self.put(value);
                Ok(())
            }
            Err(Closed) => Err(value),
        }
    }

    /// Sends `value` if a place is free.
    ///
    /// # Errors
    ///
    /// Hands the value back.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        match self.0.free.try_acquire(1) {
            Some(permit) => {
                permit.forget();
                self.put(value);
                Ok(())
            }
            None if self.0.free.is_closed() => Err(TrySendError::Closed(value)),
            None => Err(TrySendError::Full(value)),
        }
    }

    fn put(&self, value: T) {
        // A place is free: its permit was just taken.
        let full = self.0.queue.push(value).is_err();
        debug_assert!(!full, "a permit stands for a place");
        self.0.receiver.wake();
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.senders.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.0.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.receiver.wake();
        }
    }
}

impl<T> Receiver<T> {
    /// The next value, waiting for it; `None` once all senders are gone and all values taken.
    pub async fn receive(&mut self) -> Option<T> {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    /// As [`Self::receive`], for hand-written futures.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if let Some(result) = self.look() {
            return Poll::Ready(result);
        }
        self.0.receiver.register(cx.waker());
        self.look().map_or(Poll::Pending, Poll::Ready)
    }

    /// The next value if it is there.
    ///
    /// # Errors
    ///
    /// [`Closed`] if none is there and none will come.
    pub fn try_receive(&mut self) -> Result<Option<T>, Closed> {
        match self.look() {
            Some(Some(value)) => Ok(Some(value)),
            Some(None) => Err(Closed),
            None => Ok(None),
        }
    }

    fn look(&mut self) -> Option<Option<T>> {
        // Before the look at the queue: what was sent before the last sender went is seen.
        let gone = self.0.senders.load(Ordering::Acquire) == 0;
        match self.0.queue.pop() {
            Some(value) => {
                self.0.free.release(1);
                Some(Some(value))
            }
            None => gone.then_some(None),
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.0.free.close();
        drop(self.0.receiver.take());
        while self.0.queue.pop().is_some() {}
    }
}
