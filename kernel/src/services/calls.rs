//! System calls that are services: text, numbers and logs, in and out. Nobody's authority depends on
//! them.

use super::{commit_log, console, ports, report};
use crate::authority;
use crate::gateway::slow::{Answer, count_of, done, until, value};
use crate::logs::syslog;
use crate::process::object::Object;
use crate::process::thread::Thread;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use hal::x86_64::user::{Registers, copy};
use protocols::abi::metric::{ENCODED, Metric};
use protocols::abi::syslog::Record;
use protocols::abi::{Error, Handle, Rights, Syscall, TRANSFER_MAX};

/// Answers one of them; others there are not.
pub async fn answer(thread: &Arc<Thread>, call: Syscall, r: &Registers) -> Answer {
    let process = &thread.process;
    let handles = &process.handles;
    let handle = Handle(r.rdi as u32);
    match call {
        Syscall::ConsoleWrite => {
            let Object::Console(_) = handles.object(handle, Rights::SEND)? else {
                return Err(Error::WrongKind);
            };
            let bytes = bytes_from(thread, r.rsi, r.rdx)?;
            console::write_from(process.id, &process.name, &bytes);
            count_of(bytes.len())
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
            count_of(bytes.len())
        }
        Syscall::Random => {
            let mut bytes = vec![0; (r.rsi as usize).min(TRANSFER_MAX)];
            hal::x86_64::random::fill(&mut bytes);
            process.space.activate();
            copy::to_user(r.rdi, &bytes)?;
            count_of(bytes.len())
        }
        Syscall::SysLogRead => {
            let Object::Log(_) = handles.object(handle, Rights::RECEIVE)? else {
                return Err(Error::WrongKind);
            };
            let count = (r.r8 as usize).min(TRANSFER_MAX / Record::BYTES);
            let copied = syslog::copy(r.rsi as u32, r.rdx, count);
            let (first, records) = copied.ok_or(Error::InvalidArgument)?;
            process.space.activate();
            copy::to_user(r.r10, records.as_flattened())?;
            Ok((records.len() as u64, first))
        }
        Syscall::CommitSync => {
            let Object::Log(_) = handles.object(handle, Rights::SEND)? else {
                return Err(Error::WrongKind);
            };
            let synced = async {
                let last = authority::log::ordered().await.saturating_sub(1);
                commit_log::sync(last).await.map(|()| last)
            };
            value(until(r.rsi, synced).await?.map_err(|_| Error::NotSupported)?)
        }
        Syscall::Report => {
            let Object::Log(_) = handles.object(handle, Rights::SEND)? else {
                return Err(Error::WrongKind);
            };
            if r.rdx != ENCODED as u64 {
                return Err(Error::InvalidArgument);
            }
            let bytes = bytes_from(thread, r.rsi, r.rdx)?;
            report::record(Metric::decode(&bytes).map_err(|_| Error::InvalidArgument)?);
            done()
        }
        Syscall::PortRead | Syscall::PortWrite => ports::answer(thread, call, r),
        _ => Err(Error::NoSuchCall),
    }
}

/// Up to [`TRANSFER_MAX`] bytes of the caller's memory.
fn bytes_from(thread: &Thread, ptr: u64, len: u64) -> Result<Vec<u8>, Error> {
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    copy::check_range(ptr, len)?;
    let mut bytes = vec![0; len.min(TRANSFER_MAX)];
    thread.process.space.activate();
    copy::from_user(&mut bytes, ptr)?;
    Ok(bytes)
}
