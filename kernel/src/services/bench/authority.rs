//! What the two logs cost where they are written: a record of SysLog, a commit, and its hash.
//!
//! A commit is ordered at once, in the caller's time: that is `commit.append` (check, apply, and into
//! the queue). Encoding and hashing it is the log task's work, after it: `commit.hash`. How many
//! commits one pair of flushes made durable is `commit.sync_group`.

use super::{Plan, publish, publish_as};
use crate::authority::Capability;
use crate::logs::syslog::SysLog;
use crate::process::object::{ConsoleObject, Object};
use crate::services::commit_log;
use crate::services::console;
use alloc::sync::Arc;
use alloc::vec::Vec;
use executor::{CoreId, yield_now};
use hal::x86_64::time::clock::now;
use kernel_text::options::Samples;
use protocols::abi::message::Sender;
use protocols::abi::metric::Unit;
use protocols::abi::{Handle, Rights};
use protocols::axiom::commit::KERNEL;
use protocols::axiom::{CapabilityId, Cause, Commit, Hash, Record, extend};

/// Operations in a sample.
const BATCH: u64 = 64;

/// Takes those that are wanted, on core 0.
pub async fn figures(plan: &Plan) {
    let samples = if plan.samples == Samples::Quick { 25 } else { 200 };
    let wanted = |name: &str| name.starts_with(&plan.filter);
    if wanted("syslog.record") {
        console::say("bench: syslog.record");
        publish("syslog.record", CoreId(0), None, &mut records(samples).await);
    }
    if wanted("commit.append") {
        console::say("bench: commit.append");
        let mut ticks = appends(samples).await;
        publish("commit.append", CoreId(0), None, &mut ticks);
    }
    if wanted("commit.hash") {
        console::say("bench: commit.hash");
        publish("commit.hash", CoreId(0), None, &mut hashes(samples).await);
    }
}

/// Records in the groups that were made durable while the suite ran: after it, on all of them.
pub fn groups(plan: &Plan, before: commit_log::Statistics) {
    let after = commit_log::status().statistics;
    let syncs = after.syncs - before.syncs;
    if "commit.sync_group".starts_with(&plan.filter)
        && let Some(mean) = (after.records - before.records).checked_div(syncs)
    {
        publish_as("commit.sync_group", Unit::Items, CoreId(0), &mut [mean]);
    }
}

/// A call's record, begun and committed as the gateway does it.
async fn records(samples: usize) -> Vec<u64> {
    /// Beside those of the cores, so that nothing is said of calls that never were.
    static LOG: spin::Once<SysLog> = spin::Once::new();
    let log = LOG.call_once(|| {
        let log = SysLog::new();
        log.install();
        log
    });
    let mut ticks = Vec::with_capacity(samples);
    for _ in 0..samples {
        let first = now();
        for number in 0..BATCH {
            let record = log.request(Sender(1), core::hint::black_box(0), [number, 1, 2, 3]);
            log.commit(record, number);
        }
        ticks.push((now() - first) / BATCH);
        yield_now().await;
    }
    ticks
}

/// Derivations, which are one commit each; those that give them up again are not counted.
async fn appends(samples: usize) -> Vec<u64> {
    let mut ticks = Vec::with_capacity(samples);
    let Ok(root) = Capability::create(Object::Console(Arc::new(ConsoleObject)), 0) else {
        return ticks;
    };
    for _ in 0..samples {
        crate::authority::log::keep_up().await;
        let first = now();
        let derived: Vec<_> = (0..BATCH).map(|_| root.derive(Rights::SEND)).collect();
        ticks.push((now() - first) / BATCH);
        drop(derived);
        yield_now().await;
    }
    ticks
}

/// A derivation's record, encoded and added to a chain of its own.
async fn hashes(samples: usize) -> Vec<u64> {
    let mut ticks = Vec::with_capacity(samples);
    let mut hash = Hash::default();
    for _ in 0..samples {
        let first = now();
        for number in 0..BATCH {
            let commit = Commit::Derived {
                capability: CapabilityId(number + 1_000),
                from: CapabilityId(1_000),
                rights: Rights::SEND,
                process: KERNEL,
                handle: Handle::new(7, 3),
            };
            let cause = Cause::Call { core: 0, sequence: number };
            let mut bytes = Vec::new();
            Record { sequence: number, time_us: 1_000_000, cause, commit }.encode(&mut bytes);
            hash = extend(hash, &bytes);
        }
        ticks.push((now() - first) / BATCH);
        yield_now().await;
    }
    core::hint::black_box(hash);
    ticks
}
