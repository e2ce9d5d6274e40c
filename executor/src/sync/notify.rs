//! A flag that one task waits for and anybody sets, from any context.
//!
//! ```text
//!   idle ── notify ──► notified ── wait takes it ──► idle
//! ```
//!
//! Notifications do not count: several before the task looks are one. The order that loses none:
//! the waiter registers its waker, *then* looks at the flag; the notifier sets the flag, *then*
//! wakes what is registered.

use core::{
    future::poll_fn,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;

/// One task's doorbell. If two tasks wait, only the later one is woken.
#[derive(Debug, Default)]
pub struct Notify {
    notified: AtomicBool,
    waiter: AtomicWaker,
}

impl Notify {
    /// Not notified.
    #[must_use]
    pub const fn new() -> Self {
        Self { notified: AtomicBool::new(false), waiter: AtomicWaker::new() }
    }

    /// Wakes the waiting task, or lets its next wait end at once. From anywhere, interrupt handlers
    /// included: never locks, allocates or frees.
    pub fn notify(&self) {
        // Already set: who set it wakes, or has woken, a task that has not looked since.
        if !self.notified.swap(true, Ordering::AcqRel) {
            self.waiter.wake();
        }
    }

    /// Takes the notification if there is one.
    pub fn take(&self) -> bool {
        self.notified.load(Ordering::Relaxed) && self.notified.swap(false, Ordering::AcqRel)
    }

    /// Polls for a notification and takes it.
    pub fn poll_wait(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.take() {
            return Poll::Ready(());
        }
        self.waiter.register(cx.waker());
        if self.take() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Waits for a notification and takes it.
    pub async fn wait(&self) {
        poll_fn(|cx| self.poll_wait(cx)).await;
    }
}
