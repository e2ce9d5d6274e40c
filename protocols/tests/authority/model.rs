//! Authority, naively: lists of everything that ever was in an epoch, searched from end to end.
//!
//! It shares no idea with the real one beyond the commits. Nothing is ever hung elsewhere or
//! counted: what was derived from what is kept as it was at birth, for the dead too, and whoever
//! asks walks it. Mappings are single pages.

mod check;

use protocols::abi::{Handle, ObjectKind, PAGE, Rights, USER_END};
use protocols::axiom::{Budget, Commit};

pub struct Process {
    object: u64,
    parent: u32,
    budget: Budget,
    is_alive: bool,
    /// Every thread it ever had: its object, and whether it lives.
    threads: Vec<(u64, bool)>,
    /// The generation of every slot it ever used.
    generations: Vec<u16>,
}

struct Object {
    kind: ObjectKind,
    process: u32,
    detail: u64,
}

pub struct Capability {
    object: u64,
    rights: Rights,
    process: u32,
    handle: Handle,
    from: Option<u64>,
    is_alive: bool,
}

struct Page {
    process: u32,
    number: u64,
    object: u64,
    rights: Rights,
    through: u64,
}

/// Everything there ever was in this epoch, by number.
#[derive(Default)]
pub struct Model {
    log: Option<[u8; 16]>,
    epoch: u32,
    processes: Vec<Process>,
    objects: Vec<Object>,
    capabilities: Vec<Capability>,
    pages: Vec<Page>,
}

impl Model {
    fn lives(&self, process: u32) -> bool {
        self.processes.get(process as usize).is_some_and(|process| process.is_alive)
    }

    /// The nearest ancestor that lives.
    fn parent(&self, process: u32) -> u32 {
        let mut parent = self.processes[process as usize].parent;
        while !self.lives(parent) {
            parent = self.processes[parent as usize].parent;
        }
        parent
    }

    fn living(&self) -> impl Iterator<Item = u32> {
        (0..self.processes.len() as u32).filter(|process| self.lives(*process))
    }

    /// Sums what the children have.
    fn given(&self, process: u32) -> Budget {
        let mut sum = Budget::default();
        for child in self.living().filter(|child| *child != 0 && self.parent(*child) == process) {
            let budget = self.processes[child as usize].budget;
            sum.frames += budget.frames;
            sum.threads += budget.threads;
            sum.handles += budget.handles;
            sum.messages += budget.messages;
        }
        sum
    }

    fn threads(&self, process: u32) -> u32 {
        self.processes[process as usize].threads.iter().filter(|thread| thread.1).count() as u32
    }

    fn held(&self) -> impl Iterator<Item = (u64, &Capability)> {
        let all = self.capabilities.iter().enumerate();
        all.filter(|(_, held)| held.is_alive).map(|(id, held)| (id as u64, held))
    }

    fn handles(&self, process: u32) -> u32 {
        self.held().filter(|(_, held)| held.process == process).count() as u32
    }

    fn capability(&self, id: u64) -> Option<&Capability> {
        self.capabilities.get(usize::try_from(id).ok()?).filter(|held| held.is_alive)
    }

    fn is_descended(&self, mut id: u64, from: u64) -> bool {
        while let Some(parent) = self.capabilities[id as usize].from {
            if parent == from {
                return true;
            }
            id = parent;
        }
        false
    }

    /// The nearest that lives of what it was derived from.
    fn origin(&self, id: u64) -> Option<u64> {
        let mut from = self.capabilities[id as usize].from?;
        while !self.capabilities[from as usize].is_alive {
            from = self.capabilities[from as usize].from?;
        }
        Some(from)
    }

    fn object_lives(&self, id: u64) -> bool {
        let Some(object) = self.objects.get(id as usize) else { return false };
        match object.kind {
            ObjectKind::Process => self.lives(object.process),
            ObjectKind::Thread => {
                let number = object.detail as usize - 1;
                self.lives(object.process)
                    && self.processes[object.process as usize].threads[number].1
            }
            _ => false,
        }
    }

    fn object_is_there(&self, id: u64) -> bool {
        self.object_lives(id)
            || self.held().any(|(_, held)| held.object == id)
            || self.pages.iter().any(|page| page.object == id)
    }

    fn may_enter(&self, process: u32, handle: Handle) -> bool {
        if !self.lives(process) {
            return false;
        }
        let most = self.processes[process as usize].budget.handles - self.given(process).handles;
        let generations = &self.processes[process as usize].generations;
        let is_taken = self
            .held()
            .any(|(_, held)| held.process == process && held.handle.index() == handle.index());
        let fits = match generations.get(handle.index()) {
            Some(generation) => handle.generation() == *generation,
            None => handle.index() == generations.len() && handle.generation() == 1,
        };
        self.handles(process) < most.min(1024) && !is_taken && fits && handle.index() < 1024
    }

    fn enter(&mut self, process: u32, handle: Handle) {
        let generations = &mut self.processes[process as usize].generations;
        if handle.index() == generations.len() {
            generations.push(1);
        }
    }

    fn leave(&mut self, process: u32, handle: Handle) {
        let generation = &mut self.processes[process as usize].generations[handle.index()];
        *generation = if *generation == u16::MAX { 1 } else { *generation + 1 };
    }

    fn end(&mut self, id: u64) {
        let old = &mut self.capabilities[id as usize];
        old.is_alive = false;
        let (process, handle) = (old.process, old.handle);
        self.leave(process, handle);
    }

    fn end_all(&mut self, which: impl Fn(&Self, u64, &Capability) -> bool) {
        let doomed: Vec<u64> =
            self.held().filter(|(id, held)| which(self, *id, held)).map(|(id, _)| id).collect();
        doomed.into_iter().for_each(|id| self.end(id));
    }

    fn begin(&mut self, new: Capability) {
        self.enter(new.process, new.handle);
        self.capabilities.push(new);
    }

    /// The same commit, by brute force. Whether it can be.
    pub fn apply(&mut self, commit: &Commit) -> bool {
        self.try_apply(commit).is_some()
    }

    fn try_apply(&mut self, commit: &Commit) -> Option<()> {
        let when = |holds: bool| if holds { Some(()) } else { None };
        let is_next_object = |id: u64| when(id == self.objects.len() as u64);
        let is_next_capability = |id: u64| when(id == self.capabilities.len() as u64);
        if let Commit::Genesis { log } = *commit {
            when(self.log.is_none())?;
            self.log = Some(log);
            return Some(());
        }
        when(self.log.is_some())?;
        if let Commit::Booted { epoch, budget, .. } = *commit {
            when(epoch == self.epoch + 1)?;
            *self = Self { log: self.log, epoch, ..Self::default() };
            self.add_process(0, 0, budget);
            return Some(());
        }
        when(self.epoch > 0)?;
        match *commit {
            Commit::Genesis { .. } | Commit::Booted { .. } | Commit::Checkpoint { .. } => {}
            Commit::ProcessCreated { process, object, parent, budget, .. } => {
                is_next_object(object.0)?;
                when(process as usize == self.processes.len() && self.lives(parent))?;
                let of = self.processes[parent as usize].budget;
                let given = self.given(parent);
                let sum = |of: u64, given: u64, own: u64, more: u64| {
                    when(u128::from(given) + u128::from(own) + u128::from(more) <= of.into())
                };
                sum(of.frames, given.frames, 0, budget.frames)?;
                let threads = self.threads(parent);
                let all = [
                    (of.threads, given.threads, threads, budget.threads),
                    (of.handles, given.handles, self.handles(parent), budget.handles),
                    (of.messages, given.messages, 0, budget.messages),
                ];
                for (of, given, own, more) in all {
                    sum(of.into(), given.into(), own.into(), more.into())?;
                }
                self.add_process(process, parent, budget);
            }
            Commit::ProcessExited { process, .. }
            | Commit::ProcessFaulted { process, .. }
            | Commit::ProcessKilled { process } => {
                when(process != 0 && self.lives(process) && self.threads(process) == 0)?;
                self.end_all(|_, _, held| held.process == process);
                self.pages.retain(|page| page.process != process);
                self.processes[process as usize].is_alive = false;
            }
            Commit::ThreadCreated { process, thread, object } => {
                is_next_object(object.0)?;
                when(self.lives(process))?;
                let (given, used) = (self.given(process).threads, self.threads(process));
                let of = &mut self.processes[process as usize];
                when(thread as usize == of.threads.len() + 1)?;
                when(given + used < of.budget.threads)?;
                of.threads.push((object.0, true));
                let kind = ObjectKind::Thread;
                self.objects.push(Object { kind, process, detail: thread.into() });
            }
            Commit::ThreadEnded { process, thread, .. } => {
                when(self.lives(process) && thread > 0)?;
                let thread =
                    self.processes[process as usize].threads.get_mut(thread as usize - 1)?;
                when(thread.1)?;
                thread.1 = false;
            }
            Commit::ObjectCreated { object, kind, detail, capability, process, handle } => {
                when(!matches!(kind, ObjectKind::Process | ObjectKind::Thread))?;
                is_next_object(object.0)?;
                is_next_capability(capability.0)?;
                when(self.may_enter(process, handle))?;
                self.objects.push(Object { kind, process, detail });
                let (object, rights) = (object.0, Rights::all());
                let (from, is_alive) = (None, true);
                self.begin(Capability { object, rights, process, handle, from, is_alive });
            }
            Commit::ObjectDestroyed { object } => {
                when(self.object_is_there(object.0))?;
                let kind = self.objects[object.0 as usize].kind;
                when(!matches!(kind, ObjectKind::Process | ObjectKind::Thread))?;
                self.end_all(|_, _, held| held.object == object.0);
                self.pages.retain(|page| page.object != object.0);
            }
            Commit::Inserted { capability, object, rights, process, handle } => {
                is_next_capability(capability.0)?;
                when(self.object_lives(object.0))?;
                let named = &self.objects[object.0 as usize];
                let is_own = process == named.process;
                let is_child =
                    named.kind == ObjectKind::Process && process == self.parent(named.process);
                when(is_own || is_child)?;
                when(self.may_enter(process, handle))?;
                let (object, from, is_alive) = (object.0, None, true);
                self.begin(Capability { object, rights, process, handle, from, is_alive });
            }
            Commit::Derived { capability, from, rights, process, handle } => {
                is_next_capability(capability.0)?;
                let old = self.capability(from.0)?;
                when(old.rights.contains(rights) && old.rights.contains(Rights::DUPLICATE))?;
                when(process == old.process || old.rights.contains(Rights::TRANSFER))?;
                when(self.may_enter(process, handle))?;
                let (object, from, is_alive) = (old.object, Some(from.0), true);
                self.begin(Capability { object, rights, process, handle, from, is_alive });
            }
            Commit::Granted { capability, process, handle } => {
                let old = self.capability(capability.0)?;
                when(old.rights.contains(Rights::TRANSFER) && old.process != process)?;
                when(self.may_enter(process, handle))?;
                let (holder, left) = (old.process, old.handle);
                self.leave(holder, left);
                self.enter(process, handle);
                let moved = &mut self.capabilities[capability.0 as usize];
                (moved.process, moved.handle) = (process, handle);
            }
            Commit::Revoked { capability } => {
                let root = capability.0;
                self.capability(root)?;
                self.end_all(|all, id, _| all.is_descended(id, root));
                let mut pages = std::mem::take(&mut self.pages);
                pages.retain(|page| page.through != root && !self.is_descended(page.through, root));
                self.pages = pages;
            }
            Commit::Removed { capability } => {
                self.capability(capability.0)?;
                self.end(capability.0);
            }
            Commit::Shared { capability, address, pages, rights } => {
                let held = self.capability(capability.0)?;
                let object = &self.objects[held.object as usize];
                let is_memory = object.kind == ObjectKind::Memory && pages <= object.detail;
                when(is_memory || object.kind == ObjectKind::Device)?;
                when(rights == Rights::RECEIVE || rights == Rights::RECEIVE | Rights::SEND)?;
                when(held.rights.contains(rights))?;
                let numbers = numbers(address, pages)?;
                let (process, object) = (held.process, held.object);
                when(
                    !self
                        .pages
                        .iter()
                        .any(|page| page.process == process && numbers.contains(&page.number)),
                )?;
                let through = capability.0;
                let page = |number| Page { process, number, object, rights, through };
                self.pages.extend(numbers.map(page));
            }
            Commit::Unshared { process, address, pages } => {
                let numbers = numbers(address, pages)?;
                let hit = |page: &Page| page.process == process && numbers.contains(&page.number);
                when(self.pages.iter().any(hit))?;
                self.pages.retain(|page| !hit(page));
            }
        }
        Some(())
    }

    fn add_process(&mut self, process: u32, parent: u32, budget: Budget) {
        let object = self.objects.len() as u64;
        self.objects.push(Object { kind: ObjectKind::Process, process, detail: 0 });
        let (threads, generations) = (Vec::new(), Vec::new());
        let is_alive = true;
        self.processes.push(Process { object, parent, budget, is_alive, threads, generations });
    }
}

/// Numbers of the pages of a range of user memory.
fn numbers(address: u64, pages: u64) -> Option<std::ops::Range<u64>> {
    let (page, end) = (PAGE as u128, u128::from(USER_END));
    let reaches = u128::from(address) + u128::from(pages) * page;
    let first = address / PAGE as u64;
    (address.is_multiple_of(PAGE as u64) && pages > 0 && reaches <= end)
        .then(|| first..first + pages)
}
