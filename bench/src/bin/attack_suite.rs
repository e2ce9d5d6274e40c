//! Runs every attack of `bench::attacks` as a process of its own, then random system calls, and
//! after each asks a witness, started before all of them, whether it still answers.
//!
//! Arguments: `filter=PREFIX`, `quick` (fewer random calls), `random=N` (how many), `seed=N` (the
//! first seed), `rounds=N` (of all attacks, for long runs: the kernel must have as much memory
//! after many as after one), `peer=ADDRESS` (a machine that offers echo, discard and a source over
//! TCP at their ports). Attacks that need a disk, a device, the network or the peer are left out where there
//! is none. One line is printed for each attack; the exit code says whether all
//! ended as they had to.
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

extern crate alloc;

use alloc::format;
use alloc::string::String;

use bench::abi::start::tag;
use bench::abi::{Error, ExitStatus, Rights};
use bench::arguments::wanted;
use bench::attacks::{
    ACCOMPLICE, ATTACK_IMAGE, ATTACKS, Expected, NEED_DEVICE, NEED_DISK, NEED_NETWORK, NEED_PEER,
    PASSED, PROGRESS, PROGRESS_STEP, RANDOM,
};
use bench::echo::Echo;
use bench::println;
use bench::probe::{ECHO_IMAGE, NOOP_IMAGE};
use bench::runtime::capability::{Endpoint, Image, Notification};
use bench::runtime::process::Command;
use bench::runtime::{Env, ExitCode, calls};

bench::main!(main);

/// Nanoseconds an attack may take that has to end.
const PATIENCE_NS: u64 = 60_000_000_000;
/// Nanoseconds an attack that does not end is left alone.
const ENDLESS_NS: u64 = 50_000_000;
/// Random calls made, and made in a hurry.
const RANDOM_CALLS: u64 = 1_000_000;
const RANDOM_CALLS_QUICK: u64 = 20_000;
/// Nanoseconds between two looks at a random caller, and how many fruitless ones make it stuck.
const LOOK_NS: u64 = 4_000_000;
const STUCK_LOOKS: u32 = 5;
/// The first look may have to wait for the process to start.
const FIRST_LOOKS: u32 = 100;

/// How an attack is told of its disk.
const DISK: &str = "disk=given:0";
/// How an attack is told of its device.
const DEVICE: &str = "device=lent:0";

struct Suite {
    env: Env,
    attack: Image,
    echo: Image,
    noop: Image,
    witness: Echo,
    /// `peer=ADDRESS`, if there is one.
    peer: Option<String>,
    asked: u64,
    wrong: u32,
}

async fn main(mut env: Env) -> ExitCode {
    let mut image = |name| {
        let image = env.take_image(name);
        if image.is_none() {
            println!("no argument image={name}:N with a capability for it");
        }
        image
    };
    let (Some(attack), Some(echo), Some(noop)) = (image("attack"), image("echo"), image("noop"))
    else {
        return ExitCode::FAILURE;
    };
    let witness = match Echo::start(&echo, 0, None) {
        Ok(witness) => witness,
        Err(error) => {
            println!("no witness: {error}");
            return ExitCode::FAILURE;
        }
    };
    let peer = env.value("peer").map(|peer| format!("peer={peer}"));
    let mut suite = Suite { env, attack, echo, noop, witness, peer, asked: 0, wrong: 0 };
    let mut made = 0;
    let rounds = suite.env.value("rounds").and_then(|text| text.parse().ok()).unwrap_or(1);
    for attack in (0..rounds).flat_map(|_: u32| ATTACKS) {
        let env = &suite.env;
        if attack.name.starts_with(NEED_DISK) && env.disks().next().is_none()
            || attack.name.starts_with(NEED_DEVICE) && env.devices().next().is_none()
            || attack.name.starts_with(NEED_NETWORK) && env.handle(tag::NET).is_none()
            || attack.name.starts_with(NEED_PEER) && env.value("peer").is_none()
        {
            continue;
        }
        if wanted(suite.env.args(), attack.name) {
            made += 1;
            suite.make(attack.name, attack.expected);
        }
    }
    if wanted(suite.env.args(), RANDOM) {
        suite.random_calls();
    }
    let Suite { witness, wrong, .. } = suite;
    println!("{made} attacks, {wrong} wrong");
    if let Err(error) = witness.quit() {
        println!("WRONG: the witness did not end: {error}");
        return ExitCode::FAILURE;
    }
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Suite {
    /// Makes one attack and tells how it ended.
    fn make(&mut self, name: &str, expected: Expected) {
        let ended = self.ended(name, expected);
        let right = match (expected, ended) {
            (Expected::Refused, Ok(ExitStatus::Exited(0)))
            | (Expected::Killed, Ok(ExitStatus::Killed)) => true,
            (
                Expected::Fault(vectors) | Expected::FaultOrNothing(vectors),
                Ok(ExitStatus::Faulted(vector)),
            ) => vectors.contains(&vector),
            (Expected::FaultOrNothing(_), Ok(ExitStatus::Exited(code))) => code == PASSED.0,
            _ => false,
        };
        let witness = self.witness_answers();
        let verdict = if right && witness { "ok" } else { "WRONG" };
        if verdict != "ok" {
            self.wrong += 1;
        }
        let after = if witness { "" } else { "; the witness no longer answers" };
        match ended {
            Ok(ExitStatus::Exited(0)) => {
                println!("{verdict} {name}: everything was refused{after}");
            }
            Ok(ExitStatus::Exited(code)) => println!("{verdict} {name}: exit code {code}{after}"),
            Ok(ExitStatus::Killed) => println!("{verdict} {name}: killed{after}"),
            Ok(ExitStatus::Faulted(vector)) => {
                println!("{verdict} {name}: stopped by exception {vector}{after}");
            }
            Err(error) => println!("{verdict} {name}: {error}{after}"),
        }
    }

    fn ended(&self, name: &str, expected: Expected) -> Result<ExitStatus, Error> {
        let patience = if expected == Expected::Killed { ENDLESS_NS } else { PATIENCE_NS };
        let process = self.command(name, Rights::SEND)?.spawn()?;
        match process.wait_until(calls::clock()?.0 + patience) {
            Err(Error::TimedOut) => {
                process.kill()?;
                let ended = process.wait()?;
                // One that had to end by itself did not.
                if expected == Expected::Killed { Ok(ended) } else { Err(Error::TimedOut) }
            }
            other => other,
        }
    }

    /// An attack with everything it may want to misuse. `console` is what it may do to the console
    /// and the kernel log.
    fn command<'a>(&'a self, name: &'a str, console: Rights) -> Result<Command<'a>, Error> {
        let mut command = Command::new(&self.attack, "attack").arg(name);
        for (tag, rights) in [(tag::CONSOLE, console), (tag::LOG, console), (tag::REPORT, console)]
        {
            if let Some(handle) = self.env.handle(tag) {
                command = command.give(tag, calls::duplicate(handle, rights | Rights::TRANSFER)?);
            }
        }
        if let Some(handle) = self.env.handle(tag::NET) {
            let rights = Rights::SEND | Rights::DUPLICATE | Rights::TRANSFER;
            command = command.give(tag::NET, calls::duplicate(handle, rights)?);
            if let Some(peer) = &self.peer {
                command = command.arg(peer);
            }
        }
        let spawn = Rights::CONTROL | Rights::DUPLICATE | Rights::TRANSFER;
        if let Some((_, tag)) = self.env.disks().next()
            && let Some(handle) = self.env.handle(tag)
        {
            let rights = Rights::SEND | Rights::DUPLICATE | Rights::TRANSFER;
            command = command.arg(DISK).give(tag::DISK, calls::duplicate(handle, rights)?);
        }
        if let Some((_, tag)) = self.env.devices().next()
            && let Some(handle) = self.env.handle(tag)
        {
            let rights = Rights::SEND | Rights::RECEIVE | Rights::DUPLICATE | Rights::TRANSFER;
            command = command.arg(DEVICE).give(tag::DEVICE, calls::duplicate(handle, rights)?);
        }
        Ok(command
            .give(ATTACK_IMAGE, self.attack.duplicate(spawn)?)
            .give(ECHO_IMAGE, self.echo.duplicate(spawn)?)
            .give(NOOP_IMAGE, self.noop.duplicate(spawn)?))
    }

    /// Whether the witness still answers with what it is sent.
    fn witness_answers(&mut self) -> bool {
        self.asked += 1;
        let words = [self.asked, !self.asked, 3, 4, 5, self.asked << 32];
        self.witness.answers(words) == Ok(true)
    }

    /// Random callers, a pair after the other, until together they have made enough calls.
    fn random_calls(&mut self) {
        let number = |key| self.env.value(key).and_then(|text| text.parse::<u64>().ok());
        let quick = if self.env.has("quick") { RANDOM_CALLS_QUICK } else { RANDOM_CALLS };
        let wanted = number("random").unwrap_or(quick);
        let first = number("seed").unwrap_or(1);
        let (mut made, mut seed, mut fruitless) = (0, first, 0);
        while made < wanted {
            match self.random_pair(seed) {
                Ok(calls) if calls > 0 => {
                    made += calls;
                    fruitless = 0;
                }
                // Some end at once; many in a row mean that something is wrong.
                outcome => {
                    fruitless += 1;
                    if fruitless > 100 {
                        println!("WRONG random: the callers no longer call: {outcome:?}");
                        self.wrong += 1;
                        return;
                    }
                }
            }
            if !self.witness_answers() {
                println!("WRONG random: the witness no longer answers after seed {seed}");
                self.wrong += 1;
                return;
            }
            seed += 1;
            if (seed - first).is_multiple_of(100) {
                println!("{made} random calls by {} pairs of processes", seed - first);
            }
        }
        println!("ok random: {made} calls by {} pairs of processes", seed - first);
    }

    /// Two random callers that share an endpoint and a notification, until both have ended or are
    /// stuck; at least how many calls they made.
    fn random_pair(&self, seed: u64) -> Result<u64, Error> {
        let (progress, shared) = (Notification::create()?, Endpoint::create()?);
        let start = |seed: u64| {
            let seed = format!("seed={seed}");
            let rights = Rights::all();
            // The console without the right to write: what they would print is no news.
            self.command(RANDOM, Rights::DUPLICATE)?
                .arg(&seed)
                .give(PROGRESS, progress.duplicate(Rights::SEND | Rights::TRANSFER)?)
                .give(ACCOMPLICE, shared.duplicate(rights)?)
                .spawn()
        };
        let pair = [start(2 * seed)?, start(2 * seed + 1)?];
        drop(shared);
        let (mut made, mut fruitless, mut limit) = (0, 0, FIRST_LOOKS);
        while fruitless < limit {
            match progress.wait_until(calls::clock()?.0 + LOOK_NS) {
                Ok(bits) => {
                    made += u64::from(bits.count_ones()) * PROGRESS_STEP;
                    (fruitless, limit) = (0, STUCK_LOOKS);
                }
                Err(Error::TimedOut) => {
                    if pair.iter().all(|process| process.wait_until(0).is_ok()) {
                        return Ok(made);
                    }
                    fruitless += 1;
                }
                Err(error) => return Err(error),
            }
        }
        for process in &pair {
            process.kill()?;
            process.wait()?;
        }
        Ok(made)
    }
}
