//! Timers on real cores: never early, in order, bounded when late, and no wake-up is ever lost.

use super::{Finding, cores};
use crate::clock::frequency;
use crate::platform::Pollux;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::{pending, ready};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use executor::sync::Notify;
use executor::{Instant, Priority, spawn, spawn_on};
use hal::x86_64::time::clock::{now, ns_to_ticks, ticks_to_ns};

checks! { "timers", 60:
    are_never_early,
    fire_in_order,
    bound_what_they_wait_for,
    wake_an_idle_machine,
    lose_no_wake_under_stress,
}

/// How late a timer may be before something is broken: virtual machines stop for long.
const LATE_NS: u64 = 2_000_000_000;

async fn are_never_early() -> Finding {
    for core in cores() {
        let spans = [0, 1, 1_000, 10_000, 50_000, 333_333, 1_000_000, 20_000_000];
        let slept =
            spawn_on::<Pollux, _, _>(core, "sleeper", Priority::Normal, move || async move {
                let mut slept = Vec::new();
                for span in spans.map(ns_to_ticks) {
                    let deadline = now() + span;
                    executor::sleep_until::<Pollux>(Instant(deadline)).await;
                    slept.push((deadline, now()));
                }
                slept
            });
        for (deadline, woken) in slept.await.map_err(|error| alloc::format!("{error}"))? {
            ensure!(woken >= deadline, "{core}: {} ticks early", deadline - woken);
            let late = ticks_to_ns(woken - deadline);
            ensure!(late < LATE_NS, "{core}: {late} ns late");
        }
    }
    Ok(())
}

/// What became of a timer.
struct Fired {
    place: u64,
    was_due: bool,
    /// Its time had come before it was set: the core was busy with something else.
    was_set_late: bool,
}

/// 200 timers, set in a shuffled order well before the first is due, in the order they fired.
async fn set_and_fire(ahead_ns: u64) -> Vec<Fired> {
    let fired = Rc::new(RefCell::new(Vec::new()));
    let base = now() + ns_to_ticks(ahead_ns);
    let tasks: Vec<_> = (0..200_u64)
        .map(|number| {
            let fired = fired.clone();
            // 71 and 200 have no common factor.
            let place = number * 71 % 200;
            spawn::<Pollux, _>("timer", Priority::Normal, async move {
                let deadline = Instant(base + place * ns_to_ticks(20_000));
                let was_set_late = now() >= base;
                executor::sleep_until::<Pollux>(deadline).await;
                let was_due = now() >= deadline.0;
                fired.borrow_mut().push(Fired { place, was_due, was_set_late });
            })
        })
        .collect();
    for task in tasks {
        let _ = task.await;
    }
    fired.take()
}

async fn fire_in_order() -> Finding {
    for core in cores() {
        let order = spawn_on::<Pollux, _, _>(core, "timers", Priority::Normal, || async {
            let mut ahead_ns = 5_000_000;
            loop {
                let fired = set_and_fire(ahead_ns).await;
                if ahead_ns > 2_000_000_000 || !fired.iter().any(|one| one.was_set_late) {
                    return fired;
                }
                ahead_ns *= 4;
            }
        });
        let fired = order.await.map_err(|error| alloc::format!("{error}"))?;
        ensure!(fired.len() == 200, "{core}: {} of 200 timers fired", fired.len());
        ensure!(fired.iter().all(|one| one.was_due), "{core}: a timer fired early");
        // Tasks that are due in the same turn run in the order their timers fired.
        let sorted = fired.windows(2).all(|pair| pair[0].place < pair[1].place);
        ensure!(sorted, "{core}: timers fired out of order");
    }
    Ok(())
}

async fn bound_what_they_wait_for() -> Finding {
    let soon = || Instant(now() + ns_to_ticks(2_000_000));
    let start = now();
    let never = executor::timeout::<Pollux, _>(soon(), pending::<()>()).await;
    ensure!(never.is_err(), "a future that is never ready was ready");
    ensure!(now() - start >= ns_to_ticks(2_000_000), "a timeout ended early");
    let value = executor::timeout::<Pollux, _>(Instant(0), ready(7)).await;
    ensure!(value == Ok(7), "a ready future lost against a deadline in the past");
    let sleep = executor::sleep::<Pollux>(ns_to_ticks(1_000_000));
    let slept = executor::timeout::<Pollux, _>(Instant(now() + frequency() * 5), sleep).await;
    ensure!(slept.is_ok(), "a sleep of 1 ms did not end within 5 s");
    // Timers of dropped futures must not disturb later ones.
    for _ in 0..1_000 {
        drop(executor::timeout::<Pollux, _>(soon(), pending::<()>()));
    }
    executor::sleep::<Pollux>(ns_to_ticks(1_000_000)).await;
    Ok(())
}

async fn wake_an_idle_machine() -> Finding {
    // Nothing else runs: every core parks between two of these.
    let start = now();
    let mut worst = 0;
    for _ in 0..50 {
        let deadline = now() + ns_to_ticks(1_000_000);
        executor::sleep_until::<Pollux>(Instant(deadline)).await;
        worst = worst.max(now().saturating_sub(deadline));
    }
    let spent = ticks_to_ns(now() - start);
    ensure!(spent >= 50_000_000, "50 sleeps of 1 ms took {spent} ns");
    ensure!(ticks_to_ns(worst) < LATE_NS, "a sleep was {} ns late", ticks_to_ns(worst));
    Ok(())
}

/// Rings of tasks over all cores hand tokens on, while timers fire in between: one wake lost and a
/// ring stands still.
async fn lose_no_wake_under_stress() -> Finding {
    const RINGS: usize = 8;
    const ROUNDS: u64 = 400;
    let cores: Vec<_> = cores().collect();
    let hops = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for ring in 0..RINGS {
        let bells: Arc<Vec<Notify>> =
            Arc::new((0..cores.len().max(2)).map(|_| Notify::new()).collect());
        bells[0].notify();
        for place in 0..bells.len() {
            let (bells, hops) = (bells.clone(), hops.clone());
            let core = cores[(place + ring) % cores.len()];
            let priority = [Priority::High, Priority::Normal, Priority::Low][ring % 3];
            tasks.push(spawn_on::<Pollux, _, _>(core, "ring", priority, move || async move {
                for round in 0..ROUNDS {
                    bells[place].wait().await;
                    hops.fetch_add(1, Relaxed);
                    if round % 50 == ring as u64 {
                        executor::sleep::<Pollux>(ns_to_ticks(100_000)).await;
                    }
                    bells[(place + 1) % bells.len()].notify();
                }
            }));
        }
    }
    let expected = (RINGS * cores.len().max(2)) as u64 * ROUNDS;
    let all = async {
        for task in tasks {
            let _ = task.await;
        }
    };
    let deadline = Instant(now() + frequency() * 50);
    let done = executor::timeout::<Pollux, _>(deadline, all).await;
    let hops = hops.load(Relaxed);
    ensure!(done.is_ok(), "a ring stands still after {hops} of {expected} hops: a wake was lost");
    ensure!(hops == expected, "{hops} hops instead of {expected}");
    Ok(())
}
