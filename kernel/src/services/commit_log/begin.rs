//! Finds the log at boot, or begins a new one where somebody says so.

use super::disk::Disk;
use super::keeper::{self, Keeper};
use super::{MemoryOnly, Phase, STATUS, give_up, place};
use crate::authority::{self, log as commits};
use crate::clock;
use crate::devices;
use crate::platform::Pollux;
use executor::Instant;
use executor::sync::Semaphore;
use hal::x86_64::time::clock::now;
use kernel_text::options::Options;
use protocols::axiom::replay::Replay;
use protocols::commit_log::{
    Found, HeaderFlaw, Log, Start, Tail, WriteError, Writer, newest_generation,
};
use thiserror_no_std::Error;

/// Seconds that reading and verifying a log may take.
const OPEN_S: u64 = 120;

/// What this boot's commits come after. Made once: its size matters to nobody.
#[allow(clippy::large_enum_variant)]
pub enum Beginning {
    /// Nothing: the log begins with them.
    Fresh,
    /// The records of the boots before.
    Continues(Replay),
}

/// Why no new log can begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BeginError {
    /// There is one that is fine.
    #[error("the log is being kept already: nothing was done")]
    Kept,
    /// The disks are still being looked at.
    #[error("the disks are still being looked at: try again")]
    Looking,
    /// The partition cannot be used.
    #[error("{0}")]
    Partition(#[from] MemoryOnly),
}

/// Finds the log and what it ends with. Once, when the disks are known.
pub async fn open() -> Beginning {
    let options = Options::parse(hal::boot::info().command_line.0);
    let disk = match place::choose(&options.commits) {
        Ok(disk) => disk,
        Err(why) => {
            let is_meant = matches!(why, MemoryOnly::Off | MemoryOnly::NoPartition);
            let level = if is_meant { log::Level::Info } else { log::Level::Warn };
            log::log!(level, "commits: kept in memory only: {why}");
            give_up(why);
            return Beginning::Fresh;
        }
    };
    // Nobody else is to write there from before it is read.
    let is_alone = devices::reserve_log(disk.name()).await;
    STATUS.lock().partition = Some(disk.name().into());
    let limit = Instant(now().saturating_add(clock::frequency() * OPEN_S));
    let found = async {
        if !is_alone {
            return Err(MemoryOnly::Shared);
        }
        let found = executor::timeout::<Pollux, _>(limit, disk.recover()).await;
        found.unwrap_or(Err(MemoryOnly::TimedOut))
    };
    match found.await {
        Ok(Found::Log(log)) => go_on(disk, *log),
        Ok(Found::Nothing { generation }) => {
            log::info!("commits: {}: empty: a new log begins there", disk.name());
            commits::hold(0);
            keeper::start(Keeper::new(disk, None, 0, generation));
            Beginning::Fresh
        }
        Err(why) => {
            let name = disk.name();
            log::error!("commits: {name}: NOT USED: {why}");
            log::error!(
                "commits: {name} is left as it is; this boot's commits are kept in memory only (`commits new {name}` begins a new log there)"
            );
            give_up(why);
            Beginning::Fresh
        }
    }
}

fn go_on(disk: Disk, log: Log) -> Beginning {
    let name = disk.name();
    let mut is_flawed = false;
    for (slot, flaw) in log.headers.iter().enumerate() {
        if let Err(flaw) = flaw
            && *flaw != HeaderFlaw::Blank
        {
            is_flawed = true;
            let block = log.header.geometry.header(slot);
            log::warn!(
                "commits: {name}: the header in block {block} {flaw}: the other one is used"
            );
        }
    }
    let (durable, end) = (log.header.head.sequence, log.end.sequence);
    if end > durable {
        log::info!("commits: {name}: {} records after the durable head are whole", end - durable);
    }
    if let Tail::Torn(damage) = log.tail {
        log::warn!("commits: {name}: a torn tail was dropped, nothing of it was durable: {damage}");
    }
    if is_flawed {
        // A header is written when all before it was flushed, and nothing is until it was.
        let why = match log.tail {
            Tail::Torn(_) => {
                "one power cut does not leave both: if there were not two, the log was changed or \
                 its disk is failing"
            }
            Tail::Clean => "if that was the newer one, durable records at the end may be missing",
        };
        log::warn!("commits: {name}: {why}");
    }
    log::info!(
        "commits: {name}: verified: epoch {}, {end} records, chain {}",
        log.replay.state().epoch(),
        log.end.hash
    );
    commits::hold(end);
    let writer = Writer::resume(&log);
    keeper::start(Keeper::new(disk, Some(writer), end, log.header.generation));
    Beginning::Continues(log.replay)
}

/// Begins a new log on the partition `name`, whatever is there: with a checkpoint of now. What was
/// there is lost.
pub async fn begin_anew(name: &str) -> Result<(), BeginError> {
    static TURN: Semaphore = Semaphore::new(1);
    let _turn = TURN.acquire(1).await;
    match STATUS.lock().phase {
        Phase::Kept => return Err(BeginError::Kept),
        Phase::Looking => return Err(BeginError::Looking),
        Phase::Memory(_) => {}
    }
    let disk = place::named(name)?;
    let attempt = Attempt;
    if !devices::reserve_log(name).await {
        return Err(MemoryOnly::Shared.into());
    }
    let headers = disk.headers().await.map_err(MemoryOnly::from)?;
    let keeper = begin(disk, newest_generation(&headers)).await?;
    // From here on all is the keeper's, until it gives up.
    core::mem::forget(attempt);
    log::info!("commits: a new log begins on {name}");
    STATUS.lock().partition = Some(name.into());
    keeper::start(keeper);
    Ok(())
}

/// A new log is about to begin: dropped, it does not, for whatever reason. Nobody waits for the disk
/// any more, and others may write to it.
struct Attempt;

impl Drop for Attempt {
    fn drop(&mut self) {
        devices::release_log();
        commits::let_go();
    }
}

/// A new log on the disk, with nothing in it yet but a checkpoint, which is durable.
async fn begin(disk: Disk, generation: u64) -> Result<Keeper, MemoryOnly> {
    // From here on records wait for the disk.
    commits::hold(commits::head().0);
    let checkpoint = commits::checkpoint().await;
    let log = authority::look(|state| state.log()).unwrap_or_default();
    let start = Start::Checkpoint(checkpoint.next, checkpoint.hash);
    let writer = Writer::create(&disk.partition(), log, start, generation)?;
    let records = commits::records(checkpoint.next).await;
    let first = records.first().filter(|record| record.sequence == checkpoint.next);
    let first = first.ok_or(WriteError::NotNext(checkpoint.next))?;
    let mut keeper = Keeper::new(disk, Some(writer), checkpoint.next + 1, generation);
    keeper.begin_with(&checkpoint.state, first).await?;
    Ok(keeper)
}
