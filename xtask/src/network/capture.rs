//! What passes a card, written to a file by QEMU while the machine runs, and looked over by tshark
//! afterwards: nothing malformed, every checksum right.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::{cards, peers};
use crate::process;
use crate::qmp::Monitor;

const LIMIT: Duration = Duration::from_secs(120);

/// What must not come up. Status 0 of a checksum is a wrong one.
const BAD: &str = "_ws.malformed || ip.checksum.status == 0 || tcp.checksum.status == 0 || \
     udp.checksum.status == 0 || icmp.checksum.status == 0 || icmpv6.checksum.status == 0";

/// A capture under way.
pub struct Capture {
    /// Where it goes.
    pub file: PathBuf,
    id: String,
}

impl Capture {
    /// From now on all that passes card `number`, both ways.
    pub fn start(monitor: &mut Monitor, number: usize, dir: &Path) -> Result<Self> {
        let netdev = cards::netdev(number);
        let (file, id) = (dir.join(format!("{netdev}.pcap")), format!("capture{number}"));
        let arguments = json!({
            "qom-type": "filter-dump", "id": id, "netdev": netdev, "file": file, "maxlen": 65535,
        });
        monitor.execute("object-add", &arguments)?;
        Ok(Self { file, id })
    }

    /// Up to now.
    pub fn stop(self, monitor: &mut Monitor) -> Result<PathBuf> {
        monitor.execute("object-del", &json!({ "id": self.id }))?;
        Ok(self.file)
    }
}

/// How many frames `file` has, if none of them is bad; an error shows those that are.
pub fn check(file: &Path) -> Result<usize> {
    let bad = tshark(file, BAD)?;
    if !bad.is_empty() {
        let some: Vec<&str> = bad.lines().take(5).collect();
        bail!("{} bad frames in {}: {}", bad.lines().count(), file.display(), some.join("; "));
    }
    match tshark(file, "frame")?.lines().count() {
        0 => bail!("nothing was captured in {}", file.display()),
        count => Ok(count),
    }
}

/// One line for each frame that `filter` picks.
pub fn tshark(file: &Path, filter: &str) -> Result<String> {
    let mut command: Command = peers::command("tshark")?;
    command.arg("-n").arg("-r").arg(file).args(["-Y", filter]);
    for protocol in ["ip", "tcp", "udp"] {
        command.args(["-o", &format!("{protocol}.check_checksum:TRUE")]);
    }
    // Fields of its own, so that a summary's words do not matter.
    command.args(["-T", "fields", "-e", "frame.number", "-e", "eth.src", "-e", "frame.protocols"]);
    process::output(&mut command, LIMIT)
        .with_context(|| format!("tshark cannot read {} (filter `{filter}`)", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::frames::{Fragment, IPV4, UDP, ethernet, ipv4, udp};
    use std::net::Ipv4Addr;

    /// A file of frames as QEMU writes them (classic pcap, little-endian, Ethernet).
    fn pcap(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut file = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65535, 1].map(u32::to_le_bytes).concat();
        for frame in frames {
            let length = frame.len() as u32;
            file.extend([0, 0, length, length].map(u32::to_le_bytes).concat());
            file.extend_from_slice(frame);
        }
        file
    }

    #[test]
    fn bad_checksums_are_found() {
        if peers::find("tshark").is_err() {
            return;
        }
        let (a, b) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 10));
        let packet = ipv4(a, b, UDP, Fragment::default(), &udp((a, 9), (b, 9), b"data"));
        let good = ethernet([2; 6], [4; 6], IPV4, &packet);
        let path = std::env::temp_dir().join(format!("xtask-capture-{}.pcap", std::process::id()));
        std::fs::write(&path, pcap(&[good.clone(), good.clone()])).unwrap();
        assert_eq!(check(&path).unwrap(), 2);
        for at in [good.len() - 1, 20] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, pcap(&[good.clone(), bad])).unwrap();
            let error = check(&path).unwrap_err().to_string();
            assert!(error.contains("1 bad frames"), "{error}");
        }
        std::fs::write(&path, pcap(&[])).unwrap();
        assert!(check(&path).is_err());
        std::fs::remove_file(path).unwrap();
    }
}
