//! What packages are called where, and the command that installs them: everything here says
//! Debian's names, other distributions have their own.

use std::fs;

/// Packages that are called the same wherever they are.
const SAME_EVERYWHERE: [&str; 4] = ["dosfstools", "mtools", "curl", "rsyslog"];

/// Debian's name of a package and what it is called elsewhere; none: it does not come from there.
struct Names {
    debian: &'static str,
    fedora: &'static str,
    arch: &'static str,
    suse: &'static str,
    darwin: &'static str,
}

const fn names(debian: &'static str, [fedora, arch, suse, darwin]: [&'static str; 4]) -> Names {
    Names { debian, fedora, arch, suse, darwin }
}

const NAMES: &[Names] = &[
    names("qemu-system-x86", ["qemu-system-x86", "qemu-system-x86", "qemu-x86", "qemu"]),
    names("ovmf", ["edk2-ovmf", "edk2-ovmf", "qemu-ovmf-x86_64", "qemu"]),
    names("lld", ["lld", "lld", "lld", "lld"]),
    names("rustc-web", ["rust rust-src cargo", "rustup", "rustup", "rustup"]),
    names("rustc", ["rust rust-src cargo", "rustup", "rustup", ""]),
    // What needs a private network, which is Linux's.
    names("iproute2", ["iproute", "iproute2", "iproute2", ""]),
    names("dnsmasq-base", ["dnsmasq", "dnsmasq", "dnsmasq", ""]),
    names("iputils-ping", ["iputils", "iputils", "iputils", ""]),
    names("iperf3", ["iperf3", "iperf3", "iperf", ""]),
    names("tshark", ["wireshark-cli", "wireshark-cli", "wireshark", ""]),
];

/// What somebody types to install `packages` on a system like this.
pub fn by_hand(packages: &[String], like: &str) -> String {
    let named = |pick: &dyn Fn(&Names) -> &'static str| {
        let mut out: Vec<&str> = Vec::new();
        for package in packages {
            if SAME_EVERYWHERE.contains(&package.as_str()) {
                out.push(package);
                continue;
            }
            let other = NAMES.iter().find(|names| names.debian == package).map_or("", pick);
            if !other.is_empty() {
                out.push(other);
            }
        }
        out.join(" ")
    };
    let has = |name: &str| like.split_whitespace().any(|word| word == name);
    if has("fedora") || has("rhel") {
        format!("sudo dnf install {}", named(&|names| names.fedora))
    } else if has("arch") {
        format!("sudo pacman -S {}", named(&|names| names.arch))
    } else if has("suse") || has("opensuse") {
        format!("sudo zypper install {}", named(&|names| names.suse))
    } else if has("darwin") {
        format!("brew install {}", named(&|names| names.darwin))
    } else {
        format!("sudo apt-get install --no-install-recommends {}", packages.join(" "))
    }
}

/// `ID` and `ID_LIKE` of the system.
pub fn distribution() -> String {
    if cfg!(target_os = "macos") {
        return "darwin".to_owned();
    }
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    ids(&text)
}

fn ids(os_release: &str) -> String {
    let value = |line: &str| {
        let (key, value) = line.split_once('=')?;
        matches!(key, "ID" | "ID_LIKE").then(|| value.trim_matches('"').to_owned())
    };
    os_release.lines().filter_map(value).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::peers;

    #[test]
    fn every_distribution_gets_its_own_command() {
        let packages = ["qemu-system-x86".to_owned(), "ovmf".to_owned()];
        assert!(by_hand(&packages, "debian").ends_with("qemu-system-x86 ovmf"));
        assert_eq!(by_hand(&packages, "fedora"), "sudo dnf install qemu-system-x86 edk2-ovmf");
        let tools = ["dosfstools".to_owned(), "mtools".to_owned()];
        assert_eq!(by_hand(&tools, "arch"), "sudo pacman -S dosfstools mtools");
        assert_eq!(ids("ID=ubuntu\nID_LIKE=\"debian\"\nNAME=x\n"), "ubuntu debian");
    }

    #[test]
    fn peers_are_known_by_all() {
        let all = peers::NEEDED.iter().chain(peers::WANTED).map(|peer| peer.1.to_owned());
        let line = by_hand(&all.collect::<Vec<_>>(), "fedora");
        let others = "iproute dnsmasq curl iputils iperf3 wireshark-cli rsyslog";
        assert_eq!(line, format!("sudo dnf install {others}"));
    }
}
