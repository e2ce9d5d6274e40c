//! Who waits through what is revoked: sent back, or answered, never left behind.

use bench::abi::message::{Message, WORDS};
use bench::abi::{ANY_CORE, Error, ExitStatus, FOREVER, Handle, Rights};
use bench::attacks::{ACCOMPLICE, ATTACK_IMAGE};
use bench::runtime::capability::{Endpoint, Image, Notification};
use bench::runtime::process::Command;
use bench::runtime::{Env, calls, thread};

use crate::checks::Checks;
use crate::messages::{EMPTY, carrying};

/// What a revoked handle is.
const GONE: &[Error] = &[Error::BadHandle];
/// How often each thing that waits is revoked, each time a little later.
const ROUNDS: u64 = 12;
/// Nanoseconds later in each round.
const STEP_NS: u64 = 400_000;
/// Nanoseconds somebody may wait who was to be woken.
const PATIENCE_NS: u64 = 20_000_000_000;

/// Makes one of them.
pub fn run(attack: &str, env: &mut Env) -> Option<Checks> {
    let mut checks = Checks::new();
    match attack {
        "waiting_receiver" => waiting_receiver(&mut checks, env),
        "waiting_sender" => waiting_sender(&mut checks, env),
        "waiting_caller" => waiting_caller(&mut checks, env),
        "waiting_notification" => waiting_notification(&mut checks),
        "waiting_for_ends" => waiting_for_ends(&mut checks, env),
        "waiter" => return Some(waiter(env)),
        _ => return None,
    }
    Some(checks)
}

/// Has `wait` wait through `derived` on a thread, revokes `root` a little later each round, and
/// gives what the thread was answered.
fn while_waiting<T: Send + 'static>(
    round: u64,
    root: Handle,
    wait: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let waiter = thread::spawn(ANY_CORE, wait)?;
    let (now, _) = calls::clock()?;
    calls::sleep_until(now + round * STEP_NS)?;
    calls::revoke(root)?;
    waiter.join_by(calls::clock()?.0 + PATIENCE_NS)?
}

/// Starts a process that waits through `derived`, revokes `root` a little later each round, and says
/// how the process ended: with zero if it was sent back.
fn waiter_ends(
    env: &Env,
    (round, how): (u64, &str),
    root: &Endpoint,
    derived: Endpoint,
) -> Result<ExitStatus, Error> {
    let image = env.handle(ATTACK_IMAGE).ok_or(Error::BadHandle)?;
    let image = Image::from_handle(calls::duplicate(image, Rights::CONTROL)?);
    let how = alloc::format!("how={how}");
    let command = Command::new(&image, "attack").arg("revoke.waiter").arg(&how);
    let child = command.give(ACCOMPLICE, derived).spawn()?;
    calls::sleep_until(calls::clock()?.0 + round * STEP_NS)?;
    root.revoke()?;
    let ended = child.wait_until(calls::clock()?.0 + PATIENCE_NS);
    if ended.is_err() {
        child.kill()?;
    }
    ended
}

/// Waits as `how=` says, for ever, and expects to be sent back.
fn waiter(env: &mut Env) -> Checks {
    let mut checks = Checks::new();
    let gift = Notification::create().map(Notification::into_handle);
    let (Some(endpoint), Some(gift)) = (env.take(ACCOMPLICE), checks.works("gift", gift)) else {
        return checks;
    };
    let gifts = carrying(&[gift]);
    let answer = match env.value("how") {
        Some("receive") => calls::receive(endpoint).map(|_| ()),
        Some("reply_receive") => calls::reply_receive(endpoint, &EMPTY).map(|_| ()),
        Some("given_up") => {
            // What it waits through is given up meanwhile; then there is a revoke.
            let gives_up = thread::spawn(ANY_CORE, move || {
                let _ = calls::clock().and_then(|(now, _)| calls::sleep_until(now + 2 * STEP_NS));
                calls::drop_capability(endpoint)
            });
            let answer = calls::receive(endpoint).map(|_| ());
            let given_up = gives_up.and_then(thread::JoinHandle::join).and_then(|r| r);
            // The revoke may come first.
            checks.holds(given_up, matches!(given_up, Ok(()) | Err(Error::BadHandle)));
            answer
        }
        Some("send") => calls::send(endpoint, &gifts),
        Some("call") => calls::call(endpoint, &gifts).map(|_| ()),
        // Received, and never answered but by the end of the way it came by.
        _ => {
            let answer = calls::call(endpoint, &EMPTY);
            let gone = matches!(answer, Err(Error::BadHandle | Error::PeerGone));
            checks.holds(answer, gone || answer == Ok(Message::new(5, [7; WORDS])));
            return checks;
        }
    };
    checks.refused("the wait", answer, GONE);
    // What it wanted to give along is still its own.
    checks.works("still here", calls::inspect(gift));
    checks.refused("again", calls::send(endpoint, &EMPTY), GONE);
    checks
}

const SENT_BACK: Result<ExitStatus, Error> = Ok(ExitStatus::Exited(0));

fn waiting_receiver(checks: &mut Checks, env: &Env) {
    let Some(root) = checks.works("endpoint", Endpoint::create()) else { return };
    for round in 0..ROUNDS {
        let how = ["receive", "reply_receive", "given_up"][round as usize % 3];
        let theirs = root.duplicate(Rights::RECEIVE | Rights::TRANSFER);
        let Some(theirs) = checks.works("derive", theirs) else { return };
        let ended = waiter_ends(env, (round, how), &root, theirs);
        checks.holds((round, how, ended), ended == SENT_BACK);
    }
    // The endpoint itself is as good as ever.
    let Some(theirs) = checks.works("send", root.duplicate(Rights::SEND)) else { return };
    let sender = thread::spawn(ANY_CORE, move || theirs.send(&EMPTY));
    let Some(sender) = checks.works("thread", sender) else { return };
    checks.works("receive", root.receive());
    checks.works("sent", sender.join().and_then(|sent| sent));
}

fn waiting_sender(checks: &mut Checks, env: &Env) {
    let Some(root) = checks.works("endpoint", Endpoint::create()) else { return };
    for round in 0..ROUNDS {
        let how = if round % 2 == 0 { "send" } else { "call" };
        let theirs = root.duplicate(Rights::SEND | Rights::TRANSFER);
        let Some(theirs) = checks.works("derive", theirs) else { return };
        let ended = waiter_ends(env, (round, how), &root, theirs);
        checks.holds((round, how, ended), ended == SENT_BACK);
    }
    // If it is the gift that goes, the message does not come without it.
    let gift = Notification::create().map(Notification::into_handle);
    let Some(gift) = checks.works("gift", gift) else { return };
    let Some(theirs) = checks.works("derive", root.duplicate(Rights::SEND)) else { return };
    let (theirs, passed) = (theirs.into_handle(), calls::duplicate(gift, Rights::all()));
    let Some(passed) = checks.works("derive", passed) else { return };
    let sender = thread::spawn(ANY_CORE, move || calls::send(theirs, &carrying(&[passed])));
    let Some(sender) = checks.works("thread", sender) else { return };
    let later = calls::clock().and_then(|(now, _)| calls::sleep_until(now + 5 * STEP_NS));
    checks.works("sleep", later);
    checks.works("revoke the gift", calls::revoke(gift));
    let good = root.duplicate(Rights::SEND).map(Endpoint::into_handle);
    let Some(good) = checks.works("derive", good) else { return };
    let other = thread::spawn(ANY_CORE, move || calls::send(good, &Message::new(9, [0; WORDS])));
    let Some(other) = checks.works("thread", other) else { return };
    let received = root.receive().map(|(_, message)| message.info.label());
    checks.holds(received, received == Ok(9));
    checks.refused("the gift was gone", sender.join().and_then(|sent| sent), GONE);
    checks.works("the other", other.join().and_then(|sent| sent));
}

/// Callers that have been received when the way they came by is revoked: each is answered.
fn waiting_caller(checks: &mut Checks, env: &Env) {
    let Some(root) = checks.works("endpoint", Endpoint::create()) else { return };
    for round in 0..ROUNDS {
        let theirs = root.duplicate(Rights::SEND | Rights::TRANSFER);
        let Some(theirs) = checks.works("derive", theirs) else { return };
        let ended = waiter_is_answered(env, round, &root, theirs);
        checks.holds((round, ended), ended == SENT_BACK);
    }
}

/// As [`waiter_ends`], with a caller that is received before and replied to after the revoke.
fn waiter_is_answered(
    env: &Env,
    round: u64,
    root: &Endpoint,
    derived: Endpoint,
) -> Result<ExitStatus, Error> {
    let image = env.handle(ATTACK_IMAGE).ok_or(Error::BadHandle)?;
    let image = Image::from_handle(calls::duplicate(image, Rights::CONTROL)?);
    let command = Command::new(&image, "attack").arg("revoke.waiter").arg("how=received");
    let child = command.give(ACCOMPLICE, derived).spawn()?;
    root.receive()?;
    if round.is_multiple_of(2) {
        root.revoke()?;
    }
    // To one that was sent back there is nothing to reply.
    let _ = calls::reply(&Message::new(5, [7; WORDS]));
    root.revoke()?;
    child.wait_until(calls::clock()?.0 + PATIENCE_NS)
}

fn waiting_notification(checks: &mut Checks) {
    let Some(root) = checks.works("notification", Notification::create()) else { return };
    for round in 0..ROUNDS {
        let theirs = calls::duplicate(root.handle(), Rights::RECEIVE);
        let Some(theirs) = checks.works("derive", theirs) else { return };
        let wait = move || calls::notification_wait(theirs, FOREVER);
        checks.refused(round, while_waiting(round, root.handle(), wait), GONE);
        // Bits that come now are for who waits next.
        checks.works("signal", root.signal(round + 1));
        let bits = root.wait_until(0);
        checks.holds((round, bits), bits == Ok(round + 1));
    }
}

/// Those who wait for a process or a thread to end.
fn waiting_for_ends(checks: &mut Checks, env: &Env) {
    let Some(image) = env.handle(ATTACK_IMAGE) else { return };
    let image = calls::duplicate(image, Rights::CONTROL).map(Image::from_handle);
    let Some(image) = checks.works("image", image) else { return };
    let child = Command::new(&image, "attack").arg("endless.sleep").spawn();
    let Some(child) = checks.works("child", child) else { return };
    let sleeper = thread::spawn(ANY_CORE, || calls::sleep_until(FOREVER));
    let Some(sleeper) = checks.works("sleeper", sleeper) else { return };
    for round in 0..ROUNDS / 2 {
        let theirs = calls::duplicate(child.handle(), Rights::RECEIVE);
        let Some(theirs) = checks.works("derive", theirs) else { return };
        let wait = move || calls::process_wait(theirs, FOREVER);
        checks.refused(round, while_waiting(round, child.handle(), wait), GONE);
        let theirs = calls::duplicate(sleeper.handle(), Rights::RECEIVE);
        let Some(theirs) = checks.works("derive", theirs) else { return };
        let wait = move || calls::thread_join(theirs, FOREVER);
        checks.refused(round, while_waiting(round, sleeper.handle(), wait), GONE);
    }
    checks.works("kill", child.kill());
    let ended = child.wait();
    checks.holds(ended, ended == Ok(ExitStatus::Killed));
}
