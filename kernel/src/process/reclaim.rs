//! Letting objects go only when no core can still be looking at them.
//!
//! A system call may use an object it found in a handle table without counting it. So an object
//! that leaves a table is kept until every core has come through its executor once more: a task
//! that ran there proves that whatever was under way is over. A thread's record is kept as long,
//! for the core that made it ready last ([`super::thread`]).
//!
//! What waits here is memory that ring 3 made the kernel use, so this goes before ring 3's own
//! work, and who makes new objects waits while it is far behind.

use super::object::Object;
use super::thread::Thread;
use crate::platform::{self, Pollux};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::*};
use executor::sync::Notify;
use executor::{CoreId, Priority};

/// What is to be dropped.
#[derive(Debug)]
enum Kept {
    Object(#[allow(dead_code, reason = "kept to be dropped")] Object),
    Thread(#[allow(dead_code, reason = "kept to be dropped")] Arc<Thread>),
}

/// Dropped at once; then other tasks have a chance.
const PIECE: usize = 64;
/// Who makes an object waits while so many are to be dropped.
const BACKLOG_MAX: usize = 4096;

static WAITING: spin::Mutex<Vec<Kept>> = spin::Mutex::new(Vec::new());
static ARRIVED: Notify = Notify::new();
/// Rounds that are over.
static ROUNDS: AtomicU64 = AtomicU64::new(0);
/// Rounds that somebody waits for.
static WANTED: AtomicU64 = AtomicU64::new(0);
/// Kept and not dropped yet.
static BACKLOG: AtomicUsize = AtomicUsize::new(0);

/// Drops `object` once every core has passed a quiescent point. Not from interrupt handlers.
pub fn defer(object: Object) {
    keep(Kept::Object(object));
}

/// Drops the last hold on a thread that has ended, in the same way.
pub fn defer_thread(thread: Arc<Thread>) {
    keep(Kept::Thread(thread));
}

fn keep(kept: Kept) {
    BACKLOG.fetch_add(1, Relaxed);
    WAITING.lock().push(kept);
    ARRIVED.notify();
}

/// Asks for the round after which every core will have passed a quiescent point since now: see
/// [`is_past`].
pub fn ask_for_round() -> u64 {
    // The one that may be under way began earlier.
    let round = ROUNDS.load(Acquire) + 2;
    WANTED.fetch_max(round, Relaxed);
    ARRIVED.notify();
    round
}

/// Whether that round is over.
pub fn is_past(round: u64) -> bool {
    ROUNDS.load(Acquire) >= round
}

/// Whether nothing waits to be dropped.
pub fn is_idle() -> bool {
    BACKLOG.load(Relaxed) == 0
}

/// Waits until not too much waits to be dropped. For tasks that make objects for ring 3.
pub async fn keep_up() {
    while BACKLOG.load(Relaxed) > BACKLOG_MAX {
        executor::yield_now().await;
    }
}

/// Starts the task that does it.
pub fn start() {
    executor::spawn::<Pollux, _>("reclaim", Priority::High, async {
        loop {
            ARRIVED.wait().await;
            let mut batch = core::mem::take(&mut *WAITING.lock());
            quiesce().await;
            // One that was asked for while this one was under way needs the next one.
            if ROUNDS.fetch_add(1, AcqRel) + 1 < WANTED.load(Relaxed) {
                ARRIVED.notify();
            }
            while !batch.is_empty() {
                let piece = batch.split_off(batch.len().saturating_sub(PIECE));
                BACKLOG.fetch_sub(piece.len(), Relaxed);
                drop(piece);
                executor::yield_now().await;
            }
            // What a thread that was killed in the middle of an unmap left behind.
            hal::x86_64::paging::reap_quarantine();
        }
    })
    .detach();
}

/// Returns once every core has run a task since.
pub async fn quiesce() {
    on_each_core(u64::MAX, || ()).await;
}

/// Runs `work` in a task on every core of `mask` (bit n: core n) and waits for all of them.
pub async fn on_each_core(mask: u64, work: impl Fn() + Copy + Send + 'static) {
    let here = platform::here().core;
    let mut asked = Vec::new();
    for core in (0..platform::core_count() as u16).map(CoreId) {
        if core == here || mask & 1 << core.0 == 0 {
            continue;
        }
        let task = move || async move { work() };
        asked.push(executor::spawn_on::<Pollux, _, _>(core, "each core", Priority::High, task));
    }
    if mask & 1 << here.0 != 0 {
        work();
    }
    for task in asked {
        // Nobody cancels these.
        let _ = task.await;
    }
}
