//! The shell's commands: what each is called, what it does.

mod caps;
mod commits;
mod disks;
mod files;
mod health;
mod http;
mod net;
mod ping;
mod syslog;
mod unbroken;

use super::bench::{self, Plan};
use super::leave::{Outcome, leave};
use super::program::Program;
use super::{console, listings};
use crate::devices;
use crate::logs::recent;
use crate::platform;
use crate::process::image;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Display;
use executor::CoreId;
use hal::x86_64::power;
use kernel_text::grid::Grid;
use kernel_text::options::{Exit, Results, Samples, Ticks};
use kernel_text::quantity::Bytes;

pub use unbroken::at_rest;

/// What commands may need.
#[derive(Clone, Copy, Debug)]
pub struct Shell {
    /// How the machine is left.
    pub exit: Exit,
}

/// Log lines shown.
const LOG_SHOWN: usize = 20;

/// Name and arguments, and what it is for, in the order of `help`.
const HELP: &[(&str, &str)] = &[
    ("help", "this list"),
    ("cores", "each core: what it does, how busy it is"),
    ("tasks [CORE]", "each task: polls, time spent, longest poll"),
    ("mem", "frames, heap, processes"),
    ("log [LEVEL]", "last lines of the kernel log, or set its level (off … trace)"),
    ("syslog [CORE [COUNT]]", "what each core has recorded; last system calls of one"),
    ("caps [PROCESS]", "processes; what one holds, and what was derived from that"),
    ("commits [COUNT]", "how the log is kept; the last changes of authority"),
    ("commits verify|sync|state", "replay it and compare; make it durable; all that is held"),
    ("commits new PARTITION", "begin a new log there, whatever there was"),
    ("programs", "ring-3 programs that can be run"),
    (
        "run NAME [ARG…] [--disk DISK[:ro|:rw]] [--net] [--device NAME] [--ports FIRST+COUNT]",
        "run one, with these; Ctrl-C kills it",
    ),
    ("bench [quick] [PREFIX]", "measure, and show the table"),
    ("pci", "functions on the bus, and their drivers"),
    ("disks", "disks and partitions"),
    ("disk NAME writable|read-only", "who may write: the shell and programs, or nobody"),
    ("irq [NAME|all poll|msix|adaptive]", "how completions are noticed"),
    (
        "pattern write|check DISK LBA BLOCKS SEED",
        "write blocks that say where they belong; check them",
    ),
    ("erase zero|discard DISK LBA BLOCKS", "give up what blocks hold"),
    ("flush DISK", "bring all that was written to rest"),
    ("hexdump DISK LBA [BLOCKS]", "show blocks; `hexdump VOLUME:/PATH` a file"),
    ("ls [VOLUME[:/PATH]]", "FAT volumes, or what is in a directory of one"),
    ("cat VOLUME:/PATH", "the lines of a file"),
    ("cp FROM TO", "copy a file, VOLUME:/PATH each"),
    ("rm VOLUME:/PATH", "remove a file or an empty directory"),
    ("mkdir VOLUME:/PATH", "make a directory"),
    ("health DISK", "what a disk says of itself, and what its queues have done"),
    ("net", "interfaces: devices, addresses, what has passed"),
    ("net NAME poll|msix|adaptive", "how arrivals are noticed"),
    ("ping HOST [COUNT]", "echo requests, until Ctrl-C or so many"),
    ("http get URL", "fetch: status, bytes, SHA-256, speed; short texts are shown"),
    ("http put URL BYTES", "send bytes that say where they belong"),
    ("uptime", "how long since the kernel's entry"),
    ("reboot, poweroff", "leave"),
    ("panic", "stop the kernel with an epitaph"),
];

/// Runs one line.
pub async fn run(shell: &Shell, line: &str) {
    let mut words = line.split_whitespace();
    let Some(command) = words.next() else { return };
    let arguments: Vec<&str> = words.collect();
    match (command, arguments.as_slice()) {
        ("help", []) => help(),
        ("cores", []) => console::say_all(listings::cores().lines()),
        ("tasks", []) => console::say_all(listings::tasks(None).await.lines()),
        ("tasks", [core]) => match core_named(core) {
            Some(core) => console::say_all(listings::tasks(Some(core)).await.lines()),
            None => no_core(core),
        },
        ("mem", []) => console::say_all(listings::memory().lines()),
        ("log", []) => console::say_all(recent::last(LOG_SHOWN)),
        ("log", [level]) => set_level(level),
        ("syslog", []) => syslog::list().await,
        ("syslog", [core]) => match core_named(core) {
            Some(core) => syslog::show(core, None).await,
            None => no_core(core),
        },
        ("syslog", [core, count]) => match (core_named(core), count.parse()) {
            (Some(core), Ok(count)) => syslog::show(core, Some(count)).await,
            (Some(_), Err(_)) => console::say(format_args!("`{count}` is no number of records")),
            (None, _) => no_core(core),
        },
        ("caps", []) => caps::list().await,
        ("caps", [process]) => told("caps", caps::show(process).await),
        ("commits", []) => told("commits", commits::list(None).await),
        ("commits", ["verify"]) => told("commits", commits::verify().await),
        ("commits", ["sync"]) => told("commits", commits::sync().await),
        ("commits", ["state"]) => commits::state().await,
        ("commits", ["new", name]) => told("commits", commits::begin(name).await),
        ("commits", [count]) => told("commits", commits::list(Some(count)).await),
        ("programs", []) => programs(),
        ("run", [name, arguments @ ..]) => run_program(name, arguments).await,
        ("run", []) => console::say("run: which program? `programs` lists them"),
        ("bench", ["quick"]) => run_bench(Samples::Quick, "").await,
        ("bench", ["quick", prefix]) => run_bench(Samples::Quick, prefix).await,
        ("bench", []) => run_bench(Samples::Full, "").await,
        ("bench", [prefix]) => run_bench(Samples::Full, prefix).await,
        ("pci", []) => functions(),
        ("disks", []) => disks::list().await,
        ("disk", [name, access]) => told("disk", disks::allow(name, access)),
        ("irq", []) => disks::modes(),
        ("irq", [name, mode]) => told("irq", disks::set_mode(name, mode)),
        ("pattern", [what, disk, lba, blocks, seed]) => {
            told("pattern", disks::pattern(what, disk, [lba, blocks, seed]).await);
        }
        ("erase", [what, disk, lba, blocks]) => {
            told("erase", disks::erase(what, disk, [lba, blocks]).await);
        }
        ("flush", [disk]) => told("flush", disks::flush(disk).await),
        ("ls", []) => files::volumes().await,
        ("ls", [place]) => told("ls", files::list(place).await),
        ("cat", [file]) => told("cat", files::cat(file).await),
        ("cp", [from, to]) => told("cp", files::copy(from, to).await),
        ("rm", [file]) => told("rm", files::remove(file).await),
        ("mkdir", [place]) => told("mkdir", files::make_directory(place).await),
        ("hexdump", [file]) => told("hexdump", files::hexdump(file).await),
        ("hexdump", [disk, lba]) => told("hexdump", disks::hexdump(disk, lba, None).await),
        ("hexdump", [disk, lba, blocks]) => {
            told("hexdump", disks::hexdump(disk, lba, Some(blocks)).await);
        }
        ("health", [disk]) => told("health", disks::health(disk).await),
        ("net", []) => told("net", net::list().await),
        ("net", [name, mode]) => told("net", net::set_mode(name, mode).await),
        ("ping", [host]) => told("ping", ping::ping(host, None).await),
        ("ping", [host, count]) => told("ping", ping::ping(host, Some(count)).await),
        ("http", ["get", url]) => told("http", http::get(url).await),
        ("http", ["put", url, bytes]) => told("http", http::put(url, bytes).await),
        ("uptime", []) => console::say(listings::uptime()),
        ("reboot", []) => {
            console::say("reboot");
            at_rest().await;
            devices::stop().await;
            power::reboot();
        }
        ("poweroff", []) => leave(shell.exit, Outcome::Success).await,
        ("panic", []) => panic!("asked for at the shell"),
        (known, _) if HELP.iter().any(|(usage, _)| names(usage).any(|name| name == known)) => {
            let usage = HELP.iter().find(|(usage, _)| names(usage).any(|name| name == known));
            console::say(format_args!("usage: {}", usage.map_or("", |(usage, _)| usage)));
        }
        (unknown, _) => console::say(format_args!("unknown command `{unknown}`; `help` lists all")),
    }
}

/// Says why a command failed, if it did.
fn told<E: Display>(command: &str, done: Result<(), E>) {
    if let Err(error) = done {
        console::say(format_args!("{command}: {error}"));
    }
}

/// The commands a usage text is about.
fn names(usage: &str) -> impl Iterator<Item = &str> {
    usage.split(", ").filter_map(|alternative| alternative.split(' ').next())
}

fn help() {
    let mut grid = Grid::new(&["<command", "<what it does"]);
    for (usage, purpose) in HELP {
        grid.row([usage, purpose].map(|text| String::from(*text)).into());
    }
    console::say_all(grid.lines());
    console::say("Keys: backspace, Ctrl-W (word), Ctrl-U (line), Ctrl-C, up and down.");
}

fn core_named(text: &str) -> Option<CoreId> {
    let number: u16 = text.parse().ok()?;
    (usize::from(number) < platform::core_count()).then_some(CoreId(number))
}

fn no_core(text: &str) {
    console::say(format_args!("no core `{text}`: they are 0 to {}", platform::core_count() - 1));
}

fn set_level(name: &str) {
    match hal::console::parse_level(name) {
        Some(level) => {
            hal::console::set_level(level);
            console::say(format_args!("log level is {level}"));
        }
        None => {
            console::say(format_args!("no level `{name}`: off, error, warn, info, debug, trace"));
        }
    }
}

fn functions() {
    let mut grid = Grid::new(&["<function", "<id", "<what it is", "<driver"]);
    for (function, driver) in devices::functions() {
        let header = function.header();
        let (class, subclass, interface) = (header.class, header.subclass, header.interface);
        let kind = match protocols::pci::class_name(class, subclass, interface) {
            Some(name) => String::from(name),
            None => format!("class {class:02x}{subclass:02x}{interface:02x}"),
        };
        grid.row(Vec::from([
            format!("{}", function.address()),
            format!("{:04x}:{:04x}", header.vendor, header.device),
            kind,
            driver.map_or(String::new(), |name| String::from(&*name)),
        ]));
    }
    console::say_all(grid.lines());
}

fn programs() {
    let mut grid = Grid::new(&["<program", "size"]);
    for image in image::all() {
        grid.row([image.name.clone(), format!("{}", Bytes(image.file.len() as u64))].into());
    }
    console::say_all(grid.lines());
}

async fn run_program(name: &str, arguments: &[&str]) {
    let arguments: Vec<String> = arguments.iter().map(|word| String::from(*word)).collect();
    match Program::start(name, &arguments, None).await {
        Ok(program) => {
            let status = program.ended().await;
            console::say(format_args!("`{name}` {}", listings::how_it_ended(status)));
        }
        Err(error) => console::say(format_args!("`{name}`: {error}")),
    }
}

async fn run_bench(samples: Samples, prefix: &str) {
    let plan = Plan { samples, ticks: Ticks::Time, filter: prefix.into(), results: Results::Show };
    if let Err(error) = bench::run(&plan).await {
        console::say(format_args!("bench: {error}"));
    }
}
