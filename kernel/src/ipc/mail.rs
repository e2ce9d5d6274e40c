//! Mail between cores: a thread whose endpoint is at home elsewhere is posted there, linked through
//! itself, and the core's mail task brings it to the endpoint. Posting neither locks nor allocates.
//! The same task ends the endpoints that nobody can receive from any more: a process may leave a
//! thousand of them.
//!
//! What the thread wants is its state: `Calling` or `Sending` with the message in its registers, or
//! `Receiving`. From the moment it is posted the addressee owns it.

use super::Endpoint;
use super::endpoint::refuse;
use crate::platform::Pollux;
use crate::process::thread::{State, Thread, ThreadRef};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::sync::atomic::{AtomicPtr, Ordering::*};
use core::task::Poll;
use executor::{CoreId, Priority};
use futures_util::task::AtomicWaker;
use hal::x86_64::MAX_CORES;
use protocols::abi::{Error, Rights};

#[derive(Debug)]
struct Mailbox {
    newest: AtomicPtr<Thread>,
    ended: spin::Mutex<Vec<Arc<Endpoint>>>,
    carrier: AtomicWaker,
}

static MAILBOXES: [Mailbox; MAX_CORES] = [const {
    Mailbox {
        newest: AtomicPtr::new(core::ptr::null_mut()),
        ended: spin::Mutex::new(Vec::new()),
        carrier: AtomicWaker::new(),
    }
}; MAX_CORES];

/// Posts `thread` to `endpoint`'s home; `state` says what it wants. Called by its own task. The
/// endpoint is kept until the thread's next visit or its end.
pub fn post(thread: &Thread, endpoint: Arc<Endpoint>, state: State) {
    thread.endpoint.set(Arc::as_ptr(&endpoint));
    thread.queued.set(false);
    let mailbox = &MAILBOXES[usize::from(endpoint.home.0)];
    thread.visiting.set(Some(endpoint));
    let letter = ThreadRef::of(thread).as_ptr();
    thread.set_state(state);
    let mut newest = mailbox.newest.load(Relaxed);
    loop {
        thread.mail_next.store(newest, Relaxed);
        match mailbox.newest.compare_exchange_weak(newest, letter, Release, Relaxed) {
            Ok(_) => break,
            Err(now) => newest = now,
        }
    }
    mailbox.carrier.wake();
}

/// Has `endpoint`'s home turn everybody away who waits there. Not from interrupt handlers.
pub fn post_end(endpoint: Arc<Endpoint>) {
    let mailbox = &MAILBOXES[usize::from(endpoint.home.0)];
    mailbox.ended.lock().push(endpoint);
    mailbox.carrier.wake();
}

/// Starts this core's mail task.
pub fn start(core: CoreId) {
    executor::spawn::<Pollux, _>("mail", Priority::High, carry(core)).detach();
}

async fn carry(core: CoreId) -> ! {
    let mailbox = &MAILBOXES[usize::from(core.0)];
    loop {
        let (newest, ended) = poll_fn(|context| {
            mailbox.carrier.register(context.waker());
            let newest = mailbox.newest.swap(core::ptr::null_mut(), Acquire);
            let ended = core::mem::take(&mut *mailbox.ended.lock());
            if newest.is_null() && ended.is_empty() {
                Poll::Pending
            } else {
                Poll::Ready((newest, ended))
            }
        })
        .await;
        ended.iter().for_each(|endpoint| endpoint.end());
        // The list is newest first; turn it round to be fair.
        let mut oldest: Option<ThreadRef> = None;
        let mut next = ThreadRef::from_mail(newest);
        while let Some(letter) = next {
            next = ThreadRef::from_mail(letter.mail_next.load(Relaxed));
            letter
                .mail_next
                .store(oldest.map_or(core::ptr::null_mut(), ThreadRef::as_ptr), Relaxed);
            oldest = Some(letter);
        }
        while let Some(letter) = oldest {
            oldest = ThreadRef::from_mail(letter.mail_next.load(Relaxed));
            deliver(letter);
        }
    }
}

fn deliver(letter: ThreadRef) {
    let endpoint = letter.endpoint.get();
    // SAFETY: the letter's `visiting` holds a count of the endpoint until after the thread is back.
    let endpoint = unsafe { &*endpoint };
    // On its way the capability may have been revoked.
    let right = if letter.state() == State::Receiving { Rights::RECEIVE } else { Rights::SEND };
    if !endpoint.is_named_by(&letter, right) {
        return refuse(letter, Error::BadHandle);
    }
    match letter.state() {
        State::Receiving => {
            if endpoint.accept(letter) {
                letter.make_ready();
            }
        }
        _ => endpoint.offer(letter),
    }
}
