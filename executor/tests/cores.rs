//! Several cores, as threads: spawning over there, results back, and no lost wake under stress.
#![cfg(not(loom))]

use std::{
    future::poll_fn,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    thread,
};

use executor::{
    Cancelled, Core, CoreId, JoinHandle, Platform, Priority,
    host::{Host, block_on, start_cores},
    sleep, spawn_on,
    sync::{Notify, Semaphore, mpsc, oneshot},
    timeout, yield_now,
};
use futures::task::AtomicWaker;

fn on<F, M>(core: CoreId, make: M) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: Send,
    M: FnOnce() -> F + Send + 'static,
{
    spawn_on::<Host, F, M>(core, "test", Priority::Normal, make)
}

#[test]
fn a_future_is_built_over_there_and_its_output_comes_back() {
    let cores = start_cores::<Host>(2);
    let ids = block_on::<Host, _>(async {
        let tasks: Vec<_> = cores
            .iter()
            .map(|core| {
                on(*core, || async {
                    // Not `Send`, and it never moves to another core.
                    let local = Rc::new(1);
                    yield_now().await;
                    sleep::<Host>(Host::ticks_per_second() / 1000).await;
                    drop(local);
                    vec![Core::<Host>::current().id()]
                })
            })
            .collect();
        let mut ids = Vec::new();
        for task in tasks {
            ids.extend(task.await.unwrap());
        }
        ids
    });
    assert_eq!(ids, cores);
}

#[test]
fn cancelling_reaches_another_core() {
    struct Tell(Option<oneshot::Sender<CoreId>>);
    impl Drop for Tell {
        fn drop(&mut self) {
            let _ = self.0.take().unwrap().send(Core::<Host>::current().id());
        }
    }
    let core = start_cores::<Host>(1)[0];
    block_on::<Host, _>(async {
        for started in [false, true] {
            let (sender, dropped) = oneshot::channel();
            let (start, has_started) = oneshot::channel();
            let task = on(core, || async move {
                let _tell = Tell(Some(sender));
                start.send(()).unwrap();
                std::future::pending::<()>().await;
            });
            if started {
                has_started.await.unwrap();
                drop(task);
                assert_eq!(dropped.await, Ok(core), "the future is dropped at home");
            } else {
                // It may not even have been built; then its parts are dropped all the same.
                task.cancel();
                assert_eq!(task.await, Err(Cancelled));
            }
        }
    });
}

#[test]
fn statistics_of_another_core() {
    let core = start_cores::<Host>(1)[0];
    block_on::<Host, _>(async {
        let (_keep, wait) = oneshot::channel::<()>();
        let task = on(core, || async move { wait.await.is_ok() });
        let infos = executor::tasks_of::<Host>(core).await.unwrap();
        assert!(infos.iter().any(|info| info.name == "test" && info.core == core));
        drop(task);
    });
}

/// A task that adds up what it is told, and a way to tell it.
#[derive(Default)]
struct Ear {
    told: AtomicU64,
    heard: AtomicU64,
    waker: AtomicWaker,
}

impl Ear {
    fn tell(&self) {
        self.told.fetch_add(1, Ordering::Relaxed);
        self.waker.wake();
    }

    async fn listen(self: Arc<Self>, total: u64) -> u64 {
        let mut polls = 0;
        poll_fn(|cx| {
            polls += 1;
            self.waker.register(cx.waker());
            let told = self.told.load(Ordering::Relaxed);
            self.heard.store(told, Ordering::Relaxed);
            if told == total { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        polls
    }
}

/// Foreign threads and the cores themselves wake tasks on all cores. If one wake were lost, a task
/// would miss its last word and the test would time out.
#[test]
fn no_wake_is_lost_under_stress() {
    const CORES: usize = 3;
    const TASKS: usize = 24;
    const THREADS: usize = 4;
    const ROUNDS: u64 = 10_000;
    let cores = start_cores::<Host>(CORES);
    let ears: Arc<Vec<Arc<Ear>>> = Arc::new((0..TASKS).map(|_| Arc::default()).collect());
    let total = ROUNDS * (THREADS + CORES) as u64;
    block_on::<Host, _>(async {
        let listeners: Vec<_> = ears
            .iter()
            .enumerate()
            .map(|(n, ear)| {
                let ear = ear.clone();
                on(cores[n % CORES], move || ear.listen(total))
            })
            .collect();
        let threads: Vec<_> = (0..THREADS)
            .map(|me| {
                let ears = ears.clone();
                thread::spawn(move || {
                    for round in 0..ROUNDS {
                        for n in 0..TASKS {
                            ears[(n + me) % TASKS].tell();
                        }
                        // Let the cores fall asleep now and then.
                        if round % 64 == 0 {
                            thread::sleep(std::time::Duration::from_micros(50));
                        }
                    }
                })
            })
            .collect();
        let tellers: Vec<_> = cores
            .iter()
            .map(|core| {
                let ears = ears.clone();
                on(*core, move || async move {
                    for _ in 0..ROUNDS {
                        ears.iter().for_each(|ear| ear.tell());
                        yield_now().await;
                    }
                })
            })
            .collect();
        let deadline = Host::now().after(Host::ticks_per_second() * 60);
        for (n, listener) in listeners.into_iter().enumerate() {
            let polls = timeout::<Host, _>(deadline, listener).await;
            let ear = &ears[n];
            assert!(polls.is_ok(), "task {n} was told {:?}, heard {:?}", ear.told, ear.heard);
        }
        for teller in tellers {
            teller.await.unwrap();
        }
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// Strictly to and fro between two cores that sleep in between: each hand-over crosses the parking
/// protocol of the other.
#[test]
fn a_token_crosses_cores() {
    const ROUNDS: u32 = 10_000;
    let cores = start_cores::<Host>(2);
    let bells = Arc::new([Notify::new(), Notify::new()]);
    block_on::<Host, _>(async {
        let players: Vec<_> = (0..2)
            .map(|me: usize| {
                let bells = bells.clone();
                on(cores[me], move || async move {
                    for _ in 0..ROUNDS {
                        bells[me].wait().await;
                        bells[1 - me].notify();
                    }
                })
            })
            .collect();
        bells[0].notify();
        let deadline = Host::now().after(Host::ticks_per_second() * 60);
        for player in players {
            timeout::<Host, _>(deadline, player).await.expect("no wake is lost").unwrap();
        }
    });
}

/// Tasks that come and go by the thousand, joined, dropped, cancelled from other cores.
#[test]
fn tasks_come_and_go_across_cores() {
    let cores = start_cores::<Host>(2);
    let live = Arc::new(());
    block_on::<Host, _>(async {
        for round in 0..2_000_u32 {
            let core = cores[round as usize % 2];
            let mine = live.clone();
            let task = on(core, move || async move {
                if round % 3 == 0 {
                    yield_now().await;
                }
                mine
            });
            match round % 4 {
                0 => drop(task.await.unwrap()),
                1 => drop(task),
                2 => task.detach(),
                _ => {
                    task.cancel();
                    let _ = task.await;
                }
            }
        }
        let deadline = Host::now().after(Host::ticks_per_second() * 60);
        while Arc::strong_count(&live) > 1 || cores.iter().any(|core| load(*core) > 0) {
            assert!(Host::now() < deadline, "{} left", Arc::strong_count(&live));
            sleep::<Host>(Host::ticks_per_second() / 1000).await;
        }
    });

    fn load(core: CoreId) -> u32 {
        Host::cores()[usize::from(core.0)].load().tasks
    }
}

#[test]
fn a_channel_between_cores_keeps_order_and_bounds() {
    const EACH: u32 = 5_000;
    let cores = start_cores::<Host>(2);
    block_on::<Host, _>(async {
        let (sender, mut receiver) = mpsc::channel(8);
        let senders: Vec<_> = (0..4_usize)
            .map(|me| {
                let sender = sender.clone();
                on(cores[me % 2], move || async move {
                    for n in 0..EACH {
                        sender.send((me, n)).await.unwrap();
                    }
                })
            })
            .collect();
        drop(sender);
        let mut next = [0; 4];
        while let Some((from, n)) = receiver.receive().await {
            assert_eq!(n, next[from]);
            next[from] += 1;
        }
        assert_eq!(next, [EACH; 4]);
        for sender in senders {
            sender.await.unwrap();
        }
    });
}

#[test]
fn permits_are_conserved_across_cores() {
    let cores = start_cores::<Host>(3);
    let semaphore = Arc::new(Semaphore::new(5));
    block_on::<Host, _>(async {
        let inside = Arc::new(AtomicU64::new(0));
        let tasks: Vec<_> = (0..12_usize)
            .map(|me| {
                let (semaphore, inside) = (semaphore.clone(), inside.clone());
                on(cores[me % 3], move || async move {
                    for round in 0..300 {
                        let count = 1 + (me + round) % 3;
                        if round % 7 == 0 {
                            // A waiter that gives up.
                            let soon = Host::now().after(1000);
                            drop(timeout::<Host, _>(soon, semaphore.acquire(count)).await);
                            continue;
                        }
                        let permit = semaphore.acquire(count).await.unwrap();
                        assert!(inside.fetch_add(count as u64, Ordering::SeqCst) < 5);
                        yield_now().await;
                        inside.fetch_sub(count as u64, Ordering::SeqCst);
                        drop(permit);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(semaphore.available(), 5);
}
