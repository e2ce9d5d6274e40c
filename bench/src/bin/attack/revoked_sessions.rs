//! Sessions of the kernel's services over memory that is taken away from them: from then on it is
//! its owner's alone, however busy the session was and whatever lies in its rings; and a session
//! that sleeps ends, though nobody rings it and its doorbell is held.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use bench::abi::{Error, PAGE, Protection, Rights};
use bench::block_ring::{Operation, Request, Words};
use bench::runtime::calls;
use bench::runtime::capability::{Endpoint, Memory};
use bench::runtime::memory::SharedMapping;
use bench::socket_ring::{Bind, Connect, Ping};

use crate::checks::Checks;
use crate::disk::{ENTRIES, PAGES, Session};
use crate::net::{NOBODY, Socket, small};
use crate::random::Chance;

const MARK: u64 = 0xa5a5_5a5a_c3c3_3c3c;
/// Nanoseconds between two looks, and looks.
const LOOK_NS: u64 = 1_000_000;
const LOOKS: u32 = 20;
/// Looks without a change after which a device has finished what it had begun, and most looks.
const SETTLED_LOOKS: u32 = 50;
const SETTLING_LOOKS: u32 = 5_000;
/// Nanoseconds in which a session that sleeps has fallen asleep, and in which it ends.
const ASLEEP_NS: u64 = 20_000_000;
const PATIENCE_NS: u64 = 10_000_000_000;

/// Memory of which others get only what comes of `root`.
struct Lent {
    mine: SharedMapping,
    words: usize,
    root: Memory,
    _all: Memory,
}

impl Lent {
    fn new(len: usize) -> Result<Self, Error> {
        let all = Memory::create(len)?;
        let mine = SharedMapping::new(&all, 0, len, Protection::WRITE)?;
        Ok(Self { mine, words: len / 8, root: all.duplicate(Rights::all())?, _all: all })
    }

    /// For a session.
    fn lend(&self) -> Result<Memory, Error> {
        self.root.duplicate(Rights::all())
    }

    fn look(&self) -> Vec<u64> {
        (0..self.words).map(|word| self.mine.load(word)).collect()
    }

    fn fill(&self) {
        (0..self.words).for_each(|word| self.mine.store(word, MARK));
    }

    /// Waits until nothing has come for a while: what a device had begun may still.
    fn settle(&self) -> Result<(), Error> {
        let (mut last, mut same) = (self.look(), 0);
        for _ in 0..SETTLING_LOOKS {
            sleep(LOOK_NS)?;
            let now = self.look();
            same = if now == last { same + 1 } else { 0 };
            if same == SETTLED_LOOKS {
                return Ok(());
            }
            last = now;
        }
        Err(Error::TimedOut)
    }

    /// Whether it stays as it is. `disturb` is done between the looks.
    fn stays(&self, mut disturb: impl FnMut()) -> bool {
        let before = self.look();
        (0..LOOKS).all(|_| {
            disturb();
            sleep(LOOK_NS).is_ok() && self.look() == before
        })
    }
}

fn sleep(ns: u64) -> Result<(), Error> {
    calls::sleep_until(calls::clock()?.0 + ns)
}

/// Tries again while those before have not quite ended.
fn soon<T>(mut open: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    let deadline = calls::clock()?.0 + PATIENCE_NS;
    loop {
        match open() {
            Err(Error::LimitReached) if calls::clock()?.0 < deadline => sleep(LOOK_NS)?,
            other => return other,
        }
    }
}

/// Sessions over one memory until there are no more: all end by one revoke, and their places come
/// back.
fn sleepers<S>(checks: &mut Checks, len: usize, mut open: impl FnMut(Memory) -> Result<S, Error>) {
    let Some(lent) = checks.works("create", Lent::new(len)) else { return };
    let Some(first) = checks.works("open", soon(|| open(lent.lend()?))) else { return };
    let mut all = Vec::from([first]);
    let refusal = loop {
        match lent.lend().and_then(&mut open) {
            Ok(session) => all.push(session),
            Err(error) => break Err::<(), _>(error),
        }
    };
    checks.refused(("one more", all.len()), refusal, &[Error::LimitReached]);
    checks.works("sleep", sleep(ASLEEP_NS));
    checks.works("revoke", lent.root.revoke());
    lent.fill();
    let mut others = Vec::new();
    for number in 0..all.len() {
        let other = soon(|| open(Memory::create(len)?));
        let Some(other) = checks.works(("a place came back", number), other) else { break };
        others.push(other);
    }
    checks.holds("nobody wrote there", lent.stays(|| ()));
}

/// Sessions with a disk, in the middle of their work and asleep.
pub fn disk(checks: &mut Checks, disk: &Endpoint) {
    let mut chance = Chance::seeded(41);
    let len = PAGES as usize * PAGE;
    for round in 0..24 {
        let Some(lent) = checks.works("create", Lent::new(len)) else { return };
        let session = soon(|| Session::over(disk, lent.lend()?));
        let Some(mut session) = checks.works("open", session) else { return };
        let read = |number: u32| Operation::Read {
            lba: u64::from(number) * 8,
            first_page: 1 + number % ENTRIES,
            pages: 1,
        };
        for number in 0..ENTRIES {
            session.submit(read(number), number.into());
        }
        session.publish();
        for _ in 0..chance.below(ENTRIES.into()) {
            checks.holds("it works", session.completion().is_ok());
        }
        if round % 4 == 3 {
            checks.works("sleep", sleep(ASLEEP_NS));
        }
        checks.works("revoke", lent.root.revoke());
        checks.works(("the disk ends what it began", round), lent.settle());
        let Session { mut client, doorbell, memory, .. } = session;
        // The ring goes on as if nothing had been, or makes no sense.
        if round % 2 == 0 {
            lent.fill();
        } else {
            while let Ok(Some(_)) = client.reap(&lent.mine) {}
            for tag in 0..8 {
                let _ = client.submit(&lent.mine, Request { operation: read(1), tag });
            }
            let _ = client.publish(&lent.mine);
        }
        let rings = round % 3 != 0;
        let alone = lent.stays(|| {
            if rings {
                let _ = doorbell.signal(1);
            }
        });
        checks.holds(("nobody wrote there", round), alone);
        drop((memory, doorbell));
    }
    sleepers(checks, len, |memory| Session::over(disk, memory));
}

/// Writes datagrams to nobody until the ring is full.
fn fill_output(socket: &mut Socket, memory: &SharedMapping) {
    let output = &mut socket.client.output;
    while output.write_datagram(memory, NOBODY, &[7; 100]).is_ok() {}
    let _ = output.publish(memory);
}

/// Sockets for datagrams, in the middle of their work; and those of every kind, asleep.
pub fn net(checks: &mut Checks, net: &Endpoint) {
    let mut chance = Chance::seeded(43);
    let bind = || Bind { layout: small(), bits: 1, port: 0 }.to_message();
    for round in 0..24 {
        let Some(lent) = checks.works("create", Lent::new(small().bytes())) else { return };
        let socket = soon(|| Socket::over(net, small(), bind(), lent.lend()?));
        let Some(mut socket) = checks.works("open", socket) else { return };
        let opened = socket.opened();
        checks.holds(("opened", opened), opened == Ok(()));
        for _ in 0..chance.below(200) {
            fill_output(&mut socket, &lent.mine);
            let _ = socket.doorbell.signal(1);
        }
        if round % 4 == 3 {
            checks.works("sleep", sleep(ASLEEP_NS));
        }
        checks.works("revoke", lent.root.revoke());
        if round % 2 == 0 {
            lent.fill();
        } else {
            fill_output(&mut socket, &lent.mine);
        }
        let rings = round % 3 != 0;
        let alone = lent.stays(|| {
            if rings {
                let _ = socket.doorbell.signal(1);
            }
        });
        checks.holds(("nobody wrote there", round), alone);
    }
    let mut number = 0;
    sleepers(checks, small().bytes(), |memory| {
        number += 1;
        let message = match number % 4 {
            0 => Connect { layout: small(), bits: 1, peer: NOBODY }.to_message(),
            1 => {
                Ping { bits: 1, host: NOBODY.ip(), sequence: 1, payload_bytes: 8, limit_ms: 60_000 }
                    .to_message()
            }
            _ => bind(),
        };
        Socket::over(net, small(), message, memory)
    });
}

/// A connection from which bytes come without end, and one that has finished what it sends: neither
/// touches the rings any more.
pub fn peer(checks: &mut Checks, net: &Endpoint, peer: IpAddr, ports: [u16; 2]) {
    let mut chance = Chance::seeded(47);
    for round in 0..16 {
        let port = ports[round % 2];
        let Some(lent) = checks.works("create", Lent::new(small().bytes())) else { return };
        let connect =
            || Connect { layout: small(), bits: 1, peer: SocketAddr::new(peer, port) }.to_message();
        let socket = soon(|| Socket::over(net, small(), connect(), lent.lend()?));
        let Some(mut socket) = checks.works("open", socket) else { return };
        let opened = socket.opened();
        checks.holds(("opened", port, opened), opened == Ok(()));
        for _ in 0..chance.below(300) {
            let _ = socket.client.output.write(&lent.mine, &[2; 3000]);
            let _ = socket.client.output.publish(&lent.mine);
            let mut some = [0; 4096];
            let _ = socket.client.input.read(&lent.mine, &mut some);
            let _ = socket.client.input.publish(&lent.mine);
            let _ = socket.doorbell.signal(1);
        }
        if round % 4 >= 2 {
            let _ = socket.client.finish(&lent.mine);
            let _ = socket.doorbell.signal(1);
        }
        checks.works("revoke", lent.root.revoke());
        if round % 8 >= 4 {
            lent.fill();
        }
        // Nobody else can ring it: without a revoke it would linger over what is in the ring.
        if round % 3 == 0 {
            let Socket { doorbell, .. } = socket;
            drop(doorbell);
            checks.holds(("nobody wrote there", round), lent.stays(|| ()));
        } else {
            let alone = lent.stays(|| {
                let _ = socket.doorbell.signal(1);
            });
            checks.holds(("nobody wrote there", round), alone);
        }
    }
}
