//! Takes as much of one thing as it gets, until the kernel says no. What it took, the kernel takes
//! back when the process ends.

use alloc::vec::Vec;

use bench::abi::{ANY_CORE, Error, Handle, PAGE, Protection, Rights, Syscall};
use bench::attacks::ATTACK_IMAGE;
use bench::runtime::capability::{Endpoint, Image};
use bench::runtime::memory::{Mapping, map};
use bench::runtime::process::Command;
use bench::runtime::{Env, calls};

use crate::checks::Checks;
use crate::raw::call;

/// What a kernel says that has no more.
const NO_MORE: &[Error] = &[Error::LimitReached, Error::OutOfMemory];
/// More than any limit can be meant to be.
const ENDLESS: usize = 1 << 20;

/// Nanoseconds between two attempts, when everything is taken.
const HOARDING_NS: u64 = 100_000_000;

/// Makes one of them.
pub fn run(attack: &str, env: &mut Env) -> Option<Checks> {
    let mut checks = Checks::new();
    match attack {
        "threads" => threads(&mut checks),
        "processes" => processes(&mut checks, env),
        "bombs" => bombs(&mut checks, env),
        "hoard" => return hoard(),
        "memory" => memory(&mut checks),
        "objects" => return Some(crate::objects::bomb()),
        "handles" => handles(&mut checks),
        "endpoints" => until_refused(&mut checks, "endpoint", calls::endpoint_create),
        "notifications" => until_refused(&mut checks, "notification", calls::notification_create),
        _ => return None,
    }
    checks.works("the program goes on", calls::null());
    Some(checks)
}

fn until_refused(checks: &mut Checks, what: &str, mut take: impl FnMut() -> Result<Handle, Error>) {
    let mut taken = 0;
    let refusal = loop {
        match take() {
            Ok(_) if taken < ENDLESS => taken += 1,
            other => break other,
        }
    };
    bench::println!("refused after {taken} ({what})");
    checks.refused((what, taken), refusal, NO_MORE);
}

/// All threads share a stack: they sleep in the kernel and never use it.
fn threads(checks: &mut Checks) {
    let Some(stack) = checks.works("map", Mapping::new(PAGE)) else { return };
    let entry = sleep_for_ever as extern "C" fn() -> ! as usize as u64;
    let top = stack.end() as u64 - 8;
    until_refused(checks, "thread", || {
        call(Syscall::ThreadSpawn as u64, &[entry, top, 0, u64::from(ANY_CORE), 0])
            .map(|handle| Handle(handle as u32))
    });
    // The threads still use it while this one is on its way out.
    core::mem::forget(stack);
}

/// A thread that needs no stack.
#[cfg(target_os = "none")]
#[unsafe(naked)]
pub extern "C" fn sleep_for_ever() -> ! {
    core::arch::naked_asm!(
        "2:", "mov eax, {sleep}", "mov rdi, -1", "syscall", "jmp 2b",
        sleep = const Syscall::SleepUntil as u64,
    )
}

/// A thread that needs no stack.
#[cfg(not(target_os = "none"))]
pub extern "C" fn sleep_for_ever() -> ! {
    calls::thread_exit(0)
}

/// Children that sleep; killed again one by one, since a child outlives its parent.
fn processes(checks: &mut Checks, env: &mut Env) {
    let Some(image) = env.take(ATTACK_IMAGE).map(Image::from_handle) else { return };
    let mut children = Vec::new();
    let refusal = loop {
        match Command::new(&image, "attack").arg("endless.sleep").spawn() {
            Ok(child) if children.len() < ENDLESS => children.push(child),
            Ok(_) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    bench::println!("refused after {} (process)", children.len());
    checks.refused(("process", children.len()), refusal, NO_MORE);
    for child in &children {
        checks.works("kill", child.kill());
    }
}

/// Children that each take all the threads, endpoints and scattered pages they get, until not one
/// more can be started: the kernel must run out of patience before it runs out of memory.
fn bombs(checks: &mut Checks, env: &mut Env) {
    let Some(image) = env.take(ATTACK_IMAGE).map(Image::from_handle) else { return };
    let mut children = Vec::new();
    let mut refusal = Ok(());
    for _ in 0..4 {
        refusal = loop {
            match Command::new(&image, "attack").arg("bomb.hoard").spawn() {
                Ok(child) if children.len() < ENDLESS => children.push(child),
                Ok(_) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        // They go on taking meanwhile.
        let later = calls::clock().and_then(|(now, _)| calls::sleep_until(now + HOARDING_NS));
        checks.works("sleep", later);
    }
    bench::println!("refused after {} (process that hoards)", children.len());
    checks.refused(("process", children.len()), refusal, NO_MORE);
    for child in &children {
        checks.works("kill", child.kill());
    }
}

/// Takes everything and keeps it.
fn hoard() -> Option<Checks> {
    let entry = sleep_for_ever as extern "C" fn() -> ! as usize as u64;
    for at in 0_u64.. {
        // Each on a table of its own, so that it costs twice.
        let page = map(0x10_0000_0000 + (at << 21), PAGE, Protection::WRITE);
        let endpoint = calls::endpoint_create();
        let stack = page.map_or(0, |page| page as u64 + PAGE as u64 - 8);
        let arguments = [entry, stack, 0, u64::from(ANY_CORE), 0];
        let thread = call(Syscall::ThreadSpawn as u64, &arguments);
        if page.is_err() && endpoint.is_err() && thread.is_err() {
            let _ = calls::clock().and_then(|(now, _)| calls::sleep_until(now + HOARDING_NS));
        }
    }
    None
}

fn memory(checks: &mut Checks) {
    // Large pieces first, then the crumbs.
    for pages in [4096, 256, 16, 1] {
        let mut taken = 0usize;
        let refusal = loop {
            match map(0, pages * PAGE, Protection::WRITE) {
                Ok(_) if taken < ENDLESS => taken += 1,
                other => break other,
            }
        };
        bench::println!("refused after {taken} (pieces of {pages} pages)");
        checks.refused((pages, taken), refusal, NO_MORE);
    }
    let huge = map(0, 1 << 40, Protection::WRITE);
    checks.refused("a terabyte", huge, &[Error::OutOfMemory, Error::LimitReached]);
}

fn handles(checks: &mut Checks) {
    let Some(endpoint) = checks.works("endpoint", Endpoint::create()) else { return };
    until_refused(checks, "handle", || calls::duplicate(endpoint.handle(), Rights::SEND));
    // A full table refuses everything that would need a slot, and nothing else.
    checks.refused("endpoint", calls::endpoint_create(), NO_MORE);
    checks.refused("notification", calls::notification_create(), NO_MORE);
    checks.works("inspect", calls::inspect(endpoint.handle()));
}
