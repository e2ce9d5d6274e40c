//! Model checks of what several cores touch at once: inbox, shared word, parking protocol.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p executor --release --test loom` explores every
//! interleaving (and every order of memory that C11 allows) of small scenes. The parts are the
//! executor's own ([`executor::raw`]); the scenes put them together as `raw/task.rs` does, with an
//! owner thread and one or two others. A task is never really freed here: a `freed` cell is written
//! instead, which loom allows only if everybody else's last look at the task happened before.
#![cfg(loom)]

mod stage;

use executor::raw::state::Queue;
use loom::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};
use stage::{Core, Ref, explore};

#[test]
fn the_inbox_delivers_each_once_and_in_order() {
    explore(None, || {
        let core = Core::new();
        let nodes = [Ref::new(0), Ref::new(0), Ref::new(0)];
        let one = thread::spawn({
            let core = core.clone();
            move || {
                // SAFETY: each node is pushed by one thread, once.
                unsafe {
                    core.inbox.push(nodes[0].0);
                    core.inbox.push(nodes[1].0);
                }
            }
        });
        let two = thread::spawn({
            let core = core.clone();
            // SAFETY: as above.
            move || unsafe { core.inbox.push(nodes[2].0) }
        });
        let mut seen: Vec<_> = core.inbox.take().collect();
        one.join().unwrap();
        two.join().unwrap();
        seen.extend(core.inbox.take());
        let place = |node: Ref| seen.iter().position(|seen| *seen == node.0);
        assert_eq!(seen.len(), 3);
        assert!(place(nodes[0]).unwrap() < place(nodes[1]).unwrap());
        assert!(place(nodes[2]).is_some());
        assert!(core.inbox.is_empty());
        for node in nodes {
            node.free();
            node.end();
        }
    });
}

/// Two threads wake one task, each after telling it something: it must be polled after each, also
/// if its core sleeps, and the poll must see what was told.
#[test]
fn no_wake_is_lost_on_a_parked_core() {
    explore(Some(3), || {
        let core = Core::new();
        let task = Ref::new(2);
        let wakers: Vec<_> = (0..2)
            .map(|me: usize| {
                let core = core.clone();
                thread::spawn(move || {
                    task.task().told[me].store(true, Relaxed);
                    core.wake_away(task);
                    core.release_away(task);
                })
            })
            .collect();
        // The task's poll: done once it was told both. A lost wake is a deadlock, which loom
        // reports.
        loop {
            core.take_inbox();
            if task.owner(|owner| core::mem::take(&mut owner.queued)) {
                let told = &task.task().told;
                if told.iter().all(|told| told.load(Relaxed)) {
                    break;
                }
            } else {
                core.park();
            }
        }
        core.finish(task, None);
        for waker in wakers {
            waker.join().unwrap();
        }
        core.take_inbox();
        task.end();
    });
}

/// Two tasks woken by two threads: the push behind another node does not kick, and need not.
#[test]
fn a_push_behind_another_needs_no_kick() {
    explore(Some(3), || {
        let core = Core::new();
        let tasks = [Ref::new(1), Ref::new(1)];
        let wakers: Vec<_> = (0..2)
            .map(|me: usize| {
                let core = core.clone();
                thread::spawn(move || core.wake_away(tasks[me]))
            })
            .collect();
        let mut polled = 0;
        while polled < 2 {
            core.take_inbox();
            let before = polled;
            for task in tasks {
                polled += usize::from(task.owner(|owner| core::mem::take(&mut owner.queued)));
            }
            if polled == before {
                core.park();
            }
        }
        for waker in wakers {
            waker.join().unwrap();
        }
        for task in tasks {
            task.free();
            task.end();
        }
    });
}

/// A waker that was cloned at home is dropped elsewhere and one cloned elsewhere is dropped at
/// home, while the task ends: freed once, by the owner, after everybody's last look.
#[test]
fn split_counts_free_once() {
    explore(Some(4), || {
        let core = Core::new();
        let task = Ref::new(0);
        // Two wakers cloned at home, given away: the shared count will go negative.
        task.owner(|owner| owner.references += 2);
        let returned = Arc::new(AtomicUsize::new(0));
        let one = thread::spawn({
            let (core, returned) = (core.clone(), returned.clone());
            move || {
                // One more is cloned here and handed home.
                task.task().shared.acquire();
                returned.store(1, loom::sync::atomic::Ordering::Release);
                core.release_away(task);
            }
        });
        let two = thread::spawn({
            let core = core.clone();
            move || {
                core.wake_away(task);
                core.release_away(task);
            }
        });
        // The handed one is dropped at home before the end, if it has arrived.
        let arrived = returned.load(loom::sync::atomic::Ordering::Acquire) == 1;
        if arrived {
            task.owner(|owner| owner.references -= 1);
        }
        core.take_inbox();
        core.finish(task, None);
        one.join().unwrap();
        if !arrived && task.task().shared.release() == Queue::Push {
            // On the owner: the reap list.
            task.free();
        }
        two.join().unwrap();
        core.take_inbox();
        task.end();
    });
}

/// The last reference goes elsewhere, while a wake from a third place is under way.
#[test]
fn the_last_reference_queues_the_task_home() {
    explore(Some(4), || {
        let core = Core::new();
        let task = Ref::new(2);
        let others: Vec<_> = (0..2)
            .map(|_| {
                let core = core.clone();
                thread::spawn(move || {
                    core.wake_away(task);
                    core.release_away(task);
                })
            })
            .collect();
        core.finish(task, None);
        core.take_inbox();
        for other in others {
            other.join().unwrap();
        }
        core.take_inbox();
        task.end();
    });
}

/// The handle is dropped (which cancels) while the task completes: the output is dropped once, by
/// one of them, and a cancellation that came first is seen.
#[test]
fn cancel_races_with_completion() {
    explore(None, || {
        let core = Core::new();
        let task = Ref::new(1);
        let handle = thread::spawn({
            let core = core.clone();
            move || core.abandon_away(task)
        });
        core.take_inbox();
        let cancelled = task.owner(|owner| owner.cancelled);
        let dropped_at_home = core.finish(task, (!cancelled).then_some(7));
        let dropped_away = handle.join().unwrap();
        core.take_inbox();
        let dropped: Vec<_> = dropped_at_home.into_iter().chain(dropped_away).collect();
        assert_eq!(dropped, if cancelled { vec![] } else { vec![7] });
        task.end();
    });
}

/// A cancel from elsewhere reaches a core that sleeps.
#[test]
fn a_parked_core_hears_a_cancel() {
    explore(Some(3), || {
        let core = Core::new();
        let task = Ref::new(2);
        let canceller = thread::spawn({
            let core = core.clone();
            move || core.abandon_away(task)
        });
        let waker = thread::spawn({
            let core = core.clone();
            move || {
                core.wake_away(task);
                core.release_away(task);
            }
        });
        loop {
            core.take_inbox();
            if task.owner(|owner| owner.cancelled) {
                break;
            }
            core.park();
        }
        core.finish(task, None);
        assert_eq!(canceller.join().unwrap(), None);
        waker.join().unwrap();
        core.take_inbox();
        task.end();
    });
}
