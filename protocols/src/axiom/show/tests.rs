//! What people are shown.

extern crate std;

use super::*;
use crate::abi::PAGE;
use std::string::{String, ToString};
use std::vec::Vec;

fn built(commits: impl IntoIterator<Item = Commit>) -> State {
    let mut state = State::new();
    let budget = Budget { frames: 1000, threads: 10, handles: 9000, messages: 10 };
    let beginning = [
        Commit::Genesis { log: [7; 16] },
        Commit::Booted { epoch: 1, measured: Hash([1; 32]), budget },
    ];
    for commit in beginning.into_iter().chain(commits) {
        state.apply(&commit, &mut |_| ()).unwrap();
    }
    state
}

fn memory(capability: u64, process: u32) -> Commit {
    Commit::ObjectCreated {
        object: ObjectId(2),
        kind: ObjectKind::Memory,
        detail: 3,
        capability: CapabilityId(capability),
        process,
        handle: Handle::new(0, 1),
    }
}

fn derived(capability: u64, from: u64, process: u32, slot: u16) -> Commit {
    Commit::Derived {
        capability: CapabilityId(capability),
        from: CapabilityId(from),
        rights: Rights::all(),
        process,
        handle: Handle::new(slot, 1),
    }
}

fn process(name: &str) -> Commit {
    Commit::ProcessCreated {
        process: 1,
        object: ObjectId(1),
        parent: 0,
        budget: Budget { handles: 8000, ..Budget::default() },
        name: Name::new(name),
    }
}

#[test]
fn everything_is_shown() {
    let state = built([
        process("init\u{1b}[2J"),
        memory(0, 0),
        derived(1, 0, 1, 0),
        derived(2, 1, 0, 1),
        derived(3, 0, 1, 1),
        Commit::Shared {
            capability: CapabilityId(1),
            address: 5 * PAGE as u64,
            pages: 2,
            rights: Rights::RECEIVE,
        },
    ]);
    let text = Overview(&state).to_string();
    for line in [
        "log 07070707070707070707070707070707, epoch 1",
        "process 1 init\\u{1b}[2J (of 0 kernel): 0 frames, 0 threads, 8000 handles, 0 messages",
        "  of that its children have 0 frames, 0 threads, 8000 handles, 0 messages",
        "  0.1     capability 1: Memory 2 (3 pages), all rights",
        "  0x5000: 2 pages of Memory 2 (3 pages), RECEIVE",
        "capability 0: Memory 2 (3 pages), all rights, held by 0 kernel at 0.1",
        "  capability 1: all rights, held by 1 init\\u{1b}[2J at 0.1",
        "    2 pages mapped by 1 init\\u{1b}[2J at 0x5000",
        "    capability 2: all rights, held by 0 kernel at 1.1",
        "  capability 3: all rights, held by 1 init\\u{1b}[2J at 1.1",
        "objects that no capability names:",
        "  object 0: process 0 kernel",
        "  object 1: process 1 init\\u{1b}[2J",
    ] {
        assert!(text.lines().any(|shown| shown == line), "no `{line}` in\n{text}");
    }
    assert_eq!(Holder { state: &state, process: 9 }.to_string(), "no process 9 lives\n");
    assert_eq!(Tree { state: &state, root: CapabilityId(9) }.to_string(), "");
    let subtree = Tree { state: &state, root: CapabilityId(1) };
    let ids: Vec<(usize, u64)> = subtree.walk().map(|(depth, id, _)| (depth, id.0)).collect();
    assert_eq!(ids, [(0, 1), (1, 2)]);
}

#[test]
fn a_long_chain_is_shown_on_any_stack() {
    let chain = (1..1000).map(|id| derived(id, id - 1, 0, id as u16));
    let state = built([process("x"), memory(0, 0)].into_iter().chain(chain));
    let tree = Tree { state: &state, root: CapabilityId(0) };
    assert_eq!(tree.walk().map(|(depth, id, _)| id.0 as usize - depth).sum::<usize>(), 0);
    let text = tree.to_string();
    assert_eq!(text.lines().count(), 1000);
    assert!(text.contains("(999 deep) capability 999: all rights"), "{text}");
}

#[test]
fn commits_are_lines() {
    let cause = Cause::Call { core: 1, sequence: 77 };
    let commit = Commit::Derived {
        capability: CapabilityId(9),
        from: CapabilityId(4),
        rights: Rights::SEND | Rights::TRANSFER,
        process: 2,
        handle: Handle::new(3, 5),
    };
    let record = Record { sequence: 12, time_us: 3_000_451, cause, commit };
    assert_eq!(
        record.to_string(),
        "    12     3.000451 (core 1 #77) Derived capability=9 from=4 rights=SEND | TRANSFER process=2 handle=3.5"
    );
    let text: String = Commit::ProcessKilled { process: 3 }.to_string();
    assert_eq!(text, "ProcessKilled process=3");
    let function = Function(0x0001_03fb);
    assert_eq!(function.to_string(), "0001:03:1f.3");
}
