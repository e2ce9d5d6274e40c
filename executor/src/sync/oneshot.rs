//! One value from one task to another, on any cores.

use alloc::sync::Arc;
use core::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll},
};

use crossbeam_queue::ArrayQueue;
use futures_util::task::AtomicWaker;

use super::Closed;

struct Shared<T> {
    slot: ArrayQueue<T>,
    sender_gone: AtomicBool,
    receiver_gone: AtomicBool,
    receiver: AtomicWaker,
    sender: AtomicWaker,
}

/// The sending end. Dropping it unused closes the channel.
pub struct Sender<T>(Arc<Shared<T>>);

/// The receiving end, a future of the value.
#[must_use = "futures do nothing unless awaited"]
pub struct Receiver<T>(Arc<Shared<T>>);

/// A channel for one value.
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        slot: ArrayQueue::new(1),
        sender_gone: AtomicBool::new(false),
        receiver_gone: AtomicBool::new(false),
        receiver: AtomicWaker::new(),
        sender: AtomicWaker::new(),
    });
    (Sender(shared.clone()), Receiver(shared))
}

impl<T> Sender<T> {
    /// Sends the value.
    ///
    /// # Errors
    ///
    /// Hands the value back if the receiver is known to be gone. One that goes at this moment may
    /// still take the value with it.
    pub fn send(self, value: T) -> Result<(), T> {
        if self.is_closed() {
            return Err(value);
        }
        // Dropping `self` wakes the receiver.
        self.0.slot.push(value)
    }

    /// Whether the receiver is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.receiver_gone.load(Ordering::Acquire)
    }

    /// Waits until the receiver is gone: nobody wants the value any more.
    pub async fn closed(&mut self) {
        core::future::poll_fn(|cx| {
            if self.is_closed() {
                return Poll::Ready(());
            }
            self.0.sender.register(cx.waker());
            if self.is_closed() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.sender_gone.store(true, Ordering::Release);
        self.0.receiver.wake();
    }
}

impl<T> Receiver<T> {
    /// The value if it is there.
    ///
    /// # Errors
    ///
    /// [`Closed`] if none is there and none will come.
    pub fn try_receive(&mut self) -> Result<Option<T>, Closed> {
        // Before the look at the slot: what was sent before the sender went is seen.
        let gone = self.0.sender_gone.load(Ordering::Acquire);
        match self.0.slot.pop() {
            Some(value) => Ok(Some(value)),
            None if gone => Err(Closed),
            None => Ok(None),
        }
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(result) = self.try_receive().transpose() {
            return Poll::Ready(result);
        }
        self.0.receiver.register(cx.waker());
        self.try_receive().transpose().map_or(Poll::Pending, Poll::Ready)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.0.receiver_gone.store(true, Ordering::Release);
        drop(self.0.receiver.take());
        self.0.sender.wake();
    }
}

impl<T> Unpin for Receiver<T> {}
