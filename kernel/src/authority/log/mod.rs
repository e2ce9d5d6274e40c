//! The CommitLog in memory, and the task that makes it.
//!
//! ```text
//!   commit ──> queue (in order) ──> log task: record, hash ──> kept ──> durable log, shell
//!                                       ▲
//!                             who commits too fast helps
//! ```
//!
//! The task begins when the log's place is known ([`place`]). A queue that grows past its bound is
//! shortened by those who make it grow, wherever they run: their commits cost them the hashes.

mod place;

pub use place::begin;

use super::{AUTHORITY, Authority};
use crate::clock;
use crate::platform::Pollux;
use crate::process::exit::{Announcement, Event};
use crate::process::limits;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use executor::Priority;
use executor::sync::{Notify, Semaphore, oneshot};
use protocols::axiom::replay::{Divergence, Replay};
use protocols::axiom::{Cause, Commit, Hash, Record, extend};

/// Commits that wait to be hashed before those who make more help with that.
const QUEUED_MAX: usize = 2048;
/// Commits hashed, or replayed, between two chances for other tasks.
const BATCH: usize = 32;

static ARRIVED: Notify = Notify::new();
static QUEUED: AtomicUsize = AtomicUsize::new(0);
/// Records from here on are not on the disk yet. The highest number: there is no disk.
static UNWRITTEN: AtomicU64 = AtomicU64::new(u64::MAX);
/// Records there are.
static NEXT: AtomicU64 = AtomicU64::new(0);
/// The oldest record in memory.
static OLDEST: AtomicU64 = AtomicU64::new(0);
static CHAINED: Announcement = Announcement::new();
/// Something is on the disk, or need not be; or there is room in memory.
static RELEASED: Announcement = Announcement::new();
/// The log's place is known.
static PLACED: Event<()> = Event::new();
/// Who drops records from memory, or goes through them, goes alone.
static ALONE: Semaphore = Semaphore::new(1);
/// Held by whoever adds to the chain.
static CHAINING: spin::Mutex<()> = spin::Mutex::new(());
static KEPT: spin::Mutex<Kept> =
    spin::Mutex::new(Kept { base: None, records: VecDeque::new(), next: 0, hash: Hash([0; 32]) });

/// A record with the chain's hash after it.
#[derive(Clone, Debug)]
pub struct Chained {
    /// Its place in the log.
    pub sequence: u64,
    /// Its encoding.
    pub bytes: Arc<[u8]>,
    /// The hash after it.
    pub hash: Hash,
}

/// A state that a log can begin with.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Its encoding.
    pub state: Arc<[u8]>,
    /// The record after it: the one that names its hash.
    pub next: u64,
    /// The chain's hash before that record.
    pub hash: Hash,
}

struct Kept {
    base: Option<Checkpoint>,
    records: VecDeque<Chained>,
    next: u64,
    hash: Hash,
}

/// What waits to be hashed.
pub(super) struct Queue(VecDeque<Queued>);

struct Queued {
    time_us: u64,
    cause: Cause,
    what: What,
}

enum What {
    Commit(Commit),
    Checkpoint(Vec<u8>, oneshot::Sender<Checkpoint>),
    /// Nothing: tells how many records came before.
    Mark(oneshot::Sender<u64>),
}

impl Queue {
    pub(super) const fn new() -> Self {
        Self(VecDeque::new())
    }

    /// Under the authority's lock: the order here is the order.
    pub(super) fn push(&mut self, cause: Cause, commit: Commit) {
        self.put(cause, What::Commit(commit));
    }

    fn put(&mut self, cause: Cause, what: What) {
        self.0.push_back(Queued { time_us: clock::nanoseconds() / 1000, cause, what });
        QUEUED.store(self.0.len(), Relaxed);
        if self.0.len() == 1 {
            ARRIVED.notify();
        }
    }
}

/// Whether commits should wait: the log task, or the disk, is far behind.
pub fn is_behind() -> bool {
    is_long(QUEUED.load(Relaxed)) || is_disk_behind() || is_full()
}

const fn is_long(queued: usize) -> bool {
    queued > QUEUED_MAX
}

fn is_disk_behind() -> bool {
    NEXT.load(Relaxed).saturating_sub(UNWRITTEN.load(Relaxed)) > limits::kept_records()
}

/// Whether a checkpoint is under way that shall make room, and late.
fn is_full() -> bool {
    NEXT.load(Relaxed).saturating_sub(OLDEST.load(Relaxed)) > 3 * limits::kept_records()
}

/// Waits until the log is not too far behind, and helps with that. For tasks that commit for ring 3.
pub async fn keep_up() {
    while is_behind() {
        let released = RELEASED.next();
        if is_long(QUEUED.load(Relaxed)) {
            PLACED.wait().await;
            chain_some();
            executor::yield_now().await;
        } else if is_disk_behind() || is_full() {
            released.await;
        }
    }
}

/// Waits until the log has its place: everything that was committed before is in it.
pub async fn placed() {
    PLACED.wait().await;
}

/// Records from `after` on, as soon as there are any.
pub async fn records(after: u64) -> Vec<Chained> {
    loop {
        let news = CHAINED.next();
        {
            let kept = KEPT.lock();
            if kept.next > after {
                let first = kept.next - kept.records.len() as u64;
                let skip = after.saturating_sub(first) as usize;
                return kept.records.iter().skip(skip).cloned().collect();
            }
        }
        news.await;
    }
}

/// The last `count` records.
pub fn last(count: usize) -> Vec<Chained> {
    let kept = KEPT.lock();
    kept.records.iter().skip(kept.records.len().saturating_sub(count)).cloned().collect()
}

/// How many records there are, with the hash after the last.
pub fn head() -> (u64, Hash) {
    let kept = KEPT.lock();
    (kept.next, kept.hash)
}

/// There is a disk: records from `from` on wait for it until they are [`release`]d.
pub fn hold(from: u64) {
    UNWRITTEN.store(from, Relaxed);
}

/// Records before `before` are on the disk.
pub fn release(before: u64) {
    UNWRITTEN.fetch_max(before, Relaxed);
    RELEASED.announce();
}

/// There is no disk any more.
pub fn let_go() {
    UNWRITTEN.store(u64::MAX, Relaxed);
    RELEASED.announce();
}

/// Puts a checkpoint into the order.
pub async fn checkpoint() -> Checkpoint {
    loop {
        let (answer, checkpoint) = oneshot::channel();
        {
            let mut authority = AUTHORITY.lock();
            let Authority { state, queue, .. } = &mut *authority;
            let mut bytes = Vec::new();
            state.encode(&mut bytes);
            queue.put(Cause::Kernel, What::Checkpoint(bytes, answer));
        }
        // Without an answer: asked for before the log had its place.
        if let Ok(checkpoint) = checkpoint.await {
            return checkpoint;
        }
    }
}

/// How many records there are once all that was committed before this call is one.
pub async fn ordered() -> u64 {
    loop {
        let (answer, count) = oneshot::channel();
        AUTHORITY.lock().queue.put(Cause::Kernel, What::Mark(answer));
        if let Ok(count) = count.await {
            return count;
        }
    }
}

/// What the log says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Which start of the machine.
    pub epoch: u32,
    /// Records there are, the checkpoint that this report made included.
    pub records: u64,
    /// The hash after them.
    pub chain: Hash,
    /// The state's.
    pub state: Hash,
    /// Records that were replayed.
    pub replayed: u64,
}

impl core::fmt::Display for Report {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { epoch, records, chain, state, .. } = self;
        write!(f, "commits: epoch {epoch}, {records} records, chain {chain}, state {state}")
    }
}

/// Replays what is in memory, and compares it with the live state.
pub async fn verify() -> Result<Report, Divergence> {
    let _alone = ALONE.acquire(1).await;
    let end = checkpoint().await;
    let (base, records) = {
        let kept = KEPT.lock();
        (kept.base.clone(), kept.records.clone())
    };
    let mut replay = match &base {
        Some(base) => Replay::from_checkpoint(&base.state, base.next, base.hash)?,
        None => Replay::new(),
    };
    let begun = replay.next();
    // What is older than the checkpoint waits for the disk.
    let records = records.iter().skip_while(|record| record.sequence < begun);
    for (number, record) in records.enumerate() {
        if record.sequence > end.next {
            break;
        }
        // The last one is the checkpoint: it compares the states.
        replay.push(&record.bytes, &mut |_| ())?;
        if replay.hash() != record.hash {
            return Err(Divergence::Sequence(record.sequence));
        }
        if number.is_multiple_of(BATCH) {
            executor::yield_now().await;
        }
    }
    Ok(Report {
        epoch: replay.state().epoch(),
        records: replay.next(),
        chain: replay.hash(),
        state: Hash::of(&end.state),
        replayed: replay.next() - begun,
    })
}

/// Starts the log task.
pub fn start() {
    executor::spawn::<Pollux, _>("commit log", Priority::Normal, run()).detach();
}

async fn run() {
    place::find().await;
    PLACED.set(());
    loop {
        while QUEUED.load(Relaxed) > 0 {
            chain_some();
            executor::yield_now().await;
        }
        ARRIVED.wait().await;
    }
}

/// Adds the next few commits to the chain, unless somebody is at it. Only once the log has its
/// place.
fn chain_some() {
    let Some(_chaining) = CHAINING.try_lock() else { return };
    let batch: Vec<Queued> = {
        let mut authority = AUTHORITY.lock();
        let queue = &mut authority.queue.0;
        let batch = queue.drain(..queue.len().min(BATCH)).collect();
        QUEUED.store(queue.len(), Relaxed);
        batch
    };
    batch.into_iter().for_each(chain);
    CHAINED.announce();
    trim();
}

fn chain(queued: Queued) {
    let Queued { time_us, cause, what } = queued;
    let (sequence, hash) = head();
    let (commit, checkpoint) = match what {
        What::Commit(commit) => (commit, None),
        What::Mark(answer) => {
            let _ = answer.send(sequence);
            return;
        }
        What::Checkpoint(state, answer) => {
            (Commit::Checkpoint { state: Hash::of(&state) }, Some((state, answer)))
        }
    };
    let mut bytes = Vec::new();
    Record { sequence, time_us, cause, commit }.encode(&mut bytes);
    let after = extend(hash, &bytes);
    KEPT.lock().keep(sequence, bytes, after);
    if let Some((state, answer)) = checkpoint {
        let checkpoint = Checkpoint { state: state.into(), next: sequence, hash };
        // Who asked may be gone.
        let _ = answer.send(checkpoint);
    }
}

impl Kept {
    fn keep(&mut self, sequence: u64, bytes: Vec<u8>, hash: Hash) {
        if self.records.is_empty() {
            OLDEST.store(sequence, Relaxed);
        }
        self.records.push_back(Chained { sequence, bytes: bytes.into(), hash });
        (self.next, self.hash) = (sequence + 1, hash);
        NEXT.store(self.next, Relaxed);
    }
}

/// Keeps the memory bounded.
fn trim() {
    let is_full = {
        let kept = KEPT.lock();
        let written = kept.next.min(UNWRITTEN.load(Relaxed));
        let first = kept.next - kept.records.len() as u64;
        written.saturating_sub(first) > limits::kept_records()
    };
    if is_full && !TRIMMING.swap(true, Relaxed) {
        let trim = async {
            compact().await;
            TRIMMING.store(false, Relaxed);
        };
        executor::spawn::<Pollux, _>("trim commits", Priority::Normal, trim).detach();
    }
}

static TRIMMING: AtomicBool = AtomicBool::new(false);

/// Drops the records that are before a new checkpoint, but those that wait for the disk.
pub async fn compact() {
    let _alone = ALONE.acquire(1).await;
    let checkpoint = checkpoint().await;
    let mut kept = KEPT.lock();
    let end = checkpoint.next.min(UNWRITTEN.load(Relaxed));
    while kept.records.front().is_some_and(|record| record.sequence < end) {
        kept.records.pop_front();
    }
    kept.records.shrink_to_fit();
    OLDEST.store(kept.next - kept.records.len() as u64, Relaxed);
    kept.base = Some(checkpoint);
    drop(kept);
    RELEASED.announce();
}
