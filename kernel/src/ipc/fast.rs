//! The message calls as the gateway answers them: on one core, without the executor.
//!
//! Everything that does not fit (another core's endpoint, capabilities along, nobody waiting) goes by the general
//! way in [`super::endpoint`], still without leaving the system call where it need not wait.
//!
//! Each function here ends in one of three ways: it returns (back to the caller), it switches to the partner, or it
//! leaves ring 3. The last two never return, and nothing that needs dropping is alive there.

use super::endpoint::{self, Endpoint, owe};
use super::lay;
use crate::gateway::{finish, hand_to_task, switch_to};
use crate::logs::syslog::{PENDING, Record};
use crate::platform::Here;
use crate::process::thread::{State, ThreadRef};
use hal::x86_64::user::Pair;
use protocols::abi::message::Info;
use protocols::abi::{Error, Handle, Rights, Syscall};

/// Arguments of a system call as they came in registers.
pub type Arguments = [u64; 6];

/// Files what a message call sent in the caller's record, for the general way.
#[inline]
fn file(me: ThreadRef, number: Syscall, a: &Arguments) {
    let registers = me.registers();
    registers.rax = number as u64;
    registers.rdi = a[0];
    registers.rsi = a[1];
    registers.rdx = a[2];
    registers.r10 = a[3];
    registers.r8 = a[4];
    registers.r9 = a[5];
}

#[inline(always)]
fn words(me: ThreadRef, a: &Arguments) -> [u64; 6] {
    let registers = me.registers();
    [a[2], a[3], a[4], a[5], registers.r12, registers.r13]
}

#[inline(always)]
fn carries_capabilities(info: u64) -> bool {
    info >> 32 != 0
}

/// [`Syscall::Call`].
#[inline]
pub fn call(here: &Here, me: ThreadRef, record: &Record, a: Arguments) -> Pair {
    let endpoint = match me.process.handles.get::<Endpoint>(Handle(a[0] as u32), Rights::SEND) {
        Ok(endpoint) => endpoint,
        Err(error) => return finish(here, me, record, Err(error)),
    };
    if endpoint.home == here.core
        && !carries_capabilities(a[1])
        && let Some(receiver) = endpoint.receivers.front()
        && receiver.home == here.core
    {
        endpoint.receivers.remove(receiver);
        receiver.queued.set(false);
        lay(receiver.registers(), me.stamp, a[1], words(me, &a));
        receiver.caller.set(Some(me));
        owe(me, receiver);
        me.unanswered.set(Some(Syscall::Call as u8));
        here.syslog.commit(record, PENDING);
        switch_to(here, receiver)
    }
    send_slowly(here, me, record, &a, Syscall::Call, endpoint)
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
    file(me, number, a);
    if endpoint.home != here.core {
        hand_to_task(here, me, record, number as u64)
    }
    me.unanswered.set(Some(number as u8));
    here.syslog.commit(record, PENDING);
    me.set_state(if number == Syscall::Call { State::Calling } else { State::Sending });
    endpoint.offer(me);
    crate::gateway::leave()
}

/// [`Syscall::Reply`].
#[inline]
pub fn reply(here: &Here, me: ThreadRef, record: &Record, a: Arguments) -> Pair {
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

/// [`Syscall::ReplyReceive`].
#[inline]
pub fn reply_receive(here: &Here, me: ThreadRef, record: &Record, a: Arguments) -> Pair {
    let endpoint = match me.process.handles.get::<Endpoint>(Handle(a[0] as u32), Rights::RECEIVE) {
        Ok(endpoint) => endpoint,
        Err(error) => return finish(here, me, record, Err(error)),
    };
    if let Some(caller) = me.caller.get() {
        if caller.home == here.core
            && endpoint.home == here.core
            && !carries_capabilities(a[1])
            && endpoint.senders.front().is_none()
        {
            me.caller.set(None);
            lay(caller.registers(), me.stamp, a[1], words(me, &a));
            endpoint.wait(&me);
            me.unanswered.set(Some(Syscall::ReplyReceive as u8));
            here.syslog.commit(record, PENDING);
            switch_to(here, caller)
        }
        if let Err(error) = endpoint::reply(me, a[1], words(me, &a)) {
            return finish(here, me, record, Err(error));
        }
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
    file(me, number, a);
    if endpoint.home != here.core {
        hand_to_task(here, me, record, number as u64)
    }
    me.unanswered.set(Some(number as u8));
    here.syslog.commit(record, PENDING);
    me.set_state(State::Receiving);
    if endpoint.accept(me) {
        switch_to(here, me)
    }
    crate::gateway::leave()
}
