//! How many instructions an operation takes, where ticks count them.
//!
//! ```text
//!   bell ──> 32 workers submit, doorbell │ wait, not counted │ reap, 32 wakes, 32 workers have their data
//!   └────────────── counted ─────────────┘                   └──────────────── counted ────────────────┘
//! ```
//!
//! A round has every worker submit one read, then keeps the core to itself until the device has
//! long posted all completions, then lets the core's tasks run. What is counted is all that the
//! core executes in between, executor and workers included, the bell as well. While the core is
//! kept, interrupts come as they please: what their handlers take shows as wait that is longer than
//! the same wait without any, and is counted too.

use super::{Place, whole};
use crate::devices::Block;
use crate::platform::Pollux;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use drivers::storage::{StorageDevice, StorageError, Transfer};
use executor::sync::Notify;
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
    bells: Vec<Notify>,
    done: Cell<usize>,
    failed: Cell<Option<StorageError>>,
}

/// Ticks per read, a sample a round.
pub async fn samples(block: &Block) -> Result<Vec<u64>, StorageError> {
    let round =
        Rc::new(Round { bells: (0..DEPTH).map(|_| Notify::new()).collect(), ..Round::default() });
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
    yield_now().await;
    let undisturbed = (0..4).map(|_| keep_the_core()).min().unwrap_or(0);
    for number in 0..WARM_UP + ROUNDS {
        round.done.set(0);
        let start = clock::now();
        round.bells.iter().for_each(Notify::notify);
        let_all_run().await;
        let submitted = clock::now() - start;
        let handlers = keep_the_core().saturating_sub(undisturbed);
        let start = clock::now();
        let_all_run().await;
        let reaped = clock::now() - start;
        if let Some(error) = round.failed.get() {
            return Err(error);
        }
        // Not all were done in time: no sample, but what is missing must not run into the next.
        let complete = round.done.get() == DEPTH;
        let deadline = clock::now() + clock::ticks_per_second();
        while round.done.get() < DEPTH && clock::now() < deadline {
            yield_now().await;
        }
        if round.done.get() < DEPTH {
            return Err(StorageError::TimedOut);
        }
        if complete && number >= WARM_UP {
            samples.push((submitted + handlers + reaped) / DEPTH as u64);
        }
    }
    if samples.is_empty() { Err(StorageError::TimedOut) } else { Ok(samples) }
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
        round.bells[number].wait().await;
        memory = whole(block.transfer(Transfer::Read, place.next(), memory).await)?;
        round.done.set(round.done.get() + 1);
    }
}
