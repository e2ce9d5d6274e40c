//! Handles that are forged, stale, of the wrong kind, or without the right.

use alloc::vec::Vec;

use bench::abi::message::Message;
use bench::abi::start::tag;
use bench::abi::{ANY_CORE, Error, FOREVER, Handle, ObjectKind, PAGE, Rights, Syscall};
use bench::attacks::ATTACK_IMAGE;
use bench::probe::NOOP_IMAGE;
use bench::runtime::capability::{Endpoint, Image, Memory, Notification};
use bench::runtime::process::Command;
use bench::runtime::{Env, calls, syscall, thread};

use crate::checks::Checks;
use crate::raw::call;

/// Every call that takes a handle first, with the kind it wants and harmless other arguments.
pub const CALLS: &[(Syscall, Option<ObjectKind>)] = &[
    (Syscall::ConsoleWrite, Some(ObjectKind::Console)),
    (Syscall::LogWrite, Some(ObjectKind::Log)),
    (Syscall::ThreadJoin, Some(ObjectKind::Thread)),
    (Syscall::ProcessSpawn, Some(ObjectKind::Memory)),
    (Syscall::ProcessWait, Some(ObjectKind::Process)),
    (Syscall::ProcessKill, Some(ObjectKind::Process)),
    (Syscall::Call, Some(ObjectKind::Endpoint)),
    (Syscall::Receive, Some(ObjectKind::Endpoint)),
    (Syscall::ReplyReceive, Some(ObjectKind::Endpoint)),
    (Syscall::Send, Some(ObjectKind::Endpoint)),
    (Syscall::NotificationSignal, Some(ObjectKind::Notification)),
    (Syscall::NotificationWait, Some(ObjectKind::Notification)),
    (Syscall::CapabilityDuplicate, None),
    (Syscall::CapabilityDrop, None),
    (Syscall::CapabilityInspect, None),
    (Syscall::CapabilityTransfer, Some(ObjectKind::Process)),
    (Syscall::Report, Some(ObjectKind::Log)),
    (Syscall::MemoryAttach, Some(ObjectKind::Memory)),
    (Syscall::MemorySize, Some(ObjectKind::Memory)),
    (Syscall::PortRead, Some(ObjectKind::PortRange)),
    (Syscall::PortWrite, Some(ObjectKind::PortRange)),
    (Syscall::CapabilityRevoke, None),
    (Syscall::SysLogRead, Some(ObjectKind::Log)),
    (Syscall::CommitSync, Some(ObjectKind::Log)),
    (Syscall::DeviceConfig, Some(ObjectKind::Device)),
    (Syscall::DeviceCommand, Some(ObjectKind::Device)),
    (Syscall::DeviceRange, Some(ObjectKind::Device)),
    (Syscall::DeviceMap, Some(ObjectKind::Device)),
    (Syscall::DeviceInterrupts, Some(ObjectKind::Device)),
    (Syscall::DeviceInterruptWire, Some(ObjectKind::Device)),
    (Syscall::DeviceInterrupt, Some(ObjectKind::Device)),
    (Syscall::DeviceMemory, Some(ObjectKind::Device)),
    (Syscall::DeviceRelease, Some(ObjectKind::Device)),
    (Syscall::DeviceReset, Some(ObjectKind::Device)),
];

/// Makes one of them.
pub fn run(attack: &str, env: &mut Env) -> Option<Checks> {
    let mut checks = Checks::new();
    match attack {
        "forged" => forged(&mut checks, env),
        "stale" => stale(&mut checks),
        "wrong_kind" => wrong_kind(&mut checks, env),
        "missing_rights" => missing_rights(&mut checks, env),
        "foreign_process" => foreign_process(&mut checks, env),
        _ => return None,
    }
    Some(checks)
}

/// The call on this handle with arguments that would do, were the handle right.
pub fn on(number: Syscall, handle: u64) -> Result<u64, Error> {
    let text = "attack";
    let (ptr, len) = (text.as_ptr() as u64, text.len() as u64);
    let arguments = match number {
        Syscall::ConsoleWrite => [handle, ptr, len, 0],
        Syscall::LogWrite => [handle, 5, ptr, len],
        Syscall::Report => [handle, ptr, 96, 0],
        Syscall::NotificationSignal => [handle, 1, 0, 0],
        Syscall::CapabilityDuplicate => [handle, 0, 0, 0],
        Syscall::ProcessSpawn => [handle, 0, 0, 0],
        Syscall::Call | Syscall::Send | Syscall::Receive | Syscall::ReplyReceive => {
            [handle, 0, 0, 0]
        }
        // The deadline 0: nothing waits.
        _ => [handle, 0, 0, 0],
    };
    call(number as u64, &arguments)
}

/// Handles this process was never given.
fn forged(checks: &mut Checks, env: &Env) {
    let mut handles: Vec<u64> = Vec::from([0, 1, 0xffff, 0x7fff_0000, 0xffff_0000, 0xffff_ffff]);
    for entry in env.handles() {
        let (index, generation) = (entry.handle & 0xffff, entry.handle >> 16);
        for other in [0, generation.wrapping_sub(1), generation.wrapping_add(1), 0xffff] {
            handles.push(u64::from(other & 0xffff) << 16 | u64::from(index));
        }
    }
    handles.extend((1..64).map(|index| 0x7fff_0000 | index));
    for handle in handles {
        for (number, _) in CALLS {
            let errors = &[Error::BadHandle, Error::BadAddress];
            // A structure is needed to get as far as the handle; without one the address may be
            // what is refused.
            let errors = if matches!(number, Syscall::ProcessSpawn | Syscall::Report) {
                &errors[..]
            } else {
                &errors[..1]
            };
            checks.refused((number, handle), on(*number, handle), errors);
        }
    }
}

/// Handles that were good once.
fn stale(checks: &mut Checks) {
    let Some(first) = checks.works("notification", Notification::create()) else { return };
    let old = first.into_handle();
    checks.works("drop", calls::drop_capability(old));
    checks.refused("drop twice", calls::drop_capability(old), &[Error::BadHandle]);
    checks.refused("signal", calls::notification_signal(old, 1), &[Error::BadHandle]);
    // The slot gets a new tenant; the old handle must not open it.
    let tenants: Vec<_> = (0..32).filter_map(|_| Notification::create().ok()).collect();
    checks.holds("32 notifications", tenants.len() == 32);
    checks.refused("signal", calls::notification_signal(old, 1), &[Error::BadHandle]);
    checks.refused("inspect", calls::inspect(old), &[Error::BadHandle]);
    for tenant in &tenants {
        checks.refused("look", tenant.wait_until(0), &[Error::WouldBlock]);
    }
}

/// Every call on every kind of object but its own.
fn wrong_kind(checks: &mut Checks, env: &mut Env) {
    let endpoint = Endpoint::create().map(Endpoint::into_handle);
    let notification = Notification::create().map(Notification::into_handle);
    let sleeper = thread::spawn(ANY_CORE, || {
        let _ = calls::sleep_until(FOREVER);
    });
    let thread = sleeper.as_ref().map(thread::JoinHandle::handle).map_err(|error| *error);
    let process = env
        .take(NOOP_IMAGE)
        .map(Image::from_handle)
        .ok_or(Error::BadHandle)
        .and_then(|image| Command::new(&image, "noop").spawn())
        .map(|process| process.into_handle());
    let given = |tag| env.handle(tag).ok_or(Error::BadHandle);
    for (kind, handle) in [
        (ObjectKind::Endpoint, endpoint),
        (ObjectKind::Notification, notification),
        (ObjectKind::Memory, Memory::create(PAGE).map(Memory::into_handle)),
        (ObjectKind::Thread, thread),
        (ObjectKind::Process, process),
        (ObjectKind::Console, given(tag::CONSOLE)),
        (ObjectKind::Log, given(tag::LOG)),
        (ObjectKind::Log, given(tag::REPORT)),
        (ObjectKind::Memory, given(ATTACK_IMAGE)),
    ] {
        let Some(handle) = checks.works(kind, handle) else { continue };
        let inspected = calls::inspect(handle).map(|(kind, _)| kind);
        checks.holds((kind, inspected), inspected == Ok(kind));
        for (number, wanted) in CALLS {
            if wanted.is_none_or(|wanted| wanted == kind) {
                continue;
            }
            // The right may be missing as well; and some need a structure to get that far.
            let errors = &[Error::WrongKind, Error::NotPermitted, Error::BadAddress];
            checks.refused((number, kind), on(*number, u64::from(handle.0)), errors);
        }
    }
}

/// Capabilities without the right a call needs, and attempts to widen one.
fn missing_rights(checks: &mut Checks, env: &mut Env) {
    let denied = &[Error::NotPermitted];
    let message = Message::new(0, [0; 6]);
    let Some(endpoint) = checks.works("endpoint", Endpoint::create()) else { return };
    if let Some(only) = checks.works("receive only", endpoint.duplicate(Rights::RECEIVE)) {
        checks.refused("call", only.call(&message), denied);
        checks.refused("send", only.send(&message), denied);
        checks.refused("widen", only.duplicate(Rights::SEND), denied);
        checks.refused("duplicate", only.duplicate(Rights::RECEIVE), denied);
    }
    if let Some(only) = checks.works("send only", endpoint.duplicate(Rights::SEND)) {
        checks.refused("receive", only.receive(), denied);
        let replied =
            syscall::exchange(Syscall::ReplyReceive, only.handle(), &Message::new(0, [0; 6]));
        checks.refused("reply and receive", replied, denied);
    }
    for rights in [Rights::all().bits() + 1, 1 << 31, u32::MAX] {
        let raw = call(
            Syscall::CapabilityDuplicate as u64,
            &[u64::from(endpoint.handle().0), u64::from(rights)],
        );
        checks.refused(("rights", rights), raw, &[Error::NotPermitted, Error::InvalidArgument]);
    }
    if let Some(notification) = checks.works("notification", Notification::create()) {
        if let Some(only) = checks.works("wait only", notification.duplicate(Rights::RECEIVE)) {
            checks.refused("signal", only.signal(1), denied);
        }
        if let Some(only) = checks.works("signal only", notification.duplicate(Rights::SEND)) {
            checks.refused("wait", only.wait_until(0), denied);
        }
        checks.refused("no bits", notification.signal(0), &[Error::InvalidArgument]);
    }
    if let Some(log) = env.handle(tag::LOG) {
        let read = calls::syslog_read(log, 0, 0, &mut [[0; 64]; 2]);
        checks.refused("read what all do", read, denied);
    }
    let Some(image) = env.take(NOOP_IMAGE).map(Image::from_handle) else { return };
    if let Some(process) = checks.works("spawn", Command::new(&image, "noop").spawn()) {
        if let Some(only) = checks.works("wait only", process.duplicate(Rights::RECEIVE)) {
            checks.refused("kill", only.kill(), denied);
        }
        if let Some(only) = checks.works("kill only", process.duplicate(Rights::CONTROL)) {
            checks.refused("wait", only.wait(), denied);
        }
        checks.works("wait", process.wait());
    }
    if let Some(only) = checks.works("no right", image.duplicate(Rights::empty())) {
        checks.refused("spawn", Command::new(&only, "noop").spawn(), denied);
    }
}

/// Capabilities pushed into a process that this one has no control over, or that is gone.
fn foreign_process(checks: &mut Checks, env: &mut Env) {
    let Some(image) = env.take(ATTACK_IMAGE).map(Image::from_handle) else { return };
    let child = Command::new(&image, "attack").arg("endless.sleep").spawn();
    let Some(child) = checks.works("spawn", child) else { return };
    let Some(endpoint) = checks.works("endpoint", Endpoint::create()) else { return };
    let mine = endpoint.handle();
    if let Some(only) = checks.works("wait only", child.duplicate(Rights::RECEIVE)) {
        let moved = calls::transfer(only.handle(), mine);
        checks.refused("into a foreign process", moved, &[Error::NotPermitted]);
    }
    if let Some(fixed) = checks.works("duplicate", endpoint.duplicate(Rights::SEND)) {
        let moved = calls::transfer(child.handle(), fixed.handle());
        checks.refused("one that may not move", moved, &[Error::NotPermitted]);
        checks.works("still here", calls::inspect(fixed.handle()));
    }
    let moved = calls::transfer(child.handle(), Handle(0xdead_beef));
    checks.refused("a forged one", moved, &[Error::BadHandle]);
    let good = endpoint.duplicate(Rights::SEND | Rights::TRANSFER).map(Endpoint::into_handle);
    if let Some(good) = checks.works("duplicate", good) {
        checks.works("transfer", calls::transfer(child.handle(), good));
        checks.refused("it moved", calls::inspect(good), &[Error::BadHandle]);
    }
    checks.works("kill", child.kill());
    let ended = child.wait();
    checks.holds(ended, ended == Ok(bench::abi::ExitStatus::Killed));
    let moved = calls::transfer(child.handle(), mine);
    checks.refused("into a dead process", moved, &[Error::PeerGone, Error::BadHandle]);
    checks.works("still here", calls::inspect(mine));
}
