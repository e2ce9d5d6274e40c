//! System calls that wait or work: each is a piece of the calling thread's task, with interrupts
//! on.

use super::memory;
use crate::ipc::mail;
use crate::ipc::{Endpoint, Notification};
use crate::platform::{self, Pollux};
use crate::process::object::{Capability, Object};
use crate::process::run::Stay;
use crate::process::thread::{Leave, Start, State, Thread};
use crate::process::{End, limits, reclaim, spawn};
use crate::services::{console, report};
use alloc::sync::Arc;
use alloc::vec;
use core::future::Future;
use executor::{CoreId, Instant};
use hal::x86_64::user::{Registers, copy};
use protocols::abi::metric::{ENCODED, Metric};
use protocols::abi::start::SpawnArgs;
use protocols::abi::{
    ANY_CORE, Error, ExitStatus, FOREVER, Handle, Protection, Rights, Syscall, TRANSFER_MAX,
    USER_END, USER_START, encode,
};

/// What a call answers: `rax` and `rdx`.
pub(super) type Answer = Result<(u64, u64), Error>;

/// Runs a thread and does for it what can't be done on the spot, until it ends.
pub async fn serve(thread: &Arc<Thread>) -> End {
    loop {
        match Stay(thread).await {
            Leave::Fault { vector, error, address } => {
                let rip = thread.registers().rip;
                log::warn!(
                    "{thread:?} ended by exception {vector} ({}) at {rip:#x}, error {error:#x}, address {address:#x}",
                    exception_name(vector)
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
    let process = &thread.process;
    let handles = &process.handles;
    let handle = Handle(r.rdi as u32);
    match call {
        Syscall::SleepUntil => {
            executor::sleep_until::<Pollux>(instant(r.rdi)).await;
            done()
        }
        Syscall::ConsoleWrite => {
            let Object::Console(_) = handles.object(handle, Rights::SEND)? else {
                return Err(Error::WrongKind);
            };
            let bytes = bytes_from(thread, r.rsi, r.rdx)?;
            console::write_from(process.id, &process.name, &bytes);
            count(bytes.len())
        }
        Syscall::LogWrite => {
            let Object::Log(_) = handles.object(handle, Rights::SEND)? else {
                return Err(Error::WrongKind);
            };
            let level = match r.rsi {
                1 => log::Level::Error,
                2 => log::Level::Warn,
                3 => log::Level::Info,
                4 => log::Level::Debug,
                5 => log::Level::Trace,
                _ => return Err(Error::InvalidArgument),
            };
            let bytes = bytes_from(thread, r.rdx, r.r10)?;
            log::log!(target: "ring3", level, "{}: {}", process.name, console::Shown(&bytes));
            count(bytes.len())
        }
        Syscall::Random => {
            let mut bytes = vec![0; (r.rsi as usize).min(TRANSFER_MAX)];
            hal::x86_64::random::fill(&mut bytes);
            process.space.activate();
            copy::to_user(r.rdi, &bytes)?;
            count(bytes.len())
        }
        Syscall::MemoryMap => value(process.space.map(r.rdi, r.rsi, protection(r.rdx)?).await?),
        Syscall::MemoryUnmap => {
            process.space.unmap(r.rdi, r.rsi).await?;
            done()
        }
        Syscall::MemoryProtect => {
            process.space.protect(r.rdi, r.rsi, protection(r.rdx)?).await?;
            done()
        }
        Syscall::ThreadSpawn => {
            reclaim::keep_up().await;
            thread_spawn(thread, r)
        }
        Syscall::ThreadJoin => {
            let Object::Thread(other) = handles.object(handle, Rights::RECEIVE)? else {
                return Err(Error::WrongKind);
            };
            if Arc::ptr_eq(&other, &thread.ending) {
                return Err(Error::InvalidArgument);
            }
            let code = until(r.rsi, other.code.wait()).await?;
            value(u64::from(code as u32))
        }
        Syscall::ProcessSpawn => {
            let Object::Image(image) = handles.object(handle, Rights::CONTROL)? else {
                return Err(Error::WrongKind);
            };
            reclaim::keep_up().await;
            let arguments = spawn_arguments(thread, r.rsi)?;
            let request = spawn::Request::from_ring3(thread, &arguments)?;
            let child = spawn::start(&image, request).await?;
            let given =
                give(thread, Capability::new(Object::Process(child.clone()), Rights::all()));
            if given.is_err() {
                // Nobody could ever wait for it or kill it.
                child.end(ExitStatus::Killed);
            }
            given
        }
        Syscall::ProcessWait => {
            let Object::Process(other) = handles.object(handle, Rights::RECEIVE)? else {
                return Err(Error::WrongKind);
            };
            if Arc::ptr_eq(&other, process) {
                return Err(Error::InvalidArgument);
            }
            Ok(until(r.rsi, other.ended.wait()).await?.to_raw())
        }
        Syscall::ProcessKill => {
            let Object::Process(other) = handles.object(handle, Rights::CONTROL)? else {
                return Err(Error::WrongKind);
            };
            other.end(ExitStatus::Killed);
            if !Arc::ptr_eq(&other, process) {
                other.ended.wait().await;
            }
            done()
        }
        Syscall::EndpointCreate => {
            reclaim::keep_up().await;
            limits::room_for_object()?;
            let endpoint = Endpoint::new(thread.home);
            give(thread, Capability::new(Object::Endpoint(Arc::new(endpoint)), Rights::all()))
        }
        Syscall::NotificationCreate => {
            reclaim::keep_up().await;
            limits::room_for_object()?;
            let notification = Arc::new(Notification::new());
            give(thread, Capability::new(Object::Notification(notification), Rights::all()))
        }
        Syscall::NotificationWait => {
            let Object::Notification(notification) = handles.object(handle, Rights::RECEIVE)?
            else {
                return Err(Error::WrongKind);
            };
            let bits = match notification.take() {
                0 if r.rsi == 0 => return Err(Error::WouldBlock),
                0 => until(r.rsi, notification.wait()).await??,
                bits => bits,
            };
            Ok((0, bits))
        }
        Syscall::CapabilityDuplicate => {
            reclaim::keep_up().await;
            let rights = Rights::from_bits(r.rsi as u32).ok_or(Error::InvalidArgument)?;
            let second = handles.duplicate(handle, rights)?;
            give(thread, second)
        }
        Syscall::CapabilityDrop => {
            drop(handles.remove(handle, Rights::empty())?);
            done()
        }
        Syscall::CapabilityTransfer => {
            let Object::Process(other) = handles.object(handle, Rights::CONTROL)? else {
                return Err(Error::WrongKind);
            };
            if other.ended.get().is_some() {
                return Err(Error::PeerGone);
            }
            let moved = handles.remove(Handle(r.rsi as u32), Rights::TRANSFER)?;
            match other.handles.insert(moved) {
                Ok(there) => value(u64::from(there.0)),
                Err(back) => {
                    drop(handles.insert(back));
                    Err(if other.handles.is_closed() {
                        Error::PeerGone
                    } else {
                        Error::LimitReached
                    })
                }
            }
        }
        Syscall::Report => {
            let Object::Report(_) = handles.object(handle, Rights::SEND)? else {
                return Err(Error::WrongKind);
            };
            if r.rdx != ENCODED as u64 {
                return Err(Error::InvalidArgument);
            }
            let bytes = bytes_from(thread, r.rsi, r.rdx)?;
            report::record(Metric::decode(&bytes).map_err(|_| Error::InvalidArgument)?);
            done()
        }
        Syscall::MemoryCreate => memory::create(thread, r.rdi).await,
        Syscall::MemoryAttach => memory::attach(thread, r).await,
        Syscall::MemorySize => memory::size(thread, r.rdi),
        // These are answered on the spot or above.
        _ => Err(Error::NoSuchCall),
    }
}

fn done() -> Answer {
    Ok((0, 0))
}

pub(super) fn value(rax: u64) -> Answer {
    Ok((rax, 0))
}

fn count(bytes: usize) -> Answer {
    Ok((bytes as u64, 0))
}

/// Puts a new capability into the caller's table.
pub(super) fn give(thread: &Thread, capability: Capability) -> Answer {
    match thread.process.handles.insert(capability) {
        Ok(handle) => value(u64::from(handle.0)),
        Err(_refused) => Err(Error::LimitReached),
    }
}

/// A deadline of ring 3 as the executor's.
fn instant(deadline_ns: u64) -> Instant {
    Instant(crate::clock::ticks_at(deadline_ns))
}

/// Waits for `future`, at most until `deadline` (nanoseconds since boot).
async fn until<T>(deadline: u64, future: impl Future<Output = T>) -> Result<T, Error> {
    if deadline == FOREVER {
        return Ok(future.await);
    }
    executor::timeout::<Pollux, _>(instant(deadline), future).await.map_err(|_| Error::TimedOut)
}

pub(super) fn protection(raw: u64) -> Result<Protection, Error> {
    let bits = u32::try_from(raw).map_err(|_| Error::InvalidArgument)?;
    let protection = Protection::from_bits(bits).ok_or(Error::InvalidArgument)?;
    if protection.is_empty() || protection.contains(Protection::WRITE | Protection::EXECUTE) {
        return Err(Error::InvalidArgument);
    }
    Ok(protection)
}

/// Up to [`TRANSFER_MAX`] bytes of the caller's memory.
fn bytes_from(thread: &Thread, ptr: u64, len: u64) -> Result<vec::Vec<u8>, Error> {
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    copy::check_range(ptr, len)?;
    let mut bytes = vec![0; len.min(TRANSFER_MAX)];
    thread.process.space.activate();
    copy::from_user(&mut bytes, ptr)?;
    Ok(bytes)
}

fn spawn_arguments(thread: &Thread, ptr: u64) -> Result<SpawnArgs, Error> {
    let mut bytes = [0; size_of::<SpawnArgs>()];
    thread.process.space.activate();
    copy::from_user(&mut bytes, ptr)?;
    Ok(SpawnArgs::from_bytes(&bytes))
}

/// The core a program asked for.
pub fn core_of(asked: u32) -> Result<CoreId, Error> {
    if asked == ANY_CORE {
        return Ok(executor::least_loaded::<Pollux>());
    }
    if (asked as usize) < platform::core_count() {
        Ok(CoreId(asked as u16))
    } else {
        Err(Error::InvalidArgument)
    }
}

fn thread_spawn(thread: &Arc<Thread>, r: &Registers) -> Answer {
    let in_user = |address: u64| (USER_START..USER_END).contains(&address);
    let (entry, stack, argument, tls) = (r.rdi, r.rsi, r.rdx, r.r8);
    // The stack pointer may be anything it can use; FS base must be canonical or loading it would
    // fault.
    if !in_user(entry) || !in_user(tls.max(USER_START)) {
        return Err(Error::BadAddress);
    }
    let core = core_of(u32::try_from(r.r10).map_err(|_| Error::InvalidArgument)?)?;
    if thread.process.handles.room() == 0 {
        return Err(Error::LimitReached);
    }
    let start = Start { entry, stack, argument, tls };
    let new = thread.process.spawn_thread(core, start)?;
    let given = give(thread, Capability::new(Object::Thread(new.ending.clone()), Rights::all()));
    if given.is_err() {
        // The last slot went to another thread's call meanwhile. Who is told that it failed has no
        // new thread.
        new.death.set(());
    }
    given
}

/// The architecture's name of an exception vector (Intel SDM vol. 3 table 6-1).
fn exception_name(vector: u8) -> &'static str {
    match vector {
        0 => "divide error",
        1 => "debug",
        3 => "breakpoint",
        4 => "overflow",
        5 => "bound range",
        6 => "invalid opcode",
        7 => "device not available",
        10 => "invalid TSS",
        11 => "segment not present",
        12 => "stack fault",
        13 => "general protection",
        14 => "page fault",
        16 => "x87 error",
        17 => "alignment check",
        19 => "SIMD error",
        21 => "control protection",
        _ => "other",
    }
}
