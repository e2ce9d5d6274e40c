//! Processes and threads come and go.

use super::AUTHORITY;
use super::aftermath::Aftermath;
use crate::process::Process;
use crate::process::limits::PROCESSES_MAX;
use crate::process::object::Object;
use crate::process::thread::Thread;
use alloc::sync::Arc;
use protocols::abi::{Error, ExitStatus};
use protocols::axiom::commit::KERNEL;
use protocols::axiom::{Budget, Cause, Commit, Name};

/// A new process, out of its parent's budget. `make` is told its number.
pub fn new_process(
    parent: u32,
    name: &str,
    budget: Budget,
    cause: Cause,
    make: impl FnOnce(u32) -> Arc<Process>,
) -> Result<Arc<Process>, Error> {
    let mut authority = AUTHORITY.lock();
    if authority.processes.len() >= PROCESSES_MAX {
        return Err(Error::LimitReached);
    }
    let (process, object) = (authority.state.next_process(), authority.state.next_object());
    let made = make(process);
    let commit = Commit::ProcessCreated { process, object, parent, budget, name: Name::new(name) };
    let mut after = Aftermath::default();
    if let Err(error) = authority.commit(cause, commit, &mut after) {
        drop(authority);
        return Err(error);
    }
    authority.objects.insert(object, Object::Process(made.clone()));
    authority.processes.insert(process, made.clone());
    drop(authority);
    after.detach();
    Ok(made)
}

/// A new thread of a process. `make` is told its number.
pub fn new_thread(
    process: u32,
    cause: Cause,
    make: impl FnOnce(u32) -> Option<Arc<Thread>>,
) -> Result<Arc<Thread>, Error> {
    let mut authority = AUTHORITY.lock();
    let object = authority.state.next_object();
    let of = authority.state.process(process).ok_or(Error::PeerGone)?;
    let thread = of.next_thread();
    let made = make(thread).ok_or(Error::OutOfMemory)?;
    let mut after = Aftermath::default();
    authority.commit(cause, Commit::ThreadCreated { process, thread, object }, &mut after)?;
    authority.objects.insert(object, Object::Thread(made.ending.clone()));
    drop(authority);
    after.detach();
    Ok(made)
}

/// A thread has ended.
pub fn end_thread(process: u32, thread: u32, code: i32, cause: Cause) {
    let mut after = Aftermath::default();
    let ended = Commit::ThreadEnded { process, thread, code };
    let ended = AUTHORITY.lock().commit(cause, ended, &mut after);
    debug_assert!(ended.is_ok(), "a thread that lives ends");
    after.detach();
}

/// A process without threads has ended: whatever it held is gone. Whom its memory goes back to, if
/// that is not the kernel, and how many pages of it: those that its own children have, they keep.
pub fn end_process(process: u32, status: ExitStatus, cause: Cause) -> Option<(Arc<Process>, u64)> {
    let commit = match status {
        ExitStatus::Exited(code) => Commit::ProcessExited { process, code },
        ExitStatus::Killed => Commit::ProcessKilled { process },
        ExitStatus::Faulted(vector) => Commit::ProcessFaulted { process, vector },
    };
    debug_assert!(process != KERNEL);
    let mut after = Aftermath::default();
    let mut authority = AUTHORITY.lock();
    let returned = authority.state.process(process).and_then(|of| {
        let parent = authority.processes.get(&of.parent)?;
        Some((parent.clone(), of.budget.frames.saturating_sub(of.given.frames)))
    });
    let ended = authority.commit(cause, commit, &mut after);
    debug_assert!(ended.is_ok(), "a process that lives ends");
    let record = authority.processes.remove(&process);
    drop(authority);
    drop(record);
    after.detach();
    returned
}
