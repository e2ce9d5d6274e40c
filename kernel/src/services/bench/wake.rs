//! How long a wake takes, as the kernel's own tasks see it: on one core, and from core to core.
//!
//! ```text
//!   ringer: stamp, notify ──► sleeper polled: stamp, notify back ──► ringer: the difference, again
//! ```
//!
//! A sample is the time from just before the notification to the first line the woken task runs,
//! with nothing else to do on its core. From core to core it needs clocks that agree, which a check
//! tests.

use crate::platform::Pollux;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use executor::sync::Notify;
use executor::{CoreId, Instant, Priority};
use hal::x86_64::time::clock;

/// Rounds before anything is counted.
const WARM_UP: usize = 64;
/// Most samples of one figure.
const SAMPLES_MAX: usize = 10_000;
/// A wake that takes so long is lost.
const LOST_US: u64 = 20_000_000;

/// How long to go on, and how often at least.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Ticks after which no round begins.
    pub ticks: u64,
    /// Samples taken however long they take.
    pub samples_min: usize,
}

#[derive(Debug)]
struct Bell {
    there: Notify,
    back: Notify,
    heard: AtomicU64,
}

/// Samples in ticks, from a ringer on `from` to a sleeper on `to` (which may be the same). `None`:
/// a wake was lost.
pub async fn samples(from: CoreId, to: CoreId, budget: Budget) -> Option<Vec<u64>> {
    let ringer = move || async move {
        let bell =
            Arc::new(Bell { there: Notify::new(), back: Notify::new(), heard: AtomicU64::new(0) });
        let heard = bell.clone();
        let sleeper = move || async move {
            loop {
                heard.there.wait().await;
                heard.heard.store(clock::now(), Relaxed);
                heard.back.notify();
            }
        };
        // Cancelled when this handle is dropped.
        let _sleeper = executor::spawn_on::<Pollux, _, _>(to, "sleeper", Priority::Normal, sleeper);
        ring(&bell, budget).await
    };
    let ringer = executor::spawn_on::<Pollux, _, _>(from, "ringer", Priority::Normal, ringer);
    let limit = Instant(clock::now().saturating_add(budget.ticks + clock::us_to_ticks(LOST_US)));
    executor::timeout::<Pollux, _>(limit, ringer).await.ok()?.ok()
}

async fn ring(bell: &Bell, budget: Budget) -> Vec<u64> {
    let mut samples = Vec::with_capacity(SAMPLES_MAX);
    for _ in 0..WARM_UP {
        bell.there.notify();
        bell.back.wait().await;
    }
    let end = clock::now().saturating_add(budget.ticks);
    while samples.len() < SAMPLES_MAX && (samples.len() < budget.samples_min || clock::now() < end)
    {
        let rung = clock::now();
        bell.there.notify();
        bell.back.wait().await;
        samples.push(bell.heard.load(Relaxed).saturating_sub(rung));
    }
    samples
}
