//! The message calls as the gateway answers them: on one core, without the executor.
//!
//! Everything that does not fit (another core's endpoint, capabilities along, nobody waiting) goes
//! by the general way in [`super::endpoint`], still without leaving the system call where it need
//! not wait.
//!
//! Each function here ends in one of three ways: it returns (back to the caller), it switches to
//! the partner, or it leaves ring 3. The last two never return, and nothing that needs dropping is
//! alive there.

use super::endpoint::{self, Endpoint, owe};
use super::lay;
use crate::gateway::{file, finish, hand_to_task, log_response, switch_to};
use crate::logs::syslog::{PENDING, Record};
use crate::platform::{self, Here};
use crate::process::thread::{State, ThreadRef};
use hal::x86_64::user::Pair;
use protocols::abi::message::Info;
use protocols::abi::{Error, Handle, Rights, Syscall};

/// Arguments of a system call as they came in registers; the sixth is in the caller's record.
pub type Arguments = [u64; 5];

#[inline(always)]
fn words(me: ThreadRef, a: &Arguments) -> [u64; 6] {
    let registers = me.registers();
    [a[2], a[3], a[4], registers.r9, registers.r12, registers.r13]
}

#[inline(always)]
fn carries_capabilities(info: u64) -> bool {
    info >> 32 != 0
}

/// [`Syscall::Call`]: straight to a receiver that waits on this core, else [`call_slowly`], which
/// is told nothing but the arguments, so that this way need not keep them.
#[inline(never)]
pub extern "C" fn call(a0: u64, a1: u64, a2: u64, a3: u64, a4: u64, number: u64) -> Pair {
    let (here, me) = (platform::here(), ThreadRef::current());
    if let Ok(endpoint) = me.process.handles.get::<Endpoint>(Handle(a0 as u32), Rights::SEND)
        && endpoint.home == here.core
        && !carries_capabilities(a1)
        && let Some(receiver) = endpoint.receivers.front()
        && receiver.home == here.core
    {
        // `queued` stays as it is: it counts only while a thread waits at an endpoint.
        endpoint.receivers.pop();
        lay(receiver.registers(), me.stamp, a1, words(me, &[a0, a1, a2, a3, a4]));
        receiver.caller.set(Some(me));
        owe(me, receiver);
        me.unanswered.set(Some(Syscall::Call as u8));
        deliver(here, me, receiver, Syscall::Call, [a0, a1, a2, a3])
    }
    call_slowly(a0, a1, a2, a3, a4, number)
}

#[inline(never)]
extern "C" fn call_slowly(a0: u64, a1: u64, a2: u64, a3: u64, a4: u64, number: u64) -> Pair {
    let (here, me) = (platform::here(), ThreadRef::current());
    let record = here.syslog.request(me.stamp, number, [a0, a1, a2, a3]);
    match me.process.handles.get::<Endpoint>(Handle(a0 as u32), Rights::SEND) {
        Ok(endpoint) => {
            send_slowly(here, me, record, &[a0, a1, a2, a3, a4], Syscall::Call, endpoint)
        }
        Err(error) => finish(here, me, record, Err(error)),
    }
}

/// Goes on as `to`, whose waiting call `me`'s message just answered.
#[inline(always)]
fn deliver(here: &Here, me: ThreadRef, to: ThreadRef, number: Syscall, values: [u64; 4]) -> ! {
    to.unanswered.set(None);
    here.syslog.delivered(me.stamp, number as u64, values, to.stamp);
    switch_to(here, to)
}

/// [`Syscall::Send`].
#[inline]
pub fn send(here: &Here, me: ThreadRef, record: &Record, a: Arguments) -> Pair {
    match me.process.handles.get::<Endpoint>(Handle(a[0] as u32), Rights::SEND) {
        Ok(endpoint) => send_slowly(here, me, record, &a, Syscall::Send, endpoint),
        Err(error) => finish(here, me, record, Err(error)),
    }
}

#[inline(never)]
fn send_slowly(
    here: &Here,
    me: ThreadRef,
    record: &Record,
    a: &Arguments,
    number: Syscall,
    endpoint: &Endpoint,
) -> Pair {
    // Nobody may be there yet to find it out on delivery.
    if !Info(a[1]).is_valid() {
        return finish(here, me, record, Err(Error::InvalidArgument));
    }
    file(me, number as u64, a);
    let must_wait = carries_capabilities(a[1]) && crate::authority::log::is_behind();
    if endpoint.home != here.core || must_wait {
        hand_to_task(here, me, record, number as u64)
    }
    me.call.set(here.syslog.head());
    me.unanswered.set(Some(number as u8));
    here.syslog.commit(record, PENDING);
    me.set_state(if number == Syscall::Call { State::Calling } else { State::Sending });
    endpoint.offer(me);
    crate::gateway::leave()
}

/// [`Syscall::Reply`].
#[inline]
pub fn reply(here: &Here, me: ThreadRef, record: &Record, a: Arguments) -> Pair {
    me.call.set(here.syslog.head());
    let sent = endpoint::reply(me, a[1], words(me, &a));
    finish(here, me, record, sent.map(|()| 0))
}

/// [`Syscall::Receive`].
#[inline]
pub fn receive(here: &Here, me: ThreadRef, record: &Record, a: Arguments) -> Pair {
    match me.process.handles.get::<Endpoint>(Handle(a[0] as u32), Rights::RECEIVE) {
        Ok(endpoint) => {
            endpoint::abandon_caller(&me);
            receive_next(here, me, record, &a, Syscall::Receive, endpoint)
        }
        Err(error) => finish(here, me, record, Err(error)),
    }
}

/// [`Syscall::ReplyReceive`]: straight back to the caller if nobody else waits to be received, else
/// [`reply_receive_slowly`].
#[inline(never)]
pub extern "C" fn reply_receive(a0: u64, a1: u64, a2: u64, a3: u64, a4: u64, number: u64) -> Pair {
    let (here, me) = (platform::here(), ThreadRef::current());
    if let Ok(endpoint) = me.process.handles.get::<Endpoint>(Handle(a0 as u32), Rights::RECEIVE)
        && endpoint.home == here.core
        && !carries_capabilities(a1)
        && let Some(caller) = me.caller.get()
        && caller.home == here.core
        && endpoint.senders.front().is_none()
    {
        me.caller.set(None);
        lay(caller.registers(), me.stamp, a1, words(me, &[a0, a1, a2, a3, a4]));
        // All that is filed of this call: a revoke looks for it.
        me.registers().rdi = a0;
        endpoint.wait(&me);
        me.unanswered.set(Some(Syscall::ReplyReceive as u8));
        deliver(here, me, caller, Syscall::ReplyReceive, [a0, a1, a2, a3])
    }
    reply_receive_slowly(a0, a1, a2, a3, a4, number)
}

#[inline(never)]
extern "C" fn reply_receive_slowly(
    a0: u64,
    a1: u64,
    a2: u64,
    a3: u64,
    a4: u64,
    number: u64,
) -> Pair {
    let (here, me) = (platform::here(), ThreadRef::current());
    let record = here.syslog.request(me.stamp, number, [a0, a1, a2, a3]);
    let a = [a0, a1, a2, a3, a4];
    let endpoint = match me.process.handles.get::<Endpoint>(Handle(a0 as u32), Rights::RECEIVE) {
        Ok(endpoint) => endpoint,
        Err(error) => return finish(here, me, record, Err(error)),
    };
    me.call.set(here.syslog.head());
    if me.caller.get().is_some()
        && let Err(error) = endpoint::reply(me, a1, words(me, &a))
    {
        return finish(here, me, record, Err(error));
    }
    receive_next(here, me, record, &a, Syscall::ReplyReceive, endpoint)
}

#[inline(never)]
fn receive_next(
    here: &Here,
    me: ThreadRef,
    record: &Record,
    a: &Arguments,
    number: Syscall,
    endpoint: &Endpoint,
) -> ! {
    file(me, number as u64, a);
    if endpoint.home != here.core {
        hand_to_task(here, me, record, number as u64)
    }
    me.unanswered.set(Some(number as u8));
    here.syslog.commit(record, PENDING);
    me.set_state(State::Receiving);
    if endpoint.accept(me) {
        log_response(here, me);
        switch_to(here, me)
    }
    crate::gateway::leave()
}
