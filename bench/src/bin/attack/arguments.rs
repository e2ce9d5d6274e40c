//! Pointers, lengths and structures that are wrong, to every call that takes one.

use bench::abi::start::{ARGS_MAX, HANDLES_MAX, Limits, Slice, SpawnArgs, StartHandle, tag};
use bench::abi::{ANY_CORE, Error, Handle, PAGE, Rights, Syscall, TRANSFER_MAX, USER_END};
use bench::attacks::ATTACK_IMAGE;
use bench::runtime::capability::Endpoint;
use bench::runtime::memory::Mapping;
use bench::runtime::{Env, calls};

use crate::checks::Checks;
use crate::raw::call;

/// Refusals of a wrong structure or number.
const WRONG: &[Error] = &[Error::BadAddress, Error::InvalidArgument];
/// Refusals of a capability.
const BAD_CAPABILITY: &[Error] =
    &[Error::BadHandle, Error::NotPermitted, Error::WrongKind, Error::InvalidArgument];

/// Addresses where no user memory can be.
const NOWHERE: &[u64] = &[
    0,
    1,
    0x1000,
    0x5000_0000,
    USER_END - 1,
    USER_END,
    0x7fff_ffff_ffff,
    0x8000_0000_0000,
    0x1234_5678_9abc_def0,
    0xffff_7fff_ffff_ffff,
    0xffff_8000_0000_0000,
    0xffff_ffff_8000_0000,
    0xffff_ffff_8000_1001,
    u64::MAX - 95,
    u64::MAX - 7,
    u64::MAX,
];

/// Makes one of them.
pub fn run(attack: &str, env: &mut Env) -> Option<Checks> {
    let mut checks = Checks::new();
    match attack {
        "every_call" => every_call(&mut checks, env),
        "crossing_pages" => crossing_pages(&mut checks, env),
        "huge_lengths" => huge_lengths(&mut checks, env),
        "spawn_args" => spawn_args(&mut checks, env),
        "thread_spawn" => thread_spawn(&mut checks),
        _ => return None,
    }
    Some(checks)
}

fn handle(env: &Env, tag: u32) -> u64 {
    env.handle(tag).map_or(0, |handle| u64::from(handle.0))
}

/// Each call that reads or writes memory, with a valid handle and this pointer and length.
fn pointer_calls(env: &Env, ptr: u64, len: u64) -> [(&'static str, Result<u64, Error>); 5] {
    let (console, log) = (handle(env, tag::CONSOLE), handle(env, tag::LOG));
    let (report, image) = (handle(env, tag::REPORT), handle(env, ATTACK_IMAGE));
    [
        ("ConsoleWrite", call(Syscall::ConsoleWrite as u64, &[console, ptr, len])),
        ("LogWrite", call(Syscall::LogWrite as u64, &[log, 3, ptr, len])),
        ("Random", call(Syscall::Random as u64, &[ptr, len])),
        ("Report", call(Syscall::Report as u64, &[report, ptr, 96])),
        ("ProcessSpawn", call(Syscall::ProcessSpawn as u64, &[image, ptr])),
    ]
}

fn every_call(checks: &mut Checks, env: &Env) {
    for ptr in NOWHERE {
        for (name, result) in pointer_calls(env, *ptr, 16) {
            checks.refused((name, ptr), result, &[Error::BadAddress]);
        }
    }
    misaligned(checks, env);
    // Memory that may be read only must not be written by the kernel either.
    let constant = c"some constant text".as_ptr() as u64;
    let text = every_call as fn(&mut Checks, &Env) as usize as u64;
    for ptr in [constant, text] {
        let result = call(Syscall::Random as u64, &[ptr, 8]);
        checks.refused(("Random", ptr), result, &[Error::BadAddress]);
    }
}

/// Structures at odd addresses are read like any other: what is refused is their content.
fn misaligned(checks: &mut Checks, env: &Env) {
    let Some(mapping) = checks.works("map", Mapping::new(PAGE)) else { return };
    for odd in [1, 3, 7] {
        let at = mapping.base().wrapping_add(odd);
        let mut args = empty();
        args.reserved = 1;
        // SAFETY: the page is mapped read-write and larger; the write is an unaligned one.
        unsafe { at.cast::<SpawnArgs>().write_unaligned(args) };
        let image = handle(env, ATTACK_IMAGE);
        let spawned = call(Syscall::ProcessSpawn as u64, &[image, at as u64]);
        checks.refused(("ProcessSpawn at an odd address", odd), spawned, &[Error::InvalidArgument]);
        let report = call(Syscall::Report as u64, &[handle(env, tag::REPORT), at as u64, 96]);
        checks.refused(("Report at an odd address", odd), report, &[Error::InvalidArgument]);
        checks.works("Random", call(Syscall::Random as u64, &[at as u64, 5]));
    }
}

/// Buffers that begin in mapped memory and end outside it: nothing, or the part before, is done.
fn crossing_pages(checks: &mut Checks, env: &Env) {
    let Some(mapping) = checks.works("map", Mapping::new(2 * PAGE)) else { return };
    let middle = mapping.base() as u64 + PAGE as u64;
    checks.works("unmap", call(Syscall::MemoryUnmap as u64, &[middle, PAGE as u64]));
    for before in [1, 7, 8] {
        for (name, result) in pointer_calls(env, middle - before, 16) {
            checks.refused((name, before), result, &[Error::BadAddress]);
        }
    }
    checks.works("the rest works", call(Syscall::Random as u64, &[middle - 16, 16]));
}

/// Lengths beyond all memory are cut to what one call takes, or refused; never wrapped.
fn huge_lengths(checks: &mut Checks, env: &Env) {
    let Some(mapping) = checks.works("map", Mapping::new(2 * PAGE)) else { return };
    let base = mapping.base() as u64;
    let top = u64::MAX;
    for len in [TRANSFER_MAX as u64 + 1, 1 << 31, 1 << 32, 1 << 47, 1 << 63, top - base, top] {
        let taken = call(Syscall::Random as u64, &[base, len]);
        let right = match taken {
            Ok(bytes) => bytes == TRANSFER_MAX as u64,
            Err(error) => WRONG.contains(&error),
        };
        checks.holds(("Random", len, taken), right);
        let nowhere = call(Syscall::ConsoleWrite as u64, &[handle(env, tag::CONSOLE), 1, len]);
        checks.refused(("ConsoleWrite", len), nowhere, &[Error::BadAddress]);
        let report = call(Syscall::Report as u64, &[handle(env, tag::REPORT), base, len]);
        checks.refused(("Report", len), report, WRONG);
    }
    for level in [0, 6, 1 << 32 | 3, u64::MAX] {
        let result = call(Syscall::LogWrite as u64, &[handle(env, tag::LOG), level, base, 1]);
        checks.refused(("log level", level), result, &[Error::InvalidArgument]);
    }
    // Zeros are no metric.
    let report = call(Syscall::Report as u64, &[handle(env, tag::REPORT), base, 96]);
    checks.refused("a metric of zeros", report, WRONG);
}

/// An argument structure with nothing in it, which would start a program.
pub fn empty() -> SpawnArgs {
    SpawnArgs {
        core: ANY_CORE,
        arg_count: 0,
        handle_count: 0,
        reserved: 0,
        limits: Limits::default(),
        args: [Slice::default(); ARGS_MAX],
        handles: [StartHandle::default(); HANDLES_MAX],
    }
}

/// Argument structures that are wrong in one place each.
fn spawn_args(checks: &mut Checks, env: &Env) {
    let Some(image) = env.handle(ATTACK_IMAGE) else { return };
    let mut refused = |what: &str, errors: &[Error], change: &dyn Fn(&mut SpawnArgs)| {
        let mut args = empty();
        change(&mut args);
        checks.refused(what, calls::process_spawn(image, &args), errors);
    };
    refused("33 arguments", WRONG, &|args| args.arg_count = 33);
    refused("all arguments", WRONG, &|args| args.arg_count = u32::MAX);
    refused("33 handles", WRONG, &|args| args.handle_count = 33);
    refused("all handles", WRONG, &|args| args.handle_count = u32::MAX);
    refused("reserved", WRONG, &|args| args.reserved = 1);
    refused("reserved in the limits", WRONG, &|args| args.limits.reserved = 1);
    refused("core", WRONG, &|args| args.core = 0xffff);
    refused("core", WRONG, &|args| args.core = u32::MAX - 1);
    for ptr in NOWHERE {
        refused("argument nowhere", WRONG, &|args| {
            args.arg_count = 1;
            args.args[0] = Slice { ptr: *ptr, len: 8 };
        });
    }
    let text = [b'x'; 2048];
    let slice = |len| Slice { ptr: text.as_ptr() as u64, len };
    refused("argument too long", WRONG, &|args| {
        args.arg_count = 1;
        args.args[0] = slice(2048);
    });
    for len in [1 << 32, 1 << 63, u64::MAX] {
        refused("argument of huge length", WRONG, &|args| {
            args.arg_count = 2;
            args.args[..2].fill(slice(len));
        });
    }
    refused("arguments too long together", WRONG, &|args| {
        args.arg_count = 16;
        args.args.fill(slice(65));
    });
    for forged in [0, 1, 0xffff, 0x7fff_0000, 0xffff_ffff] {
        refused("forged handle", BAD_CAPABILITY, &|args| {
            args.handle_count = 1;
            args.handles[0] = StartHandle { handle: forged, tag: 1 };
        });
    }
    let Some(endpoint) = checks.works("endpoint", Endpoint::create()) else { return };
    let mine = endpoint.handle();
    refuse_handles(checks, image, &[mine, mine], "the same handle twice");
    refuse_handles(checks, image, &[mine, Handle(0xfff0_fff0)], "one good handle, one forged");
    if let Some(fixed) = checks.works("duplicate", endpoint.duplicate(Rights::SEND)) {
        refuse_handles(checks, image, &[mine, fixed.handle()], "a handle that may not move");
    }
    // A refused spawn takes nothing away.
    checks.works("still here", calls::inspect(mine));
}

fn refuse_handles(checks: &mut Checks, image: Handle, handles: &[Handle], what: &str) {
    let mut args = empty();
    args.handle_count = handles.len() as u32;
    for (slot, handle) in args.handles.iter_mut().zip(handles) {
        *slot = StartHandle { handle: handle.0, tag: 7 };
    }
    checks.refused(what, calls::process_spawn(image, &args), BAD_CAPABILITY);
}

/// Threads that would start in the kernel, nowhere, or with a base the CPU refuses to load.
fn thread_spawn(checks: &mut Checks) {
    let number = Syscall::ThreadSpawn as u64;
    let any = u64::from(ANY_CORE);
    let entry = thread_spawn as fn(&mut Checks) as usize as u64;
    let Some(stack) = checks.works("map", Mapping::new(PAGE)) else { return };
    let top = stack.end() as u64 - 8;
    for bad in [0x8000_0000_0000, 0xffff_8000_0000_0000, 0xffff_ffff_8000_0000, u64::MAX] {
        checks.refused(("entry", bad), call(number, &[bad, top, 0, any, 0]), WRONG);
        checks.refused(("tls", bad), call(number, &[entry, top, 0, any, bad]), WRONG);
    }
    for core in [0xffff, u64::from(u32::MAX) - 1, 1 << 32, u64::MAX] {
        let result = call(number, &[entry, top, 0, core, 0]);
        checks.refused(("core", core), result, &[Error::InvalidArgument]);
    }
}
