//! The primitives on one core: who waits, who is woken, what is given back.
#![cfg(not(loom))]

use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use executor::{
    Priority,
    host::{Virtual, block_on},
    sync::{
        Acquire, Closed, Notify, Permit, Semaphore, local,
        mpsc::{self, TrySendError},
        oneshot,
    },
    yield_now,
};
use proptest::prelude::*;

fn spawn<F: Future + 'static>(future: F) -> executor::JoinHandle<F::Output> {
    executor::spawn::<Virtual, F>("test", Priority::Normal, future)
}

fn run<F: Future>(future: F) -> F::Output {
    block_on::<Virtual, F>(future)
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn notifications_do_not_count_and_are_not_lost() {
    run(async {
        let notify = Rc::new(Notify::new());
        notify.notify();
        notify.notify();
        notify.wait().await;
        assert!(!notify.take());
        let waiter = {
            let notify = notify.clone();
            spawn(async move { notify.wait().await })
        };
        yield_now().await;
        yield_now().await;
        notify.notify();
        waiter.await.unwrap();
    });
}

#[test]
fn a_oneshot_delivers_or_closes() {
    run(async {
        let (sender, receiver) = oneshot::channel();
        let task = spawn(receiver);
        yield_now().await;
        sender.send(7).unwrap();
        assert_eq!(task.await.unwrap(), Ok(7));

        let (sender, receiver) = oneshot::channel::<()>();
        let task = spawn(receiver);
        yield_now().await;
        drop(sender);
        assert_eq!(task.await.unwrap(), Err(Closed));

        let (sender, receiver) = oneshot::channel();
        drop(receiver);
        assert_eq!(sender.send(7), Err(7));

        let (mut sender, receiver) = oneshot::channel::<()>();
        let task = spawn(async move { sender.closed().await });
        yield_now().await;
        drop(receiver);
        task.await.unwrap();
    });
}

#[test]
fn a_channel_bounds_and_closes() {
    run(async {
        let (sender, mut receiver) = mpsc::channel(2);
        sender.try_send(1).unwrap();
        sender.send(2).await.unwrap();
        assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
        let waiting = {
            let sender = sender.clone();
            spawn(async move { sender.send(3).await })
        };
        yield_now().await;
        yield_now().await;
        assert_eq!(receiver.try_receive(), Ok(Some(1)));
        waiting.await.unwrap().unwrap();
        assert_eq!(receiver.receive().await, Some(2));
        assert_eq!(receiver.receive().await, Some(3));
        assert_eq!(receiver.try_receive(), Ok(None));
        drop(sender);
        assert_eq!(receiver.receive().await, None);
        assert_eq!(receiver.try_receive(), Err(Closed));

        let (sender, receiver) = mpsc::channel(1);
        sender.try_send(1).unwrap();
        let waiting = {
            let sender = sender.clone();
            spawn(async move { sender.send(2).await })
        };
        yield_now().await;
        yield_now().await;
        drop(receiver);
        assert_eq!(waiting.await.unwrap(), Err(2));
        assert_eq!(sender.try_send(3), Err(TrySendError::Closed(3)));
        assert_eq!(sender.send(3).await, Err(3));
    });
}

/// A sender that was woken for a free place and then goes away passes the place on.
#[test]
fn a_place_is_not_lost_with_its_sender() {
    run(async {
        let (sender, mut receiver) = mpsc::channel(1);
        sender.try_send(1).unwrap();
        let mut first = Box::pin(sender.send(2));
        let mut second = Box::pin(sender.send(3));
        assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
        assert_eq!(receiver.receive().await, Some(1));
        drop(first);
        assert_eq!(poll(&mut second), Poll::Ready(Ok(())));
        assert_eq!(receiver.receive().await, Some(3));
    });
}

#[test]
fn closing_a_semaphore_sends_everybody_away() {
    let semaphore = Semaphore::new(1);
    let permit = semaphore.try_acquire(1).unwrap();
    let mut waiter = semaphore.acquire(1);
    assert!(poll(&mut waiter).is_pending());
    semaphore.close();
    assert!(matches!(poll(&mut waiter), Poll::Ready(Err(Closed))));
    assert!(semaphore.try_acquire(1).is_none());
    drop(permit);
}

#[test]
fn embassy_primitives_run_core_local() {
    static CHANNEL: local::Channel<Virtual, u32, 2> = local::Channel::new();
    run(async {
        let sender = spawn(async {
            for n in 0..10 {
                CHANNEL.send(n).await;
            }
        });
        for n in 0..10 {
            assert_eq!(CHANNEL.receive().await, n);
        }
        sender.await.unwrap();
        let mutex = Rc::new(local::Mutex::<Virtual, _>::new(0));
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let mutex = mutex.clone();
                spawn(async move {
                    for _ in 0..10 {
                        let mut value = mutex.lock().await;
                        let read = *value;
                        yield_now().await;
                        *value = read + 1;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*mutex.lock().await, 40);
    });
}

#[test]
#[should_panic(expected = "belongs to another core")]
fn a_core_local_lock_stays_on_its_core() {
    static CHANNEL: local::Channel<Virtual, u32, 2> = local::Channel::new();
    std::thread::spawn(|| run(async { CHANNEL.send(1).await })).join().unwrap();
    run(async { CHANNEL.send(2).await });
}

#[test]
fn a_notify_forgets_no_foreign_waker() {
    let notify = Notify::new();
    let woken = std::sync::Arc::new(Count::default());
    let waker = Waker::from(woken.clone());
    assert!(notify.poll_wait(&mut Context::from_waker(&waker)).is_pending());
    notify.notify();
    notify.notify();
    assert_eq!(woken.0.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert!(notify.poll_wait(&mut Context::from_waker(&waker)).is_ready());
}

/// A waker that counts.
#[derive(Default)]
struct Count(std::sync::atomic::AtomicU32);

impl std::task::Wake for Count {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

#[derive(Clone, Debug)]
enum Op {
    Acquire(usize),
    /// Polls the n-th that waits.
    Poll(usize),
    /// Drops the n-th that waits.
    GiveUp(usize),
    /// Drops the n-th permit.
    Release(usize),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        3 => (0..4_usize).prop_map(Op::Acquire),
        3 => (0..8_usize).prop_map(Op::Poll),
        1 => (0..8_usize).prop_map(Op::GiveUp),
        2 => (0..8_usize).prop_map(Op::Release),
    ];
    prop::collection::vec(op, 0..100)
}

const PERMITS: usize = 5;

proptest! {
    /// Never more permits out than there are, first come first served, none lost.
    #[test]
    fn a_semaphore_conserves_permits(ops in ops()) {
        let semaphore = Semaphore::new(PERMITS);
        let order = RefCell::new(0_u32);
        let mut waiting: Vec<(u32, Acquire<'_>)> = Vec::new();
        let mut held: Vec<(usize, Permit<'_>)> = Vec::new();
        let mut counts = std::collections::BTreeMap::new();
        let mut served = None;
        for op in ops {
            match op {
                Op::Acquire(count) => {
                    let ticket = order.replace_with(|n| *n + 1);
                    let mut acquire = semaphore.acquire(count);
                    match poll(&mut acquire) {
                        Poll::Ready(permit) => {
                            if count > 0 {
                                prop_assert!(waiting.is_empty() || held_by_granted(&mut waiting, &mut held, &counts));
                            }
                            held.push((count, permit.unwrap()));
                        }
                        Poll::Pending => {
                            counts.insert(ticket, count);
                            waiting.push((ticket, acquire));
                        }
                    }
                }
                Op::Poll(n) if n < waiting.len() => {
                    if let Poll::Ready(permit) = poll(&mut waiting[n].1) {
                        let (ticket, _) = waiting.remove(n);
                        held.push((counts[&ticket], permit.unwrap()));
                        served = served.max(Some(ticket));
                    }
                }
                Op::GiveUp(n) if n < waiting.len() => drop(waiting.remove(n)),
                Op::Release(n) if n < held.len() => drop(held.remove(n)),
                _ => {}
            }
            let out: usize = held.iter().map(|(count, _)| count).sum();
            prop_assert!(out + semaphore.available() <= PERMITS);
        }
        // First come first served: whoever came before one that was served has been granted too.
        for (ticket, acquire) in &mut waiting {
            if Some(*ticket) < served {
                prop_assert!(poll(acquire).is_ready());
            }
        }
        drop(waiting);
        drop(held);
        prop_assert_eq!(semaphore.available(), PERMITS);
    }
}

/// A newcomer may be served while others are listed as waiting only if all of those have been
/// granted.
fn held_by_granted<'a>(
    waiting: &mut Vec<(u32, Acquire<'a>)>,
    held: &mut Vec<(usize, Permit<'a>)>,
    counts: &std::collections::BTreeMap<u32, usize>,
) -> bool {
    for (ticket, mut acquire) in std::mem::take(waiting) {
        match poll(&mut acquire) {
            Poll::Ready(Ok(permit)) => held.push((counts[&ticket], permit)),
            _ => return false,
        }
    }
    true
}
