//! A kernel task at the receiving end of an endpoint: ring 3 calls it as it calls anybody.
//!
//! ```text
//!   thread: Calling ──receive──> AwaitingReply ──reply, refuse, drop──> Ready
//!                                      └──killed: unlinked by its own task──> a reply goes nowhere
//! ```
//!
//! No thread of ring 3 ever waits as a receiver here, so every call comes by the general way and
//! stands in the queue of senders until the service's task, on the endpoint's home core, takes it
//! out. The service ends when nobody holds a capability to send to it any more; when it is gone,
//! callers get `PeerGone`.

use super::endpoint::{Endpoint, refuse, refuse_with};
use super::{lay, message_of, transfer};
use crate::authority::Capability;
use crate::platform;
use crate::process::object::Object;
use crate::process::thread::{State, Thread, ThreadRef};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::marker::PhantomData;
use executor::CoreId;
use protocols::abi::message::{Info, Sender};
use protocols::abi::{Error, Rights, encode};

/// The receiving end. To be used on its home core only.
#[derive(Debug)]
pub struct Service {
    endpoint: Arc<Endpoint>,
    root: Capability,
}

/// A message for the kernel.
#[derive(Debug)]
pub struct Request {
    /// Who sent it.
    pub sender: Sender,
    /// The core the sender lives on.
    pub core: CoreId,
    /// What the sender calls it.
    pub label: u32,
    /// Its words.
    pub words: [u64; 6],
    /// What it brought along.
    pub capabilities: Vec<Capability>,
    /// Where the reply goes.
    pub caller: Caller,
}

/// Somebody who waits for the kernel's reply, or has only sent.
#[derive(Debug)]
pub struct Caller {
    thread: Option<Arc<Thread>>,
    /// Belongs to the core that owns the thread meanwhile.
    core: PhantomData<*const ()>,
}

impl Service {
    /// A service at home on `core`. It takes no message before its first capability is made.
    pub fn new(core: CoreId) -> Result<Self, Error> {
        let endpoint = Arc::new(Endpoint::of_service(core));
        let root = Capability::create(Object::Endpoint(endpoint.clone()), 0)?;
        Ok(Self { endpoint, root })
    }

    /// A capability to send to it.
    pub fn capability(&self) -> Result<Capability, Error> {
        self.root.derive(Rights::SEND | Rights::DUPLICATE | Rights::TRANSFER)
    }

    /// The next message. `None`: nobody can send any more.
    pub async fn receive(&mut self) -> Option<Request> {
        debug_assert!(platform::here().core == self.endpoint.home);
        loop {
            while let Some(sender) = self.endpoint.next_sender() {
                match take(sender) {
                    Ok(request) => return Some(request),
                    Err(error) => refuse(sender, error),
                }
            }
            if !self.endpoint.is_reachable() {
                return None;
            }
            self.endpoint.service.as_ref()?.wait().await;
        }
    }
}

/// Takes a sender's message out of its registers.
fn take(sender: ThreadRef) -> Result<Request, Error> {
    let (info, words) = message_of(&sender);
    let capabilities = transfer::take(&sender, Info(info))?;
    let (stamp, core, label) = (sender.stamp, sender.home, Info(info).label());
    let thread = if sender.state() == State::Calling {
        let thread = sender.counted();
        sender.replier.set(None);
        sender.replier_core.set(platform::here().core);
        sender.set_state(State::AwaitingReply);
        Some(thread)
    } else {
        refuse_with(sender, encode(Ok(0)));
        None
    };
    let caller = Caller { thread, core: PhantomData };
    Ok(Request { sender: stamp, core, label, words, capabilities, caller })
}

impl Caller {
    /// The thread, if it still waits: one that is killed has been unlinked on this core.
    fn waiting(&mut self) -> Option<Arc<Thread>> {
        self.thread.take().filter(|thread| thread.state() == State::AwaitingReply)
    }

    /// Answers with words.
    pub fn reply(mut self, label: u32, words: [u64; 6]) {
        if let Some(thread) = self.waiting() {
            lay(thread.registers(), Sender::default(), Info::new(label, 0).0, words);
            thread.make_ready();
        }
    }

    /// Answers with words and a capability; the caller that has no slot for it gets the error.
    pub fn reply_with(mut self, label: u32, words: [u64; 6], capability: Capability) {
        let Some(thread) = self.waiting() else { return };
        match transfer::give(&thread, capability) {
            Ok(()) => {
                lay(thread.registers(), Sender::default(), Info::new(label, 1).0, words);
                thread.make_ready();
            }
            Err(error) => refuse(ThreadRef::of(&thread), error),
        }
    }

    /// Answers with an error.
    pub fn refuse(mut self, error: Error) {
        if let Some(thread) = self.waiting() {
            refuse(ThreadRef::of(&thread), error);
        }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        if let Some(thread) = self.waiting() {
            refuse(ThreadRef::of(&thread), Error::PeerGone);
        }
    }
}
