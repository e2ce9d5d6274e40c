//! The shared word of a task: its reference count and the flags that other cores may set.
//!
//! References (wakers, the join handle) are counted twice: those cloned and dropped on the owner
//! core in a plain cell of the header, all others here. A waker may be cloned on one side and
//! dropped on the other, so either count alone may be negative; only their sum means something,
//! and nobody asks for the sum before the owner *merges* its count into this word, when the task is
//! done. The scheduler's own reference keeps the sum above zero until then.
//!
//! ```text
//!                 owner counts in a cell,            everybody counts here;
//!                 others count here                  zero means dead
//!   spawn ──────► LIVE ───────── merge (task done) ─► MERGED ───────────► freed by the owner
//!                                                        │ last reference   ▲
//!                                                        └─ sets INBOX, ────┘
//!                                                           queues it to the owner
//!
//!   INBOX     in the owner's inbox, or about to be: set by whoever pushes, cleared by the owner.
//!             While it is set the owner does not free the task, so it also guards the push itself.
//!   CANCEL    somebody wants the future dropped; the owner looks when it takes the task from the inbox.
//!   COMPLETE  the future is gone, the output (or its absence) is in place.
//!   RELEASED  the join handle is gone. Of COMPLETE and RELEASED, whoever comes second drops the output.
//! ```

use super::shim::{AtomicUsize, Ordering};

const INBOX: usize = 1 << 0;
const CANCEL: usize = 1 << 1;
const COMPLETE: usize = 1 << 2;
const RELEASED: usize = 1 << 3;
const MERGED: usize = 1 << 4;
/// One reference. Counts wrap: a negative count borrows from above, never from the flags.
const ONE: usize = 1 << 5;

const fn count(word: usize) -> usize {
    word / ONE
}

/// What the caller of a shared operation has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Queue {
    /// Push the task to its owner's inbox (or, on the owner, to its own lists).
    Push,
    /// Nothing: it is queued already, or lives on.
    Leave,
}

/// What the owner finds when it takes a task from the inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Found {
    /// A wake.
    Woken,
    /// A wish to cancel (and perhaps a wake).
    Cancelled,
    /// No reference is left: free it.
    Dead,
}

/// The word.
pub struct Shared(AtomicUsize);

impl Shared {
    /// A task with `references` counted here.
    #[cfg(not(loom))]
    pub(crate) const fn new(references: usize) -> Self {
        Self(AtomicUsize::new(references * ONE))
    }

    /// A task with `references` counted here.
    #[cfg(loom)]
    pub fn new(references: usize) -> Self {
        Self(AtomicUsize::new(references * ONE))
    }

    /// Counts one reference more. The caller holds one.
    #[inline]
    pub fn acquire(&self) {
        // Relaxed: the reference it is cloned from keeps the task alive.
        self.0.fetch_add(ONE, Ordering::Relaxed);
    }

    /// Gives one reference back. On `Push` it was the last one of a merged task, and INBOX is set.
    #[inline]
    pub fn release(&self) -> Queue {
        let before = self.0.fetch_sub(ONE, Ordering::AcqRel);
        if before & MERGED == 0 || count(before) != 1 || before & INBOX != 0 {
            // With INBOX set the owner will see the count when it takes the task.
            return Queue::Leave;
        }
        // Nobody else holds a reference and it is in no list: it is ours alone.
        self.0.fetch_or(INBOX, Ordering::Relaxed);
        Queue::Push
    }

    /// Asks for a poll.
    #[inline]
    pub fn wake(&self) -> Queue {
        self.ask(INBOX)
    }

    /// Asks for the future to be dropped.
    pub fn cancel(&self) -> Queue {
        self.ask(INBOX | CANCEL)
    }

    #[inline]
    fn ask(&self, bits: usize) -> Queue {
        // Release: what was done before the wake is seen by the poll it causes, also when INBOX was
        // set already: the owner's clearing is later in this word's order and acquires.
        if self.0.fetch_or(bits, Ordering::AcqRel) & INBOX == 0 {
            Queue::Push
        } else {
            Queue::Leave
        }
    }

    /// The owner took the task from the inbox. From here on it may be pushed again.
    pub fn taken(&self) -> Found {
        let before = self.0.fetch_and(!INBOX, Ordering::AcqRel);
        if before & MERGED != 0 && count(before) == 0 {
            Found::Dead
        } else if before & CANCEL != 0 {
            Found::Cancelled
        } else {
            Found::Woken
        }
    }

    /// The owner adds its own count, once, when the task is done. True if the task is dead and in
    /// no inbox: free it now.
    #[must_use]
    pub fn merge(&self, local: isize) -> bool {
        let add = local.cast_unsigned().wrapping_mul(ONE).wrapping_add(MERGED);
        let after = self.0.fetch_add(add, Ordering::AcqRel).wrapping_add(add);
        count(after) == 0 && after & INBOX == 0
    }

    /// The owner has put the output in place. True if the handle is gone: drop the output.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.0.fetch_or(COMPLETE, Ordering::AcqRel) & RELEASED != 0
    }

    /// The handle goes. True if the output is in place and now the handle's to drop.
    #[must_use]
    pub fn handle_gone(&self) -> bool {
        self.0.fetch_or(RELEASED, Ordering::AcqRel) & COMPLETE != 0
    }

    /// Whether the output is in place, to be read by the handle.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.0.load(Ordering::Acquire) & COMPLETE != 0
    }
}
