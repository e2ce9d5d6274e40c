//! What is said of a log: what is to be known, what agrees and what contradicts.

use std::path::Path;

use serde_json::{Value, json};

use super::source::{Ending, Log};
use super::walk::{Walk, after};

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// What contradicts nothing, and yet should be known.
    pub warnings: Vec<String>,
    /// What was asked for, and is so.
    pub notes: Vec<String>,
    /// What contradicts.
    pub complaints: Vec<String>,
    /// The hash there is not the expected one.
    pub is_unexpected: bool,
}

impl Verdict {
    /// Of a log alone.
    pub fn of(log: &Log, walk: &Walk) -> Self {
        let complaints = [&walk.damage, &walk.contradiction].into_iter().flatten();
        Self {
            warnings: warnings(log),
            complaints: complaints.map(ToString::to_string).collect(),
            ..Self::default()
        }
    }

    /// As JSON.
    pub fn json(&self, walk: &Walk) -> Value {
        json!({
            "whole": walk.damage.is_none(),
            "agrees": self.complaints.is_empty(),
            "warnings": self.warnings,
            "complaints": self.complaints,
        })
    }

    /// As lines, with the log's extent and hashes.
    pub fn lines(&self, image: &Path, log: &Log, walk: &Walk) -> Vec<String> {
        let mut lines = vec![format!("{}: {}", image.display(), log.what), extent(log)];
        lines.extend(self.warnings.iter().map(|warning| format!("warning: {warning}")));
        if let Ending::Damaged { why, .. } = &log.ending {
            lines.push(format!("refused: {why}"));
        }
        if walk.checkpoints > 0 {
            lines.push(format!("Checkpoint records whose state hash agrees: {}", walk.checkpoints));
        }
        if walk.reports + walk.trimmed > 0 {
            let mut line = format!("lines of the kernel that agree: {}", walk.reports);
            if walk.trimmed > 0 {
                line += &format!(" ({} about what was trimmed)", walk.trimmed);
            }
            lines.push(line);
        }
        let (after, is_at_end) = (after(&walk.at), walk.at.next() == log.end());
        lines.push(match &walk.damage {
            None if self.is_unexpected && is_at_end => {
                format!("the chain is whole, but its end is not the expected one; {after}:")
            }
            None if self.is_unexpected => {
                format!("the chain is whole, but this is not what was expected; {after}:")
            }
            None => format!("the chain is whole; {after}:"),
            Some(damage) if walk.at.next() == damage.sequence => {
                format!("the chain is not whole; as far as it goes, {after}:")
            }
            Some(_) => format!("the chain is not whole; {after}:"),
        });
        lines.push(format!("  chain {}", walk.at.hash()));
        lines.push(format!("  state {}", walk.at.state().hash()));
        lines.extend(self.notes.iter().chain(&self.complaints).cloned());
        lines
    }
}

/// What of a log is not as it should be, but may be: a header whose write was cut off, or a tail.
pub fn warnings(log: &Log) -> Vec<String> {
    let mut warnings: Vec<String> = log.flaws.iter().map(ToString::to_string).collect();
    let is_flawed = !warnings.is_empty();
    let is_refused = matches!(log.ending, Ending::Damaged { .. });
    if is_flawed && !is_refused {
        // The chain leaves no gap: only its end can be elsewhere.
        let why =
            "if that was the newer one, durable records after the last one here may be missing";
        warnings.push(why.to_owned());
    }
    if let Ending::Torn(place) = &log.ending {
        warnings.push(format!("a write was cut off after the last record: {place}"));
        if is_flawed {
            // A header is written when all before it was flushed, and nothing is until it was.
            let why = "one power cut does not leave both: if there were not two, the log was \
                       changed or its disk is failing";
            warnings.push(why.to_owned());
        }
    }
    warnings
}

/// From where to where it goes.
fn extent(log: &Log) -> String {
    let (begin, end) = (log.beginning.next(), log.end());
    let mut extent = match end.checked_sub(1) {
        Some(last) if last == begin => format!("record {begin}"),
        Some(last) if last > begin => format!("records {begin} to {last}"),
        _ => "no record that can be read".to_owned(),
    };
    match log.records.len().saturating_sub(log.durable) {
        0 => {}
        1 => extent += ", the last not yet said to be durable",
        open => extent += &format!(", the last {open} not yet said to be durable"),
    }
    if begin > 0 {
        extent += "; it begins with the state of a checkpoint";
    }
    extent
}
