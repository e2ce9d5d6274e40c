//! Where this boot's commits go on from.
//!
//! ```text
//!   measure ──> storage settled ──> the durable log's end, or a new log
//!     ──> Booted, then what is queued, onto that ──> the state so made replaces the live one
//! ```
//!
//! Programs run before the disk is there that the log goes on from, so the first commits wait in the
//! queue with a state that only assumes its place in the log's life. When the place is known the
//! commits are replayed from there; the tables that were written meanwhile are as good, since
//! numbers and slots begin anew in every epoch.

use super::{BATCH, CHAINED, Checkpoint, KEPT, QUEUED, Queued, What};
use crate::authority::{self, AUTHORITY, Authority};
use crate::devices;
use crate::process::limits;
use crate::services::commit_log::{self, Beginning};
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use protocols::axiom::replay::Replay;
use protocols::axiom::{Cause, Commit, Hash, Record};
use sha2::{Digest, Sha256};

/// Makes the state of a machine just started. Before the first process. Which log this belongs to,
/// and which of its epochs this is, turns out later ([`find`]).
pub fn begin() {
    let mut log = [0; 16];
    hal::x86_64::random::fill(&mut log);
    let budget = limits::everything();
    let mut authority = AUTHORITY.lock();
    let Authority { state, .. } = &mut *authority;
    for commit in
        [Commit::Genesis { log }, Commit::Booted { epoch: 1, measured: Hash::default(), budget }]
    {
        state.apply(&commit, &mut |_| ()).expect("a new state takes a beginning");
    }
}

/// Finds the log's place, and puts there what was committed so far.
pub(super) async fn find() {
    let measured = measure().await;
    devices::settled().await;
    let mut replay = match commit_log::open().await {
        Beginning::Fresh => {
            let mut replay = Replay::new();
            let log = authority::look(|state| state.log()).unwrap_or_default();
            chain_onto(&mut replay, (0, Cause::Kernel), Commit::Genesis { log });
            replay
        }
        Beginning::Continues(mut replay) => {
            let mut state = Vec::new();
            replay.state().encode(&mut state);
            let named = Commit::Checkpoint { state: Hash::of(&state) };
            let (next, hash) = (replay.next(), replay.hash());
            KEPT.lock().base = Some(Checkpoint { state: state.into(), next, hash });
            chain_onto(&mut replay, (0, Cause::Kernel), named);
            replay
        }
    };
    let (epoch, budget) = (replay.state().epoch() + 1, limits::everything());
    chain_onto(&mut replay, (0, Cause::Kernel), Commit::Booted { epoch, measured, budget });
    let mut later: Vec<Queued> = Vec::new();
    // What was committed meanwhile, until nothing is left at a moment when nobody commits.
    loop {
        let queued = {
            let mut authority = AUTHORITY.lock();
            let queued = core::mem::take(&mut authority.queue.0);
            QUEUED.store(0, Relaxed);
            if queued.is_empty() {
                assert!(
                    replay.state().holds_the_same(&authority.state),
                    "this boot's commits replay to another state"
                );
                authority.state = replay.state().clone();
                break;
            }
            queued
        };
        for (number, Queued { time_us, cause, what }) in queued.into_iter().enumerate() {
            match what {
                What::Commit(commit) => chain_onto(&mut replay, (time_us, cause), commit),
                // Later: the state has another place yet.
                other => later.push(Queued { time_us, cause, what: other }),
            }
            if number % BATCH == BATCH - 1 {
                executor::yield_now().await;
            }
        }
    }
    drop(replay);
    // Their senders are dropped: who waits asks again.
    drop(later);
    CHAINED.announce();
}

/// Records a commit in the log's life so far, and keeps it.
fn chain_onto(replay: &mut Replay, (time_us, cause): (u64, Cause), commit: Commit) {
    let record = Record { sequence: replay.next(), time_us, cause, commit };
    let mut bytes = Vec::new();
    record.encode(&mut bytes);
    if let Err(error) = replay.push(&bytes, &mut |_| ()) {
        panic!("commit {} of this boot cannot be replayed: {error}: {record:?}", record.sequence);
    }
    let mut kept = KEPT.lock();
    kept.keep(record.sequence, bytes, replay.hash());
}

/// The hash of what was booted: the kernel's code and constants, its command line, its modules.
/// Each is preceded by its length, so that nothing can pass from one to the next.
async fn measure() -> Hash {
    // Some ten microseconds each.
    const PIECE: usize = 4 << 10;
    let info = hal::boot::info();
    let mut hash = Sha256::new();
    let mut parts: Vec<&[u8]> = Vec::new();
    parts.extend(hal::x86_64::paging::constant_image());
    parts.push(info.command_line.0.as_bytes());
    for module in info.modules {
        parts.extend([module.name.as_bytes(), module.arguments.as_bytes(), module.bytes]);
    }
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        for piece in part.chunks(PIECE) {
            hash.update(piece);
            executor::yield_now().await;
        }
    }
    Hash(hash.finalize().into())
}
