//! One boot from start to end: the console is read, the time is limited, the end is explained.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::process::Running;
use crate::qemu::{COMPLAINTS, Machine, RECORDS, SERIAL};
use crate::script::{Play, Step};
use crate::setup::Emulator;

/// `isa-debug-exit` turns the kernel's 0x10 into this.
pub const SUCCESS: i32 = 33;
/// And its 0x11 into this.
pub const FAILURE: i32 = 35;

/// How a machine ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// QEMU left with this status: [`SUCCESS`], [`FAILURE`], 0 for power-off or reset.
    Status(i32),
    /// It was killed at its time limit; the registers it had.
    TimedOut(String),
    /// What was waited for on the console came, and the machine was ended.
    Seen,
    /// What was done to it went otherwise than it should, and the machine was ended.
    Astray(String),
}

impl Ended {
    /// In a person's words.
    pub fn explained(&self) -> String {
        match self {
            Self::Status(SUCCESS) => "the kernel reported success".to_owned(),
            Self::Status(FAILURE) => "the kernel reported failure".to_owned(),
            Self::Status(0) => "the machine was switched off or reset".to_owned(),
            Self::Status(other) => format!("QEMU left with status {other}"),
            Self::TimedOut(_) => "time limit".to_owned(),
            Self::Seen => "the expected text came".to_owned(),
            Self::Astray(_) => "ended from outside".to_owned(),
        }
    }
}

/// What a boot left behind.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub ended: Ended,
    /// The whole console.
    pub serial: String,
    /// The lines of COM2.
    pub records: String,
    /// What QEMU itself complained about.
    pub complaints: String,
    /// How long it took.
    pub took: Duration,
    /// Where its files are.
    pub dir: PathBuf,
}

/// How long QEMU may take to leave once its monitor has hung up.
const LEAVING: Duration = Duration::from_secs(2);

/// Whether the console is also shown while the machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// On standard output.
    Shown,
    /// In the log only.
    Silent,
}

/// Runs `machine` (whose console must be [`crate::qemu::Console::Pipe`]) until it ends, the
/// console holds `enough`, or `limit` has passed.
pub fn boot(
    machine: &Machine,
    emulator: &Emulator,
    limit: Duration,
    echo: Echo,
    script: &[Step],
    enough: &dyn Fn(&str) -> bool,
) -> Result<Outcome> {
    machine.prepare(emulator)?;
    let start = Instant::now();
    let complaints = File::create(machine.dir.join(COMPLAINTS))?;
    let mut command = machine.command(emulator);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(complaints);
    let child = Running::start(&mut command)?;
    let keyboard = child.take_stdin().context("QEMU has no standard input")?;
    let mut play = Play::new(script, machine, keyboard);
    let console = Arc::new(Mutex::new(Vec::new()));
    let reader = {
        let console = Arc::clone(&console);
        let mut pipe = child.take_stdout().context("QEMU has no standard output")?;
        let mut log = File::create(machine.dir.join(SERIAL))?;
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                let bytes = &buffer[..count];
                let _ = log.write_all(bytes);
                if echo == Echo::Shown {
                    let mut out = std::io::stdout().lock();
                    let _ = out.write_all(bytes).and_then(|()| out.flush());
                }
                console.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            }
        })
    };
    let text = || {
        let console = console.lock().unwrap_or_else(PoisonError::into_inner);
        readable(&console)
    };
    let deadline = start + limit;
    let ended = loop {
        let soon = (Instant::now() + Duration::from_millis(100)).min(deadline);
        if let Some(status) = child.wait_until(Some(soon))? {
            break Ended::Status(status.code().unwrap_or(-1));
        }
        let said = text();
        if let Err(error) = play.advance(&said) {
            // A monitor that hangs up is a machine that leaves.
            if let Some(status) = child.wait_until(Some(Instant::now() + LEAVING))? {
                break Ended::Status(status.code().unwrap_or(-1));
            }
            child.kill();
            break Ended::Astray(format!("{error:#}"));
        }
        if enough(&said) {
            child.kill();
            break Ended::Seen;
        }
        if Instant::now() >= deadline {
            let registers = match play.monitor() {
                Ok(monitor) => monitor.registers(machine.cores),
                Err(error) => format!("no registers: {error:#}\n"),
            };
            child.kill();
            break Ended::TimedOut(registers);
        }
    };
    drop(child);
    let _ = reader.join();
    let _ = fs::remove_file(machine.monitor());
    let serial = text();
    // It may have said the words with its last breath.
    let ended = match ended {
        Ended::Status(_) if enough(&serial) => Ended::Seen,
        Ended::Status(_) if play.advance(&serial).is_err() || play.next().is_some() => {
            let step = play.next().map_or_else(String::new, |step| format!("{step:?}"));
            Ended::Astray(format!("{}, before it came to {step}", ended.explained()))
        }
        ended => ended,
    };
    let read = |name| {
        fs::read(machine.dir.join(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    Ok(Outcome {
        ended,
        serial,
        records: read(RECORDS).unwrap_or_default(),
        complaints: read(COMPLAINTS).unwrap_or_default(),
        took: start.elapsed(),
        dir: machine.dir.clone(),
    })
}

impl Outcome {
    /// The end of the console, what QEMU said, and the registers if it hung.
    pub fn last_words(&self, lines: usize) -> String {
        let mut text =
            format!("{} after {:.0} s\n", self.ended.explained(), self.took.as_secs_f64());
        let all: Vec<&str> = self.serial.lines().collect();
        let tail = &all[all.len().saturating_sub(lines)..];
        text.push_str(&format!("last {} lines of the console:\n", tail.len()));
        for line in tail {
            text.push_str(&format!("  | {line}\n"));
        }
        for line in self.complaints.lines() {
            text.push_str(&format!("  QEMU: {line}\n"));
        }
        if let Ended::TimedOut(registers) = &self.ended {
            text.push_str(registers);
        }
        text.push_str(&format!("all of it: {}\n", self.dir.join(SERIAL).display()));
        text
    }
}

/// Console bytes as text: no escape sequences, no carriage returns.
pub fn readable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' if chars.peek() == Some(&'[') => {
                chars.next();
                // Parameters, then one final byte (ECMA-48, 5.4).
                for c in chars.by_ref() {
                    if ('@'..='~').contains(&c) {
                        break;
                    }
                }
            }
            '\x1b' => {
                chars.next();
            }
            '\r' | '\0' => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_are_left_out() {
        assert_eq!(readable(b"\x1b[2J\x1b[01;01Hhello\r\n\x1b[1;31mred\x1b[0m\n"), "hello\nred\n");
        assert_eq!(readable(b"\x1b"), "");
        assert_eq!(readable(b"\x1b[12"), "");
    }

    #[test]
    fn last_words_are_the_end_of_the_console() {
        let outcome = Outcome {
            ended: Ended::TimedOut("CPU 0:\n  RIP=1\n".to_owned()),
            serial: "one\ntwo\nthree\n".to_owned(),
            records: String::new(),
            complaints: "cannot\n".to_owned(),
            took: Duration::from_secs(3),
            dir: "/t".into(),
        };
        let words = outcome.last_words(2);
        assert!(!words.contains("one") && words.contains("  | two\n  | three\n"));
        assert!(words.contains("QEMU: cannot") && words.contains("RIP=1"));
        assert!(words.starts_with("time limit after 3 s"));
    }
}
