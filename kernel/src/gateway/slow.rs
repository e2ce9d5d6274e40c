//! System calls that wait or work: each is a piece of the calling thread's task, with interrupts
//! on.

use super::{device, memory};
use crate::authority;
use crate::ipc::mail;
use crate::ipc::{Endpoint, Notification};
use crate::platform::Pollux;
use crate::process::object::Object;
use crate::process::run::{SLICE, Stay};
use crate::process::thread::{Leave, State, Thread};
use crate::process::{End, limits, reclaim};
use alloc::sync::Arc;
use alloc::vec;
use core::future::Future;
use executor::Instant;
use hal::x86_64::time::clock;
use hal::x86_64::user::{Registers, copy};
use protocols::abi::{
    Error, ExitStatus, FOREVER, Handle, Held, Protection, Rights, Syscall, TRANSFER_MAX, Takes,
    encode,
};

/// What a call answers: `rax` and `rdx`.
pub type Answer = Result<(u64, u64), Error>;

/// Runs a thread and does for it what can't be done on the spot, until it ends.
pub async fn serve(thread: &Arc<Thread>) -> End {
    let mut turn = clock::now();
    loop {
        // Calls that never wait must not keep the core from others.
        if clock::now() - turn > SLICE.ticks() {
            executor::yield_now().await;
            turn = clock::now();
        }
        match Stay(thread).await {
            Leave::Fault { vector, error, address } => {
                let rip = thread.registers().rip;
                log::warn!(
                    "{thread:?} ended by exception {vector} ({}) at {rip:#x}, error {error:#x}, address {address:#x}",
                    crate::process::calls::exception_name(vector)
                );
                return End::Process(ExitStatus::Faulted(vector));
            }
            Leave::Syscall => {
                let registers = *thread.registers();
                let Some(call) = Syscall::from_raw(registers.rax) else {
                    thread.answer(Error::NoSuchCall.to_raw(), 0);
                    thread.set_state(State::Ready);
                    continue;
                };
                match call {
                    Syscall::ThreadExit => return End::Exited(registers.rdi as i32),
                    Syscall::ProcessExit => {
                        return End::Process(ExitStatus::Exited(registers.rdi as i32));
                    }
                    Syscall::Call | Syscall::Send | Syscall::Receive | Syscall::ReplyReceive => {
                        authority::log::keep_up().await;
                        // The next stay begins when the thread comes back from the other core.
                        go_visiting(thread, call, &registers);
                    }
                    _ => {
                        let answer = answer(thread, call, &registers).await;
                        let (rax, rdx) = match answer {
                            Ok((rax, rdx)) => (encode(Ok(rax)), rdx),
                            Err(error) => (error.to_raw(), 0),
                        };
                        thread.answer(rax, rdx);
                        thread.set_state(State::Ready);
                    }
                }
            }
        }
    }
}

/// Posts the thread to its endpoint's home core, and keeps the endpoint until the thread's next
/// such visit or its end.
fn go_visiting(thread: &Arc<Thread>, call: Syscall, registers: &Registers) {
    let (rights, state) = match call {
        Syscall::Call => (Rights::SEND, State::Calling),
        Syscall::Send => (Rights::SEND, State::Sending),
        _ => (Rights::RECEIVE, State::Receiving),
    };
    match thread.process.handles.object(Handle(registers.rdi as u32), rights) {
        Ok(Object::Endpoint(endpoint)) => {
            if call == Syscall::ReplyReceive || call == Syscall::Receive {
                crate::ipc::endpoint::abandon_caller(thread);
            }
            mail::post(thread, endpoint, state);
        }
        other => {
            let error = other.err().unwrap_or(Error::WrongKind);
            thread.answer(error.to_raw(), 0);
            thread.set_state(State::Ready);
        }
    }
}

async fn answer(thread: &Arc<Thread>, call: Syscall, r: &Registers) -> Answer {
    // Whatever it commits has to be hashed and kept.
    authority::log::keep_up().await;
    let process = &thread.process;
    let handles = &process.handles;
    let handle = Handle(r.rdi as u32);
    match call {
        Syscall::SleepUntil => {
            executor::sleep_until::<Pollux>(instant(r.rdi)).await;
            done()
        }
        Syscall::MemoryMap => memory::map(thread, r).await,
        Syscall::MemoryUnmap => memory::unmap(thread, r).await,
        Syscall::MemoryProtect => {
            process.space.protect(r.rdi, r.rsi, protection(r.rdx)?).await?;
            done()
        }
        Syscall::EndpointCreate => {
            let takes = Takes::from_raw(r.rdi).ok_or(Error::InvalidArgument)?;
            reclaim::keep_up().await;
            limits::room_for_object()?;
            let endpoint = Endpoint::new(thread.home, takes);
            create_object(thread, Object::Endpoint(Arc::new(endpoint)), 0)
        }
        Syscall::NotificationCreate => {
            reclaim::keep_up().await;
            limits::room_for_object()?;
            create_object(thread, Object::Notification(Arc::new(Notification::new())), 0)
        }
        Syscall::NotificationWait => {
            let Object::Notification(notification) = handles.object(handle, Rights::RECEIVE)?
            else {
                return Err(Error::WrongKind);
            };
            let bits = match notification.take() {
                0 if r.rsi == 0 => return Err(Error::WouldBlock),
                0 => while_held(thread, handle, r.rsi, notification.wait()).await??,
                bits => bits,
            };
            Ok((0, bits))
        }
        Syscall::CapabilityDuplicate => {
            reclaim::keep_up().await;
            let rights = Rights::from_bits(r.rsi as u32).ok_or(Error::InvalidArgument)?;
            handle_value(authority::derive(process.id, handle, rights, thread.cause()))
        }
        Syscall::CapabilityDrop => {
            authority::remove(process.id, handle, thread.cause())?;
            done()
        }
        Syscall::CapabilityRevoke => {
            authority::revoke(process.id, handle, thread.cause())?.settle().await;
            done()
        }
        Syscall::CapabilityTransfer => {
            let Object::Process(other) = handles.object(handle, Rights::CONTROL)? else {
                return Err(Error::WrongKind);
            };
            let moved = Handle(r.rsi as u32);
            handle_value(authority::grant(process.id, moved, other.id, thread.cause()))
        }
        Syscall::CapabilityList => {
            let count = (r.rsi as usize).min(TRANSFER_MAX / Held::BYTES);
            let held = authority::list(process.id, r.rdx, count);
            let bytes: vec::Vec<u8> = held.iter().flat_map(|held| held.to_bytes()).collect();
            process.space.activate();
            copy::to_user(r.rdi, &bytes)?;
            count_of(held.len())
        }
        Syscall::MemoryCreate => memory::create(thread, r.rdi).await,
        Syscall::MemoryAttach => memory::attach(thread, r).await,
        Syscall::MemorySize => memory::size(thread, r.rdi),
        Syscall::ThreadSpawn
        | Syscall::ThreadJoin
        | Syscall::ProcessSpawn
        | Syscall::ProcessWait
        | Syscall::ProcessKill => crate::process::calls::answer(thread, call, r).await,
        _ if call.is_on_device() => device::answer(thread, call, r).await,
        // The rest has nothing to do with authority, or is answered on the spot.
        _ => crate::services::calls::answer(thread, call, r).await,
    }
}

pub fn done() -> Answer {
    Ok((0, 0))
}

pub fn value(rax: u64) -> Answer {
    Ok((rax, 0))
}

pub fn count_of(things: usize) -> Answer {
    Ok((things as u64, 0))
}

pub fn handle_value(handle: Result<Handle, Error>) -> Answer {
    value(u64::from(handle?.0))
}

/// Makes an object of the caller's, with a capability to it.
pub(super) fn create_object(thread: &Thread, object: Object, detail: u64) -> Answer {
    handle_value(authority::create(thread.process.id, object, detail, thread.cause()))
}

/// A deadline of ring 3 as the executor's.
fn instant(deadline_ns: u64) -> Instant {
    Instant(crate::clock::ticks_at(deadline_ns))
}

/// Waits for `future`, at most until `deadline` (nanoseconds since boot).
pub async fn until<T>(deadline: u64, future: impl Future<Output = T>) -> Result<T, Error> {
    if deadline == FOREVER {
        return Ok(future.await);
    }
    executor::timeout::<Pollux, _>(instant(deadline), future).await.map_err(|_| Error::TimedOut)
}

/// As [`until`], as long as the process holds the capability through which it waits.
pub async fn while_held<T>(
    thread: &Thread,
    handle: Handle,
    deadline: u64,
    future: impl Future<Output = T>,
) -> Result<T, Error> {
    let mut future = core::pin::pin!(until(deadline, future));
    let process = &thread.process;
    let is_held = || process.handles.inspect(handle).map(|_| ());
    process.bereft.poll_while(is_held, |context| future.as_mut().poll(context)).await?
}

pub(super) fn protection(raw: u64) -> Result<Protection, Error> {
    let bits = u32::try_from(raw).map_err(|_| Error::InvalidArgument)?;
    let protection = Protection::from_bits(bits).ok_or(Error::InvalidArgument)?;
    if protection.is_empty() || protection.contains(Protection::WRITE | Protection::EXECUTE) {
        return Err(Error::InvalidArgument);
    }
    Ok(protection)
}
