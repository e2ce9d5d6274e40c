//! The benchmark suite: starts a probe process for every figure on every core, then on all cores
//! at once, and tells by its exit code whether all figures were taken.
//!
//! Arguments: `quick` (about a tenth of the samples), `filter=PREFIX` (figures of these names
//! only), `icount` (time counts instructions: exact figures of each core alone, no rates, no
//! pairs).
#![cfg_attr(target_os = "none", no_std)]
#![no_main]

extern crate alloc;

mod together;

use alloc::format;
use alloc::string::String;

use bench::abi::start::{Limits, tag};
use bench::abi::{Error, ExitStatus, Rights};
use bench::arguments::wanted;
use bench::catalogue::{CLIENTS, FIGURES, Placement};
use bench::echo::Echo;
use bench::println;
use bench::probe::{CLIENT, CYCLES_CHECK, ECHO_IMAGE, NOOP_IMAGE};
use bench::runtime::capability::{Image, Process};
use bench::runtime::process::Command;
use bench::runtime::{Env, ExitCode, calls, clock};

bench::main!(main);

/// Nanoseconds a probe may take before it is given up and killed.
const PATIENCE_NS: u64 = 60_000_000_000;
/// Milliseconds of one figure on one core.
const BUDGET_MS: u64 = 200;
/// Milliseconds of all pairs of one figure together.
const PAIRS_BUDGET_MS: u64 = 4_000;

/// What the suite works with.
pub struct Suite {
    env: Env,
    probe: Image,
    echo: Image,
    noop: Image,
    /// The CPU counts core cycles and lets ring 3 read them.
    cycles: bool,
    quick: bool,
    exact: bool,
    failures: u32,
}

async fn main(mut env: Env) -> ExitCode {
    let mut image = |name| {
        let image = env.take_image(name);
        if image.is_none() {
            println!("no argument image={name}:N with a capability for it");
        }
        image
    };
    let (Some(probe), Some(echo), Some(noop)) = (image("probe"), image("echo"), image("noop"))
    else {
        return ExitCode::FAILURE;
    };
    let (quick, exact) = (env.has("quick"), env.has("icount"));
    let mut suite = Suite { env, probe, echo, noop, cycles: false, quick, exact, failures: 0 };
    suite.cycles = !exact && clock::has_cycle_counter() && suite.cycles_readable();
    suite.each_core();
    if !exact {
        suite.each_pair();
        suite.all_cores();
        suite.clients();
    }
    if suite.failures == 0 {
        ExitCode::SUCCESS
    } else {
        println!("{} figures could not be taken", suite.failures);
        ExitCode::FAILURE
    }
}

impl Suite {
    /// The figures wanted, of one placement.
    fn figures(&self, placement: Placement) -> impl Iterator<Item = &'static str> + use<> {
        let args = self.env.args().to_vec();
        FIGURES
            .iter()
            .filter(move |figure| figure.placement == placement && wanted(&args, figure.name))
            .map(|figure| figure.name)
    }

    fn each_core(&mut self) {
        let cores = if self.exact { 1 } else { self.env.cores };
        let budget = format!("budget_ms={}", self.scaled(BUDGET_MS));
        for core in 0..cores {
            println!("core {core} alone");
            let alone = self.figures(Placement::EachCoreAlone);
            for figure in self.figures(Placement::EachCore).chain(alone) {
                let taken = self.command(figure, core).and_then(|command| {
                    let command = command.arg(&budget);
                    let command = if self.exact { command.arg("exact") } else { command };
                    let command = if self.cycles { command.arg("cycles") } else { command };
                    finished(&command.spawn()?)
                });
                self.note(figure, core, taken);
            }
        }
    }

    fn each_pair(&mut self) {
        let cores = self.env.cores;
        let pairs = u64::from(cores) * u64::from(cores.saturating_sub(1));
        if pairs == 0 {
            return;
        }
        let each = (PAIRS_BUDGET_MS / pairs).clamp(10, BUDGET_MS);
        let budget = format!("budget_ms={}", self.scaled(each));
        for figure in self.figures(Placement::EachPair) {
            println!("{figure}, {pairs} pairs of cores");
            for core in 0..cores {
                for peer in (0..cores).filter(|peer| *peer != core) {
                    let peer = format!("peer={peer}");
                    let taken = self
                        .command(figure, core)
                        .and_then(|command| finished(&command.arg(&budget).arg(&peer).spawn()?));
                    self.note(figure, core, taken);
                }
            }
        }
    }

    fn all_cores(&mut self) {
        println!("all {} cores at once", self.env.cores);
        let cores: alloc::vec::Vec<u32> = (0..self.env.cores).collect();
        for figure in self.figures(Placement::EachCore) {
            let taken = together::rate(self, figure, figure, &cores, None);
            self.note(figure, u32::MAX, taken);
        }
    }

    fn clients(&mut self) {
        for (name, clients) in CLIENTS {
            if !wanted(self.env.args(), name) {
                continue;
            }
            println!("{name}");
            let cores: alloc::vec::Vec<u32> =
                (0..*clients as u32).map(|client| client % self.env.cores).collect();
            let taken = Echo::start(&self.echo, 0, None).and_then(|server| {
                together::rate(self, CLIENT, name, &cores, Some(&server.endpoint))
                    .and_then(|()| server.quit())
            });
            self.note(name, u32::MAX, taken);
        }
    }

    /// A probe for `figure` with everything it may need, not started yet.
    fn command<'a>(&'a self, figure: &'a str, core: u32) -> Result<Command<'a>, Error> {
        let write = Rights::SEND | Rights::TRANSFER;
        let spawn = Rights::CONTROL | Rights::TRANSFER;
        let mut command =
            Command::new(&self.probe, "probe").arg(figure).core(core).limits(limits_of(figure));
        for (tag, rights) in
            [(tag::CONSOLE, Rights::DUPLICATE | write), (tag::REPORT, write), (tag::LOG, write)]
        {
            if let Some(handle) = self.env.handle(tag) {
                command = command.give(tag, calls::duplicate(handle, rights)?);
            }
        }
        command = command.give(ECHO_IMAGE, self.echo.duplicate(spawn)?);
        Ok(command.give(NOOP_IMAGE, self.noop.duplicate(spawn)?))
    }

    /// Asks a child to read the cycle counter: if that faults, the child is the one who dies.
    fn cycles_readable(&self) -> bool {
        self.command(CYCLES_CHECK, 0).and_then(|command| finished(&command.spawn()?)).is_ok()
    }

    /// Milliseconds, fewer if in a hurry.
    fn scaled(&self, milliseconds: u64) -> u64 {
        if self.quick { milliseconds.div_ceil(10) } else { milliseconds }
    }

    fn note(&mut self, figure: &str, core: u32, taken: Result<(), Error>) {
        if let Err(error) = taken {
            let place =
                if core == u32::MAX { String::from("all cores") } else { format!("core {core}") };
            println!("{figure} on {place} was not taken: {error}");
            self.failures += 1;
        }
    }
}

/// What a probe may use: as little as it can do with, since many run at once. One that has a child
/// gives it an eighth of that.
fn limits_of(figure: &str) -> Limits {
    let some = Limits { frames: 1_200, threads: 16, handles: 160, messages: 16, reserved: 0 };
    match figure {
        // A thousand derived at once, for the one figure that is about that.
        "cap.revoke_1000" => Limits { handles: 1_010, ..some },
        CLIENT => Limits { frames: 300, ..some },
        _ => some,
    }
}

/// Waits for a probe; kills one that takes for ever.
fn finished(probe: &Process) -> Result<(), Error> {
    let (now, _) = calls::clock()?;
    match probe.wait_until(now + PATIENCE_NS) {
        Ok(ExitStatus::Exited(0)) => Ok(()),
        Ok(_) => Err(Error::PeerGone),
        Err(error) => {
            probe.kill()?;
            Err(error)
        }
    }
}
