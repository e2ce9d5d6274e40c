//! Limits, each used up: an error for who used it up, and nobody else notices. What a child may use
//! comes out of its parent's and goes back.

use alloc::format;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use bench::abi::start::{Limits, tag};
use bench::abi::{ANY_CORE, Error, ExitStatus, FOREVER, Handle, PAGE, Protection, Rights, Syscall};
use bench::attacks::{ATTACK_IMAGE, PROGRESS};
use bench::runtime::capability::{Endpoint, Image, Notification, Process, held};
use bench::runtime::memory::{Mapping, map};
use bench::runtime::process::Command;
use bench::runtime::{Env, calls, thread};

use crate::bombs::sleep_for_ever;
use crate::checks::Checks;
use crate::messages::{EMPTY, echo};
use crate::raw::call;

/// Nanoseconds a child may take to use everything up.
const PATIENCE_NS: u64 = 20_000_000_000;
/// What a child gets that has to live on little: enough to run, far from all there is.
const SMALL: Limits = Limits { frames: 1_200, threads: 12, handles: 60, messages: 5, reserved: 0 };
/// More threads than messages, in a child that sends.
const SENDERS: u64 = 9;
/// Pages of an object: so many that they run out before the handles do.
const OBJECT_PAGES: u64 = 64;
const NO_MORE: &[Error] = &[Error::LimitReached, Error::OutOfMemory];

/// Makes one of them.
pub fn run(attack: &str, env: &mut Env) -> Option<Checks> {
    let mut checks = Checks::new();
    match attack {
        "handles" | "threads" | "frames" | "objects" | "messages" => {
            used_up(&mut checks, env, attack);
        }
        "flooded" => flooded(&mut checks, env),
        "chain" => chain(&mut checks, env),
        "children" => children(&mut checks, env),
        // Accomplices.
        "taker" => return taker(env),
        "parent" => parent(&mut checks, env),
        "link" => calls::process_exit(link(env)),
        _ => return None,
    }
    Some(checks)
}

fn image(env: &Env) -> Result<Image, Error> {
    let image = env.handle(ATTACK_IMAGE).ok_or(Error::BadHandle)?;
    let rights = Rights::CONTROL | Rights::DUPLICATE | Rights::TRANSFER;
    calls::duplicate(image, rights).map(Image::from_handle)
}

fn soon() -> u64 {
    calls::clock().map_or(FOREVER, |(now, _)| now + PATIENCE_NS)
}

/// A child that uses one thing up and keeps it: it got as much as its limit says, and with it there
/// everybody else goes on.
fn used_up(checks: &mut Checks, env: &mut Env, what: &str) {
    let Some(witness) = checks.works("echo", echo(env)) else { return };
    let Some(image) = checks.works("image", image(env)) else { return };
    let argument = format!("what={what}");
    for round in 0..2 {
        let told = Notification::create();
        let Some(told) = checks.works("notification", told) else { return };
        let child = (|| {
            let signal = told.duplicate(Rights::SEND | Rights::TRANSFER)?;
            let command = Command::new(&image, "attack").arg("limit.taker").arg(&argument);
            command.limits(SMALL).give(PROGRESS, signal).spawn()
        })();
        let Some(child) = checks.works("child", child) else { return };
        let Some(got) = checks.works("told", told.wait_until(soon())) else { return };
        let right = match what {
            "handles" => got == u64::from(SMALL.handles),
            "threads" => got == u64::from(SMALL.threads),
            "messages" => got == u64::from(SMALL.messages),
            // Its program and its stack are pages too.
            _ => (SMALL.frames / 2..SMALL.frames).contains(&got),
        };
        checks.holds((what, round, got), right);
        checks.works("others", witness.answers([round, 2, 3, 4, 5, 6]));
        checks.works("an endpoint", Endpoint::create());
        checks.works("pages", Mapping::new(16 * PAGE));
        let other = thread::spawn(ANY_CORE, || 7).and_then(thread::JoinHandle::join);
        checks.holds(other, other == Ok(7));
        checks.works("kill", child.kill());
    }
    checks.works("quit", witness.quit());
}

/// The accomplice of [`used_up`]: takes `what=` until it is refused, tells how much it has, and
/// keeps it.
fn taker(env: &mut Env) -> Option<Checks> {
    let what = env.value("what")?;
    let tell = env.handle(PROGRESS)?;
    let until_refused = |take: &mut dyn FnMut() -> Result<(), Error>| {
        let mut count = 0_u64;
        while take().is_ok() {
            count += 1;
        }
        // Once more does not help either.
        if NO_MORE.contains(&take().err()?) { Some(count) } else { None }
    };
    let before = held().ok()?.len() as u64;
    let got = match what {
        "handles" => before + until_refused(&mut || calls::notification_create().map(|_| ()))?,
        "threads" => {
            let stack = Mapping::new(PAGE).ok()?;
            let entry = sleep_for_ever as extern "C" fn() -> ! as usize as u64;
            let arguments = [entry, stack.end() as u64 - 8, 0, u64::from(ANY_CORE), 0];
            core::mem::forget(stack);
            1 + until_refused(&mut || call(Syscall::ThreadSpawn as u64, &arguments).map(|_| ()))?
        }
        "frames" => until_refused(&mut || map(0, PAGE, Protection::WRITE).map(|_| ()))?,
        "objects" => {
            let len = OBJECT_PAGES * PAGE as u64;
            OBJECT_PAGES * until_refused(&mut || calls::memory_create(len).map(|_| ()))?
        }
        "messages" => messages_sent()?,
        _ => return None,
    };
    calls::notification_signal(tell, got).ok()?;
    let _ = calls::sleep_until(FOREVER);
    None
}

/// Messages that wait, by as many threads, when more threads than that want to send.
fn messages_sent() -> Option<u64> {
    static REFUSED: AtomicU64 = AtomicU64::new(0);
    let nobody = calls::endpoint_create().ok()?;
    for _ in 0..SENDERS {
        let sender = thread::spawn(ANY_CORE, move || {
            if calls::send(nobody, &EMPTY) == Err(Error::LimitReached) {
                REFUSED.fetch_add(1, Ordering::Relaxed);
            }
        });
        sender.ok()?;
    }
    let wanted = SENDERS - u64::from(SMALL.messages);
    let end = calls::clock().ok()?.0 + PATIENCE_NS / 2;
    while REFUSED.load(Ordering::Relaxed) < wanted && calls::clock().ok()?.0 < end {
        calls::sleep_until(calls::clock().ok()?.0 + 1_000_000).ok()?;
    }
    Some(SENDERS - REFUSED.load(Ordering::Relaxed))
}

/// Capabilities pushed into somebody's table until it is full: the pusher is told, and keeps them.
fn flooded(checks: &mut Checks, env: &Env) {
    let Some(image) = checks.works("image", image(env)) else { return };
    let limits = Limits { handles: 10, ..SMALL };
    let child = Command::new(&image, "attack").arg("endless.sleep").limits(limits).spawn();
    let Some(child) = checks.works("child", child) else { return };
    let Some(root) = checks.works("root", Notification::create()) else { return };
    let mut pushed = 0;
    let refused = loop {
        let gift = root.duplicate(Rights::SEND | Rights::TRANSFER).map(Notification::into_handle);
        let Some(gift) = checks.works("gift", gift) else { return };
        match calls::transfer(child.handle(), gift) {
            Ok(_) => pushed += 1,
            Err(error) => {
                checks.works("still here", calls::inspect(gift));
                break Err::<(), _>(error);
            }
        }
    };
    checks.refused("push", refused, &[Error::LimitReached]);
    checks.holds(pushed, (1..10).contains(&pushed));
    // A revoke makes room there again.
    checks.works("revoke", root.revoke());
    let gift = root.duplicate(Rights::SEND | Rights::TRANSFER).map(Notification::into_handle);
    if let Some(gift) = checks.works("gift", gift) {
        checks.works("push", calls::transfer(child.handle(), gift));
    }
    checks.works("kill", child.kill());
}

/// Each starts the next with a share of what it has left, until there is too little for one more:
/// as often the second time as the first.
fn chain(checks: &mut Checks, env: &Env) {
    let Some(image) = checks.works("image", image(env)) else { return };
    let mut lengths: Vec<i32> = Vec::new();
    for round in 0..3 {
        let Some(first) = checks.works(round, next_link(&image)) else { return };
        match first.wait() {
            Ok(ExitStatus::Exited(length)) => lengths.push(length),
            other => checks.holds((round, other), false),
        }
    }
    checks.holds(&lengths, lengths.iter().all(|length| *length > 0 && *length == lengths[0]));
    checks.works("the program goes on", calls::null());
}

fn next_link(image: &Image) -> Result<Process, Error> {
    let rights = Rights::CONTROL | Rights::DUPLICATE | Rights::TRANSFER;
    let own = image.duplicate(rights)?;
    Command::new(image, "attack").arg("limit.link").give(ATTACK_IMAGE, own).spawn()
}

/// How many links there are from this one on. The last may have too little even to say so.
fn link(env: &Env) -> i32 {
    let next = image(env).and_then(|image| next_link(&image));
    match next.and_then(|next| next.wait()) {
        Ok(ExitStatus::Exited(length @ 1..100)) => length + 1,
        _ => 1,
    }
}

fn children(checks: &mut Checks, env: &Env) {
    let Some(image) = checks.works("image", image(env)) else { return };
    let limits = Limits { frames: 4_000, threads: 16, handles: 100, messages: 16, reserved: 0 };
    let child = (|| {
        let rights = Rights::CONTROL | Rights::DUPLICATE | Rights::TRANSFER;
        let own = image.duplicate(rights)?;
        let mut command = Command::new(&image, "attack").arg("limit.parent").limits(limits);
        // For what it has to say: this one ends with it.
        if let Some(console) = env.handle(tag::CONSOLE) {
            command = command.give(tag::CONSOLE, console);
        }
        command.give(ATTACK_IMAGE, own).spawn()
    })();
    let Some(child) = checks.works("child", child) else { return };
    let ended = child.wait_until(soon());
    checks.holds(ended, ended == Ok(ExitStatus::Exited(0)));
}

/// The accomplice of [`children`]: has children of its own, and less as long as they are there.
fn parent(checks: &mut Checks, env: &Env) {
    let Some(image) = checks.works("image", image(env)) else { return };
    let start =
        |limits: Limits| Command::new(&image, "attack").arg("endless.sleep").limits(limits).spawn();
    let all = Limits { frames: 1_000, threads: 4, handles: 40, messages: 4, reserved: 0 };
    // Nobody gives what it has not got.
    for limits in [
        Limits { frames: 4_000, ..all },
        Limits { frames: u64::MAX, ..all },
        Limits { threads: 16, ..all },
        Limits { threads: u32::MAX, ..all },
        Limits { handles: 100, ..all },
        Limits { handles: u32::MAX, ..all },
        Limits { messages: 17, ..all },
        Limits { messages: u32::MAX, ..all },
    ] {
        checks.refused(limits, start(limits), NO_MORE);
    }
    // The first time the heap may grow.
    let _ = (room_for_handles(), room_for_pages(), room_for_threads());
    let before = (room_for_handles(), room_for_pages(), room_for_threads());
    for round in 0..3 {
        let Some(child) = checks.works(round, start(all)) else { return };
        let Some(second) = checks.works(round, start(all)) else { return };
        let now = (room_for_handles(), room_for_pages(), room_for_threads());
        // Theirs, and the two capabilities to them.
        checks.holds((round, before, now), now.0 + 82 == before.0);
        checks.holds((round, before, now), now.1 + 2_000 <= before.1);
        checks.holds((round, before, now), now.2 + 8 == before.2);
        checks.works("kill", child.kill());
        checks.works("kill", second.kill());
        drop((child, second));
        let after = (room_for_handles(), room_for_pages(), room_for_threads());
        checks.holds((round, before, after), before == after);
    }
}

fn room_for_handles() -> usize {
    let mut taken: Vec<Handle> = Vec::with_capacity(200);
    while let Ok(handle) = calls::notification_create() {
        taken.push(handle);
    }
    for handle in &taken {
        let _ = calls::drop_capability(*handle);
    }
    taken.len()
}

fn room_for_pages() -> usize {
    let mut taken: Vec<Mapping> = Vec::with_capacity(512);
    while let Ok(pages) = Mapping::new(16 * PAGE) {
        taken.push(pages);
    }
    taken.len() * 16
}

fn room_for_threads() -> usize {
    let gate = calls::notification_create().unwrap_or(Handle::NONE);
    let mut taken = Vec::with_capacity(32);
    // One after the other waits for the gate, and lets the next through.
    while let Ok(thread) = thread::spawn(ANY_CORE, move || {
        while calls::notification_wait(gate, FOREVER) == Err(Error::LimitReached) {
            let _ = calls::yield_now();
        }
        calls::notification_signal(gate, 1)
    }) {
        taken.push(thread);
    }
    let count = taken.len();
    let _ = calls::notification_signal(gate, 1);
    for thread in taken {
        let _ = thread.join();
    }
    let _ = calls::drop_capability(gate);
    count
}
