//! What a boot has to come to, and whether it did.

use anyhow::{Result, bail};

use crate::boot::SUCCESS;

/// How the kernel's epitaph begins.
pub const EPITAPH: &str = "Pollux has stopped";

/// What has to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// QEMU leaves with this status, by `isa-debug-exit`.
    Status(i32),
    /// One of these comes up on the console (any case); the machine is ended then.
    Says(&'static [&'static str]),
    /// The status, and before it one of these.
    StatusAfter(i32, &'static [&'static str]),
    /// The status, and before it all of these.
    StatusAfterAll(i32, &'static [&'static str]),
}

impl Expect {
    /// Whether what was waited for stands on the console, if waiting for it is all there is.
    pub fn said_enough(&self, console: &str) -> bool {
        match self {
            Self::Says(texts) => said(console, texts),
            Self::Status(_) | Self::StatusAfter(..) | Self::StatusAfterAll(..) => false,
        }
    }

    /// Whether the epitaph is among what has to be said: then a panic is no failure.
    pub fn foresees_panic(&self) -> bool {
        matches!(self, Self::StatusAfterAll(_, texts) if texts.contains(&EPITAPH))
    }

    /// Judges an end: the exit status (`None`: it was ended from outside) and the console.
    pub fn judge(&self, status: Option<i32>, console: &str) -> Result<()> {
        let (expected, texts) = match *self {
            Self::Status(expected) => (Some(expected), None),
            Self::Says(texts) => (None, Some(texts)),
            Self::StatusAfter(expected, texts) => (Some(expected), Some(texts)),
            Self::StatusAfterAll(expected, texts) => {
                if let Some(text) = texts.iter().find(|text| !said(console, &[*text])) {
                    bail!("the console says nothing of: {text}");
                }
                (Some(expected), None)
            }
        };
        if let Some(texts) = texts
            && !said(console, texts)
        {
            bail!("the console says nothing of: {}", texts.join(" | "));
        }
        if let Some(expected) = expected
            && status != Some(expected)
        {
            let meaning = if expected == SUCCESS { "success" } else { "failure" };
            bail!("expected the kernel to report {meaning} ({expected}), got {status:?}");
        }
        Ok(())
    }
}

fn said(console: &str, texts: &[&str]) -> bool {
    let console = console.to_lowercase();
    texts.iter().any(|text| console.contains(&text.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::FAILURE;

    #[test]
    fn ends_are_judged() {
        let expect = Expect::StatusAfter(FAILURE, &["no such"]);
        assert!(expect.judge(Some(35), "No such thing").is_ok());
        assert!(expect.judge(Some(33), "No such thing").is_err());
        assert!(expect.judge(Some(35), "fine").is_err());
        assert!(!expect.said_enough("no such"));
        assert!(Expect::Says(&["x"]).said_enough("X"));
        assert!(Expect::Says(&["x"]).judge(None, "x").is_ok());
        assert!(Expect::Status(33).judge(None, "").is_err());
    }
}
