//! A device that was lent, asked for what its holder must not have, and used after it was taken
//! away. Needs one with whole pages of registers behind its first base address register.

use core::ptr::read_volatile;

use alloc::vec::Vec;

use bench::abi::device::{Command, INTERRUPTS_MAX, InterruptAction, PIECES_MAX};
use bench::abi::{Error, Handle, MEMORY_MAX, PAGE, Protection, Rights, Syscall, USER_END};
use bench::runtime::capability::{Endpoint, Notification};
use bench::runtime::{Env, calls};

use crate::checks::Checks;
use crate::raw::call;

const INVALID: &[Error] = &[Error::InvalidArgument];
const BUS_MASTER: u64 = Command::BUS_MASTER.bits() as u64;

/// Makes one of them. Those that have to fault come back only if they do not.
pub fn run(attack: &str, env: &mut Env) -> Option<Checks> {
    let mut checks = Checks::new();
    let tag = env.devices().next().map(|(_, tag)| tag);
    let Some(device) = tag.and_then(|tag| env.take(tag)).map(Device) else {
        bench::println!("no device");
        return Some(checks);
    };
    match attack {
        "config" => config(&mut checks, &device),
        "rights" => rights(&mut checks, &device),
        "maps" => maps(&mut checks, &device),
        "memory" => memory(&mut checks, &device),
        "memory_bomb" => memory_bomb(&mut checks, &device),
        "interrupts" => interrupts(&mut checks, &device),
        "execute" => {
            let at = device.map(0, PAGE as u64, 0).ok()?;
            // SAFETY: deliberately none: the fetch must fault, which ends the process.
            let enter: extern "C" fn() = unsafe { core::mem::transmute(at as *const ()) };
            enter();
        }
        "revoked" => {
            let rights = Rights::SEND | Rights::RECEIVE;
            let derived = Device(calls::duplicate(device.0, rights).ok()?);
            let at = derived.map(0, PAGE as u64, 0).ok()? as *const u32;
            // SAFETY: mapped.
            let _ = unsafe { read_volatile(at) };
            calls::revoke(device.0).ok()?;
            // SAFETY: deliberately none: the load must fault, which ends the process.
            let _ = unsafe { read_volatile(at) };
        }
        "unmapped" => {
            let at = device.map(0, PAGE as u64, 0).ok()?;
            call(Syscall::MemoryUnmap as u64, &[at, PAGE as u64]).ok()?;
            // SAFETY: deliberately none: the load must fault, which ends the process.
            let _ = unsafe { read_volatile(at as *const u32) };
        }
        _ => return None,
    }
    Some(checks)
}

struct Device(Handle);

impl Device {
    fn call(&self, number: Syscall, arguments: &[u64]) -> Result<u64, Error> {
        let mut all: Vec<u64> = Vec::from([u64::from(self.0.0)]);
        all.extend(arguments);
        call(number as u64, &all)
    }

    fn map(&self, offset: u64, len: u64, address: u64) -> Result<u64, Error> {
        self.call(Syscall::DeviceMap, &[0, offset, len, address])
    }

    fn memory(&self, len: usize, bits: u64, list: u64) -> Result<u64, Error> {
        self.call(Syscall::DeviceMemory, &[len as u64, bits, list])
    }

    fn works(&self) -> bool {
        self.call(Syscall::DeviceConfig, &[0]).is_ok_and(|ids| ids as u16 != u16::MAX)
    }
}

fn config(checks: &mut Checks, device: &Device) {
    let read = |offset: u64| device.call(Syscall::DeviceConfig, &[offset]);
    let ids = checks.works("its ids", read(0));
    checks.holds(("ids", ids), ids.is_some_and(|ids| ids as u16 != u16::MAX && ids >> 32 == 0));
    for offset in [1, 2, 3, 63, 64, 256, 4096, 1 << 32, u64::MAX - 3, u64::MAX] {
        checks.refused(("header", offset), read(offset), INVALID);
    }
    for bits in [2, 4, 1 << 10, u64::from(u32::MAX), 1 << 32, u64::MAX] {
        let told = device.call(Syscall::DeviceCommand, &[bits]);
        checks.refused(("command", bits), told, INVALID);
    }
    for index in [6, 7, 255, 256, 1 << 32, u64::MAX] {
        let told = device.call(Syscall::DeviceRange, &[index]);
        checks.refused(("range", index), told, INVALID);
    }
    checks.works("on the bus", device.call(Syscall::DeviceCommand, &[BUS_MASTER]));
    checks.works("off the bus", device.call(Syscall::DeviceCommand, &[0]));
    checks.holds("it goes on", device.works());
}

/// All calls that drive it, with arguments that would do.
const DRIVING: &[(Syscall, &[u64])] = &[
    (Syscall::DeviceCommand, &[BUS_MASTER]),
    (Syscall::DeviceRange, &[0]),
    (Syscall::DeviceMap, &[0, 0, PAGE as u64, 0]),
    (Syscall::DeviceInterrupts, &[1]),
    (Syscall::DeviceInterruptWire, &[0, 0, 1]),
    (Syscall::DeviceInterrupt, &[0, 0]),
    (Syscall::DeviceMemory, &[PAGE as u64, 64, 0]),
    (Syscall::DeviceRelease, &[0]),
    (Syscall::DeviceReset, &[]),
];

fn rights(checks: &mut Checks, device: &Device) {
    if let Some(only) = checks.works("read only", calls::duplicate(device.0, Rights::RECEIVE)) {
        let only = Device(only);
        checks.works("its ids", only.call(Syscall::DeviceConfig, &[0]));
        for (number, arguments) in DRIVING {
            let denied = &[Error::NotPermitted];
            checks.refused(("read only", number), only.call(*number, arguments), denied);
        }
    }
    if let Some(only) = checks.works("drive only", calls::duplicate(device.0, Rights::SEND)) {
        let only = Device(only);
        let denied = &[Error::NotPermitted];
        checks.refused("its ids", only.call(Syscall::DeviceConfig, &[0]), denied);
        checks.refused("its registers", only.map(0, PAGE as u64, 0), denied);
    }
    if let Some(other) = checks.works("endpoint", Endpoint::create()) {
        let other = Device(other.handle());
        for (number, arguments) in DRIVING {
            let kinds = &[Error::WrongKind];
            checks.refused(("no device", number), other.call(*number, arguments), kinds);
        }
    }
}

fn maps(checks: &mut Checks, device: &Device) {
    let page = PAGE as u64;
    let bytes = device.call(Syscall::DeviceRange, &[0]);
    let Some(bytes) = checks.works("its range", bytes) else { return };
    for (offset, len) in [
        (0, 0),
        (0, 1),
        (1, page),
        (page / 2, page),
        (0, bytes + page),
        (bytes, page),
        (bytes - page, 2 * page),
        (u64::MAX - page + 1, page),
        (page, u64::MAX - page + 1),
        (0, 1 << 63),
    ] {
        checks.refused(("part", offset, len), device.map(offset, len, 0), INVALID);
    }
    for index in [5, 6, 255, 1 << 32] {
        let mapped = device.call(Syscall::DeviceMap, &[index, 0, page, 0]);
        checks.refused(("index", index), mapped, &[Error::InvalidArgument, Error::NotSupported]);
    }
    let places = &[Error::BadAddress, Error::InvalidArgument, Error::RangeConflict];
    for address in [1, page / 2, USER_END, USER_END - 1, 1 << 47, u64::MAX - page + 1] {
        checks.refused(("place", address), device.map(0, page, address), places);
    }
    let Some(at) = checks.works("map", device.map(0, page, 0)) else { return };
    checks.refused("twice there", device.map(0, page, at), &[Error::RangeConflict]);
    let protect = |protection: Protection| {
        let protection = u64::from(protection.bits());
        call(Syscall::MemoryProtect as u64, &[at, page, protection])
    };
    let code = protect(Protection::READ | Protection::EXECUTE);
    checks.refused("as code", code, &[Error::NotPermitted]);
    checks.works("for reading", protect(Protection::READ));
    checks.works("for writing", protect(Protection::WRITE));
    checks.works("unmap", call(Syscall::MemoryUnmap as u64, &[at, page]));
    checks.holds("it goes on", device.works());
}

fn memory(checks: &mut Checks, device: &Device) {
    for (len, bits) in [
        (0, 64),
        (1, 64),
        (PAGE - 1, 64),
        (MEMORY_MAX + PAGE, 64),
        (usize::MAX - PAGE + 1, 64),
        (PAGE, 65),
        (PAGE, 1 << 32),
        (PAGE, u64::MAX),
    ] {
        checks.refused(("memory", len, bits), device.memory(len, bits, 0), INVALID);
    }
    for bits in [0, 1, 11] {
        let low = device.memory(PAGE, bits, 0);
        checks.refused(("below", bits), low, &[Error::OutOfMemory]);
    }
    for list in [8, 1 << 47, USER_END, u64::MAX - 7, u64::MAX] {
        let listed = device.memory(2 * PAGE, 64, list);
        checks.refused(("list", list), listed, &[Error::BadAddress]);
    }
    let mut places = [0u64; 4];
    let list = places.as_mut_ptr() as u64;
    if let Some(at) = checks.works("listed", device.memory(4 * PAGE, 28, list)) {
        let fits = |place: &u64| place.is_multiple_of(PAGE as u64) && *place < 1 << 28;
        checks.holds(places, places.iter().all(fits));
        for wrong in [places[0] + 1, places[0] ^ 1 << 40, 0, u64::MAX] {
            let released = device.call(Syscall::DeviceRelease, &[wrong]);
            checks.refused(("release", wrong), released, INVALID);
        }
        checks.works("release", device.call(Syscall::DeviceRelease, &[places[0]]));
        let again = device.call(Syscall::DeviceRelease, &[places[0]]);
        checks.refused("release twice", again, INVALID);
        // SAFETY: mapped still, and nobody else's.
        checks.holds("mapped still", unsafe { read_volatile(at as *const u64) } == 0);
        checks.works("unmap", call(Syscall::MemoryUnmap as u64, &[at, 4 * PAGE as u64]));
    }
    checks.holds("it goes on", device.works());
}

/// As much as it gives.
fn memory_bomb(checks: &mut Checks, device: &Device) {
    let limits = &[Error::LimitReached, Error::OutOfMemory];
    for len in [MEMORY_MAX, PAGE] {
        let mut pieces = 0;
        let refused = loop {
            match device.memory(len, 64, 0) {
                Ok(_) if pieces <= PIECES_MAX => pieces += 1,
                other => break other,
            }
        };
        checks.refused(("pieces", pieces), refused, limits);
    }
    checks.holds("it goes on", device.works());
}

fn interrupts(checks: &mut Checks, device: &Device) {
    for count in [0, INTERRUPTS_MAX as u64 + 1, 1 << 32, u64::MAX] {
        let had = device.call(Syscall::DeviceInterrupts, &[count]);
        checks.refused(("count", count), had, INVALID);
    }
    let act = |index: u64, action: u64| device.call(Syscall::DeviceInterrupt, &[index, action]);
    let Some(had) = checks.works("interrupts", device.call(Syscall::DeviceInterrupts, &[1])) else {
        return;
    };
    checks.holds(("had", had), had <= 1);
    for index in [1, INTERRUPTS_MAX as u64, 1 << 32, u64::MAX] {
        checks.refused(("index", index), act(index, InterruptAction::Mask as u64), INVALID);
    }
    for action in [4, 255, 256, u64::MAX] {
        checks.refused(("action", action), act(0, action), INVALID);
    }
    let wire = |notification: Handle, bits: u64| {
        device.call(Syscall::DeviceInterruptWire, &[0, u64::from(notification.0), bits])
    };
    checks.refused("no notification", wire(Handle(0), 1), &[Error::BadHandle]);
    checks.refused("itself", wire(device.0, 1), &[Error::WrongKind]);
    if let Some(bell) = checks.works("notification", Notification::create()) {
        checks.refused("no bits", wire(bell.handle(), 0), INVALID);
        let only = |rights| bell.duplicate(rights);
        if let Some(only) = checks.works("wait only", only(Rights::RECEIVE | Rights::TRANSFER)) {
            checks.refused("to wait for", wire(only.handle(), 1), &[Error::NotPermitted]);
        }
        if let Some(only) = checks.works("fixed", only(Rights::SEND)) {
            checks.refused("that stays", wire(only.handle(), 1), &[Error::NotPermitted]);
        }
        if let Some(good) = checks.works("bell", only(Rights::SEND | Rights::TRANSFER)) {
            let good = good.into_handle();
            if had == 1 && checks.works("wire", wire(good, 1)).is_some() {
                checks.refused("it moved", calls::inspect(good), &[Error::BadHandle]);
            }
        }
    }
    for action in [InterruptAction::Unmask, InterruptAction::Rearm, InterruptAction::Mask] {
        if had == 1 {
            checks.works(action, act(0, action as u64));
        }
    }
    checks.holds("it goes on", device.works());
}
