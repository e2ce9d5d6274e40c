//! The flags of `cargo xtask replay`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use protocols::axiom::Hash;

/// One line of usage.
const USAGE: &str =
    "usage: cargo xtask replay DISK [--at N | --list [--from N] [--to N]] [more flags]";

/// What to replay, and what to say about it.
#[derive(Clone, Debug, Default)]
pub struct ReplayOptions {
    /// The disk, image, partition or file of records.
    pub image: Option<PathBuf>,
    /// The record after which the state is shown; `None`: the last.
    pub at: Option<u64>,
    /// Print commits instead of the state.
    pub list: bool,
    /// The first commit to print.
    pub from: Option<u64>,
    /// The last commit to print.
    pub to: Option<u64>,
    /// Where JSON goes.
    pub json: Option<PathBuf>,
    /// Where the graph goes.
    pub dot: Option<PathBuf>,
    /// Where its picture goes.
    pub svg: Option<PathBuf>,
    /// Where the records go.
    pub save: Option<PathBuf>,
    /// What the state's or the chain's hash should be.
    pub expect: Option<Hash>,
    /// Another log, which should say the same.
    pub against: Option<PathBuf>,
    /// What the kernel said on its serial line.
    pub log: Option<PathBuf>,
}

/// The flags, without dashes.
pub const FLAGS: [&str; 11] =
    ["at", "list", "from", "to", "json", "dot", "svg", "save", "expect", "against", "log"];

/// Standard output.
pub fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

impl ReplayOptions {
    /// Takes a flag of those.
    pub fn set(&mut self, name: &str, parser: &mut lexopt::Parser) -> Result<()> {
        if name == "list" {
            self.list = true;
            return Ok(());
        }
        let value = parser.value().context("needs a value")?;
        let path = PathBuf::from(&value);
        let text = value.to_string_lossy();
        let number = || text.parse().with_context(|| format!("`{text}` is not a number"));
        match name {
            "at" => self.at = Some(number()?),
            "from" => self.from = Some(number()?),
            "to" => self.to = Some(number()?),
            "json" => self.json = Some(path),
            "dot" => self.dot = Some(path),
            "svg" => self.svg = Some(path),
            "save" => self.save = Some(path),
            "expect" => self.expect = Some(hash(&text)?),
            "against" => self.against = Some(path),
            "log" => self.log = Some(path),
            _ => bail!("unknown flag"),
        }
        Ok(())
    }

    /// That they can be meant together.
    pub fn check(&self) -> Result<()> {
        ensure!(self.image.is_some(), "replay: which log?\n{USAGE}");
        let states = [
            ("--at", self.at.is_some()),
            ("--dot", self.dot.is_some()),
            ("--svg", self.svg.is_some()),
        ];
        let ranges = [("--from", self.from.is_some()), ("--to", self.to.is_some())];
        let given = |flags: &[(&'static str, bool)]| flags.iter().find(|flag| flag.1).map(|f| f.0);
        match (self.list, given(&states), given(&ranges)) {
            (true, Some(flag), _) => {
                bail!("{flag} is about a state, --list prints commits: one or the other")
            }
            (false, _, Some(flag)) => {
                bail!("{flag} says which commits to print: it goes with --list")
            }
            _ => {}
        }
        if let (Some(from), Some(to)) = (self.from, self.to) {
            ensure!(from <= to, "--from {from} comes after --to {to}");
        }
        let here = [&self.json, &self.dot, &self.svg].into_iter().flatten();
        ensure!(
            here.filter(|path| is_stdout(path)).count() <= 1,
            "only one of --json, --dot and --svg can go to standard output"
        );
        let is_text = !self.save.as_deref().is_some_and(is_stdout);
        ensure!(is_text, "--save writes bytes that are no text: name a file");
        Ok(())
    }

    /// The files that are to be written.
    pub fn outputs(&self) -> impl Iterator<Item = &Path> {
        let all = [&self.json, &self.dot, &self.svg, &self.save].into_iter().flatten();
        all.map(PathBuf::as_path).filter(|path| !is_stdout(path))
    }

    /// The files that are read.
    pub fn inputs(&self) -> impl Iterator<Item = &Path> {
        [&self.image, &self.against, &self.log].into_iter().flatten().map(PathBuf::as_path)
    }
}

/// A hash as it is printed.
pub fn hash(text: &str) -> Result<Hash> {
    let wrong = |why: String| format!("`{text}` is no hash of 64 hexadecimal digits: {why}");
    let mut digits = Vec::new();
    for (place, digit) in (1..).zip(text.chars()) {
        let value = digit.to_digit(16).with_context(|| {
            wrong(format!("`{}`, its character {place}, is no such digit", digit.escape_debug()))
        })?;
        digits.push(value as u8);
    }
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    ensure!(digits.len() == 64, "{}", wrong(format!("it has {}", digits.len())));
    Ok(Hash(bytes.try_into().ok().context("it has another length")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_read_as_they_are_printed() {
        let some = Hash::of(b"x");
        assert_eq!(hash(&some.to_string()).unwrap(), some);
        assert_eq!(hash(&some.to_string().to_uppercase()).unwrap(), some);
        for (wrong, why) in [
            ("", "it has 0"),
            ("00", "it has 2"),
            ("0z", "`z`, its character 2, is no such digit"),
            (&"0".repeat(63), "it has 63"),
            (&"0".repeat(65), "it has 65"),
            (&"é".repeat(32), "`é`, its character 1"),
        ] {
            let error = hash(wrong).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("64 hexadecimal digits"), "{error}");
        }
    }
}
