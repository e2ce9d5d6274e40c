//! Carries out one boot of the table and judges it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::boot::{self, Echo, Ended, Outcome};
use crate::boots::{Boot, Needs};
use crate::build::Built;
use crate::disks::{Disk, Prepared};
use crate::image;
use crate::limine::{self, Choice, Loader};
use crate::medium;
use crate::options::Options;
use crate::qemu::{Console, DISK, Machine};
use crate::records::Records;
use crate::results;
use crate::run;
use crate::setup::{self, Emulator, FatTools};
use crate::workspace::Workspace;

/// What all boots share.
pub struct Bench<'a> {
    /// The checkout.
    pub workspace: &'a Workspace,
    /// What runs the boots.
    pub emulator: Emulator,
    /// Kernel and programs.
    pub built: Built,
    /// The flags.
    pub options: &'a Options,
    own: Option<Loader>,
    fat: Option<FatTools>,
}

/// How a boot that was carried out went.
pub enum Verdict {
    /// As expected; a few words on it.
    Passed(String),
    /// Not as expected: why, and the last log lines.
    Failed(String),
    /// Could not be tried here.
    Skipped(String),
}

impl<'a> Bench<'a> {
    /// Gets everything ready that boots share.
    pub fn new(
        workspace: &'a Workspace,
        emulator: Emulator,
        built: Built,
        options: &'a Options,
    ) -> Self {
        Self { workspace, emulator, built, options, own: None, fat: None }
    }

    /// The loader a boot gets, if there is one as it needs.
    pub fn loader(&mut self, needs: Needs) -> Result<Option<Loader>> {
        let dir: Option<&Path> = self.options.limine.as_deref();
        let limine = limine::at_hand(self.workspace, dir)?;
        if let Some(path) = limine.filter(|_| needs != Needs::OwnLoader) {
            return Ok(Some(Loader { kind: limine::Kind::Limine, path }));
        }
        if needs == Needs::Limine {
            return Ok(None);
        }
        if self.own.is_none() {
            self.own = Some(limine::choose(self.workspace, Choice::Own, None)?);
        }
        Ok(self.own.clone())
    }

    /// Boots and judges, with more `words` on the command line.
    pub fn carry_out(&mut self, boot: &Boot, words: &str) -> Result<Verdict> {
        let Some(loader) = self.loader(boot.needs)? else {
            return Ok(Verdict::Skipped("no Limine at hand".to_owned()));
        };
        let folder = run::folder(self.workspace, boot.name)?;
        let flags = Options {
            smp: Some(boot.cores),
            memory: boot.memory,
            accel: self.options.accel,
            ..Options::default()
        };
        let mut machine = Machine::by_options(&flags, Console::Pipe, folder.path.clone())?;
        if boot.disks.iter().any(Disk::has_files) && self.fat.is_none() {
            self.fat = Some(setup::fat_tools()?);
        }
        let tools = self.fat.as_ref();
        let disks = boot.disks.iter().map(|disk| disk.prepare(&machine.dir, tools));
        let disks = disks.collect::<Result<Vec<_>>>()?;
        machine.drives = boot.disks.iter().map(|disk| disk.drive(&machine.dir)).collect();
        machine.devices = boot.devices;
        machine.board = boot.board;
        let line = format!("log=info {} {words}", boot.words);
        let mut entries = medium::entries(&self.built, &loader, line.trim())?;
        boot.mutation.apply(&mut entries)?;
        image::write(&machine.dir.join(DISK), &entries)?;
        drop(entries);
        let limit = Duration::from_secs(boot.limit);
        let enough = |console: &str| boot.expect.said_enough(console);
        let outcome =
            boot::boot(&machine, &self.emulator, limit, Echo::Silent, boot.script, &enough)?;
        let saved = read_back(boot, &machine.dir.join(DISK));
        // Disks are large and made anew each time; the logs stay, and what could tell of a failure.
        let _ = std::fs::remove_file(machine.dir.join(DISK));
        let verdict = judge(boot, &outcome).and_then(|remark| {
            saved?;
            disks.iter().try_for_each(|disk| disk.verify(tools)).context("on a disk afterwards")?;
            Ok(remark)
        });
        Ok(match verdict {
            Ok(remark) => {
                disks.iter().for_each(Prepared::remove);
                Verdict::Passed(remark)
            }
            Err(error) => Verdict::Failed(format!("{error:#}\n{}", outcome.last_words(25))),
        })
    }
}

/// Whether the disk holds the results that a boot had to save.
fn read_back(boot: &Boot, disk: &Path) -> Result<()> {
    if boot.saved.is_empty() {
        return Ok(());
    }
    let (_, metrics) = results::read(disk)?;
    let is_there = |name: &&str| metrics.iter().any(|metric| metric.name == **name);
    match boot.saved.iter().find(|name| !is_there(name)) {
        Some(name) => bail!("the results on the disk have no `{name}`"),
        None => Ok(()),
    }
}

/// Judges what a boot left behind; the remark is for people.
fn judge(boot: &Boot, outcome: &Outcome) -> Result<String> {
    let records = Records::parse(&outcome.records);
    let failed = records.failed_tests();
    if !failed.is_empty() {
        bail!("{} in-kernel tests failed:\n    {}", failed.len(), failed.join("\n    "));
    }
    if let Ended::TimedOut(_) = outcome.ended {
        bail!("still running after {} s", boot.limit);
    }
    if let Ended::Astray(why) = &outcome.ended {
        bail!("{why}");
    }
    let status = match outcome.ended {
        Ended::Status(status) => Some(status),
        _ => None,
    };
    boot.expect.judge(status, &outcome.serial)?;
    if let Some(panic) = records.panics.first()
        && !boot.expect.foresees_panic()
    {
        bail!("the kernel panicked: {panic}");
    }
    let missing: Vec<&str> = boot
        .metrics
        .iter()
        .filter(|name| !records.metrics.iter().any(|metric| metric.name == **name))
        .filter(|name| !(**name == "boot.entry_to_ring3" && records.boot.is_some()))
        .copied()
        .collect();
    if !missing.is_empty() {
        bail!("no figures on COM2 for: {}", missing.join(", "));
    }
    if boot.words.split(' ').any(is_testing) && records.tests.is_empty() {
        bail!("no in-kernel test reported on COM2");
    }
    let mut remarks = Vec::new();
    if !records.tests.is_empty() {
        remarks.push(format!("{} in-kernel tests", records.tests.len()));
    }
    if !records.metrics.is_empty() {
        remarks.push(format!("{} figures", records.metrics.len()));
    }
    Ok(remarks.join(", "))
}

/// Whether a word of the command line asks for in-kernel tests.
fn is_testing(word: &str) -> bool {
    word == "test" || word.starts_with("test=")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::SUCCESS;
    use crate::boots;

    fn outcome(ended: Ended, records: &str) -> Outcome {
        Outcome {
            ended,
            serial: String::new(),
            records: records.to_owned(),
            complaints: String::new(),
            took: Duration::ZERO,
            dir: "/t".into(),
        }
    }

    #[test]
    fn a_boot_passes_by_status_and_records() {
        let tests = boots::all().find(|boot| boot.name == "kernel-tests.4-cores").unwrap();
        let ok = "{\"event\":\"test\",\"name\":\"a\",\"result\":\"ok\"}\n";
        let bad = "{\"event\":\"test\",\"name\":\"a\",\"result\":\"failed\",\"detail\":\"d\"}\n";
        let panic = format!("{ok}{{\"event\":\"panic\",\"message\":\"m\"}}");
        let success = || Ended::Status(SUCCESS);
        assert_eq!(judge(tests, &outcome(success(), ok)).unwrap(), "1 in-kernel tests");
        for (ended, records, why) in [
            (success(), bad, "a: d"),
            (success(), "", "no in-kernel test"),
            (success(), panic.as_str(), "panicked: m"),
            (Ended::Status(35), ok, "expected the kernel to report success"),
            (Ended::TimedOut(String::new()), ok, "still running"),
        ] {
            let error = judge(tests, &outcome(ended, records)).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        let bench = boots::all().find(|boot| boot.name == "bench.4-cores").unwrap();
        let error = judge(bench, &outcome(success(), "")).unwrap_err().to_string();
        assert!(error.contains("syscall.null"), "{error}");
    }
}
