//! A core's numbers and its doors to ring 3, on the host's virtual clock.
#![cfg(not(loom))]

use std::{
    cell::RefCell,
    future::poll_fn,
    rc::Rc,
    task::{Poll, Waker},
};

use executor::{
    Core, Priority, TaskState,
    host::{self, Virtual, block_on},
    sleep, yield_now,
};

const MS: u64 = 1_000_000;

fn spawn<F: Future + 'static>(priority: Priority, future: F) -> executor::JoinHandle<F::Output> {
    executor::spawn::<Virtual, F>("test", priority, future)
}

fn run<F: Future>(future: F) -> F::Output {
    block_on::<Virtual, F>(future)
}

#[test]
fn statistics_add_up() {
    run(async {
        let core = Core::<Virtual>::current();
        let before = core.stats();
        let task = executor::spawn::<Virtual, _>("worker", Priority::Low, async {
            for ms in 1..=3 {
                host::advance(ms * MS);
                yield_now().await;
            }
            sleep::<Virtual>(100 * MS).await;
        });
        sleep::<Virtual>(50 * MS).await;
        let infos = core.tasks();
        let info = infos.iter().find(|info| info.name == "worker").unwrap();
        assert_eq!(info.polls, 4);
        assert_eq!((info.busy_ticks, info.longest_poll_ticks), (6 * MS, 3 * MS));
        assert_eq!((info.state, info.priority), (TaskState::Waiting, Priority::Low));
        task.await.unwrap();
        let after = core.stats();
        assert_eq!(after.tasks, before.tasks);
        assert_eq!(after.yields - before.yields, 3);
        assert!(after.busy_ticks - before.busy_ticks >= 6 * MS);
        assert!(after.idle_ticks - before.idle_ticks >= 90 * MS);
        assert!(after.timers_fired - before.timers_fired == 2);
    });
}

#[test]
fn a_task_that_holds_the_core_is_named() {
    run(async {
        let core = Core::<Virtual>::current();
        let task = executor::spawn::<Virtual, _>("hog", Priority::Normal, async move {
            assert_eq!(core.running().unwrap().task, "hog");
            host::advance(60 * MS);
            // As a timer interrupt would see it, once.
            core.check_stall();
            core.check_stall();
        });
        task.await.unwrap();
        assert_eq!(host::stalls::<Virtual>(core.id()), 2, "from the interrupt and after the poll");
        assert_eq!(core.stats().stalls, 1);
    });
}

/// What a user thread's future sees at the doors of ring 3.
#[test]
fn ring_3_is_left_for_work_at_least_as_urgent() {
    run(async {
        let core = Core::<Virtual>::current();
        let waker_of = |priority| {
            let slot: Rc<RefCell<Option<Waker>>> = Rc::default();
            let given = slot.clone();
            let task = spawn(
                priority,
                poll_fn(move |cx| {
                    *given.borrow_mut() = Some(cx.waker().clone());
                    Poll::<()>::Pending
                }),
            );
            (task, slot)
        };
        let (_high, high) = waker_of(Priority::High);
        let (_low, low) = waker_of(Priority::Low);
        yield_now().await;
        yield_now().await;
        let (high, low) = (high.take().unwrap(), low.take().unwrap());
        // Another thread waits, ready, behind this one: no reason not to enter.
        let neighbour = spawn(Priority::Normal, async {});
        let thread = spawn(Priority::Normal, async move {
            yield_now().await;
            assert!(core.publish_user() && !core.attention());
            low.wake_by_ref();
            assert!(!core.attention(), "less urgent work waits for the slice to end");
            high.wake_by_ref();
            assert!(core.attention(), "more urgent work ends the stay");
            core.publish_running();
            assert!(!core.publish_user(), "and keeps it from entering");
            assert_eq!(core.presence(), executor::Presence::Running);
            yield_now().await;
            assert!(core.publish_user());
            assert_eq!(core.presence(), executor::Presence::User);
            // From elsewhere, anything.
            std::thread::spawn(move || low.wake()).join().unwrap();
            assert!(core.attention());
            core.publish_running();
        });
        thread.await.unwrap();
        neighbour.await.unwrap();
    });
}
