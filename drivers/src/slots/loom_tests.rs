//! Every interleaving of reaper, caller and canceller, found by loom.

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use hal::clock::Ticks;
use loom::future::block_on;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::{Completed, Finished, Lent, SlotTable};

/// A buffer that knows how often it came back, and how often it was lost.
struct Buffer {
    reclaimed: Arc<AtomicUsize>,
}

impl Lent for Buffer {
    type Returned = ();

    fn reclaim(self) {
        self.reclaimed.fetch_add(1, Ordering::SeqCst);
    }
}

type Table = SlotTable<Buffer, u8>;

struct Setup {
    table: Arc<Table>,
    reclaimed: Arc<AtomicUsize>,
}

impl Setup {
    fn new(depth: u16) -> Self {
        Self { table: Arc::new(Table::new(depth, 16)), reclaimed: Arc::new(AtomicUsize::new(0)) }
    }

    fn buffer(&self) -> Buffer {
        Buffer { reclaimed: self.reclaimed.clone() }
    }

    /// Nothing in flight, every slot free, every buffer back.
    fn settled(&self, buffers: usize) {
        assert_eq!(self.table.in_flight(), 0);
        assert_eq!(self.table.free(), self.table.depth());
        assert_eq!(self.reclaimed.load(Ordering::SeqCst), buffers);
    }
}

#[test]
fn a_completion_is_never_missed() {
    loom::model(|| {
        let setup = Setup::new(1);
        let reserved = setup.table.try_reserve().expect("it is empty");
        let id = reserved.id();
        let submitted = reserved.submit(setup.buffer(), Ticks(0));
        let table = setup.table.clone();
        let reaper = thread::spawn(move || table.complete(id, 7));
        assert_eq!(block_on(submitted), Finished { result: 7, returned: Some(()) });
        assert_eq!(reaper.join().expect("no panic"), Ok(Completed::Delivered));
        setup.settled(1);
    });
}

#[test]
fn cancelling_against_completing_frees_once() {
    loom::model(|| {
        let setup = Setup::new(1);
        let reserved = setup.table.try_reserve().expect("it is empty");
        let id = reserved.id();
        let submitted = reserved.submit(setup.buffer(), Ticks(0));
        let table = setup.table.clone();
        let reaper = thread::spawn(move || {
            table.complete(id, 7).expect("it is in flight");
        });
        drop(submitted);
        reaper.join().expect("no panic");
        setup.settled(1);
    });
}

#[test]
fn giving_up_against_completing_tells_the_caller_once() {
    loom::model(|| {
        let setup = Setup::new(1);
        let reserved = setup.table.try_reserve().expect("it is empty");
        let id = reserved.id();
        let submitted = reserved.submit(setup.buffer(), Ticks(0));
        let table = setup.table.clone();
        let watchdog = thread::spawn(move || table.give_up(id, 9).is_ok());
        let table = setup.table.clone();
        let reaper = thread::spawn(move || table.complete(id, 7).expect("nobody else completes"));
        let finished = block_on(submitted);
        let gave_up = watchdog.join().expect("no panic");
        let completed = reaper.join().expect("no panic");
        assert_eq!(finished.result, if gave_up { 9 } else { 7 });
        assert!(gave_up || finished.returned.is_some());
        assert_eq!(completed == Completed::Orphan, finished.returned.is_none());
        setup.settled(1);
    });
}

#[test]
fn a_waiter_gets_the_slot_given_back() {
    loom::model(|| {
        let setup = Setup::new(1);
        let held = setup.table.try_reserve().expect("it is empty");
        let table = setup.table.clone();
        let waiter = thread::spawn(move || block_on(table.reserve()).id());
        let first = held.id();
        drop(held);
        assert_ne!(waiter.join().expect("no panic"), first);
        setup.settled(0);
    });
}

#[test]
fn a_waiter_that_goes_away_passes_the_slot_on() {
    loom::model(|| {
        let setup = Setup::new(1);
        let held = setup.table.try_reserve().expect("it is empty");
        let mut waiting = std::boxed::Box::pin(setup.table.reserve());
        let mut context = Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        let table = setup.table.clone();
        let second = thread::spawn(move || {
            let mut second = pin!(table.reserve());
            let mut context = Context::from_waker(Waker::noop());
            if let Poll::Ready(reserved) = second.as_mut().poll(&mut context) {
                drop(reserved);
            }
        });
        drop(held);
        drop(waiting);
        second.join().expect("no panic");
        setup.settled(0);
    });
}

#[test]
fn resetting_against_cancelling_and_completing() {
    loom::model(|| {
        let setup = Setup::new(1);
        let reserved = setup.table.try_reserve().expect("it is empty");
        let id = reserved.id();
        let submitted = reserved.submit(setup.buffer(), Ticks(0));
        let table = setup.table.clone();
        let reaper = thread::spawn(move || table.complete(id, 7).is_ok());
        let table = setup.table.clone();
        let resetter = thread::spawn(move || table.reset(|| 3));
        drop(submitted);
        reaper.join().expect("no panic");
        resetter.join().expect("no panic");
        setup.settled(1);
    });
}

/// Like a driver of a queue: those who come take a slot if one is free, else wait for it; the
/// reaper's completion of an orphan hands the slot on.
#[test]
fn an_orphans_slot_goes_to_the_one_who_waits() {
    loom::model(|| {
        let setup = Setup::new(1);
        let reserved = setup.table.try_reserve().expect("it is empty");
        let id = reserved.id();
        drop(reserved.submit(setup.buffer(), Ticks(0)));
        let table = setup.table.clone();
        let reaper = thread::spawn(move || table.complete(id, 7));
        let next = block_on(setup.table.reserve());
        assert_ne!(next.id(), id);
        assert_eq!(reaper.join().expect("no panic"), Ok(Completed::Orphan));
        drop(next);
        setup.settled(1);
    });
}

/// The task that awaits a command changes while it completes: the last one is woken.
#[test]
fn a_command_may_change_its_waiter() {
    loom::model(|| {
        let setup = Setup::new(1);
        let reserved = setup.table.try_reserve().expect("it is empty");
        let id = reserved.id();
        let mut submitted = std::boxed::Box::pin(reserved.submit(setup.buffer(), Ticks(0)));
        let mut context = Context::from_waker(Waker::noop());
        let early = submitted.as_mut().poll(&mut context);
        assert!(early.is_pending());
        let table = setup.table.clone();
        let reaper = thread::spawn(move || table.complete(id, 7));
        assert_eq!(block_on(submitted), Finished { result: 7, returned: Some(()) });
        assert_eq!(reaper.join().expect("no panic"), Ok(Completed::Delivered));
        setup.settled(1);
    });
}

/// A slot that comes back by its future's end, not by a drop, wakes whoever waits for it.
#[test]
fn a_finished_command_hands_its_slot_on() {
    loom::model(|| {
        let setup = Setup::new(1);
        let reserved = setup.table.try_reserve().expect("it is empty");
        let id = reserved.id();
        let submitted = reserved.submit(setup.buffer(), Ticks(0));
        setup.table.complete(id, 7).expect("it is in flight");
        let table = setup.table.clone();
        let waiter = thread::spawn(move || block_on(table.reserve()).id());
        assert_eq!(block_on(submitted).result, 7);
        assert_ne!(waiter.join().expect("no panic"), id);
        setup.settled(1);
    });
}

/// Submitted with its waker, a command is looked at only once that was woken.
#[test]
fn a_waker_left_at_the_submission_is_enough() {
    loom::model(|| {
        let setup = Setup::new(1);
        let mut submitted = None;
        let mut reaper = None;
        let finished = block_on(core::future::poll_fn(|context| match &mut submitted {
            None => {
                let waker = context.waker().clone();
                let started = setup.table.try_submit(setup.buffer(), Ticks(0), waker);
                let started = started.ok().expect("it is empty");
                let (table, id) = (setup.table.clone(), started.id());
                reaper = Some(thread::spawn(move || table.complete(id, 7)));
                submitted = Some(started);
                Poll::Pending
            }
            Some(submitted) => match submitted.finished() {
                Some(finished) => Poll::Ready(finished),
                None => submitted.look(context),
            },
        }));
        assert_eq!(finished, Finished { result: 7, returned: Some(()) });
        let reaper = reaper.expect("it was started");
        assert_eq!(reaper.join().expect("no panic"), Ok(Completed::Delivered));
        drop(submitted);
        setup.settled(1);
    });
}
