//! Moving capabilities along with a message: all of them or none.

use crate::process::thread::Thread;
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
    let (low, high) = (from.registers().r14, from.registers().r15);
    let handles = [low as u32, (low >> 32) as u32, high as u32, (high >> 32) as u32].map(Handle);
    let wanted = &handles[..count];
    let (source, target) = (&from.process.handles, &to.process.handles);
    for (at, handle) in wanted.iter().enumerate() {
        let (_, rights) = source.inspect(*handle)?;
        if !rights.contains(Rights::TRANSFER) {
            return Err(Error::NotPermitted);
        }
        if wanted[..at].contains(handle) {
            return Err(Error::InvalidArgument);
        }
    }
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
    let pair = |low: Handle, high: Handle| u64::from(low.0) | u64::from(high.0) << 32;
    let registers = to.registers();
    registers.r14 = pair(moved[0], moved[1]);
    registers.r15 = pair(moved[2], moved[3]);
    Ok(())
}
