//! A compiler for the metal targets, and how to call it.
//!
//! In this order: a rustc that has the target installed; rustup adding it, if it is online; a
//! rustc with library sources beside it (rustup's `rust-src`, Debian's `rust-src` or
//! `rust-web-src`), which then builds `core` and `alloc` itself (`-Zbuild-std`). What was found
//! is remembered in `target/xtask/`, and looked at again only when it has gone or changed.

use std::env;
use std::fs;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::process::{self, which};
use crate::progress;
use crate::workspace::{Workspace, parse_version};

const QUICK: Duration = Duration::from_secs(20);
const DOWNLOAD: Duration = Duration::from_secs(300);

/// What to compile for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The kernel and ring-3 programs.
    Metal,
    /// The loader of last resort.
    Uefi,
}

impl Target {
    /// Its name for rustc.
    pub fn triple(self) -> &'static str {
        match self {
            Self::Metal => "x86_64-unknown-none",
            Self::Uefi => "x86_64-unknown-uefi",
        }
    }

    /// Linkers that do for it, best first.
    fn linkers(self) -> [&'static str; 2] {
        match self {
            Self::Metal => ["rust-lld", "ld.lld"],
            Self::Uefi => ["rust-lld", "lld-link"],
        }
    }

    fn linker_variable(self) -> String {
        let triple = self.triple().to_uppercase().replace('-', "_");
        format!("CARGO_TARGET_{triple}_LINKER")
    }
}

/// A toolchain that can build a [`Target`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// What it is, for people.
    pub name: String,
    cargo: PathBuf,
    /// `None`: whatever `cargo` takes.
    rustc: Option<PathBuf>,
    /// Library sources have to be built along.
    build_std: bool,
    linker: Option<PathBuf>,
}

/// What stands in the way of building.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// No compiler with the target or with library sources.
    Compiler,
    /// A compiler with sources, but nothing to link with.
    Linker,
}

impl Toolchain {
    /// Whether `cargo` as it is on `PATH` builds the target, without more ado.
    pub fn is_plain(&self) -> bool {
        self.rustc.is_none() && !self.build_std
    }

    /// `cargo build --release --target …` with everything in place but what to build.
    pub fn cargo_build(&self, workspace: &Workspace, target: Target) -> Result<Command> {
        let mut command = Command::new(&self.cargo);
        command.current_dir(workspace.root());
        // Flags meant for host programs would replace those in .cargo/config.toml.
        for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO"] {
            command.env_remove(name);
        }
        command.envs(
            self.environment(target).into_iter().filter(|(name, _)| !name.contains("UNSTABLE")),
        );
        if self.rustc.is_some() {
            command.env_remove("RUSTUP_TOOLCHAIN").env_remove("LD_LIBRARY_PATH");
        }
        command.args(["build", "--release", "--target", target.triple(), "--target-dir"]);
        command.arg(workspace.target("metal")?);
        if self.build_std {
            command.arg("-Zbuild-std=core,alloc,compiler_builtins");
            command.arg("-Zbuild-std-features=compiler-builtins-mem");
        }
        Ok(command)
    }

    /// The environment in which a plain `cargo build --target …` works.
    pub fn environment(&self, target: Target) -> Vec<(String, String)> {
        let mut variables = Vec::new();
        let mut set = |name: &str, value: String| variables.push((name.to_owned(), value));
        if let Some(rustc) = &self.rustc {
            set("RUSTC", rustc.display().to_string());
        }
        if self.build_std {
            set("RUSTC_BOOTSTRAP", "1".to_owned());
            set("CARGO_UNSTABLE_BUILD_STD", "core,alloc,compiler_builtins".to_owned());
            set("CARGO_UNSTABLE_BUILD_STD_FEATURES", "compiler-builtins-mem".to_owned());
        }
        if let Some(linker) = &self.linker {
            set(&target.linker_variable(), linker.display().to_string());
        }
        variables
    }

    fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "cargo": self.cargo.to_str(),
            "rustc": self.rustc.as_ref().map(|path| path.to_string_lossy()),
            "build_std": self.build_std,
            "linker": self.linker.as_ref().map(|path| path.to_string_lossy()),
        })
    }

    fn from_json(value: &Value) -> Option<Self> {
        let path = |name: &str| value[name].as_str().map(PathBuf::from);
        Some(Self {
            name: value["name"].as_str()?.to_owned(),
            cargo: path("cargo")?,
            rustc: path("rustc"),
            build_std: value["build_std"].as_bool()?,
            linker: path("linker"),
        })
    }
}

/// What the remembered answer depends on: the compilers in reach, by path and age.
fn fingerprint(target: Target) -> String {
    let age = |path: &Path| {
        let changed = fs::metadata(path).ok()?.modified().ok()?;
        Some(changed.duration_since(UNIX_EPOCH).ok()?.as_nanos())
    };
    let home = rustup_home().map(|home| home.join("toolchains"));
    let mut seen = vec![target.triple().to_owned()];
    let mut files: Vec<PathBuf> = which("rustc").into_iter().chain(which("cargo")).collect();
    files.push("/usr/bin/rustc".into());
    files.push("/usr/lib/rustlib/src/rust/library".into());
    for toolchain in home.iter().flat_map(fs::read_dir).flatten().flatten() {
        files.push(toolchain.path().join("lib/rustlib"));
    }
    files.sort();
    for file in files {
        seen.push(format!("{}@{:?}", file.display(), age(&file)));
    }
    for name in ["RUSTUP_TOOLCHAIN", "RUSTC", "PATH"] {
        seen.push(format!("{name}={:?}", env::var_os(name)));
    }
    seen.join("\n")
}

/// Finds a toolchain for `target`; the outer error is for surprises, the inner for what is missing.
pub fn find(workspace: &Workspace, target: Target) -> Result<Result<Toolchain, Missing>> {
    let memory = workspace.target("xtask")?.join(format!("toolchain-{}.json", target.triple()));
    let before: Option<Value> =
        fs::read(&memory).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if let Some(before) = before
        && before["of"] == fingerprint(target)
        && let Some(toolchain) = Toolchain::from_json(&before["toolchain"])
    {
        return Ok(Ok(toolchain));
    }
    let found = search(workspace, target)?;
    if let Ok(toolchain) = &found {
        // The age of things may just have changed (rustup), so look again.
        let now = json!({ "of": fingerprint(target), "toolchain": toolchain.to_json() });
        fs::write(&memory, now.to_string())
            .with_context(|| format!("cannot write {}", memory.display()))?;
    }
    Ok(found)
}

fn search(workspace: &Workspace, target: Target) -> Result<Result<Toolchain, Missing>> {
    let oldest = workspace.rust_version()?;
    let here = which("rustc").filter(|_| which("cargo").is_some());
    let here = here.filter(|rustc| version_of(rustc).is_some_and(|version| version >= oldest));
    if let Some(rustc) = &here {
        let plain = |how: &str| Toolchain {
            name: format!("{} with {} {how}", described(rustc), target.triple()),
            cargo: "cargo".into(),
            rustc: None,
            build_std: false,
            linker: None,
        };
        if has_target(rustc, target) {
            return Ok(Ok(plain("installed")));
        }
        // Twice: another xtask in another checkout may be adding it at this very moment.
        for attempt in 0..2 {
            if attempt > 0 {
                thread::sleep(Duration::from_secs(3));
            }
            if !rustup_adds(rustc, target) {
                break;
            }
            if has_target(rustc, target) {
                return Ok(Ok(plain("added by rustup")));
            }
        }
    }
    let system = PathBuf::from("/usr/bin/rustc");
    let candidates = here.iter().map(|rustc| (rustc.clone(), PathBuf::from("cargo"), false));
    let candidates = candidates.chain([(system, PathBuf::from("/usr/bin/cargo"), true)]);
    let mut best = Missing::Compiler;
    for (rustc, cargo, explicit) in candidates {
        let good = rustc.is_file()
            && (cargo.is_relative() || cargo.is_file())
            && version_of(&rustc).is_some_and(|version| version >= oldest)
            && has_sources(&rustc);
        if !good {
            continue;
        }
        best = Missing::Linker;
        if let Some(linker) = find_linker(&rustc, target) {
            return Ok(Ok(Toolchain {
                name: format!("{}, building its library sources", described(&rustc)),
                cargo,
                rustc: explicit.then_some(rustc),
                build_std: true,
                linker: Some(linker),
            }));
        }
    }
    Ok(Err(best))
}

fn ask(rustc: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(rustc);
    if rustc.starts_with("/usr/bin") {
        command.env_remove("LD_LIBRARY_PATH");
    }
    process::output(command.args(arguments), QUICK)
}

fn version_of(rustc: &Path) -> Option<(u32, u32)> {
    let text = ask(rustc, &["-vV"])?;
    text.lines().find_map(|line| parse_version(line.strip_prefix("release: ")?))
}

fn described(rustc: &Path) -> String {
    let version = ask(rustc, &["-V"]).unwrap_or_default();
    let version = version.split(' ').take(2).collect::<Vec<_>>().join(" ");
    format!("{version} ({})", rustc.display())
}

fn has_target(rustc: &Path, target: Target) -> bool {
    let printed = ask(rustc, &["--print", "target-libdir", "--target", target.triple()]);
    let dir = printed.and_then(|dir| fs::read_dir(dir.trim()).ok());
    let mut names = dir.into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.any(|name| name.to_string_lossy().starts_with("libcore-"))
}

fn sysroot(rustc: &Path) -> Option<PathBuf> {
    ask(rustc, &["--print", "sysroot"]).map(|text| PathBuf::from(text.trim()))
}

fn has_sources(rustc: &Path) -> bool {
    let library = sysroot(rustc).map(|root| root.join("lib/rustlib/src/rust/library"));
    library.is_some_and(|library| library.join("core/src/lib.rs").is_file())
}

fn rustup_home() -> Option<PathBuf> {
    let home = || env::var_os("HOME").map(|home| Path::new(&home).join(".rustup"));
    env::var_os("RUSTUP_HOME").map(PathBuf::from).or_else(home)
}

/// A linker for `target`: beside the compiler, in any rustup toolchain, or on `PATH`.
fn find_linker(rustc: &Path, target: Target) -> Option<PathBuf> {
    let toolchains = rustup_home().map(|home| home.join("toolchains"));
    let toolchains = toolchains.iter().flat_map(fs::read_dir).flatten().flatten();
    let mut roots: Vec<PathBuf> = toolchains.map(|entry| entry.path()).collect();
    roots.sort();
    roots.reverse(); // stable before nightly before 1.x
    let roots = sysroot(rustc).into_iter().chain(roots);
    let host = format!("lib/rustlib/{}-unknown-linux-gnu/bin/rust-lld", env::consts::ARCH);
    let mut beside = roots.map(|root| root.join(&host));
    beside.find(|file| file.is_file()).or_else(|| target.linkers().iter().find_map(which))
}

/// Asks rustup for the target, if this is rustup's compiler and its server can be reached; `false`
/// if there was no point in asking.
fn rustup_adds(rustc: &Path, target: Target) -> bool {
    if env::var_os("XTASK_OFFLINE").is_some() {
        return false;
    }
    let managed = sysroot(rustc).zip(rustup_home()).is_some_and(|(root, home)| {
        let (root, home) = (fs::canonicalize(root), fs::canonicalize(home));
        matches!((root, home), (Ok(root), Ok(home)) if root.starts_with(&home))
    });
    if !managed || which("rustup").is_none() || !server_answers() {
        return false;
    }
    progress::step(format!("rustup target add {}", target.triple()));
    let mut command = Command::new("rustup");
    command.args(["target", "add", target.triple()]).env("RUSTUP_MAX_RETRIES", "1");
    if process::output(&mut command, DOWNLOAD).is_none() {
        progress::step(format!("rustup did not get {}", target.triple()));
    }
    true
}

/// Whether there is a point in asking rustup: a server of one's own that takes no connections is
/// found out within seconds. Of its usual one rustup itself says so soon enough.
fn server_answers() -> bool {
    let proxied = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
    if proxied.iter().any(|name| env::var_os(name).is_some()) {
        return true; // only rustup can tell
    }
    let Ok(server) = env::var("RUSTUP_DIST_SERVER") else { return true };
    let Some(address) = address_of(&server) else { return false };
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut addresses = address.to_socket_addrs().into_iter().flatten();
        let limit = Duration::from_secs(2);
        let _ = sender
            .send(addresses.any(|address| TcpStream::connect_timeout(&address, limit).is_ok()));
    });
    receiver.recv_timeout(Duration::from_secs(4)).unwrap_or(false)
}

/// `host:port` of a server's URL.
fn address_of(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split('/').next()?;
    let port = if scheme == "http" { 80 } else { 443 };
    Some(if host.contains(':') { host.to_owned() } else { format!("{host}:{port}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toolchain_survives_being_remembered() {
        let toolchain = Toolchain {
            name: "rustc 1.96".to_owned(),
            cargo: "/usr/bin/cargo".into(),
            rustc: Some("/usr/bin/rustc".into()),
            build_std: true,
            linker: Some("/x/rust-lld".into()),
        };
        assert_eq!(Toolchain::from_json(&toolchain.to_json()), Some(toolchain.clone()));
        let variables = toolchain.environment(Target::Uefi);
        let linker =
            ("CARGO_TARGET_X86_64_UNKNOWN_UEFI_LINKER".to_owned(), "/x/rust-lld".to_owned());
        assert!(variables.contains(&linker));
        assert_eq!(Toolchain::from_json(&json!({})), None);
    }

    #[test]
    fn servers_have_addresses() {
        assert_eq!(address_of(""), None);
        assert_eq!(address_of("http://a.b/c").as_deref(), Some("a.b:80"));
        assert_eq!(address_of("https://a.b:8080/c").as_deref(), Some("a.b:8080"));
        assert_eq!(address_of("nonsense"), None);
    }
}
