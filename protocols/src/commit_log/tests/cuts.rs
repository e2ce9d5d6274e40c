//! Power cuts: whatever was not flushed is there or not, block by block. What was synced must be
//! found, and everything found must have happened.

use super::*;
use proptest::prelude::*;
use std::boxed::Box;
use std::format;
use std::string::String;

/// What a writer did to a disk, and what it had promised before each of it.
struct Recording {
    /// Before it.
    disk: Disk,
    atoms: Vec<(Atom, u64)>,
    /// In the end.
    promised: u64,
    history: History,
}

impl Recording {
    fn new(disk: Disk, history: History) -> Self {
        Self { disk, atoms: Vec::new(), promised: 0, history }
    }

    fn run(&mut self, writer: &mut Writer) {
        while let Some(step) = writer.step() {
            let promised = writer.durable().sequence;
            self.atoms.extend(self.disk.atoms(&step).into_iter().map(|atom| (atom, promised)));
        }
        self.promised = writer.durable().sequence;
    }

    /// A load of commits, syncs and checkpoints.
    fn load(&mut self, writer: &mut Writer, rounds: u32) {
        for _ in 0..rounds {
            for _ in 0..self.history.random(30) {
                self.history.step(25);
            }
            self.history.put_into(writer);
            if writer.wants_checkpoint() {
                self.history.checkpoint(writer).unwrap();
            }
            if self.history.random(3) > 0 {
                writer.sync();
            }
            self.run(writer);
        }
    }

    /// The disk after a cut before atom `at`, and what had been promised by then.
    fn cut(&self, at: usize, survives: impl FnMut(usize) -> bool) -> (Disk, u64) {
        let mut disk = self.disk.clone();
        self.atoms[..at].iter().for_each(|(atom, _)| disk.carry_out(atom.clone()));
        disk.cut(survives);
        (disk, self.atoms.get(at).map_or(self.promised, |(_, promised)| *promised))
    }

    /// Whether that disk is as it must be; the log, if one had begun.
    fn verify(&self, disk: &Disk, promised: u64) -> Result<Option<Box<Log>>, String> {
        match disk.recover() {
            Ok(Found::Nothing { .. }) if promised == 0 => Ok(None),
            Ok(Found::Nothing { .. }) => Err(format!("{promised} records are lost")),
            Ok(Found::Log(log)) => {
                let (claimed, end) = (log.header.head.sequence, log.end.sequence);
                if claimed < promised {
                    return Err(format!("{claimed} of {promised} records are durable"));
                }
                if claimed > end {
                    return Err(format!("{claimed} durable, but it ends at {end}"));
                }
                let happened = self.history.hashes.get(end as usize) == Some(&log.end.hash);
                if happened { Ok(Some(log)) } else { Err(format!("{end} never happened so")) }
            }
            Err(refusal) => Err(format!("{refusal}")),
        }
    }

    /// The same with each header damaged in turn: the other one and the tail still have all that
    /// was promised.
    fn verify_with_one_header(&self, disk: &Disk, promised: u64) -> Result<(), String> {
        for start in [0, 4096] {
            let mut disk = disk.clone();
            disk.bytes[start + 60] ^= 1;
            let is_blank = |start: usize| disk.bytes[start..start + 8] == [0; 8];
            if is_blank(0) || is_blank(4096) {
                continue;
            }
            match disk.recover() {
                Ok(Found::Nothing { .. }) if promised == 0 => {}
                Ok(Found::Log(log)) if log.end.sequence >= promised => {
                    let hash = self.history.hashes.get(log.end.sequence as usize);
                    if hash != Some(&log.end.hash) {
                        return Err(format!("{} never happened so", log.end.sequence));
                    }
                }
                other => return Err(format!("header {start}, {promised} promised: {other:?}")),
            }
        }
        Ok(())
    }

    /// Every prefix, and of each some subsets of what was not flushed. The first that is wrong.
    fn every_cut(&mut self, subsets: u32) -> Result<usize, String> {
        let mut cuts = 0;
        for at in 0..=self.atoms.len() {
            for subset in 0..subsets + 2 {
                let mut seed = self.history.random(u64::MAX) | 1;
                let mut odds = || {
                    seed ^= seed << 13;
                    seed ^= seed >> 7;
                    seed ^= seed << 17;
                    seed >> 20 & 1 == 0
                };
                let (disk, promised) = self.cut(at, |_| match subset {
                    0 => true,
                    1 => false,
                    _ => odds(),
                });
                let verified = self.verify(&disk, promised);
                verified.map_err(|why| format!("cut {at}.{subset}: {why}"))?;
                if subset < 3 {
                    self.verify_with_one_header(&disk, promised)?;
                }
                cuts += 1;
            }
        }
        Ok(cuts)
    }
}

fn recorded(block: u32, bytes: u64, seed: u64, rounds: u32) -> Recording {
    let disk = Disk::new(block, bytes);
    let history = History::new(seed);
    let mut writer = history.create(&disk);
    let mut recording = Recording::new(disk, history);
    recording.load(&mut writer, rounds);
    writer.sync();
    recording.run(&mut writer);
    assert_eq!(recording.promised, writer.head().sequence);
    recording
}

#[test]
fn every_prefix_and_many_subsets_of_what_was_not_flushed() {
    let mut cuts = 0;
    for (block, bytes, rounds) in [(512, 40 << 10, 60), (4096, 64 << 10, 60), (512, 1 << 20, 20)] {
        cuts += recorded(block, bytes, u64::from(block) + bytes, rounds).every_cut(8).unwrap();
    }
    assert!(cuts > 4_000, "{cuts}");
}

/// The test above must not let this pass.
#[test]
fn a_writer_that_never_flushes_is_caught() {
    let mut recording = recorded(512, 40 << 10, 1, 60);
    recording.atoms.retain(|(atom, _)| !matches!(atom, Atom::Flush));
    recording.every_cut(8).unwrap_err();
}

/// Nor these, which leave out one flush of two.
#[test]
fn a_writer_that_flushes_half_is_caught() {
    for left_out in [0, 1] {
        let mut recording = recorded(512, 40 << 10, 1, 60);
        let mut flushes = 0;
        recording.atoms.retain(|(atom, _)| {
            flushes += usize::from(matches!(atom, Atom::Flush));
            !matches!(atom, Atom::Flush) || flushes % 2 == left_out
        });
        recording.every_cut(8).unwrap_err();
    }
}

/// Nor a disk that says that it has flushed, and has not.
#[test]
fn records_that_never_came_are_missing_and_not_forged() {
    let recording = recorded(512, 40 << 10, 3, 8);
    // The headers are there, and nothing else.
    let (mut disk, _) = recording.cut(0, |_| true);
    let first = Geometry::of(&disk.partition).unwrap().first();
    for (atom, _) in &recording.atoms {
        match atom {
            Atom::Write(block, bytes) if *block < first => disk.put(*block, bytes),
            _ => {}
        }
    }
    let refusal = disk.recover().unwrap_err();
    assert!(matches!(refusal, Refusal::Missing(Damage { why: Flaw::Blank, .. })), "{refusal}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    /// Load, cut, recover, go on, cut again.
    #[test]
    fn a_log_goes_on_after_every_cut(
        seed in 1u64..,
        large: bool,
        cuts in proptest::collection::vec((1u32..12, any::<u16>(), any::<u64>()), 1..20),
    ) {
        let disk = Disk::new(if large { 4096 } else { 512 }, 48 << 10);
        let history = History::new(seed);
        let writer = history.create(&disk);
        let mut recording = Recording::new(disk, history);
        let mut next = Some(writer);
        for (life, (rounds, at, survivors)) in (1u64..).zip(cuts) {
            let Some(mut writer) = next.take() else { break };
            recording.promised = writer.durable().sequence;
            recording.load(&mut writer, rounds);
            let at = usize::from(at) % (recording.atoms.len() + 1);
            let survives = |index: usize| survivors >> (index % 64) & 1 == 1;
            let (disk, promised) = recording.cut(at, survives);
            let found = recording.verify(&disk, promised);
            let found = found.map_err(TestCaseError::fail)?;
            let Recording { mut history, .. } = recording;
            next = Some(match found {
                Some(log) => {
                    history.reboot(&log);
                    Writer::resume(&log)
                }
                None => {
                    let Ok(Found::Nothing { generation }) = disk.recover() else { unreachable!() };
                    // Another log: no two have one name.
                    history = History::new(seed.wrapping_add(life << 40));
                    let log = history.replay.state().log().unwrap();
                    Writer::create(&disk.partition, log, Start::Genesis, generation).unwrap()
                }
            });
            recording = Recording::new(disk, history);
        }
    }
}
