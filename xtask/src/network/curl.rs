//! `curl` and `ping` against the guest, and what they say.

use std::time::Duration;

use anyhow::{Result, bail};

use super::peers;
use crate::process;

/// How `curl` treats its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// Many requests on each.
    Kept,
    /// A new one for each request.
    Fresh,
    /// The same, and another where one was refused or reset, up to [`RETRIES`] times: what a client
    /// does whose server is under attack.
    Retried,
}

/// How often a request is made again.
const RETRIES: &str = "20";

/// What `url` gives.
pub fn fetch(url: &str) -> Result<String> {
    let mut command = peers::command("curl")?;
    command.args(["--silent", "--show-error", "--fail", "--max-time", "30", "--globoff", url]);
    run(&mut command, url, Duration::from_secs(40))
}

/// Fetches `url` `count` times, `parallel` at once; each has to be answered with 200 and at least
/// one byte.
pub fn many(
    url: &str,
    count: u32,
    parallel: u32,
    connections: Connections,
    limit: Duration,
) -> Result<()> {
    let mut command = peers::command("curl")?;
    command.args(["--silent", "--show-error", "--fail", "--output", "/dev/null"]);
    command.args(["--write-out", "%{http_code} %{size_download}\n", "--max-time", "60"]);
    command.args(["--parallel", "--parallel-max", &parallel.to_string()]);
    if connections != Connections::Kept {
        command.args(["--parallel-immediate", "--header", "Connection: close"]);
    }
    if connections == Connections::Retried {
        command.args(["--retry", RETRIES, "--retry-all-errors", "--retry-delay", "1"]);
    }
    // What follows the # stays with curl.
    command.arg(format!("{url}#[1-{count}]"));
    let said = run(&mut command, url, limit)?;
    let good = answered(&said);
    if good == count {
        return Ok(());
    }
    let other = said.lines().find(|line| !is_good(line)).unwrap_or_default();
    bail!("{good} of {count} requests for {url} were answered well; another: {other}")
}

fn is_good(line: &str) -> bool {
    line.split_once(' ').is_some_and(|(code, bytes)| code == "200" && bytes != "0")
}

fn answered(said: &str) -> u32 {
    said.lines().filter(|line| is_good(line)).count() as u32
}

/// Round trips of a ping in nanoseconds, the shortest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Trips(pub Vec<f64>);

impl Trips {
    /// The one that so many hundredths of all are not longer than.
    pub fn percentile(&self, hundredths: usize) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get(last * hundredths / 100).copied().unwrap_or_default()
    }
}

/// How long all answers to a ping may take.
const PINGING: u64 = 20;

/// Sends echo requests of `bytes` bytes, one each `interval`, until `count` are answered.
///
/// Without a deadline ping waits for no more than two round trips after its last request, and a
/// host that is busy takes an answer for lost which is there a moment later.
pub fn ping(address: &str, count: u32, bytes: u32, interval: Duration) -> Result<Trips> {
    let mut command = peers::command("ping")?;
    let limit = interval * count + Duration::from_secs(PINGING);
    let (count_word, bytes_word) = (count.to_string(), bytes.to_string());
    command.args(["-n", "-w", &limit.as_secs().to_string()]);
    command.args(["-c", &count_word, "-s", &bytes_word]);
    command.args(["-i", &format!("{:.3}", interval.as_secs_f64()), address]);
    command.env("LC_ALL", "C");
    let (_, said) = process::said(&mut command, limit * 2)?;
    let trips = trips(&said);
    if trips.0.len() < count as usize {
        let answered = trips.0.len();
        bail!("ping {address}, {bytes} bytes: {answered} of {count} answered: {}", said.trim());
    }
    Ok(trips)
}

/// Reads the lines of iputils' ping.
fn trips(said: &str) -> Trips {
    let times = said.lines().filter_map(|line| {
        let ms: f64 = line.split(" time=").nth(1)?.strip_suffix(" ms")?.parse().ok()?;
        Some(ms * 1e6)
    });
    let mut times: Vec<f64> = times.collect();
    times.sort_by(f64::total_cmp);
    Trips(times)
}

fn run(command: &mut std::process::Command, what: &str, limit: Duration) -> Result<String> {
    let (status, said) = process::said(command, limit)?;
    match status {
        Some(status) if status.success() => Ok(said),
        Some(_) => {
            let lines: Vec<&str> = said.lines().filter(|line| !is_good(line)).collect();
            bail!("curl {what}: {}", lines[lines.len().saturating_sub(5)..].join("; "))
        }
        None => bail!("curl {what}: not done after {} s", limit.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::http::Server;

    #[test]
    fn answers_to_pings_are_read() {
        let said = "PING 127.0.0.1 (127.0.0.1) 56(84) bytes of data.\n\
             64 bytes from 127.0.0.1: icmp_seq=1 ttl=64 time=0.045 ms\n\
             64 bytes from 127.0.0.1: icmp_seq=2 ttl=64 time=1.5 ms\n\
             64 bytes from 127.0.0.1: icmp_seq=4 ttl=64 time=0.031 ms\n\n\
             --- 127.0.0.1 ping statistics ---\n4 packets transmitted, 3 received, 25% packet loss\n";
        let trips = trips(said);
        assert_eq!(trips, Trips(vec![31_000.0, 45_000.0, 1_500_000.0]));
        assert_eq!([0, 50, 100].map(|of| trips.percentile(of)), [31_000.0, 45_000.0, 1_500_000.0]);
        assert_eq!(super::trips("").percentile(50), 0.0);
    }

    #[test]
    fn answers_of_curl_are_counted() {
        assert_eq!(answered("200 12\n200 0\n404 12\n200 9\ncurl: (56) x\n"), 2);
    }

    #[test]
    fn curl_fetches_many() {
        if peers::find("curl").is_err() {
            return;
        }
        let server = Server::start(("127.0.0.1", 0)).unwrap();
        let url = |path: &str| format!("http://{}{path}", server.address);
        let limit = Duration::from_secs(60);
        for connections in [Connections::Kept, Connections::Fresh] {
            many(&url("/pattern/1/100"), 50, 10, connections, limit).unwrap();
        }
        assert!(many(&url("/nothing"), 2, 1, Connections::Kept, limit).is_err());
        assert_eq!(fetch(&url("/pattern/1/0")).unwrap(), "");
    }
}
