//! A network where somebody means harm: what is connected goes on, memory stays bounded.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::{MIB, configured, status_page};
use crate::network::curl::{self, Connections};
use crate::network::flood::Flood;
use crate::network::frames::Station;
use crate::network::relay::Relay;
use crate::network::stage::{SOON, Stage};
use crate::network::{namespace, traffic};

/// Frames of a flood, and requests for connections, of a round.
const FRAMES: u64 = 500_000;
const SYNS: u64 = 50_000;
/// Frames at once, and the pause after them, in which others get through.
const BATCH: usize = 48;
const PAUSE: Duration = Duration::from_micros(300);
const ROUNDS: u64 = 2;
/// Connections that read nothing, and as many that ask for nothing. (The character generator serves 32.)
const SLOW: usize = 24;
const TIME: Duration = Duration::from_secs(120);
/// What a first round may leave in the kernel's pools: the bound of all sockets' buffers, and some.
const POOLS: u64 = 128 * MIB;
/// What another round of the same may add.
const MORE: u64 = 8 * MIB;

/// Two rounds of everything, with others being served meanwhile.
pub fn hostile(stage: &mut Stage) -> Result<()> {
    configured(stage, "DHCP")?;
    status_page(stage)?;
    served(stage, Connections::Fresh)?;
    let mut free = vec![free_bytes(stage)?];
    let mut sent = 0;
    for round in 0..ROUNDS {
        let slow = slow_ones()?;
        for (what, count, seed) in [("flood", FRAMES, round), ("SYN flood", SYNS, round + 100)] {
            stage.note(&format!("round {}: {what}", round + 1));
            let attack = Attack::start(stage.relay()?, what, count, seed)?;
            while !attack.is_over() {
                if let Err(error) = served(stage, Connections::Retried) {
                    let sent = attack.sent.load(Relaxed);
                    let counts = stage.session.ask("net", SOON).unwrap_or_default();
                    bail!("during a {what}, after {sent} frames: {error:#}\n{counts}");
                }
            }
            sent += attack.end()?;
        }
        drop(slow);
        served(stage, Connections::Fresh).context("after the floods")?;
        let counts = stage.session.ask("net", SOON)?;
        ensure!(counts.contains("received"), "`net` says: {counts}");
        free.push(free_bytes(stage)?);
    }
    stage.guest_fetches(6, 4 * MIB, TIME)?;
    let shown = free.iter().map(|bytes| (bytes / MIB).to_string()).collect::<Vec<_>>().join(", ");
    stage.remark(format!("{sent} bad frames; MiB free: {shown}"));
    ensure!(free[1] + POOLS >= free[0], "the first round took too much memory; MiB free: {shown}");
    for pair in free[1..].windows(2) {
        ensure!(pair[1] + MORE >= pair[0], "memory gets less and less; MiB free: {shown}");
    }
    Ok(())
}

/// What everybody else wants meanwhile.
fn served(stage: &mut Stage, connections: Connections) -> Result<()> {
    let url = format!("{}/status.json", stage.guest_url);
    curl::many(&url, 20, 4, connections, TIME)?;
    stage.guest_fetches(5, MIB / 4, TIME)
}

/// Some who want all of chargen and read nothing of it, some who never end their request.
fn slow_ones() -> Result<Vec<TcpStream>> {
    let guest = namespace::guest(0);
    let mut open = Vec::new();
    for _ in 0..SLOW {
        open.push(traffic::connect(&guest, 19)?);
        let mut asks = traffic::connect(&guest, 80)?;
        asks.write_all(b"GET /status.json HTTP/1.1\r\nHost: ")?;
        open.push(asks);
    }
    Ok(open)
}

/// Bytes of memory that are free, by the shell's `mem`.
fn free_bytes(stage: &mut Stage) -> Result<u64> {
    let said = stage.session.ask("mem", SOON)?;
    free_frames(&said).map(|frames| frames * 4096).with_context(|| format!("`mem` says: {said}"))
}

/// `free   388 MiB  99,328 frames`
fn free_frames(said: &str) -> Option<u64> {
    let line = said.lines().find(|line| line.trim_start().starts_with("free"))?;
    let before = line.split(" frames").next()?;
    before.split_whitespace().next_back()?.replace(',', "").parse().ok()
}

/// A thread that sends bad frames to the card.
struct Attack {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: JoinHandle<Result<()>>,
    start: Instant,
}

impl Attack {
    fn start(relay: Arc<Relay>, what: &'static str, count: u64, seed: u64) -> Result<Self> {
        let [guest, host] = stations()?;
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&sent));
        let thread = thread::spawn(move || {
            let mut flood = Flood::new(seed, guest, host);
            while counted.load(Relaxed) < count && !stopped.load(Relaxed) {
                let frames: Vec<Vec<u8>> = (0..BATCH)
                    .map(|_| if what == "flood" { flood.frame() } else { flood.syn(80) })
                    .collect();
                relay.inject(&frames)?;
                counted.fetch_add(BATCH as u64, Relaxed);
                thread::sleep(PAUSE);
            }
            Ok(())
        });
        Ok(Self { stop, sent, thread, start: Instant::now() })
    }

    /// Whether it has sent all, or failed, or takes too long.
    fn is_over(&self) -> bool {
        self.thread.is_finished() || self.start.elapsed() > TIME
    }

    /// How many frames it sent.
    fn end(self) -> Result<u64> {
        self.stop.store(true, Relaxed);
        match self.thread.join() {
            Ok(result) => result.map(|()| self.sent.load(Relaxed)),
            Err(_) => bail!("the flood's thread panicked"),
        }
    }
}

/// The guest and the host, as the flood has to know them.
fn stations() -> Result<[Station; 2]> {
    let station = |mac: &str, ip: &str, ip6: &str| -> Result<Station> {
        let mut bytes = [0; 6];
        for (byte, digits) in bytes.iter_mut().zip(mac.split(':')) {
            *byte = u8::from_str_radix(digits, 16)?;
        }
        Ok(Station { mac: bytes, ip: ip.parse()?, ip6: ip6.parse()? })
    };
    let host6 = format!("{}1", namespace::prefix(0));
    Ok([
        station(&crate::network::cards::address(0), &namespace::guest(0), &namespace::guest_v6(0))?,
        station(&namespace::host_mac(0), &namespace::host(0), &host6)?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_memory_is_read() {
        let said = "memory                       499 MiB  127,998 frames\n\
                    free                         454 MiB  116,301 frames\n  kept by cores  1.2 MiB\n";
        assert_eq!(free_frames(said), Some(116_301));
        assert_eq!(free_frames("nothing"), None);
    }

    #[test]
    fn stations_are_those_of_the_network() {
        let [guest, host] = stations().unwrap();
        assert_eq!(guest.mac, [0x52, 0x54, 0, 0x12, 0x34, 0x56]);
        assert_eq!(
            (guest.ip.to_string(), host.ip.to_string()),
            ("192.0.2.10".to_owned(), "192.0.2.1".to_owned())
        );
        assert_eq!(guest.ip6.to_string(), "2001:db8:1:0:5054:ff:fe12:3456");
    }
}
