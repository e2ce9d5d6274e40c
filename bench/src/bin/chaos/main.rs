//! Chaos with a seed: many processes on all cores call, reply, hand each other capabilities,
//! signal, map, spawn and are killed at random moments, while witnesses on every core must go on
//! answering.
//!
//! `chaos seed=N ms=M actors=K image=chaos:i image=echo:j` is the conductor: it keeps `K` actors
//! ([`actor`]) alive for `M` milliseconds and ends with zero if no witness was disturbed. Every
//! actor ends by itself after a while, so whoever counts processes and frames before and after must
//! find the same a moment later. `chaos caps seed=N ops=M` does only changes of authority
//! ([`caps`]).
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

extern crate alloc;

mod actor;
mod caps;
mod chance;

use alloc::format;
use alloc::vec::Vec;
use bench::abi::start::Limits;
use bench::abi::{ANY_CORE, Error, Rights};
use bench::echo::Echo;
use bench::println;
use bench::runtime::capability::{Endpoint, Image, Notification, Process};
use bench::runtime::process::Command;
use bench::runtime::{Env, ExitCode, calls, thread};
use chance::Chance;

bench::main!(main);

/// Tag of an actor's image, for children of its own.
pub const IMAGE: u32 = 0x60;
/// Tag of everything else an actor gets.
pub const THING: u32 = 0x61;
/// Nanoseconds in a millisecond.
pub const MS: u64 = 1_000_000;
/// Milliseconds an actor lives at most.
pub const LIFE_MS: u64 = 120;

/// What an actor may use: so little that it comes to the end of it now and then.
const LIMITS: Limits = Limits { frames: 2_000, threads: 24, handles: 90, messages: 8, reserved: 0 };

async fn main(mut env: Env) -> ExitCode {
    let seed = env.value("seed").and_then(|text| text.parse().ok()).unwrap_or(1);
    let number =
        |key, otherwise| env.value(key).and_then(|text| text.parse().ok()).unwrap_or(otherwise);
    let operations = number("ops", caps::OPERATIONS);
    let played = match (env.has("caps"), env.has("actor")) {
        (true, true) => return caps::act(&env, seed, operations),
        (true, false) if env.has("child") => return caps::act(&env, seed, 10),
        (true, false) => caps::conduct(&mut env, seed, operations),
        (false, true) => return actor::run(seed, &mut env),
        (false, false) => {
            let (ms, actors) = (number("ms", 3000_u64), number("actors", 16_u64));
            conduct(&mut env, seed, ms, actors)
        }
    };
    match played {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("chaos: the conductor failed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What the conductor holds, and lends to every actor.
struct Stage {
    image: Image,
    endpoints: Vec<Endpoint>,
    notifications: Vec<Notification>,
}

fn conduct(env: &mut Env, seed: u64, ms: u64, actors: u64) -> Result<bool, Error> {
    let image = env.take_image("chaos").ok_or(Error::BadHandle)?;
    let echo = env.take_image("echo").ok_or(Error::BadHandle)?;
    let cores = env.cores;
    let mut chance = Chance::new(seed);
    let mut stage = Stage { image, endpoints: Vec::new(), notifications: Vec::new() };
    let mut witnesses = Vec::new();
    for core in 0..cores {
        witnesses.push(Echo::start(&echo, core, None)?);
        // An endpoint's home is where it is created.
        for _ in 0..2 {
            stage.endpoints.push(thread::spawn(core, Endpoint::create)?.join()??);
        }
        stage.notifications.push(Notification::create()?);
    }
    let end = calls::clock()?.0 + ms * MS;
    let mut cast: Vec<Process> = Vec::new();
    let (mut started, mut killed, mut refused, mut asked) = (0_u64, 0_u64, 0_u64, 0_u64);
    while calls::clock()?.0 < end {
        while (cast.len() as u64) < actors {
            match stage.actor(&mut chance) {
                Ok(actor) => {
                    started += 1;
                    cast.push(actor);
                }
                Err(Error::OutOfMemory | Error::LimitReached) => {
                    refused += 1;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        calls::sleep_until(calls::clock()?.0 + chance.below(3 * MS))?;
        if let Some(place) = chance.place(cast.len()).filter(|_| chance.one_in(3)) {
            let victim = cast.swap_remove(place);
            victim.kill()?;
            if victim.wait_until(0).is_err() {
                println!("chaos seed {seed}: a process was killed and has not ended");
                return Ok(false);
            }
            killed += 1;
        }
        // What it lent, to whom it went and what they made of it, taken back.
        if let Some(place) = chance.place(stage.endpoints.len()).filter(|_| chance.one_in(12)) {
            stage.endpoints[place].revoke()?;
        }
        if let Some(place) = chance.place(stage.notifications.len()).filter(|_| chance.one_in(12)) {
            stage.notifications[place].revoke()?;
        }
        cast.retain(|actor| actor.wait_until(0).is_err());
        asked += 1;
        let witness = &witnesses[asked as usize % witnesses.len()];
        let words = [asked, !asked, seed, chance.word(), 5, asked << 40];
        if witness.answers(words) != Ok(true) {
            println!("chaos seed {seed}: a witness no longer answers");
            return Ok(false);
        }
    }
    for actor in cast {
        actor.kill()?;
    }
    for witness in witnesses {
        witness.quit()?;
    }
    println!(
        "chaos seed {seed}: {started} actors, {killed} killed, {refused} refused; {asked} answers of witnesses"
    );
    Ok(true)
}

impl Stage {
    /// One more actor, with some of the shared things and random rights to them.
    fn actor(&self, chance: &mut Chance) -> Result<Process, Error> {
        let (seed, life) = (chance.word(), 1 + chance.below(LIFE_MS));
        let (seed, life) = (format!("seed={seed}"), format!("life={life}"));
        let core = if chance.one_in(4) { ANY_CORE } else { chance.below(4) as u32 };
        let (_, cores) = calls::core()?;
        let core = if core == ANY_CORE { core } else { core % cores };
        let spawn = Rights::CONTROL | Rights::DUPLICATE | Rights::TRANSFER;
        let mut command = Command::new(&self.image, "chaos")
            .arg("actor")
            .arg(&seed)
            .arg(&life)
            .core(core)
            .limits(LIMITS)
            .give(IMAGE, self.image.duplicate(spawn)?);
        let pass = Rights::DUPLICATE | Rights::TRANSFER;
        for _ in 0..1 + chance.below(4) {
            let (Some(one), Some(other)) =
                (chance.place(self.endpoints.len()), chance.place(self.notifications.len()))
            else {
                break;
            };
            let rights = [Rights::SEND, Rights::RECEIVE, Rights::SEND | Rights::RECEIVE];
            let rights = rights[chance.below(3) as usize];
            command = command
                .give(THING, self.endpoints[one].duplicate(rights | pass)?)
                .give(THING, self.notifications[other].duplicate(rights | pass)?);
        }
        command.spawn()
    }
}
