//! What others may see of authority. Nothing here changes it.

use super::{AUTHORITY, KERNEL_TABLE};
use crate::process::handles::HandleTable;
use alloc::vec::Vec;
use protocols::abi::Held;
use protocols::axiom::{Budget, State};

/// What the kernel itself holds, for those who only look.
pub fn kernel_table() -> &'static HandleTable {
    &KERNEL_TABLE
}

/// What is left of a process's budget. `None`: it has ended.
pub fn left(process: u32) -> Option<Budget> {
    let authority = AUTHORITY.lock();
    let of = authority.state.process(process)?;
    let used = Budget {
        threads: of.threads.len() as u32,
        handles: authority.state.held(process).count() as u32,
        ..Budget::default()
    };
    of.budget.without(of.given)?.without(used)
}

/// Up to `count` of the capabilities that a process holds, from slot `from` on.
pub fn list(process: u32, from: u64, count: usize) -> Vec<Held> {
    let authority = AUTHORITY.lock();
    let state = &authority.state;
    let held = state.held(process).skip_while(|(handle, _)| (handle.index() as u64) < from);
    let described = held.filter_map(|(handle, id)| {
        let held = state.capability(id)?;
        let kind = state.object(held.object)?.kind;
        Some(Held { handle, kind, rights: held.rights })
    });
    described.take(count).collect()
}

/// Looks at the state. Nothing else happens meanwhile: be quick.
pub fn look<R>(at: impl FnOnce(&State) -> R) -> R {
    at(&AUTHORITY.lock().state)
}
