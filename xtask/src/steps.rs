//! The host's part of `test`: formatting, clippy, host tests, fuzzing, loom, the templates in `docs/`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process::{self, Running};
use crate::setup;
use crate::toolchain::Target;
use crate::workspace::{Workspace, parse_version};

/// Crates whose tests run on the host, with their tests' time limit in seconds.
pub const HOST_CRATES: &[(&str, u64)] = &[
    ("xtask", 300),
    ("protocols", 600),
    ("executor", 600),
    ("hal", 600),
    ("drivers", 600),
    ("bench", 300),
    ("kernel", 300),
    ("uefi-loader", 300),
];

/// Those of them whose programs do not compile for the host.
const METAL_CRATES: &[&str] = &["kernel", "uefi-loader"];

/// Inputs for each property of a format.
const FUZZ_INPUTS: u32 = 200_000;

/// Model checks by loom: every interleaving of what may run at once.
#[derive(Debug, PartialEq, Eq)]
pub struct Models {
    /// Whose.
    package: &'static str,
    /// Where cargo finds them.
    target: &'static [&'static str],
    /// Which of the tests there are such models.
    filter: &'static str,
}

/// All of them.
const MODELS: &[Models] = &[
    Models { package: "executor", target: &["--test", "loom"], filter: "" },
    Models { package: "drivers", target: &["--lib"], filter: "slots" },
];

/// The compiler clippy's warnings were last cleaned up with; newer ones may find more.
const CLIPPY_CLEAN: (u32, u32) = (1, 95);

/// A step on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `cargo fmt --check`.
    Format,
    /// `cargo clippy`.
    Clippy,
    /// `cargo test` of one crate.
    HostTests(&'static str, u64),
    /// The property tests of the formats with so many inputs each, beside the loops of millions
    /// that are tests by themselves.
    Fuzz(u32),
    /// A crate's model checks.
    Loom(&'static Models),
    /// A crate below `docs/`, as somebody outside this tree would build it.
    Template(PathBuf),
}

/// What a step came to.
pub enum Done {
    /// Fine; a few words on it.
    Passed(String),
    /// Could not be tried here.
    Skipped(String),
}

impl Step {
    /// All of them, for this checkout.
    pub fn all(workspace: &Workspace) -> Vec<(String, Self)> {
        let mut steps = vec![("fmt".to_owned(), Self::Format), ("clippy".to_owned(), Self::Clippy)];
        for (name, limit) in HOST_CRATES {
            steps.push((format!("host.{name}"), Self::HostTests(name, *limit)));
        }
        steps.push(("fuzz.protocols".to_owned(), Self::Fuzz(FUZZ_INPUTS)));
        for models in MODELS {
            steps.push((format!("loom.{}", models.package), Self::Loom(models)));
        }
        for dir in templates(workspace) {
            let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
            steps.push((format!("template.{name}"), Self::Template(dir)));
        }
        steps
    }

    /// Carries it out.
    pub fn carry_out(&self, workspace: &Workspace, name: &str) -> Result<Done> {
        let log = workspace.target("run")?.join(format!("{name}.log"));
        match self {
            Self::Format => {
                if !has_cargo("fmt") {
                    return Ok(Done::Skipped("cargo fmt is not installed".to_owned()));
                }
                logged(cargo(workspace, &["fmt", "--all", "--check"]), 120, &log)?;
                Ok(Done::Passed(String::new()))
            }
            Self::Clippy => clippy(workspace, &log),
            Self::HostTests(package, limit) => {
                let mut command = cargo(workspace, &["test", "--package", package]);
                command.arg("--target-dir").arg(workspace.target("host")?);
                let printed = logged(command, *limit, &log)?;
                let passed = passed_tests(&printed);
                Ok(Done::Passed(if passed == 0 {
                    String::new()
                } else {
                    format!("{passed} tests")
                }))
            }
            Self::Fuzz(inputs) => {
                let mut command = cargo(workspace, &["test", "--package", "protocols"]);
                command.arg("--target-dir").arg(workspace.target("host")?);
                command.env("PROPTEST_CASES", inputs.to_string());
                // Whole disks and whole lives: enough of these are in the crate's own tests, as are
                // the millions of commits in `tests/authority`.
                let skipped =
                    ["commit_log::tests::cuts", "commit_log::tests::formats::any_partition"];
                command.args(["--lib", "--"]);
                command.args(skipped.iter().flat_map(|name| ["--skip", name]));
                let printed = logged(command, 900, &log)?;
                Ok(Done::Passed(format!("{} tests, {inputs} inputs", passed_tests(&printed))))
            }
            Self::Loom(models) => {
                let mut command = cargo(workspace, &["test", "--release", "--package"]);
                command.arg(models.package).args(models.target);
                command.arg("--target-dir").arg(workspace.target("loom")?).arg(models.filter);
                command.env("RUSTFLAGS", "--cfg loom");
                // Whole-program optimisation takes longer than what it saves here.
                command.env("CARGO_PROFILE_RELEASE_LTO", "off");
                command.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
                let printed = logged(command, 900, &log)?;
                match passed_tests(&printed) {
                    0 => bail!("no model of that name was checked"),
                    count => Ok(Done::Passed(format!("{count} models"))),
                }
            }
            Self::Template(dir) => template(workspace, dir, &log),
        }
    }
}

/// Folders of `docs/` with a crate in them.
fn templates(workspace: &Workspace) -> Vec<PathBuf> {
    let entries = fs::read_dir(workspace.root().join("docs")).into_iter().flatten().flatten();
    let mut dirs: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    dirs.retain(|dir| dir.join("Cargo.toml").is_file());
    dirs.sort();
    dirs
}

/// Clippy on everything: what compiles for the host there, the rest where it runs.
fn clippy(workspace: &Workspace, log: &Path) -> Result<Done> {
    if !has_cargo("clippy") {
        return Ok(Done::Skipped("cargo clippy is not installed".to_owned()));
    }
    let version = process::output(Command::new("rustc").arg("-V"), Duration::from_secs(20));
    let version = version.as_deref().and_then(|text| parse_version(text.split(' ').nth(1)?));
    let strict = version.is_some_and(|version| version <= CLIPPY_CLEAN);
    let check = |words: &[&str], folder: &str| {
        let mut command = cargo(workspace, &["clippy", "--target-dir"]);
        command.arg(workspace.target(folder)?).args(words);
        if strict {
            command.args(["--", "-D", "warnings"]);
        }
        logged(command, 900, log)
    };
    let mut host = vec!["--all-targets"];
    for (package, _) in HOST_CRATES.iter().filter(|(name, _)| !METAL_CRATES.contains(name)) {
        host.extend(["--package", package]);
    }
    check(&host, "host")?;
    check(&["--package", "kernel", "--lib", "--tests"], "host")?;
    let mut remarks: Vec<&str> = Vec::new();
    // Debian's compiler comes without clippy.
    // One by one: the kernel's hal is not the programs'.
    for (target, package) in
        [(Target::Metal, "kernel"), (Target::Metal, "bench"), (Target::Uefi, "uefi-loader")]
    {
        if setup::toolchain(workspace, target)?.is_plain() {
            check(&["--package", package, "--target", target.triple()], "metal")?;
        } else {
            remarks.push("not on the metal side: its compiler has no clippy");
        }
    }
    if !strict {
        remarks.push("warnings allowed: newer than the compiler they were cleaned up with");
    }
    remarks.dedup();
    Ok(Done::Passed(remarks.join("; ")))
}

/// Builds a template where it stands: a ring-3 program for the metal, anything else (a driver
/// against the simulated machine) with its tests on the host.
fn template(workspace: &Workspace, dir: &Path, log: &Path) -> Result<Done> {
    let manifest = dir.join("Cargo.toml");
    let text = fs::read_to_string(&manifest)?;
    let target = workspace.target("templates")?;
    if text.lines().any(|line| line.trim_start().starts_with("bench")) {
        let toolchain = setup::toolchain(workspace, Target::Metal)?;
        let mut command = toolchain.cargo_build(workspace, Target::Metal)?;
        // From its own folder, so that its own .cargo/config.toml counts.
        command.current_dir(dir).arg("--manifest-path").arg(&manifest);
        logged(command, 900, log)?;
        return Ok(Done::Passed("built for ring 3".to_owned()));
    }
    let mut command = cargo(workspace, &["test", "--manifest-path"]);
    command.arg(&manifest).arg("--target-dir").arg(target).current_dir(dir);
    let printed = logged(command, 900, log)?;
    Ok(Done::Passed(format!("{} tests", passed_tests(&printed))))
}

fn cargo(workspace: &Workspace, words: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(words).current_dir(workspace.root()).stdin(Stdio::null());
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_TARGET_DIR"] {
        command.env_remove(name);
    }
    command
}

fn has_cargo(subcommand: &str) -> bool {
    let mut command = Command::new("cargo");
    process::output(command.args([subcommand, "--version"]), Duration::from_secs(20)).is_some()
}

/// Runs `command` into a log; an error shows the end of it.
fn logged(mut command: Command, limit: u64, log: &Path) -> Result<String> {
    let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    command.stdout(file.try_clone()?).stderr(file);
    let child = Running::start(&mut command)?;
    let status = child.wait_until(Some(Instant::now() + Duration::from_secs(limit)))?;
    drop(child);
    let printed = String::from_utf8_lossy(&fs::read(log)?).into_owned();
    if status.is_some_and(|status| status.success()) {
        return Ok(printed);
    }
    let why = match status {
        Some(status) => format!("{status}"),
        None => format!("still running after {limit} s"),
    };
    let lines: Vec<&str> = printed.lines().collect();
    let tail = lines[lines.len().saturating_sub(40)..].join("\n  | ");
    bail!("{}: {why}\n  | {tail}\nall of it: {}", process::shown(&command), log.display())
}

/// Sum of libtest's `N passed`.
fn passed_tests(printed: &str) -> u64 {
    let results = printed.lines().filter_map(|line| line.strip_prefix("test result: ok. "));
    results.filter_map(|rest| rest.split(' ').next()?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passed_tests_are_added_up() {
        let printed = "test result: ok. 3 passed; 0 failed\nx\ntest result: ok. 4 passed; 0 failed";
        assert_eq!(passed_tests(printed), 7);
        assert_eq!(passed_tests("error"), 0);
    }

    #[test]
    fn a_failing_command_shows_its_last_lines() {
        let log = std::env::temp_dir().join(format!("xtask-steps-{}.log", std::process::id()));
        let mut command = Command::new("sh");
        command.args(["-c", "echo first; echo last >&2; exit 3"]);
        let error = logged(command, 30, &log).unwrap_err().to_string();
        assert!(
            error.contains("first") && error.contains("last") && error.contains('3'),
            "{error}"
        );
        fs::remove_file(log).unwrap();
    }
}
