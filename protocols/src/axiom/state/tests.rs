//! First steps, and states that cannot be. Random programs against a naive model are in
//! `tests/authority`.

use super::super::commit::{Budget, Commit, Name, ObjectId};
use super::*;
use crate::abi::{Handle, PAGE, Rights};

fn booted() -> State {
    let mut state = State::new();
    let budget = Budget { frames: 1000, threads: 10, handles: 100, messages: 10 };
    for commit in [
        Commit::Genesis { log: [7; 16] },
        Commit::Booted { epoch: 1, measured: Hash([1; 32]), budget },
    ] {
        state.apply(&commit, &mut |_| ()).unwrap();
    }
    state
}

#[test]
fn a_revoke_takes_what_was_derived_and_nothing_else() {
    let mut state = booted();
    let budget = Budget { frames: 10, threads: 2, handles: 10, messages: 1 };
    let name = Name::new("one");
    let mut effects = alloc::vec::Vec::new();
    let object = state.next_object();
    let mut run = |commit| {
        effects.clear();
        state.apply(&commit, &mut |effect| effects.push(effect)).unwrap();
        assert_eq!(state.verify(), Ok(()));
        let decoded = {
            let mut bytes = alloc::vec::Vec::new();
            state.encode(&mut bytes);
            State::decode(&bytes).unwrap()
        };
        assert_eq!(decoded, state);
        effects.len()
    };
    run(Commit::ProcessCreated { process: 1, object, parent: 0, budget, name });
    run(Commit::ObjectCreated {
        object: ObjectId(object.0 + 1),
        kind: ObjectKind::Endpoint,
        detail: 0,
        capability: CapabilityId(0),
        process: 0,
        handle: Handle::new(0, 1),
    });
    let rights = Rights::SEND | Rights::DUPLICATE;
    let derive = |id, from, slot| Commit::Derived {
        capability: CapabilityId(id),
        from: CapabilityId(from),
        rights,
        process: if slot == 0 { 1 } else { 0 },
        handle: Handle::new(slot, 1),
    };
    run(derive(1, 0, 0));
    run(derive(2, 0, 1));
    // Two slots emptied.
    assert_eq!(run(Commit::Revoked { capability: CapabilityId(0) }), 2);
    assert_eq!(run(Commit::Removed { capability: CapabilityId(0) }), 2);
    assert_eq!(state.capabilities().count(), 0);
}

/// Two processes, the second a child of the first, with a thread; memory that the first has mapped
/// twice and gave a derived capability to, out of which a third comes.
fn peopled() -> State {
    let mut state = booted();
    let budget = Budget { frames: 10, threads: 2, handles: 10, messages: 1 };
    let name = Name::new("one");
    let process = |process, parent, budget| Commit::ProcessCreated {
        process,
        object: ObjectId(u64::from(process)),
        parent,
        budget,
        name,
    };
    let derived = |capability, from, rights, process, slot| Commit::Derived {
        capability: CapabilityId(capability),
        from: CapabilityId(from),
        rights,
        process,
        handle: Handle::new(slot, 1),
    };
    let shared = |capability, page: u64| Commit::Shared {
        capability: CapabilityId(capability),
        address: 0x10_0000 + page * PAGE as u64,
        pages: 2,
        rights: Rights::RECEIVE,
    };
    for commit in [
        process(1, 0, budget),
        process(2, 1, Budget { handles: 4, threads: 1, ..Budget::default() }),
        Commit::ThreadCreated { process: 1, thread: 1, object: ObjectId(3) },
        Commit::ObjectCreated {
            object: ObjectId(4),
            kind: ObjectKind::Memory,
            detail: 3,
            capability: CapabilityId(0),
            process: 1,
            handle: Handle::new(0, 1),
        },
        derived(1, 0, Rights::RECEIVE | Rights::DUPLICATE, 2, 0),
        derived(2, 1, Rights::RECEIVE, 2, 1),
        shared(0, 0),
        shared(0, 2),
        shared(2, 5),
    ] {
        state.apply(&commit, &mut |_| ()).unwrap();
        assert_eq!(state.verify(), Ok(()));
    }
    state
}

#[test]
fn what_cannot_be_is_named() {
    let address = 0x10_0000;
    let [zero, one, two] = [0, 1, 2].map(CapabilityId);
    let memory = ObjectId(4);
    fn held(state: &mut State, id: u64) -> &mut Capability {
        state.capabilities.get_mut(&CapabilityId(id)).unwrap()
    }
    fn process(state: &mut State, id: u32) -> &mut Process {
        state.processes.get_mut(&id).unwrap()
    }
    fn object(state: &mut State, id: u64) -> &mut Object {
        state.objects.get_mut(&ObjectId(id)).unwrap()
    }
    fn mapping(state: &mut State, process: u32, page: u64) -> &mut Mapping {
        state.mappings.get_mut(&(process, 0x10_0000 + page * PAGE as u64)).unwrap()
    }
    type Breaks<'a> = &'a dyn Fn(&mut State);
    let cases: &[(Broken, Breaks<'_>)] = &[
        (Broken::BeforeBoot, &|state| state.epoch = 0),
        (Broken::NoLog, &|state| state.log = None),
        (Broken::Number, &|state| state.next_object = 4),
        (Broken::Number, &|state| state.next_capability = 2),
        (Broken::Number, &|state| state.next_process = 2),
        (Broken::Number, &|state| state.processes.clear()),
        (Broken::Slot(zero), &|state| held(state, 0).process = 2),
        (Broken::Slot(zero), &|state| held(state, 0).process = 7),
        (Broken::Slot(zero), &|state| held(state, 0).handle = Handle::new(0, 2)),
        (Broken::Slot(two), &|state| held(state, 2).handle = Handle::new(0, 1)),
        (Broken::Slot(two), &|state| {
            state.capabilities.remove(&two);
        }),
        (Broken::Dangling(two), &|state| held(state, 2).object = ObjectId(9)),
        (Broken::Escalated(two), &|state| held(state, 2).object = ObjectId(1)),
        (Broken::Escalated(one), &|state| held(state, 1).parent = Some(two)),
        (Broken::Escalated(one), &|state| held(state, 1).parent = Some(one)),
        (Broken::Escalated(two), &|state| held(state, 2).rights = Rights::SEND),
        (Broken::Escalated(two), &|state| held(state, 1).rights = Rights::RECEIVE),
        (Broken::Mapping(1, address + 2 * PAGE as u64), &|state| mapping(state, 1, 0).pages = 3),
        (Broken::Mapping(1, address), &|state| mapping(state, 1, 0).pages = 0),
        (Broken::Mapping(1, address), &|state| mapping(state, 1, 0).pages = u64::MAX / 4096 + 2),
        (Broken::Mapping(1, address), &|state| mapping(state, 1, 0).object = ObjectId(3)),
        (Broken::Mapping(1, address), &|state| mapping(state, 1, 0).rights = Rights::SEND),
        (Broken::Mapping(1, address), &|state| mapping(state, 1, 0).rights |= Rights::CONTROL),
        (Broken::Mapping(1, address), &|state| mapping(state, 1, 0).parent = Some(CapabilityId(7))),
        (Broken::Mapping(1, address), &|state| object(state, 4).detail = 1),
        (Broken::Mapping(2, address + 5 * PAGE as u64), &|state| {
            mapping(state, 2, 5).rights |= Rights::SEND;
        }),
        (Broken::Mapping(1, address + 1), &|state| {
            let mapping = state.mappings.remove(&(1, address)).unwrap();
            state.mappings.insert((1, address + 1), mapping);
        }),
        (Broken::Mapping(9, address), &|state| {
            let mapping = state.mappings.remove(&(1, address)).unwrap();
            state.mappings.insert((9, address), mapping);
        }),
        (Broken::Process(2), &|state| process(state, 2).parent = 2),
        (Broken::Process(0), &|state| process(state, 0).parent = 1),
        (Broken::Process(0), &|state| process(state, 0).budget.frames = 9),
        (Broken::Process(0), &|state| process(state, 2).parent = 0),
        (Broken::Process(1), &|state| process(state, 1).given.messages = 1),
        (Broken::Process(1), &|state| {
            process(state, 0).given.threads = 1;
            process(state, 1).budget.threads = 1;
        }),
        (Broken::Process(1), &|state| process(state, 1).object = ObjectId(2)),
        (Broken::Process(1), &|state| process(state, 1).next_thread = 1),
        (Broken::Process(1), &|state| object(state, 3).detail = 2),
        (Broken::Process(1), &|state| object(state, 3).process = 2),
        (Broken::Process(1), &|state| object(state, 3).is_alive = false),
        (Broken::Process(2), &|state| object(state, 2).is_alive = false),
        (Broken::Counted(memory), &|state| object(state, 4).capabilities = 2),
        (Broken::Counted(memory), &|state| object(state, 4).mappings = 4),
        (Broken::Counted(memory), &|state| object(state, 4).is_alive = true),
        (Broken::Counted(ObjectId(3)), &|state| process(state, 1).threads.clear()),
        (Broken::Counted(ObjectId(1)), &|state| object(state, 1).detail = 1),
        (Broken::Counted(ObjectId(5)), &|state| {
            state.next_object = 6;
            let new = Object { capabilities: 0, mappings: 0, ..*object(state, 4) };
            state.objects.insert(ObjectId(5), new);
        }),
    ];
    for (number, (broken, breaks)) in cases.iter().enumerate() {
        let mut state = peopled();
        breaks(&mut state);
        assert_eq!(state.verify(), Err(*broken), "case {number}");
    }
}

#[test]
fn what_was_derived_from_a_long_chain_outlives_it() {
    // A long chain in one process, and at its end many that were derived from it, elsewhere.
    const CHAIN: u64 = 500;
    const LEAVES: u64 = 500;
    let mut state = booted();
    let budget = Budget { handles: 2000, ..Budget::default() };
    let booted = Commit::Booted { epoch: 2, measured: Hash::default(), budget };
    state.apply(&booted, &mut |_| ()).unwrap();
    let budget = Budget { handles: 1000, ..Budget::default() };
    let name = Name::new("chain");
    let object = ObjectId(1);
    let mut run = |commit| state.apply(&commit, &mut |_| ()).unwrap();
    run(Commit::ProcessCreated { process: 1, object, parent: 0, budget, name });
    let (first, handle) = (CapabilityId(0), Handle::new(0, 1));
    let (object, kind) = (ObjectId(2), ObjectKind::Endpoint);
    run(Commit::ObjectCreated { object, kind, detail: 0, capability: first, process: 1, handle });
    for id in 1..CHAIN + LEAVES {
        let (process, slot) = if id < CHAIN { (1, id) } else { (0, id - CHAIN) };
        run(Commit::Derived {
            capability: CapabilityId(id),
            from: CapabilityId(id.min(CHAIN) - 1),
            rights: Rights::all(),
            process,
            handle: Handle::new(slot as u16, 1),
        });
    }
    run(Commit::ProcessKilled { process: 1 });
    assert_eq!(state.verify(), Ok(()));
    assert_eq!(
        state.capabilities().filter(|(_, held)| held.parent.is_none()).count() as u64,
        LEAVES
    );
}

#[test]
fn a_process_has_so_many_mappings_and_no_more() {
    let mut state = peopled();
    let mut share = |page: u64| {
        let shared = Commit::Shared {
            capability: CapabilityId(0),
            address: 0x20_0000 + page * PAGE as u64,
            pages: 1,
            rights: Rights::RECEIVE,
        };
        state.apply(&shared, &mut |_| ())
    };
    // The first process has two already.
    let room = MAPPINGS_MAX as u64 - 2;
    assert!((0..room).all(|page| share(page).is_ok()));
    assert_eq!(share(room), Err(Refusal::Budget));
    let unshared = Commit::Unshared { process: 1, address: 0x20_0000, pages: 1 };
    state.apply(&unshared, &mut |_| ()).unwrap();
    assert_eq!(state.verify(), Ok(()));
}
