//! Progress lines. Anything that takes over two seconds says what it is doing.

use std::io::{IsTerminal, Write};
use std::time::Instant;

/// Prints `what` as a step that begins now.
pub fn step(what: impl AsRef<str>) {
    let what = what.as_ref();
    let bold = std::io::stderr().is_terminal();
    let (on, off) = if bold { ("\x1b[1;32m", "\x1b[0m") } else { ("", "") };
    let _ = writeln!(std::io::stderr(), "{on}=>{off} {what}");
}

/// Prints something worth knowing which stops nothing.
pub fn warning(what: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr(), "warning: {}", what.as_ref());
}

/// A step that reports how long it took.
pub struct Timed {
    what: String,
    start: Instant,
}

impl Timed {
    /// Begins a step.
    pub fn begin(what: impl Into<String>) -> Self {
        let what = what.into();
        step(&what);
        Self { what, start: Instant::now() }
    }

    /// Ends it; mentions the time if it was long enough to be noticed.
    pub fn end(self) {
        let took = self.start.elapsed().as_secs_f64();
        if took > 2.0 {
            step(format!("{}: done in {took:.0} s", self.what));
        }
    }
}
