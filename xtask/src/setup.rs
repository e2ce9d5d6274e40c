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

use crate::network::peers;
use crate::packages;
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
    let wanted = emulator_missing()?;
    if !wanted.is_empty() {
        install(&wanted, None)?;
    }
    let (code, vars) = find_firmware()?.context("still no OVMF firmware; set OVMF_CODE")?;
    let qemu = find_qemu().context("still no qemu-system-x86_64; set QEMU to its path")?;
    Ok(Emulator { qemu, code, vars })
}

fn emulator_missing() -> Result<Vec<String>> {
    let mut wanted = Vec::new();
    if find_qemu().is_none() {
        progress::step("missing: QEMU (qemu-system-x86_64)");
        wanted.push("qemu-system-x86".to_owned());
    }
    if find_firmware()?.is_none() {
        progress::step("missing: UEFI firmware for QEMU (OVMF)");
        wanted.push("ovmf".to_owned());
    }
    Ok(wanted)
}

/// Everything that `test` has use for, installed at once: emulator, tools for FAT, peers on the
/// network. Where they cannot be installed, tests that need peers are left out; it is said how to
/// get them.
pub fn for_tests() -> Result<Emulator> {
    let mut wanted = emulator_missing()?;
    let needed = !wanted.is_empty();
    if FatTools::find().is_none() {
        progress::step("missing: tools for FAT file systems (dosfstools, mtools)");
        wanted.extend(FAT.map(str::to_owned));
    }
    let peers = peers::missing();
    if cfg!(target_os = "linux") && !peers.is_empty() {
        progress::step(format!(
            "missing: programs to talk to over a network ({})",
            peers.join(", ")
        ));
        wanted.extend(peers.into_iter().map(str::to_owned));
    }
    if !wanted.is_empty()
        && let Err(error) = install(&wanted, None)
    {
        if needed {
            return Err(error);
        }
        progress::warning(format!("some tests will be skipped: {error:#}"));
    }
    emulator()
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
    install(&FAT.map(str::to_owned), None)?;
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

/// Packages of the tools for FAT.
const FAT: [&str; 2] = ["dosfstools", "mtools"];

/// Installs Debian packages, or says what to type (`instead` is another way, if there is one).
fn install(packages: &[String], instead: Option<&str>) -> Result<()> {
    let like = packages::distribution();
    let debian = like.split_whitespace().any(|id| id == "debian" || id == "ubuntu");
    let debian = debian && which("apt-get").is_some() && env::var_os("XTASK_NO_INSTALL").is_none();
    let who = if debian { installer() } else { Installer::Nobody };
    let prefix: &[&str] = match who {
        Installer::Root => &[],
        Installer::Sudo => &["sudo", "-n"],
        Installer::Nobody => {
            let mut ways = vec![packages::by_hand(packages, &like)];
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
}
