//! What others may see of the state. Nothing here changes it.

use super::{Capability, Mapping, Object, Process, State};
use crate::axiom::chain::Hash;
use crate::axiom::commit::{CapabilityId, ObjectId};

impl State {
    /// Which log this is.
    pub const fn log(&self) -> Option<[u8; 16]> {
        self.log
    }

    /// Which start of the machine; zero before the first.
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// What was started.
    pub const fn measured(&self) -> Hash {
        self.measured
    }

    /// Whether everything is held as in `other`, whatever their places in logs' lives.
    pub fn holds_the_same(&self, other: &Self) -> bool {
        self.processes == other.processes
            && self.objects == other.objects
            && self.capabilities == other.capabilities
            && self.mappings == other.mappings
    }

    /// The number of the next process.
    pub const fn next_process(&self) -> u32 {
        self.next_process
    }

    /// The living processes, by number. The first is the kernel.
    pub fn processes(&self) -> impl Iterator<Item = (u32, &Process)> {
        self.processes.iter().map(|(id, process)| (*id, process))
    }

    /// A living process.
    pub fn process(&self, id: u32) -> Option<&Process> {
        self.processes.get(&id)
    }

    /// All objects.
    pub fn objects(&self) -> impl Iterator<Item = (ObjectId, &Object)> {
        self.objects.iter().map(|(id, object)| (*id, object))
    }

    /// An object.
    pub fn object(&self, id: ObjectId) -> Option<&Object> {
        self.objects.get(&id)
    }

    /// All capabilities.
    pub fn capabilities(&self) -> impl Iterator<Item = (CapabilityId, &Capability)> {
        self.capabilities.iter().map(|(id, capability)| (*id, capability))
    }

    /// A capability.
    pub fn capability(&self, id: CapabilityId) -> Option<&Capability> {
        self.capabilities.get(&id)
    }

    /// What was derived from a capability directly, and after `child`.
    pub fn child_after(&self, of: CapabilityId, child: CapabilityId) -> Option<CapabilityId> {
        let first = CapabilityId(child.0.saturating_add(1));
        self.children
            .range((of, first)..=(of, CapabilityId(u64::MAX)))
            .map(|(_, next)| *next)
            .next()
    }

    /// A mapping.
    pub fn mapping(&self, process: u32, address: u64) -> Option<&Mapping> {
        self.mappings.get(&(process, address))
    }

    /// All mappings: process, address, what.
    pub fn mappings(&self) -> impl Iterator<Item = (u32, u64, &Mapping)> {
        self.mappings.iter().map(|((process, address), mapping)| (*process, *address, mapping))
    }
}

impl Process {
    /// The number of its next thread.
    pub const fn next_thread(&self) -> u32 {
        self.next_thread
    }
}
