//! QEMU's monitor protocol (QMP): a socket of JSON lines, used to look at a machine that hangs.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// A connection in command mode.
pub struct Monitor {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
}

impl Monitor {
    /// Connects and leaves negotiation mode.
    pub fn connect(path: &Path) -> Result<Self> {
        let writer = UnixStream::connect(path).context("no monitor socket")?;
        let patience = Some(Duration::from_secs(5));
        writer.set_read_timeout(patience)?;
        writer.set_write_timeout(patience)?;
        let reader = BufReader::new(writer.try_clone()?);
        let mut monitor = Self { reader, writer };
        monitor.line()?; // the greeting
        monitor.execute("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            bail!("the monitor hung up");
        }
        serde_json::from_str(&line).context("the monitor did not send JSON")
    }

    /// Executes one command and returns its answer; events in between are skipped.
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

    #[test]
    fn vector_registers_are_left_out() {
        assert!(telling("RIP=ffffffff80001000 RFL=00000002"));
        assert!(telling("R8 =0000000000000000 R9 =0"));
        assert!(!telling("XMM00=0000000000000000 0000000000000000"));
    }
}
