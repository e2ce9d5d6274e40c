//! The system calls on memory objects.

use super::slow::{Answer, give, value};
use crate::process::memory::MemoryObject;
use crate::process::object::{Capability, Object};
use crate::process::reclaim;
use crate::process::thread::Thread;
use alloc::sync::Arc;
use hal::x86_64::user::Registers;
use protocols::abi::{Error, Handle, PAGE, Protection, Rights};

/// [`protocols::abi::Syscall::MemoryCreate`].
pub async fn create(thread: &Thread, len: u64) -> Answer {
    reclaim::keep_up().await;
    let memory = MemoryObject::create(len, &thread.process.space).await?;
    give(thread, Capability::new(Object::Memory(Arc::new(memory)), Rights::all()))
}

/// [`protocols::abi::Syscall::MemoryAttach`].
pub async fn attach(thread: &Thread, r: &Registers) -> Answer {
    let memory = memory(thread, r.rdi)?;
    let (_, rights) = thread.process.handles.inspect(Handle(r.rdi as u32))?;
    let protection = super::slow::protection(r.r8)?;
    let most = if rights.contains(Rights::SEND) { Protection::WRITE } else { Protection::READ };
    let most = most | Protection::READ;
    if !most.contains(protection) {
        return Err(Error::NotPermitted);
    }
    let end = r.rdx.checked_add(r.r10).ok_or(Error::InvalidArgument)?;
    let page = PAGE as u64;
    if !r.rdx.is_multiple_of(page) || !r.r10.is_multiple_of(page) {
        return Err(Error::InvalidArgument);
    }
    if end > memory.pages().bytes() as u64 {
        return Err(Error::InvalidArgument);
    }
    let pages = (r.rdx / page) as usize..(end / page) as usize;
    let pages = memory.pages().part(pages).ok_or(Error::InvalidArgument)?;
    value(thread.process.space.attach(pages, r.rsi, protection, most).await?)
}

/// [`protocols::abi::Syscall::MemorySize`].
pub fn size(thread: &Thread, handle: u64) -> Answer {
    value(memory(thread, handle)?.pages().bytes() as u64)
}

fn memory(thread: &Thread, handle: u64) -> Result<Arc<MemoryObject>, Error> {
    match thread.process.handles.object(Handle(handle as u32), Rights::RECEIVE)? {
        Object::Memory(memory) => Ok(memory),
        _ => Err(Error::WrongKind),
    }
}
