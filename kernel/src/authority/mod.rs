//! The kernel's authority: one [`State`], and nothing beside it.
//!
//! ```text
//!   system call, service ──> check ──> commit ──> apply ──> effects ──> handle tables, endpoints, memory
//!                              │   (one lock)       │
//!                              └─ an error          └──> queue ──> log task: encode, hash, keep
//! ```
//!
//! All that processes hold is in the state, and only commits change it: its fields are private to
//! `protocols::axiom`, and the tables that the IPC path reads are written by the effects that
//! [`State::apply`] hands out and nobody else can make. A commit is ordered at once, under the
//! lock; its hash is the log task's affair ([`log`]).
//!
//! The lock is a spin lock, held for one operation, never by interrupt handlers. Order of locks:
//! this one, then an address space's ranges, a wait list, the reclaim list.

mod aftermath;
mod capability;
mod lives;
pub mod log;
mod operations;
mod view;

pub use capability::{Capability, Gift};
pub use lives::{end_process, end_thread, new_process, new_thread};
pub use operations::{
    create, derive, grant, grant_all, hold_process, hold_thread, remove, revoke, share, unshare,
};
pub use view::{kernel_table, left, list, look};

use crate::process::Process;
use crate::process::exit::Announcement;
use crate::process::handles::HandleTable;
use crate::process::object::Object;
use crate::process::reclaim;
use aftermath::Aftermath;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use protocols::abi::{Error, Handle};
use protocols::axiom::commit::KERNEL;
use protocols::axiom::{Cause, Commit, Effect, ObjectId, Refusal, State, Why};

/// What the kernel itself holds.
static KERNEL_TABLE: HandleTable = HandleTable::new();

/// Something was taken from the kernel's own table.
static KERNEL_BEREFT: Announcement = Announcement::new();

/// Announced whenever something the kernel itself holds is taken away: its services look whether
/// they may go on.
pub fn kernel_bereft() -> &'static Announcement {
    &KERNEL_BEREFT
}

static AUTHORITY: spin::Mutex<Authority> = spin::Mutex::new(Authority {
    state: State::new(),
    objects: BTreeMap::new(),
    processes: BTreeMap::new(),
    resting: Vec::new(),
    queue: log::Queue::new(),
});

struct Authority {
    state: State,
    /// What the objects' numbers stand for.
    objects: BTreeMap<ObjectId, Object>,
    /// The living processes but the kernel.
    processes: BTreeMap<u32, Arc<Process>>,
    /// Slots whose generations begin again after that round of [`reclaim`]: before that, a reader
    /// might see one generation twice.
    resting: Vec<(u32, u16, u64)>,
    queue: log::Queue,
}

/// What the state's refusal is to ring 3.
const fn error(refusal: Refusal) -> Error {
    match refusal {
        Refusal::NoCapability => Error::BadHandle,
        Refusal::Rights => Error::NotPermitted,
        Refusal::Kind => Error::WrongKind,
        Refusal::Slot | Refusal::Budget => Error::LimitReached,
        Refusal::NoProcess | Refusal::NoThread | Refusal::NoObject => Error::PeerGone,
        Refusal::Range => Error::RangeConflict,
        Refusal::OutOfPlace | Refusal::Number | Refusal::HasThreads => Error::InvalidArgument,
    }
}

impl Authority {
    /// The one way to change anything: checks `commit`, orders it, and carries out what follows.
    fn commit(&mut self, cause: Cause, commit: Commit, after: &mut Aftermath) -> Result<(), Error> {
        let Self { state, objects, processes, resting, queue } = self;
        let mut carry_out = |effect| follow(&effect, objects, processes, resting, after);
        state.apply(&commit, &mut carry_out).map_err(error)?;
        queue.push(cause, commit);
        Ok(())
    }

    /// A slot for one more capability of `process`.
    fn vacant(&mut self, process: u32) -> Result<Handle, Error> {
        if !self.resting.is_empty() {
            self.resting.retain(|(_, _, round)| !reclaim::is_past(*round));
        }
        let resting = &self.resting;
        let may_take = |index| !resting.iter().any(|rests| (rests.0, rests.1) == (process, index));
        if self.state.process(process).is_none() {
            return Err(Error::PeerGone);
        }
        self.state.vacant(process, may_take).ok_or(Error::LimitReached)
    }
}

/// Carries out one effect.
fn follow(
    effect: &Effect,
    objects: &mut BTreeMap<ObjectId, Object>,
    processes: &BTreeMap<u32, Arc<Process>>,
    resting: &mut Vec<(u32, u16, u64)>,
    after: &mut Aftermath,
) {
    // Effects come of living processes, which are all in the list but the kernel.
    let table =
        |process: u32| processes.get(&process).map_or(&KERNEL_TABLE, |process| &process.handles);
    match *effect {
        Effect::Filled { process, object, rights, .. } => {
            let Some(object) = objects.get(&object) else { return };
            table(process).write(effect, object);
            object.capability_made(rights);
        }
        Effect::Emptied { process, handle, object: id, rights, why, .. } => {
            let Some(object) = objects.get(&id) else { return };
            table(process).write(effect, object);
            object.capability_gone(rights);
            if handle.generation() == u16::MAX {
                resting.push((process, handle.index() as u16, reclaim::ask_for_round()));
            }
            if matches!(why, Why::Revoked | Why::Destroyed) {
                after.taken_away(id, object);
                if process == KERNEL {
                    KERNEL_BEREFT.announce();
                }
            }
            // Who waits through it looks whether it is still there.
            processes.get(&process).into_iter().for_each(|process| process.bereft.announce());
        }
        Effect::Unmapped { process, address, pages, .. } => {
            if let Some(process) = processes.get(&process) {
                after.unmap(process, address, pages);
            }
        }
        Effect::Gone { object, .. } => {
            if let Some(object) = objects.remove(&object) {
                reclaim::defer(object);
            }
        }
    }
}
