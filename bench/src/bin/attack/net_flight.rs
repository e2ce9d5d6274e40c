//! Sockets whose program goes away, or gives them up while something is under way.

use alloc::vec::Vec;

use bench::abi::start::tag;
use bench::abi::{Error, Rights};
use bench::attacks::ATTACK_IMAGE;
use bench::runtime::capability::{Endpoint, Image};
use bench::runtime::process::Command;
use bench::runtime::{Env, calls};
use bench::socket_ring::Listen;

use crate::checks::Checks;
use crate::net::{NOBODY, Socket, again};
use crate::random::Chance;

/// Sockets and queries given up while they wait, many at a time: their places come back.
pub fn left_waiting(checks: &mut Checks, net: &Endpoint) {
    let mut chance = Chance::seeded(17);
    for round in 0..40 {
        let listener = again(|| {
            let reply = net.call(&Listen { port: 2500, backlog: 1 }.to_message())?;
            // The one of the round before is perhaps still ending.
            if reply.info.capabilities() == 1 {
                Ok(Endpoint::from_handle(reply.capabilities[0]))
            } else {
                Err(Error::LimitReached)
            }
        });
        let Some(listener) = checks.works(("listen", round), listener) else { return };
        let mut waiting = Vec::new();
        for number in 0..20 {
            let socket = again(|| match number % 5 {
                0 => Socket::connect(net, NOBODY),
                1 | 2 => Socket::accept(&listener),
                3 => Socket::resolve(net, 30),
                _ => Socket::ping(net, NOBODY.ip(), 60_000),
            });
            let Some(socket) = checks.works(("open", round, number), socket) else { return };
            waiting.push(socket);
        }
        if round % 2 == 0 {
            drop(listener);
        }
        for _ in 0..chance.below(8) {
            let _ = calls::yield_now();
        }
        while !waiting.is_empty() {
            drop(waiting.swap_remove(chance.below(waiting.len() as u64) as usize));
        }
    }
}

/// Programs killed at any moment, with sockets of every kind open.
pub fn killed(checks: &mut Checks, net: &Endpoint, env: &mut Env) {
    kill_each(checks, net, env, "net.open_for_ever", 30);
}

/// Starts `accomplice` and kills it, again and again.
pub fn kill_each(
    checks: &mut Checks,
    net: &Endpoint,
    env: &mut Env,
    accomplice: &str,
    rounds: u32,
) {
    let Some(image) = env.take(ATTACK_IMAGE).map(Image::from_handle) else { return };
    let peer = env.value("peer").map(|peer| alloc::format!("peer={peer}"));
    let mut chance = Chance::seeded(11);
    for round in 0..rounds {
        let rights = Rights::SEND | Rights::DUPLICATE | Rights::TRANSFER;
        let Some(given) = checks.works("duplicate", net.duplicate(rights)) else { return };
        let mut command = Command::new(&image, "attack").arg(accomplice).give(tag::NET, given);
        if let Some(peer) = &peer {
            command = command.arg(peer);
        }
        let Some(client) = checks.works("spawn", command.spawn()) else { return };
        let later = chance.below(8_000_000);
        let _ = calls::clock().and_then(|(now, _)| calls::sleep_until(now + later));
        checks.works(("kill", round), client.kill());
        checks.holds("it ended", client.wait_until(0).is_ok());
    }
}

/// The accomplice of [`killed`].
pub fn open_for_ever(net: &Endpoint) {
    let listening = net.call(&Listen { port: 2600, backlog: 2 }.to_message());
    let listener = listening.ok().filter(|reply| reply.info.capabilities() == 1);
    let listener = listener.map(|reply| Endpoint::from_handle(reply.capabilities[0]));
    let mut all = Vec::new();
    loop {
        let opened = match all.len() % 4 {
            0 => Socket::bind(net, 0),
            1 => Socket::connect(net, NOBODY),
            2 => Socket::ping(net, NOBODY.ip(), 60_000),
            _ => listener.as_ref().map_or(Err(Error::PeerGone), Socket::accept),
        };
        match opened {
            Ok(socket) => all.push(socket),
            Err(_) => drop(calls::yield_now()),
        }
        if all.len() > 40 {
            all.clear();
        }
        for socket in &mut all {
            let output = &mut socket.client.output;
            let _ = output.write_datagram(&socket.memory, NOBODY, &[1; 200]);
            let wake = socket.client.output.publish(&socket.memory);
            socket.ring(wake);
        }
    }
}
