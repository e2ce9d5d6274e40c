//! How many instructions an operation takes, where ticks count them.
//!
//! ```text
//!   reap 32, wake 32, 32 workers take their data and submit the next, doorbell │ wait, not counted
//!   └───────────────────────────── counted ──────────────────────────────────┘
//! ```
//!
//! Two figures come of it: what is executed inside of submission, completion and waking (all polls
//! of the operations, and of the tasks that reap), and all that the core executes, executor and the
//! loop of the workers included.
//!
//! A round begins when the device has posted the completions of all workers, and ends when it knows
//! of their next commands. Then the core is kept until the device has long posted the next completions.
//! Interrupts come as they please meanwhile: what their handlers take shows as wait that is longer
//! than the same wait without any, and is counted too.

use super::{Place, whole};
use crate::devices::Block;
use crate::platform::Pollux;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::future::{Future, poll_fn};
use core::pin::pin;
use drivers::storage::{StorageDevice, StorageError, Transfer};
use executor::{Priority, yield_now};
use hal::dma::DmaDomain;
use hal::x86_64::time::clock;

/// Operations of a round.
const DEPTH: usize = 32;
const BYTES: usize = 4096;
const WARM_UP: usize = 8;
const ROUNDS: usize = 64;
/// Turns of the empty loop that keeps the core until the device is done.
const WAIT_TURNS: u64 = 400_000;

#[derive(Default)]
struct Round {
    done: Cell<usize>,
    /// Ticks inside of the polls of operations.
    inside: Cell<u64>,
    failed: Cell<Option<StorageError>>,
}

/// Ticks per read, a sample a round.
#[derive(Default)]
pub struct Counts {
    /// Inside of submission, completion and waking.
    pub inside: Vec<u64>,
    /// All that the core executed.
    pub whole: Vec<u64>,
}

/// Counts on `block`.
pub async fn count(block: &Block) -> Result<Counts, StorageError> {
    let round = Rc::new(Round::default());
    let mut workers = Vec::new();
    for number in 0..DEPTH {
        let (round, block) = (round.clone(), block.clone());
        let worker = async move {
            if let Err(error) = worker(&round, &block, number).await {
                round.failed.set(Some(error));
            }
        };
        let worker = Box::pin(worker);
        // Cancelled when the handles are dropped.
        workers.push(executor::spawn::<Pollux, _>("bench io", Priority::Normal, worker));
    }
    // The conductor comes after all whom it wakes.
    let conductor = conduct(round, block.device().kind());
    executor::spawn::<Pollux, _>("bench", Priority::Low, conductor)
        .await
        .unwrap_or(Err(StorageError::Gone))
}

async fn conduct(round: Rc<Round>, kind: &str) -> Result<Counts, StorageError> {
    let mut counts = Counts::default();
    let undisturbed = (0..4).map(|_| keep_the_core()).min().unwrap_or(0);
    // The first commands.
    let_all_run().await;
    let deadline = clock::now() + 10 * clock::ticks_per_second();
    let mut number = 0;
    while number < WARM_UP + ROUNDS {
        let handlers = keep_the_core().saturating_sub(undisturbed);
        round.done.set(0);
        round.inside.set(0);
        let before = reaped(kind);
        let start = clock::now();
        let_all_run().await;
        let ticks = clock::now() - start;
        if let Some(error) = round.failed.get() {
            return Err(error);
        }
        // Fewer: the device was late. More: it did some within the round.
        let done = round.done.get();
        if done >= DEPTH - DEPTH / 8 {
            number += 1;
            if number > WARM_UP {
                let inside = round.inside.get() + reaped(kind) - before;
                counts.inside.push((inside + handlers) / done as u64);
                counts.whole.push((ticks + handlers) / done as u64);
            }
        } else if clock::now() > deadline {
            return Err(StorageError::TimedOut);
        }
    }
    Ok(counts)
}

/// Ticks that reading the clock twice takes by itself.
fn reading() -> u64 {
    (0..8).map(|_| (clock::now(), clock::now())).map(|(a, b)| b - a).min().unwrap_or(0)
}

/// Ticks that the tasks which reap for disks of this kind have spent on this core.
fn reaped(kind: &str) -> u64 {
    let tasks = executor::Core::<Pollux>::current().tasks();
    tasks.iter().filter(|task| task.name.starts_with(kind)).map(|task| task.busy_ticks).sum()
}

/// Lets the workers run, and the reaper before and after them (it rings for all of them at once).
async fn let_all_run() {
    yield_now().await;
    yield_now().await;
}

/// Ticks that a fixed number of turns of nothing take.
fn keep_the_core() -> u64 {
    let start = clock::now();
    for turn in 0..WAIT_TURNS {
        core::hint::black_box(turn);
    }
    clock::now() - start
}

async fn worker(round: &Round, block: &Block, number: usize) -> Result<(), StorageError> {
    let buf = DmaDomain::machine().buffer(BYTES).map_err(|_| StorageError::OutOfMemory)?;
    let mut place = Place::new(block.info(), BYTES, number as u64)?;
    let mut memory = buf.into();
    let reading = reading();
    loop {
        let lba = place.next();
        let count = |start: u64| {
            let ticks = (clock::now() - start).saturating_sub(reading);
            round.inside.set(round.inside.get() + ticks);
        };
        let (done, dropped) = {
            let mut moving = pin!(block.transfer(Transfer::Read, lba, memory));
            let done = poll_fn(|context| {
                let start = clock::now();
                let look = moving.as_mut().poll(context);
                count(start);
                look
            });
            (done.await, clock::now())
        };
        // The end of the future itself.
        count(dropped);
        memory = whole(done)?;
        round.done.set(round.done.get() + 1);
    }
}
