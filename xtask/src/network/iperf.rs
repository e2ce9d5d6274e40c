//! `iperf3` against the guest's server.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::peers;
use crate::process;

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The host to the guest.
    ToGuest,
    /// The guest to the host.
    FromGuest,
}

/// By what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// As fast as it goes, over this many connections.
    Tcp(u32),
    /// So many Mbit/s.
    Udp(u32),
}

/// Bytes that the receiver got, of a test of so many seconds.
pub fn run(guest: &str, direction: Direction, by: Transport, seconds: u32) -> Result<u64> {
    let mut command = peers::command("iperf3")?;
    command.args(["--client", guest, "--json", "--time", &seconds.to_string()]);
    command.args(["--connect-timeout", "10000"]);
    match by {
        Transport::Tcp(connections) => command.args(["--parallel", &connections.to_string()]),
        Transport::Udp(megabits) => command.args(["--udp", "--bitrate", &format!("{megabits}M")]),
    };
    if direction == Direction::FromGuest {
        command.arg("--reverse");
    }
    let limit = Duration::from_secs(u64::from(seconds) + 30);
    let what = format!("iperf3 {direction:?} by {by:?}");
    let (status, said) = process::said(&mut command, limit)?;
    if status.is_none() {
        bail!("{what}: not done after {} s", limit.as_secs());
    }
    received(&said).with_context(|| what)
}

/// What `--json` says that was received.
fn received(said: &str) -> Result<u64> {
    let report: Value = serde_json::from_str(said).with_context(|| said.trim().to_owned())?;
    if let Some(error) = report["error"].as_str() {
        bail!("{error}");
    }
    let end = &report["end"];
    // Of UDP there is one sum, of what was sent, with what is missing of it.
    let bytes = match (end["sum_received"]["bytes"].as_f64(), end["sum"]["bytes"].as_f64()) {
        (Some(bytes), _) if bytes > 0.0 => bytes,
        (_, Some(bytes)) => {
            bytes * (1.0 - end["sum"]["lost_percent"].as_f64().unwrap_or(0.0) / 100.0)
        }
        _ => bail!("the report has no sum"),
    };
    if bytes < 1.0 {
        bail!("nothing was received");
    }
    Ok(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read() {
        let tcp = r#"{"end":{"sum_sent":{"bytes":9},"sum_received":{"bytes":7}}}"#;
        assert_eq!(received(tcp).unwrap(), 7);
        let udp = r#"{"end":{"sum":{"bytes":1000,"lost_percent":10}}}"#;
        assert_eq!(received(udp).unwrap(), 900);
        for (bad, why) in [
            (r#"{"error":"unable to connect"}"#, "unable to connect"),
            (r#"{"end":{"sum_received":{"bytes":0}}}"#, "no sum"),
            (r#"{"end":{"sum":{"bytes":1000,"lost_percent":100}}}"#, "nothing"),
            ("iperf3: error", "iperf3: error"),
        ] {
            let error = format!("{:#}", received(bad).unwrap_err());
            assert!(error.contains(why), "{error}");
        }
    }
}
