//! Calls that are no calls of the network service, and sockets opened with the wrong things.

use bench::abi::message::{Info, Message};
use bench::abi::{Error, Handle, PAGE, Rights, Syscall};
use bench::runtime::capability::{Endpoint, Memory, Notification};
use bench::runtime::{calls, syscall};
use bench::socket_ring::{ACCEPT, BIND, Bind, CONNECT, Connect, INFO, LISTEN, PING, Ping, RESOLVE};

use crate::checks::Checks;
use crate::net::{NOBODY, notification, small};
use crate::random::Chance;

const INVALID: &[Error] = &[Error::InvalidArgument];

/// Calls that are none, and rights that nobody was given.
pub fn bad_calls(checks: &mut Checks, net: &Endpoint) {
    for label in [0, ACCEPT, 8, 9, 0x7fff_ffff, u32::MAX] {
        let answer = net.call(&Message::new(label, [u64::MAX; 6]));
        checks.refused(("label", label), answer, INVALID);
    }
    for words in [[u64::MAX; 6], [1 << 40, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1]] {
        checks.refused(words, net.call(&Message::new(INFO, words)), INVALID);
    }
    for words in [[0; 6], [1 << 16, 1, 0, 0, 0, 0], [80, 1 << 16, 0, 0, 0, 0], [80, 1, 1, 0, 0, 0]]
    {
        checks.refused(words, net.call(&Message::new(LISTEN, words)), INVALID);
    }
    checks.works("send", net.send(&Message::new(INFO, [0; 6])));
    checks.works("send", net.send(&Message::new(LISTEN, [2999, 1, 0, 0, 0, 0])));
    checks.works("send", net.send(&Message::new(CONNECT, [1; 6])));
    checks.refused("receive", net.receive(), &[Error::NotPermitted]);
    let both = syscall::exchange(Syscall::ReplyReceive, net.handle(), &Message::new(0, [0; 6]));
    checks.refused("reply and receive", both, &[Error::NotPermitted]);
    checks.refused("widen", net.duplicate(Rights::all()), &[Error::NotPermitted]);
    // What a call brings along that nobody asked for is gone, and no harm.
    for _ in 0..100 {
        let mut message = Message::new(INFO, [0; 6]);
        message.info = Info::new(INFO, 4);
        message.capabilities = core::array::from_fn(|_| notification());
        checks.works("with luggage", net.call(&message));
        checks.refused("it went", calls::inspect(message.capabilities[0]), &[Error::BadHandle]);
    }
    // Anything at all in the words, with what belongs to a socket along.
    let mut chance = Chance::seeded(13);
    for _ in 0..3000 {
        let label = [CONNECT, BIND, RESOLVE, PING][chance.below(4) as usize];
        let words = core::array::from_fn(|_| match chance.below(4) {
            0 => chance.word(),
            1 => chance.below(8),
            2 => 1 << chance.below(64),
            _ => u64::from(small().to_network()) | u64::from(small().from_network()) << 32,
        });
        let opened = open(net, label, &GOOD, words);
        let known = [Error::InvalidArgument, Error::LimitReached, Error::OutOfMemory];
        let good = opened.is_ok_and(|()| true) || opened.is_err_and(|error| known.contains(&error));
        checks.holds(("any words", label, words, opened), good);
    }
}

/// What an attempt to open brings along.
struct Luggage {
    memory: Rights,
    bytes: usize,
    notification: Rights,
}

const GOOD: Luggage =
    Luggage { memory: Rights::all(), bytes: 3 * PAGE, notification: Rights::all() };

fn open(net: &Endpoint, label: u32, luggage: &Luggage, words: [u64; 6]) -> Result<(), Error> {
    let object = Memory::create(luggage.bytes)?;
    let memory = object.duplicate(luggage.memory | Rights::TRANSFER)?;
    let notification = Notification::create()?;
    let told = notification.duplicate(luggage.notification | Rights::TRANSFER)?;
    call(net, label, &[memory.into_handle(), told.into_handle()], words)
}

fn call(net: &Endpoint, label: u32, handles: &[Handle], words: [u64; 6]) -> Result<(), Error> {
    let mut message = Message::new(label, words);
    message.info = Info::new(label, handles.len() as u8);
    message.capabilities[..handles.len()].copy_from_slice(handles);
    let reply = net.call(&message)?;
    // The doorbell: a session that was opened ends here.
    calls::drop_capability(reply.capabilities[0])
}

/// Sockets opened with the wrong things.
pub fn bad_opens(checks: &mut Checks, net: &Endpoint) {
    let ping = Ping { bits: 1, host: NOBODY.ip(), sequence: 1, payload_bytes: 8, limit_ms: 100 };
    let good = [
        (BIND, Bind { layout: small(), bits: 1, port: 0 }.to_message().words),
        (CONNECT, Connect { layout: small(), bits: 1, peer: NOBODY }.to_message().words),
        (RESOLVE, [1, 5, 0, 0, 0, 0]),
        (PING, ping.to_message().words),
    ];
    for (label, good) in good {
        let again = || crate::net::again(|| open(net, label, &GOOD, good));
        checks.works(("open", label), again());
        let bits = usize::from(label == BIND || label == CONNECT);
        for word in (0..6).filter(|word| *word != bits) {
            let mut words = good;
            words[word] = u64::MAX;
            checks.refused((label, word), open(net, label, &GOOD, words), INVALID);
        }
        let mut words = good;
        words[bits] = 0;
        checks.refused((label, "nothing to signal"), open(net, label, &GOOD, words), INVALID);
        if label == BIND || label == CONNECT {
            for rings in [0, 1, 3 << 12 | 3 << 44, 1 << 12, 1 << 44, 1 << 31 | 1 << 63, 2048 << 32]
            {
                let mut words = good;
                words[0] = rings;
                checks.refused((label, "rings", rings), open(net, label, &GOOD, words), INVALID);
            }
            let short = Luggage { bytes: 2 * PAGE, ..GOOD };
            checks.refused((label, "too small"), open(net, label, &short, good), INVALID);
        }
        let denied = &[Error::NotPermitted];
        for memory in [Rights::RECEIVE, Rights::SEND, Rights::empty()] {
            let luggage = Luggage { memory, ..GOOD };
            checks.refused((label, "memory", memory), open(net, label, &luggage, good), denied);
        }
        let luggage = Luggage { notification: Rights::RECEIVE, ..GOOD };
        checks.refused((label, "nobody to signal"), open(net, label, &luggage, good), denied);
        let memory = || Memory::create(3 * PAGE).map_or(Handle::NONE, Memory::into_handle);
        checks.refused("nothing along", call(net, label, &[], good), INVALID);
        checks.refused("one along", call(net, label, &[memory()], good), INVALID);
        let three = [memory(), notification(), notification()];
        checks.refused("three along", call(net, label, &three, good), INVALID);
        let swapped = call(net, label, &[notification(), memory()], good);
        checks.refused("swapped", swapped, &[Error::WrongKind]);
        let itself = net.duplicate(Rights::SEND | Rights::TRANSFER).map(Endpoint::into_handle);
        if let Some(itself) = checks.works("duplicate", itself) {
            let odd = call(net, label, &[memory(), itself], good);
            checks.refused("itself along", odd, &[Error::WrongKind]);
        }
        let forged = call(net, label, &[Handle(0xdead_beef), notification()], good);
        checks.refused("forged", forged, &[Error::BadHandle]);
    }
}
