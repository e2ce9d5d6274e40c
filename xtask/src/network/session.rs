//! A machine under way, as somebody at its console sees it: lines are typed at its shell, answers
//! and log lines are waited for, its monitor is asked.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::process::{ChildStdin, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::boot::{Ended, Outcome, readable};
use crate::process::Running;
use crate::qemu::{COMPLAINTS, Machine, RECORDS, SERIAL};
use crate::qmp::Monitor;
use crate::script::PROMPT;
use crate::setup::Emulator;

/// How long firmware, loader and kernel may take until the shell asks for a line.
const BOOTING: Duration = Duration::from_secs(90);
/// How long QEMU may take until it listens.
const STARTING: Duration = Duration::from_secs(20);
/// How long a prompt stands alone before it is believed to be the next, where it may as well be the
/// beginning of an echo that is drawn again.
const SETTLING: Duration = Duration::from_millis(300);
/// How often the console is looked at.
const PAUSE: Duration = Duration::from_millis(20);

/// A running machine; ended when dropped.
pub struct Session {
    machine: Machine,
    child: Running,
    keyboard: ChildStdin,
    console: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
    monitor: Option<Monitor>,
    start: Instant,
    /// How much of the console has been taken as prompts and answers.
    read_to: usize,
    /// How much of it has been searched for log lines.
    log_to: usize,
    /// What was typed and is not answered yet.
    asked: String,
}

impl Session {
    /// Starts `machine`, whose console must be [`crate::qemu::Console::Pipe`]. From the main thread.
    pub fn start(machine: Machine, emulator: &Emulator) -> Result<Self> {
        machine.prepare(emulator)?;
        let complaints = File::create(machine.dir.join(COMPLAINTS))?;
        let mut command = machine.command(emulator);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(complaints);
        let child = Running::start(&mut command)?;
        let keyboard = child.take_stdin().context("QEMU has no standard input")?;
        let mut pipe = child.take_stdout().context("QEMU has no standard output")?;
        let console = Arc::new(Mutex::new(Vec::new()));
        let mut log = File::create(machine.dir.join(SERIAL))?;
        let shared = Arc::clone(&console);
        let reader = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                let _ = log.write_all(&buffer[..count]);
                let mut console = shared.lock().unwrap_or_else(PoisonError::into_inner);
                console.extend_from_slice(&buffer[..count]);
            }
        });
        Ok(Self {
            machine,
            child,
            keyboard,
            console,
            reader: Some(reader),
            monitor: None,
            start: Instant::now(),
            read_to: 0,
            log_to: 0,
            asked: String::new(),
        })
    }

    /// All that the console has said so far.
    pub fn said(&self) -> String {
        readable(&self.console.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// QEMU's monitor.
    pub fn monitor(&mut self) -> Result<&mut Monitor> {
        if self.monitor.is_none() {
            let path = self.machine.monitor();
            // QEMU that was started just now has not made it yet.
            let monitor =
                self.watch(STARTING, "QEMU to listen", |_, _| Monitor::connect(&path).ok());
            self.monitor = Some(monitor?);
        }
        self.monitor.as_mut().context("no monitor")
    }

    /// Log lines that came up to now are not waited for any more.
    pub fn forget(&mut self) {
        self.log_to = self.said().len();
    }

    /// Log lines are looked for from the beginning of the console again.
    pub fn restart_search(&mut self) {
        self.log_to = 0;
    }

    /// Waits until `text` comes up on the console, after what was waited for last.
    pub fn wait_for(&mut self, text: &str, limit: Duration) -> Result<()> {
        self.watch(limit, &format!("the console to say `{text}`"), |session, said| {
            let found = said.get(session.log_to..).and_then(|new| new.find(text));
            found.map(|at| session.log_to += at + text.len())
        })
    }

    /// Types `line` once the shell asks for one.
    pub fn begin(&mut self, line: &str) -> Result<()> {
        self.watch(BOOTING, "the shell to ask for a line", |session, said| {
            session.find(PROMPT, said)
        })?;
        self.keyboard
            .write_all(format!("{line}\r").as_bytes())
            .and_then(|()| self.keyboard.flush())
            .with_context(|| format!("cannot type `{line}`"))?;
        line.clone_into(&mut self.asked);
        self.watch(BOOTING, &format!("`{line}` to be echoed"), |session, said| {
            session.find(line, said)
        })
    }

    /// What the line typed last answered, once the shell asks for the next.
    pub fn answer(&mut self, limit: Duration) -> Result<String> {
        let asked = self.asked.clone();
        let mut quiet = (0, Instant::now());
        self.watch(limit, &format!("`{asked}` to come to its end"), |session, said| {
            if quiet.0 != said.len() {
                quiet = (said.len(), Instant::now());
            }
            let mut from = session.read_to;
            loop {
                let end = from + said.get(from..)?.find(PROMPT)?;
                let after = &said[end + PROMPT.len()..];
                // A prompt with the line after it is an echo drawn again: a log line came between.
                if !after.starts_with(&asked) {
                    let text = said[session.read_to..end].trim().to_owned();
                    if may_be_cut(&text, after, &asked) && quiet.1.elapsed() < SETTLING {
                        return None;
                    }
                    session.read_to = end;
                    return Some(text);
                }
                from = end + PROMPT.len() + asked.len();
                session.read_to = from;
            }
        })
    }

    /// Types `line` and gives back what it answered.
    pub fn ask(&mut self, line: &str, limit: Duration) -> Result<String> {
        self.begin(line)?;
        self.answer(limit)
    }

    /// The same, and the answer has to hold `wanted`.
    pub fn expect(&mut self, line: &str, wanted: &str, limit: Duration) -> Result<String> {
        let answer = self.ask(line, limit)?;
        if !answer.contains(wanted) {
            bail!("`{line}` should have answered `{wanted}`, it said: {answer}");
        }
        Ok(answer)
    }

    /// Goes past the next `text` on the console, if it is there.
    fn find(&mut self, text: &str, said: &str) -> Option<()> {
        let at = said.get(self.read_to..)?.find(text)?;
        self.read_to += at + text.len();
        Some(())
    }

    /// Looks at the console until `look` finds what it wants.
    fn watch<R>(
        &mut self,
        limit: Duration,
        what: &str,
        mut look: impl FnMut(&mut Self, &str) -> Option<R>,
    ) -> Result<R> {
        let deadline = Instant::now() + limit;
        loop {
            // Looked at before the console, so that its last words are looked at too.
            let left = self.child.poll()?;
            let said = self.said();
            if let Some(found) = look(self, &said) {
                return Ok(found);
            }
            if let Some(status) = left {
                bail!("the machine left ({status}), where it was for {what}");
            }
            if Instant::now() >= deadline {
                bail!("waited {} s for {what}", limit.as_secs());
            }
            thread::sleep(PAUSE);
        }
    }

    /// Waits until the machine leaves by itself.
    pub fn leave(mut self, limit: Duration) -> Result<Outcome> {
        let ended = match self.child.wait_until(Some(Instant::now() + limit))? {
            Some(status) => Ended::Status(status.code().unwrap_or(-1)),
            None => self.time_out(),
        };
        Ok(self.end(ended))
    }

    /// Ends the machine, because of `why`.
    pub fn astray(mut self, why: String) -> Outcome {
        let ended = match self.child.poll() {
            Ok(Some(_)) => Ended::Astray(why),
            // A hang is told by where the cores are.
            _ if why.starts_with("waited ") => self.time_out(),
            _ => Ended::Astray(why),
        };
        self.end(ended)
    }

    fn time_out(&mut self) -> Ended {
        let cores = self.machine.cores;
        Ended::TimedOut(match self.monitor() {
            Ok(monitor) => monitor.registers(cores),
            Err(error) => format!("no registers: {error:#}\n"),
        })
    }

    fn end(mut self, ended: Ended) -> Outcome {
        self.child.kill();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        let _ = fs::remove_file(self.machine.monitor());
        let read = |name| {
            let bytes = fs::read(self.machine.dir.join(name));
            bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
        };
        Outcome {
            ended,
            serial: self.said(),
            records: read(RECORDS),
            complaints: read(COMPLAINTS),
            took: self.start.elapsed(),
            dir: self.machine.dir.clone(),
        }
    }
}

/// Whether a prompt with `after` behind it may be half of an echo of `asked`, drawn again because of
/// the log lines in `text`.
fn may_be_cut(text: &str, after: &str, asked: &str) -> bool {
    let is_log = !text.is_empty() && text.lines().all(|line| line.starts_with('['));
    asked.starts_with(after) && (is_log || !after.is_empty())
}

#[cfg(test)]
mod tests {
    use super::may_be_cut;

    #[test]
    fn an_echo_drawn_again_may_be_half_there() {
        let log = "[   1.000000] core0 info  a: b";
        for (text, after, is) in [
            (log, "", true),
            (log, "sta", true),
            (log, "help", false),
            ("up 3 s", "", false),
            ("", "", false),
            ("program: line", "st", true),
        ] {
            assert_eq!(may_be_cut(text, after, "status"), is, "{text} {after}");
        }
    }
}
