//! Where a core is, as others need to know it: the parking protocol.
//!
//! ```text
//!   owner                                   waker, elsewhere
//!   publish SLEEPING (or USER)              push to the inbox
//!   full fence                              full fence
//!   inbox empty? sleep (or enter ring 3)    published RUNNING? done. Else kick.
//!           └ else publish RUNNING, work
//! ```
//!
//! Of the two fences one is first. If the owner's is, the waker sees SLEEPING and kicks; if the
//! waker's is, the owner sees the push. Only a push on an *empty* inbox needs the right column: a
//! push behind another node relies on the pusher of the first one, whom the owner either saw or
//! who kicks.

use super::shim::{AtomicU8, Ordering, fence};

const RUNNING: u8 = 0;
const USER: u8 = 1;
const SLEEPING: u8 = 2;

/// Where a core is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// In its loop: it will look at the inbox before it leaves it.
    Running,
    /// In ring 3, or on its way.
    User,
    /// Idle, or on its way.
    Sleeping,
}

/// The published word.
pub struct Published(AtomicU8);

impl Published {
    /// A core that will look by itself before it sleeps.
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Self {
        Self(AtomicU8::new(RUNNING))
    }

    /// A core that will look by itself before it sleeps.
    #[cfg(loom)]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self(AtomicU8::new(RUNNING))
    }

    /// The owner is about to leave its loop: publishes that, then asks `work_waits`. False: work
    /// waits, and RUNNING is published again.
    #[inline]
    #[must_use]
    pub fn leave(&self, to: Presence, work_waits: impl FnOnce() -> bool) -> bool {
        let word = if to == Presence::User { USER } else { SLEEPING };
        self.0.store(word, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if work_waits() {
            self.back();
            return false;
        }
        true
    }

    /// The owner is back in its loop.
    #[inline(always)]
    pub fn back(&self) {
        self.0.store(RUNNING, Ordering::Relaxed);
    }

    /// After a push on an empty inbox: whether the owner must be kicked.
    #[inline]
    #[must_use]
    pub fn needs_kick(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.load(Ordering::Relaxed) != RUNNING
    }

    /// Where the core was last heard to be. A hint.
    #[must_use]
    pub fn get(&self) -> Presence {
        match self.0.load(Ordering::Relaxed) {
            RUNNING => Presence::Running,
            USER => Presence::User,
            _ => Presence::Sleeping,
        }
    }
}
