//! The executor's machine room, and its only `unsafe`.
//!
//! | room | what lives there |
//! |---|---|
//! | [`state`] | the shared word of a task: references, INBOX, CANCEL, COMPLETE (loom) |
//! | [`inbox`] | the lock-free list of tasks woken from elsewhere (loom) |
//! | [`presence`] | RUNNING / USER / SLEEPING and who has to kick (loom) |
//! | `task` | the task's header and its life |
//! | `stage` | the task's future, then its output |
//! | `run_queue` | the owner's lists of woken tasks |
//! | `waker` | the `RawWaker` over a task, with its two paths |
//! | `join` | the other end of a task's output |
//! | `local` | what only the owner core touches |
//!
//! The invariant that everything here leans on: *cells of a task or a core are touched only by the
//! context that drives the owner core*, which is what `Platform::current` tells (its contract).

pub mod inbox;
pub mod presence;
mod shim;
pub mod state;

#[cfg(not(loom))]
mod core_local;
#[cfg(all(feature = "host", not(loom)))]
pub(crate) mod host;
#[cfg(not(loom))]
pub(crate) mod join;
#[cfg(not(loom))]
pub(crate) mod local;
#[cfg(not(loom))]
pub(crate) mod run_queue;
#[cfg(not(loom))]
mod stage;
#[cfg(not(loom))]
pub(crate) mod task;
#[cfg(not(loom))]
pub(crate) mod waker;
