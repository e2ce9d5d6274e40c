//! Capabilities guessed, widened, moved or taken from others without the right to.

use alloc::vec::Vec;

use bench::abi::message::{Info, Message, WORDS};
use bench::abi::start::{StartHandle, tag};
use bench::abi::{ANY_CORE, Error, Handle, PAGE, Rights, Syscall};
use bench::attacks::ATTACK_IMAGE;
use bench::runtime::capability::{Endpoint, Image, Memory, Notification, held};
use bench::runtime::process::Command;
use bench::runtime::{Env, calls, thread};

use crate::arguments::empty;
use crate::checks::Checks;
use crate::messages::{accomplice, carrying, give_endpoint, start_server};
use crate::random::Chance;
use crate::raw::call;

/// Guesses among all numbers there are.
const GUESSES: u64 = 200_000;
/// Slots and generations all of which are tried.
const SLOTS: u32 = 1_100;
const GENERATIONS: u32 = 48;

/// Makes one of them.
pub fn run(attack: &str, env: &mut Env) -> Option<Checks> {
    let mut checks = Checks::new();
    match attack {
        "guess_every_slot" => guess_every_slot(&mut checks),
        "guess_every_generation" => guess_every_generation(&mut checks, env),
        "guess_at_random" => guess_at_random(&mut checks),
        "list" => list(&mut checks),
        "escalate" => escalate(&mut checks),
        "without_transfer" => without_transfer(&mut checks, env),
        "foreign" => foreign(&mut checks, env),
        "victim" => accomplice(&mut checks, env, victim),
        _ => return None,
    }
    Some(checks)
}

/// The handles of this process, as the kernel lists them.
fn own() -> Vec<Handle> {
    held().map_or_else(|_| Vec::new(), |all| all.iter().map(|held| held.handle).collect())
}

/// Every number with a low slot and a low generation: what opens is what was given, nothing else.
fn guess_every_slot(checks: &mut Checks) {
    let own = own();
    checks.holds("something is held", !own.is_empty());
    let mut opened = Vec::new();
    for index in 0..SLOTS {
        for generation in 0..GENERATIONS {
            let handle = Handle(generation << 16 | index);
            match calls::inspect(handle) {
                Ok(_) => opened.push(handle),
                Err(Error::BadHandle) => {}
                Err(error) => checks.holds((handle, error), false),
            }
        }
    }
    let (mut opened, mut own) = (opened, own);
    opened.sort_unstable_by_key(|handle| handle.0);
    own.sort_unstable_by_key(|handle| handle.0);
    checks.holds((&opened, &own), opened == own);
}

/// All 65,536 generations of the slots in use, and of some that never were.
fn guess_every_generation(checks: &mut Checks, env: &Env) {
    let own = own();
    let used = env.handles().next().map_or(0, |entry| entry.handle & 0xffff);
    for index in [0, used, 1_000, 0xffff] {
        for generation in 0..=0xffff {
            let handle = Handle(generation << 16 | index);
            let found = calls::inspect(handle);
            let right =
                if own.contains(&handle) { found.is_ok() } else { found == Err(Error::BadHandle) };
            if !right {
                checks.holds((handle, found), false);
            }
        }
    }
    checks.works("the program goes on", calls::null());
}

/// Numbers out of all 2^32, tried with the calls that would hurt most.
fn guess_at_random(checks: &mut Checks) {
    let own = own();
    let mut chance = Chance::seeded(calls::clock().map_or(1, |(now, _)| now));
    let calls = [
        Syscall::CapabilityInspect,
        Syscall::CapabilityDrop,
        Syscall::CapabilityRevoke,
        Syscall::NotificationSignal,
        Syscall::MemorySize,
        Syscall::CapabilityInspect,
    ];
    for number in 0..GUESSES {
        let guess = chance.word() >> 32;
        if own.contains(&Handle(guess as u32)) {
            continue;
        }
        // The calls that go by the caller's task cost more: they get fewer guesses.
        let call_number = if number % 8 == 0 {
            calls[(number / 8) as usize % calls.len()]
        } else {
            Syscall::CapabilityInspect
        };
        let found = call(call_number as u64, &[guess, 1]);
        if found != Err(Error::BadHandle) {
            checks.holds((call_number, guess, found), false);
        }
    }
    checks.holds("nothing was lost or won", own == self::own());
}

/// The list tells what is held, wherever one begins to read, and writes nowhere else.
fn list(checks: &mut Checks) {
    let before = own();
    let made: Vec<_> = (0..300).filter_map(|_| Notification::create().ok()).collect();
    let all = own();
    checks.holds(all.len(), all.len() == before.len() + made.len());
    let listed = made.iter().all(|made| all.contains(&made.handle()));
    checks.holds("each is listed", listed);
    for held in held().unwrap_or_default() {
        let found = calls::inspect(held.handle);
        checks.holds((held, found), found == Ok((held.kind, held.rights)));
    }
    let mut few = [[0xee; bench::abi::Held::BYTES]; 5];
    let count = calls::list(&mut few[..3], 0);
    checks.holds(count, count == Ok(3));
    checks.holds("no more than asked for", few[3..] == [[0xee; bench::abi::Held::BYTES]; 2]);
    for beyond in [0x1_0000, usize::MAX] {
        let count = calls::list(&mut few, beyond);
        checks.holds((beyond, count), count == Ok(0));
    }
    drop(made);
    checks.holds("given up, no longer listed", own() == before);
    for bad in [0, 0x1000, 0xffff_8000_0000_0000, u64::MAX - 15] {
        let listed = call(Syscall::CapabilityList as u64, &[bad, 4, 0]);
        checks.refused(("list to", bad), listed, &[Error::BadAddress]);
    }
}

/// Of every capability with every set of rights, a second one with every other set.
fn escalate(checks: &mut Checks) {
    let kinds = [
        Endpoint::create().map(Endpoint::into_handle),
        Notification::create().map(Notification::into_handle),
        Memory::create(PAGE).map(Memory::into_handle),
    ];
    for root in kinds {
        let Some(root) = checks.works("root", root) else { continue };
        for bits in 0..=Rights::all().bits() {
            let rights = Rights::from_bits_truncate(bits);
            let Some(from) = checks.works(rights, calls::duplicate(root, rights)) else { return };
            for wanted in 0..=Rights::all().bits() + 1 {
                let derived =
                    call(Syscall::CapabilityDuplicate as u64, &[from.0.into(), wanted.into()]);
                let allowed = rights.contains(Rights::DUPLICATE) && bits & wanted == wanted;
                match derived {
                    Ok(handle) if allowed => {
                        let handle = Handle(handle as u32);
                        let found = calls::inspect(handle).map(|(_, rights)| rights.bits());
                        checks.holds((rights, wanted, found), found == Ok(wanted));
                        checks.works("drop", calls::drop_capability(handle));
                    }
                    Err(Error::NotPermitted | Error::InvalidArgument) if !allowed => {}
                    other => checks.holds((rights, wanted, other), false),
                }
            }
            checks.works("drop", calls::drop_capability(from));
        }
        checks.works("drop", calls::drop_capability(root));
    }
}

/// A capability that may not move, by every way there is.
fn without_transfer(checks: &mut Checks, env: &Env) {
    let Some(image) = env.handle(ATTACK_IMAGE) else { return };
    let image = calls::duplicate(image, Rights::CONTROL).map(Image::from_handle);
    let Some(image) = checks.works("image", image) else { return };
    let fixed = Notification::create().and_then(|all| all.duplicate(Rights::SEND));
    let Some(fixed) = checks.works("fixed", fixed) else { return };
    let denied = &[Error::NotPermitted];
    let stays = |checks: &mut Checks, way: &str| {
        let found = calls::inspect(fixed.handle()).map(|(_, rights)| rights);
        checks.holds((way, found), found == Ok(Rights::SEND));
    };
    // Not by `Command`, which gives up what could not be moved.
    let mut args = empty();
    args.handle_count = 1;
    args.handles[0] = StartHandle { handle: fixed.handle().0, tag: tag::CONSOLE };
    checks.refused("spawn", calls::process_spawn(image.handle(), &args), denied);
    stays(checks, "spawn");
    let child = Command::new(&image, "attack").arg("endless.sleep").spawn();
    if let Some(child) = checks.works("child", child) {
        checks.refused("transfer", calls::transfer(child.handle(), fixed.handle()), denied);
        stays(checks, "transfer");
        checks.works("kill", child.kill());
    }
    let Some(endpoint) = checks.works("endpoint", Endpoint::create()) else { return };
    let Some(theirs) = checks.works("theirs", endpoint.duplicate(Rights::SEND)) else { return };
    let fixed_handle = fixed.handle();
    let caller = thread::spawn(ANY_CORE, move || {
        let sent = theirs.send(&carrying(&[fixed_handle]));
        (sent, theirs.call(&carrying(&[fixed_handle])), theirs.call(&carrying(&[])))
    });
    let Some(caller) = checks.works("thread", caller) else { return };
    // Only the call without capabilities arrives.
    checks.works("receive", endpoint.receive());
    checks.refused("reply", calls::reply(&carrying(&[fixed.handle()])), denied);
    stays(checks, "reply");
    let next = endpoint.reply_receive(&carrying(&[fixed.handle()]));
    checks.refused("reply and receive", next, denied);
    stays(checks, "reply and receive");
    checks.works("reply", calls::reply(&carrying(&[])));
    if let Some((sent, called, good)) = checks.works("join", caller.join()) {
        checks.refused("send", sent, denied);
        checks.refused("call", called, denied);
        checks.works("words", good);
    }
    stays(checks, "message");
}

/// The numbers of another process's handles are nothing here: what it holds stays whatever is done
/// to them.
fn foreign(checks: &mut Checks, env: &Env) {
    let server = start_server(env, "capability.victim");
    let Some((process, endpoint)) = checks.works("start", server) else { return };
    let ask = |checks: &mut Checks| {
        let reply = checks.works("ask", endpoint.call(&Message::new(0, [0; WORDS])));
        reply.map_or([0; WORDS], |reply| reply.words)
    };
    let [derived, root, count, good, ..] = ask(checks);
    checks.holds("the victim is well", good == 1 && count > 2);
    let own = own();
    for number in [derived, root] {
        for call_number in [
            Syscall::CapabilityRevoke,
            Syscall::CapabilityDrop,
            Syscall::CapabilityInspect,
            Syscall::NotificationSignal,
        ] {
            if !own.contains(&Handle(number as u32)) {
                let done = call(call_number as u64, &[number, 1]);
                checks.refused((call_number, number), done, &[Error::BadHandle]);
            }
        }
        let gift = endpoint.call(&carrying(&[Handle(number as u32)]));
        if !own.contains(&Handle(number as u32)) {
            checks.refused("give what is not one's own", gift, &[Error::BadHandle]);
        }
    }
    // Everything revoked that can be named here, the way to the victim among it.
    for index in 0..64 {
        for generation in 0..64 {
            let _ = calls::revoke(Handle(generation << 16 | index));
        }
    }
    let after = ask(checks);
    checks.holds(after, after[..4] == [derived, root, count, 1]);
    checks.works("kill", process.kill());
}

/// The accomplice of [`foreign`]: tells its handles, and whether they still work.
fn victim(meeting: &Endpoint) -> Result<(), Error> {
    // So that the numbers are none that the other process has by chance.
    for _ in 0..40 {
        drop((Notification::create()?, Notification::create()?));
    }
    let root = Notification::create()?;
    let derived = root.duplicate(Rights::SEND)?;
    let endpoint = give_endpoint(meeting)?;
    let mut received = endpoint.receive()?;
    loop {
        let works = derived.signal(4).is_ok() && root.wait_until(0) == Ok(4);
        let handles = [derived.handle().0, root.handle().0].map(u64::from);
        let count = own().len() as u64;
        let mut reply =
            Message::new(0, [handles[0], handles[1], count, u64::from(works), received.0.0, 0]);
        reply.info = Info::new(0, 0);
        for handle in &received.1.capabilities[..received.1.info.capabilities().min(4)] {
            calls::drop_capability(*handle)?;
        }
        received = endpoint.reply_receive(&reply)?;
    }
}
