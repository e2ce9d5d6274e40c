//! Power cuts, thousands of them, replayed from one log of writes.
//!
//! ```text
//!   base ──write──write──FLUSH──write──[mark 17]──write── … ──> end
//!                 ✂            ✂                 ✂
//!                 └── what may survive here, several times ──> Reader ──> Found ──> Rule
//! ```
//!
//! Why this shows that syncs keep their word:
//!
//! - An operation stands in the log once it is done and before the guest hears of it. A [`mark`] is
//!   written after its sync returned. So if a mark stands before the cut, its sync had returned
//!   when the power went, and what the sync relied on stands before the mark.
//! - At the cut the medium holds what was written before the last flush that stands before the cut,
//!   and any part of what was written since. A flush covers what was done when it was asked for;
//!   QEMU logs it when it ends, so writes that overlapped with it count as covered. The kernel's
//!   log has one writer that never writes while it flushes, so there are none.
//! - What the machine started with is on the medium: it stays there, whether it was ever synced or
//!   is what a power cut happened to leave.
//! - The history is what is found where nothing is lost. Its hashes are chained: whoever finds the
//!   hash of record n has found all records up to n, unchanged and in their order.
//!
//! [`mark`]: protocols::sync_mark

use std::fmt;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};
use protocols::sync_mark;

use super::found::{Found, Reader};
use super::history::History;
use super::surviving::{Disk, Survival};
use super::write_log::{Operation, WriteLog};

/// Operations between two looks at the history: records that a checkpoint gives up are there for
/// a flush and a header.
const HISTORY_STEP: usize = 2;

/// What has to hold of every state that survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// The log is read and verified: whatever is torn lies after its durable head.
    Verifies,
    /// What a returned sync called durable is there.
    SyncedIsThere,
    /// It is the history that was written, up to some record.
    Genuine,
    /// The log calls nothing durable that a flush had not made stay.
    ClaimsWhatStays,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Verifies => "every state verifies",
            Self::SyncedIsThere => "synced commits are there",
            Self::Genuine => "only what was written is there",
            Self::ClaimsWhatStays => "nothing unsynced is called durable",
        })
    }
}

/// A state that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Breach {
    /// After how many operations the power was cut.
    pub cut: usize,
    /// Which rule.
    pub rule: Rule,
    /// What is wrong, for people.
    pub why: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "power cut after {} operations: {}: {}", self.cut, self.rule, self.why)
    }
}

/// What came of all cuts.
#[derive(Clone, Debug, Default)]
pub struct Cuts {
    /// Places where the power was cut.
    pub cuts: usize,
    /// States looked at.
    pub states: usize,
    /// Records that came to be.
    pub records: u64,
    /// Syncs that returned.
    pub syncs: usize,
    /// Flushes in the log of writes.
    pub flushes: usize,
    /// Breaches, the first ones first.
    pub breaches: Vec<Breach>,
}

/// How many places to cut at, and how many states to look at in each beside the two extremes.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Most places.
    pub cuts: usize,
    /// States by dice at each.
    pub diced: u64,
}

/// A recorded load.
pub struct Load<'a> {
    /// The disk's writes and flushes.
    pub log: &'a WriteLog<'a>,
    /// The log's partition as it was before.
    pub base: &'a [u8],
    /// Where on the disk it lies, in bytes.
    pub range: Range<u64>,
    /// Who reads it.
    pub reader: &'a Reader,
}

impl Load<'_> {
    /// Cuts the power at many places.
    ///
    /// # Errors
    /// The load itself is of no use: its history cannot be found.
    pub fn cut(&self, effort: Effort) -> Result<Cuts> {
        let (history, before) = self.history().context("with nothing lost")?;
        let marks = self.marks();
        let places = self.places(effort.cuts);
        let mut all = Cuts {
            cuts: places.len(),
            records: history.records() - before,
            syncs: marks.iter().flatten().count(),
            flushes: self.log.flushes(),
            ..Cuts::default()
        };
        ensure!(all.syncs > 0, "no sync has returned: the load has shown nothing");
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let pieces: Vec<&[usize]> = places.chunks(places.len().div_ceil(threads * 4)).collect();
        let (taken, states) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let breaches = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some(piece) = pieces.get(taken.fetch_add(1, Ordering::Relaxed)) {
                        let (found, seen) =
                            self.piece(piece, &marks, (&history, before), effort.diced);
                        states.fetch_add(seen, Ordering::Relaxed);
                        if let Ok(mut all) = breaches.lock() {
                            all.extend(found);
                        }
                    }
                });
            }
        });
        all.states = states.into_inner();
        all.breaches = breaches.into_inner().unwrap_or_default();
        all.breaches.sort();
        Ok(all)
    }

    /// What a power cut after two thirds of it may leave, with the most that is not flushed there.
    pub fn left(&self) -> Vec<u8> {
        let mut disk = self.disk();
        let mut left = Vec::new();
        let count = self.log.operations.len();
        let mut most = 0;
        for (number, operation) in self.log.operations.iter().enumerate() {
            disk.advance(operation);
            if number > count * 2 / 3 && disk.unflushed() > most {
                most = disk.unflushed();
                left = disk.survives(Survival::Some(number as u64), <[u8]>::to_vec);
            }
        }
        left
    }

    fn disk(&self) -> Disk<'_> {
        Disk::new(self.base.to_vec(), self.range.clone(), self.log.sector)
    }

    /// What is found along the log when nothing is lost; and how many records were there before.
    fn history(&self) -> Result<(History, u64)> {
        let mut disk = self.disk();
        let look = |disk: &mut Disk<'_>| {
            disk.survives(Survival::All, self.reader).map_err(anyhow::Error::msg)
        };
        let before = look(&mut disk).context("before the load")?;
        let mut history = History::new(&before);
        let count = self.log.operations.len();
        for (number, operation) in self.log.operations.iter().enumerate() {
            disk.advance(operation);
            if number % HISTORY_STEP == 0 || number + 1 == count {
                let place = || format!("after {} operations", number + 1);
                look(&mut disk).and_then(|found| history.add(&found)).with_context(place)?;
            }
        }
        Ok((history, before.next()))
    }

    /// For each operation, what the mark that it writes names, if it writes one.
    fn marks(&self) -> Vec<Option<u64>> {
        let mark = |operation: &Operation<'_>| match operation {
            Operation::Write { offset, data, .. } if !self.range.contains(offset) => {
                sync_mark::decode(data)
            }
            _ => None,
        };
        self.log.operations.iter().map(mark).collect()
    }

    /// After how many operations to cut: around every flush, and evenly in between.
    fn places(&self, most: usize) -> Vec<usize> {
        let count = self.log.operations.len();
        let is_flush = |at: usize| self.log.operations.get(at) == Some(&Operation::Flush);
        let near = |place: &usize| (place.saturating_sub(2)..place + 2).any(is_flush);
        let (near, far): (Vec<usize>, Vec<usize>) = (0..=count).partition(near);
        let mut places = thinned(&near, most.saturating_sub(far.len().min(most / 4)));
        let left = most.saturating_sub(places.len());
        places.extend(thinned(&far, left));
        places.sort_unstable();
        places
    }

    /// Cuts at some places, in their order. What was found, and how many states were seen.
    fn piece(
        &self,
        places: &[usize],
        marks: &[Option<u64>],
        (history, before): (&History, u64),
        diced: u64,
    ) -> (Vec<Breach>, usize) {
        let (mut breaches, mut states) = (Vec::new(), 0);
        let mut disk = self.disk();
        // What was there before the load stays there.
        let (mut done, mut synced) = (0, before.checked_sub(1));
        for cut in places {
            for (operation, mark) in self.log.operations.iter().zip(marks).take(*cut).skip(done) {
                disk.advance(operation);
                synced = synced.max(*mark);
            }
            done = *cut;
            // What a flush made stay bounds what may be called durable.
            let nothing = disk.survives(Survival::None, self.reader);
            let stays = nothing.as_ref().map_or(0, Found::next);
            let dice = (0..diced).map(|number| Survival::Some(*cut as u64 * diced + number));
            let mut all = vec![nothing];
            for survival in [Survival::All].into_iter().chain(dice) {
                all.push(disk.survives(survival, self.reader));
            }
            states += all.len();
            let broken = all.iter().filter_map(|found| judge(found, synced, stays, history));
            breaches.extend(broken.map(|(rule, why)| Breach { cut: *cut, rule, why }));
        }
        (breaches, states)
    }
}

/// What is wrong with what was found.
fn judge(
    found: &Result<Found, String>,
    synced: Option<u64>,
    stays: u64,
    history: &History,
) -> Option<(Rule, String)> {
    let found = match found {
        Ok(found) => found,
        Err(why) => return Some((Rule::Verifies, why.clone())),
    };
    let next = found.next();
    if let Some(synced) = synced
        && synced >= next
    {
        let why = format!("record {synced} was durable, and the log ends after {next} records");
        return Some((Rule::SyncedIsThere, why));
    }
    if !history.holds(found) {
        return Some((Rule::Genuine, format!("its {next} records were never written so")));
    }
    if found.durable > stays {
        let why = format!("it calls {} records durable, and {stays} stay", found.durable);
        return Some((Rule::ClaimsWhatStays, why));
    }
    None
}

/// At most `most` of them, evenly, with the first and the last.
fn thinned(all: &[usize], most: usize) -> Vec<usize> {
    if all.len() <= most || most < 2 {
        return all.iter().copied().take(most.max(all.len().min(1))).collect();
    }
    (0..most).map(|number| all[number * (all.len() - 1) / (most - 1)]).collect()
}

#[cfg(test)]
mod tests;
