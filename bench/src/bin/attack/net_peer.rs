//! Attacks on the network service in the middle of transfers. They need a peer that offers echo
//! (port 7), discard (9) and a source without end (19) over TCP: `peer=ADDRESS`.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use bench::abi::Error;
use bench::runtime::capability::Endpoint;
use bench::runtime::{Env, calls};
use bench::shared::Words;
use bench::socket_ring::{CAPACITY_MIN, Ending, SocketError};

use crate::checks::Checks;
use crate::net::{Socket, again};
use crate::random::Chance;
use crate::{net_flight, net_ring, revoked_sessions};

const ECHO: u16 = 7;
const DISCARD: u16 = 9;
const SOURCE: u16 = 19;
/// Nanoseconds between two tries while there is no address yet.
const RETRY_NS: u64 = 50_000_000;
const TRIES: usize = 400;

/// Makes one of them. `None`: there is no such attack.
pub fn run(attack: &str, checks: &mut Checks, net: &Endpoint, env: &mut Env) -> Option<()> {
    let peer = env.value("peer").and_then(|peer| peer.parse::<IpAddr>().ok());
    let Some(peer) = peer else {
        checks.holds("peer=ADDRESS", false);
        return Some(());
    };
    match attack {
        "peer_corrupt" => corrupt(checks, net, peer),
        "peer_forged_rings" => forged_rings(checks, net, peer),
        "peer_closed_midway" => closed_midway(checks, net, peer),
        "peer_slow_reader" => slow_reader(checks, net, peer),
        "peer_killed" => {
            net_flight::kill_each(checks, net, env, "net.peer_transfer_for_ever", 30);
        }
        "peer_revoked" => revoked(checks, net, peer),
        "peer_transfer_for_ever" => transfer_for_ever(net, peer),
        _ => return None,
    }
    others_are_served(checks, net, peer);
    Some(())
}

/// A connection. Waits for the machine's address, if it has none yet.
fn connect(net: &Endpoint, peer: IpAddr, port: u16) -> Result<Socket, SocketError> {
    for _ in 0..TRIES {
        let socket = again(|| Socket::connect(net, SocketAddr::new(peer, port)));
        let mut socket = socket.map_err(|_| SocketError::TooMany)?;
        match socket.opened() {
            Ok(()) => return Ok(socket),
            Err(SocketError::Unreachable | SocketError::TooMany) => {
                let _ = calls::clock().and_then(|(now, _)| calls::sleep_until(now + RETRY_NS));
            }
            Err(error) => return Err(error),
        }
    }
    Err(SocketError::Unreachable)
}

fn connected(checks: &mut Checks, net: &Endpoint, peer: IpAddr, port: u16) -> Option<Socket> {
    let socket = connect(net, peer, port);
    checks.holds(("connect", port, socket.as_ref().err()), socket.is_ok());
    socket.ok()
}

fn others_are_served(checks: &mut Checks, net: &Endpoint, peer: IpAddr) {
    let served = echoes(checks, net, peer);
    checks.holds(("others are served", served), served == Ok(()));
}

/// An honest exchange.
fn echoes(checks: &mut Checks, net: &Endpoint, peer: IpAddr) -> Result<(), Error> {
    let mut socket = connected(checks, net, peer, ECHO).ok_or(Error::PeerGone)?;
    let sent: Vec<u8> = (0..3000_u32).map(|at| (at * 7) as u8).collect();
    let wrote = socket.client.output.write(&socket.memory, &sent);
    checks.holds(("write", wrote), wrote == Ok(sent.len()));
    let wake = socket.client.finish(&socket.memory);
    socket.ring(wake);
    let mut back = Vec::new();
    let ending = socket.until(|this| {
        let ending = this.client.input_end(&this.memory);
        let mut some = [0; 500];
        while let Ok(count @ 1..) = this.client.input.read(&this.memory, &mut some) {
            back.extend_from_slice(&some[..count]);
            let wake = this.client.input.publish(&this.memory);
            this.ring(wake);
        }
        ending
    })?;
    checks.holds(("the end", ending), ending == Ending::Done);
    checks.holds("it came back as it was", back == sent);
    let over = socket.over_with()?;
    checks.holds(("over", over), over == Some(Ending::Done));
    Ok(())
}

/// Counters that make no sense, in the middle of a transfer: the connection ends, and says why.
fn corrupt(checks: &mut Checks, net: &Endpoint, peer: IpAddr) {
    for (port, word, value) in [
        (ECHO, 0, u64::MAX),
        (ECHO, 0, u64::from(CAPACITY_MIN) + 1),
        (ECHO, 5 * 8, u64::from(CAPACITY_MIN)),
        (SOURCE, 5 * 8, 1 << 40),
        (SOURCE, 5 * 8, u64::MAX),
    ] {
        let Some(mut socket) = connected(checks, net, peer, port) else { return };
        socket.memory.swap(word, value);
        checks.works("ring", socket.doorbell.signal(1));
        let ending = socket.over_with();
        let corrupt = Some(Ending::Failed(SocketError::Corrupt));
        checks.holds((port, word, value, ending), ending == Ok(corrupt));
    }
}

/// Anything anywhere, while bytes come and go.
fn forged_rings(checks: &mut Checks, net: &Endpoint, peer: IpAddr) {
    let mut chance = Chance::seeded(23);
    for round in 0..60 {
        let port = [ECHO, SOURCE, DISCARD][round % 3];
        let Some(mut socket) = connected(checks, net, peer, port) else { return };
        let _ = socket.client.output.write(&socket.memory, &[1; 2000]);
        let _ = socket.client.output.publish(&socket.memory);
        let writes = chance.below(150);
        net_ring::scribble(&mut chance, &socket, writes);
    }
}

/// Connections given up in the middle of a transfer, with and without having said that it is the
/// end.
fn closed_midway(checks: &mut Checks, net: &Endpoint, peer: IpAddr) {
    let mut chance = Chance::seeded(29);
    for round in 0..100 {
        let port = [ECHO, SOURCE, DISCARD][round % 3];
        let Some(mut socket) = connected(checks, net, peer, port) else { return };
        for _ in 0..chance.below(8) {
            let _ = socket.client.output.write(&socket.memory, &[2; 3000]);
            let mut wake = socket.client.output.publish(&socket.memory);
            if chance.below(4) == 0 {
                wake = socket.client.finish(&socket.memory);
            }
            socket.ring(wake);
            let mut some = [0; 1000];
            let _ = socket.client.input.read(&socket.memory, &mut some);
            let wake = socket.client.input.publish(&socket.memory);
            socket.ring(wake);
            let _ = calls::yield_now();
        }
    }
}

/// Connections that nobody reads from hold up nobody else, and take no more than their rings and
/// buffers; what came is there later.
fn slow_reader(checks: &mut Checks, net: &Endpoint, peer: IpAddr) {
    let mut slow = Vec::new();
    for _ in 0..8 {
        let Some(socket) = connected(checks, net, peer, SOURCE) else { return };
        slow.push(socket);
    }
    for _ in 0..10 {
        others_are_served(checks, net, peer);
    }
    for socket in &mut slow {
        let full = socket.until(|this| {
            let available = this.client.input.available(&this.memory);
            (available == Ok(CAPACITY_MIN as usize)).then_some(())
        });
        checks.works("its ring is full", full);
    }
    for socket in &mut slow {
        let mut total = 0;
        let read = socket.until(|this| {
            let mut some = [0; 4096];
            loop {
                match this.client.input.read(&this.memory, &mut some) {
                    Ok(0) => return (total > 200_000).then_some(true),
                    Ok(count) => total += count,
                    Err(_) => return Some(false),
                }
                let wake = this.client.input.publish(&this.memory);
                this.ring(wake);
                if total > 200_000 {
                    return Some(true);
                }
            }
        });
        checks.holds(("it goes on", read), read == Ok(true));
    }
}

/// Connections whose memory is taken away, as soon as there is a network.
fn revoked(checks: &mut Checks, net: &Endpoint, peer: IpAddr) {
    if connected(checks, net, peer, SOURCE).is_some() {
        revoked_sessions::peer(checks, net, peer, [SOURCE, ECHO]);
    }
}

/// The accomplice that is killed.
fn transfer_for_ever(net: &Endpoint, peer: IpAddr) {
    let mut all = Vec::new();
    let mut chance = Chance::seeded(31);
    loop {
        if all.len() < 6
            && let Ok(socket) = connect(net, peer, [ECHO, SOURCE, DISCARD][all.len() % 3])
        {
            all.push(socket);
        }
        for socket in &mut all {
            let _ = socket.client.output.write(&socket.memory, &[3; 4000]);
            let wake = socket.client.output.publish(&socket.memory);
            socket.ring(wake);
            let mut some = [0; 4096];
            let _ = socket.client.input.read(&socket.memory, &mut some);
            let wake = socket.client.input.publish(&socket.memory);
            socket.ring(wake);
        }
        if chance.below(100) == 0 {
            all.clear();
        }
        let _ = calls::yield_now();
    }
}
