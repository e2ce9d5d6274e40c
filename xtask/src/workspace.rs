//! Where things are: the root of the project and the folders below `target/`.
//!
//! Each compiler and each set of flags has a target folder of its own, so that going from one
//! to the other rebuilds nothing.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The checkout this tool was started in.
#[derive(Clone, Debug)]
pub struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Finds the workspace: the nearest folder upward which holds `xtask/Cargo.toml`.
    pub fn find() -> Result<Self> {
        let here = env::current_dir().context("cannot tell the current folder")?;
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf);
        let marks = |dir: &&Path| dir.join("xtask/Cargo.toml").is_file();
        if let Some(root) = here.ancestors().find(marks) {
            return Ok(Self { root: root.to_path_buf() });
        }
        match built.filter(|dir| marks(&dir.as_path())) {
            Some(root) => Ok(Self { root }),
            None => bail!("{} is not inside a checkout of Pollux", here.display()),
        }
    }

    /// The top folder of the checkout.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A folder below `target/`, made if it isn't there.
    pub fn target(&self, name: &str) -> Result<PathBuf> {
        let dir = self.root.join("target").join(name);
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(dir)
    }

    /// `rust-version` of the workspace: the oldest compiler that will do, as (major, minor).
    pub fn rust_version(&self) -> Result<(u32, u32)> {
        let path = self.root.join("Cargo.toml");
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        text.lines()
            .find_map(|line| line.strip_prefix("rust-version")?.split('"').nth(1))
            .and_then(parse_version)
            .with_context(|| format!("no rust-version = \"1.x\" in {}", path.display()))
    }

    /// What `cargo metadata` says of the workspace's own packages.
    pub fn metadata(&self) -> Result<Value> {
        let output = Command::new("cargo")
            .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
            .current_dir(&self.root)
            .output()
            .context("cannot start cargo")?;
        if !output.status.success() {
            bail!("cargo metadata failed:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        serde_json::from_slice(&output.stdout).context("cargo metadata did not print JSON")
    }
}

/// `1.90` or `1.90.0-nightly` as (1, 90).
pub fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().split('.');
    let major = parts.next()?.parse().ok()?;
    let minor: String = parts.next()?.chars().take_while(char::is_ascii_digit).collect();
    Some((major, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions() {
        assert_eq!(parse_version("1.95.0"), Some((1, 95)));
        assert_eq!(parse_version("1.96"), Some((1, 96)));
        assert_eq!(parse_version("1.97.0-nightly"), Some((1, 97)));
        assert_eq!(parse_version("new"), None);
    }

    #[test]
    fn knows_the_compiler_it_needs() {
        assert!(Workspace::find().unwrap().rust_version().unwrap() >= (1, 85));
    }
}
