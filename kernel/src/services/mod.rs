//! What the kernel does for people, as tasks: the console, the benchmark, the shell. [`init`] is
//! the first of them and decides by the command line what this boot is for.

pub mod alarms;
pub mod bench;
pub mod block;
pub mod calls;
pub mod commands;
pub mod commit_log;
mod connections;
pub mod console;
mod device;
mod fetch;
pub mod input;
pub mod leave;
pub mod listings;
pub mod net;
mod offers;
mod ports;
pub mod program;
mod remote_log;
pub mod report;
mod results;
mod session;
pub mod shell;
mod traffic;
mod web;

use crate::platform::{self, Pollux};
use crate::{checks, clock, devices};
use alloc::format;
use alloc::string::String;
use executor::Instant;
use hal::x86_64::time;
use kernel_text::options::{Options, Samples, Task, Then};
use kernel_text::quantity::{Bytes, Nanoseconds};
use leave::{Outcome, leave};
use program::Program;
use protocols::abi::ExitStatus;
use protocols::events::Event;

/// The program whose one system call shows that ring 3 is reached.
const FIRST_PROGRAM: &str = "noop";
/// Seconds it may take.
const FIRST_PROGRAM_S: u64 = 10;

/// The attack suite's name among the boot modules.
const ATTACK_SUITE: &str = "attack_suite";

/// The first task.
pub async fn init() {
    let options = Options::parse(hal::boot::info().command_line.0);
    for word in &options.strange {
        log::warn!("command line: unknown `{word}` ignored");
    }
    alarms::start();
    first_program().await;
    report::emit(&Event::Boot {
        version: env!("CARGO_PKG_VERSION"),
        cores: platform::core_count(),
        tsc_hz: clock::frequency(),
        entry_to_ring3_ticks: bench::entry_to_ring3(),
    });
    net::start();
    offers::start();
    devices::start();
    devices::settled().await;
    let outcome = match &options.task {
        Task::Shell => Outcome::Success,
        Task::Bench => {
            let plan = bench::Plan {
                samples: options.samples,
                ticks: options.ticks,
                filter: options.filter.clone(),
                results: options.results,
            };
            let result = bench::run(&plan).await;
            if let Err(error) = &result {
                log::error!("bench: {error}");
            }
            Outcome::of(&result)
        }
        Task::Test(filter) => checks::run(filter, options.exit).await,
        Task::Attack { arguments } => attack(&options, arguments).await,
        Task::Run { name, arguments } => run_program(name, arguments).await,
    };
    if options.then == Then::Leave {
        leave(options.exit, outcome).await;
    }
    welcome();
    shell::start(options.exit);
}

/// Enters ring 3 for the first time, for the sake of knowing when.
async fn first_program() {
    let limit = Instant(time::clock::now().saturating_add(clock::frequency() * FIRST_PROGRAM_S));
    let whole = async {
        let program = Program::start(FIRST_PROGRAM, &[], None).await.map_err(|error| {
            log::warn!("program `{FIRST_PROGRAM}`: {error}");
        })?;
        Ok::<_, ()>(program.ended().await)
    };
    match executor::timeout::<Pollux, _>(limit, whole).await {
        Ok(Ok(ExitStatus::Exited(0)) | Err(())) => {}
        Ok(Ok(status)) => {
            log::error!("program `{FIRST_PROGRAM}` ended otherwise than well: {status:?}");
        }
        Err(_) => log::error!("program `{FIRST_PROGRAM}` did not end within {FIRST_PROGRAM_S} s"),
    }
}

/// Runs a program to its end and says how it ended.
async fn run_program(name: &str, arguments: &[String]) -> Outcome {
    let started = match Program::start(name, arguments, None).await {
        Ok(program) => program,
        Err(error) => {
            log::error!("program `{name}`: {error}");
            return Outcome::Failure;
        }
    };
    let status = started.ended().await;
    console::say(format_args!("program `{name}` {}", listings::how_it_ended(status)));
    if status == ExitStatus::Exited(0) { Outcome::Success } else { Outcome::Failure }
}

/// Runs the attack suite and counts the frames before and after: none may be lost.
async fn attack(options: &Options, arguments: &[String]) -> Outcome {
    let mut arguments = arguments.to_vec();
    // The service for disks is attacked too: by way of one that may only be read.
    if !arguments.iter().any(|word| word == "--disk")
        && let Some(disk) = devices::disks().first()
    {
        arguments.extend(["--disk", disk.name()].map(String::from));
    }
    // A device that may do anything, because it can do little.
    if !arguments.iter().any(|word| word == device::WORD) && devices::edu().is_some() {
        arguments.extend([device::WORD, "edu"].map(String::from));
    }
    // So is the one for the network, where there is one.
    if !arguments.iter().any(|word| word == program::NETWORK)
        && net::on(|net| async move { !net.overview().is_empty() }).await == Ok(true)
    {
        arguments.push(String::from(program::NETWORK));
    }
    if options.samples == Samples::Quick {
        arguments.push(String::from("quick"));
    }
    if !options.filter.is_empty() {
        arguments.push(format!("filter={}", options.filter));
    }
    let before = listings::frames_in_use();
    let outcome = run_program(ATTACK_SUITE, &arguments).await;
    // What is freed lazily gets the time for it.
    executor::sleep::<Pollux>(clock::frequency() / 5).await;
    let after = listings::frames_in_use();
    console::say(format_args!(
        "frames in use, without heap and drivers: {before} before, {after} after"
    ));
    if after > before {
        log::error!("{} frames were lost", after - before);
        return Outcome::Failure;
    }
    outcome
}

fn welcome() {
    let info = hal::boot::info();
    let cores = platform::core_count();
    let plural = if cores == 1 { "" } else { "s" };
    console::say("");
    console::say(format_args!(
        "Pollux {} on {cores} core{plural}, {} of memory, booted by {} {}",
        env!("CARGO_PKG_VERSION"),
        Bytes(info.usable_bytes()),
        info.loader_name,
        info.loader_version,
    ));
    if let Some(ticks) = bench::entry_to_ring3() {
        let span = Nanoseconds(time::clock::ticks_to_ns(ticks));
        console::say(format_args!("From the kernel's entry to ring 3: {span}"));
    }
    console::say(
        "Everything that waits is a future. Type `help` for what there is, `bench` to measure.",
    );
}
