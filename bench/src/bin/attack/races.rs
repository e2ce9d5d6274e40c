//! Revokes against everything that may be done with what is revoked, at the same time, on all cores.
//! Each call is answered as if it had come before or after; afterwards nothing derived works, and
//! nothing else is lost.
//!
//! ```text
//!   revoker: ── derive, publish ── (a moment) ── revoke ── derive, publish ── …
//!   users:   ── use what is published, derive, hand on, map, drop ── … until told to stop
//! ```

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use bench::abi::message::{Message, WORDS};
use bench::abi::{Error, FOREVER, Handle, PAGE, Protection, Rights, Syscall};
use bench::runtime::capability::{Endpoint, Memory, Notification, held};
use bench::runtime::memory::{attach, unmap};
use bench::runtime::{Env, calls, thread};

use crate::checks::Checks;
use crate::messages::{EMPTY, carrying};
use crate::race_processes as processes;
use crate::random::Chance;
use crate::raw::call as call_by_number;

/// How often is revoked. On one core every change of threads is a slice of time.
const REVOKES: u64 = 400;
const REVOKES_ON_ONE: u64 = 40;
/// Most nanoseconds between a derivation and its revoke.
const MOMENT_NS: u64 = 60_000;
/// Nanoseconds after which a thread that does not stop hangs.
pub const PATIENCE_NS: u64 = 30_000_000_000;
/// Label of the last message.
pub const STOP: u32 = 0x57;
/// How the users find the handle gone, or what its receiver no longer waits for.
pub const GONE: &[Error] = &[Error::BadHandle];

/// Makes one of them.
pub fn run(attack: &str, env: &mut Env) -> Option<Checks> {
    let mut checks = Checks::new();
    let cores = env.cores;
    match attack {
        "derive" => derive(&mut checks, cores),
        "drop" => drop_while_revoked(&mut checks, cores),
        "revoke_both" => revoke_both(&mut checks, cores),
        "signal" => signal(&mut checks, cores),
        "call" => call(&mut checks, cores),
        "grant" => grant(&mut checks, cores),
        "map" => map(&mut checks, cores),
        _ => return processes::run(attack, env),
    }
    checks.works("the program goes on", calls::null());
    Some(checks)
}

/// What the revoker and the users share.
#[derive(Debug, Default)]
struct Stage {
    /// The handle to use now.
    published: AtomicU32,
    /// Revokes that are complete.
    revokes: AtomicU64,
    stop: AtomicBool,
    /// Uses that worked, and that did not.
    good: AtomicU64,
    gone: AtomicU64,
    /// An answer that nothing explains: its code, and who got it.
    strange: AtomicU64,
}

impl Stage {
    fn handle(&self) -> Handle {
        Handle(self.published.load(Ordering::Acquire))
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Counts how a use ended.
    fn note<T>(&self, place: u64, result: &Result<T, Error>, errors: &[Error]) {
        match result {
            Ok(_) => self.good.fetch_add(1, Ordering::Relaxed),
            Err(error) if errors.contains(error) => self.gone.fetch_add(1, Ordering::Relaxed),
            Err(error) => self.strange.fetch_or(place << 8 | *error as u64, Ordering::Relaxed),
        };
    }
}

/// Keeps the core for a moment.
pub fn pause(chance: &mut Chance) {
    let until = calls::clock().map_or(0, |(now, _)| now + chance.below(MOMENT_NS));
    while calls::clock().is_ok_and(|(now, _)| now < until) {
        core::hint::spin_loop();
    }
}

/// Users on every core, while `root` is derived from, that is published, and `root` is revoked.
fn race(
    checks: &mut Checks,
    cores: u32,
    root: Handle,
    user: impl Fn(&Stage, &mut Chance) + Send + Sync + 'static,
) {
    let before = held().map_or(0, |held| held.len());
    let (stage, user) = (Arc::new(Stage::default()), Arc::new(user));
    let mut users = Vec::new();
    for core in 0..cores.max(2) {
        let (stage, user) = (stage.clone(), user.clone());
        let started = thread::spawn(core % cores, move || {
            let mut chance = Chance::seeded(u64::from(core) + 1);
            while !stage.is_over() {
                user(&stage, &mut chance);
            }
        });
        users.extend(checks.works("thread", started));
    }
    let with_users = held().map_or(0, |held| held.len());
    checks.holds((before, with_users), with_users >= before + users.len());
    let mut chance = Chance::seeded(calls::clock().map_or(1, |(now, _)| now));
    let revokes = if cores > 1 { REVOKES } else { REVOKES_ON_ONE };
    for round in 0..revokes {
        let derived = calls::duplicate(root, Rights::all());
        let Some(derived) = checks.works((round, "derive"), derived) else { break };
        stage.published.store(derived.0, Ordering::Release);
        pause(&mut chance);
        checks.works((round, "revoke"), calls::revoke(root));
        stage.revokes.store(round + 1, Ordering::Release);
        checks.refused((round, "after"), calls::inspect(derived), GONE);
        if chance.below(4) == 0 {
            let _ = calls::yield_now();
        }
    }
    stage.stop.store(true, Ordering::Relaxed);
    checks.works("revoke", calls::revoke(root));
    let limit = calls::clock().map_or(FOREVER, |(now, _)| now + PATIENCE_NS);
    for user in users {
        checks.works("a user stops", user.join_by(limit));
    }
    checks.works("revoke", calls::revoke(root));
    let strange = stage.strange.load(Ordering::Relaxed);
    checks.holds(("an answer that nothing explains", strange >> 8, strange as u8), strange == 0);
    let uses = (stage.good.load(Ordering::Relaxed), stage.gone.load(Ordering::Relaxed));
    checks.holds(("both happened", uses), uses.1 > 0);
    // The root, and what was there before; nothing derived.
    let after = held().map_or(0, |held| held.len());
    checks.holds(("held", before, after), before == after);
    checks.works("the root", calls::inspect(root));
}

/// Derives from what is revoked, and from that.
fn derive(checks: &mut Checks, cores: u32) {
    let root = Notification::create();
    let Some(root) = checks.works("root", root) else { return };
    race(checks, cores, root.handle(), |stage, chance| {
        let mut from = stage.handle();
        for _ in 0..chance.below(6) {
            let made = calls::duplicate(from, Rights::all());
            stage.note(1, &made, &[Error::BadHandle, Error::LimitReached]);
            let Ok(made) = made else { return };
            from = made;
        }
        // What the threads leave is the revoke's to take.
        stage.note(2, &calls::notification_signal(from, 1), GONE);
    });
    checks.works("it still works", root.signal(1));
}

/// Gives up the middle of what is revoked.
fn drop_while_revoked(checks: &mut Checks, cores: u32) {
    let root = Notification::create();
    let Some(root) = checks.works("root", root) else { return };
    race(checks, cores, root.handle(), |stage, _| {
        let middle = calls::duplicate(stage.handle(), Rights::all());
        stage.note(1, &middle, &[Error::BadHandle, Error::LimitReached]);
        let Ok(middle) = middle else { return };
        let leaf = calls::duplicate(middle, Rights::all());
        stage.note(2, &leaf, &[Error::BadHandle, Error::LimitReached]);
        stage.note(3, &calls::drop_capability(middle), GONE);
        if let Ok(leaf) = leaf {
            stage.note(4, &calls::notification_signal(leaf, 2), GONE);
        }
    });
}

/// Revokes from below, while it is revoked from above.
fn revoke_both(checks: &mut Checks, cores: u32) {
    let root = Memory::create(PAGE);
    let Some(root) = checks.works("root", root) else { return };
    race(checks, cores, root.handle(), |stage, _| {
        let middle = calls::duplicate(stage.handle(), Rights::all());
        stage.note(1, &middle, &[Error::BadHandle, Error::LimitReached]);
        let Ok(middle) = middle else { return };
        for _ in 0..3 {
            let leaf = calls::duplicate(middle, Rights::all());
            stage.note(2, &leaf, &[Error::BadHandle, Error::LimitReached]);
        }
        stage.note(3, &calls::revoke(middle), GONE);
        stage.note(4, &calls::drop_capability(middle), GONE);
    });
}

/// Signals and looks, the calls that never wait and read the table without a lock.
fn signal(checks: &mut Checks, cores: u32) {
    let root = Notification::create();
    let Some(root) = checks.works("root", root) else { return };
    race(checks, cores, root.handle(), |stage, _| {
        for bit in 0..16 {
            stage.note(1, &calls::notification_signal(stage.handle(), 1 << bit), GONE);
        }
        stage.note(2, &calls::inspect(stage.handle()), GONE);
        let looked = calls::notification_wait(stage.handle(), 0);
        stage.note(3, &looked, &[Error::BadHandle, Error::WouldBlock, Error::LimitReached]);
    });
}

/// A server on a thread that answers with what it is sent, until [`STOP`].
pub fn serve(endpoint: Handle) -> Result<thread::JoinHandle<()>, Error> {
    thread::spawn(0, move || {
        let mut received = calls::receive(endpoint);
        loop {
            received = match received {
                Ok((_, message)) if message.info.label() == STOP => break,
                Ok((_, message)) => calls::reply_receive(endpoint, &message),
                Err(_) => calls::receive(endpoint),
            };
        }
    })
}

/// Calls a server, through what is revoked: an answer is the right one.
fn call(checks: &mut Checks, cores: u32) {
    let Some(root) = checks.works("root", Endpoint::create()) else { return };
    let Some(server) = checks.works("server", serve(root.handle())) else { return };
    race(checks, cores, root.handle(), |stage, chance| {
        let words = [chance.word(); WORDS];
        let handle = stage.handle();
        if chance.below(4) == 0 {
            stage.note(1, &calls::send(handle, &EMPTY), GONE);
            return;
        }
        let reply = calls::call(handle, &Message::new(3, words));
        stage.note(2, &reply, &[Error::BadHandle, Error::PeerGone]);
        if reply.is_ok_and(|reply| reply.words != words) {
            stage.strange.fetch_or(3 << 8, Ordering::Relaxed);
        }
    });
    checks.works("the server goes on", root.send(&Message::new(STOP, [0; WORDS])));
    checks.works("the server stops", server.join());
}

/// Hands what is revoked on in messages, between threads.
fn grant(checks: &mut Checks, cores: u32) {
    let Some(root) = checks.works("root", Notification::create()) else { return };
    let Some(post) = checks.works("post", Endpoint::create()) else { return };
    let to = post.handle();
    let keeper = thread::spawn(cores - 1, move || {
        while let Ok((_, message)) = calls::receive(to) {
            for handle in &message.capabilities[..message.info.capabilities()] {
                let _ = calls::notification_signal(*handle, 4);
                let _ = calls::drop_capability(*handle);
            }
            if message.info.label() == STOP {
                break;
            }
            // Sent, there is nobody to answer.
            let _ = calls::reply(&EMPTY);
        }
    });
    let Some(keeper) = checks.works("keeper", keeper) else { return };
    race(checks, cores, root.handle(), move |stage, chance| {
        let mut gifts = Vec::new();
        for _ in 0..1 + chance.below(4) {
            let gift = calls::duplicate(stage.handle(), Rights::all());
            stage.note(1, &gift, &[Error::BadHandle, Error::LimitReached]);
            gifts.extend(gift);
        }
        let answered = if chance.below(2) == 0 {
            calls::send(to, &carrying(&gifts))
        } else {
            calls::call(to, &carrying(&gifts)).map(|_| ())
        };
        stage.note(2, &answered, &[Error::BadHandle, Error::LimitReached, Error::PeerGone]);
        if answered.is_err() {
            // Refused, they are still here, or revoked.
            for gift in gifts {
                let _ = calls::drop_capability(gift);
            }
        }
    });
    checks.works("the keeper goes on", post.send(&Message::new(STOP, [0; WORDS])));
    checks.works("the keeper stops", keeper.join());
}

/// Maps and unmaps what is revoked, in one piece or in two. What was mapped of it cannot be reached
/// once the revoke is complete, not even by the kernel.
fn map(checks: &mut Checks, cores: u32) {
    let Some(root) = checks.works("root", Memory::create(4 * PAGE)) else { return };
    race(checks, cores, root.handle(), |stage, chance| {
        let memory = core::mem::ManuallyDrop::new(Memory::from_handle(stage.handle()));
        let revokes = stage.revokes.load(Ordering::Acquire);
        let pages = 1 + chance.below(4) as usize;
        let mapped = attach(&memory, 0, 0, pages * PAGE, Protection::WRITE);
        stage.note(1, &mapped, &[Error::BadHandle, Error::LimitReached, Error::OutOfMemory]);
        let Ok(at) = mapped else { return };
        // It may be gone already, but its addresses are not.
        let first = if chance.below(2) == 0 { pages } else { 1 };
        // SAFETY: nothing refers to the mapping.
        stage.note(2, &unsafe { unmap(at, first * PAGE) }, &[]);
        if first == pages {
            return;
        }
        let rest = at.wrapping_add(PAGE);
        while stage.revokes.load(Ordering::Acquire) == revokes && !stage.is_over() {
            let _ = calls::yield_now();
        }
        if stage.revokes.load(Ordering::Acquire) > revokes {
            let filled = call_by_number(Syscall::Random as u64, &[rest as u64, 64]);
            let missed = if filled.is_ok() { Err(Error::NotPermitted) } else { Ok(()) };
            stage.note(3, &missed, &[]);
        }
        // SAFETY: nothing refers to the mapping.
        stage.note(4, &unsafe { unmap(rest, (pages - 1) * PAGE) }, &[]);
    });
    checks.works("map", attach(&root, 0, 0, PAGE, Protection::WRITE));
}
