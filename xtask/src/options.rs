//! The command line: which command, and which flags it takes.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lexopt::prelude::*;

use crate::attach::{self, Attached};
use crate::limine::Choice;
use crate::network::cards::{self, Model};
use crate::replay::options::{self as replay, ReplayOptions};

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Command {
    Run,
    Test,
    Bench,
    Image,
    Lint,
    Gdb,
    Soak,
    Results,
    Replay,
    Setup,
    Help,
}

/// All commands by name.
pub const COMMANDS: &[(&str, Command)] = &[
    ("run", Command::Run),
    ("test", Command::Test),
    ("bench", Command::Bench),
    ("image", Command::Image),
    ("lint", Command::Lint),
    ("gdb", Command::Gdb),
    ("soak", Command::Soak),
    ("results", Command::Results),
    ("replay", Command::Replay),
    ("setup", Command::Setup),
    ("help", Command::Help),
];

/// How guest instructions are executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    /// KVM where the CPU has it, else TCG.
    Auto,
    /// QEMU's translator.
    Tcg,
    /// The host's CPU; an error if it cannot.
    Kvm,
}

impl Accel {
    const NAMES: [(&str, Self); 3] = [("auto", Self::Auto), ("tcg", Self::Tcg), ("kvm", Self::Kvm)];

    /// What a flag calls `name`.
    pub fn by_name(name: &str) -> Result<Self> {
        let found = Self::NAMES.iter().find(|known| known.0 == name);
        found.map(|known| known.1).with_context(|| format!("`{name}` is none of auto, tcg, kvm"))
    }

    /// How a flag calls it.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|known| known.1 == self).map_or("auto", |known| known.0)
    }
}

/// Everything the flags can say; what a command doesn't take stays at its default.
#[derive(Clone, Debug)]
pub struct Options {
    /// Virtual CPUs; `None`: the command's own default.
    pub smp: Option<u32>,
    /// Guest memory in MiB.
    pub memory: u32,
    /// How guest instructions are executed.
    pub accel: Accel,
    /// Words added to the kernel's command line.
    pub cmdline: String,
    /// `log=` on the kernel's command line.
    pub log: Option<String>,
    /// Folder with Limine's `BOOTX64.EFI`.
    pub limine: Option<PathBuf>,
    /// Which loader.
    pub loader: Choice,
    /// QEMU's `-display`.
    pub display: String,
    /// Benchmark, print, leave.
    pub headless: bool,
    /// A ring-3 program of the user's.
    pub program: Option<PathBuf>,
    /// A kernel built elsewhere.
    pub kernel: Option<PathBuf>,
    /// Time limit of a boot.
    pub timeout: Option<Duration>,
    /// Where the image goes.
    pub out: Option<PathBuf>,
    /// Only what contains (metrics: begins with) this.
    pub filter: Option<String>,
    /// Name the steps, run none.
    pub list: bool,
    /// Disks to attach.
    pub disks: Vec<Attached>,
    /// The network card, if there is to be one.
    pub net: Option<Model>,
    /// Ports of 127.0.0.1 that lead to ports of the machine, beside the status page's.
    pub forwards: Vec<(u16, u16)>,
    /// The disk or image with results.
    pub disk: Option<PathBuf>,
    /// Where else the JSON goes.
    pub json: Option<PathBuf>,
    /// Count instructions instead of time.
    pub icount: bool,
    /// Measure the executor on the host too.
    pub host: bool,
    /// How long `soak` goes on.
    pub duration: Option<Duration>,
    /// Seed of the first round of `soak`.
    pub seed: u64,
    /// `setup`: print variables for a shell.
    pub env: bool,
    /// Start gdb in this terminal.
    pub attach: bool,
    /// What `replay` is told.
    pub replay: ReplayOptions,
    /// Show help instead.
    pub help: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            smp: None,
            memory: 512,
            accel: Accel::Auto,
            cmdline: String::new(),
            log: None,
            limine: None,
            loader: Choice::Any,
            display: "none".to_owned(),
            headless: false,
            program: None,
            kernel: None,
            timeout: None,
            out: None,
            filter: None,
            list: false,
            disks: Vec::new(),
            net: Some(Model::E1000e),
            forwards: Vec::new(),
            disk: None,
            json: None,
            icount: false,
            host: false,
            duration: None,
            seed: 1,
            env: false,
            attach: false,
            replay: ReplayOptions::default(),
            help: false,
        }
    }
}

const MACHINE: &[&str] =
    &["smp", "memory", "accel", "cmdline", "log", "limine", "loader", "display", "kernel"];

/// Flags of a command, without dashes.
pub fn flags(command: Command) -> Vec<&'static str> {
    let with = |more: &[&'static str]| [MACHINE, more].concat();
    match command {
        Command::Run => with(&["disk", "net", "forward", "headless", "program", "timeout"]),
        Command::Test => vec!["filter", "list", "accel", "limine", "kernel"],
        Command::Bench => {
            let mut flags = with(&["timeout", "filter", "json", "icount", "host"]);
            flags.retain(|flag| *flag != "display");
            flags
        }
        Command::Image => vec!["out", "cmdline", "log", "limine", "loader", "program", "kernel"],
        Command::Gdb => with(&["disk", "net", "forward", "program", "attach"]),
        Command::Soak => vec!["hours", "minutes", "seed", "filter", "accel", "limine", "kernel"],
        Command::Results => vec!["json"],
        Command::Replay => replay::FLAGS.to_vec(),
        Command::Setup => vec!["env"],
        Command::Lint | Command::Help => Vec::new(),
    }
}

/// Reads the arguments after the program's name.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<(Command, Options)> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut options = Options::default();
    let mut command = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => options.help = true,
            Value(word) if command.is_none() => {
                let word = word.to_string_lossy().into_owned();
                let found = COMMANDS.iter().find(|(name, _)| *name == word);
                let Some((_, found)) = found else {
                    bail!("no command `{word}`{}", hint(&word, COMMANDS.iter().map(|c| c.0)));
                };
                command = Some(*found);
            }
            Value(disk) if command == Some(Command::Results) && options.disk.is_none() => {
                options.disk = Some(disk.into());
            }
            Value(image) if command == Some(Command::Replay) && options.replay.image.is_none() => {
                options.replay.image = Some(image.into());
            }
            Value(word) if command == Some(Command::Help) => {
                let topic = word.to_string_lossy().into_owned();
                command = COMMANDS.iter().find(|(name, _)| *name == topic).map(|found| found.1);
                options.help = true;
            }
            Long(name) => {
                let name = name.to_owned();
                let Some(command) = command else {
                    bail!("say the command first: `cargo xtask COMMAND --{name}`");
                };
                let allowed = flags(command);
                if !allowed.contains(&name.as_str()) {
                    let verb = COMMANDS.iter().find(|found| found.1 == command).map_or("", |c| c.0);
                    bail!("`{verb}` has no flag --{name}{}", hint(&name, allowed.into_iter()));
                }
                let result = match command {
                    Command::Replay => options.replay.set(&name, &mut parser),
                    _ => set(&mut options, &name, &mut parser),
                };
                result.with_context(|| format!("--{name}"))?;
            }
            Short(letter) => bail!("unknown flag -{letter}"),
            Value(word) => bail!("unexpected argument `{}`", word.to_string_lossy()),
        }
    }
    if command.is_none() {
        options.help = true;
    }
    match command {
        _ if options.help => {}
        Some(Command::Replay) => options.replay.check()?,
        Some(Command::Results) if options.disk.is_none() => {
            bail!("results: which disk?\nusage: cargo xtask results DISK [--json FILE]")
        }
        _ => {}
    }
    Ok((command.unwrap_or(Command::Help), options))
}

/// ` (did you mean …?)`, if one of `names` is close.
fn hint<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> String {
    let near = names.map(|name| (distance(word, name), name)).min().filter(|near| near.0 <= 2);
    near.map_or(String::new(), |(_, name)| format!(" (did you mean `{name}`?)"))
}

/// Edit distance (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn set(options: &mut Options, name: &str, parser: &mut lexopt::Parser) -> Result<()> {
    let mut text = || -> Result<String> {
        let value = parser.value().context("needs a value")?;
        value.into_string().map_err(|value| anyhow::anyhow!("{value:?} is not text"))
    };
    match name {
        "smp" => options.smp = Some(number(&text()?, 1, 255)?),
        "memory" => options.memory = mebibytes(&text()?)?,
        "accel" => {
            options.accel = Accel::by_name(&text()?)?;
        }
        "cmdline" => {
            let words = text()?;
            if words.chars().any(char::is_control) {
                bail!("the kernel's command line must be one line");
            }
            options.cmdline = [options.cmdline.as_str(), &words].join(" ").trim().to_owned();
        }
        "log" => {
            let level = text()?;
            let levels = ["off", "error", "warn", "info", "debug", "trace"];
            if !levels.contains(&level.as_str()) {
                bail!("`{level}` is none of {}", levels.join(", "));
            }
            options.log = Some(level);
        }
        "limine" => options.limine = Some(text()?.into()),
        "loader" => {
            options.loader = match text()?.as_str() {
                "own" => Choice::Own,
                "limine" => Choice::Limine,
                "any" | "auto" => Choice::Any,
                other => bail!("`{other}` is none of own, limine, any"),
            }
        }
        "display" => options.display = text()?,
        "net" => options.net = Model::by_name(&text()?)?,
        "forward" => options.forwards.push(cards::forward(&text()?)?),
        "disk" => options.disks.push(attach::parse(&text()?)?),
        "headless" => options.headless = true,
        "program" => options.program = Some(text()?.into()),
        "kernel" => options.kernel = Some(text()?.into()),
        "timeout" => options.timeout = Some(seconds(&text()?, 1.0)?),
        "out" => options.out = Some(text()?.into()),
        "filter" => options.filter = Some(text()?),
        "list" => options.list = true,
        "json" => options.json = Some(text()?.into()),
        "icount" => options.icount = true,
        "host" => options.host = true,
        "hours" => options.duration = Some(seconds(&text()?, 3600.0)?),
        "minutes" => options.duration = Some(seconds(&text()?, 60.0)?),
        "seed" => options.seed = text()?.parse().context("not a number")?,
        "env" => options.env = true,
        "attach" => options.attach = true,
        _ => bail!("unknown flag"),
    }
    Ok(())
}

fn number(text: &str, least: u32, most: u32) -> Result<u32> {
    match text.parse() {
        Ok(value) if (least..=most).contains(&value) => Ok(value),
        _ => bail!("`{text}` is not a number from {least} to {most}"),
    }
}

/// `512`, `512M` or `2G`, in MiB.
fn mebibytes(text: &str) -> Result<u32> {
    let upper = text.to_ascii_uppercase();
    let (digits, unit) = match upper.strip_suffix('G') {
        Some(digits) => (digits, 1024),
        None => (upper.strip_suffix('M').unwrap_or(&upper), 1),
    };
    let value: u32 = digits.parse().ok().with_context(|| format!("`{text}` is not a size"))?;
    match value.checked_mul(unit) {
        Some(size @ 64..=1_048_576) => Ok(size),
        _ => bail!("`{text}`: the machine needs at least 64 MiB (OVMF itself wants 128)"),
    }
}

fn seconds(text: &str, unit: f64) -> Result<Duration> {
    match text.trim_end_matches('s').parse::<f64>() {
        Ok(value) if value > 0.0 && value * unit < 1e8 => Ok(Duration::from_secs_f64(value * unit)),
        _ => bail!("`{text}` is not a time"),
    }
}

#[cfg(test)]
mod tests;
