//! Who sent a message: the kernel takes it from the thread that runs, and from nothing that thread
//! says. Every field of a message claims to come from somebody else here.

use alloc::vec::Vec;

use bench::abi::message::{Info, Message, Sender, WORDS};
use bench::abi::{ANY_CORE, Error, ExitStatus, FOREVER, Handle, Rights, Syscall, decode};
use bench::attacks::{ACCOMPLICE, ATTACK_IMAGE};
use bench::echo::{Echo, WHO};
use bench::runtime::capability::{Endpoint, Image, Notification};
use bench::runtime::process::Command;
use bench::runtime::{Env, calls, thread};

use crate::checks::Checks;
use crate::messages::{EMPTY, accomplice, carrying, echo, give_endpoint, start, start_server};
use crate::raw::Registers;

/// Makes one of them.
pub fn run(attack: &str, env: &mut Env) -> Option<Checks> {
    let mut checks = Checks::new();
    match attack {
        "every_field" => every_field(&mut checks, env),
        "capabilities" => capabilities(&mut checks),
        "reply" => reply(&mut checks, env),
        "notification" => notification(&mut checks),
        "lent_capability" => lent_capability(&mut checks, env),
        "numbers_used_again" => numbers_used_again(&mut checks, env),
        // Accomplices.
        "impostor" => accomplice(&mut checks, env, impostor),
        "one_send" => accomplice(&mut checks, env, |endpoint| endpoint.send(&EMPTY)),
        _ => return None,
    }
    Some(checks)
}

/// Stamps to claim: the kernel's, the first programs', the server's own, wild ones.
fn claims(server: Sender) -> [u64; 6] {
    let Sender(server) = server;
    [0, 1 << 32 | 1, server, server ^ 1, u64::MAX, 0x0bad_1dea_0bad_1dea]
}

/// The stamp this thread has, as `server` sees it.
fn stamp(server: &Echo) -> Result<u64, Error> {
    server.endpoint.call(&Message::new(WHO, [0; WORDS])).map(|reply| reply.words[0])
}

/// A claim in every register that a call has, alone and all at once.
fn every_field(checks: &mut Checks, env: &mut Env) {
    let Some(server) = checks.works("echo", echo(env)) else { return };
    let Some(own) = checks.works("stamp", stamp(&server)) else { return };
    checks.holds(own, own >> 32 != 0 && own as u32 != 0);
    let server_stamp = calls_sender(&server);
    let honest = Registers {
        rax: Syscall::Call as u64,
        rdi: u64::from(server.endpoint.handle().0),
        rsi: u64::from(WHO),
        ..Registers::default()
    };
    for claim in claims(server_stamp) {
        // The upper half of a handle's register is ignored: a claim may stand there too.
        let handle = honest.rdi | claim << 32;
        let all = Registers { rax: honest.rax, rdi: handle, rsi: honest.rsi, ..fill(claim) };
        let tries = [
            Registers { rdi: handle, ..honest },
            Registers { rdx: claim, ..honest },
            Registers { r10: claim, ..honest },
            Registers { r8: claim, ..honest },
            Registers { r9: claim, ..honest },
            Registers { r12: claim, ..honest },
            Registers { r13: claim, ..honest },
            Registers { r14: claim, ..honest },
            Registers { r15: claim, ..honest },
            Registers { rbx: claim, ..honest },
            Registers { rcx: claim, ..honest },
            Registers { rbp: claim, ..honest },
            Registers { r11: claim, ..honest },
            all,
        ];
        for (place, registers) in tries.into_iter().enumerate() {
            let after = registers.call();
            checks.holds((place, claim, after.rax), after.rax == 0);
            checks.holds((place, claim, after.rdx), after.rdx == own);
            checks.holds("the answer is the server's", after.rdi == server_stamp.0);
        }
        // What info has beyond label and count claims nothing: it is refused.
        let reserved = Registers { rsi: honest.rsi | (claim << 35) | 1 << 63, ..honest };
        checks.refused(claim, decode(reserved.call().rax), &[Error::InvalidArgument]);
    }
    checks.works("quit", server.quit());
}

fn fill(value: u64) -> Registers {
    Registers {
        rax: value,
        rbx: value,
        rcx: value,
        rdx: value,
        rsi: value,
        rdi: value,
        rbp: value,
        r8: value,
        r9: value,
        r10: value,
        r11: value,
        r12: value,
        r13: value,
        r14: value,
        r15: value,
    }
}

/// The stamp that the server's replies carry.
fn calls_sender(server: &Echo) -> Sender {
    let registers = Registers {
        rax: Syscall::Call as u64,
        rdi: u64::from(server.endpoint.handle().0),
        ..Registers::default()
    };
    Sender(registers.call().rdi)
}

/// Capabilities along with a message change nothing about its sender, by `Send` and by `Call`.
fn capabilities(checks: &mut Checks) {
    let Some(endpoint) = checks.works("endpoint", Endpoint::create()) else { return };
    let Some(theirs) = checks.works("derive", endpoint.duplicate(Rights::SEND)) else { return };
    let sender = thread::spawn(ANY_CORE, move || {
        for count in 0..=4 {
            let gifts: Result<Vec<Handle>, Error> =
                (0..count).map(|_| Notification::create().map(Notification::into_handle)).collect();
            let message = carrying(&gifts?);
            if count % 2 == 0 {
                theirs.send(&message)?;
            } else {
                theirs.call(&message)?;
            }
        }
        Ok::<_, Error>(())
    });
    let Some(sender) = checks.works("thread", sender) else { return };
    let mut seen: Vec<Sender> = Vec::new();
    for count in 0..=4 {
        let Some((sender, message)) = checks.works(count, endpoint.receive()) else { return };
        checks.holds(count, message.info.capabilities() == count);
        seen.push(sender);
        if count % 2 == 1 {
            checks.works("reply", calls::reply(&EMPTY));
        }
        for handle in &message.capabilities[..count] {
            checks.works("drop", calls::drop_capability(*handle));
        }
    }
    checks.works("join", sender.join().and_then(|sent| sent));
    checks.holds(&seen, seen.iter().all(|sender| *sender == seen[0] && sender.process() != 0));
}

/// A server that answers in the name of others: its replies say who it is.
fn reply(checks: &mut Checks, env: &Env) {
    let Some(meeting) = checks.works("meeting", Endpoint::create()) else { return };
    let impostor = start(env, "sender.impostor", &meeting);
    let Some(impostor) = checks.works("start", impostor) else { return };
    let Some((its_stamp, hello)) = checks.works("hello", meeting.receive()) else { return };
    let endpoint = Endpoint::from_handle(hello.capabilities[0]);
    for claim in claims(its_stamp) {
        for _ in 0..3 {
            let call = Registers {
                rax: Syscall::Call as u64,
                rdi: u64::from(endpoint.handle().0),
                rdx: claim,
                ..Registers::default()
            };
            let after = call.call();
            checks.holds((claim, after.rax), after.rax == 0);
            checks.holds((claim, after.rdi), after.rdi == its_stamp.0);
        }
    }
    checks.works("kill", impostor.kill());
}

/// The accomplice of [`reply`]: takes the stamp to claim from the message, and claims it in every
/// register, by `Reply` and by `ReplyReceive` in turn.
fn impostor(meeting: &Endpoint) -> Result<(), Error> {
    let endpoint = give_endpoint(meeting)?;
    let handle = u64::from(endpoint.handle().0);
    let (_, mut message) = endpoint.receive()?;
    for number in 0_u64.. {
        let claim = message.words[0];
        // No label, no capabilities: those bits would be refused.
        if number % 2 == 0 {
            let reply = Registers { rax: Syscall::Reply as u64, rsi: 0, ..fill(claim) };
            decode(reply.call().rax)?;
            (_, message) = endpoint.receive()?;
        } else {
            let rdi = handle | claim << 32;
            let next = Registers { rax: Syscall::ReplyReceive as u64, rdi, rsi: 0, ..fill(claim) };
            let next = next.call();
            decode(next.rax)?;
            message = Message::new(0, [next.rdx; WORDS]);
        }
    }
    Ok(())
}

/// The bits of a notification are all that its waiter learns: there is no sender to forge.
fn notification(checks: &mut Checks) {
    let Some(notification) = checks.works("create", Notification::create()) else { return };
    let wait = Registers {
        rax: Syscall::NotificationWait as u64,
        rdi: u64::from(notification.handle().0),
        rsi: FOREVER,
        ..Registers::default()
    };
    for claim in claims(Sender(7 << 32 | 7)).into_iter().filter(|claim| *claim != 0) {
        let signal = Registers {
            rax: Syscall::NotificationSignal as u64,
            rdi: wait.rdi | claim << 32,
            rsi: claim,
            ..fill(claim)
        };
        checks.works(claim, decode(signal.call().rax));
        let after = wait.call();
        checks.holds((claim, after), after.rax == 0 && after.rdx == claim);
        let silent = [after.rdi, after.rsi, after.r8, after.r9, after.r10];
        checks.holds((claim, silent), silent == [0; 5]);
    }
}

/// One's own capability in another's hands, at its start and by a transfer: what comes through it
/// comes from who sends.
fn lent_capability(checks: &mut Checks, env: &Env) {
    let Some(meeting) = checks.works("meeting", Endpoint::create()) else { return };
    let image = env.handle(ATTACK_IMAGE).ok_or(Error::BadHandle);
    let image = image.and_then(|image| calls::duplicate(image, Rights::CONTROL));
    let Some(image) = checks.works("image", image.map(Image::from_handle)) else { return };
    let own = (|| {
        let mine = meeting.duplicate(Rights::SEND)?;
        let sender = thread::spawn(ANY_CORE, move || mine.send(&EMPTY))?;
        let (own, _) = meeting.receive()?;
        sender.join()??;
        Ok::<_, Error>(own)
    })();
    let Some(own) = checks.works("own stamp", own) else { return };
    let mut seen = Vec::new();
    for round in 0..4 {
        let lent = meeting.duplicate(Rights::SEND | Rights::TRANSFER);
        let Some(lent) = checks.works("derive", lent) else { return };
        let command = Command::new(&image, "attack").arg("sender.one_send");
        let child = checks.works("spawn", command.give(ACCOMPLICE, lent).spawn());
        let Some(child) = child else { return };
        let Some((sender, _)) = checks.works("receive", meeting.receive()) else { return };
        checks.holds((round, sender, own), sender.process() != own.process());
        checks.holds((round, sender), !seen.contains(&sender.process()));
        seen.push(sender.process());
        let ended = child.wait();
        checks.holds((round, ended), ended == Ok(ExitStatus::Exited(0)));
    }
    // Sent along in a message and used by the server, it is the server that sends.
    let server = start_server(env, "deputy.sends_on");
    let Some((server, to_server)) = checks.works("server", server) else { return };
    let lent = meeting.duplicate(Rights::SEND | Rights::TRANSFER).map(Endpoint::into_handle);
    let Some(lent) = checks.works("derive", lent) else { return };
    let mut message = carrying(&[lent]);
    message.info = Info::new(0, 1);
    checks.works("send", to_server.send(&message));
    let Some((sender, _)) = checks.works("receive", meeting.receive()) else { return };
    checks.holds((sender, own), sender.process() != own.process());
    checks.works("kill", server.kill());
}

/// A process that ended leaves its number to nobody.
fn numbers_used_again(checks: &mut Checks, env: &Env) {
    let Some(meeting) = checks.works("meeting", Endpoint::create()) else { return };
    let mut seen: Vec<u32> = Vec::new();
    for round in 0..40 {
        let child = start(env, "sender.one_send", &meeting);
        let Some(child) = checks.works(round, child) else { return };
        let Some((sender, _)) = checks.works(round, meeting.receive()) else { return };
        checks.holds((round, sender), !seen.contains(&sender.process()));
        seen.push(sender.process());
        checks.works("wait", child.wait());
    }
}
