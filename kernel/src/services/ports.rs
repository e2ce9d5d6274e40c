//! Port ranges for programs: `--ports FIRST+COUNT`, hexadecimal. The kernel makes each access, on the
//! program's behalf; only ports of old devices that the kernel leaves alone can be given.

use crate::authority::Capability;
use crate::gateway::slow::{Answer, done, value};
use crate::process::object::{Object, PortRange};
use crate::process::thread::Thread;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use hal::mmio::{DeviceRegion, Register};
use hal::x86_64::user::Registers;
use kernel_text::gifts;
use protocols::abi::{Error, Handle, Rights, Syscall};
use thiserror_no_std::Error as Failure;

/// The word before a range.
const WORD: &str = "--ports";

/// Why a program gets no ports.
#[derive(Clone, Debug, PartialEq, Eq, Failure)]
pub enum GrantError {
    /// Nothing comes after the word, or no range.
    #[error("{WORD} of what? {WORD} FIRST+COUNT, hexadecimal, as in `70+2`")]
    NoRange,
    /// Not these.
    #[error("ports {0}: not all of one old device that the kernel leaves alone")]
    NotLendable(String),
    /// No capability can be made.
    #[error("ports {0}: {1}")]
    Refused(String, Error),
}

/// Port ranges, each with what it is called by.
type Ranges = Vec<(String, Capability)>;

/// Takes the ranges out of a program's arguments.
pub fn grants(arguments: &[String]) -> Result<(Vec<String>, Ranges), GrantError> {
    let (rest, ranges) = gifts::take_out(arguments, WORD).ok_or(GrantError::NoRange)?;
    let granted = ranges.into_iter().map(|range| {
        let hex = |text| u16::from_str_radix(text, 16).ok();
        let parts =
            range.split_once('+').and_then(|(first, count)| Some((hex(first)?, hex(count)?)));
        let (first, count) = parts.ok_or(GrantError::NoRange)?;
        let region = DeviceRegion::old_device(first, count);
        let region = region.ok_or_else(|| GrantError::NotLendable(range.into()))?;
        let object = Object::PortRange(Arc::new(PortRange { region }));
        let made = Capability::create(object, u64::from(first) | u64::from(count) << 32);
        let made = made.map_err(|error| GrantError::Refused(range.into(), error))?;
        Ok((range.into(), made))
    });
    Ok((rest, granted.collect::<Result<_, _>>()?))
}

/// [`Syscall::PortRead`] and [`Syscall::PortWrite`].
pub fn answer(thread: &Thread, call: Syscall, r: &Registers) -> Answer {
    let right = if call == Syscall::PortRead { Rights::RECEIVE } else { Rights::SEND };
    let Object::PortRange(ports) = thread.process.handles.object(Handle(r.rdi as u32), right)?
    else {
        return Err(Error::WrongKind);
    };
    let region = &ports.region;
    let end = r.rsi.checked_add(r.rdx).ok_or(Error::InvalidArgument)?;
    if end > region.bytes() as u64 {
        return Err(Error::InvalidArgument);
    }
    let at = r.rsi as usize;
    match (call, r.rdx) {
        (Syscall::PortRead, 1) => value(region.read(Register::<u8>::at(at)).into()),
        (Syscall::PortRead, 2) => value(region.read(Register::<u16>::at(at)).into()),
        (Syscall::PortRead, 4) => value(region.read(Register::<u32>::at(at)).into()),
        (Syscall::PortWrite, 1) => {
            region.write(Register::at(at), r.r10 as u8);
            done()
        }
        (Syscall::PortWrite, 2) => {
            region.write(Register::at(at), r.r10 as u16);
            done()
        }
        (Syscall::PortWrite, 4) => {
            region.write(Register::at(at), r.r10 as u32);
            done()
        }
        _ => Err(Error::InvalidArgument),
    }
}
