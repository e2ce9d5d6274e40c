//! An endpoint: where senders and receivers meet. Its queues are touched on its home core only, by
//! the system-call path and by tasks, never by interrupt handlers; so they need no lock.

use super::queue::Queue;
use super::{lay, message_of, transfer};
use crate::platform;
use crate::process::thread::{State, Thread, ThreadRef};
use alloc::sync::Arc;
use core::cell::Cell;
use core::sync::atomic::{AtomicUsize, Ordering::*};
use executor::CoreId;
use executor::sync::Notify;
use protocols::abi::message::Info;
use protocols::abi::{Error, Handle, Rights, Takes, encode};

/// A rendezvous for messages.
#[derive(Debug)]
pub struct Endpoint {
    /// The core that works it.
    pub home: CoreId,
    takes: Takes,
    /// Capabilities with the right to receive. Rights only shrink, so once there is none there
    /// never will be.
    receive_rights: AtomicUsize,
    /// Capabilities with the right to send, likewise.
    send_rights: AtomicUsize,
    /// What a kernel service that receives here waits for ([`super::service`]).
    pub(super) service: Option<Notify>,
    dead: Cell<bool>,
    /// Threads waiting for a message.
    pub(super) receivers: Queue,
    /// Threads waiting to be received.
    pub(super) senders: Queue,
}

// SAFETY: the cells and queues are touched on the home core only (module head); the count is
// atomic.
unsafe impl Sync for Endpoint {}
// SAFETY: an endpoint is freed only after its last receive right went and its queues were emptied
// on its home core.
unsafe impl Send for Endpoint {}

impl Endpoint {
    /// An endpoint at home on `home`.
    pub fn new(home: CoreId, takes: Takes) -> Self {
        Self::with(home, None, takes)
    }

    /// One that a kernel service receives from.
    pub(super) fn of_service(home: CoreId) -> Self {
        Self::with(home, Some(Notify::new()), Takes::Capabilities)
    }

    fn with(home: CoreId, service: Option<Notify>, takes: Takes) -> Self {
        Self {
            home,
            takes,
            receive_rights: AtomicUsize::new(0),
            send_rights: AtomicUsize::new(0),
            service,
            dead: Cell::new(false),
            receivers: Queue::new(),
            senders: Queue::new(),
        }
    }

    /// One more capability can receive from it.
    pub fn receive_right_made(&self) {
        self.receive_rights.fetch_add(1, Relaxed);
    }

    /// One fewer; after the last one everybody who waits here, or comes later, is turned away.
    pub fn receive_right_gone(this: &Arc<Self>) {
        if this.receive_rights.fetch_sub(1, AcqRel) == 1 {
            super::mail::post_end(this.clone());
        }
    }

    /// One more capability can send to it.
    pub fn send_right_made(&self) {
        self.send_rights.fetch_add(1, Relaxed);
    }

    /// One fewer; a service hears of it when its own is the last.
    pub fn send_right_gone(&self) {
        if self.send_rights.fetch_sub(1, AcqRel) == 2 {
            self.tell_service();
        }
    }

    /// Whether anybody can send to it but the service itself, which holds the first capability.
    pub(super) fn is_reachable(&self) -> bool {
        self.send_rights.load(Acquire) > 1
    }

    fn tell_service(&self) {
        if let Some(service) = &self.service {
            service.notify();
        }
    }

    /// Nobody can receive from it any more: turns everybody away. Home core only.
    pub(super) fn end(&self) {
        self.dead.set(true);
        while let Some(thread) = self.receivers.pop().or_else(|| self.next_sender()) {
            refuse(thread, Error::PeerGone);
        }
    }

    /// Brings a sender whose message lies in its registers (state `Calling` or `Sending`): it is
    /// received at once or waits in line. Home core only.
    pub fn offer(&self, sender: ThreadRef) {
        if self.dead.get() {
            return refuse(sender, Error::PeerGone);
        }
        if self.takes == Takes::Words && Info(message_of(&sender).0).capabilities() > 0 {
            return refuse(sender, Error::NotPermitted);
        }
        match self.receivers.pop() {
            None => {
                let process = &sender.process;
                if process.waiting_messages.fetch_add(1, Relaxed) >= process.budget.messages {
                    process.waiting_messages.fetch_sub(1, Relaxed);
                    return refuse(sender, Error::LimitReached);
                }
                sender.endpoint.set(self);
                sender.queued.set(true);
                self.senders.push(&sender);
                self.tell_service();
            }
            Some(receiver) => {
                receiver.queued.set(false);
                if hand_over(sender, receiver) {
                    receiver.make_ready();
                } else {
                    receiver.queued.set(true);
                    self.receivers.push(&receiver);
                }
            }
        }
    }

    /// Brings a receiver: true if it got a message (in its registers), false if it waits in line
    /// (state `Receiving`) or was refused. Home core only.
    pub fn accept(&self, receiver: ThreadRef) -> bool {
        if self.dead.get() {
            refuse(receiver, Error::PeerGone);
            return false;
        }
        while let Some(sender) = self.next_sender() {
            if hand_over(sender, receiver) {
                return true;
            }
        }
        self.wait(&receiver);
        false
    }

    /// Puts a receiver in line.
    #[inline(always)]
    pub(super) fn wait(&self, receiver: &Thread) {
        receiver.endpoint.set(self);
        receiver.queued.set(true);
        receiver.set_state(State::Receiving);
        self.receivers.push(receiver);
    }

    /// Sends the threads back that wait here through a capability that is gone. Home core only.
    pub fn sweep(&self) {
        for (queue, right) in [(&self.receivers, Rights::RECEIVE), (&self.senders, Rights::SEND)] {
            let mut next = queue.front();
            while let Some(thread) = next {
                next = thread.links.next.get();
                if !self.is_named_by(&thread, right) {
                    self.withdraw(thread);
                    refuse(thread, Error::BadHandle);
                }
            }
        }
    }

    /// Whether the handle through which a thread waits here still names this endpoint. Every way to
    /// wait files it in `rdi`.
    pub(super) fn is_named_by(&self, thread: &Thread, right: Rights) -> bool {
        let handle = Handle(thread.registers().rdi as u32);
        let named = thread.process.handles.get::<Self>(handle, right);
        named.is_ok_and(|named| core::ptr::eq(named, self))
    }

    /// Takes the first sender out of line. Home core only.
    pub(super) fn next_sender(&self) -> Option<ThreadRef> {
        let sender = self.senders.pop()?;
        sender.queued.set(false);
        sender.process.waiting_messages.fetch_sub(1, Relaxed);
        Some(sender)
    }

    /// Takes a thread that waits here out of line. Home core only.
    pub fn withdraw(&self, thread: ThreadRef) {
        thread.queued.set(false);
        if thread.state() == State::Receiving {
            self.receivers.remove(thread);
        } else {
            thread.process.waiting_messages.fetch_sub(1, Relaxed);
            self.senders.remove(thread);
        }
    }
}

/// Moves the message, settles the sender. False: the sender was refused and the receiver goes on
/// waiting.
fn hand_over(sender: ThreadRef, receiver: ThreadRef) -> bool {
    let (info, words) = message_of(&sender);
    if let Err(error) = transfer::capabilities(&sender, &receiver, Info(info)) {
        refuse(sender, error);
        return false;
    }
    lay(receiver.registers(), sender.stamp, info, words);
    if sender.state() == State::Calling {
        receiver.caller.set(Some(sender));
        owe(sender, receiver);
    } else {
        refuse_with(sender, encode(Ok(0)));
    }
    true
}

/// Makes `caller` wait for `replier`'s reply: from here on the replier's core owns it.
#[inline(always)]
pub(super) fn owe(caller: ThreadRef, replier: ThreadRef) {
    caller.replier.set(Some(replier));
    caller.replier_core.set(replier.home);
    caller.set_state(State::AwaitingReply);
}

/// Answers a blocked thread's call with an error. For its owner.
pub fn refuse(thread: ThreadRef, error: Error) {
    refuse_with(thread, error.to_raw());
}

pub(super) fn refuse_with(thread: ThreadRef, rax: u64) {
    thread.queued.set(false);
    thread.answer(rax, 0);
    thread.make_ready();
}

/// The reply of `replier` to the caller it owes one, which is the caller's error if the
/// capabilities can't go along (the replier keeps owing). On the replier's core.
pub fn reply(replier: ThreadRef, info: u64, words: [u64; 6]) -> Result<(), Error> {
    let caller = replier.caller.get().ok_or(Error::NoCaller)?;
    transfer::capabilities(&replier, &caller, Info(info))?;
    replier.caller.set(None);
    caller.replier.set(None);
    lay(caller.registers(), replier.stamp, info, words);
    caller.make_ready();
    Ok(())
}

/// The caller that `replier` owes a reply, if any, will not get one.
pub fn abandon_caller(replier: &Thread) {
    if let Some(caller) = replier.caller.take() {
        caller.replier.set(None);
        refuse(caller, Error::PeerGone);
    }
}

/// Whether an endpoint is at home on this core.
#[inline(always)]
pub fn is_local(endpoint: &Endpoint) -> bool {
    endpoint.home == platform::here().core
}
