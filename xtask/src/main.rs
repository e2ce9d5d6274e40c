//! `cargo xtask`: the host tool. Builds Pollux, boots it, tests it, measures it.
//!
//! One idea a file: [`options`] reads the command line; [`setup`] and [`toolchain`] find or get
//! what is needed ([`packages`] knows its names); [`build`], [`limine`], [`image`] and [`medium`] make something bootable;
//! [`qemu`], [`qmp`] and [`boot`] run it, with [`drives`] beside the boot disk. [`run`] serves people
//! and [`attach`]es their disks; [`test`] carries out [`steps`] on the host and the table of [`boots`]
//! by [`trial`], each with its [`script`] and its [`disks`] and [`volumes`], and those of [`network`]
//! with real peers, and those of [`power`] on the durable log; [`soak`] does so for hours; [`lint`]
//! holds the house rules. [`records`] reads what the kernel reports, [`metrics`] and [`report`]
//! publish it for [`bench`], and for [`results`] that came on a disk ([`partitions`] finds them
//! there); [`replay`] says what a machine's CommitLog comes to. [`process`] sees to it that no child
//! outlives this tool.

mod attach;
mod bench;
mod boot;
mod boots;
mod build;
mod commits;
mod disks;
mod drives;
mod elf;
mod expect;
mod help;
mod image;
mod limine;
mod lint;
mod medium;
mod metrics;
mod network;
mod options;
mod packages;
mod partitions;
mod pieces;
mod power;
mod process;
mod progress;
mod qemu;
mod qmp;
mod records;
mod replay;
mod report;
mod results;
mod run;
mod script;
mod setup;
mod soak;
mod steps;
mod symbols;
mod test;
mod toolchain;
mod trial;
mod volumes;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;

use crate::options::{Command, Options};
use crate::toolchain::Target;
use crate::workspace::Workspace;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if words.first().is_some_and(|word| word == network::WORD) {
        return ended(|| network::run(&words[1..]));
    }
    let (command, options) = match options::parse(words) {
        Ok(parsed) => parsed,
        Err(error) => {
            eprintln!(
                "error: {error:#}\n`cargo xtask --help` lists the commands, `cargo xtask COMMAND --help` \
                 the flags of one"
            );
            return ExitCode::from(2);
        }
    };
    if options.help {
        print!("{}", help::text(command));
        return ExitCode::SUCCESS;
    }
    ended(|| execute(command, &options))
}

/// Does `work`, and sees to it that no child is left after it.
fn ended(work: impl FnOnce() -> Result<ExitCode>) -> ExitCode {
    let result = process::end_children_on_signals().and_then(|()| work());
    process::end_all();
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn execute(command: Command, options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    match command {
        Command::Run => run::run(&workspace, options),
        Command::Image => run::image(&workspace, options),
        Command::Gdb => run::gdb(&workspace, options),
        Command::Setup => set_up(&workspace, options),
        Command::Lint => lint::run(&workspace),
        Command::Test => test::run(&workspace, options),
        Command::Bench => bench::run(&workspace, options),
        Command::Soak => soak::run(&workspace, options),
        Command::Results => results::run(options),
        Command::Replay => replay::run(&options.replay),
        Command::Help => {
            print!("{}", help::text(command));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// `cargo xtask setup`.
fn set_up(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let metal = setup::toolchain(workspace, Target::Metal)?;
    let uefi = setup::toolchain(workspace, Target::Uefi)?;
    if options.env {
        let mut lines = metal.environment(Target::Metal);
        lines.extend(uefi.environment(Target::Uefi));
        lines.sort();
        lines.dedup();
        for (name, value) in lines {
            println!("export {name}='{value}'");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let emulator = setup::emulator()?;
    println!("kernel and programs: {}", metal.name);
    println!("UEFI loader:         {}", uefi.name);
    println!("emulator:            {}", emulator.qemu.display());
    println!("firmware:            {}", emulator.code.display());
    Ok(ExitCode::SUCCESS)
}
