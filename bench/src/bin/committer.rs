//! Commits and syncs, for the tests of the durable CommitLog:
//! `run committer --disk NAME:rw [syncs=N] [threads=N] [seed=N]`.
//!
//! Each thread derives capabilities and gives them up, a few at a time, and then waits until that is
//! durable. The main thread writes a [`sync_mark`] to the disk, which should be part of the disk that
//! keeps the log, whenever more is durable than before. `syncs=0`: until somebody ends it.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

extern crate alloc;

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bench::abi::{ANY_CORE, PAGE, Rights};
use bench::println;
use bench::runtime::block::{BlockDevice, Setup};
use bench::runtime::capability::{Endpoint, Log, Notification};
use bench::runtime::executor::sleep;
use bench::runtime::{Env, ExitCode, clock, thread};
use bench::sync_mark;

bench::main!(main);

/// Nanoseconds that a sync may take.
const LIMIT_NS: u64 = 20_000_000_000;
/// Nanoseconds between two looks at what is durable.
const PAUSE_NS: u64 = 100_000;
/// Blocks for marks are used in turn, so that what a kill leaves is not one that was being written.
const PLACES: u64 = 16;
/// Most capabilities derived between two syncs.
const MOST: u64 = 12;

/// What the threads share with the main one.
struct Progress {
    /// One more than the last record known to be durable.
    durable: AtomicU64,
    /// Syncs that returned.
    syncs: AtomicU64,
    /// Syncs that may still be begun.
    left: AtomicU64,
    /// Threads at work.
    running: AtomicUsize,
}

async fn main(mut env: Env) -> ExitCode {
    match load(&mut env).await {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("FAILED: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn load(env: &mut Env) -> Result<String, String> {
    let said = |error: &dyn core::fmt::Display| format!("{error}");
    let number =
        |key, otherwise| env.value(key).and_then(|text| text.parse().ok()).unwrap_or(otherwise);
    let (syncs, threads, seed) = (number("syncs", 100), number("threads", 2), number("seed", 1));
    let (_, tag) = env.disks().next().ok_or("no disk: run committer --disk NAME:rw")?;
    let endpoint = env.take(tag).map(Endpoint::from_handle).ok_or("no capability for the disk")?;
    let log = Arc::new(env.take_log().ok_or("no capability for the log")?);
    let disk = BlockDevice::open(&endpoint, Setup::default()).map_err(|error| said(&error))?;
    let progress = Arc::new(Progress {
        durable: AtomicU64::new(0),
        syncs: AtomicU64::new(0),
        left: AtomicU64::new(if syncs == 0 { u64::MAX } else { syncs }),
        running: AtomicUsize::new(threads as usize),
    });
    let mut workers = Vec::new();
    for number in 0..threads {
        let (log, progress) = (log.clone(), progress.clone());
        let work = move || {
            let ended = work(&log, &progress, seed ^ (number + 1));
            progress.running.fetch_sub(1, Ordering::Release);
            ended
        };
        workers.push(thread::spawn(ANY_CORE, work).map_err(|error| said(&error))?);
    }
    let (mut marked, mut marks) = (0, 0);
    loop {
        // In this order, so that the last one's last sync gets its mark.
        let is_over = progress.running.load(Ordering::Acquire) == 0;
        let durable = progress.durable.load(Ordering::Acquire);
        if durable > marked {
            mark(&disk, durable - 1, marks % PLACES).await?;
            (marked, marks) = (durable, marks + 1);
        } else if is_over {
            break;
        } else {
            sleep(PAUSE_NS).await;
        }
    }
    for worker in workers {
        worker.join().map_err(|error| said(&error))??;
    }
    let syncs = progress.syncs.load(Ordering::Relaxed);
    Ok(format!("{syncs} syncs, {marks} marks, {marked} records durable"))
}

/// Writes the mark of `sequence` to one of the places for it.
async fn mark(disk: &BlockDevice, sequence: u64, place: u64) -> Result<(), String> {
    let mut buffer = disk.buffer(1).ok_or("no page free")?;
    buffer.fill(0);
    buffer[..sync_mark::BYTES].copy_from_slice(&sync_mark::encode(sequence));
    let lba = place * PAGE as u64 / u64::from(disk.info().block_size);
    disk.write(lba, buffer).await.result.map_err(|status| format!("a mark: {status}"))
}

/// One thread's load.
fn work(log: &Log, progress: &Progress, seed: u64) -> Result<(), String> {
    let said = |error: &dyn core::fmt::Display| format!("{error}");
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let one_more = |left: u64| if left == u64::MAX { Some(left) } else { left.checked_sub(1) };
    while progress.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok() {
        let object = Notification::create().map_err(|error| said(&error))?;
        let mut held = Vec::new();
        for _ in 0..random() % MOST {
            let from = held.last().unwrap_or(&object);
            held.push(from.duplicate(Rights::all()).map_err(|error| said(&error))?);
            if random() % 3 == 0 {
                held.pop();
            }
        }
        if random() % 4 == 0 {
            object.revoke().map_err(|error| said(&error))?;
        }
        drop(held);
        let deadline = clock::kernel_deadline(clock::ticks() + clock::ticks_in(LIMIT_NS));
        let durable = log.sync_commits(deadline).map_err(|error| format!("a sync: {error}"))?;
        progress.syncs.fetch_add(1, Ordering::Relaxed);
        progress.durable.fetch_max(durable + 1, Ordering::Release);
    }
    Ok(())
}
