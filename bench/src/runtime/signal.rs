//! Notifications as something a task waits for, while other tasks of the thread run.
//!
//! A thread's executor parks on one notification. Its lowest bit is the executor's own; each
//! [`Signal`] has another. When the executor comes back from parking it tells the signals whose
//! bits were set. While it has tasks to run it does not look: a task that waits for a signal and
//! must not be kept waiting by busy neighbours waits for a moment of time as well.

use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Poll};

use executor::CoreId;
use executor::sync::Notify;

use super::calls;
use super::capability::Notification;
use super::executor::{EXECUTORS_MAX, attach, doorbell};
use crate::abi::{Error, Rights};

/// The executor's own bit.
pub(super) const KICK: u64 = 1;
/// Signals of an executor, and its own bit.
const BITS: usize = 64;

/// Who waits for the bits of one executor.
struct Board {
    taken: AtomicU64,
    told: [Notify; BITS],
}

static BOARDS: [Board; EXECUTORS_MAX] =
    [const { Board { taken: AtomicU64::new(KICK), told: [const { Notify::new() }; BITS] } };
        EXECUTORS_MAX];

/// Tells the signals of `core` whose bits came with a notification.
pub(super) fn tell(core: CoreId, mut bits: u64) {
    bits &= !KICK;
    while bits != 0 {
        BOARDS[usize::from(core.0)].told[bits.trailing_zeros() as usize].notify();
        bits &= bits - 1;
    }
}

/// A bit of this thread's notification that others may set. For the tasks of the thread that made
/// it.
#[derive(Debug)]
pub struct Signal {
    core: CoreId,
    bit: u32,
}

impl Signal {
    /// One that nobody else uses. `LimitReached` with 63 in use.
    pub fn new() -> Result<Self, Error> {
        let core = attach().id();
        let taken = &BOARDS[usize::from(core.0)].taken;
        let take = |taken: u64| (taken != u64::MAX).then(|| taken | (taken + 1));
        let before = taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .map_err(|_| Error::LimitReached)?;
        let signal = Self { core, bit: before.trailing_ones() };
        // What came late for an earlier owner.
        signal.told().take();
        Ok(signal)
    }

    fn told(&self) -> &'static Notify {
        &BOARDS[usize::from(self.core.0)].told[self.bit as usize]
    }

    /// What to signal.
    pub fn bits(&self) -> u64 {
        1 << self.bit
    }

    /// A capability to signal it with, to be handed on.
    pub fn capability(&self) -> Result<Notification, Error> {
        calls::duplicate(doorbell()?, Rights::SEND | Rights::TRANSFER)
            .map(Notification::from_handle)
    }

    /// Polls for it, and takes it.
    pub fn poll_wait(&self, context: &mut Context<'_>) -> Poll<()> {
        self.told().poll_wait(context)
    }

    /// Waits until it is signalled. Several times before the look are one.
    pub async fn wait(&self) {
        self.told().wait().await;
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        BOARDS[usize::from(self.core.0)].taken.fetch_and(!self.bits(), Ordering::Relaxed);
    }
}
