//! How many instructions an operation takes, where ticks count them.
//!
//! ```text
//!   reap 32, wake 32, 32 workers take their data and submit the next, doorbell │ wait, not counted
//!   └───────────────────────────── counted ──────────────────────────────────┘
//! ```
//!
//! A round begins when the device has posted the completions of all workers, and ends when it knows
//! of their next commands. What is counted is all that the core executes in between, executor and
//! workers included. Then the core is kept until the device has long posted the next completions.
//! Interrupts come as they please meanwhile: what their handlers take shows as wait that is longer
//! than the same wait without any, and is counted too.

use super::{Place, whole};
use crate::devices::Block;
use crate::platform::Pollux;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
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
    failed: Cell<Option<StorageError>>,
}

/// Ticks per read, a sample a round.
pub async fn samples(block: &Block) -> Result<Vec<u64>, StorageError> {
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
    let conductor = conduct(round);
    executor::spawn::<Pollux, _>("bench", Priority::Low, conductor)
        .await
        .unwrap_or(Err(StorageError::Gone))
}

async fn conduct(round: Rc<Round>) -> Result<Vec<u64>, StorageError> {
    let mut samples = Vec::with_capacity(ROUNDS);
    let undisturbed = (0..4).map(|_| keep_the_core()).min().unwrap_or(0);
    // The first commands.
    let_all_run().await;
    let deadline = clock::now() + 10 * clock::ticks_per_second();
    let mut number = 0;
    while number < WARM_UP + ROUNDS {
        let handlers = keep_the_core().saturating_sub(undisturbed);
        round.done.set(0);
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
                samples.push((ticks + handlers) / done as u64);
            }
        } else if clock::now() > deadline {
            return Err(StorageError::TimedOut);
        }
    }
    Ok(samples)
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
    loop {
        memory = whole(block.transfer(Transfer::Read, place.next(), memory).await)?;
        round.done.set(round.done.get() + 1);
    }
}
