//! Servers and clients on all cores, killed in the middle of their conversations in any order.
//!
//! Whoever is left must hear of it: a client whose server is gone gets `PeerGone` and ends well; a
//! server whose client is gone goes on with the next.

use alloc::vec::Vec;

use bench::abi::message::{Message, WORDS};
use bench::abi::{Error, ExitStatus, Rights};
use bench::attacks::{ACCOMPLICE, ATTACK_IMAGE};
use bench::runtime::capability::{Endpoint, Image, Process};
use bench::runtime::process::Command;
use bench::runtime::{Env, calls};

use crate::checks::Checks;
use crate::messages::give_endpoint;
use crate::random::Chance;

const ROUNDS: u64 = 40;
const CLIENTS: usize = 4;
/// Nanoseconds that the survivors get to notice.
const PATIENCE_NS: u64 = 20_000_000_000;

/// The accomplice that answers, whatever happens to its callers.
pub fn serve_for_ever(meeting: &Endpoint) -> Result<(), Error> {
    let endpoint = give_endpoint(meeting)?;
    let mut received = endpoint.receive();
    loop {
        received = match received {
            Ok((_, message)) => endpoint.reply_receive(&message),
            // Not a reason to stop: the caller is gone.
            Err(_) => Ok(endpoint.receive()?),
        };
    }
}

/// The accomplice that calls until its server is gone.
pub fn call_for_ever(server: &Endpoint) -> Result<(), Error> {
    for number in 0.. {
        let message = Message::new(7, [number; WORDS]);
        match server.call(&message) {
            Ok(reply) if reply == message => {}
            Ok(_) => return Err(Error::InvalidArgument),
            Err(Error::PeerGone) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Rounds of one server and some clients, each round killed in another order.
pub fn kill_storm(checks: &mut Checks, env: &mut Env) {
    let Some(image) = env.take(ATTACK_IMAGE).map(Image::from_handle) else { return };
    let mut chance = Chance::seeded(calls::clock().map_or(1, |(now, _)| now));
    for round in 0..ROUNDS {
        let played = play(&image, u64::from(env.cores), &mut chance, round);
        checks.works(("round", round), played);
    }
    checks.works("the program goes on", calls::null());
}

fn play(image: &Image, cores: u64, chance: &mut Chance, round: u64) -> Result<(), Error> {
    let mut anywhere = || chance.below(cores) as u32;
    let meeting = Endpoint::create()?;
    let start = |part: &'static str, core: u32, endpoint: &Endpoint| {
        Command::new(image, "attack")
            .arg(part)
            .core(core)
            .give(ACCOMPLICE, endpoint.duplicate(Rights::SEND | Rights::TRANSFER)?)
            .spawn()
    };
    let server = start("message.serve_for_ever", anywhere(), &meeting)?;
    let (_, hello) = meeting.receive()?;
    let endpoint = Endpoint::from_handle(hello.capabilities[0]);
    let mut clients: Vec<Process> = Vec::with_capacity(CLIENTS);
    for _ in 0..CLIENTS {
        clients.push(start("message.call_for_ever", anywhere(), &endpoint)?);
    }
    drop(endpoint);
    let (now, _) = calls::clock()?;
    calls::sleep_until(now + chance.below(8_000_000))?;
    // Kill some clients, then the server, then the clients that are left have to end by themselves.
    let victims = (round as usize) % (CLIENTS + 1);
    for client in &clients[..victims] {
        client.kill()?;
    }
    server.kill()?;
    for client in &clients[victims..] {
        let (now, _) = calls::clock()?;
        if client.wait_until(now + PATIENCE_NS)? != ExitStatus::Exited(0) {
            return Err(Error::InvalidArgument);
        }
    }
    Ok(())
}
