//! The system calls on devices that were lent: arguments and rights here,
//! [`crate::devices::lent`] does the rest.

use super::slow::{Answer, value};
use crate::authority::{self, Capability};
use crate::devices::lent::{Bell, Loan};
use crate::process::limits;
use crate::process::memory::Charge;
use crate::process::object::Object;
use crate::process::pages;
use crate::process::reclaim;
use crate::process::space::Backing;
use crate::process::thread::Thread;
use alloc::sync::Arc;
use alloc::vec::Vec;
use hal::dma::{AddressLimit, DmaDomain, SharedPages};
use hal::memory::regions;
use hal::pci::InterruptKind;
use hal::x86_64::user::{Registers, copy};
use protocols::abi::device::{
    CONFIG_BYTES, Command, INTERRUPTS_MAX, InterruptAction, InterruptKind as Code, Range,
};
use protocols::abi::{Error, Handle, MEMORY_MAX, PAGE, Protection, Rights, Syscall};
use protocols::pci::BarKind;

/// How a program has its device's memory.
const BOTH: Protection = Protection::READ.union(Protection::WRITE);

fn loan(thread: &Thread, handle: u64, rights: Rights) -> Result<Arc<Loan>, Error> {
    match thread.process.handles.object(Handle(handle as u32), rights)? {
        Object::Device(lent) => Ok(lent.loan().clone()),
        _ => Err(Error::WrongKind),
    }
}

/// Answers one of them; others there are not.
pub async fn answer(thread: &Thread, call: Syscall, r: &Registers) -> Answer {
    match call {
        Syscall::DeviceConfig => config(thread, r),
        Syscall::DeviceCommand => command(thread, r),
        Syscall::DeviceRange => range(thread, r),
        Syscall::DeviceMap => map(thread, r).await,
        Syscall::DeviceInterrupts => interrupts(thread, r).await,
        Syscall::DeviceInterruptWire => wire(thread, r),
        Syscall::DeviceInterrupt => interrupt(thread, r),
        Syscall::DeviceMemory => memory(thread, r).await,
        Syscall::DeviceRelease => release(thread, r),
        Syscall::DeviceReset => reset(thread, r).await,
        _ => Err(Error::NoSuchCall),
    }
}

fn number<T: TryFrom<u64>>(raw: u64) -> Result<T, Error> {
    T::try_from(raw).map_err(|_| Error::InvalidArgument)
}

/// [`protocols::abi::Syscall::DeviceConfig`].
fn config(thread: &Thread, r: &Registers) -> Answer {
    let loan = loan(thread, r.rdi, Rights::RECEIVE)?;
    if r.rsi >= CONFIG_BYTES || !r.rsi.is_multiple_of(4) {
        return Err(Error::InvalidArgument);
    }
    value(u64::from(loan.function().read_header(r.rsi as u16)))
}

/// [`protocols::abi::Syscall::DeviceCommand`].
fn command(thread: &Thread, r: &Registers) -> Answer {
    let loan = loan(thread, r.rdi, Rights::SEND)?;
    let command = Command::from_bits(number(r.rsi)?).ok_or(Error::InvalidArgument)?;
    match command.contains(Command::BUS_MASTER) {
        true => loan.connect()?,
        false => loan.cut_off()?,
    }
    value(0)
}

/// [`protocols::abi::Syscall::DeviceRange`].
fn range(thread: &Thread, r: &Registers) -> Answer {
    let loan = loan(thread, r.rdi, Rights::SEND)?;
    let bar = loan.function().bar(number(r.rsi)?).map_err(|_| Error::InvalidArgument)?;
    let kind = match bar.kind {
        BarKind::Memory { .. } => Range::Memory,
        BarKind::Ports => Range::Ports,
    };
    Ok((bar.bytes, kind as u64))
}

/// [`protocols::abi::Syscall::DeviceMap`].
async fn map(thread: &Thread, r: &Registers) -> Answer {
    let loan = loan(thread, r.rdi, Rights::SEND)?;
    let (index, offset, len, page) = (number(r.rsi)?, r.rdx, r.r10, PAGE as u64);
    let bar = loan.function().bar(index).map_err(|_| Error::InvalidArgument)?;
    if bar.kind == BarKind::Ports || bar.bytes < page || bar.address == 0 {
        return Err(Error::NotSupported);
    }
    let end = offset.checked_add(len).ok_or(Error::InvalidArgument)?;
    let is_whole = offset.is_multiple_of(page) && len.is_multiple_of(page);
    if len == 0 || end > bar.bytes || !is_whole {
        return Err(Error::InvalidArgument);
    }
    let pages = (offset / page) as usize..(end / page) as usize;
    let registers = loan.registers(index)?.part(pages).ok_or(Error::InvalidArgument)?;
    let (process, cause, handle) = (&thread.process, thread.cause(), Handle(r.rdi as u32));
    let commit = |range: regions::Range| {
        let (at, pages) = (range.start, range.page_count());
        authority::share(process.id, handle, at, pages, Rights::SEND | Rights::RECEIVE, cause)
    };
    let undo = |range: regions::Range| {
        authority::unshare(process.id, range.start, range.page_count(), cause);
    };
    let registers = Backing::Registers(registers);
    value(process.space.map(registers, r.r8, BOTH, commit, undo).await?)
}

/// [`protocols::abi::Syscall::DeviceInterrupts`].
async fn interrupts(thread: &Thread, r: &Registers) -> Answer {
    let loan = loan(thread, r.rdi, Rights::SEND)?;
    let count = number(r.rsi)?;
    if count == 0 || count > INTERRUPTS_MAX {
        return Err(Error::InvalidArgument);
    }
    let (count, kind) = loan.interrupts(count, thread.home.0).await?;
    let kind = match kind {
        InterruptKind::None => Code::None,
        InterruptKind::MsiX => Code::MsiX,
        InterruptKind::Msi => Code::Msi,
        InterruptKind::Line => Code::Line,
    };
    Ok((count as u64, kind as u64))
}

/// [`protocols::abi::Syscall::DeviceInterruptWire`].
fn wire(thread: &Thread, r: &Registers) -> Answer {
    let loan = loan(thread, r.rdi, Rights::SEND)?;
    let handle = Handle(r.rdx as u32);
    let notification = thread.process.handles.object(handle, Rights::SEND)?;
    let Object::Notification(notification) = notification else { return Err(Error::WrongKind) };
    if r.r10 == 0 {
        return Err(Error::InvalidArgument);
    }
    let wire = loan.wire(number(r.rsi)?)?;
    let taken = Capability::take_all(thread.process.id, &[handle], thread.cause())?;
    let capability = taken.into_iter().next().ok_or(Error::BadHandle)?;
    wire.ring(Bell { capability, notification, bits: r.r10 });
    value(0)
}

/// [`protocols::abi::Syscall::DeviceInterrupt`].
fn interrupt(thread: &Thread, r: &Registers) -> Answer {
    let loan = loan(thread, r.rdi, Rights::SEND)?;
    let action = InterruptAction::from_raw(r.rdx).ok_or(Error::InvalidArgument)?;
    loan.wire(number(r.rsi)?)?.act(action);
    value(0)
}

/// [`protocols::abi::Syscall::DeviceMemory`].
async fn memory(thread: &Thread, r: &Registers) -> Answer {
    let loan = loan(thread, r.rdi, Rights::SEND)?;
    let (len, bits, list): (usize, u32, u64) = (number(r.rsi)?, number(r.rdx)?, r.r10);
    if len == 0 || len > MEMORY_MAX || !len.is_multiple_of(PAGE) || bits > u64::BITS {
        return Err(Error::InvalidArgument);
    }
    let count = len / PAGE;
    if list != 0 {
        copy::check_range(list, count * size_of::<u64>())?;
    }
    reclaim::keep_up().await;
    limits::room_for_object()?;
    let space = &thread.process.space;
    let charge = Charge::new(count as u64, space)?;
    let domain = DmaDomain::machine().limited(AddressLimit::bits(bits));
    let pages = match list {
        0 => pages::in_a_row(&domain, count)?,
        _ => pages::anywhere(domain, count).await?,
    };
    let first = pages.page(0).ok_or(Error::OutOfMemory)?;
    // Memory of the process's own, like any other: nobody else is given it.
    let (commit, undo) = (|_| Ok(()), |_| ());
    let attached = Backing::Pages(pages.clone(), BOTH);
    let address = space.map(attached, 0, BOTH, commit, undo).await?;
    let told = if list == 0 { Ok(()) } else { tell(thread, &pages, list) };
    if let Err(error) = told.and_then(|()| loan.pin(pages, charge)) {
        space.unmap(address, len as u64, undo).await?;
        return Err(error);
    }
    Ok((address, first.0))
}

/// Writes down where the device finds each page.
fn tell(thread: &Thread, pages: &SharedPages, list: u64) -> Result<(), Error> {
    let places = (0..pages.count()).filter_map(|index| pages.page(index));
    let bytes: Vec<u8> = places.flat_map(|place| place.0.to_le_bytes()).collect();
    thread.process.space.activate();
    copy::to_user(list, &bytes)?;
    Ok(())
}

/// [`protocols::abi::Syscall::DeviceRelease`].
fn release(thread: &Thread, r: &Registers) -> Answer {
    loan(thread, r.rdi, Rights::SEND)?.unpin(r.rsi)?;
    value(0)
}

/// [`protocols::abi::Syscall::DeviceReset`].
async fn reset(thread: &Thread, r: &Registers) -> Answer {
    loan(thread, r.rdi, Rights::SEND)?.reset().await?;
    value(0)
}
