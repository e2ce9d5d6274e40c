//! The task that makes records durable, many at a time.
//!
//! ```text
//!   records there ──> somebody waits, or many, or LINGER_MS over ──> group(s), flush, header, flush
//!        ▲                                                                    │
//!        └──────────────── all who wait for these are answered <──────────────┘
//! ```
//!
//! One pair of flushes serves everybody who has come by then; who comes meanwhile is served by the
//! next. A disk that fails ends it: what is there then is for the next boot to find out.

use super::disk::Disk;
use super::{ASKED, CHANGED, LEAVING, MemoryOnly, Phase, STATUS, WANTED, give_up};
use crate::authority::log::{self as commits, Chained};
use crate::clock;
use crate::platform::Pollux;
use alloc::vec::Vec;
use core::pin::pin;
use core::sync::atomic::Ordering::Relaxed;
use executor::Priority;
use futures_util::future::select;
use hal::x86_64::time::clock::now;
use protocols::axiom::{Commit, Hash, Record};
use protocols::commit_log::{Start, WriteError, Writer};

/// Milliseconds that records wait for others if nobody waits for them.
const LINGER_MS: u64 = 50;
/// As many need not wait.
const MANY: u64 = 1024;
/// Records put at once, and then a chance for other tasks.
const BATCH: usize = 512;
/// Records of one round; the others come in the next.
const ROUND: usize = 4096;

/// What keeps the log.
pub struct Keeper {
    disk: Disk,
    /// `None`: the log begins with the first record, which tells what it is called.
    writer: Option<Writer>,
    /// The next record.
    next: u64,
    /// Of the newest header on the disk.
    generation: u64,
}

/// Starts the task.
pub fn start(keeper: Keeper) {
    {
        let mut status = STATUS.lock();
        status.phase = Phase::Kept;
        if let Some(writer) = &keeper.writer {
            status.durable = writer.durable().sequence;
        }
    }
    CHANGED.announce();
    executor::spawn::<Pollux, _>("commits to disk", Priority::Normal, run(keeper)).detach();
}

async fn run(mut keeper: Keeper) {
    let why = loop {
        if let Err(why) = keeper.round().await {
            break why;
        }
    };
    if why != MemoryOnly::Leaving {
        let name = keeper.disk.name();
        log::error!("commits: {name}: {why}");
        log::error!("commits: from record {} on they are kept in memory only", durable());
    }
    give_up(why);
}

fn durable() -> u64 {
    STATUS.lock().durable
}

/// Waits until somebody waits for records, or the machine is left.
async fn asked() {
    while WANTED.load(Relaxed) <= durable() && !LEAVING.load(Relaxed) {
        ASKED.wait().await;
    }
}

/// Waits until the machine is left.
async fn leaving() {
    while !LEAVING.load(Relaxed) {
        ASKED.wait().await;
    }
}

impl Keeper {
    /// On `disk`, before record `next`.
    pub fn new(disk: Disk, writer: Option<Writer>, next: u64, generation: u64) -> Self {
        Self { disk, writer, next, generation }
    }

    /// Puts a checkpoint, and makes it durable.
    pub async fn begin_with(&mut self, state: &[u8], record: &Chained) -> Result<(), MemoryOnly> {
        let writer = self.writer.as_mut().ok_or(WriteError::NotNext(record.sequence))?;
        writer.checkpoint(state, (&record.bytes, record.hash))?;
        writer.sync();
        self.carry_out().await?;
        self.keep_count(1, 0);
        Ok(())
    }

    /// Makes one group durable.
    async fn round(&mut self) -> Result<(), MemoryOnly> {
        // A log that goes on has a header to be written first.
        self.carry_out().await?;
        let mut records = self.gather().await?;
        records.truncate(ROUND);
        let begun = now();
        let count = records.len() as u64;
        if self.writer.is_none() {
            self.writer = Some(self.create(&records)?);
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        if writer.wants_checkpoint() {
            self.checkpoint().await?;
        } else {
            put(writer, &records).await?;
        }
        if let Some(writer) = &mut self.writer {
            writer.sync();
            self.next = writer.head().sequence;
        }
        self.carry_out().await?;
        self.keep_count(count, now().saturating_sub(begun));
        Ok(())
    }

    /// A new log, which begins with these records.
    fn create(&self, records: &[Chained]) -> Result<Writer, MemoryOnly> {
        let first = records.first().and_then(|record| Record::decode(&record.bytes).ok());
        let Some(Record { sequence: 0, commit: Commit::Genesis { log }, .. }) = first else {
            return Err(WriteError::NotNext(0).into());
        };
        Ok(Writer::create(&self.disk.partition(), log, Start::Genesis, self.generation)?)
    }

    /// Waits for records, and for more of them unless somebody waits.
    async fn gather(&self) -> Result<Vec<Chained>, MemoryOnly> {
        select(pin!(commits::records(self.next)), pin!(leaving())).await;
        if commits::head().0 <= self.next {
            return Err(MemoryOnly::Leaving);
        }
        let linger = executor::sleep::<Pollux>(clock::frequency() / 1000 * LINGER_MS);
        let company = pin!(commits::records(self.next + MANY));
        select(pin!(asked()), select(company, pin!(linger))).await;
        Ok(commits::records(self.next).await)
    }

    /// Puts what comes before a checkpoint of now, that, and what comes after it.
    async fn checkpoint(&mut self) -> Result<(), MemoryOnly> {
        let checkpoint = commits::checkpoint().await;
        let records = commits::records(self.next).await;
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let split = records.partition_point(|record| record.sequence < checkpoint.next);
        let (before, after) = records.split_at(split);
        put(writer, before).await?;
        let missing = WriteError::NotNext(checkpoint.next);
        let (record, after) = after.split_first().ok_or(missing)?;
        writer.checkpoint(&checkpoint.state, (&record.bytes, record.hash))?;
        put(writer, after).await?;
        STATUS.lock().statistics.checkpoints += 1;
        log::debug!(
            "commits: checkpoint before record {}, {} bytes",
            checkpoint.next,
            checkpoint.state.len()
        );
        Ok(())
    }

    /// Does what the writer has to be done.
    async fn carry_out(&mut self) -> Result<(), MemoryOnly> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        while let Some(step) = writer.step() {
            let blocks = self.disk.carry_out(&step).await?;
            STATUS.lock().statistics.blocks += blocks;
        }
        {
            let mut status = STATUS.lock();
            status.durable = writer.durable().sequence;
            (status.live, status.ring) = (writer.live(), writer.geometry().ring());
        }
        commits::release(writer.durable().sequence);
        CHANGED.announce();
        Ok(())
    }

    fn keep_count(&self, records: u64, ticks: u64) {
        let statistics = &mut STATUS.lock().statistics;
        statistics.syncs += 1;
        statistics.records += records;
        statistics.largest = statistics.largest.max(records);
        statistics.ticks += ticks;
        statistics.longest_ticks = statistics.longest_ticks.max(ticks);
    }
}

async fn put(writer: &mut Writer, records: &[Chained]) -> Result<(), WriteError> {
    for batch in records.chunks(BATCH) {
        let pairs = batch.iter().map(|record| (&*record.bytes, record.hash));
        writer.put(pairs.map(|(bytes, hash): (&[u8], Hash)| (bytes, hash)))?;
        executor::yield_now().await;
    }
    Ok(())
}
