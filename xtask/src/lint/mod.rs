//! `cargo xtask lint`: the house rules a compiler doesn't hold.
//!
//! Imports between crates go down only ([`arrows`]); `unsafe` stays on its islands and says why
//! it is sound ([`islands`]); files say what they are about, stay short and have telling names
//! ([`files`]); the trusted core stays small ([`trusted`]). Each breach is a line `file:line: what to do`.

pub mod arrows;
pub mod files;
pub mod islands;
pub mod source;
pub mod trusted;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::workspace::Workspace;
use source::Source;
use trusted::Core;

/// Whether a breach fails the lint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It fails.
    Error,
    /// It is only mentioned.
    Warning,
}

/// One breach of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// File, from the root of the project.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Whether it fails the lint.
    pub severity: Severity,
    /// What is wrong and what to do.
    pub message: String,
}

impl Breach {
    /// A breach that fails the lint.
    pub fn error(file: &str, line: usize, message: impl Into<String>) -> Self {
        let (file, message) = (file.to_owned(), message.into());
        Self { file, line, severity: Severity::Error, message }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.severity == Severity::Warning { "warning: " } else { "" };
        write!(f, "{}:{}: {kind}{}", self.file, self.line, self.message)
    }
}

/// A Rust file or a `Cargo.toml`.
struct Found {
    /// From the root of the project, with `/`.
    name: String,
    text: String,
}

/// All breaches in the project.
pub fn check(workspace: &Workspace) -> Result<Vec<Breach>> {
    Ok(look(workspace)?.0)
}

/// All breaches, and how large the trusted core is.
fn look(workspace: &Workspace) -> Result<(Vec<Breach>, Core)> {
    let mut found = Vec::new();
    collect(workspace.root(), workspace.root(), &mut found)?;
    found.sort_by(|a, b| a.name.cmp(&b.name));
    let mut breaches = Vec::new();
    let mut sources = Vec::new();
    for file in &found {
        if file.name.ends_with("Cargo.toml") {
            breaches.extend(arrows::manifest(&file.name, &file.text));
            continue;
        }
        let source = Source::new(&file.text);
        breaches.extend(arrows::imports(&file.name, &source));
        breaches.extend(islands::check(&file.name, &source));
        breaches.extend(files::check(&file.name, &source));
        sources.push((file.name.as_str(), source));
    }
    let core = Core::count(&sources);
    breaches.extend(core.breaches());
    Ok((breaches, core))
}

/// `cargo xtask lint`.
pub fn run(workspace: &Workspace) -> Result<ExitCode> {
    let (breaches, core) = look(workspace)?;
    for breach in &breaches {
        println!("{breach}");
    }
    print!("{}", core.table());
    let errors = breaches.iter().filter(|breach| breach.severity == Severity::Error).count();
    let warnings = breaches.len() - errors;
    println!("lint: {errors} errors, {warnings} warnings");
    Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn collect(root: &Path, dir: &Path, found: &mut Vec<Found>) -> Result<()> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    for entry in entries {
        let path: PathBuf = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || name == "target" {
            continue;
        }
        if path.is_dir() {
            collect(root, &path, found)?;
        } else if name.ends_with(".rs") || name == "Cargo.toml" {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            found.push(Found { name, text });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tool_keeps_its_own_rules() {
        let breaches = check(&Workspace::find().unwrap()).unwrap();
        let own = breaches.iter().filter(|breach| breach.file.starts_with("xtask/"));
        let own: Vec<String> = own.map(ToString::to_string).collect();
        assert!(own.is_empty(), "{own:#?}");
    }
}
