//! QEMU's monitor protocol (QMP): a socket of JSON lines, used to look at a machine that hangs, and
//! to unplug and plug in devices.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// A connection in command mode.
pub struct Monitor {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
    /// What came of a line so far.
    partial: Vec<u8>,
    /// Events nobody has asked for yet.
    events: Vec<Value>,
}

/// How long the monitor may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

impl Monitor {
    /// Connects and leaves negotiation mode.
    pub fn connect(path: &Path) -> Result<Self> {
        let writer = UnixStream::connect(path).context("no monitor socket")?;
        writer.set_read_timeout(Some(PATIENCE))?;
        writer.set_write_timeout(Some(PATIENCE))?;
        let reader = BufReader::new(writer.try_clone()?);
        let mut monitor = Self { reader, writer, partial: Vec::new(), events: Vec::new() };
        monitor.line()?; // the greeting
        monitor.execute("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    fn line(&mut self) -> Result<Value> {
        if self.reader.read_until(b'\n', &mut self.partial)? == 0 {
            bail!("the monitor hung up");
        }
        let line = std::mem::take(&mut self.partial);
        serde_json::from_slice(&line).context("the monitor did not send JSON")
    }

    /// Whether an event that `wanted` picks has come; those before it are forgotten.
    pub fn happened(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<bool> {
        self.writer.set_read_timeout(Some(Duration::from_millis(10)))?;
        let seen = loop {
            match self.line() {
                Ok(event) => self.events.push(event),
                Err(error) => match error.downcast_ref::<std::io::Error>().map(|e| e.kind()) {
                    Some(ErrorKind::WouldBlock | ErrorKind::TimedOut) => break Ok(()),
                    _ => break Err(error),
                },
            }
        };
        self.writer.set_read_timeout(Some(PATIENCE))?;
        let at = self.events.iter().position(wanted);
        if let Some(at) = at {
            self.events.drain(..=at);
            return Ok(true);
        }
        seen.map(|()| false)
    }

    /// Executes one command and returns its answer; events in between are kept.
    pub fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let request = json!({ "execute": command, "arguments": arguments });
        writeln!(self.writer, "{request}")?;
        loop {
            let mut answer = self.line()?;
            if answer.get("error").is_some() {
                bail!("{command}: {}", answer["error"]["desc"]);
            }
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            self.events.push(answer);
        }
    }

    /// A command of the monitor for people, on one CPU.
    pub fn human(&mut self, line: &str, cpu: u32) -> Result<String> {
        let arguments = json!({ "command-line": line, "cpu-index": cpu });
        let answer = self.execute("human-monitor-command", &arguments)?;
        Ok(answer.as_str().unwrap_or_default().replace('\r', ""))
    }

    /// The registers of every CPU: the lines that tell where it is.
    pub fn registers(&mut self, cores: u32) -> String {
        let _ = self.execute("stop", &json!({}));
        let mut text = String::new();
        for cpu in 0..cores {
            match self.human("info registers", cpu) {
                Ok(registers) => {
                    text.push_str(&format!("CPU {cpu}:\n"));
                    for line in registers.lines().filter(|line| telling(line)) {
                        text.push_str(&format!("  {line}\n"));
                    }
                }
                Err(error) => text.push_str(&format!("CPU {cpu}: {error:#}\n")),
            }
        }
        text
    }
}

/// General registers, flags, control registers and the code segment; no vector registers.
fn telling(line: &str) -> bool {
    ["RAX", "RSI", "R8", "R12", "RIP", "CR0", "CS ", "GS "]
        .iter()
        .any(|name| line.trim_start().starts_with(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A monitor that says these lines, in pieces that do not end where lines do.
    fn monitor(said: &'static str) -> Monitor {
        let (writer, mut far) = UnixStream::pair().unwrap();
        writer.set_read_timeout(Some(PATIENCE)).unwrap();
        let reader = BufReader::new(writer.try_clone().unwrap());
        std::thread::spawn(move || {
            for piece in said.as_bytes().chunks(7) {
                far.write_all(piece).unwrap();
            }
            // Held open until the other side is gone.
            let _ = std::io::copy(&mut far, &mut std::io::sink());
        });
        Monitor { reader, writer, partial: Vec::new(), events: Vec::new() }
    }

    #[test]
    fn events_wait_until_asked_for() {
        let mut monitor = monitor(
            "{\"event\":\"A\"}\n{\"return\":{}}\n{\"event\":\"B\"}\n{\"error\":{\"desc\":\"no\"}}\n",
        );
        monitor.execute("x", &json!({})).unwrap();
        let error = monitor.execute("y", &json!({})).unwrap_err().to_string();
        assert!(error.contains("y: \"no\""), "{error}");
        assert!(!monitor.happened(|event| event["event"] == "C").unwrap());
        assert!(monitor.happened(|event| event["event"] == "B").unwrap());
        assert!(!monitor.happened(|event| event["event"] == "A").unwrap(), "forgotten");
    }

    #[test]
    fn vector_registers_are_left_out() {
        assert!(telling("RIP=ffffffff80001000 RFL=00000002"));
        assert!(telling("R8 =0000000000000000 R9 =0"));
        assert!(!telling("XMM00=0000000000000000 0000000000000000"));
    }
}
