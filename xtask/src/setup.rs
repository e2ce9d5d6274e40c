//! Set-up: what building and booting need, what of it is missing, and getting it.
//!
//! On Debian and Ubuntu, as root or with passwordless sudo, missing packages are installed
//! after saying so. Anywhere else the exact command is printed and the exit is non-zero.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::{self, which, which_admin};
use crate::progress::{self, Timed};
use crate::toolchain::{self, Missing, Target, Toolchain};
use crate::workspace::{Workspace, parse_version};

const APT: Duration = Duration::from_secs(900);

/// The emulator and its firmware.
#[derive(Clone, Debug)]
pub struct Emulator {
    /// `qemu-system-x86_64`.
    pub qemu: PathBuf,
    /// UEFI firmware, read-only.
    pub code: PathBuf,
    /// Template of the firmware's variables; each run takes a copy.
    pub vars: PathBuf,
}

/// Pairs of firmware and variables as distributions (and QEMU itself) put them.
const FIRMWARE: &[(&str, &str)] = &[
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("/usr/share/edk2-ovmf/x64/OVMF_CODE.fd", "/usr/share/edk2-ovmf/x64/OVMF_VARS.fd"),
    ("/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"),
    ("/usr/share/qemu/edk2-x86_64-code.fd", "/usr/share/qemu/edk2-i386-vars.fd"),
    ("/opt/homebrew/share/qemu/edk2-x86_64-code.fd", "/opt/homebrew/share/qemu/edk2-i386-vars.fd"),
    ("/usr/local/share/qemu/edk2-x86_64-code.fd", "/usr/local/share/qemu/edk2-i386-vars.fd"),
];

/// A toolchain for `target`, installed if need be.
pub fn toolchain(workspace: &Workspace, target: Target) -> Result<Toolchain> {
    let missing = match toolchain::find(workspace, target)? {
        Ok(toolchain) => return Ok(toolchain),
        Err(missing) => missing,
    };
    let oldest = workspace.rust_version()?;
    progress::step(match missing {
        Missing::Compiler => format!(
            "missing: a Rust compiler (at least {}.{}) that can build {}",
            oldest.0,
            oldest.1,
            target.triple()
        ),
        Missing::Linker => format!("missing: a linker for {} (lld)", target.triple()),
    });
    let mut wanted: Vec<String> = Vec::new();
    if missing == Missing::Compiler {
        let [compiler, cargo, sources] = debian_compiler(oldest).unwrap_or(WEB);
        wanted.extend([compiler, cargo, sources].map(str::to_owned));
    }
    // Installing one by one would cost a second look at the package lists.
    if missing == Missing::Linker || !has_lld() {
        wanted.push("lld".to_owned());
    }
    let rustup = format!("rustup target add {} {}", Target::Metal.triple(), Target::Uefi.triple());
    install(&wanted, Some(&rustup))?;
    match toolchain::find(workspace, target)? {
        Ok(toolchain) => Ok(toolchain),
        Err(missing) => bail!("still no toolchain for {} ({missing:?})", target.triple()),
    }
}

const PLAIN: [&str; 3] = ["rustc", "cargo", "rust-src"];
const WEB: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

fn has_lld() -> bool {
    let linker = Path::new("lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld");
    let printed = process::output(Command::new("rustc").args(["--print", "sysroot"]), APT);
    which("ld.lld").is_some() && which("lld-link").is_some()
        || printed.is_some_and(|root| Path::new(root.trim()).join(linker).is_file())
}

/// Debian's compiler packages whose version will do: the plain ones, or those kept for browsers.
fn debian_compiler(oldest: (u32, u32)) -> Option<[&'static str; 3]> {
    [PLAIN, WEB].into_iter().find(|packages| {
        let shown = process::output(
            Command::new("apt-cache").args(["--no-all-versions", "show", packages[0]]),
            APT,
        );
        shown.as_deref().and_then(package_version).is_some_and(|version| version >= oldest)
    })
}

/// (major, minor) out of `apt-cache show`.
fn package_version(shown: &str) -> Option<(u32, u32)> {
    let version = shown.lines().find_map(|line| line.strip_prefix("Version: "))?;
    parse_version(version.split_once(':').map_or(version, |(_, version)| version))
}

/// QEMU and its firmware, installed if need be. `QEMU`, `OVMF_CODE` and `OVMF_VARS` override.
pub fn emulator() -> Result<Emulator> {
    let mut wanted = Vec::new();
    if find_qemu().is_none() {
        progress::step("missing: QEMU (qemu-system-x86_64)");
        wanted.push("qemu-system-x86".to_owned());
    }
    if find_firmware()?.is_none() {
        progress::step("missing: UEFI firmware for QEMU (OVMF)");
        wanted.push("ovmf".to_owned());
    }
    if !wanted.is_empty() {
        install(&wanted, None)?;
    }
    let (code, vars) = find_firmware()?.context("still no OVMF firmware; set OVMF_CODE")?;
    let qemu = find_qemu().context("still no qemu-system-x86_64; set QEMU to its path")?;
    Ok(Emulator { qemu, code, vars })
}

/// What makes and checks FAT file systems for the kernel to read and write.
#[derive(Clone, Debug)]
pub struct FatTools {
    /// `mkfs.vfat`.
    pub mkfs: PathBuf,
    /// `fsck.vfat`.
    pub fsck: PathBuf,
    /// `mcopy`.
    pub mcopy: PathBuf,
    /// `mdir`.
    pub mdir: PathBuf,
    /// `mmd`.
    pub mmd: PathBuf,
}

impl FatTools {
    /// Those that are there, if all are.
    pub fn find() -> Option<Self> {
        Some(Self {
            mkfs: which_admin("mkfs.vfat")?,
            fsck: which_admin("fsck.vfat")?,
            mcopy: which("mcopy")?,
            mdir: which("mdir")?,
            mmd: which("mmd")?,
        })
    }
}

/// The tools for FAT, installed if need be.
pub fn fat_tools() -> Result<FatTools> {
    if let Some(tools) = FatTools::find() {
        return Ok(tools);
    }
    progress::step("missing: tools for FAT file systems (dosfstools, mtools)");
    install(&["dosfstools".to_owned(), "mtools".to_owned()], None)?;
    FatTools::find().context("still no mkfs.vfat, fsck.vfat, mcopy, mdir and mmd on PATH")
}

fn find_qemu() -> Option<PathBuf> {
    match env::var_os("QEMU") {
        Some(given) if Path::new(&given).is_absolute() => {
            Some(PathBuf::from(given)).filter(|path| path.is_file())
        }
        Some(given) => which(given),
        None => which("qemu-system-x86_64"),
    }
}

fn find_firmware() -> Result<Option<(PathBuf, PathBuf)>> {
    if let Some(code) = env::var_os("OVMF_CODE") {
        let vars = env::var_os("OVMF_VARS").context("OVMF_CODE is set but OVMF_VARS is not")?;
        let pair = (PathBuf::from(code), PathBuf::from(vars));
        for file in [&pair.0, &pair.1] {
            fs::metadata(file).with_context(|| format!("no firmware at {}", file.display()))?;
        }
        return Ok(Some(pair));
    }
    let root = env::var_os("XTASK_FIRMWARE_ROOT").map(PathBuf::from);
    let placed = |path: &str| match &root {
        Some(root) => root.join(path.trim_start_matches('/')),
        None => PathBuf::from(path),
    };
    let mut pairs = FIRMWARE.iter().map(|(code, vars)| (placed(code), placed(vars)));
    Ok(pairs.find(|(code, vars)| code.is_file() && vars.is_file()))
}

/// Who may install packages here.
enum Installer {
    Root,
    Sudo,
    Nobody,
}

fn installer() -> Installer {
    let id = process::output(Command::new("id").arg("-u"), APT);
    let sudo =
        |_: &PathBuf| process::output(Command::new("sudo").args(["-n", "true"]), APT).is_some();
    match id.as_deref().map(str::trim) {
        Some("0") => Installer::Root,
        _ if which("sudo").as_ref().is_some_and(sudo) => Installer::Sudo,
        _ => Installer::Nobody,
    }
}

/// Packages that are called the same wherever they are.
const SAME_EVERYWHERE: [&str; 2] = ["dosfstools", "mtools"];

/// Distributions by what `/etc/os-release` calls them, and how they install the same things.
fn by_hand(packages: &[String], like: &str) -> String {
    let named = |names: &[(&str, &str)]| {
        let mut out: Vec<&str> = Vec::new();
        for package in packages {
            if SAME_EVERYWHERE.contains(&package.as_str()) {
                out.push(package);
                continue;
            }
            let other = names.iter().find(|(debian, _)| debian == package);
            if let Some((_, other)) = other
                && !other.is_empty()
            {
                out.push(other);
            }
        }
        out.join(" ")
    };
    let has = |name: &str| like.split_whitespace().any(|word| word == name);
    if has("fedora") || has("rhel") {
        let names = [
            ("qemu-system-x86", "qemu-system-x86"),
            ("ovmf", "edk2-ovmf"),
            ("lld", "lld"),
            ("rustc-web", "rust rust-src cargo"),
            ("rustc", "rust rust-src cargo"),
        ];
        format!("sudo dnf install {}", named(&names))
    } else if has("arch") {
        let names = [
            ("qemu-system-x86", "qemu-system-x86"),
            ("ovmf", "edk2-ovmf"),
            ("lld", "lld"),
            ("rustc-web", "rustup"),
            ("rustc", "rustup"),
        ];
        format!("sudo pacman -S {}", named(&names))
    } else if has("suse") || has("opensuse") {
        let names = [
            ("qemu-system-x86", "qemu-x86"),
            ("ovmf", "qemu-ovmf-x86_64"),
            ("lld", "lld"),
            ("rustc-web", "rustup"),
            ("rustc", "rustup"),
        ];
        format!("sudo zypper install {}", named(&names))
    } else if has("darwin") {
        let names = [
            ("qemu-system-x86", "qemu"),
            ("ovmf", "qemu"),
            ("lld", "lld"),
            ("rustc-web", "rustup"),
        ];
        format!("brew install {}", named(&names))
    } else {
        format!("sudo apt-get install --no-install-recommends {}", packages.join(" "))
    }
}

/// `ID` and `ID_LIKE` of the system.
fn distribution() -> String {
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

/// Installs Debian packages, or says what to type (`instead` is another way, if there is one).
fn install(packages: &[String], instead: Option<&str>) -> Result<()> {
    let like = distribution();
    let debian = like.split_whitespace().any(|id| id == "debian" || id == "ubuntu");
    let debian = debian && which("apt-get").is_some() && env::var_os("XTASK_NO_INSTALL").is_none();
    let who = if debian { installer() } else { Installer::Nobody };
    let prefix: &[&str] = match who {
        Installer::Root => &[],
        Installer::Sudo => &["sudo", "-n"],
        Installer::Nobody => {
            let mut ways = vec![by_hand(packages, &like)];
            ways.extend(instead.map(str::to_owned));
            bail!(
                "not allowed to install packages here. Type this, then try again:\n    {}",
                ways.join("\nor, with rustup and a network:\n    ")
            );
        }
    };
    progress::step(format!("installing {} (apt-get)", packages.join(" ")));
    let apt = |arguments: &[&str]| {
        let mut words = prefix.to_vec();
        words.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y"]);
        words.extend(["-o", "DPkg::Lock::Timeout=300"]);
        words.extend(arguments);
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).env_remove("LD_LIBRARY_PATH");
        command.stdout(std::io::stderr());
        command
    };
    let timed = Timed::begin("apt-get update");
    if let Err(error) = process::run_checked("apt-get update", &mut apt(&["update"]), APT) {
        progress::warning(format!("{error:#}; trying with the package lists that are there"));
    }
    timed.end();
    let timed = Timed::begin(format!("apt-get install {}", packages.join(" ")));
    let mut words = vec!["install", "--no-install-recommends"];
    words.extend(packages.iter().map(String::as_str));
    process::run_checked("apt-get install", &mut apt(&words), APT)?;
    timed.end();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_versions_are_read() {
        let shown = "Package: rustc-web\nVersion: 1.96.0+dfsg1-1~deb12u2\n";
        assert_eq!(package_version(shown), Some((1, 96)));
        assert_eq!(package_version("Package: x\nVersion: 2:1.63.0-2\n"), Some((1, 63)));
        assert_eq!(package_version(""), None);
    }

    #[test]
    fn every_distribution_gets_its_own_command() {
        let packages = ["qemu-system-x86".to_owned(), "ovmf".to_owned()];
        assert!(by_hand(&packages, "debian").ends_with("qemu-system-x86 ovmf"));
        assert_eq!(by_hand(&packages, "fedora"), "sudo dnf install qemu-system-x86 edk2-ovmf");
        let tools = ["dosfstools".to_owned(), "mtools".to_owned()];
        assert_eq!(by_hand(&tools, "arch"), "sudo pacman -S dosfstools mtools");
        assert_eq!(ids("ID=ubuntu\nID_LIKE=\"debian\"\nNAME=x\n"), "ubuntu debian");
    }
}
