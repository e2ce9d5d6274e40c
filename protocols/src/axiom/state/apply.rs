//! What a commit does to the state. Each is checked whole before anything changes, so one that is
//! refused leaves the state as it was.

use alloc::vec::Vec;

use super::super::commit::{Budget, CapabilityId, Commit, KERNEL, Name, ObjectId};
use super::outcome::{Effect, Effects, Refusal, Why};
use super::slots::Slots;
use super::{Capability, Object, Process, State};
use crate::abi::{Handle, ObjectKind, Rights};

impl State {
    /// Carries out `commit`, and tells `effects` what follows, in order. Refused, nothing changes.
    pub fn apply(&mut self, commit: &Commit, effects: Effects<'_>) -> Result<(), Refusal> {
        match *commit {
            Commit::Genesis { log } => {
                if self.log.is_some() {
                    return Err(Refusal::OutOfPlace);
                }
                self.log = Some(log);
                Ok(())
            }
            _ if self.log.is_none() => Err(Refusal::OutOfPlace),
            Commit::Booted { epoch, measured, budget } => {
                if self.epoch.checked_add(1) != Some(epoch) {
                    return Err(Refusal::OutOfPlace);
                }
                self.boot(epoch, budget);
                self.measured = measured;
                Ok(())
            }
            _ if self.epoch == 0 => Err(Refusal::OutOfPlace),
            Commit::ProcessCreated { process, object, parent, budget, name } => {
                self.create_process(process, object, parent, budget, name)
            }
            Commit::ProcessExited { process, .. }
            | Commit::ProcessFaulted { process, .. }
            | Commit::ProcessKilled { process } => self.end_process(process, effects),
            Commit::ThreadCreated { process, thread, object } => {
                self.create_thread(process, thread, object)
            }
            Commit::ThreadEnded { process, thread, .. } => {
                let of = self.processes.get_mut(&process).ok_or(Refusal::NoProcess)?;
                let object = of.threads.remove(&thread).ok_or(Refusal::NoThread)?;
                self.died(object, effects);
                Ok(())
            }
            Commit::ObjectCreated { object, kind, detail, capability, process, handle } => {
                if matches!(kind, ObjectKind::Process | ObjectKind::Thread) {
                    return Err(Refusal::Kind);
                }
                self.check_object(object)?;
                self.check_capability(capability)?;
                self.check_slot(process, handle)?;
                self.next_object += 1;
                self.objects.insert(object, Object::new(kind, process, detail));
                let rights = Rights::all();
                let new = Capability { object, rights, process, handle, parent: None };
                self.insert(capability, new, effects);
                Ok(())
            }
            Commit::ObjectDestroyed { object } => {
                let kind = self.objects.get(&object).ok_or(Refusal::NoObject)?.kind;
                if matches!(kind, ObjectKind::Process | ObjectKind::Thread) {
                    return Err(Refusal::Kind);
                }
                let named = self.capabilities.iter().filter(|(_, held)| held.object == object);
                let named: Vec<CapabilityId> = named.map(|(id, _)| *id).collect();
                let mapped = self.mappings.iter().filter(|(_, mapping)| mapping.object == object);
                let mapped: Vec<(u32, u64)> = mapped.map(|(at, _)| *at).collect();
                mapped.into_iter().for_each(|at| self.unmap(at, effects));
                named.into_iter().for_each(|id| self.remove(id, Why::Destroyed, effects));
                Ok(())
            }
            Commit::Inserted { capability, object, rights, process, handle } => {
                let of = self.objects.get(&object).ok_or(Refusal::NoObject)?;
                let parent = self.processes.get(&of.process).map(|process| process.parent);
                let allowed = match of.kind {
                    ObjectKind::Process => process == of.process || parent == Some(process),
                    ObjectKind::Thread => process == of.process,
                    _ => return Err(Refusal::Kind),
                };
                if !allowed || !of.is_alive {
                    return Err(Refusal::Rights);
                }
                self.check_capability(capability)?;
                self.check_slot(process, handle)?;
                let new = Capability { object, rights, process, handle, parent: None };
                self.insert(capability, new, effects);
                Ok(())
            }
            Commit::Derived { capability, from, rights, process, handle } => {
                let old = *self.capabilities.get(&from).ok_or(Refusal::NoCapability)?;
                let needed =
                    if process == old.process { Rights::empty() } else { Rights::TRANSFER };
                if !old.rights.contains(rights | Rights::DUPLICATE | needed) {
                    return Err(Refusal::Rights);
                }
                self.check_capability(capability)?;
                self.check_slot(process, handle)?;
                let parent = Some(from);
                self.insert(
                    capability,
                    Capability { object: old.object, rights, process, handle, parent },
                    effects,
                );
                Ok(())
            }
            Commit::Granted { capability, process, handle } => {
                let old = *self.capabilities.get(&capability).ok_or(Refusal::NoCapability)?;
                if !old.rights.contains(Rights::TRANSFER) {
                    return Err(Refusal::Rights);
                }
                // Within one process it would be in two slots for a moment.
                if process == old.process {
                    return Err(Refusal::Slot);
                }
                self.check_slot(process, handle)?;
                let new = Capability { process, handle, ..old };
                self.capabilities.insert(capability, new);
                self.enter(capability, &new, effects);
                self.leave(&old, Why::Granted, effects);
                Ok(())
            }
            Commit::Revoked { capability } => {
                if !self.capabilities.contains_key(&capability) {
                    return Err(Refusal::NoCapability);
                }
                self.revoke(capability, effects);
                Ok(())
            }
            Commit::Removed { capability } => {
                if !self.capabilities.contains_key(&capability) {
                    return Err(Refusal::NoCapability);
                }
                self.remove(capability, Why::Removed, effects);
                Ok(())
            }
            Commit::Shared { capability, address, pages, rights } => {
                self.share(capability, address, pages, rights)
            }
            Commit::Unshared { process, address, pages } => {
                self.unshare(process, address, pages, effects)
            }
            Commit::Checkpoint { .. } => Ok(()),
        }
    }

    fn boot(&mut self, epoch: u32, budget: Budget) {
        self.processes.clear();
        self.objects.clear();
        self.capabilities.clear();
        self.children.clear();
        self.mappings.clear();
        self.mapped.clear();
        self.epoch = epoch;
        // Numbers begin again: what has one lives in its epoch only.
        (self.next_object, self.next_capability, self.next_process) = (1, 0, KERNEL + 1);
        let object = ObjectId(0);
        let kernel = Object { is_alive: true, ..Object::new(ObjectKind::Process, KERNEL, 0) };
        self.objects.insert(object, kernel);
        self.processes.insert(KERNEL, Process::new(object, KERNEL, budget, Name::new("kernel")));
    }

    fn create_process(
        &mut self,
        process: u32,
        object: ObjectId,
        parent: u32,
        budget: Budget,
        name: Name,
    ) -> Result<(), Refusal> {
        self.check_object(object)?;
        if process != self.next_process || process == u32::MAX {
            return Err(Refusal::Number);
        }
        let of = self.processes.get_mut(&parent).ok_or(Refusal::NoProcess)?;
        let given = of.given.with(budget).ok_or(Refusal::Budget)?;
        let used = Budget {
            threads: of.threads.len() as u32,
            handles: of.slots.count() as u32,
            ..Budget::default()
        };
        let left = of.budget.without(given).and_then(|left| left.without(used));
        left.ok_or(Refusal::Budget)?;
        of.given = given;
        self.next_process += 1;
        self.next_object += 1;
        let new = Object { is_alive: true, ..Object::new(ObjectKind::Process, process, 0) };
        self.objects.insert(object, new);
        self.processes.insert(process, Process::new(object, parent, budget, name));
        Ok(())
    }

    fn end_process(&mut self, id: u32, effects: Effects<'_>) -> Result<(), Refusal> {
        let process = self.processes.get(&id).ok_or(Refusal::NoProcess)?;
        if id == KERNEL {
            return Err(Refusal::NoProcess);
        }
        if !process.threads.is_empty() {
            return Err(Refusal::HasThreads);
        }
        let mut held: Vec<CapabilityId> = process.slots.taken().map(|(_, held)| held).collect();
        // The oldest first: so whatever is derived from them is hung elsewhere once, not each time.
        held.sort_unstable();
        let (first, last) = ((id, 0), (id, u64::MAX));
        let mapped: Vec<(u32, u64)> = self.mappings.range(first..=last).map(|at| *at.0).collect();
        mapped.into_iter().for_each(|at| self.forget(at, effects));
        held.into_iter().for_each(|held| self.remove(held, Why::Ended, effects));
        let Some(ended) = self.processes.remove(&id) else { return Ok(()) };
        // What its children have of its budget, they have of its parent's.
        for child in self.processes.values_mut().filter(|child| child.parent == id) {
            child.parent = ended.parent;
        }
        if let Some(parent) = self.processes.get_mut(&ended.parent) {
            let given = parent.given.without(ended.budget).and_then(|left| left.with(ended.given));
            parent.given = given.unwrap_or(parent.given);
        }
        self.died(ended.object, effects);
        Ok(())
    }

    fn create_thread(
        &mut self,
        process: u32,
        thread: u32,
        object: ObjectId,
    ) -> Result<(), Refusal> {
        self.check_object(object)?;
        let of = self.processes.get_mut(&process).ok_or(Refusal::NoProcess)?;
        if thread != of.next_thread || thread == u32::MAX {
            return Err(Refusal::Number);
        }
        let used = of.given.threads as usize + of.threads.len();
        if used >= of.budget.threads as usize {
            return Err(Refusal::Budget);
        }
        of.next_thread += 1;
        of.threads.insert(thread, object);
        self.next_object += 1;
        let new = Object::new(ObjectKind::Thread, process, thread.into());
        self.objects.insert(object, Object { is_alive: true, ..new });
        Ok(())
    }

    /// Whether it is the next one, and not the last number there is.
    fn check_object(&self, id: ObjectId) -> Result<(), Refusal> {
        let is_next = id.0 == self.next_object && id.0 != u64::MAX;
        if is_next { Ok(()) } else { Err(Refusal::Number) }
    }

    /// Whether it is the next one, and not the last number there is.
    fn check_capability(&self, id: CapabilityId) -> Result<(), Refusal> {
        let is_next = id.0 == self.next_capability && id.0 != u64::MAX;
        if is_next { Ok(()) } else { Err(Refusal::Number) }
    }

    fn check_slot(&self, process: u32, handle: Handle) -> Result<(), Refusal> {
        let process = self.processes.get(&process).ok_or(Refusal::NoProcess)?;
        if self.room(process) == 0 {
            return Err(Refusal::Budget);
        }
        if process.slots.is_vacant(handle) { Ok(()) } else { Err(Refusal::Slot) }
    }

    /// A capability that was not there before.
    fn insert(&mut self, id: CapabilityId, new: Capability, effects: Effects<'_>) {
        self.next_capability += 1;
        self.capabilities.insert(id, new);
        if let Some(parent) = new.parent {
            self.children.insert((parent, id));
        }
        if let Some(object) = self.objects.get_mut(&new.object) {
            object.capabilities += 1;
        }
        self.enter(id, &new, effects);
    }

    fn enter(&mut self, id: CapabilityId, new: &Capability, effects: Effects<'_>) {
        if let Some(process) = self.processes.get_mut(&new.process) {
            process.slots.fill(new.handle, id);
        }
        if let Some(Object { kind, .. }) = self.objects.get(&new.object) {
            let Capability { process, handle, object, rights, .. } = *new;
            effects(Effect::Filled { process, handle, object, kind: *kind, rights });
        }
    }

    fn leave(&mut self, old: &Capability, why: Why, effects: Effects<'_>) {
        if let Some(process) = self.processes.get_mut(&old.process) {
            process.slots.empty(old.handle);
        }
        let Capability { process, handle, object, rights, .. } = *old;
        effects(Effect::Emptied { process, handle, object, rights, why });
    }

    /// Takes a capability away; what came of it comes of what it came of.
    fn remove(&mut self, id: CapabilityId, why: Why, effects: Effects<'_>) {
        let Some(old) = self.capabilities.remove(&id) else { return };
        if let Some(parent) = old.parent {
            self.children.remove(&(parent, id));
        }
        let children: Vec<CapabilityId> = self.children(id).collect();
        for child in children {
            self.children.remove(&(id, child));
            if let Some(parent) = old.parent {
                self.children.insert((parent, child));
            }
            if let Some(child) = self.capabilities.get_mut(&child) {
                child.parent = old.parent;
            }
        }
        let mapped: Vec<(u32, u64)> = self.mapped_through(id).collect();
        for (process, address) in mapped {
            self.mapped.remove(&(id, process, address));
            if let Some(parent) = old.parent {
                self.mapped.insert((parent, process, address));
            }
            if let Some(mapping) = self.mappings.get_mut(&(process, address)) {
                mapping.parent = old.parent;
            }
        }
        self.leave(&old, why, effects);
        if let Some(object) = self.objects.get_mut(&old.object) {
            object.capabilities -= 1;
        }
        self.settle(old.object, effects);
    }

    fn revoke(&mut self, root: CapabilityId, effects: Effects<'_>) {
        // Each after what it was derived from.
        let mut subtree = Vec::new();
        let mut next: Vec<CapabilityId> = self.children(root).collect();
        while let Some(id) = next.pop() {
            next.extend(self.children(id));
            subtree.push(id);
        }
        for id in core::iter::once(root).chain(subtree.iter().copied()) {
            let mapped: Vec<(u32, u64)> = self.mapped_through(id).collect();
            mapped.into_iter().for_each(|at| self.unmap(at, effects));
        }
        // Leaves first: nothing has to be hung elsewhere on the way.
        subtree.into_iter().rev().for_each(|id| self.remove(id, Why::Revoked, effects));
    }

    fn died(&mut self, object: ObjectId, effects: Effects<'_>) {
        if let Some(object) = self.objects.get_mut(&object) {
            object.is_alive = false;
        }
        self.settle(object, effects);
    }

    /// An object that nobody can name and that does not live is gone.
    pub(super) fn settle(&mut self, id: ObjectId, effects: Effects<'_>) {
        let Some(object) = self.objects.get(&id) else { return };
        if object.capabilities == 0 && object.mappings == 0 && !object.is_alive {
            self.objects.remove(&id);
            effects(Effect::Gone { object: id });
        }
    }
}

impl Object {
    fn new(kind: ObjectKind, process: u32, detail: u64) -> Self {
        Self { kind, process, detail, capabilities: 0, mappings: 0, is_alive: false }
    }
}

impl Process {
    fn new(object: ObjectId, parent: u32, budget: Budget, name: Name) -> Self {
        Self {
            object,
            parent,
            budget,
            given: Budget::default(),
            name,
            threads: alloc::collections::BTreeMap::new(),
            next_thread: 1,
            slots: Slots::default(),
        }
    }
}
