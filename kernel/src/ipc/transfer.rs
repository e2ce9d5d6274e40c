//! Moving capabilities along with a message: all of them or none.

use crate::authority::{self, Capability};
use crate::process::thread::Thread;
use alloc::vec::Vec;
use protocols::abi::message::{CAPABILITIES_MAX, Info};
use protocols::abi::{Error, Handle};

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
    let handles = &named(from)[..count];
    let moved = authority::grant_all(from.process.id, handles, to.process.id, from.cause())?;
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

/// Takes the capabilities that `from`'s message carries, for the kernel. On error everything is as
/// before.
pub fn take(from: &Thread, info: Info) -> Result<Vec<Capability>, Error> {
    if !info.is_valid() {
        return Err(Error::InvalidArgument);
    }
    Capability::take_all(from.process.id, &named(from)[..info.capabilities()], from.cause())
}

/// Gives `to` a capability along with a message of the kernel's. On error it is gone.
pub fn give(to: &Thread, capability: Capability) -> Result<(), Error> {
    let given = capability.give(to.process.id, to.cause());
    let handle = given.map_err(|(_back, error)| error)?;
    name(to, [handle, Handle::NONE, Handle::NONE, Handle::NONE]);
    Ok(())
}
