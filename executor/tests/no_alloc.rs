//! Waking never allocates or frees, on whichever core and however late: counted by the allocator.
#![cfg(not(loom))]
// A global allocator cannot be written without.
#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
    task::{Poll, Waker},
    thread,
};

use executor::{
    Priority,
    host::{Virtual, block_on},
    spawn,
    sync::Notify,
    yield_now,
};

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: counts, and leaves the rest to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: the caller's contract is ours.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: the caller's contract is ours.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count<R>(f: impl FnOnce() -> R) -> (u64, R) {
    let before = CALLS.get();
    let result = f();
    (CALLS.get() - before, result)
}

#[allow(clippy::waker_clone_wake)]
fn wake_in_all_ways(waker: Waker) {
    waker.wake_by_ref();
    waker.clone().wake();
    drop(waker.clone());
    waker.wake_by_ref();
    drop(waker);
}

/// A task that hands out wakers and ends when told.
async fn with_task(end_first: bool, last_elsewhere: bool) -> u64 {
    let slot: Rc<RefCell<Vec<Waker>>> = Rc::default();
    let end = Rc::new(Cell::new(false));
    let (given, ended) = (slot.clone(), end.clone());
    let task = spawn::<Virtual, _>(
        "waker",
        Priority::Normal,
        poll_fn(move |cx| {
            if given.borrow().is_empty() {
                given.borrow_mut().extend([cx.waker().clone(), cx.waker().clone()]);
            }
            if ended.get() { Poll::Ready(()) } else { Poll::Pending }
        }),
    );
    yield_now().await;
    yield_now().await;
    let (here, there) = {
        let mut wakers = slot.borrow_mut();
        (wakers.pop().unwrap(), wakers.pop().unwrap())
    };
    // What is in the slot must not keep the task's wakers alive.
    if end_first {
        end.set(true);
        here.wake_by_ref();
        task.await.unwrap();
    } else {
        task.detach();
    }
    let away = move || thread::spawn(|| count(|| wake_in_all_ways(there)).0).join().unwrap();
    if last_elsewhere {
        let calls = count(|| wake_in_all_ways(here)).0;
        calls + away()
    } else {
        let calls = away();
        calls + count(|| wake_in_all_ways(here)).0
    }
}

#[test]
fn waking_never_allocates_or_frees() {
    block_on::<Virtual, _>(async {
        for end_first in [false, true] {
            for last_elsewhere in [false, true] {
                assert_eq!(with_task(end_first, last_elsewhere).await, 0);
                // Let the core take its inbox and free what died.
                yield_now().await;
            }
        }
    });
}

#[test]
fn notifying_never_allocates_or_frees() {
    static NOTIFY: Notify = Notify::new();
    block_on::<Virtual, _>(async {
        let waiter = spawn::<Virtual, _>("waiter", Priority::High, async {
            for _ in 0..4 {
                NOTIFY.wait().await;
            }
        });
        for _ in 0..2 {
            yield_now().await;
            assert_eq!(count(|| NOTIFY.notify()).0, 0);
            yield_now().await;
            let calls = thread::spawn(|| count(|| NOTIFY.notify()).0).join().unwrap();
            assert_eq!(calls, 0);
        }
        waiter.await.unwrap();
    });
}

#[test]
fn firing_a_timer_never_allocates_or_frees() {
    let mut timers = executor::timer::Timers::new();
    for at in (0..100).rev() {
        timers.set(executor::Instant(at), Waker::noop().clone());
    }
    let (calls, fired) = count(|| {
        std::iter::from_fn(|| timers.pop_due(executor::Instant(99))).map(Waker::wake).count()
    });
    assert_eq!((calls, fired), (0, 100));
}
