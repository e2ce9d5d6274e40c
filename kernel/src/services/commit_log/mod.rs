//! Keeps the CommitLog on a disk: on the one partition made for it.
//!
//! ```text
//!   open ──> the partition ──> recovery ──┬─ nothing there ──> a new log ──┐
//!                                         ├─ a log ──> goes on with it ────┴─> keeper: groups ──> durable
//!                                         └─ none, refused, failing ──> memory only, and said
//! ```
//!
//! The disk may be read-only for everybody else: the kernel writes to the partition of its own type
//! and to nothing else. A log that is refused is left as it is, until somebody says
//! [`begin_anew`]. The format, and what it can tell, is [`protocols::commit_log`]'s.

mod begin;
mod disk;
mod keeper;
mod place;

pub use begin::{BeginError, Beginning, begin_anew, open};

use crate::authority::log as commits;
use crate::clock;
use crate::devices;
use crate::platform::Pollux;
use crate::process::exit::Announcement;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use drivers::storage::StorageError;
use executor::Instant;
use executor::sync::Notify;
use hal::x86_64::time::clock::{now, ticks_to_ns};
use protocols::commit_log::{PARTITION_NAME, Refusal, TooSmall, WriteError};
use thiserror_no_std::Error;

/// Seconds that the last group may take when the machine is left.
const REST_S: u64 = 15;

/// Why the log is in memory only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MemoryOnly {
    /// As the command line says.
    #[error("switched off (`commits=off`)")]
    Off,
    /// There is none.
    #[error("no disk has a partition `{PARTITION_NAME}` (`cargo xtask image` makes one)")]
    NoPartition,
    /// One has to be chosen.
    #[error("several partitions are made for it: say which, `commits=NAME`")]
    Several,
    /// The one that was chosen is not there.
    #[error("no partition of that name is made for it")]
    Unknown,
    /// The device cannot be written to.
    #[error("the device is read-only")]
    ReadOnly,
    /// What is there is not to be gone on with.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// No log fits there.
    #[error("{0}")]
    TooSmall(#[from] TooSmall),
    /// The disk failed.
    #[error("{0}")]
    Disk(#[from] StorageError),
    /// The disk took too long.
    #[error("the log could not be read in time")]
    TimedOut,
    /// Somebody else may write there.
    #[error("somebody else may write to it or its disk: end the programs that were given it")]
    Shared,
    /// The log cannot be written.
    #[error("{0}")]
    Write(#[from] WriteError),
    /// The machine is being left.
    #[error("the machine is being left")]
    Leaving,
}

/// What was to be durable is not, and will not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not durable: the log is in memory only: {0}")]
pub struct NotDurable(pub MemoryOnly);

/// Where the log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not known yet.
    Looking,
    /// In memory only.
    Memory(MemoryOnly),
    /// On the disk.
    Kept,
}

/// What the keeper has done in this boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Groups made durable: each with one pair of flushes.
    pub syncs: u64,
    /// Records in them.
    pub records: u64,
    /// Blocks written, those of headers and checkpoints included.
    pub blocks: u64,
    /// Checkpoints written.
    pub checkpoints: u64,
    /// Records of the largest group.
    pub largest: u64,
    /// Ticks of the TSC from a group's first write until it was durable: all together.
    pub ticks: u64,
    /// The longest.
    pub longest_ticks: u64,
}

/// How the log is kept.
#[derive(Clone, Debug)]
pub struct Status {
    /// Where.
    pub phase: Phase,
    /// On which partition, if one was found.
    pub partition: Option<Arc<str>>,
    /// Records before this one are durable.
    pub durable: u64,
    /// Blocks that the log has on the disk.
    pub live: u64,
    /// Blocks there are for it.
    pub ring: u64,
    /// What was done.
    pub statistics: Statistics,
}

static STATUS: spin::Mutex<Status> = spin::Mutex::new(Status {
    phase: Phase::Looking,
    partition: None,
    durable: 0,
    live: 0,
    ring: 0,
    statistics: Statistics {
        syncs: 0,
        records: 0,
        blocks: 0,
        checkpoints: 0,
        largest: 0,
        ticks: 0,
        longest_ticks: 0,
    },
});
/// Records before this one are waited for.
static WANTED: AtomicU64 = AtomicU64::new(0);
/// The machine is being left.
static LEAVING: AtomicBool = AtomicBool::new(false);
/// The keeper is to look at the two above.
static ASKED: Notify = Notify::new();
/// What is durable, or whether anything can be, has changed.
static CHANGED: Announcement = Announcement::new();

/// How the log is kept.
pub fn status() -> Status {
    STATUS.lock().clone()
}

/// Waits until the record of that number, and all before it, are durable. One that is never made is
/// waited for for ever.
pub async fn sync(sequence: u64) -> Result<(), NotDurable> {
    let end = sequence.saturating_add(1);
    if STATUS.lock().durable < end {
        WANTED.fetch_max(end, Relaxed);
        ASKED.notify();
    }
    loop {
        let change = CHANGED.next();
        {
            let status = STATUS.lock();
            match status.phase {
                _ if status.durable >= end => return Ok(()),
                Phase::Memory(why) => return Err(NotDurable(why)),
                Phase::Looking | Phase::Kept => {}
            }
        }
        change.await;
    }
}

/// Makes durable what was committed, and writes nothing afterwards. Before the disks are stopped.
pub async fn rest() {
    let limit = Instant(now().saturating_add(clock::frequency() * REST_S));
    let ended = async {
        // At a very short boot the log has no place yet.
        let records = commits::ordered().await;
        // If it can't be durable, that was said.
        let _ = sync(records.saturating_sub(1)).await;
        LEAVING.store(true, Relaxed);
        ASKED.notify();
        loop {
            let change = CHANGED.next();
            if STATUS.lock().phase != Phase::Kept {
                return;
            }
            change.await;
        }
    };
    if executor::timeout::<Pollux, _>(limit, ended).await.is_err() {
        log::warn!("commits: the last of them are not durable after {REST_S} s: left behind");
    }
}

/// From now on the log is in memory only.
fn give_up(why: MemoryOnly) {
    devices::release_log();
    commits::let_go();
    // Last: from here on another may begin.
    STATUS.lock().phase = Phase::Memory(why);
    CHANGED.announce();
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, durable, live, ring, statistics, .. } = self;
        match self.phase {
            Phase::Looking => return f.write_str("commits: the disks are being looked at"),
            Phase::Memory(why) => {
                f.write_str("commits: in memory only: ")?;
                if let Some(partition) = partition {
                    write!(f, "{partition}: ")?;
                }
                return write!(f, "{why}");
            }
            Phase::Kept => {}
        }
        let name = partition.as_deref().unwrap_or("");
        write!(f, "commits: on {name}: {durable} durable, {live} of {ring} blocks")?;
        let Statistics { syncs, records, ticks, longest_ticks, largest, checkpoints, .. } =
            statistics;
        if let Some(mean) = ticks.checked_div(*syncs) {
            let us = |ticks: u64| ticks_to_ns(ticks) / 1000;
            write!(
                f,
                "; groups: {syncs}, of {} records (at most {largest}), {} us (at most {}); checkpoints: {checkpoints}",
                records / syncs,
                us(mean),
                us(*longest_ticks)
            )?;
        }
        Ok(())
    }
}
