//! Frames and heap under load from all cores: nothing is handed out twice, everything comes back.

use super::{Finding, cores};
use crate::authority::log;
use crate::platform::Pollux;
use crate::process::reclaim;
use crate::services::commit_log;
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;
use executor::{Priority, spawn_on, yield_now};
use hal::memory::frames::{self, Frame, FrameRun, RunLimits};
use hal::memory::{FRAME_SIZE, PhysAddr, heap};
use hal::x86_64::random;

checks! { "memory", 60:
    frames_are_handed_out_once,
    frames_all_come_back,
    runs_keep_their_limits,
    running_out_is_an_error,
    heap_keeps_what_it_is_given,
    heap_all_comes_back,
}

/// Frames that are free, the heap's for good or the drivers', once nothing is on its way any more: equal before
/// and after whatever gives everything back.
pub async fn settled_free() -> u64 {
    // The disk's part of the log has a buffer while it writes.
    let _ = commit_log::sync(log::ordered().await.saturating_sub(1)).await;
    // What was let go of waits for every core to pass by, and flushes for the cores concerned.
    for _ in 0..3 {
        for _ in 0..10_000 {
            if reclaim::is_idle() {
                break;
            }
            yield_now().await;
        }
        reclaim::quiesce().await;
        hal::x86_64::paging::reap_quarantine();
    }
    // Drivers keep what a larger operation than any before made them take.
    let dma = hal::dma::statistics();
    frames::statistics().free()
        + ((dma.pooled + dma.in_use) / FRAME_SIZE) as u64
        + heap::statistics().claimed_bytes / FRAME_SIZE as u64
}

async fn frames_are_handed_out_once() -> Finding {
    const EACH: usize = 500;
    let tasks: Vec<_> = cores()
        .map(|core| {
            spawn_on::<Pollux, _, _>(core, "frames", Priority::Normal, || async {
                let mut held = Vec::new();
                for round in 0..EACH {
                    held.extend(Frame::allocate().ok());
                    if round % 3 == 0 {
                        // Some go back at once, so that caches turn over.
                        drop(held.swap_remove(random::next_u64() as usize % held.len()));
                    }
                    if round % 64 == 0 {
                        yield_now().await;
                    }
                }
                held
            })
        })
        .collect();
    let mut numbers = BTreeSet::new();
    let mut held = Vec::new();
    for task in tasks {
        for frame in task.await.map_err(|error| alloc::format!("{error}"))? {
            let number = frame.number();
            ensure!(numbers.insert(number), "{number:?} was handed out twice");
            let memory = frames::memory_map().and_then(|map| map.kind_of(number));
            ensure!(memory.is_some(), "{number:?} is no memory");
            held.push(frame);
        }
    }
    ensure!(held.len() >= EACH / 2, "only {} frames were to be had", held.len());
    Ok(())
}

async fn frames_all_come_back() -> Finding {
    let before = settled_free().await;
    for _ in 0..3 {
        let tasks: Vec<_> = cores()
            .map(|core| {
                spawn_on::<Pollux, _, _>(core, "frames", Priority::Normal, || async {
                    (0..1_000).filter_map(|_| Frame::allocate_zeroed().ok()).collect::<Vec<_>>()
                })
            })
            .collect();
        let mut all = Vec::new();
        for task in tasks {
            all.push(task.await.map_err(|error| alloc::format!("{error}"))?);
        }
        let held: u64 = all.iter().map(|frames| frames.len() as u64).sum();
        let during = settled_free().await;
        ensure!(during + held == before, "{held} frames held, yet {during} of {before} are free");
        // Each is freed on another core than the one it came from.
        all.rotate_left(1);
        for (core, frames) in cores().zip(all) {
            let free = move || async move { drop(frames) };
            let _ = spawn_on::<Pollux, _, _>(core, "free", Priority::Normal, free).await;
        }
    }
    let after = settled_free().await;
    ensure!(after == before, "{before} frames were free, now {after}");
    Ok(())
}

async fn runs_keep_their_limits() -> Finding {
    for (count, alignment, below) in [
        (1, 4096, None),
        (3, 16384, None),
        (16, 65536, Some(1 << 24)),
        (256, 1 << 21, Some(1 << 32)),
    ] {
        let limits = RunLimits { alignment_bytes: alignment, below: below.map(PhysAddr) };
        let run = FrameRun::allocate(count, limits)
            .map_err(|error| alloc::format!("{count} frames below {below:?}: {error}"))?;
        let (start, end) = (run.physical().0, run.physical().0 + run.size() as u64);
        ensure!(
            run.size() == count as usize * FRAME_SIZE,
            "{count} frames are {} bytes",
            run.size()
        );
        ensure!(start % alignment == 0, "{start:#x} is not a multiple of {alignment:#x}");
        ensure!(below.is_none_or(|below| end <= below), "{end:#x} is not below {below:#x?}");
    }
    Ok(())
}

async fn running_out_is_an_error() -> Finding {
    let before = settled_free().await;
    let whole = FrameRun::allocate(frames::statistics().total, RunLimits::default());
    ensure!(whole.is_err(), "all memory was free");
    ensure!(
        FrameRun::allocate(u64::MAX / 2, RunLimits::default()).is_err(),
        "a vast run was given"
    );
    let after = settled_free().await;
    ensure!(after == before, "{before} frames were free, now {after}");
    Ok(())
}

async fn heap_keeps_what_it_is_given() -> Finding {
    let tasks: Vec<_> = cores()
        .map(|core| {
            spawn_on::<Pollux, _, _>(core, "heap", Priority::Normal, move || async move {
                let mut held: Vec<(u8, Box<[u8]>)> = Vec::new();
                for round in 0..2_000_u64 {
                    let random = random::next_u64();
                    // Small ones mostly, some beyond every size class.
                    let size = (random % if round % 50 == 0 { 100_000 } else { 600 }) as usize;
                    let mark = (random >> 32) as u8;
                    held.push((mark, vec![mark; size].into_boxed_slice()));
                    if held.len() > 100 {
                        let (mark, bytes) = held.swap_remove((random >> 40) as usize % held.len());
                        if bytes.iter().any(|byte| *byte != mark) {
                            return false;
                        }
                    }
                    if round % 100 == 0 {
                        yield_now().await;
                    }
                }
                held.iter().all(|(mark, bytes)| bytes.iter().all(|byte| byte == mark))
            })
        })
        .collect();
    for (core, task) in cores().zip(tasks) {
        ensure!(task.await == Ok(true), "{core}: heap memory changed while it was held");
    }
    Ok(())
}

async fn heap_all_comes_back() -> Finding {
    reclaim::quiesce().await;
    let before = heap::statistics().used_bytes;
    let tasks: Vec<_> = cores()
        .map(|core| {
            spawn_on::<Pollux, _, _>(core, "heap", Priority::Normal, || async {
                (0..2_000).map(|round| vec![0_u8; 16 + round % 3_000]).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await.map_err(|error| alloc::format!("{error}"))?);
    }
    let during = heap::statistics().used_bytes;
    let wanted = cores().count() as u64 * 2_000 * 1_000;
    ensure!(during >= before + wanted, "{during} bytes in use, {before} before: too few");
    drop(all);
    reclaim::quiesce().await;
    let after = heap::statistics().used_bytes;
    ensure!(after <= before + 65_536, "{before} bytes were in use, now {after}");
    Ok(())
}
