//! Messages between threads: rendezvous at endpoints, direct switches on one core, mail between
//! cores.
//!
//! - [`fast`]: the system-call path. Same core, partner waiting: the message goes from the sender's
//!   registers into the receiver's record and the core goes on as the receiver.
//! - [`endpoint`]: the rendezvous itself, always worked on its home core.
//! - [`mail`]: how a thread of another core gets to an endpoint's home.
//! - [`service`]: a kernel task at the receiving end.
//! - [`unlink`]: how a thread that is killed gets out of all that.

pub mod endpoint;
pub mod fast;
pub mod mail;
mod notification;
pub mod queue;
pub mod service;
mod transfer;
mod unlink;

pub use endpoint::Endpoint;
pub use notification::Notification;
pub use unlink::unlink;

use crate::process::thread::Thread;
use hal::x86_64::user::Registers;
use protocols::abi::message::Sender;

/// Lays a message into the registers of a thread that waits for one.
#[inline(always)]
pub(crate) fn lay(to: &mut Registers, sender: Sender, info: u64, words: [u64; 6]) {
    to.rax = 0;
    to.rdi = sender.0;
    to.rsi = info;
    to.rdx = words[0];
    to.r10 = words[1];
    to.r8 = words[2];
    to.r9 = words[3];
    to.r12 = words[4];
    to.r13 = words[5];
}

/// The message in the registers of a thread that sends one: info and words.
#[inline]
fn message_of(thread: &Thread) -> (u64, [u64; 6]) {
    let from = thread.registers();
    (from.rsi, [from.rdx, from.r10, from.r8, from.r9, from.r12, from.r13])
}
