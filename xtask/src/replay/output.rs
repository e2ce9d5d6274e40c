//! Where it is shown: on standard output, or in files, which are never those that are read.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::options::{ReplayOptions, is_stdout};

/// What is printed.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// On standard output.
    pub out: String,
    /// On standard error, after it.
    pub err: String,
    /// What goes to standard output is for other programs.
    is_data: bool,
}

impl Output {
    /// Text, for a file or for standard output.
    pub fn put(&mut self, path: &Path, text: &str) -> Result<()> {
        if is_stdout(path) {
            self.data(text);
            return Ok(());
        }
        save(path, text.as_bytes())
    }

    /// What other programs may read from standard output.
    pub fn data(&mut self, text: &str) {
        self.is_data = true;
        self.out.push_str(text);
    }

    /// What people read, before anything else that they do; beside data, on standard error.
    pub fn say(&mut self, lines: impl IntoIterator<Item = String>) {
        let text: String = lines.into_iter().map(|line| line + "\n").collect();
        if self.is_data { self.err.push_str(&text) } else { self.out.push_str(&text) }
    }
}

/// Writes a file.
pub fn save(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// That nothing that is to be written is read as well: nothing is ever written to a log.
pub fn spares_inputs(options: &ReplayOptions) -> Result<()> {
    for path in options.outputs() {
        let Ok(there) = fs::metadata(path) else { continue };
        let is_same = |input: &Path| {
            fs::metadata(input)
                .is_ok_and(|read| (read.dev(), read.ino()) == (there.dev(), there.ino()))
        };
        let is_spared = !options.inputs().any(is_same);
        ensure!(is_spared, "{} is read: it cannot be written to as well", path.display());
    }
    Ok(())
}

/// Writes all of `text`. Who closed the pipe has seen enough.
pub fn print(to: &mut impl Write, text: &str) -> Result<()> {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot print it"),
    }
}
