//! What was revoked, used nevertheless: by every call, by others it was given to, by who waits.

use alloc::vec::Vec;

use bench::abi::message::{Message, WORDS};
use bench::abi::start::Limits;
use bench::abi::{ANY_CORE, Error, ExitStatus, FOREVER, Handle, ObjectKind, PAGE, Rights};
use bench::attacks::{ACCOMPLICE, ATTACK_IMAGE};
use bench::probe::NOOP_IMAGE;
use bench::runtime::capability::{Endpoint, Image, Memory, Notification, Process};
use bench::runtime::process::Command;
use bench::runtime::{Env, calls, thread};

use crate::checks::Checks;
use crate::handles::{CALLS, on};
use crate::messages::{EMPTY, accomplice, carrying, start};
use crate::revoke_memory as memory;
use crate::revoke_waits as waits;
use crate::trees;

/// What a revoked handle is.
const GONE: &[Error] = &[Error::BadHandle];
/// Nanoseconds somebody may wait who was to be woken.
const PATIENCE_NS: u64 = 20_000_000_000;
/// Label of an heir's first word.
const HERE: u32 = 0x4e;
/// Links of the chain of processes that a capability is handed down.
const GENERATIONS: u64 = 5;

/// Makes one of them.
pub fn run(attack: &str, env: &mut Env) -> Option<Checks> {
    let mut checks = Checks::new();
    match attack {
        "every_call" => every_call(&mut checks, env),
        "subtree" => trees::subtree(&mut checks),
        "random_trees" => trees::random(&mut checks),
        "other_processes" => other_processes(&mut checks, env),
        "heir" => return Some(heir(env)),
        "sent_on" => sent_on(&mut checks, env),
        "keeper" => accomplice(&mut checks, env, keeper),
        _ => return waits::run(attack, env).or_else(|| memory::run(attack, env)),
    }
    Some(checks)
}

/// Every call on a derived capability of every kind, after the revoke of what it came from.
fn every_call(checks: &mut Checks, env: &mut Env) {
    let image = env.take(NOOP_IMAGE).map(Image::from_handle).ok_or(Error::BadHandle);
    let child = image.and_then(|image| Command::new(&image, "noop").spawn());
    let sleeper = thread::spawn(ANY_CORE, || calls::sleep_until(FOREVER));
    let sleeper = sleeper.as_ref().map(thread::JoinHandle::handle).map_err(|error| *error);
    let roots = [
        (ObjectKind::Endpoint, Endpoint::create().map(Endpoint::into_handle)),
        (ObjectKind::Notification, Notification::create().map(Notification::into_handle)),
        (ObjectKind::Memory, Memory::create(PAGE).map(Memory::into_handle)),
        (ObjectKind::Process, child.map(Process::into_handle)),
        (ObjectKind::Thread, sleeper),
        (ObjectKind::Memory, env.handle(ATTACK_IMAGE).ok_or(Error::BadHandle)),
    ];
    for (kind, root) in roots {
        let Some(root) = checks.works(kind, root) else { continue };
        let Ok((_, rights)) = calls::inspect(root) else { continue };
        let child = checks.works(("derive", kind), calls::duplicate(root, rights));
        let Some(child) = child else { continue };
        let grandchild = checks.works(("derive", kind), calls::duplicate(child, rights));
        let Some(grandchild) = grandchild else { continue };
        checks.works(("revoke", kind), calls::revoke(root));
        for stale in [child, grandchild] {
            for (number, _) in CALLS {
                let errors = &[Error::BadHandle, Error::BadAddress];
                checks.refused((number, kind), on(*number, u64::from(stale.0)), errors);
            }
            checks.refused(kind, calls::inspect(stale), GONE);
        }
        let found = calls::inspect(root);
        checks.holds((kind, found), found == Ok((kind, rights)));
        checks.works(("revoke nothing", kind), calls::revoke(root));
        // The slots are used again; the old handles don't open what is there now.
        let tenants: Vec<_> = (0..4).map(|_| calls::duplicate(root, rights)).collect();
        checks.holds(kind, tenants.iter().all(Result::is_ok));
        for stale in [child, grandchild] {
            checks.refused(kind, calls::inspect(stale), GONE);
        }
        checks.works(("revoke", kind), calls::revoke(root));
    }
}

/// A capability handed down from process to process, each with one of its own out of it; then the
/// first is revoked.
fn other_processes(checks: &mut Checks, env: &Env) {
    let Some(root) = checks.works("endpoint", Endpoint::create()) else { return };
    let Some(image) = env.handle(ATTACK_IMAGE) else { return };
    for round in 0..3 {
        let below = alloc::format!("below={GENERATIONS}");
        let first = (|| {
            let image = calls::duplicate(image, Rights::all() - Rights::SEND - Rights::RECEIVE)?;
            let image = Image::from_handle(image);
            Command::new(&image, "attack")
                .arg("revoke.heir")
                .arg(&below)
                .limits(limits_of_heir(GENERATIONS))
                .give(ATTACK_IMAGE, image.duplicate(image_rights())?)
                .give(ACCOMPLICE, root.duplicate(Rights::all() - Rights::RECEIVE)?)
                .spawn()
        })();
        let Some(first) = checks.works(("first", round), first) else { return };
        let mut heard = 0;
        while heard != (1 << (GENERATIONS + 1)) - 1 {
            let Some((_, message)) = checks.works("receive", root.receive()) else { return };
            if message.info.label() == HERE {
                heard |= 1 << message.words[0];
            }
        }
        checks.works("revoke", root.revoke());
        // Whoever was received last may still get an answer, and calls again.
        let _ = calls::reply(&EMPTY);
        let limit = calls::clock().map_or(FOREVER, |(now, _)| now + PATIENCE_NS);
        let ended = first.wait_until(limit);
        checks.holds((round, ended), ended == Ok(ExitStatus::Exited(0)));
    }
}

fn image_rights() -> Rights {
    Rights::CONTROL | Rights::DUPLICATE | Rights::TRANSFER
}

/// Enough for one with so many below it.
const fn limits_of_heir(below: u64) -> Limits {
    let all = below as u32 + 1;
    let frames = 400 * (below + 1);
    Limits { frames, threads: 2 * all, handles: 12 * all, messages: 2 * all, reserved: 0 }
}

/// One of the chain: starts the next, calls until the way is gone, and waits for the next's end.
fn heir(env: &mut Env) -> Checks {
    let mut checks = Checks::new();
    let below = env.value("below").and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let mine = env.take(ACCOMPLICE).map(Endpoint::from_handle);
    let image = env.take(ATTACK_IMAGE).map(Image::from_handle);
    let (Some(mine), Some(image)) = (mine, image) else { return checks };
    let next = (below > 0).then(|| {
        let number = below;
        let below = alloc::format!("below={}", number - 1);
        Command::new(&image, "attack")
            .arg("revoke.heir")
            .arg(&below)
            .limits(limits_of_heir(number - 1))
            .give(ATTACK_IMAGE, image.duplicate(image_rights())?)
            .give(ACCOMPLICE, mine.duplicate(Rights::all() - Rights::RECEIVE)?)
            .spawn()
    });
    checks.works("here", mine.send(&Message::new(HERE, [below; WORDS])));
    let answer = loop {
        match mine.call(&EMPTY) {
            // Answered, or dropped by a receiver that went on.
            Ok(_) | Err(Error::PeerGone) => {}
            gone => break gone,
        }
    };
    checks.refused("call", answer, GONE);
    checks.refused("derive", mine.duplicate(Rights::SEND), GONE);
    if let Some(next) = next.and_then(|next| checks.works("next", next)) {
        let ended = next.wait();
        checks.holds((below, ended), ended == Ok(ExitStatus::Exited(0)));
    }
    checks
}

/// Given away in a message, and by that one to nobody knows whom: revoked all the same.
fn sent_on(checks: &mut Checks, env: &Env) {
    let Some(meeting) = checks.works("meeting", Endpoint::create()) else { return };
    let keeper = start(env, "revoke.keeper", &meeting);
    let Some(keeper) = checks.works("keeper", keeper) else { return };
    let Some((_, hello)) = checks.works("hello", meeting.receive()) else { return };
    let to_keeper = Endpoint::from_handle(hello.capabilities[0]);
    let Some(root) = checks.works("root", Notification::create()) else { return };
    for round in 1..20 {
        let gift = root.duplicate(Rights::SEND | Rights::TRANSFER | Rights::DUPLICATE);
        let Some(gift) = checks.works("gift", gift) else { return };
        let kept = to_keeper.call(&carrying(&[gift.into_handle()]));
        checks.holds((round, kept), kept.is_ok_and(|kept| kept.words == [1; WORDS]));
        let bits = root.wait_until(0);
        checks.holds((round, bits), bits == Ok(7));
        checks.works("revoke", root.revoke());
        let kept = to_keeper.call(&EMPTY);
        checks.holds((round, kept), kept.is_ok_and(|kept| kept.words == [0; WORDS]));
        checks.refused("no signal", root.wait_until(0), &[Error::WouldBlock]);
    }
    checks.works("kill", keeper.kill());
}

/// The accomplice of [`sent_on`]: keeps what it is given, with another out of it, and says whether
/// any of it works.
fn keeper(meeting: &Endpoint) -> Result<(), Error> {
    let endpoint = crate::messages::give_endpoint(meeting)?;
    let mut kept: Vec<Handle> = Vec::new();
    let (_, mut message) = endpoint.receive()?;
    loop {
        if message.info.capabilities() == 1 {
            let given = message.capabilities[0];
            kept = alloc::vec![given, calls::duplicate(given, Rights::SEND)?];
        }
        let works = kept.iter().filter(|kept| calls::notification_signal(**kept, 7).is_ok());
        let all = u64::from(works.count() == kept.len());
        (_, message) = endpoint.reply_receive(&Message::new(0, [all; WORDS]))?;
    }
}
