//! The system calls on memory objects.

use super::slow::{Answer, create_object, done, value};
use crate::authority;
use crate::process::memory::MemoryObject;
use crate::process::object::Object;
use crate::process::reclaim;
use crate::process::space::Backing;
use crate::process::thread::Thread;
use alloc::sync::Arc;
use hal::memory::regions::Range;
use hal::x86_64::user::Registers;
use protocols::abi::{Error, Handle, PAGE, Protection, Rights};

/// [`protocols::abi::Syscall::MemoryMap`].
pub async fn map(thread: &Thread, r: &Registers) -> Answer {
    let protection = super::slow::protection(r.rdx)?;
    let zeros = Backing::Zeros(Range::new(r.rdi, r.rsi)?.page_count() as usize);
    let space = &thread.process.space;
    value(space.map(zeros, r.rdi, protection, |_| Ok(()), |_| ()).await?)
}

/// [`protocols::abi::Syscall::MemoryCreate`].
pub async fn create(thread: &Thread, len: u64) -> Answer {
    reclaim::keep_up().await;
    let memory = MemoryObject::create(len, &thread.process.space).await?;
    let pages = memory.bytes() / PAGE as u64;
    create_object(thread, Object::Memory(Arc::new(memory)), pages)
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
    if end > memory.bytes() {
        return Err(Error::InvalidArgument);
    }
    let pages = (r.rdx / page) as usize..(end / page) as usize;
    let pages = memory.pages()?.part(pages).ok_or(Error::InvalidArgument)?;
    let (process, cause, handle) = (&thread.process, thread.cause(), Handle(r.rdi as u32));
    // What the mapping may become by [`protocols::abi::Syscall::MemoryProtect`], not only what it is.
    let rights = rights & (Rights::SEND | Rights::RECEIVE);
    let commit = |range: Range| {
        let (at, pages) = (range.start, range.page_count());
        authority::share(process.id, handle, at, pages, rights, cause)
    };
    let undo =
        |range: Range| authority::unshare(process.id, range.start, range.page_count(), cause);
    let pages = Backing::Pages(pages, most);
    value(process.space.map(pages, r.rsi, protection, commit, undo).await?)
}

/// [`protocols::abi::Syscall::MemoryUnmap`].
pub async fn unmap(thread: &Thread, r: &Registers) -> Answer {
    let (process, cause) = (&thread.process, thread.cause());
    let commit =
        |range: Range| authority::unshare(process.id, range.start, range.page_count(), cause);
    process.space.unmap(r.rdi, r.rsi, commit).await?;
    done()
}

/// [`protocols::abi::Syscall::MemorySize`].
pub fn size(thread: &Thread, handle: u64) -> Answer {
    value(memory(thread, handle)?.bytes())
}

fn memory(thread: &Thread, handle: u64) -> Result<Arc<MemoryObject>, Error> {
    match thread.process.handles.object(Handle(handle as u32), Rights::RECEIVE)? {
        Object::Memory(memory) => Ok(memory),
        _ => Err(Error::WrongKind),
    }
}
