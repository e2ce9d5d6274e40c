//! What comes of a commit: effects, or a refusal.

use super::super::commit::ObjectId;
use crate::abi::{Handle, ObjectKind, Rights};

/// Why a commit cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum Refusal {
    /// Its place in a log's life is another: no log begun, begun twice, not booted, wrong epoch.
    #[error("not at this point of a log's life")]
    OutOfPlace,
    /// A new number that is not the next one.
    #[error("that number is not the next one")]
    Number,
    /// No such process lives.
    #[error("no such process")]
    NoProcess,
    /// No such thread lives.
    #[error("no such thread")]
    NoThread,
    /// The process has threads that live.
    #[error("the process has living threads")]
    HasThreads,
    /// No such object.
    #[error("no such object")]
    NoObject,
    /// No such capability.
    #[error("no such capability")]
    NoCapability,
    /// That kind of object does not do this.
    #[error("another kind of object")]
    Kind,
    /// More than the capability allows, or not for that process.
    #[error("beyond what the capability allows")]
    Rights,
    /// The slot is taken, or in another generation.
    #[error("that slot is not vacant")]
    Slot,
    /// The process has no more handles, or threads, or not so much to give.
    #[error("over the budget")]
    Budget,
    /// It is not mapped, or something else is, or it is no range of user memory, or longer than
    /// its object.
    #[error("the address range does not fit")]
    Range,
}

/// Why a capability left its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It was given up.
    Removed,
    /// It moved.
    Granted,
    /// Something that it was derived from was revoked.
    Revoked,
    /// Its holder ended.
    Ended,
    /// Its object was destroyed.
    Destroyed,
}

/// What follows from a commit for those who carry it out. Only [`State::apply`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A capability came into a slot. One that moves comes before it leaves.
    #[non_exhaustive]
    Filled {
        /// Whose slot.
        process: u32,
        /// Which.
        handle: Handle,
        /// What the capability names.
        object: ObjectId,
        /// What kind that is.
        kind: ObjectKind,
        /// What it allows.
        rights: Rights,
    },
    /// A capability left a slot; the slot's generation advances.
    #[non_exhaustive]
    Emptied {
        /// Whose slot.
        process: u32,
        /// Which, in the generation that is over.
        handle: Handle,
        /// What the capability names.
        object: ObjectId,
        /// What it allows.
        rights: Rights,
        /// Why.
        why: Why,
    },
    /// Mapped memory is to be taken away: the capability behind it is gone.
    #[non_exhaustive]
    Unmapped {
        /// Whose.
        process: u32,
        /// From where.
        address: u64,
        /// How many pages.
        pages: u64,
    },
    /// Nobody can name the object any more, and it does not live.
    #[non_exhaustive]
    Gone {
        /// Which.
        object: ObjectId,
    },
}

/// Who is told.
pub type Effects<'a> = &'a mut dyn FnMut(Effect);
