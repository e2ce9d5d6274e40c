//! Processes that do everything to each other at random and are killed at random moments leave
//! nothing behind: no process, no frame, no kernel memory. The play itself is the ring-3 program
//! `chaos`.

use super::Finding;
use super::memory::settled_free;
use super::processes::{end_of, run};
use crate::authority::log;
use crate::clock::frequency;
use crate::platform::Pollux;
use crate::process;
use executor::CoreId;
use hal::memory::heap;
use protocols::abi::ExitStatus;

checks! { "chaos", 120:
    leaves_nothing_behind,
}

/// Milliseconds of each round.
const ROUND_MS: &str = "ms=2000";
/// Bytes of the heap that lists which only grow may take meanwhile (run queues, timers, tasks).
const HEAP_SLACK: u64 = 96 * 1024;

async fn leaves_nothing_behind() -> Finding {
    // The first round makes what is made once and kept.
    let mut before = None;
    for seed in ["seed=1", "seed=2", "seed=3"] {
        let live = process::live_count();
        let conductor = run("chaos", &[seed, ROUND_MS], CoreId(0)).await?;
        let status = end_of(&conductor).await?;
        drop(conductor);
        ensure!(status == ExitStatus::Exited(0), "{seed}: {status:?}");
        // Children of actors that were killed live on for a while.
        for _ in 0..100 {
            if process::live_count() == live {
                break;
            }
            executor::sleep::<Pollux>(frequency() / 20).await;
        }
        let left = process::live_count() - live;
        ensure!(left == 0, "{seed}: {left} processes did not end");
        let free = settled_free().await;
        // The log of what happened is bounded, but not by what is left.
        log::compact().await;
        let now = (free, heap::statistics().used_bytes);
        let (frames, bytes) = *before.get_or_insert(now);
        ensure!(now.0 == frames, "{seed}: {frames} frames were free, now {}", now.0);
        ensure!(now.1 <= bytes + HEAP_SLACK, "{seed}: the heap held {bytes} bytes, now {}", now.1);
    }
    Ok(())
}
