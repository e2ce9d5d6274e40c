//! A notification: a word of bits. Signalling ors into it and wakes the waiter; waiting takes the
//! word.

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::*};
use core::task::{Context, Poll};
use futures_util::task::AtomicWaker;
use protocols::abi::Error;

/// The word and its waiter. Signals may come from any core.
#[derive(Debug, Default)]
pub struct Notification {
    bits: AtomicU64,
    waiter: AtomicWaker,
    taken: AtomicBool,
    /// Capabilities with the right to signal. Rights only shrink, so once there is none there never
    /// will be.
    send_rights: AtomicUsize,
}

impl Notification {
    /// No bits, no waiter.
    pub const fn new() -> Self {
        Self {
            bits: AtomicU64::new(0),
            waiter: AtomicWaker::new(),
            taken: AtomicBool::new(false),
            send_rights: AtomicUsize::new(0),
        }
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

    /// One more capability can signal it.
    pub fn send_right_made(&self) {
        self.send_rights.fetch_add(1, Relaxed);
    }

    /// One fewer.
    pub fn send_right_gone(&self) {
        if self.send_rights.fetch_sub(1, AcqRel) == 2 {
            self.waiter.wake();
        }
    }

    /// Whether anybody can signal it but the kernel, which made it and holds the first capability.
    pub fn is_held(&self) -> bool {
        self.send_rights.load(Acquire) > 1
    }

    /// For the kernel's own waits: the bits, or `None` when nobody can signal it any more.
    pub fn poll_while_held(&self, context: &mut Context<'_>) -> Poll<Option<u64>> {
        if let Poll::Ready(bits) = self.poll(context) {
            return Poll::Ready(Some(bits));
        }
        // The waker is registered: who goes after this look wakes it.
        if self.is_held() { Poll::Pending } else { Poll::Ready(None) }
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
