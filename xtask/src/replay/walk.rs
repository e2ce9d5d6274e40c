//! Goes along a log from its beginning, and holds what it comes to against what others said.
//!
//! ```text
//!   record ──> Replay ──> state, chain ──┬── Checkpoint records (by Replay itself)
//!                                        ├── lines of the kernel's serial log
//!                                        └── the hash that is expected
//! ```
//!
//! Damage is what is wrong with the log itself; the state before it is as far as the log goes. A log
//! without any may still contradict what the kernel said, or what is expected.

use std::fmt;

use anyhow::{Result, bail};
use protocols::axiom::replay::Replay;
use protocols::axiom::{Commit, Hash};

use super::options;
use super::source::{Ending, Log};

/// Where a log stops being what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diverged {
    /// The first record that is wrong, or missing.
    pub sequence: u64,
    /// What is wrong, and what was expected.
    pub why: String,
}

impl fmt::Display for Diverged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "first divergence at record {}: {}", self.sequence, self.why)
    }
}

/// A line in which the kernel said how its log stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which start of the machine.
    pub epoch: u32,
    /// Records there were.
    pub records: u64,
    /// The chain's hash after them.
    pub chain: Hash,
    /// The state's hash after them.
    pub state: Hash,
}

impl Report {
    /// `commits: epoch E, N records, chain H, state S`, wherever in the line.
    pub fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.split_once("commits: epoch ")?;
        let mut words = rest.split([' ', ',']).filter(|word| !word.is_empty());
        let (epoch, records) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let mut named = |name| {
            words.find(|word| *word == name)?;
            options::hash(words.next()?.get(..64)?).ok()
        };
        Some(Self { epoch, records, chain: named("chain")?, state: named("state")? })
    }
}

/// What a log comes to.
#[derive(Clone, Debug)]
pub struct Walk {
    /// Where it was to be looked at, or after the last record that can be followed.
    pub at: Replay,
    /// `Checkpoint` records on the way, all of which name the state's hash. The kernel keeps the
    /// state itself for only some of them.
    pub checkpoints: u64,
    /// Lines of the kernel that agree.
    pub reports: u64,
    /// Lines of the kernel about what was trimmed.
    pub trimmed: u64,
    /// What is wrong with the log itself.
    pub damage: Option<Diverged>,
    /// Where it first differs from what the kernel said.
    pub contradiction: Option<Diverged>,
}

/// Follows `log`; `at` is the record after which it is to be looked at.
pub fn walk(log: &Log, at: Option<u64>, reports: &[Report]) -> Result<Walk> {
    let begin = log.beginning.next();
    let (mut replay, mut kept) = (log.beginning.clone(), None);
    let (mut checkpoints, mut agreed) = (0, 0);
    let (mut damage, mut contradiction) = (None, None);
    let trimmed = reports.iter().filter(|report| report.records < begin).count() as u64;
    for bytes in &log.records {
        let sequence = replay.next();
        match replay.push(bytes, &mut |_| ()) {
            Ok(record) => {
                checkpoints += u64::from(matches!(record.commit, Commit::Checkpoint { .. }));
            }
            Err(error) => {
                damage = Some(Diverged { sequence, why: error.to_string() });
                break;
            }
        }
        for report in reports.iter().filter(|report| report.records == replay.next()) {
            match contradicted(report, &replay) {
                None => agreed += 1,
                Some(why) => {
                    contradiction.get_or_insert(Diverged { sequence, why });
                }
            }
        }
        if at == Some(sequence) {
            kept = Some(replay.clone());
        }
    }
    if let Ending::Damaged { sequence, why } = &log.ending {
        damage.get_or_insert(Diverged { sequence: *sequence, why: why.clone() });
    }
    if let (Some(at), None) = (at, &kept) {
        bail!(unreachable(log, damage.as_ref(), at));
    }
    // What a damaged log lacks is no second contradiction.
    let most = reports.iter().map(|report| report.records).max();
    if let Some(most) = most.filter(|most| *most > log.end() && damage.is_none()) {
        let why = format!("the kernel reported {most} records, this one is not there");
        contradiction.get_or_insert(Diverged { sequence: log.end(), why });
    }
    let at = kept.unwrap_or(replay);
    Ok(Walk { at, checkpoints, reports: agreed, trimmed, damage, contradiction })
}

/// Why record `at` of `log` is not to be had.
pub fn unreachable(log: &Log, damage: Option<&Diverged>, at: u64) -> String {
    let (begin, end) = (log.beginning.next(), log.end());
    match damage {
        _ if at < begin => format!(
            "what was before record {begin} was trimmed: it begins with the state of a checkpoint"
        ),
        Some(Diverged { sequence, why }) => {
            format!("record {at} cannot be reached: the log is damaged at record {sequence}: {why}")
        }
        None => {
            let last = end.saturating_sub(1);
            let torn = match &log.ending {
                Ending::Torn(place) => format!(" (a write was cut off after it: {place})"),
                _ => String::new(),
            };
            format!("there is no record {at}: the last is {last}{torn}")
        }
    }
}

/// What the kernel said otherwise.
fn contradicted(report: &Report, replay: &Replay) -> Option<String> {
    let state = replay.state().hash();
    let epoch = replay.state().epoch();
    if report.chain != replay.hash() {
        Some(format!("the kernel reported chain {}, this log has {}", report.chain, replay.hash()))
    } else if report.state != state {
        Some(format!("the kernel reported state {}, replayed it is {state}", report.state))
    } else if report.epoch != epoch {
        Some(format!("the kernel reported epoch {}, replayed it is {epoch}", report.epoch))
    } else {
        None
    }
}

/// Whether `expected` is the state's hash or the chain's there; if not, where else it is.
pub fn expected(log: &Log, at: &Replay, expected: Hash) -> Result<(), String> {
    if [at.state().hash(), at.hash()].contains(&expected) {
        return Ok(());
    }
    let elsewhere = hashes(log).find(|(_, hash)| *hash == expected);
    let elsewhere = elsewhere.map_or_else(
        || ", nor the chain's anywhere else in this log".to_owned(),
        |(sequence, _)| format!("; it is the chain's hash after record {sequence}"),
    );
    Err(format!(
        "{expected} was expected: that is neither the chain's hash nor the state's {}{elsewhere}",
        after(at)
    ))
}

/// `after record 7`: where `replay` is.
pub fn after(replay: &Replay) -> String {
    match replay.next().checked_sub(1) {
        Some(last) => format!("after record {last}"),
        None => "before record 0".to_owned(),
    }
}

/// The chain's hash after each record, by its sequence.
pub fn hashes(log: &Log) -> impl Iterator<Item = (u64, Hash)> {
    let mut hash = log.beginning.hash();
    (log.beginning.next()..).zip(&log.records).map(move |(sequence, bytes)| {
        hash = protocols::axiom::extend(hash, bytes);
        (sequence, hash)
    })
}
