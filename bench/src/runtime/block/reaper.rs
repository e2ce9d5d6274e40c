//! The task of a session that talks to the ring.
//!
//! ```text
//!   publish what was submitted, take what is done ── something: again after a turn
//!          ^                                     └── nothing in flight: until a submission
//!          │                                     └── nothing yet: a few turns, then "asleep", one
//!          └──────────────────────────────────────── more look, and until signal or submission
//! ```

use alloc::rc::Rc;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

use super::Session;
use super::slots::Completed;
use crate::block_ring::{Corrupt, Wake};
use crate::runtime::executor::{sleep, yield_now};

/// Turns without anything before it sleeps, while the service works on another core.
const PATIENCE: u32 = 200;
/// Nanoseconds it sleeps at most: while other tasks keep the executor from parking, signals are not
/// seen.
const LOOK_NS: u64 = 1_000_000;

/// Carries on until the service ends the session.
pub(super) async fn reap(session: Rc<Session>) {
    let patience = if session.same_core { 1 } else { PATIENCE };
    let mut in_vain = 0;
    loop {
        match turn(&session) {
            Ok(true) => {
                in_vain = 0;
                yield_now().await;
                continue;
            }
            Ok(false) => {}
            Err(Corrupt) => return give_up(&session),
        }
        if session.client.borrow().has_ended(&session.memory) {
            return give_up(&session);
        }
        if session.client.borrow().in_flight() == 0 {
            session.work.wait().await;
            continue;
        }
        in_vain += 1;
        if in_vain < patience {
            yield_now().await;
            continue;
        }
        in_vain = 0;
        session.client.borrow().fall_asleep(&session.memory);
        if !session.client.borrow().is_due(&session.memory) {
            rest(&session).await;
        }
        session.client.borrow().wake_up(&session.memory);
    }
}

/// Shows what was submitted and takes what is done. Whether there was any of it.
fn turn(session: &Session) -> Result<bool, Corrupt> {
    session.work.take();
    let mut client = session.client.borrow_mut();
    let mut found = false;
    while let Some(completion) = client.reap(&session.memory)? {
        found = true;
        let completed = session.slots.borrow_mut().complete(completion.tag, completion.status);
        match completed {
            Completed::Awaited(waker) => {
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
            Completed::Orphan(pages) => {
                if let Some(pages) = pages {
                    session.give_back(pages);
                }
                session.free.release(1);
            }
            Completed::Unknown => {}
        }
    }
    if client.publish(&session.memory) == Wake::Ring {
        // Fails only if the program itself dropped the handle.
        let _ = session.doorbell.signal(1);
    }
    Ok(found)
}

/// Until the service signals, somebody submits, or a moment has passed.
async fn rest(session: &Session) {
    let mut moment = pin!(sleep(LOOK_NS));
    poll_fn(|context| {
        let signalled = session.signal.poll_wait(context).is_ready();
        let submitted = session.work.poll_wait(context).is_ready();
        let passed = moment.as_mut().poll(context).is_ready();
        if signalled || submitted || passed { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// The session is over.
fn give_up(session: &Session) {
    session.free.close();
    let wakers = session.slots.borrow_mut().fail_all();
    wakers.into_iter().for_each(core::task::Waker::wake);
}
