//! The system calls on processes and threads.

use super::object::Object;
use super::thread::{Start, Thread};
use super::{Process, reclaim, spawn};
use crate::authority;
use crate::gateway::slow::{Answer, done, handle_value, value, while_held};
use crate::platform::{self, Pollux};
use alloc::sync::Arc;
use executor::CoreId;
use hal::x86_64::user::{Registers, copy};
use protocols::abi::start::SpawnArgs;
use protocols::abi::{ANY_CORE, Error, ExitStatus, Handle, Rights, Syscall, USER_END, USER_START};

/// Answers one of them.
pub async fn answer(thread: &Arc<Thread>, call: Syscall, r: &Registers) -> Answer {
    let process = &thread.process;
    let handles = &process.handles;
    let handle = Handle(r.rdi as u32);
    match call {
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
            let code = while_held(thread, handle, r.rsi, other.code.wait()).await?;
            value(u64::from(code as u32))
        }
        Syscall::ProcessSpawn => {
            let Object::Memory(memory) = handles.object(handle, Rights::CONTROL)? else {
                return Err(Error::WrongKind);
            };
            let image = memory.image()?;
            reclaim::keep_up().await;
            let arguments = spawn_arguments(thread, r.rsi)?;
            let request = spawn::Request::from_ring3(thread, &arguments)?;
            let (_child, handle) = spawn::start(image, request).await?;
            handle_value(handle.ok_or(Error::PeerGone))
        }
        Syscall::ProcessWait => {
            let Object::Process(other) = handles.object(handle, Rights::RECEIVE)? else {
                return Err(Error::WrongKind);
            };
            if Arc::ptr_eq(&other, process) {
                return Err(Error::InvalidArgument);
            }
            Ok(while_held(thread, handle, r.rsi, other.ended.wait()).await?.to_raw())
        }
        Syscall::ProcessKill => {
            let Object::Process(other) = handles.object(handle, Rights::CONTROL)? else {
                return Err(Error::WrongKind);
            };
            other.end_by(ExitStatus::Killed, thread.cause());
            if !Arc::ptr_eq(&other, process) {
                other.ended.wait().await;
            }
            done()
        }
        _ => Err(Error::NoSuchCall),
    }
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
    let start = Start { entry, stack, argument, tls };
    let new = thread.process.new_thread(core, start, thread.cause())?;
    let number = new.stamp.thread();
    let given = authority::hold_thread(thread.process.id, number, thread.cause());
    if given.is_err() {
        // Who is told that it failed has no new thread: it ends before it begins.
        new.death.set(());
    }
    Process::launch(new);
    handle_value(given)
}

/// The architecture's name of an exception vector (Intel SDM vol. 3 table 6-1).
pub fn exception_name(vector: u8) -> &'static str {
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
