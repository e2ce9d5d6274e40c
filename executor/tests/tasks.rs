//! A task's life on the host's virtual clock: order, fairness, cancelling, time.
#![cfg(not(loom))]

use std::{
    cell::{Cell, RefCell},
    future::{pending, poll_fn},
    rc::Rc,
    task::{Poll, Waker},
};

use executor::{
    Cancelled, Core, Platform, Priority, TimedOut,
    host::{self, Virtual, block_on},
    sleep, sleep_until, timeout, yield_now,
};

const MS: u64 = 1_000_000;

fn spawn<F: Future + 'static>(priority: Priority, future: F) -> executor::JoinHandle<F::Output> {
    executor::spawn::<Virtual, F>("test", priority, future)
}

fn run<F: Future>(future: F) -> F::Output {
    block_on::<Virtual, F>(future)
}

/// Says when it is dropped.
struct Tell(Rc<Cell<u32>>);

impl Drop for Tell {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn tasks_run_and_join() {
    let sum = run(async {
        let a = spawn(Priority::Normal, async {
            yield_now().await;
            sleep::<Virtual>(MS).await;
            20
        });
        let b = spawn(Priority::High, async { 22 });
        a.await.unwrap() + b.await.unwrap()
    });
    assert_eq!(sum, 42);
}

#[test]
fn block_on_borrows_and_wakes_itself() {
    let text = String::from("borrowed");
    let length = run(async {
        for _ in 0..1000 {
            yield_now().await;
        }
        text.len()
    });
    assert_eq!(length, 8);
}

#[test]
fn urgent_tasks_go_first_and_equals_in_order() {
    let order = Rc::new(RefCell::new(Vec::new()));
    run(async {
        let tasks: Vec<_> = [Priority::Low, Priority::Normal, Priority::High]
            .into_iter()
            .flat_map(|priority| [(priority, 1), (priority, 2)])
            .map(|(priority, n)| {
                let order = order.clone();
                spawn(priority, async move { order.borrow_mut().push((priority, n)) })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    let order = order.take();
    let mut sorted = order.clone();
    sorted.sort();
    assert_eq!(order, sorted);
}

/// Two urgent tasks that wake each other for ever must leave something for everybody.
#[test]
fn nobody_starves() {
    run(async {
        let wakers: Rc<[RefCell<Option<Waker>>; 2]> = Rc::default();
        let ping_pong: Vec<_> = (0..2)
            .map(|me| {
                let wakers = wakers.clone();
                spawn(
                    Priority::High,
                    poll_fn(move |cx| {
                        *wakers[me].borrow_mut() = Some(cx.waker().clone());
                        if let Some(other) = &*wakers[1 - me].borrow() {
                            other.wake_by_ref();
                        }
                        Poll::<()>::Pending
                    }),
                )
            })
            .collect();
        let spinner = spawn(Priority::High, async {
            loop {
                yield_now().await;
            }
        });
        let low = spawn(Priority::Low, async {
            for _ in 0..100 {
                yield_now().await;
            }
        });
        low.await.unwrap();
        drop((ping_pong, spinner));
    });
}

/// A yielding task is polled once a turn, whatever share its class has.
#[test]
fn yielding_tasks_take_turns() {
    run(async {
        let polls = Rc::new([Cell::new(0_u32), Cell::new(0)]);
        let spinners: Vec<_> = [Priority::High, Priority::Low]
            .into_iter()
            .enumerate()
            .map(|(me, priority)| {
                let polls = polls.clone();
                spawn(priority, async move {
                    loop {
                        polls[me].set(polls[me].get() + 1);
                        yield_now().await;
                    }
                })
            })
            .collect();
        for _ in 0..1000 {
            yield_now().await;
        }
        let (high, low) = (polls[0].get(), polls[1].get());
        assert!(high.abs_diff(low) <= 2, "{high} and {low}");
        drop(spinners);
    });
}

#[test]
fn dropping_the_handle_drops_the_future_later() {
    run(async {
        let dropped = Rc::new(Cell::new(0));
        let tell = Tell(dropped.clone());
        let task = spawn(Priority::Normal, async move {
            let _tell = tell;
            pending::<()>().await;
        });
        yield_now().await;
        drop(task);
        assert_eq!(dropped.get(), 0, "not inside the drop");
        yield_now().await;
        yield_now().await;
        assert_eq!(dropped.get(), 1);
    });
}

#[test]
fn a_detached_task_runs_on_and_its_output_is_dropped() {
    run(async {
        let dropped = Rc::new(Cell::new(0));
        let tell = Tell(dropped.clone());
        spawn(Priority::Normal, async move {
            sleep::<Virtual>(MS).await;
            tell
        })
        .detach();
        sleep::<Virtual>(MS / 2).await;
        assert_eq!(dropped.get(), 0);
        sleep::<Virtual>(MS).await;
        assert_eq!(dropped.get(), 1);
    });
}

#[test]
fn an_output_nobody_takes_is_dropped_once() {
    run(async {
        let dropped = Rc::new(Cell::new(0));
        let tell = Tell(dropped.clone());
        let task = spawn(Priority::Normal, async move { tell });
        sleep::<Virtual>(MS).await;
        assert_eq!(dropped.get(), 0);
        drop(task);
        assert_eq!(dropped.get(), 1);
    });
}

#[test]
fn cancelled_tasks_say_so() {
    run(async {
        let task = spawn(Priority::Normal, pending::<()>());
        task.cancel();
        assert_eq!(task.await, Err(Cancelled));
        // One that is done keeps its output.
        let task = spawn(Priority::Normal, async { 7 });
        sleep::<Virtual>(MS).await;
        task.cancel();
        assert_eq!(task.await, Ok(7));
        // One that was never polled.
        let dropped = Rc::new(Cell::new(0));
        let tell = Tell(dropped.clone());
        let task = spawn(Priority::Low, async move { drop(tell) });
        task.cancel();
        assert_eq!(task.await, Err(Cancelled));
        assert_eq!(dropped.get(), 1);
    });
}

#[test]
fn a_task_can_cancel_itself() {
    run(async {
        let own: Rc<RefCell<Option<executor::JoinHandle<()>>>> = Rc::default();
        let dropped = Rc::new(Cell::new(0));
        let (slot, tell) = (own.clone(), Tell(dropped.clone()));
        let task = spawn(Priority::Normal, async move {
            let _tell = tell;
            drop(slot.borrow_mut().take());
            pending::<()>().await;
        });
        *own.borrow_mut() = Some(task);
        sleep::<Virtual>(MS).await;
        assert_eq!(dropped.get(), 1);
    });
}

#[test]
fn a_handle_polled_again_is_harmless() {
    run(async {
        let mut task = spawn(Priority::Normal, async { 7 });
        assert_eq!((&mut task).await, Ok(7));
        assert_eq!((&mut task).await, Err(Cancelled));
    });
}

#[test]
fn wakers_outlive_their_task() {
    run(async {
        let slot: Rc<RefCell<Vec<Waker>>> = Rc::default();
        let wakers = slot.clone();
        let task = spawn(
            Priority::Normal,
            poll_fn(move |cx| {
                wakers.borrow_mut().extend((0..4).map(|_| cx.waker().clone()));
                Poll::Ready(())
            }),
        );
        task.await.unwrap();
        let mut wakers = slot.take();
        assert!(wakers[0].will_wake(&wakers[1]));
        wakers[0].wake_by_ref();
        wakers.pop().unwrap().wake();
        // The last ones go on another thread, before and after a wake there.
        let last = wakers.split_off(1);
        std::thread::spawn(move || {
            for waker in last {
                waker.wake_by_ref();
                waker.wake();
            }
        })
        .join()
        .unwrap();
        yield_now().await;
        drop(wakers);
        yield_now().await;
    });
}

#[test]
fn sleepers_wake_in_order_and_on_time() {
    let woken = Rc::new(RefCell::new(Vec::new()));
    let took = run(async {
        let start = Virtual::now();
        let tasks: Vec<_> = [30, 10, 20, 10]
            .into_iter()
            .map(|ms| {
                let woken = woken.clone();
                spawn(Priority::Normal, async move {
                    sleep_until::<Virtual>(start.after(ms * MS)).await;
                    assert_eq!(Virtual::now(), start.after(ms * MS));
                    woken.borrow_mut().push(ms);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        Virtual::now().since(start)
    });
    assert_eq!(woken.take(), [10, 10, 20, 30]);
    assert_eq!(took, 30 * MS);
}

#[test]
fn timeouts_cut_and_pass() {
    run(async {
        let soon = || Virtual::now().after(MS);
        assert_eq!(timeout::<Virtual, _>(soon(), pending::<()>()).await, Err(TimedOut));
        assert_eq!(timeout::<Virtual, _>(soon(), async { 7 }).await, Ok(7));
        let late = sleep::<Virtual>(2 * MS);
        assert_eq!(timeout::<Virtual, _>(soon(), late).await, Err(TimedOut));
        // The cancelled timers are gone: nothing keeps the core awake.
        assert_eq!(Core::<Virtual>::current().next_deadline(), None);
    });
}

#[test]
fn timers_fire_between_the_polls_of_a_turn() {
    run(async {
        // Each poll takes a millisecond; the sleeper is more urgent than the rest of the queue.
        let polls = Rc::new(Cell::new(0));
        let late = Rc::new(Cell::new(u64::MAX));
        let busy: Vec<_> = (0..20)
            .map(|_| {
                let polls = polls.clone();
                spawn(Priority::Normal, async move {
                    polls.set(polls.get() + 1);
                    host::advance(MS);
                })
            })
            .collect();
        let noted = late.clone();
        let count = polls.clone();
        let deadline = Virtual::now().after(5 * MS);
        let sleeper = spawn(Priority::High, async move {
            sleep_until::<Virtual>(deadline).await;
            noted.set(count.get());
        });
        sleeper.await.unwrap();
        assert_eq!(late.get(), 5);
        drop(busy);
    });
}

#[test]
#[should_panic(expected = "cannot run the core it runs on")]
fn a_poll_cannot_run_the_core() {
    run(async { spawn(Priority::Normal, async { run(async {}) }).await.unwrap() });
}

#[test]
#[should_panic(expected = "needs a core")]
fn a_foreign_thread_cannot_spawn() {
    drop(spawn(Priority::Normal, async {}));
}
