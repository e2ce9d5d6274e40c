//! A network of a test's own: this tool starts itself again inside fresh network and process
//! namespaces, where it may make devices and start servers on any port.
//!
//! ```text
//!   xtask ── unshare ── xtask (process 1 in there) ─┬─ QEMU ── pollux0 (tap)
//!                                                   └─ dnsmasq, curl, …  192.0.2.1
//! ```
//!
//! As root `unshare` just does it; anybody else gets it by a user namespace of which they are root,
//! where the system allows that. When process 1 ends, all in there ends, devices included.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::{self, which, which_admin};

/// What tap devices are made by.
const TUN: &str = "/dev/net/tun";
const LIMIT: Duration = Duration::from_secs(20);

const ALWAYS: [&str; 4] = ["--net", "--pid", "--fork", "--kill-child"];
const AS_ROOT: &[&str] = &["--user", "--map-root-user"];

/// The tap device of card `number`.
pub fn tap(number: usize) -> String {
    format!("pollux{number}")
}

/// The host's IPv4 address on the network of card `number`, of those for documentation (RFC 5737).
pub fn host(number: usize) -> String {
    format!("{}.1", NETWORKS[number % NETWORKS.len()])
}

/// The address that the DHCP server gives to card `number`.
pub fn guest(number: usize) -> String {
    format!("{}.10", NETWORKS[number % NETWORKS.len()])
}

/// The IPv6 prefix of the network of card `number`, without its length of 64 (RFC 3849).
pub fn prefix(number: usize) -> String {
    format!("2001:db8:{}::", number + 1)
}

/// The IPv6 address that card `number` makes for itself there (RFC 4291, appendix A).
pub fn guest_v6(number: usize) -> String {
    format!("{}5054:ff:fe12:{:x}", prefix(number).replace("::", ":0:"), 0x3456 + number)
}

/// The Ethernet address of the host on the network of card `number`.
pub fn host_mac(number: usize) -> String {
    format!("02:00:00:00:00:{:02x}", number + 1)
}

/// Their IPv4 networks, all of them /24.
const NETWORKS: [&str; 3] = ["192.0.2", "198.51.100", "203.0.113"];

/// How a private network is had here, or why it cannot be.
pub fn available() -> Result<&'static [&'static str], String> {
    static FOUND: OnceLock<Result<&'static [&'static str], String>> = OnceLock::new();
    FOUND.get_or_init(|| find().map_err(|error| format!("{error:#}"))).clone()
}

fn find() -> Result<&'static [&'static str]> {
    let ip = ip()?;
    which("unshare").context("no private network: there is no `unshare` (package util-linux)")?;
    if !Path::new(TUN).exists() {
        bail!(
            "no private network: there is no {TUN} (`modprobe tun`, or give it to the container)"
        );
    }
    if let Err(error) = File::options().read(true).write(true).open(TUN) {
        bail!("no private network: {TUN} may not be opened: {error}");
    }
    let mut reasons = Vec::new();
    for (ways, who) in [(&[][..], "by oneself"), (AS_ROOT, "by a user namespace")] {
        let mut command = Command::new("unshare");
        command.args(ways).args(ALWAYS).args(["sh", "-c"]);
        command.arg(r#""$0" link set lo up && "$0" tuntap add dev pollux0 mode tap"#).arg(&ip);
        let (status, said) = process::said(&mut command, LIMIT)?;
        if status.is_some_and(|status| status.success()) {
            return Ok(ways);
        }
        reasons.push(format!("{who}: {}", said.trim().replace('\n', "; ")));
    }
    bail!("no private network; {}", reasons.join("; "))
}

fn ip() -> Result<PathBuf> {
    which_admin("ip").context("no private network: there is no `ip` (package iproute2)")
}

/// A command that starts this tool again in there; its arguments are to be added.
pub fn enter() -> Result<Command> {
    let ways = available().map_err(anyhow::Error::msg)?;
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let mut command = process::tied_to_us("unshare");
    command.args(ways).args(ALWAYS).arg("--").arg(own);
    Ok(command)
}

/// Makes the devices for `cards` cards. Only to be called in there.
pub fn furnish(cards: usize) -> Result<()> {
    let ip = ip()?;
    let run = |line: String| {
        let mut command = Command::new(&ip);
        command.args(line.split(' '));
        let (status, said) = process::said(&mut command, LIMIT)?;
        if status.is_some_and(|status| status.success()) {
            return Ok(());
        }
        bail!("ip {line}: {}", said.trim())
    };
    run("link set lo up".to_owned())?;
    for number in 0..cards {
        let (tap, prefix) = (tap(number), prefix(number));
        run(format!("tuntap add dev {tap} mode tap"))?;
        run(format!("link set dev {tap} address {}", host_mac(number)))?;
        run(format!("addr add {}/24 dev {tap}", host(number)))?;
        run(format!("-6 addr add {prefix}1/64 dev {tap} nodad"))?;
        run(format!("link set {tap} up"))?;
    }
    Ok(())
}
