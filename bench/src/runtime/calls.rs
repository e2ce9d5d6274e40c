//! One safe function for each system call that can't hurt its own process, on bare handles.
//!
//! What `protocols::abi::Syscall` documents holds here unchanged. The owned types in
//! [`super::capability`], [`super::process`], [`super::thread`] and [`super::memory`] are built on
//! these; calls that can break memory safety (unmap, thread spawn) live there only.

use super::syscall::{self, call0, call1, call2, call3, call4, call5};
use crate::abi::message::{Message, Sender};
use crate::abi::start::SpawnArgs;
use crate::abi::syslog::Record;
use crate::abi::{Error, ExitStatus, Handle, Held, ObjectKind, Rights, Syscall, Takes};

/// Does nothing, through the whole gateway.
#[inline(always)]
pub fn null() -> Result<(), Error> {
    // SAFETY: the call touches no memory.
    unsafe { call0(Syscall::Null) }.map(|_| ())
}

/// Ends this thread.
pub fn thread_exit(code: i32) -> ! {
    loop {
        // SAFETY: the call ends the thread; nothing of it is used afterwards.
        let _ = unsafe { call1(Syscall::ThreadExit, u64::from(code as u32)) };
    }
}

/// Ends this process.
pub fn process_exit(code: i32) -> ! {
    loop {
        // SAFETY: the call ends the process.
        let _ = unsafe { call1(Syscall::ProcessExit, u64::from(code as u32)) };
    }
}

/// Lets every other task that is ready on this core run first.
#[inline(always)]
pub fn yield_now() -> Result<(), Error> {
    // SAFETY: the call touches no memory.
    unsafe { call0(Syscall::Yield) }.map(|_| ())
}

/// Returns once the clock has reached `deadline_ns`.
pub fn sleep_until(deadline_ns: u64) -> Result<(), Error> {
    // SAFETY: the call touches no memory.
    unsafe { call1(Syscall::SleepUntil, deadline_ns) }.map(|_| ())
}

/// Nanoseconds since boot, and the UTC second of the boot.
pub fn clock() -> Result<(u64, u64), Error> {
    // SAFETY: the call touches no memory.
    unsafe { call0(Syscall::Clock) }
}

/// Writes to a console; returns the bytes taken.
pub fn console_write(console: Handle, text: &[u8]) -> Result<usize, Error> {
    let (ptr, len) = (text.as_ptr() as u64, text.len() as u64);
    // SAFETY: the kernel reads `text`, which lives over the call.
    unsafe { call3(Syscall::ConsoleWrite, u64::from(console.0), ptr, len) }.map(|(n, _)| n as usize)
}

/// Writes one record of the kernel log; `level` 1 (error) to 5 (trace).
pub fn log_write(log: Handle, level: u64, text: &[u8]) -> Result<usize, Error> {
    let (ptr, len) = (text.as_ptr() as u64, text.len() as u64);
    // SAFETY: the kernel reads `text`, which lives over the call.
    unsafe { call4(Syscall::LogWrite, u64::from(log.0), level, ptr, len) }.map(|(n, _)| n as usize)
}

/// Fills the front of `bytes` with randomness; returns how many.
pub fn random(bytes: &mut [u8]) -> Result<usize, Error> {
    let (ptr, len) = (bytes.as_mut_ptr() as u64, bytes.len() as u64);
    // SAFETY: the kernel writes into `bytes`, which is borrowed mutably over the call.
    unsafe { call2(Syscall::Random, ptr, len) }.map(|(n, _)| n as usize)
}

/// Waits for a thread's end; its exit code.
pub fn thread_join(thread: Handle, deadline_ns: u64) -> Result<i32, Error> {
    // SAFETY: the call touches no memory.
    unsafe { call2(Syscall::ThreadJoin, u64::from(thread.0), deadline_ns) }
        .map(|(code, _)| code as u32 as i32)
}

/// Starts a process. `args` may point to strings in this process's memory; the kernel checks them.
pub fn process_spawn(image: Handle, args: &SpawnArgs) -> Result<Handle, Error> {
    // SAFETY: the kernel only reads `args` and what it points to, checking every address.
    unsafe { call2(Syscall::ProcessSpawn, u64::from(image.0), &raw const *args as u64) }
        .map(|(handle, _)| Handle(handle as u32))
}

/// Waits for a process's end.
pub fn process_wait(process: Handle, deadline_ns: u64) -> Result<ExitStatus, Error> {
    // SAFETY: the call touches no memory.
    let (kind, detail) = unsafe { call2(Syscall::ProcessWait, u64::from(process.0), deadline_ns) }?;
    ExitStatus::from_raw(kind, detail).ok_or(Error::NotSupported)
}

/// Kills a process.
pub fn process_kill(process: Handle) -> Result<(), Error> {
    // SAFETY: the call touches no memory of this process (a process that kills itself ends).
    unsafe { call1(Syscall::ProcessKill, u64::from(process.0)) }.map(|_| ())
}

/// A new endpoint, at home on this core, that takes capabilities too.
pub fn endpoint_create() -> Result<Handle, Error> {
    endpoint_create_taking(Takes::Capabilities)
}

/// A new endpoint, at home on this core.
pub fn endpoint_create_taking(takes: Takes) -> Result<Handle, Error> {
    // SAFETY: the call touches no memory.
    unsafe { call1(Syscall::EndpointCreate, takes as u64) }.map(|(handle, _)| Handle(handle as u32))
}

/// Sends `message` and waits for the reply.
#[inline(always)]
pub fn call(endpoint: Handle, message: &Message) -> Result<Message, Error> {
    syscall::exchange(Syscall::Call, endpoint, message).map(|(_, reply)| reply)
}

/// Answers the caller received last.
#[inline(always)]
pub fn reply(message: &Message) -> Result<(), Error> {
    syscall::message_out(Syscall::Reply, Handle::NONE, message)
}

/// Waits for a message.
#[inline(always)]
pub fn receive(endpoint: Handle) -> Result<(Sender, Message), Error> {
    syscall::exchange(Syscall::Receive, endpoint, &Message::new(0, [0; 6]))
}

/// Answers the caller received last, then waits for the next message.
#[inline(always)]
pub fn reply_receive(endpoint: Handle, message: &Message) -> Result<(Sender, Message), Error> {
    syscall::exchange(Syscall::ReplyReceive, endpoint, message)
}

/// Sends `message` and waits until it is received.
#[inline(always)]
pub fn send(endpoint: Handle, message: &Message) -> Result<(), Error> {
    syscall::message_out(Syscall::Send, endpoint, message)
}

/// A new notification.
pub fn notification_create() -> Result<Handle, Error> {
    // SAFETY: the call touches no memory.
    unsafe { call0(Syscall::NotificationCreate) }.map(|(handle, _)| Handle(handle as u32))
}

/// Ors `bits` into the word and wakes its waiter.
#[inline(always)]
pub fn notification_signal(notification: Handle, bits: u64) -> Result<(), Error> {
    // SAFETY: the call touches no memory.
    unsafe { call2(Syscall::NotificationSignal, u64::from(notification.0), bits) }.map(|_| ())
}

/// Waits until the word is not zero, takes and clears it.
#[inline(always)]
pub fn notification_wait(notification: Handle, deadline_ns: u64) -> Result<u64, Error> {
    // SAFETY: the call touches no memory.
    unsafe { call2(Syscall::NotificationWait, u64::from(notification.0), deadline_ns) }
        .map(|(_, bits)| bits)
}

/// A second capability to the same object with a subset of the rights.
pub fn duplicate(handle: Handle, rights: Rights) -> Result<Handle, Error> {
    let (handle, rights) = (u64::from(handle.0), u64::from(rights.bits()));
    // SAFETY: the call touches no memory.
    unsafe { call2(Syscall::CapabilityDuplicate, handle, rights) }
        .map(|(handle, _)| Handle(handle as u32))
}

/// Gives a capability up.
pub fn drop_capability(handle: Handle) -> Result<(), Error> {
    // SAFETY: the call touches no memory.
    unsafe { call1(Syscall::CapabilityDrop, u64::from(handle.0)) }.map(|_| ())
}

/// Takes away all that was derived from a capability.
pub fn revoke(handle: Handle) -> Result<(), Error> {
    // SAFETY: memory that it takes away faults from then on, and its addresses stay taken until
    // they are unmapped: touching it ends the process and does nothing else.
    unsafe { call1(Syscall::CapabilityRevoke, u64::from(handle.0)) }.map(|_| ())
}

/// What this process holds, from slot `from` on, as encoded [`Held`] entries; how many there are in
/// `entries`.
pub fn list(entries: &mut [[u8; Held::BYTES]], from: usize) -> Result<usize, Error> {
    let (ptr, count) = (entries.as_mut_ptr() as u64, entries.len() as u64);
    // SAFETY: the kernel writes into `entries`, which is borrowed mutably over the call.
    unsafe { call3(Syscall::CapabilityList, ptr, count, from as u64) }.map(|(n, _)| n as usize)
}

/// Copies records of a core's SysLog from number `from` on; how many, and the first one's number.
pub fn syslog_read(
    log: Handle,
    core: u32,
    from: u64,
    records: &mut [[u8; Record::BYTES]],
) -> Result<(usize, u64), Error> {
    let (ptr, count) = (records.as_mut_ptr() as u64, records.len() as u64);
    let (log, core) = (u64::from(log.0), u64::from(core));
    // SAFETY: the kernel writes into `records`, which is borrowed mutably over the call.
    unsafe { call5(Syscall::SysLogRead, log, core, from, ptr, count) }
        .map(|(copied, first)| (copied as usize, first))
}

/// Waits until the CommitLog is durable up to now; the number of the last such commit.
pub fn commit_sync(log: Handle, deadline_ns: u64) -> Result<u64, Error> {
    // SAFETY: the call touches no memory.
    unsafe { call2(Syscall::CommitSync, u64::from(log.0), deadline_ns) }
        .map(|(sequence, _)| sequence)
}

/// What a handle of this process names, and the rights it carries.
pub fn inspect(handle: Handle) -> Result<(ObjectKind, Rights), Error> {
    // SAFETY: the call touches no memory.
    let (raw, _) = unsafe { call1(Syscall::CapabilityInspect, u64::from(handle.0)) }?;
    let kind = ObjectKind::from_raw((raw >> 32) as u8).ok_or(Error::NotSupported)?;
    Ok((kind, Rights::from_bits_truncate(raw as u32)))
}

/// Reads `width` bytes of a port range from port `offset` of it on.
pub fn port_read(ports: Handle, offset: u64, width: u64) -> Result<u64, Error> {
    // SAFETY: the call touches no memory of this process.
    unsafe { call3(Syscall::PortRead, u64::from(ports.0), offset, width) }.map(|(value, _)| value)
}

/// Writes them.
pub fn port_write(ports: Handle, offset: u64, width: u64, value: u64) -> Result<(), Error> {
    // SAFETY: the call touches no memory of this process.
    unsafe { call4(Syscall::PortWrite, u64::from(ports.0), offset, width, value) }.map(|_| ())
}

/// Moves a capability into a process this one may control; its handle there.
pub fn transfer(process: Handle, handle: Handle) -> Result<Handle, Error> {
    let (process, handle) = (u64::from(process.0), u64::from(handle.0));
    // SAFETY: the call touches no memory.
    unsafe { call2(Syscall::CapabilityTransfer, process, handle) }
        .map(|(handle, _)| Handle(handle as u32))
}

/// Hands over one encoded metric.
pub fn report(report: Handle, metric: &[u8]) -> Result<(), Error> {
    let (ptr, len) = (metric.as_ptr() as u64, metric.len() as u64);
    // SAFETY: the kernel reads `metric`, which lives over the call.
    unsafe { call3(Syscall::Report, u64::from(report.0), ptr, len) }.map(|_| ())
}

/// The core this thread lives on, and the number of cores.
pub fn core() -> Result<(u32, u32), Error> {
    // SAFETY: the call touches no memory.
    unsafe { call0(Syscall::Core) }.map(|(core, cores)| (core as u32, cores as u32))
}

/// A new memory object of `len` bytes.
pub fn memory_create(len: u64) -> Result<Handle, Error> {
    // SAFETY: the call touches no memory that is mapped.
    unsafe { call1(Syscall::MemoryCreate, len) }.map(|(handle, _)| Handle(handle as u32))
}

/// Bytes of a memory object.
pub fn memory_size(memory: Handle) -> Result<u64, Error> {
    // SAFETY: the call touches no memory.
    unsafe { call1(Syscall::MemorySize, u64::from(memory.0)) }.map(|(bytes, _)| bytes)
}
