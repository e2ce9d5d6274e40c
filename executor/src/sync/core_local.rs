//! Mutual exclusion that costs nothing because one core's tasks do not preempt each other.
//!
//! [`CoreLocal`] is the `RawMutex` under embassy-sync's primitives. It needs no interrupts-off
//! section: interrupt handlers and other cores never get in ([`crate::Platform::current`] says so),
//! they use [`super::Notify`] instead. The first core that locks it owns it for good.

use core::{
    marker::PhantomData,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::platform::Platform;

/// Free, of no core yet.
const NOBODY: u32 = u32::MAX;
/// Set in the owner's id while locked.
const LOCKED: u32 = 1 << 31;

/// A mutex of one core. Locking elsewhere, or while it is locked, panics.
#[derive(Debug)]
pub struct CoreLocal<P: Platform> {
    owner: AtomicU32,
    platform: PhantomData<fn() -> P>,
}

impl<P: Platform> CoreLocal<P> {
    pub(crate) const fn unlocked() -> Self {
        Self { owner: AtomicU32::new(NOBODY), platform: PhantomData }
    }

    /// Enters; the caller must [`Self::leave`]. Plain loads and stores but for the first time.
    pub(crate) fn enter(&self) {
        let me = P::current().expect("a core-local lock needs a core").0.into();
        let mut owner = self.owner.load(Ordering::Relaxed);
        if owner == NOBODY {
            owner =
                match self.owner.compare_exchange(NOBODY, me, Ordering::Relaxed, Ordering::Relaxed)
                {
                    Ok(_) => me,
                    Err(first) => first,
                };
        }
        assert!(
            owner & LOCKED == 0 || owner & !LOCKED != me,
            "a core-local lock is locked already"
        );
        assert!(owner == me, "a core-local lock belongs to another core");
        self.owner.store(me | LOCKED, Ordering::Relaxed);
    }

    pub(crate) fn leave(&self) {
        self.owner.store(self.owner.load(Ordering::Relaxed) & !LOCKED, Ordering::Relaxed);
    }
}

/// embassy-sync's primitives for the tasks of one core.
pub mod local {
    use super::CoreLocal;

    /// Bounded channel for many senders and receivers.
    pub type Channel<P, T, const N: usize> = embassy_sync::channel::Channel<CoreLocal<P>, T, N>;
    /// Mutex held across awaits.
    pub type Mutex<P, T> = embassy_sync::mutex::Mutex<CoreLocal<P>, T>;
    /// A value that one task waits for; a newer one replaces it.
    pub type Signal<P, T> = embassy_sync::signal::Signal<CoreLocal<P>, T>;
    /// A value that several tasks watch.
    pub type Watch<P, T, const N: usize> = embassy_sync::watch::Watch<CoreLocal<P>, T, N>;
    /// Every subscriber sees every message.
    pub type PubSub<P, T, const CAP: usize, const SUBS: usize, const PUBS: usize> =
        embassy_sync::pubsub::PubSubChannel<CoreLocal<P>, T, CAP, SUBS, PUBS>;
    /// A cell behind a closure.
    pub type Cell<P, T> = embassy_sync::blocking_mutex::Mutex<CoreLocal<P>, T>;
}
