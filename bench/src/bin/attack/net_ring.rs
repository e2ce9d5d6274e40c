//! Sockets' rings full of lies.

use core::net::{IpAddr, SocketAddr};

use bench::abi::{Error, Rights};
use bench::runtime::calls;
use bench::runtime::capability::{Endpoint, Memory};
use bench::shared::{Bytes, Words};
use bench::socket_ring::{Bind, CAPACITY_MIN, Ending, SocketError, State, datagram_max};

use crate::checks::Checks;
use crate::net::{NOBODY, Socket, again, small};
use crate::random::Chance;

/// Words of the header, one in each line.
const HEADER_LINES: u64 = 17;

/// A number that is often near something.
fn number(chance: &mut Chance) -> u64 {
    match chance.below(6) {
        0 => chance.below(64),
        1 => u64::from(CAPACITY_MIN) + chance.below(4) - 2,
        2 => chance.below(2 * u64::from(CAPACITY_MIN)),
        3 => u64::MAX - chance.below(4),
        4 => 1 << chance.below(64),
        _ => chance.word(),
    }
}

/// Writes anything anywhere into an object, and rings, again and again.
pub fn scribble(chance: &mut Chance, socket: &Socket, writes: u64) {
    for _ in 0..writes {
        let word = match chance.below(3) {
            0 => chance.below(small().bytes() as u64 / 8),
            _ => chance.below(HEADER_LINES) * 8,
        };
        socket.memory.store(word as usize, number(chance));
        if chance.below(3) == 0 {
            let _ = socket.doorbell.signal(1 << chance.below(64));
        }
        if chance.below(20) == 0 {
            let _ = calls::yield_now();
        }
    }
}

/// Anything at all in the rings and in the header, while the service works.
pub fn forged_rings(checks: &mut Checks, net: &Endpoint) {
    let mut chance = Chance::seeded(5);
    for round in 0..60 {
        let socket = again(|| match round % 4 {
            0 => Socket::connect(net, NOBODY),
            1 => Socket::resolve(net, 20),
            _ => Socket::bind(net, 0),
        });
        let Some(socket) = checks.works(("open", round), socket) else { return };
        let writes = chance.below(200);
        scribble(&mut chance, &socket, writes);
    }
    // Counters that make no sense end a socket, and say so.
    for (word, value) in
        [(0, u64::MAX), (0, u64::from(CAPACITY_MIN) + 1), (5 * 8, 1), (5 * 8, 1 << 63)]
    {
        let Some(mut socket) = checks.works("bind", again(|| Socket::bind(net, 0))) else { return };
        let opened = socket.opened();
        checks.holds(("opened", opened), opened == Ok(()));
        socket.memory.swap(word, value);
        checks.works("ring", socket.doorbell.signal(1));
        let ending = socket.over_with();
        let corrupt = Some(Ending::Failed(SocketError::Corrupt));
        checks.holds((word, value, ending), ending == Ok(corrupt));
    }
}

/// Addresses that are nobody's, everybody's, or of this machine.
fn address(chance: &mut Chance) -> IpAddr {
    let last = chance.below(256) as u8;
    match chance.below(12) {
        0 => IpAddr::from([192, 0, 2, last]),
        1 => IpAddr::from([198, 51, 100, last]),
        2 => IpAddr::from([255, 255, 255, 255]),
        3 => IpAddr::from([224, 0, 0, last]),
        4 => IpAddr::from([240, 1, 2, last]),
        5 => IpAddr::from([127, 0, 0, last]),
        6 => IpAddr::from([0, 0, 0, last]),
        7 => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(last)]),
        8 => IpAddr::from([0, 0, 0, 0, 0, 0, 0, u16::from(last & 1)]),
        9 => IpAddr::from([0xff02, 0, 0, 0, 0, 0, 0, u16::from(last)]),
        10 => IpAddr::from([0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0200]),
        _ => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, u16::from(last)]),
    }
}

/// Well-formed datagrams to addresses of every kind, of every length: each is sent or counted as not
/// sent; then heads that are none.
pub fn forged_datagrams(checks: &mut Checks, net: &Endpoint) {
    let mut chance = Chance::seeded(7);
    let Some(mut socket) = checks.works("bind", again(|| Socket::bind(net, 0))) else { return };
    let opened = socket.opened();
    checks.holds(("opened", opened), opened == Ok(()));
    let bytes = [0x61; CAPACITY_MIN as usize];
    for round in 0..3000 {
        let to = SocketAddr::new(address(&mut chance), chance.below(3) as u16 * 999);
        let most = datagram_max(socket.client.output.capacity()) as u64;
        let length = if chance.below(4) == 0 { most } else { chance.below(most + 1) };
        let taken = socket.until(|this| {
            let output = &mut this.client.output;
            let written = output.write_datagram(&this.memory, to, &bytes[..length as usize]);
            let wake = this.client.output.publish(&this.memory);
            this.ring(wake);
            match written {
                Err(bench::socket_ring::DatagramError::Full) => None,
                other => Some(other),
            }
        });
        if taken != Ok(Ok(())) {
            checks.holds(("datagram", round, to, length, taken), false);
            return;
        }
    }
    let through = socket.until(|this| {
        let room = this.client.output.room(&this.memory);
        (room != Ok(0)).then_some(room)
    });
    checks.holds(("it goes on", through), matches!(through, Ok(Ok(_))));
    checks.holds("some could not be sent", socket.client.unsent(&socket.memory) > 0);
    for head in [
        u64::from(u32::MAX),
        5 << 48 | 9 << 32 | 8,
        4 << 48 | 9 << 32 | 0xffff,
        4 << 56 | 9 << 32 | 8,
        0,
    ] {
        let Some(mut socket) = checks.works("bind", again(|| Socket::bind(net, 0))) else { return };
        let opened = socket.opened();
        checks.holds(("opened", opened), opened == Ok(()));
        let written = socket.client.output.next(&socket.memory);
        checks.holds(("room", written), written.is_ok_and(|(_, room)| room > 64));
        if let Ok((at, _)) = written {
            socket.memory.write(at, &head.to_le_bytes());
        }
        socket.client.output.advance(64);
        let _ = socket.client.output.publish(&socket.memory);
        checks.works("ring", socket.doorbell.signal(1));
        let ending = socket.over_with();
        let corrupt = Some(Ending::Failed(SocketError::Corrupt));
        checks.holds((head, ending), ending == Ok(corrupt));
    }
}

/// Two sockets over one object.
pub fn opened_twice(checks: &mut Checks, net: &Endpoint) {
    let Some(object) = checks.works("create", Memory::create(small().bytes())) else { return };
    let Some(second) = checks.works("duplicate", object.duplicate(Rights::all())) else { return };
    let bind = || Bind { layout: small(), bits: 1, port: 0 }.to_message();
    let pair = [object, second].map(|object| Socket::over(net, small(), bind(), object));
    let [Ok(mut one), Ok(mut other)] = pair else {
        checks.holds("both open", false);
        return;
    };
    for round in 0..500 {
        for socket in [&mut one, &mut other] {
            let output = &mut socket.client.output;
            let _ = output.write_datagram(&socket.memory, NOBODY, &[round as u8; 100]);
            let _ = socket.client.output.publish(&socket.memory);
            let _ = socket.doorbell.signal(1);
            let mut into = [0; 100];
            if let Ok(Some(datagram)) = socket.client.input.datagram(&socket.memory) {
                socket.client.input.take_datagram(&socket.memory, datagram, &mut into);
            }
        }
        if round % 10 == 0 {
            let _ = calls::yield_now();
        }
    }
}

/// The memory of a socket that is closed, and its doorbell.
pub fn used_after_close(checks: &mut Checks, net: &Endpoint) {
    for round in 0..30 {
        let Some(mut socket) = checks.works("bind", again(|| Socket::bind(net, 0))) else { return };
        let opened = socket.opened();
        checks.holds(("opened", opened), opened == Ok(()));
        let Socket { memory, mut client, doorbell, .. } = socket;
        let handle = doorbell.into_handle();
        checks.works("close", calls::drop_capability(handle));
        let rung = calls::notification_signal(handle, 1);
        checks.refused("ring", rung, &[Error::BadHandle]);
        for _ in 0..20 {
            let _ = client.output.write_datagram(&memory, NOBODY, &[round; 64]);
            let _ = client.output.publish(&memory);
            let _ = (client.input.datagram(&memory), client.finish(&memory));
            let _ = calls::yield_now();
        }
        // Long after its end the memory is the program's alone.
        let later = calls::clock().and_then(|(now, _)| calls::sleep_until(now + 5_000_000));
        checks.works("sleep", later);
        for word in 0..memory_words() {
            memory.store(word, 0xfeed_0000 + word as u64);
        }
        let soon = calls::clock().and_then(|(now, _)| calls::sleep_until(now + 2_000_000));
        checks.works("sleep", soon);
        let intact = (0..memory_words()).all(|word| memory.load(word) == 0xfeed_0000 + word as u64);
        checks.holds(("nobody wrote there", round), intact);
        let _ = State::from_word(memory.load(0));
    }
}

fn memory_words() -> usize {
    small().bytes() / 8
}
