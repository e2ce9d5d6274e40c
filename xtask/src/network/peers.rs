//! Real programs at the other end of the cable: what they are called, where they are, how the
//! servers among them are started.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::cards;
use super::namespace::{guest, host, prefix, tap};
use crate::process::{Running, tied_to_us, which_admin};

/// A name that the DNS server knows: that of the host on the first network.
pub const NAME: &str = "peer.pollux.test";
/// Seconds of a DHCP lease: the least that dnsmasq gives. It is renewed after half of them.
pub const LEASE: u64 = 120;

/// Programs the tests cannot do without, with Debian's packages of them.
pub const NEEDED: &[(&str, &str)] =
    &[("ip", "iproute2"), ("dnsmasq", "dnsmasq-base"), ("curl", "curl"), ("ping", "iputils-ping")];

/// Programs whose checks are left out where they are not there.
pub const WANTED: &[(&str, &str)] =
    &[("iperf3", "iperf3"), ("tshark", "tshark"), ("rsyslogd", "rsyslog")];

/// Packages of all that is not there.
pub fn missing() -> Vec<&'static str> {
    let all = NEEDED.iter().chain(WANTED);
    all.filter(|(name, _)| which_admin(name).is_none()).map(|(_, package)| *package).collect()
}

/// Where `name` is, or which package has it.
pub fn find(name: &str) -> Result<PathBuf, String> {
    which_admin(name).ok_or_else(|| {
        let known = NEEDED.iter().chain(WANTED).find(|known| known.0 == name);
        let package = known.map_or(name, |known| known.1);
        format!("there is no `{name}` (package {package})")
    })
}

/// A command of one of them.
pub fn command(name: &str) -> Result<Command> {
    Ok(Command::new(find(name).map_err(anyhow::Error::msg)?))
}

/// Starts a server that logs to `log` and stays for as long as the value lives.
pub fn serve(name: &str, arguments: &[String], log: &Path) -> Result<Running> {
    let program = find(name).map_err(anyhow::Error::msg)?;
    let log = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = tied_to_us(program);
    command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Running::start(&mut command)
}

/// DHCP, DNS and router advertisements on the networks of `cards` cards.
pub struct Dnsmasq {
    log: PathBuf,
    child: Running,
}

impl Dnsmasq {
    /// Started, and listening.
    pub fn start(cards: usize, dir: &Path) -> Result<Self> {
        let log = dir.join("dnsmasq.log");
        let child = serve("dnsmasq", &dnsmasq_arguments(cards, dir), &log)?;
        let server = Self { log, child };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !server.said().contains("started, ") {
            if let Some(status) = server.child.poll()? {
                bail!("dnsmasq left ({status}): {}", server.said().trim());
            }
            if Instant::now() > deadline {
                bail!("dnsmasq does not start: {}", server.said().trim());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    /// Its log.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

fn dnsmasq_arguments(cards: usize, dir: &Path) -> Vec<String> {
    let mut words: Vec<String> = [
        // In the foreground, as whoever we are, logging to standard error.
        "--no-daemon",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--bind-interfaces",
        "--except-interface=lo",
        "--no-ping",
        "--dhcp-authoritative",
        "--enable-ra",
        "--log-dhcp",
        "--log-queries",
    ]
    .map(str::to_owned)
    .into();
    let leases = dir.join("dnsmasq.leases");
    let _ = fs::remove_file(&leases);
    words.push(format!("--dhcp-leasefile={}", leases.display()));
    words.push(format!("--host-record={NAME},{},{}1", host(0), prefix(0)));
    for number in 0..cards {
        let address = guest(number);
        words.push(format!("--interface={}", tap(number)));
        words.push(format!("--dhcp-range={address},{address},255.255.255.0,{LEASE}"));
        words.push(format!("--dhcp-host={},{address}", cards::address(number)));
        words.push(format!("--dhcp-range={},ra-only,64,{LEASE}", prefix(number)));
    }
    words
}

/// How often a lease was renewed, by dnsmasq's log: an acknowledgement that no offer came before.
pub fn renewals(log: &str, mac: &str) -> usize {
    let mut offered = false;
    let mut count = 0;
    for line in log.lines().filter(|line| line.contains(mac)) {
        if line.contains("DHCPOFFER(") {
            offered = true;
        } else if line.contains("DHCPACK(") {
            count += usize::from(!offered);
            offered = false;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewals_are_told_from_first_leases() {
        let mac = "52:54:00:12:34:56";
        let first = format!(
            "dhcp: 1 DHCPDISCOVER(pollux0) {mac}\ndhcp: 1 DHCPOFFER(pollux0) 192.0.2.10 {mac}\n\
             dhcp: 1 DHCPREQUEST(pollux0) 192.0.2.10 {mac}\ndhcp: 1 DHCPACK(pollux0) 192.0.2.10 {mac} pollux\n"
        );
        let again = format!(
            "dhcp: 2 DHCPREQUEST(pollux0) 192.0.2.10 {mac}\ndhcp: 2 DHCPACK(pollux0) 192.0.2.10 {mac}\n"
        );
        assert_eq!(renewals(&first, mac), 0);
        assert_eq!(renewals(&format!("{first}{again}"), mac), 1);
        assert_eq!(renewals(&format!("{first}{again}{first}{again}"), mac), 2);
        assert_eq!(renewals(&again, "52:54:00:12:34:57"), 0);
    }

    #[test]
    fn each_network_has_its_ranges() {
        let line = dnsmasq_arguments(2, Path::new("/t")).join(" ");
        for part in [
            "--dhcp-host=52:54:00:12:34:57,198.51.100.10",
            "--dhcp-range=2001:db8:2::,ra-only",
            "--host-record=peer.pollux.test,192.0.2.1,2001:db8:1::1",
            "--interface=pollux0 ",
        ] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
}
