//! The loader beside the kernel, and its configuration.
//!
//! The official Limine is taken where one is at hand: `--limine DIR`, `LIMINE_DIR`, a system
//! install, or a checkout in `.limine/`. Otherwise our own `hal/uefi-loader` is built. Both read
//! the same `limine.conf`.

use std::env;
use std::fmt::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::build;
use crate::workspace::Workspace;

/// Which loader the user asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Limine if it is at hand, else our own.
    Any,
    /// Limine, or an error.
    Limine,
    /// Our own.
    Own,
}

/// The loader that was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loader {
    /// Which of the two it is.
    pub kind: Kind,
    /// The file that becomes `/EFI/BOOT/BOOTX64.EFI`.
    pub path: PathBuf,
}

/// The two loaders there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The official Limine.
    Limine,
    /// `hal/uefi-loader`.
    Own,
}

impl fmt::Display for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Limine => write!(f, "Limine ({})", self.path.display()),
            Kind::Own => write!(f, "Pollux's own loader"),
        }
    }
}

/// Finds the official Limine, if it is at hand.
pub fn at_hand(workspace: &Workspace, given: Option<&Path>) -> Result<Option<PathBuf>> {
    if let Some(dir) = given {
        return match bootx64(dir) {
            Some(path) => Ok(Some(path)),
            None => bail!("no BOOTX64.EFI in {} (--limine)", dir.display()),
        };
    }
    if let Some(dir) = env::var_os("LIMINE_DIR").filter(|dir| !dir.is_empty()) {
        return match bootx64(Path::new(&dir)) {
            Some(path) => Ok(Some(path)),
            None => bail!("no BOOTX64.EFI in {} (LIMINE_DIR)", Path::new(&dir).display()),
        };
    }
    let checkout = workspace.root().join(".limine");
    let places = ["/usr/share/limine", "/usr/local/share/limine", "/opt/homebrew/share/limine"];
    let mut places = places.iter().map(PathBuf::from).chain([checkout]);
    Ok(places.find_map(|dir| bootx64(&dir)))
}

fn bootx64(dir: &Path) -> Option<PathBuf> {
    ["BOOTX64.EFI", "bin/BOOTX64.EFI", "share/limine/BOOTX64.EFI"]
        .iter()
        .map(|name| dir.join(name))
        .find(|path| path.is_file())
}

/// The loader for an image: found, or built.
pub fn choose(workspace: &Workspace, choice: Choice, dir: Option<&Path>) -> Result<Loader> {
    let limine = if choice == Choice::Own { None } else { at_hand(workspace, dir)? };
    match limine {
        Some(path) => Ok(Loader { kind: Kind::Limine, path }),
        None if choice == Choice::Limine => bail!(
            "--loader limine, but no Limine here: give --limine DIR, set LIMINE_DIR, or clone\n    \
             git clone https://github.com/limine-bootloader/limine.git --branch=v9.x-binary --depth=1 .limine"
        ),
        None => Ok(Loader { kind: Kind::Own, path: build::loader(workspace)? }),
    }
}

/// `limine.conf` for a kernel with that command line and those modules.
pub fn configuration<'a>(
    command_line: &str,
    modules: impl IntoIterator<Item = &'a str>,
) -> Result<String> {
    if command_line.chars().any(char::is_control) {
        bail!("the kernel's command line must be one line");
    }
    let mut text = String::from("timeout: 0\n/Pollux\n    protocol: limine\n");
    text.push_str("    kernel_path: boot():/pollux/kernel\n");
    if !command_line.is_empty() {
        let _ = writeln!(text, "    kernel_cmdline: {command_line}");
    }
    for name in modules {
        let _ = writeln!(text, "    module_path: boot():/pollux/{name}");
        let _ = writeln!(text, "    module_cmdline: {name}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_names_kernel_and_modules() {
        let text = configuration("log=info headless", ["kernel.sym", "ping"]).unwrap();
        let expected = "timeout: 0\n/Pollux\n    protocol: limine\n    \
            kernel_path: boot():/pollux/kernel\n    kernel_cmdline: log=info headless\n    \
            module_path: boot():/pollux/kernel.sym\n    module_cmdline: kernel.sym\n    \
            module_path: boot():/pollux/ping\n    module_cmdline: ping\n";
        assert_eq!(text, expected);
        assert!(!configuration("", []).unwrap().contains("cmdline"));
        assert!(configuration("a\nb: c", []).is_err());
    }
}
