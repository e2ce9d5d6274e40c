//! What holds of every state that commits can lead to. [`State::apply`] keeps it; it is looked at
//! where a state comes from elsewhere (a checkpoint), and by tests.

use alloc::collections::BTreeMap;

use super::super::commit::{Budget, CapabilityId, KERNEL, ObjectId};
use super::slots::SLOTS_MAX;
use super::{Object, State};
use crate::abi::{ObjectKind, PAGE, Rights, USER_END};

/// What does not hold of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum Broken {
    /// Before the first boot there is nothing.
    #[error("something is held before the first boot")]
    BeforeBoot,
    /// A machine was started whose log never began.
    #[error("it belongs to no log")]
    NoLog,
    /// A number that has not been given yet.
    #[error("a number is in use that was not given yet")]
    Number,
    /// A slot and the capability in it do not name each other.
    #[error("capability {0:?} and its slot do not name each other")]
    Slot(CapabilityId),
    /// A capability or mapping names no object, or one that such a capability cannot be to.
    #[error("capability {0:?} names no such object")]
    Dangling(CapabilityId),
    /// A derived capability has more rights than what it was derived from, another object, or was
    /// there first.
    #[error("capability {0:?} has more than what it was derived from")]
    Escalated(CapabilityId),
    /// What is counted of an object is not what there is, or it is gone.
    #[error("object {0:?} is counted wrongly")]
    Counted(ObjectId),
    /// A process's budget, threads or parent cannot be.
    #[error("process {0} does not add up")]
    Process(u32),
    /// A mapping at this address of this process cannot be.
    #[error("the mapping at {1:#x} of process {0} cannot be")]
    Mapping(u32, u64),
}

impl State {
    /// Whether this is a state that commits can lead to, as far as can be seen.
    pub fn verify(&self) -> Result<(), Broken> {
        if self.epoch == 0 {
            let is_empty = *self == Self { log: self.log, ..Self::new() };
            return if is_empty { Ok(()) } else { Err(Broken::BeforeBoot) };
        }
        if self.log.is_none() {
            return Err(Broken::NoLog);
        }
        let newest = (self.objects.last_key_value(), self.capabilities.last_key_value());
        let newest_process = self.processes.last_key_value();
        if newest.0.is_some_and(|(id, _)| id.0 >= self.next_object)
            || newest.1.is_some_and(|(id, _)| id.0 >= self.next_capability)
            || newest_process.is_none_or(|(id, _)| *id >= self.next_process)
        {
            return Err(Broken::Number);
        }
        self.verify_capabilities()?;
        self.verify_mappings()?;
        self.verify_processes()?;
        self.verify_objects()
    }

    fn verify_capabilities(&self) -> Result<(), Broken> {
        for (&id, held) in &self.capabilities {
            let slot = self.processes.get(&held.process).and_then(|of| of.slots.find(held.handle));
            if slot != Some(id) {
                return Err(Broken::Slot(id));
            }
            if !self.objects.contains_key(&held.object) {
                return Err(Broken::Dangling(id));
            }
            let Some(parent) = held.parent else { continue };
            // What is older comes first, so there are no circles.
            let parent = self.capabilities.get(&parent).filter(|_| parent < id);
            let fits = parent.is_some_and(|parent| {
                parent.object == held.object
                    && parent.rights.contains(held.rights | Rights::DUPLICATE)
            });
            if !fits {
                return Err(Broken::Escalated(id));
            }
        }
        for (&process, of) in &self.processes {
            for (handle, id) in of.slots.taken() {
                let held = self.capabilities.get(&id);
                if held.is_none_or(|held| (held.process, held.handle) != (process, handle)) {
                    return Err(Broken::Slot(id));
                }
            }
        }
        Ok(())
    }

    fn verify_mappings(&self) -> Result<(), Broken> {
        let mut end_of_last = (KERNEL, 0);
        for (&(process, address), mapping) in &self.mappings {
            let broken = Broken::Mapping(process, address);
            let end =
                mapping.pages.checked_mul(PAGE as u64).and_then(|len| len.checked_add(address));
            let end = end.filter(|end| *end <= USER_END && mapping.pages > 0).ok_or(broken)?;
            let overlaps = end_of_last.0 == process && address < end_of_last.1;
            let object = self.objects.get(&mapping.object);
            let is_memory = object.is_some_and(|object| object.has_pages(mapping.pages));
            if overlaps
                || !address.is_multiple_of(PAGE as u64)
                || !is_memory
                || !self.processes.contains_key(&process)
                || !(Rights::SEND | Rights::RECEIVE).contains(mapping.rights)
                || !mapping.rights.contains(Rights::RECEIVE)
            {
                return Err(broken);
            }
            if let Some(parent) = mapping.parent {
                let parent = self.capabilities.get(&parent).ok_or(broken)?;
                if parent.object != mapping.object || !parent.rights.contains(mapping.rights) {
                    return Err(broken);
                }
            }
            end_of_last = (process, end);
        }
        Ok(())
    }

    fn verify_processes(&self) -> Result<(), Broken> {
        let mut given: BTreeMap<u32, Budget> = BTreeMap::new();
        for (&id, process) in self.processes.iter().filter(|(id, _)| **id != KERNEL) {
            let all = given.entry(process.parent).or_default();
            *all = all.with(process.budget).ok_or(Broken::Process(process.parent))?;
            // The kernel is everybody's last parent.
            if process.parent >= id || !self.processes.contains_key(&process.parent) {
                return Err(Broken::Process(id));
            }
        }
        if self.processes.get(&KERNEL).is_none_or(|kernel| kernel.parent != KERNEL) {
            return Err(Broken::Process(KERNEL));
        }
        for (&id, process) in &self.processes {
            let used = Budget {
                threads: process.threads.len() as u32,
                handles: process.slots.count() as u32,
                ..Budget::default()
            };
            let all = process.given.with(used);
            let fits = all.is_some_and(|all| process.budget.without(all).is_some());
            let named = self.objects.get(&process.object);
            let lives = |object: &Object, kind| {
                object.is_alive && object.kind == kind && object.process == id
            };
            if !fits
                || process.given != given.get(&id).copied().unwrap_or_default()
                || process.slots.count() > SLOTS_MAX
                || !named.is_some_and(|object| lives(object, ObjectKind::Process))
            {
                return Err(Broken::Process(id));
            }
            for (&number, object) in &process.threads {
                let object = self.objects.get(object);
                let fits = object.is_some_and(|object| {
                    lives(object, ObjectKind::Thread) && object.detail == u64::from(number)
                });
                if !fits || number >= process.next_thread {
                    return Err(Broken::Process(id));
                }
            }
        }
        Ok(())
    }

    fn verify_objects(&self) -> Result<(), Broken> {
        let mut counts: BTreeMap<ObjectId, (u32, u32)> = BTreeMap::new();
        self.capabilities.values().for_each(|held| counts.entry(held.object).or_default().0 += 1);
        self.mappings.values().for_each(|at| counts.entry(at.object).or_default().1 += 1);
        for (&id, object) in &self.objects {
            let (capabilities, mappings) = counts.get(&id).copied().unwrap_or_default();
            let lives = match object.kind {
                ObjectKind::Process => {
                    let of = self.processes.get(&object.process);
                    object.detail == 0 && of.is_some_and(|of| of.object == id)
                }
                ObjectKind::Thread => {
                    let of = self.processes.get(&object.process);
                    let number = u32::try_from(object.detail).ok();
                    number.and_then(|number| of?.threads.get(&number)) == Some(&id)
                }
                _ => false,
            };
            if (object.capabilities, object.mappings) != (capabilities, mappings)
                || object.is_alive != lives
                || !(lives || capabilities > 0 || mappings > 0)
            {
                return Err(Broken::Counted(id));
            }
        }
        Ok(())
    }
}
