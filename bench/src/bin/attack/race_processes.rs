//! Races of revokes against other processes: those that wait through what is revoked, and those that
//! end meanwhile.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use bench::abi::message::{Message, WORDS};
use bench::abi::{Error, ExitStatus, FOREVER, Handle, Rights};
use bench::attacks::{ACCOMPLICE, ATTACK_IMAGE, PROGRESS};
use bench::runtime::capability::{Endpoint, Image, Notification, held};
use bench::runtime::process::Command;
use bench::runtime::{Env, calls, thread};

use crate::checks::Checks;
use crate::messages::{EMPTY, start};
use crate::races::{GONE, PATIENCE_NS, STOP, pause, serve};
use crate::random::Chance;

/// Rounds of processes that use what is revoked.
const ROUNDS: u64 = 12;

/// Makes one of them.
pub fn run(attack: &str, env: &mut Env) -> Option<Checks> {
    let mut checks = Checks::new();
    match attack {
        "receive" => receive(&mut checks, env),
        "callers" => callers(&mut checks, env),
        "exit" => exit(&mut checks, env),
        // Accomplices.
        "receiver" => return user(env, |from, _| calls::receive(from).map(|_| true)),
        "caller" => {
            return user(env, |to, number| {
                let message = Message::new(3, [number; WORDS]);
                calls::call(to, &message).map(|reply| reply == message)
            });
        }
        _ => return None,
    }
    checks.works("the program goes on", calls::null());
    Some(checks)
}

/// Processes that receive through what is revoked while others send through what is not: they are
/// all sent back, and nothing sent is lost.
fn receive(checks: &mut Checks, env: &Env) {
    let Some(root) = checks.works("root", Endpoint::create()) else { return };
    let stop = Arc::new(AtomicBool::new(false));
    let (over, to) = (stop.clone(), root.handle());
    let sender = thread::spawn(env.cores - 1, move || {
        let mut sent = 0_u64;
        while !over.load(Ordering::Relaxed) {
            sent += u64::from(calls::send(to, &EMPTY).is_ok());
        }
        calls::send(to, &Message::new(STOP, [0; WORDS])).map(|()| sent)
    });
    let Some(sender) = checks.works("sender", sender) else { return };
    let mut got = 0;
    for round in 0..ROUNDS {
        let rights = Rights::RECEIVE | Rights::TRANSFER;
        got += users(checks, env, (round, "race.receiver"), &root, rights);
    }
    stop.store(true, Ordering::Relaxed);
    while let Some((_, message)) = checks.works("receive", root.receive()) {
        if message.info.label() == STOP {
            break;
        }
        got += 1;
    }
    let sent = sender.join().and_then(|sent| sent);
    checks.holds(("sent and received", sent, got), sent == Ok(got));
}

/// Processes that call through what is revoked: each gets right answers until it is sent back.
fn callers(checks: &mut Checks, env: &Env) {
    let Some(root) = checks.works("root", Endpoint::create()) else { return };
    let Some(server) = checks.works("server", serve(root.handle())) else { return };
    for round in 0..ROUNDS {
        let rights = Rights::SEND | Rights::TRANSFER;
        users(checks, env, (round, "race.caller"), &root, rights);
    }
    checks.works("the server goes on", root.send(&Message::new(STOP, [0; WORDS])));
    checks.works("the server stops", server.join());
}

/// One round of processes on all cores that use what is then revoked; how much they did.
fn users(
    checks: &mut Checks,
    env: &Env,
    (round, part): (u64, &str),
    root: &Endpoint,
    rights: Rights,
) -> u64 {
    let started: Result<Vec<_>, Error> = (0..env.cores.max(2))
        .map(|core| {
            let image = env.handle(ATTACK_IMAGE).ok_or(Error::BadHandle)?;
            let image = Image::from_handle(calls::duplicate(image, Rights::CONTROL)?);
            let told = Notification::create()?;
            Command::new(&image, "attack")
                .arg(part)
                .core(core % env.cores)
                .give(ACCOMPLICE, root.duplicate(rights)?)
                .give(PROGRESS, told.duplicate(Rights::SEND | Rights::TRANSFER)?)
                .spawn()
                .map(|user| (user, told))
        })
        .collect();
    let Some(started) = checks.works((round, part), started) else { return 0 };
    let mut chance = Chance::seeded(round + 1);
    for (_, told) in &started {
        checks.works("at it", told.wait());
    }
    pause(&mut chance);
    checks.works("revoke", root.revoke());
    let limit = calls::clock().map_or(FOREVER, |(now, _)| now + PATIENCE_NS);
    let mut done = 0;
    for (user, told) in started {
        let ended = user.wait_until(limit);
        checks.holds((round, part, ended), ended == Ok(ExitStatus::Exited(0)));
        done += told.wait_until(0).unwrap_or(0) >> 1;
        if ended.is_err() {
            checks.works("kill", user.kill());
        }
    }
    done
}

/// The accomplices of [`receive`] and [`callers`]: do so until they are sent back, and tell how often
/// they did.
fn user(env: &mut Env, does: impl Fn(Handle, u64) -> Result<bool, Error>) -> Option<Checks> {
    let mut checks = Checks::new();
    let (endpoint, told) = (env.take(ACCOMPLICE)?, env.take(PROGRESS)?);
    // The lowest bit says that it has begun.
    checks.works("tell", calls::notification_signal(told, 1));
    let mut done = 0;
    let end = loop {
        match does(endpoint, done) {
            Ok(right) => checks.holds(done, right),
            Err(error) => break Err::<(), _>(error),
        }
        done += 1;
    };
    checks.refused("sent back", end, GONE);
    if done > 0 {
        checks.works("tell", calls::notification_signal(told, done << 1));
    }
    Some(checks)
}

/// Processes that end, and are killed, while what they hold is revoked.
fn exit(checks: &mut Checks, env: &Env) {
    let Some(root) = checks.works("root", Endpoint::create()) else { return };
    let before = held().map_or(0, |held| held.len());
    for round in 0..12 {
        let child = start(env, "message.one_call", &root);
        let Some(child) = checks.works(round, child) else { return };
        let mut chance = Chance::seeded(round);
        match round % 3 {
            0 => checks.works("receive", root.receive()).map_or((), |_| ()),
            1 => pause(&mut chance),
            _ => {
                let killed = thread::spawn(round as u32 % env.cores, {
                    let child = child.duplicate(Rights::CONTROL);
                    move || child.and_then(|child| child.kill())
                });
                checks.works("revoke", root.revoke());
                if let Some(killed) = checks.works("thread", killed) {
                    checks.works("kill", killed.join().and_then(|killed| killed));
                }
            }
        }
        checks.works("revoke", root.revoke());
        let _ = calls::reply(&EMPTY);
        let limit = calls::clock().map_or(FOREVER, |(now, _)| now + PATIENCE_NS);
        let ended = child.wait_until(limit);
        // Answered, refused, or killed; but it ends.
        let good = matches!(ended, Ok(ExitStatus::Exited(_) | ExitStatus::Killed));
        checks.holds((round, ended), good);
    }
    let after = held().map_or(0, |held| held.len());
    checks.holds(("held", before, after), before == after);
}
