//! Tasks on real cores: they run where they are put, wake across cores, and are gone when
//! cancelled.

use super::{Finding, cores};
use crate::clock;
use crate::platform::Pollux;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::future::pending;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use executor::sync::{Notify, Semaphore, mpsc, oneshot};
use executor::{Cancelled, CoreId, Platform, Priority, spawn, spawn_on, yield_now};

checks! { "tasks", 30:
    run_where_they_are_put,
    wake_from_every_core_to_every_core,
    are_gone_when_cancelled,
    take_turns,
    pass_values_between_cores,
    share_a_semaphore,
    are_counted,
}

async fn run_where_they_are_put() -> Finding {
    for core in cores() {
        let there = spawn_on::<Pollux, _, _>(core, "where", Priority::Normal, || async {
            let before = Pollux::current();
            yield_now().await;
            let local = spawn::<Pollux, _>("child", Priority::High, async { Pollux::current() });
            (before, Pollux::current(), local.await)
        });
        let found = there.await;
        let expected = Ok((Some(core), Some(core), Ok(Some(core))));
        ensure!(found == expected, "a task put on {core} ran on {found:?}");
    }
    let placed = executor::least_loaded::<Pollux>();
    ensure!(cores().any(|core| core == placed), "a new task would be put on {placed}");
    Ok(())
}

async fn wake_from_every_core_to_every_core() -> Finding {
    for from in cores() {
        for to in cores() {
            let bells = Arc::new((Notify::new(), Notify::new()));
            let there = bells.clone();
            let sleeper =
                spawn_on::<Pollux, _, _>(to, "sleeper", Priority::Normal, move || async move {
                    for _ in 0..100 {
                        there.0.wait().await;
                        there.1.notify();
                    }
                });
            let ringer =
                spawn_on::<Pollux, _, _>(from, "ringer", Priority::Normal, move || async move {
                    for _ in 0..100 {
                        bells.0.notify();
                        bells.1.wait().await;
                    }
                });
            ensure!(ringer.await.is_ok(), "the ringer on {from} was cancelled");
            ensure!(sleeper.await.is_ok(), "the sleeper on {to} was cancelled");
        }
    }
    Ok(())
}

/// Counts its own end.
struct Guard(Arc<AtomicU32>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

async fn are_gone_when_cancelled() -> Finding {
    let dropped = Arc::new(AtomicU32::new(0));
    let mut expected = 0;
    for core in cores() {
        for ending in 0..3 {
            let guard = Guard(dropped.clone());
            let task =
                spawn_on::<Pollux, _, _>(core, "for ever", Priority::Low, move || async move {
                    let _guard = guard;
                    pending::<()>().await;
                });
            match ending {
                0 => drop(task),
                1 => {
                    task.cancel();
                    ensure!(task.await == Err(Cancelled), "a cancelled task had an output");
                }
                _ => {
                    // Well under way before it is cancelled.
                    executor::sleep::<Pollux>(clock::frequency() / 1_000).await;
                    drop(task);
                }
            }
            expected += 1;
        }
    }
    let all_gone = || dropped.load(Relaxed) == expected;
    ensure!(
        super::soon(all_gone).await,
        "{} of {expected} cancelled futures were dropped",
        dropped.load(Relaxed)
    );
    Ok(())
}

async fn take_turns() -> Finding {
    for core in cores() {
        let fair = spawn_on::<Pollux, _, _>(core, "turns", Priority::Normal, || async {
            let turns = alloc::rc::Rc::new(Cell::new(0_u32));
            let others = turns.clone();
            let other = spawn::<Pollux, _>("other", Priority::Normal, async move {
                loop {
                    others.set(others.get() + 1);
                    yield_now().await;
                }
            });
            for _ in 0..100 {
                yield_now().await;
            }
            drop(other);
            turns.get()
        });
        let turns = fair.await.map_err(|error| alloc::format!("{error}"))?;
        ensure!(
            (50..=200).contains(&turns),
            "{core}: 100 turns of one task were {turns} of another"
        );
    }
    Ok(())
}

async fn pass_values_between_cores() -> Finding {
    const EACH: u64 = 500;
    let (sender, mut receiver) = mpsc::channel::<u64>(8);
    let mut producers = Vec::new();
    for core in cores() {
        let sender = sender.clone();
        producers.push(spawn_on::<Pollux, _, _>(
            core,
            "producer",
            Priority::Normal,
            move || async move {
                for number in 0..EACH {
                    if sender.send(u64::from(core.0) * EACH + number).await.is_err() {
                        return false;
                    }
                }
                true
            },
        ));
    }
    drop(sender);
    let mut next = cores().map(|core| u64::from(core.0) * EACH).collect::<Vec<_>>();
    while let Some(value) = receiver.receive().await {
        let expected = &mut next[(value / EACH) as usize];
        ensure!(value == *expected, "got {value} where {expected} was due");
        *expected += 1;
    }
    let all = next.iter().enumerate().all(|(core, next)| *next == (core as u64 + 1) * EACH);
    ensure!(all, "values are missing: {next:?}");
    for producer in producers {
        ensure!(producer.await == Ok(true), "a producer was turned away");
    }
    for core in cores() {
        let (sender, receiver) = oneshot::channel();
        let task = spawn_on::<Pollux, _, _>(core, "answer", Priority::Normal, move || async move {
            sender.send(core).is_ok()
        });
        ensure!(receiver.await.ok() == Some(core), "{core} did not answer");
        ensure!(task.await == Ok(true), "{core} was not heard");
    }
    Ok(())
}

async fn share_a_semaphore() -> Finding {
    let shared = Arc::new((Semaphore::new(2), AtomicU32::new(0), AtomicU32::new(0)));
    let mut tasks = Vec::new();
    for core in cores().cycle().take(cores().count() * 4) {
        let shared = shared.clone();
        tasks.push(spawn_on::<Pollux, _, _>(
            core,
            "holder",
            Priority::Normal,
            move || async move {
                for _ in 0..100 {
                    let Ok(_permit) = shared.0.acquire(1).await else { return };
                    let holders = shared.1.fetch_add(1, Relaxed) + 1;
                    shared.2.fetch_max(holders, Relaxed);
                    yield_now().await;
                    shared.1.fetch_sub(1, Relaxed);
                }
            },
        ));
    }
    for task in tasks {
        ensure!(task.await.is_ok(), "a holder was cancelled");
    }
    let most = shared.2.load(Relaxed);
    ensure!(most == 2, "two permits let {most} tasks in at once");
    ensure!(shared.0.available() == 2, "{} of 2 permits came back", shared.0.available());
    Ok(())
}

async fn are_counted() -> Finding {
    for core in cores() {
        let before = tasks_named(core, "counted").await;
        ensure!(before == 0, "{core} has {before} tasks of that name already");
        let tasks: Vec<_> = (0..5)
            .map(|_| spawn_on::<Pollux, _, _>(core, "counted", Priority::Low, pending::<()>))
            .collect();
        let during = tasks_named(core, "counted").await;
        ensure!(during == 5, "{core} counts {during} of 5 tasks");
        drop(tasks);
        let mut left = 5;
        for _ in 0..100 {
            left = tasks_named(core, "counted").await;
            if left == 0 {
                break;
            }
            executor::sleep::<Pollux>(clock::frequency() / 1_000).await;
        }
        ensure!(left == 0, "{core} still counts {left} cancelled tasks");
    }
    Ok(())
}

async fn tasks_named(core: CoreId, name: &str) -> usize {
    let tasks = executor::tasks_of::<Pollux>(core).await.unwrap_or_default();
    tasks.iter().filter(|task| task.name == name).count()
}
