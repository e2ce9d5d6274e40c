//! A notification: a word of bits. Signalling ors into it and wakes the waiter; waiting takes the
//! word.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use core::task::{Context, Poll};
use futures_util::task::AtomicWaker;
use protocols::abi::Error;

/// The word and its waiter. Signals may come from any core.
#[derive(Debug, Default)]
pub struct Notification {
    bits: AtomicU64,
    waiter: AtomicWaker,
    taken: AtomicBool,
}

impl Notification {
    /// No bits, no waiter.
    pub const fn new() -> Self {
        Self { bits: AtomicU64::new(0), waiter: AtomicWaker::new(), taken: AtomicBool::new(false) }
    }

    /// Ors `bits` in and wakes the waiter.
    #[inline]
    pub fn signal(&self, bits: u64) {
        self.bits.fetch_or(bits, AcqRel);
        self.waiter.wake();
    }

    /// Takes what is there; zero if nothing.
    #[inline]
    pub fn take(&self) -> u64 {
        if self.bits.load(Relaxed) == 0 { 0 } else { self.bits.swap(0, AcqRel) }
    }

    /// Waits until the word is not zero and takes it. A second waiter is refused.
    pub async fn wait(&self) -> Result<u64, Error> {
        if self.taken.swap(true, Acquire) {
            return Err(Error::LimitReached);
        }
        let _place = Place(self);
        Ok(core::future::poll_fn(|context| self.poll(context)).await)
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<u64> {
        let bits = self.take();
        if bits != 0 {
            return Poll::Ready(bits);
        }
        self.waiter.register(context.waker());
        // A signal between the look and the registration woke nobody: look again.
        match self.take() {
            0 => Poll::Pending,
            bits => Poll::Ready(bits),
        }
    }
}

/// The one waiter's place; given up however the wait ends.
struct Place<'a>(&'a Notification);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.taken.store(false, Release);
    }
}
