//! The CommitLog on its disk, as this boot has one. Without one there is less to be checked: what
//! is said then.

use super::Finding;
use crate::authority::{Capability, log};
use crate::devices::{self, Block};
use crate::ipc::Notification;
use crate::process::object::Object;
use crate::services::commit_log::{self, BeginError, MemoryOnly, NotDurable, Phase};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use drivers::storage::Writable;
use futures_util::future::join_all;

checks! { "commits", 120:
    a_refused_log_gives_way_only_to_a_command,
    what_is_synced_is_durable,
    who_waits_shares_a_group,
    checkpoints_come_before_the_ring_is_full,
    a_new_log_does_not_begin_over_one_in_use,
}

/// The largest ring that is filled here, in blocks.
const RING_MAX: u64 = 4096;
/// Commits waited for together.
const TOGETHER: usize = 64;

/// Two commits: something comes and goes.
fn commit() -> Result<(), String> {
    let object = Object::Notification(Arc::new(Notification::new()));
    Capability::create(object, 0).map(drop).map_err(|error| alloc::format!("{error}"))
}

/// Makes durable what was committed: which record is the last. `None`: this boot has no disk for it.
async fn sync() -> Result<Option<u64>, String> {
    let last = log::ordered().await - 1;
    match (commit_log::sync(last).await, commit_log::status().phase) {
        (Ok(()), _) => Ok(Some(last)),
        (Err(NotDurable(why)), Phase::Memory(is)) if why == is => Ok(None),
        (Err(error), phase) => Err(alloc::format!("{error}, but it is {phase:?}")),
    }
}

async fn what_is_synced_is_durable() -> Finding {
    for _ in 0..20 {
        commit()?;
        let Some(last) = sync().await? else { return Ok(()) };
        let status = commit_log::status();
        ensure!(status.durable > last, "{status} after record {last}");
    }
    // Long ago: at once.
    let done = commit_log::sync(0).await;
    ensure!(done.is_ok(), "record 0: {done:?}");
    Ok(())
}

async fn who_waits_shares_a_group() -> Finding {
    let before = commit_log::status().statistics;
    let waiters = (0..TOGETHER).map(|_| async {
        commit()?;
        sync().await
    });
    let answers = join_all(waiters).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    if answers.iter().all(Option::is_none) {
        return Ok(());
    }
    ensure!(answers.iter().all(Option::is_some), "durable for some: {answers:?}");
    let after = commit_log::status().statistics;
    let (groups, records) = (after.syncs - before.syncs, after.records - before.records);
    ensure!(records >= 2 * TOGETHER as u64, "{records} records for {TOGETHER} waiters");
    ensure!(groups < TOGETHER as u64 / 2, "{groups} groups for {TOGETHER} waiters");
    Ok(())
}

async fn checkpoints_come_before_the_ring_is_full() -> Finding {
    let status = commit_log::status();
    if status.phase != Phase::Kept || status.ring > RING_MAX {
        return Ok(());
    }
    let enough = status.statistics.checkpoints + 5;
    // Each sync takes a block or more, and a quarter of the ring makes a checkpoint.
    for _ in 0..2 * status.ring {
        commit()?;
        ensure!(sync().await?.is_some(), "{}", commit_log::status());
        let status = commit_log::status();
        ensure!(status.live <= status.ring, "{status}");
        if status.statistics.checkpoints >= enough {
            return Ok(());
        }
    }
    Err(alloc::format!("no {enough} checkpoints: {}", commit_log::status()))
}

async fn a_new_log_does_not_begin_over_one_in_use() -> Finding {
    let status = commit_log::status();
    let name = status.partition.as_deref().unwrap_or("");
    let expected = match status.phase {
        Phase::Kept => Err(BeginError::Kept),
        _ => Err(BeginError::Partition(MemoryOnly::Unknown)),
    };
    let name = if status.phase == Phase::Kept { name } else { "nvme9n9p9" };
    let begun = commit_log::begin_anew(name).await;
    ensure!(begun == expected, "{begun:?} instead of {expected:?}");
    Ok(())
}

/// The blocks of a log that is not in use, as somebody who may write to them has them.
fn opened_for_writing(name: &str) -> Result<Block, String> {
    devices::allow(name, Writable::Yes);
    devices::open(name, Writable::Yes).map_err(|error| alloc::format!("{name}: {error}"))
}

async fn a_refused_log_gives_way_only_to_a_command() -> Finding {
    // By then the disks have been looked at.
    sync().await?;
    let status = commit_log::status();
    let (Phase::Memory(MemoryOnly::Refused(_)), Some(name)) = (status.phase, &status.partition)
    else {
        return Ok(());
    };
    commit()?;
    ensure!(sync().await?.is_none(), "records are durable on a log that was refused");
    let shared = opened_for_writing(name)?;
    let begun = commit_log::begin_anew(name).await;
    let expected = Err(BeginError::Partition(MemoryOnly::Shared));
    ensure!(begun == expected, "while somebody may write there: {begun:?}");
    drop(shared);
    let begun = commit_log::begin_anew(name).await;
    ensure!(begun.is_ok(), "{begun:?}");
    ensure!(devices::open(name, Writable::Yes).is_err(), "{name} can be written to");
    commit()?;
    ensure!(sync().await?.is_some(), "the new log keeps nothing: {}", commit_log::status());
    Ok(())
}
