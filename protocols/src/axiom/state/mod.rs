//! The state: who holds what.
//!
//! ```text
//!   processes: budget, threads, slots ──┐
//!                                       │ each slot: one capability
//!   capabilities: tree by derivation <──┘──> objects
//!        └──> mappings of memory
//! ```
//!
//! Its fields are changed by [`State::apply`] alone, in `apply.rs` and `memory.rs`; everything else reads. What
//! holds of every state is written down in [`State::verify`].

mod apply;
mod encode;
mod memory;
mod outcome;
mod slots;
#[cfg(test)]
mod tests;
mod verify;
mod view;

pub use memory::MAPPINGS_MAX;
pub use outcome::{Effect, Refusal, Why};
pub use slots::SLOTS_MAX;
pub use verify::Broken;

use alloc::collections::{BTreeMap, BTreeSet};

use super::chain::Hash;
use super::commit::{Budget, CapabilityId, Name, ObjectId};
use crate::abi::{Handle, ObjectKind, Rights};
use slots::Slots;

/// Who holds what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    log: Option<[u8; 16]>,
    epoch: u32,
    measured: Hash,
    next_object: u64,
    next_capability: u64,
    next_process: u32,
    processes: BTreeMap<u32, Process>,
    objects: BTreeMap<ObjectId, Object>,
    capabilities: BTreeMap<CapabilityId, Capability>,
    /// What was derived from what.
    children: BTreeSet<(CapabilityId, CapabilityId)>,
    mappings: BTreeMap<(u32, u64), Mapping>,
    /// What was mapped through what.
    mapped: BTreeSet<(CapabilityId, u32, u64)>,
}

/// A living process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// What capabilities to it name.
    pub object: ObjectId,
    /// Whose budget its own comes from.
    pub parent: u32,
    /// What it may use.
    pub budget: Budget,
    /// What of that its children have.
    pub given: Budget,
    /// Its program.
    pub name: Name,
    /// Its living threads.
    pub threads: BTreeMap<u32, ObjectId>,
    next_thread: u32,
    slots: Slots,
}

/// An object that somebody can name, or that lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    /// What it is.
    pub kind: ObjectKind,
    /// The process it is, or is a thread of, or that made it.
    pub process: u32,
    /// As in its commit. A thread: its number.
    pub detail: u64,
    /// Capabilities to it.
    pub capabilities: u32,
    /// Mappings of it.
    pub mappings: u32,
    /// A process or thread that has not ended. False for all other kinds.
    pub is_alive: bool,
}

impl Object {
    /// Whether it can have so many pages mapped in a row. How many registers a device has is not
    /// known here.
    pub(super) fn has_pages(&self, pages: u64) -> bool {
        match self.kind {
            ObjectKind::Memory => pages <= self.detail,
            ObjectKind::Device => true,
            _ => false,
        }
    }
}

/// A capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// What it names.
    pub object: ObjectId,
    /// What it allows.
    pub rights: Rights,
    /// Who holds it.
    pub process: u32,
    /// Where.
    pub handle: Handle,
    /// What it was derived from, if that, or what came in its place, is still there.
    pub parent: Option<CapabilityId>,
}

/// Pages of a memory object, or registers of a device, in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Whose pages.
    pub object: ObjectId,
    /// How many.
    pub pages: u64,
    /// How they may be used.
    pub rights: Rights,
    /// What they were mapped through, if that, or what came in its place, is still there.
    pub parent: Option<CapabilityId>,
}

impl State {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self {
            log: None,
            epoch: 0,
            measured: Hash([0; 32]),
            next_object: 0,
            next_capability: 0,
            next_process: 0,
            processes: BTreeMap::new(),
            objects: BTreeMap::new(),
            capabilities: BTreeMap::new(),
            children: BTreeSet::new(),
            mappings: BTreeMap::new(),
            mapped: BTreeSet::new(),
        }
    }

    /// The number of the next object.
    pub const fn next_object(&self) -> ObjectId {
        ObjectId(self.next_object)
    }

    /// The number of the next capability.
    pub const fn next_capability(&self) -> CapabilityId {
        CapabilityId(self.next_capability)
    }

    /// What was derived from a capability, directly.
    pub fn children(&self, of: CapabilityId) -> impl Iterator<Item = CapabilityId> {
        let (first, last) = (CapabilityId(0), CapabilityId(u64::MAX));
        self.children.range((of, first)..=(of, last)).map(|(_, child)| *child)
    }

    /// What was mapped through a capability: process, address.
    pub fn mapped_through(&self, id: CapabilityId) -> impl Iterator<Item = (u32, u64)> {
        let range = (id, 0, 0)..=(id, u32::MAX, u64::MAX);
        self.mapped.range(range).map(|(_, process, address)| (*process, *address))
    }

    /// What `handle` of `process` is.
    pub fn find(&self, process: u32, handle: Handle) -> Option<(CapabilityId, &Capability)> {
        let id = self.processes.get(&process)?.slots.find(handle)?;
        Some((id, self.capabilities.get(&id)?))
    }

    /// What a process holds, by slot.
    pub fn held(&self, process: u32) -> impl Iterator<Item = (Handle, CapabilityId)> {
        self.processes.get(&process).into_iter().flat_map(|process| process.slots.taken())
    }

    /// A slot for one more capability of `process`, of those that `may_take` agrees to.
    pub fn vacant(&self, process: u32, may_take: impl Fn(u16) -> bool) -> Option<Handle> {
        let process = self.processes.get(&process)?;
        if self.room(process) == 0 { None } else { process.slots.vacant(may_take) }
    }

    /// How many more capabilities a process may hold.
    pub fn room(&self, process: &Process) -> usize {
        let left = process.budget.handles.saturating_sub(process.given.handles) as usize;
        left.min(SLOTS_MAX).saturating_sub(process.slots.count())
    }
}
