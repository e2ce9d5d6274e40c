//! The one gateway: every system call comes in here and is recorded here.
//!
//! What can be answered on the spot is, with interrupts off, in the caller's stay. What can't is
//! filed with the caller and left to its task ([`slow`]), which runs with interrupts on like any
//! other. A fast answer looks at the executor's attention word before it goes back, so a task that
//! became ready never waits for a chatty program.

mod device;
mod memory;
pub mod slow;

use crate::ipc::{Notification, fast};
use crate::logs::syslog::{PENDING, Record};
use crate::platform::{self, Here};
use crate::process::thread::{Leave, State, ThreadRef};
use hal::x86_64::user::{self, Gateway, Pair};
use protocols::abi::{Error, Handle, Rights, Syscall, encode};

/// Pollux's answer to `syscall`.
#[derive(Debug)]
pub enum Gate {}

impl Gateway for Gate {
    extern "C" fn syscall(a0: u64, a1: u64, a2: u64, a3: u64, a4: u64, number: u64) -> Pair {
        // Each way is a function of its own with the same arguments, so that this one keeps nothing
        // and a short way does not pay for a long one's registers.
        match number {
            NULL => null(a0, a1, a2, a3, a4, number),
            CALL => fast::call(a0, a1, a2, a3, a4, number),
            REPLY_RECEIVE => fast::reply_receive(a0, a1, a2, a3, a4, number),
            _ => other(a0, a1, a2, a3, a4, number),
        }
    }
}

const NULL: u64 = Syscall::Null as u64;
const CALL: u64 = Syscall::Call as u64;
const REPLY_RECEIVE: u64 = Syscall::ReplyReceive as u64;

/// [`Syscall::Null`].
#[inline(always)]
fn null(a0: u64, a1: u64, a2: u64, a3: u64, _: u64, number: u64) -> Pair {
    let (here, me) = (platform::here(), ThreadRef::current());
    let record = here.syslog.request(me.stamp, number, [a0, a1, a2, a3]);
    finish(here, me, record, Ok(0))
}

/// The calls that are answered on the spot but are not the hottest, and all that are not.
#[inline(never)]
extern "C" fn other(a0: u64, a1: u64, a2: u64, a3: u64, a4: u64, number: u64) -> Pair {
    let (here, me) = (platform::here(), ThreadRef::current());
    let record = here.syslog.request(me.stamp, number, [a0, a1, a2, a3]);
    let Some(call) = Syscall::from_raw(number) else {
        return finish(here, me, record, Err(Error::NoSuchCall));
    };
    let a = [a0, a1, a2, a3, a4];
    match call {
        Syscall::Yield => {
            me.answer(0, 0);
            here.syslog.commit(record, 0);
            me.set_state(State::Ready);
            leave()
        }
        Syscall::Send => fast::send(here, me, record, a),
        Syscall::Reply => fast::reply(here, me, record, a),
        Syscall::Receive => fast::receive(here, me, record, a),
        Syscall::NotificationSignal => {
            let signalled = signal(me, Handle(a0 as u32), a1);
            finish(here, me, record, signalled)
        }
        Syscall::Clock => {
            let now = crate::clock::nanoseconds();
            finish_pair(here, me, record, now, crate::clock::boot_unix_seconds())
        }
        Syscall::Core => {
            let cores = platform::core_count() as u64;
            finish_pair(here, me, record, u64::from(here.core.0), cores)
        }
        Syscall::CapabilityInspect => {
            let found = me.process.handles.inspect(Handle(a0 as u32));
            let packed = found.map(|(kind, rights)| (kind as u64) << 32 | u64::from(rights.bits()));
            finish(here, me, record, packed)
        }
        _ => {
            file(me, number, &a);
            hand_to_task(here, me, record, number)
        }
    }
}

/// Files a system call's number and arguments in the caller's record, where the sixth already is.
#[inline]
pub fn file(me: ThreadRef, number: u64, a: &[u64; 5]) {
    let registers = me.registers();
    registers.rax = number;
    registers.rdi = a[0];
    registers.rsi = a[1];
    registers.rdx = a[2];
    registers.r10 = a[3];
    registers.r8 = a[4];
}

fn signal(me: ThreadRef, handle: Handle, bits: u64) -> Result<u64, Error> {
    let notification = me.process.handles.get::<Notification>(handle, Rights::SEND)?;
    if bits == 0 {
        return Err(Error::InvalidArgument);
    }
    notification.signal(bits);
    Ok(0)
}

/// Answers on the spot.
#[inline(always)]
pub fn finish(here: &Here, me: ThreadRef, record: &Record, result: Result<u64, Error>) -> Pair {
    finish_pair(here, me, record, encode(result), 0)
}

#[inline(always)]
fn finish_pair(here: &Here, me: ThreadRef, record: &Record, rax: u64, rdx: u64) -> Pair {
    here.syslog.commit(record, rax);
    if here.executor.attention() {
        step_aside(me, rax, rdx)
    }
    Pair { rax, rdx }
}

/// The answer is ready, but so is a task: the thread goes on after it.
#[cold]
#[inline(never)]
fn step_aside(me: ThreadRef, rax: u64, rdx: u64) -> ! {
    me.answer(rax, rdx);
    me.set_state(State::Ready);
    leave()
}

/// Goes on as `thread`, whose registers hold what it waited for (and SysLog its response), unless a
/// task is ready.
#[inline(always)]
pub fn switch_to(here: &Here, thread: ThreadRef) -> ! {
    if here.executor.attention() {
        thread.make_ready();
        leave()
    }
    thread.set_state(State::Running);
    // SAFETY: the thread is alive (its reference's promise), at home on this core, and its
    // registers come from a system call or were checked at its start. Its process's tables live as
    // long as it. We are in a system call, interrupts are off, and neither this function nor its
    // callers hold anything to drop.
    unsafe { user::resume(thread.user()) }
}

/// Records the response of a call that had to wait, as its thread goes on.
#[inline(always)]
pub fn log_response(here: &Here, thread: ThreadRef) {
    if let Some(number) = thread.unanswered.take() {
        let registers = thread.registers();
        let values = [registers.rdi, registers.rsi, registers.rdx, registers.r10];
        here.syslog.response(thread.stamp, u64::from(number), values, registers.rax);
    }
}

/// Leaves a system call, whose number and arguments are in the caller's registers, to the caller's
/// task.
#[inline(never)]
pub fn hand_to_task(here: &Here, me: ThreadRef, record: &Record, number: u64) -> ! {
    me.call.set(here.syslog.head());
    here.syslog.commit(record, PENDING);
    me.unanswered.set(Some(number as u8));
    me.set_state(State::Busy);
    me.leave.set(Some(Leave::Syscall));
    leave()
}

/// Ends the stay in ring 3.
#[inline(always)]
pub fn leave() -> ! {
    // SAFETY: only called from the gateway and the interrupt hooks, inside a stay with interrupts
    // off, after the current thread's registers were filed; the callers hold nothing to drop.
    unsafe { user::leave() }
}
