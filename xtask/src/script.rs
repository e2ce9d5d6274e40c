//! What is done to a machine while it runs: lines typed at its shell, answers waited for, devices
//! unplugged and plugged in.
//!
//! ```text
//!            prompt             the line's echo        the answer, or (Type) nothing
//!   Type ───────────► typed ──────────────────► echoed ────────────────────────────► next step
//! ```
//!
//! A step that does not come to its end within [`LIMIT`] fails, and a step whose answer is another
//! than expected fails once the shell has asked for the next line.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::drives::{HOT, Port};
use crate::qemu::Machine;
use crate::qmp::Monitor;

/// What the shell says when it waits for a line.
pub const PROMPT: &str = "pollux> ";
/// Longest time a step may take.
const LIMIT: Duration = Duration::from_secs(60);
/// After the next prompt, an answer that is still not as expected is another.
const GRACE: Duration = Duration::from_secs(3);

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Types a line once the shell asks for one.
    Type(&'static str),
    /// Types a line, and its answer has to hold the second text.
    Ask(&'static str, &'static str),
    /// Waits until this comes up on the console, after what was waited for last.
    Await(&'static str),
    /// Asks for the NVMe controller behind the root port back, and waits until QEMU has it.
    Unplug,
    /// Puts it in again.
    Plug,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Nothing of the step is done.
    Start,
    /// The line is typed.
    Typed,
    /// Its echo was seen.
    Echoed,
    /// QEMU was told to unplug.
    Unplugging,
}

/// A script under way.
pub struct Play<'a, K> {
    steps: &'a [Step],
    machine: &'a Machine,
    keyboard: K,
    monitor: Option<Monitor>,
    at: At,
    /// How much of the console has been dealt with.
    read_to: usize,
    /// When the step was begun.
    since: Instant,
    /// When a prompt was first seen where an answer should be.
    prompted: Option<Instant>,
}

impl<'a, K: Write> Play<'a, K> {
    /// Nothing done yet.
    pub fn new(steps: &'a [Step], machine: &'a Machine, keyboard: K) -> Self {
        Self {
            steps,
            machine,
            keyboard,
            monitor: None,
            at: At::Start,
            read_to: 0,
            since: Instant::now(),
            prompted: None,
        }
    }

    /// The step that is not done yet.
    pub fn next(&self) -> Option<&Step> {
        self.steps.first()
    }

    /// The connection to QEMU's monitor; there can be one only.
    pub fn monitor(&mut self) -> Result<&mut Monitor> {
        if self.monitor.is_none() {
            self.monitor = Some(Monitor::connect(&self.machine.monitor())?);
        }
        self.monitor.as_mut().context("no monitor")
    }

    /// Goes as far as the console, which has said all of `said`, lets it.
    pub fn advance(&mut self, said: &str) -> Result<()> {
        while let Some(step) = self.steps.first().copied() {
            if self.step(step, said)? {
                self.steps = &self.steps[1..];
                self.at = At::Start;
                self.since = Instant::now();
                self.prompted = None;
            } else if self.since.elapsed() > LIMIT {
                bail!("{step:?} has not come to its end after {} s", LIMIT.as_secs());
            } else {
                break;
            }
        }
        Ok(())
    }

    /// Does what can be done of a step; whether that was all of it.
    fn step(&mut self, step: Step, said: &str) -> Result<bool> {
        match step {
            Step::Type(line) => Ok(self.typed(line, said)),
            Step::Ask(line, answer) => {
                if !self.typed(line, said) {
                    return Ok(false);
                }
                self.answered(line, answer, said)
            }
            Step::Await(text) => Ok(self.find(text, said)),
            Step::Plug => {
                let drives = &self.machine.drives;
                let hot = drives.iter().find(|drive| drive.port == Port::HotPlug);
                let arguments = hot.context("this machine has nothing to plug in")?.plug();
                self.monitor()?.execute("device_add", &arguments)?;
                Ok(true)
            }
            Step::Unplug => {
                if self.at == At::Start {
                    self.monitor()?.execute("device_del", &json!({ "id": HOT }))?;
                    self.at = At::Unplugging;
                }
                let gone = |event: &serde_json::Value| {
                    event["event"] == "DEVICE_DELETED" && event["data"]["device"] == HOT
                };
                self.monitor()?.happened(gone)
            }
        }
    }

    /// Types `line` at a prompt; whether it has been, and its echo was seen.
    fn typed(&mut self, line: &str, said: &str) -> bool {
        if self.at == At::Start && self.find(PROMPT, said) {
            // A machine that has left meanwhile is noticed by whoever runs it.
            let bytes = format!("{line}\r");
            let _ = self.keyboard.write_all(bytes.as_bytes()).and_then(|()| self.keyboard.flush());
            self.at = At::Typed;
        }
        if self.at == At::Typed && self.find(line, said) {
            self.at = At::Echoed;
        }
        self.at == At::Echoed
    }

    /// Goes past the next `text` on the console, if it is there.
    fn find(&mut self, text: &str, said: &str) -> bool {
        let found = said.get(self.read_to..).and_then(|new| new.find(text));
        if let Some(at) = found {
            self.read_to += at + text.len();
        }
        found.is_some()
    }

    /// Whether `answer` came before the next prompt; an error once it will not come any more.
    fn answered(&mut self, line: &str, answer: &str, said: &str) -> Result<bool> {
        let new = said.get(self.read_to..).unwrap_or("");
        let end = new.find(PROMPT);
        let text = &new[..end.unwrap_or(new.len())];
        if let Some(at) = text.find(answer) {
            self.read_to += at + answer.len();
            return Ok(true);
        }
        let Some(end) = end else { return Ok(false) };
        // A prompt with the line after it is an echo drawn again, because a log line came between.
        if new[end + PROMPT.len()..].starts_with(line) {
            self.read_to += end + PROMPT.len() + line.len();
            self.prompted = None;
            return self.answered(line, answer, said);
        }
        if self.prompted.get_or_insert_with(Instant::now).elapsed() > GRACE {
            bail!("`{line}` should have answered `{answer}`, it said: {}", text.trim());
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Accel, Options};
    use crate::qemu::Console;

    fn with(steps: &[Step], test: impl FnOnce(&mut Play<'_, &mut Vec<u8>>)) -> String {
        let options = Options { accel: Accel::Tcg, ..Options::default() };
        let machine = Machine::by_options(&options, Console::Pipe, "/t".into()).unwrap();
        let mut typed = Vec::new();
        test(&mut Play::new(steps, &machine, &mut typed));
        String::from_utf8(typed).unwrap()
    }

    #[test]
    fn lines_are_typed_one_after_another() {
        let steps = [Step::Ask("one", "1"), Step::Type("two"), Step::Await("bye")];
        let typed = with(&steps, |play| {
            for (said, left) in [
                ("boot", 3),
                ("boot\npollux> ", 3),
                ("boot\npollux> on", 3),
                ("boot\npollux> one\nmore", 3),
                ("boot\npollux> one\nmore 1\n", 2),
                ("boot\npollux> one\nmore 1\npollux> ", 2),
                ("boot\npollux> one\nmore 1\npollux> two\n", 1),
                ("boot\npollux> one\nmore 1\npollux> two\ngood bye", 0),
            ] {
                play.advance(said).unwrap();
                assert_eq!(play.steps.len(), left, "{said}");
            }
        });
        assert_eq!(typed, "one\rtwo\r");
    }

    #[test]
    fn other_answers_are_told() {
        with(&[Step::Ask("one", "1")], |play| {
            // A log line displaced the prompt: the echo is drawn again.
            play.advance("pollux> ").unwrap();
            play.advance("pollux> one\nlog\npollux> one").unwrap();
            let said = "pollux> one\nlog\npollux> one\none: no\npollux> ";
            play.advance(said).unwrap();
            play.prompted = Instant::now().checked_sub(GRACE * 2);
            let error = play.advance(said).unwrap_err().to_string();
            assert!(error.ends_with("it said: one: no"), "{error}");
        });
        with(&[Step::Ask("one", "poll")], |play| {
            play.advance("pollux> one\none: no\npollux> ").unwrap();
            assert!(play.next().is_some(), "the prompt is no answer");
        });
        with(&[Step::Await("never")], |play| {
            play.since = Instant::now().checked_sub(LIMIT * 2).unwrap();
            assert!(play.advance("").unwrap_err().to_string().contains("never"));
        });
    }
}
