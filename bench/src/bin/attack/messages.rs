//! Messages that are malformed, and partners that vanish at the worst moment.
//!
//! Accomplices are other processes of this same program, started as `attack message.NAME` with the
//! right to send to (or to receive from) an endpoint of the attacker's.

use bench::abi::message::{Info, Message, WORDS};
use bench::abi::{ANY_CORE, Error, Handle, Rights, Syscall, Takes};
use bench::attacks::{ACCOMPLICE, ATTACK_IMAGE};
use bench::echo::{DIE, Echo, WHO};
use bench::probe::ECHO_IMAGE;
use bench::runtime::capability::{Endpoint, Image, Notification, Process};
use bench::runtime::process::Command;
use bench::runtime::{Env, calls, thread};

use crate::checks::Checks;
use crate::raw::{Registers, call};

/// Makes one of them.
pub fn run(attack: &str, env: &mut Env) -> Option<Checks> {
    let mut checks = Checks::new();
    match attack {
        "reply_without_caller" => reply_without_caller(&mut checks),
        "reply_to_dead_caller" => reply_to_dead_caller(&mut checks, env),
        "receiver_dies" => receiver_dies(&mut checks, env),
        "receiver_is_killed" => receiver_is_killed(&mut checks, env),
        "receiver_moves_on" => receiver_moves_on(&mut checks),
        "waiting_caller_is_killed" => waiting_caller_is_killed(&mut checks, env),
        "bad_info" => bad_info(&mut checks),
        "bad_capabilities" => bad_capabilities(&mut checks, env),
        "words_only" => words_only(&mut checks),
        "full_receiver" => full_receiver(&mut checks, env),
        "forged_sender" => forged_sender(&mut checks, env),
        "kill_storm" => crate::storm::kill_storm(&mut checks, env),
        // Accomplices.
        "serve_for_ever" => accomplice(&mut checks, env, crate::storm::serve_for_ever),
        "call_for_ever" => accomplice(&mut checks, env, crate::storm::call_for_ever),
        "one_call" => accomplice(&mut checks, env, |endpoint| {
            endpoint.call(&Message::new(1, [7; WORDS])).map(|_| ())
        }),
        "receive_and_hang" => accomplice(&mut checks, env, |meeting| {
            let endpoint = give_endpoint(meeting)?;
            endpoint.receive()?;
            calls::sleep_until(bench::abi::FOREVER)
        }),
        "fill_and_receive" => accomplice(&mut checks, env, |meeting| {
            let endpoint = give_endpoint(meeting)?;
            let full = loop {
                if let Err(error) = calls::duplicate(endpoint.handle(), Rights::SEND) {
                    break error;
                }
            };
            if full != Error::LimitReached {
                return Err(full);
            }
            loop {
                endpoint.receive()?;
            }
        }),
        _ => return None,
    }
    Some(checks)
}

/// A message of nothing.
pub const EMPTY: Message = Message::new(0, [0; WORDS]);

/// A message that carries these handles.
pub fn carrying(handles: &[Handle]) -> Message {
    let mut message = EMPTY;
    message.info = Info::new(0, handles.len() as u8);
    message.capabilities[..handles.len()].copy_from_slice(handles);
    message
}

/// Plays a part in another's attack, at the endpoint it was given.
pub fn accomplice(
    checks: &mut Checks,
    env: &mut Env,
    part: impl FnOnce(&Endpoint) -> Result<(), Error>,
) {
    let meeting = env.take(ACCOMPLICE).map(Endpoint::from_handle).ok_or(Error::BadHandle);
    checks.works("the accomplice's part", meeting.and_then(|meeting| part(&meeting)));
}

/// Makes an endpoint and sends the right to call it to `meeting`.
pub fn give_endpoint(meeting: &Endpoint) -> Result<Endpoint, Error> {
    let endpoint = Endpoint::create()?;
    let theirs = endpoint.duplicate(Rights::SEND | Rights::DUPLICATE | Rights::TRANSFER)?;
    meeting.send(&carrying(&[theirs.into_handle()]))?;
    Ok(endpoint)
}

/// Starts an accomplice that can send to `endpoint`.
pub fn start(env: &Env, part: &str, endpoint: &Endpoint) -> Result<Process, Error> {
    let image = env.handle(ATTACK_IMAGE).ok_or(Error::BadHandle)?;
    let image = Image::from_handle(calls::duplicate(image, Rights::CONTROL)?);
    let meeting = endpoint.duplicate(Rights::SEND | Rights::TRANSFER)?;
    Command::new(&image, "attack").arg(part).give(ACCOMPLICE, meeting).spawn()
}

/// Starts an accomplice that offers an endpoint; the right to call it.
pub fn start_server(env: &Env, part: &str) -> Result<(Process, Endpoint), Error> {
    let meeting = Endpoint::create()?;
    let process = start(env, part, &meeting)?;
    let (_, message) = meeting.receive()?;
    Ok((process, Endpoint::from_handle(message.capabilities[0])))
}

/// A server that echoes, on any core.
pub fn echo(env: &mut Env) -> Result<Echo, Error> {
    let image = env.take(ECHO_IMAGE).map(Image::from_handle).ok_or(Error::BadHandle)?;
    Echo::start(&image, ANY_CORE, None)
}

fn reply_without_caller(checks: &mut Checks) {
    checks.refused("reply", calls::reply(&EMPTY), &[Error::NoCaller]);
    let Some(endpoint) = checks.works("endpoint", Endpoint::create()) else { return };
    let theirs = endpoint.duplicate(Rights::SEND);
    let Some(theirs) = checks.works("duplicate", theirs) else { return };
    let caller = thread::spawn(ANY_CORE, move || theirs.call(&Message::new(3, [1; WORDS])));
    let Some(caller) = checks.works("thread", caller) else { return };
    checks.works("receive", endpoint.receive());
    checks.works("reply", calls::reply(&Message::new(4, [2; WORDS])));
    checks.refused("reply again", calls::reply(&EMPTY), &[Error::NoCaller]);
    let answer = caller.join().and_then(|answer| answer);
    checks.holds(answer, answer == Ok(Message::new(4, [2; WORDS])));
    // A message that was only sent has no caller either.
    let Some(theirs) = checks.works("duplicate", endpoint.duplicate(Rights::SEND)) else { return };
    let Some(sender) = checks.works("thread", thread::spawn(ANY_CORE, move || theirs.send(&EMPTY)))
    else {
        return;
    };
    checks.works("receive", endpoint.receive());
    checks.refused("reply to a send", calls::reply(&EMPTY), &[Error::NoCaller]);
    checks.works("join", sender.join().and_then(|sent| sent));
}

fn reply_to_dead_caller(checks: &mut Checks, env: &Env) {
    let Some(endpoint) = checks.works("endpoint", Endpoint::create()) else { return };
    for round in 0..3 {
        let Some(caller) = checks.works(round, start(env, "message.one_call", &endpoint)) else {
            return;
        };
        checks.works("receive", endpoint.receive());
        checks.works("kill", caller.kill());
        let gone = &[Error::NoCaller, Error::PeerGone];
        checks.refused("reply", calls::reply(&EMPTY), gone);
        checks.refused("reply again", calls::reply(&EMPTY), gone);
    }
}

fn receiver_dies(checks: &mut Checks, env: &mut Env) {
    let Some(server) = checks.works("echo", echo(env)) else { return };
    checks.works("answers", server.answers([9; WORDS]));
    let reply = server.endpoint.call(&Message::new(DIE, [0; WORDS]));
    checks.refused("it died", reply, &[Error::PeerGone]);
    checks.refused("it is dead", server.answers([9; WORDS]), &[Error::PeerGone]);
    checks.refused("it is dead", server.endpoint.send(&EMPTY), &[Error::PeerGone]);
    checks.works("wait", server.process.wait());
}

fn receiver_is_killed(checks: &mut Checks, env: &Env) {
    let Some((process, endpoint)) =
        checks.works("start", start_server(env, "message.receive_and_hang"))
    else {
        return;
    };
    let Some(killer) = checks.works("thread", {
        thread::spawn(ANY_CORE, move || {
            let soon = calls::clock()?.0 + 20_000_000;
            calls::sleep_until(soon)?;
            process.kill()
        })
    }) else {
        return;
    };
    checks.refused("call", endpoint.call(&EMPTY), &[Error::PeerGone]);
    checks.works("kill", killer.join().and_then(|killed| killed));
}

/// A receiver that takes the next message drops the caller it has not answered.
fn receiver_moves_on(checks: &mut Checks) {
    let Some(endpoint) = checks.works("endpoint", Endpoint::create()) else { return };
    let caller = |words: [u64; WORDS]| {
        let theirs = endpoint.duplicate(Rights::SEND)?;
        thread::spawn(ANY_CORE, move || theirs.call(&Message::new(1, words)))
    };
    let (first, second) = (caller([1; WORDS]), caller([2; WORDS]));
    let (Some(first), Some(second)) = (checks.works("1", first), checks.works("2", second)) else {
        return;
    };
    checks.works("receive", endpoint.receive());
    let taken = endpoint.receive();
    checks.works("receive the next", taken);
    checks.works("reply", calls::reply(&EMPTY));
    let answers = [first.join().and_then(|a| a), second.join().and_then(|a| a)];
    let dropped = answers.iter().filter(|a| **a == Err(Error::PeerGone)).count();
    let answered = answers.iter().filter(|a| a.is_ok()).count();
    checks.holds(answers, dropped == 1 && answered == 1);
}

/// Callers killed while they stand in the queue leave no trace in it.
fn waiting_caller_is_killed(checks: &mut Checks, env: &Env) {
    let Some(endpoint) = checks.works("endpoint", Endpoint::create()) else { return };
    for round in 0..4 {
        let Some(caller) = checks.works(round, start(env, "message.one_call", &endpoint)) else {
            return;
        };
        let soon = calls::clock().map_or(0, |(now, _)| now + 20_000_000);
        checks.works("sleep", calls::sleep_until(soon));
        checks.works("kill", caller.kill());
    }
    let Some(last) = checks.works("last", start(env, "message.one_call", &endpoint)) else {
        return;
    };
    checks.works("receive", endpoint.receive());
    checks.works("reply", calls::reply(&EMPTY));
    let ended = last.wait();
    checks.holds(ended, ended == Ok(bench::abi::ExitStatus::Exited(0)));
}

/// Counts beyond four, and bits that are reserved.
fn bad_info(checks: &mut Checks) {
    let Some(endpoint) = checks.works("endpoint", Endpoint::create()) else { return };
    let theirs = endpoint.duplicate(Rights::SEND);
    let Some(theirs) = checks.works("duplicate", theirs) else { return };
    let caller = thread::spawn(ANY_CORE, move || theirs.call(&EMPTY));
    let Some(caller) = checks.works("thread", caller) else { return };
    checks.works("receive", endpoint.receive());
    for info in [5 << 32, 7 << 32, 8 << 32, 1 << 35, 1 << 63, u64::MAX] {
        for number in [Syscall::Call, Syscall::Send, Syscall::Reply] {
            let registers = Registers {
                rax: number as u64,
                rdi: u64::from(endpoint.handle().0),
                rsi: info,
                ..Registers::default()
            };
            let result = bench::abi::decode(registers.call().rax);
            checks.refused((number, info), result, &[Error::InvalidArgument]);
        }
    }
    checks.works("the caller still waits", calls::reply(&EMPTY));
    checks.works("and is answered", caller.join().and_then(|answer| answer));
}

fn bad_capabilities(checks: &mut Checks, env: &mut Env) {
    let Some(server) = checks.works("echo", echo(env)) else { return };
    let Some(notification) = checks.works("notification", Notification::create()) else { return };
    let mine = notification.handle();
    for forged in [Handle::NONE, Handle(1), Handle(0xffff), Handle(0xffff_ffff)] {
        let result = server.endpoint.call(&carrying(&[forged]));
        checks.refused(forged, result, &[Error::BadHandle]);
        let result = server.endpoint.call(&carrying(&[mine, forged]));
        checks.refused((mine, forged), result, &[Error::BadHandle]);
        checks.works("still here", calls::inspect(mine));
    }
    let twice = server.endpoint.call(&carrying(&[mine, mine]));
    checks.refused("the same twice", twice, &[Error::BadHandle, Error::InvalidArgument]);
    checks.works("still here", calls::inspect(mine));
    if let Some(fixed) = checks.works("duplicate", notification.duplicate(Rights::SEND)) {
        let result = server.endpoint.call(&carrying(&[fixed.handle()]));
        checks.refused("one that may not move", result, &[Error::NotPermitted]);
        checks.works("still here", calls::inspect(fixed.handle()));
    }
    // And a good one moves.
    let good = notification.duplicate(Rights::SEND | Rights::TRANSFER);
    if let Some(good) = checks.works("duplicate", good.map(Notification::into_handle)) {
        checks.works("call", server.endpoint.call(&carrying(&[good])));
        checks.refused("it moved", calls::inspect(good), &[Error::BadHandle]);
    }
    checks.works("quit", server.quit());
}

/// An endpoint that takes no capabilities: they are refused at once, whether anybody receives or
/// not, and words go on as ever.
fn words_only(checks: &mut Checks) {
    for raw in [2, 3, u64::MAX] {
        let made = call(Syscall::EndpointCreate as u64, &[raw]);
        checks.refused(("takes", raw), made, &[Error::InvalidArgument]);
    }
    let endpoint = Endpoint::create_taking(Takes::Words);
    let Some(endpoint) = checks.works("endpoint", endpoint) else { return };
    let gift = Notification::create().map(Notification::into_handle);
    let Some(gift) = checks.works("gift", gift) else { return };
    let denied = &[Error::NotPermitted];
    let to = endpoint.handle();
    let mut refused = |when: &str| {
        checks.refused(when, calls::send(to, &carrying(&[gift])), denied);
        checks.refused(when, calls::call(to, &carrying(&[gift])), denied);
        checks.works("still here", calls::inspect(gift));
    };
    refused("nobody there");
    let receiver = thread::spawn(ANY_CORE, move || {
        let (_, first) = calls::receive(to)?;
        // A reply may bring some all the same.
        let (_, second) = calls::reply_receive(to, &carrying(&[gift]))?;
        Ok::<_, Error>([first, second].map(|message| message.info.capabilities()))
    });
    let Some(receiver) = receiver.ok() else { return };
    refused("somebody there");
    let reply = checks.works("words", endpoint.call(&EMPTY));
    checks.holds("a capability", reply.is_some_and(|reply| reply.info.capabilities() == 1));
    checks.works("words", endpoint.send(&EMPTY));
    let counts = receiver.join().and_then(|counts| counts);
    checks.holds(counts, counts == Ok([0, 0]));
}

/// A receiver without a free slot: the sender is told, and keeps what it wanted to give.
fn full_receiver(checks: &mut Checks, env: &Env) {
    let server = start_server(env, "message.fill_and_receive");
    let Some((process, endpoint)) = checks.works("start", server) else { return };
    let gift = Notification::create().and_then(|n| n.duplicate(Rights::SEND | Rights::TRANSFER));
    if let Some(gift) = checks.works("gift", gift) {
        let sent = endpoint.send(&carrying(&[gift.handle()]));
        checks.refused("send", sent, &[Error::LimitReached]);
        checks.works("still here", calls::inspect(gift.handle()));
    }
    checks.works("words still pass", endpoint.send(&EMPTY));
    checks.works("kill", process.kill());
}

/// Whatever the words claim, the receiver sees the kernel's stamp.
fn forged_sender(checks: &mut Checks, env: &mut Env) {
    let Some(server) = checks.works("echo", echo(env)) else { return };
    let handle = server.endpoint.handle();
    let who = move || {
        let claim = Message::new(WHO, [u64::MAX, 1, 2, 3, 4, 5]);
        calls::call(handle, &claim).map(|reply| reply.words[0])
    };
    let (first, second) = (who(), who());
    checks.holds((first, second), first.is_ok() && first == second && first != Ok(u64::MAX));
    // Registers that a message does not use claim nothing either.
    let wild = Registers {
        rax: Syscall::Call as u64,
        rdi: u64::from(handle.0),
        rsi: u64::from(WHO),
        ..Registers::patterned(0x0bad_1dea)
    };
    checks.holds("the stamp is the same", Ok(wild.call().rdx) == first);
    let other = thread::spawn(ANY_CORE, who).and_then(thread::JoinHandle::join);
    if let (Some(Ok(other)), Ok(first)) = (checks.works("thread", other), first) {
        checks.holds("same process", other >> 32 == first >> 32 && first >> 32 != 0);
        checks.holds("another thread", other as u32 != first as u32);
    }
    checks.works("quit", server.quit());
}
