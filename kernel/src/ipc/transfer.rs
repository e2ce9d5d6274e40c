//! Moving capabilities along with a message: all of them or none.

use crate::process::handles::HandleTable;
use crate::process::object::Capability;
use crate::process::thread::Thread;
use alloc::vec::Vec;
use protocols::abi::message::{CAPABILITIES_MAX, Info};
use protocols::abi::{Error, Handle, Rights};

/// Moves the capabilities that `from`'s registers name (as `info` counts them) into `to`'s process
/// and names them in `to`'s registers. On error everything is as before.
pub fn capabilities(from: &Thread, to: &Thread, info: Info) -> Result<(), Error> {
    if !info.is_valid() {
        return Err(Error::InvalidArgument);
    }
    let count = info.capabilities();
    if count == 0 {
        return Ok(());
    }
    let handles = named(from);
    let wanted = &handles[..count];
    let (source, target) = (&from.process.handles, &to.process.handles);
    check(source, wanted)?;
    if target.room() < count {
        return Err(Error::LimitReached);
    }
    let mut moved = [Handle::NONE; CAPABILITIES_MAX];
    for (at, handle) in wanted.iter().enumerate() {
        // Another thread of either process may have changed its table since the checks above.
        let failed = match source.remove(*handle, Rights::TRANSFER) {
            Err(error) => Some(error),
            Ok(capability) => match target.insert(capability) {
                Ok(handle) => {
                    moved[at] = handle;
                    None
                }
                Err(capability) => {
                    // Lost the race for the last slot: it goes back, under a new handle if need be.
                    drop(source.insert(capability));
                    Some(Error::LimitReached)
                }
            },
        };
        if let Some(error) = failed {
            for handle in &moved[..at] {
                if let Ok(capability) = target.remove(*handle, Rights::empty()) {
                    drop(source.insert(capability));
                }
            }
            return Err(error);
        }
    }
    name(to, moved);
    Ok(())
}

/// The handles in the registers of a thread that sends.
fn named(from: &Thread) -> [Handle; CAPABILITIES_MAX] {
    let (low, high) = (from.registers().r14, from.registers().r15);
    [low as u32, (low >> 32) as u32, high as u32, (high >> 32) as u32].map(Handle)
}

/// Names handles of its own in the registers of a thread that receives.
fn name(to: &Thread, handles: [Handle; CAPABILITIES_MAX]) {
    let pair = |low: Handle, high: Handle| u64::from(low.0) | u64::from(high.0) << 32;
    let registers = to.registers();
    registers.r14 = pair(handles[0], handles[1]);
    registers.r15 = pair(handles[2], handles[3]);
}

/// Whether all of them may be moved, each once.
fn check(source: &HandleTable, wanted: &[Handle]) -> Result<(), Error> {
    for (at, handle) in wanted.iter().enumerate() {
        let (_, rights) = source.inspect(*handle)?;
        if !rights.contains(Rights::TRANSFER) {
            return Err(Error::NotPermitted);
        }
        if wanted[..at].contains(handle) {
            return Err(Error::InvalidArgument);
        }
    }
    Ok(())
}

/// Takes the capabilities that `from`'s message carries, for the kernel. On error everything is as
/// before.
pub fn take(from: &Thread, info: Info) -> Result<Vec<Capability>, Error> {
    if !info.is_valid() {
        return Err(Error::InvalidArgument);
    }
    let handles = named(from);
    let wanted = &handles[..info.capabilities()];
    let source = &from.process.handles;
    check(source, wanted)?;
    let mut taken = Vec::with_capacity(wanted.len());
    for handle in wanted {
        match source.remove(*handle, Rights::TRANSFER) {
            Ok(capability) => taken.push(capability),
            // Another thread of the process took it away since the check.
            Err(error) => {
                taken.into_iter().for_each(|capability| drop(source.insert(capability)));
                return Err(error);
            }
        }
    }
    Ok(taken)
}

/// Gives `to` a capability along with a message of the kernel's; full, it comes back.
pub fn give(to: &Thread, capability: Capability) -> Result<(), Capability> {
    let handle = to.process.handles.insert(capability)?;
    name(to, [handle, Handle::NONE, Handle::NONE, Handle::NONE]);
    Ok(())
}
