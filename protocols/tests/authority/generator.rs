//! Random commits that fit a state, and some that do not.

use protocols::abi::{Handle, ObjectKind, PAGE, Rights};
use protocols::axiom::{Budget, CapabilityId, Commit, Hash, Name, ObjectId, State};

use crate::random::Random;

/// How a program goes about it.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Capabilities there may be at once: trees are as large as that.
    pub handles: u32,
    /// One commit in so many is bent.
    pub bent: u64,
    /// One commit in so many begins a new epoch.
    pub boots: u64,
}

/// Memory is mapped in the first pages from here on, so that ranges meet.
const ARENA: u64 = 0x40_0000;
const ARENA_PAGES: u64 = 24;

const KINDS: [ObjectKind; 9] = [
    ObjectKind::Endpoint,
    ObjectKind::Notification,
    ObjectKind::Process,
    ObjectKind::Thread,
    ObjectKind::Console,
    ObjectKind::Log,
    ObjectKind::Memory,
    ObjectKind::Device,
    ObjectKind::PortRange,
];

/// The next commit for `state`. Most can be.
pub fn commit(random: &mut Random, state: &State, style: Style) -> Commit {
    if state.epoch() == 0 || random.one_in(style.boots) {
        return beginning(random, state, style);
    }
    let commit = loop {
        if let Some(commit) = fitting(random, state) {
            break commit;
        }
    };
    if random.one_in(style.bent) { bent(random, state, commit) } else { commit }
}

fn beginning(random: &mut Random, state: &State, style: Style) -> Commit {
    if state.log().is_none() || random.one_in(50) {
        let mut log = [0; 16];
        log.fill_with(|| random.next() as u8);
        return Commit::Genesis { log };
    }
    let budget = Budget { frames: 500, threads: 40, handles: style.handles, messages: 90 };
    let epoch = state.epoch().wrapping_add(1);
    Commit::Booted { epoch, measured: Hash::of(&random.next().to_le_bytes()), budget }
}

fn fitting(random: &mut Random, state: &State) -> Option<Commit> {
    let capability = state.next_capability();
    Some(match random.below(100) {
        0..3 => {
            let (process, object) = (state.next_process(), state.next_object());
            let parent = process_of(random, state)?;
            let of = state.process(parent)?;
            let left = of.budget.without(of.given)?;
            let budget = Budget {
                frames: random.below(left.frames / 2 + 2),
                threads: random.below(u64::from(left.threads) / 2 + 2) as u32,
                handles: random.below(u64::from(left.handles) / 2 + 4) as u32,
                messages: random.below(u64::from(left.messages) / 2 + 2) as u32,
            };
            let name = Name::new(
                ["init", "shell", "größer als 24 Bytes, viel größer"][random.below(3) as usize],
            );
            Commit::ProcessCreated { process, object, parent, budget, name }
        }
        3 => {
            let process = process_of(random, state)?;
            match random.below(3) {
                0 => Commit::ProcessExited { process, code: random.next() as i32 },
                1 => Commit::ProcessFaulted { process, vector: random.next() as u8 },
                _ => Commit::ProcessKilled { process },
            }
        }
        4..8 => {
            let (process, object) = (process_of(random, state)?, state.next_object());
            // How many threads it had is not to be asked; its own count up from the living ones.
            let threads = &state.process(process)?.threads;
            let newest = threads.last_key_value().map_or(0, |(newest, _)| *newest);
            let thread = newest.wrapping_add(1 + (random.below(2) * random.below(4)) as u32);
            Commit::ThreadCreated { process, thread, object }
        }
        8..11 => {
            let process = process_of(random, state)?;
            let thread = *random.of(state.process(process)?.threads.keys())?;
            Commit::ThreadEnded { process, thread, code: random.next() as i32 }
        }
        11..20 => {
            let process = process_of(random, state)?;
            let kind = KINDS[random.below(KINDS.len() as u64) as usize];
            // Half of them memory.
            let kind = if random.one_in(2) { ObjectKind::Memory } else { kind };
            let (object, detail) = (state.next_object(), 1 + random.below(6));
            let handle = slot(random, state, process)?;
            Commit::ObjectCreated { object, kind, detail, capability, process, handle }
        }
        20 => Commit::ObjectDestroyed { object: object_of(random, state)? },
        21..26 => {
            let object = random.of(state.objects().filter(|(_, object)| object.is_alive))?;
            let parent = state.process(object.1.process)?.parent;
            let process = if random.one_in(2) { object.1.process } else { parent };
            let handle = slot(random, state, process)?;
            let (object, rights) = (object.0, rights(random, Rights::all()));
            Commit::Inserted { capability, object, rights, process, handle }
        }
        26..58 => {
            let from = capability_of(random, state)?;
            let held = state.capability(from)?;
            let process = if random.one_in(2) { held.process } else { process_of(random, state)? };
            let rights = rights(random, held.rights);
            let handle = slot(random, state, process)?;
            Commit::Derived { capability, from, rights, process, handle }
        }
        58..68 => {
            let capability = capability_of(random, state)?;
            let process = process_of(random, state)?;
            Commit::Granted { capability, process, handle: slot(random, state, process)? }
        }
        68..71 => Commit::Revoked { capability: capability_of(random, state)? },
        71..84 => Commit::Removed { capability: capability_of(random, state)? },
        84..93 => {
            let has_pages = |id| {
                let kind = state.object(id).map(|object| object.kind);
                matches!(kind, Some(ObjectKind::Memory | ObjectKind::Device))
            };
            let all = state.capabilities().filter(|(_, held)| has_pages(held.object));
            let (capability, held) = random.of(all)?;
            let (address, pages) = range(random);
            let mut rights = held.rights & (Rights::SEND | Rights::RECEIVE);
            if random.one_in(3) {
                rights &= Rights::RECEIVE;
            }
            Commit::Shared { capability, address, pages, rights }
        }
        93..99 => {
            let process = process_of(random, state)?;
            let (address, pages) = range(random);
            Commit::Unshared { process, address, pages }
        }
        _ => Commit::Checkpoint { state: state.hash() },
    })
}

fn process_of(random: &mut Random, state: &State) -> Option<u32> {
    random.of(state.processes().map(|(id, _)| id))
}

fn object_of(random: &mut Random, state: &State) -> Option<ObjectId> {
    random.of(state.objects().map(|(id, _)| id))
}

/// Half of the time one of the newest: so trees grow deep as well as wide.
fn capability_of(random: &mut Random, state: &State) -> Option<CapabilityId> {
    let all: Vec<CapabilityId> = state.capabilities().map(|(id, _)| id).collect();
    let from = if random.one_in(2) { all.len().saturating_sub(4) } else { 0 };
    random.of(all[from..].iter().copied())
}

fn slot(random: &mut Random, state: &State, process: u32) -> Option<Handle> {
    let avoided = random.below(3) as u16;
    state.vacant(process, |index| index != avoided).or_else(|| state.vacant(process, |_| true))
}

/// Some of them, and mostly those that let trees grow.
fn rights(random: &mut Random, of: Rights) -> Rights {
    let mut rights = Rights::from_bits_truncate(random.next() as u32);
    if !random.one_in(6) {
        rights |= Rights::DUPLICATE | Rights::TRANSFER;
    }
    rights & of
}

fn range(random: &mut Random) -> (u64, u64) {
    (ARENA + random.below(ARENA_PAGES) * PAGE as u64, 1 + random.below(5))
}

/// The same with something wrong about it, mostly: stale or foreign handles, numbers of what is
/// gone or not yet there, more rights than there are, impossible ranges and budgets.
fn bent(random: &mut Random, state: &State, mut commit: Commit) -> Commit {
    let number = match random.below(6) {
        0 => u64::MAX,
        1 => state.next_capability().0.wrapping_add(random.below(3)).wrapping_sub(1),
        2 => random.next() >> random.below(64),
        _ => random.below(state.next_capability().0.saturating_add(1)),
    };
    let any_process = match random.below(4) {
        0 => number as u32,
        _ => random.below(u64::from(state.next_process()) + 1) as u32,
    };
    let which = random.below(3);
    match &mut commit {
        Commit::Genesis { .. } | Commit::Checkpoint { .. } => {}
        Commit::Booted { epoch, .. } => *epoch = number as u32,
        Commit::ProcessCreated { process, object, parent, budget, .. } => match random.below(5) {
            0 => *process = any_process,
            1 => *object = ObjectId(number),
            2 => *parent = any_process,
            3 => budget.frames = number,
            _ => (budget.handles, budget.threads) = (number as u32, any_process),
        },
        Commit::ProcessExited { process, .. }
        | Commit::ProcessFaulted { process, .. }
        | Commit::ProcessKilled { process } => *process = any_process,
        Commit::ThreadCreated { process, thread, object } => match which {
            0 => *process = any_process,
            1 => *thread = number as u32,
            _ => *object = ObjectId(number),
        },
        Commit::ThreadEnded { process, thread, .. } => match which {
            0 => *process = any_process,
            _ => *thread = random.below(9) as u32,
        },
        Commit::ObjectCreated { object, kind, capability, process, handle, .. } => {
            match random.below(5) {
                0 => *object = ObjectId(number),
                1 => *kind = ObjectKind::Thread,
                2 => *capability = CapabilityId(number),
                3 => *process = any_process,
                _ => *handle = bent_handle(random, *handle),
            }
        }
        Commit::ObjectDestroyed { object } => *object = ObjectId(number),
        Commit::Inserted { capability, object, process, handle, .. } => match random.below(4) {
            0 => *capability = CapabilityId(number),
            1 => *object = object_of(random, state).unwrap_or(ObjectId(number)),
            2 => *process = any_process,
            _ => *handle = bent_handle(random, *handle),
        },
        Commit::Derived { capability, from, rights, process, handle } => match random.below(6) {
            0 => *capability = CapabilityId(number),
            1 => *from = CapabilityId(number),
            2 => *rights = Rights::all(),
            3 => *rights |= Rights::from_bits_truncate(1 << random.below(5)),
            4 => *process = any_process,
            _ => *handle = bent_handle(random, *handle),
        },
        Commit::Granted { capability, process, handle } => match which {
            0 => *capability = CapabilityId(number),
            1 => *process = any_process,
            _ => *handle = bent_handle(random, *handle),
        },
        Commit::Revoked { capability } | Commit::Removed { capability } => {
            *capability = CapabilityId(number);
        }
        Commit::Shared { capability, address, pages, rights } => match random.below(4) {
            0 => *capability = CapabilityId(number),
            1 => *address = bent_address(random, *address, number),
            2 => *pages = [0, 7, number, u64::MAX / PAGE as u64 + 1][random.below(4) as usize],
            _ => *rights = Rights::from_bits_truncate(random.next() as u32),
        },
        Commit::Unshared { process, address, pages } => match which {
            0 => *process = any_process,
            1 => *address = bent_address(random, *address, number),
            _ => *pages = [0, 30, number, u64::MAX][random.below(4) as usize],
        },
    }
    commit
}

fn bent_handle(random: &mut Random, handle: Handle) -> Handle {
    let (index, generation) = (handle.index() as u16, handle.generation());
    match random.below(6) {
        0 => Handle::new(index, generation.wrapping_sub(1)),
        1 => Handle::new(index, generation.wrapping_add(1)),
        2 => Handle::new(index.wrapping_add(1), generation),
        3 => Handle::new(random.below(8) as u16, 1 + random.below(8) as u16),
        4 => Handle(random.next() as u32),
        _ => Handle::NONE,
    }
}

fn bent_address(random: &mut Random, address: u64, number: u64) -> u64 {
    match random.below(4) {
        0 => address + 1,
        1 => number,
        2 => u64::MAX - (PAGE as u64 - 1),
        _ => protocols::abi::USER_END - PAGE as u64,
    }
}
