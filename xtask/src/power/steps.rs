//! The table of tests of the durable log. Adding one is adding a line and a function.

use anyhow::Result;

use super::scenario;
use super::stand::Stand;
use crate::drives::Port;
use crate::run;
use crate::trial::{Bench, Verdict};

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct LogTest {
    /// Its name, for `--filter`.
    pub name: &'static str,
    /// What is done; a few words on what came of it.
    play: fn(&mut Stand<'_, '_>) -> Result<String>,
}

/// All of them.
pub const TESTS: &[LogTest] = &[
    LogTest {
        name: "authority.power-cuts.nvme",
        play: |stand| scenario::power_cuts(stand, Port::Nvme(1, 1)),
    },
    LogTest {
        name: "authority.power-cuts.ahci",
        play: |stand| scenario::power_cuts(stand, Port::Ahci(0)),
    },
    LogTest { name: "authority.never-flushes", play: scenario::never_flushes },
    LogTest { name: "authority.kills", play: scenario::kills },
    LogTest { name: "authority.tampered", play: scenario::tampered },
    LogTest { name: "authority.replay", play: scenario::replay },
];

/// Carries one out.
pub fn carry_out(bench: &mut Bench<'_>, test: &LogTest) -> Result<Verdict> {
    let folder = run::folder(bench.workspace, test.name)?;
    let mut stand = Stand::new(bench, folder.path.clone())?;
    Ok(match (test.play)(&mut stand) {
        Ok(remark) => Verdict::Passed(remark),
        Err(error) => Verdict::Failed(format!("{error:#}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for (number, test) in TESTS.iter().enumerate() {
            assert!(TESTS[..number].iter().all(|other| other.name != test.name), "{}", test.name);
            assert!(test.name.starts_with("authority."));
        }
    }
}
