//! Time and chance: the clock runs forward on all cores together and as fast as it says; random
//! numbers are not repeated.

use super::{Finding, cores};
use crate::clock;
use crate::platform::Pollux;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use executor::{Priority, spawn_on, yield_now};
use hal::x86_64::random;
use hal::x86_64::time::calibration::difference_ppm;
use hal::x86_64::time::clock::{now, ns_to_ticks, ticks_to_ns};

checks! { "clock", 30:
    agrees_between_cores,
    runs_as_fast_as_it_says,
    converts_without_loss,
    random_numbers_differ,
}

/// How far behind another core's clock a core's may be. Readings of two cores race by the time a
/// cache line takes.
const BEHIND_NS: u64 = 1_000;

/// Every core takes the latest time any core has seen and must not be behind it.
async fn agrees_between_cores() -> Finding {
    let latest = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = cores()
        .map(|core| {
            let latest = latest.clone();
            spawn_on::<Pollux, _, _>(core, "clock", Priority::Normal, move || async move {
                let mut worst = 0;
                for round in 0..50_000 {
                    let seen = latest.load(SeqCst);
                    let mine = now();
                    worst = worst.max(seen.saturating_sub(mine));
                    latest.fetch_max(mine, SeqCst);
                    if round % 500 == 0 {
                        yield_now().await;
                    }
                }
                worst
            })
        })
        .collect();
    for (core, task) in cores().zip(tasks) {
        let worst = ticks_to_ns(task.await.map_err(|error| alloc::format!("{error}"))?);
        ensure!(worst <= BEHIND_NS, "{core}'s clock is {worst} ns behind another's");
    }
    Ok(())
}

async fn runs_as_fast_as_it_says() -> Finding {
    // A hypervisor may stop this core in the middle of a measurement: one good one is enough.
    const TOLERANCE_PPM: u64 = 20_000;
    let mut best = u64::MAX;
    for _ in 0..10 {
        let Some(measured) = hal::x86_64::time::by_pit(20) else {
            log::info!("no PIT: the clock's rate is not measured again");
            return Ok(());
        };
        best = best.min(difference_ppm(clock::frequency(), measured));
        if best <= TOLERANCE_PPM {
            return Ok(());
        }
        executor::sleep::<Pollux>(clock::frequency() / 50).await;
    }
    Err(alloc::format!("the PIT says the clock is {best} ppm off"))
}

async fn converts_without_loss() -> Finding {
    for ns in [0, 1, 999, 1_000_000_007, 86_400_000_000_000, 1 << 60] {
        let ticks = ns_to_ticks(ns);
        let back = ticks_to_ns(ticks);
        // Ticks are rounded up, nanoseconds down.
        ensure!(back >= ns.saturating_sub(1), "{ns} ns are {ticks} ticks are {back} ns");
        ensure!(back - ns.min(back) <= 1 + ns / 1_000_000_000, "{ns} ns became {back}");
    }
    let (since, first) = (now(), clock::nanoseconds());
    executor::sleep::<Pollux>(ns_to_ticks(5_000_000)).await;
    let (second, ticks) = (clock::nanoseconds(), now() - since);
    ensure!(second - first <= ticks_to_ns(ticks) + 1, "nanoseconds run faster than ticks");
    ensure!(second - first >= 5_000_000, "5 ms of sleep were {} ns", second - first);
    Ok(())
}

async fn random_numbers_differ() -> Finding {
    let mut seen = BTreeSet::new();
    let mut ones = 0_u64;
    const EACH: u64 = 1_000;
    for core in cores() {
        let numbers = spawn_on::<Pollux, _, _>(core, "random", Priority::Normal, || async {
            (0..EACH).map(|_| random::next_u64()).collect::<Vec<_>>()
        });
        for number in numbers.await.map_err(|error| alloc::format!("{error}"))? {
            ensure!(seen.insert(number), "{number:#x} came twice");
            ones += u64::from(number.count_ones());
        }
    }
    // 64,000 fair bits a core: eight standard deviations are about 1 %.
    let bits = seen.len() as u64 * 64;
    ensure!(ones.abs_diff(bits / 2) < bits / 100, "{ones} of {bits} bits are ones");
    let mut bytes = [0_u8; 1_000];
    random::fill(&mut bytes);
    let distinct = bytes.iter().collect::<BTreeSet<_>>().len();
    ensure!(distinct > 200, "1,000 random bytes have {distinct} values");
    Ok(())
}
