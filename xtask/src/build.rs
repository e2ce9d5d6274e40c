//! Building what goes onto the boot medium: the kernel, the ring-3 programs, the loader.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::elf::Elf;
use crate::process;
use crate::progress::{self, Timed};
use crate::setup;
use crate::symbols;
use crate::toolchain::Target;
use crate::workspace::Workspace;

/// The kernel's image should stay below this many bytes, stripped: half of it is what drives disks
/// and reads FAT, a quarter TCP/IP and AML.
const BUDGET: usize = 4 << 20;
const LIMIT: Duration = Duration::from_secs(1800);

/// A file for the boot medium, by the name the kernel knows it by.
#[derive(Clone, Debug)]
pub struct Module {
    /// Its name in `/pollux/` and its command line.
    pub name: String,
    /// What is in it.
    pub contents: Vec<u8>,
}

/// Everything the kernel needs to boot.
#[derive(Clone, Debug)]
pub struct Built {
    /// The kernel without symbols, as it goes onto the medium.
    pub kernel: Vec<u8>,
    /// The kernel with symbols, for gdb.
    pub unstripped: PathBuf,
    /// `kernel.sym` and the ring-3 programs.
    pub modules: Vec<Module>,
}

/// Builds the kernel and all ring-3 programs, or takes `kernel` instead of building one.
pub fn build(workspace: &Workspace, kernel: Option<&Path>) -> Result<Built> {
    let metal = workspace.target("metal")?.join(Target::Metal.triple()).join("release");
    let unstripped = match kernel {
        Some(kernel) => kernel.to_path_buf(),
        None => {
            cargo(workspace, Target::Metal, "kernel", &["--package", "kernel", "--bin", "kernel"])?;
            metal.join("kernel")
        }
    };
    let bytes = fs::read(&unstripped)
        .with_context(|| format!("cannot read the kernel {}", unstripped.display()))?;
    let elf = Elf::new_checked(&bytes).with_context(|| unstripped.display().to_string())?;
    let stripped = elf.stripped().with_context(|| unstripped.display().to_string())?;
    let symbols = symbols::symbol_file(&elf)?;
    report_size(stripped.len());
    let out = workspace.target("image")?;
    fs::write(out.join("kernel"), &stripped)?;
    fs::write(out.join("kernel.sym"), &symbols)?;

    let mut modules =
        vec![Module { name: "kernel.sym".to_owned(), contents: symbols.into_bytes() }];
    let programs = programs(&workspace.metadata()?);
    if !programs.is_empty() {
        cargo(workspace, Target::Metal, "ring-3 programs", &["--package", "bench", "--bins"])?;
    }
    for name in programs {
        modules.push(program(&name, &metal.join(&name))?);
    }
    Ok(Built { kernel: stripped, unstripped, modules })
}

/// A ring-3 program from an ELF file.
pub fn program(name: &str, path: &Path) -> Result<Module> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let elf = Elf::new_checked(&bytes).with_context(|| path.display().to_string())?;
    let segments = elf.segments().with_context(|| path.display().to_string())?;
    if segments.iter().any(|segment| segment.address >= 1 << 47) {
        bail!("{} is not a ring-3 program: it loads into the kernel's half", path.display());
    }
    let contents = elf.stripped().with_context(|| path.display().to_string())?;
    Ok(Module { name: name.to_owned(), contents })
}

/// Builds our own loader and returns its `BOOTX64.EFI`.
pub fn loader(workspace: &Workspace) -> Result<PathBuf> {
    cargo(workspace, Target::Uefi, "UEFI loader", &["--package", "uefi-loader"])?;
    let uefi = workspace.target("metal")?.join(Target::Uefi.triple()).join("release");
    Ok(uefi.join("uefi-loader.efi"))
}

/// The programs of package `bench` that run in ring 3, by `cargo metadata`.
fn programs(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let targets = packages
        .filter(|package| package["name"] == "bench")
        .flat_map(|package| package["targets"].as_array().into_iter().flatten());
    let bins = targets.filter(|target| {
        target["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "bin"))
    });
    bins.filter_map(|target| target["name"].as_str().map(str::to_owned)).collect()
}

fn cargo(workspace: &Workspace, target: Target, what: &str, arguments: &[&str]) -> Result<()> {
    let toolchain = setup::toolchain(workspace, target)?;
    let timed = Timed::begin(format!("building {what} ({})", toolchain.name));
    let mut command = toolchain.cargo_build(workspace, target)?;
    process::run_checked(&format!("building {what}"), command.args(arguments), LIMIT)?;
    timed.end();
    Ok(())
}

fn report_size(size: usize) {
    let kib = size.div_ceil(1024);
    progress::step(format!("kernel image: {kib} KiB stripped (budget {} KiB)", BUDGET / 1024));
    if size > BUDGET {
        progress::warning(format!(
            "the kernel image is {} KiB over its budget",
            kib - BUDGET / 1024
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ring_3_programs_are_the_bins_of_bench() {
        let metadata = json!({ "packages": [
            { "name": "bench", "targets": [
                { "name": "bench", "kind": ["lib"] },
                { "name": "ping", "kind": ["bin"] },
                { "name": "build-script-build", "kind": ["custom-build"] } ] },
            { "name": "xtask", "targets": [ { "name": "xtask", "kind": ["bin"] } ] } ] });
        assert_eq!(programs(&metadata), ["ping"]);
    }

    #[test]
    fn a_kernel_is_no_ring_3_program() {
        let dir = std::env::temp_dir().join(format!("xtask-build-{}", std::process::id()));
        fs::write(&dir, crate::elf::tests::sample()).unwrap();
        let error = program("x", &dir).unwrap_err().to_string();
        fs::remove_file(&dir).unwrap();
        assert!(error.contains("not a ring-3 program"), "{error}");
    }
}
