//! `run` and `gdb`: build, make the medium, boot, hand over the terminal.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::boot::{self, Echo, Ended, SUCCESS};
use crate::build::{self, Built};
use crate::limine::{self, Loader};
use crate::medium;
use crate::network::cards;
use crate::options::Options;
use crate::process::{self, Running, which};
use crate::progress;
use crate::qemu::{COMPLAINTS, Console, DISK, Machine, SERIAL};
use crate::setup;
use crate::workspace::Workspace;

const HEADLESS_LIMIT: Duration = Duration::from_secs(600);

/// A folder for one machine, locked for as long as the value lives.
pub struct Folder {
    /// Its path.
    pub path: PathBuf,
    _lock: File,
}

/// `target/run/NAME`, or `NAME-2` and so on while others run there.
pub fn folder(workspace: &Workspace, name: &str) -> Result<Folder> {
    for number in 1..100 {
        let name = if number == 1 { name.to_owned() } else { format!("{name}-{number}") };
        let path = workspace.target("run")?.join(name);
        fs::create_dir_all(&path)?;
        let lock = File::create(path.join("lock"))?;
        if lock.try_lock().is_ok() {
            return Ok(Folder { path, _lock: lock });
        }
    }
    bail!("a hundred machines are running in {}", workspace.target("run")?.display())
}

/// What a boot medium is made from.
pub struct Parts {
    /// Kernel and modules.
    pub built: Built,
    /// What starts them.
    pub loader: Loader,
    /// `run=NAME` if there is a program of the user's.
    pub run: Option<String>,
}

/// Builds everything the flags ask for.
pub fn parts(workspace: &Workspace, options: &Options) -> Result<Parts> {
    let mut built = build::build(workspace, options.kernel.as_deref())?;
    let run = match &options.program {
        Some(path) => Some(format!("run={}", medium::add_program(&mut built, path)?)),
        None => None,
    };
    let loader = limine::choose(workspace, options.loader, options.limine.as_deref())?;
    Ok(Parts { built, loader, run })
}

/// `cargo xtask run`.
pub fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let emulator = setup::emulator()?;
    let parts = parts(workspace, options)?;
    let mut words: Vec<&str> = parts.run.as_deref().into_iter().collect();
    if options.headless {
        words.extend(["headless", "exit=qemu"]);
    } else if options.program.is_none() && options.cmdline.is_empty() {
        // What a first look should see: the table, and then the shell.
        words.extend(["bench=auto", "bench.quick", "results=show"]);
    }
    let folder = folder(workspace, "run")?;
    let console = if options.headless { Console::Pipe } else { Console::Terminal };
    let mut machine = Machine::by_options(options, console, folder.path.clone())?;
    if !options.headless {
        // For `run edu_driver --device edu`, and for drivers of one's own.
        machine.devices = &["edu"];
    }
    let page = connect(&mut machine, options);
    let line = medium::command_line(options, &words);
    medium::write(&machine.dir.join(DISK), &parts.built, &parts.loader, &line)?;
    machine.announce(&parts.loader);
    if !options.headless
        && let Some(port) = page
    {
        progress::step(format!("status page, once it is up: http://127.0.0.1:{port}/"));
    }
    if options.headless {
        let limit = options.timeout.unwrap_or(HEADLESS_LIMIT);
        let outcome = boot::boot(&machine, &emulator, limit, Echo::Shown, &[], &|_| false)?;
        if outcome.ended == Ended::Status(SUCCESS) {
            return Ok(ExitCode::SUCCESS);
        }
        eprint!("\n{}", outcome.last_words(20));
        return Ok(ExitCode::FAILURE);
    }
    progress::step("this terminal is the serial console; leave with Ctrl-A X");
    machine.prepare(&emulator)?;
    process::remember_terminal();
    let child = Running::start(&mut machine.command(&emulator))?;
    let deadline = options.timeout.map(|limit| Instant::now() + limit);
    let status = child.wait_until(deadline)?;
    drop(child);
    process::restore_terminal();
    let _ = fs::remove_file(machine.monitor());
    match status.map(|status| status.code()) {
        Some(Some(0 | SUCCESS)) => Ok(ExitCode::SUCCESS),
        Some(code) => {
            eprintln!("\n{}", Ended::Status(code.unwrap_or(-1)).explained());
            Ok(ExitCode::FAILURE)
        }
        None => {
            eprintln!("\nended at its time limit");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Gives a person's machine its network card. The port of its status page.
fn connect(machine: &mut Machine, options: &Options) -> Option<u16> {
    machine.cards.clear();
    let (card, page) = cards::for_person(options.net?, &options.forwards);
    machine.cards.push(card);
    page
}

/// `cargo xtask image`.
pub fn image(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let parts = parts(workspace, options)?;
    let line = medium::command_line(options, &parts.run.as_deref().into_iter().collect::<Vec<_>>());
    let out = match &options.out {
        Some(out) => out.clone(),
        None => workspace.root().join("target").join("pollux.img"),
    };
    medium::write(&out, &parts.built, &parts.loader, &line)?;
    let size = fs::metadata(&out)?.len() >> 20;
    progress::step(format!("{} ({size} MiB, {}, `{line}`)", out.display(), parts.loader));
    println!(
        "to a USB stick (all on it is lost): dd if={} of=/dev/sdX bs=4M conv=fsync",
        out.display()
    );
    Ok(ExitCode::SUCCESS)
}

/// `cargo xtask gdb`.
pub fn gdb(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let emulator = setup::emulator()?;
    let parts = parts(workspace, options)?;
    let folder = folder(workspace, "gdb")?;
    let console = if options.attach { Console::File } else { Console::Terminal };
    let mut machine = Machine::by_options(options, console, folder.path.clone())?;
    let port = free_port()?;
    machine.debugger = Some(port);
    connect(&mut machine, options);
    let line = medium::command_line(options, &parts.run.as_deref().into_iter().collect::<Vec<_>>());
    medium::write(&machine.dir.join(DISK), &parts.built, &parts.loader, &line)?;
    machine.prepare(&emulator)?;
    machine.announce(&parts.loader);
    let mut debugger = Command::new("gdb");
    debugger.arg(&parts.built.unstripped).args(["-ex", &format!("target remote :{port}")]);
    if !options.attach {
        progress::step(format!(
            "stopped before its first instruction; in another terminal:\n    {}\n\
             then e.g. `hbreak _start` and `continue`. Leave QEMU with Ctrl-A X.",
            process::shown(&debugger)
        ));
        process::remember_terminal();
        let child = Running::start(&mut machine.command(&emulator))?;
        child.wait_until(None)?;
        drop(child);
        process::restore_terminal();
        return Ok(ExitCode::SUCCESS);
    }
    which("gdb").context("--attach, but there is no gdb on PATH")?;
    progress::step(format!("the console goes to {}", machine.dir.join(SERIAL).display()));
    let mut command = machine.command(&emulator);
    let complaints = File::create(machine.dir.join(COMPLAINTS))?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(complaints);
    let child = Running::start(&mut command)?;
    let listening = Instant::now() + Duration::from_secs(10);
    while !machine.monitor().exists() && Instant::now() < listening {
        if child.poll()?.is_some() {
            bail!("{}", fs::read_to_string(machine.dir.join(COMPLAINTS))?.trim());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let status = debugger.status().context("cannot start gdb")?;
    drop(child);
    let _ = fs::remove_file(machine.monitor());
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The debugger's usual port, or the next that nobody uses.
fn free_port() -> Result<u16> {
    (1234..1334)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .context("no free port for the debugger from 1234 on")
}
