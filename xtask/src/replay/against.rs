//! Two logs side by side: whether they are one history, and where they part.

use std::path::Path;

use protocols::axiom::Record;

use super::source::{Ending, Log};
use super::walk::{Diverged, hashes};

/// Compares what both have. What they have in common, or where they part first. Damage of either is
/// another matter: here it is only where that one ends.
pub fn compare(
    (path, log): (&Path, &Log),
    (other_path, other): (&Path, &Log),
) -> Result<String, Diverged> {
    let (name, other_name) = (path.display(), other_path.display());
    let begin = log.beginning.next().max(other.beginning.next());
    let end = log.end().min(other.end());
    if begin > end {
        let why = format!("one of {name} and {other_name} begins here, the other ends earlier");
        return Err(Diverged { sequence: begin, why });
    }
    let before = |log: &Log| match begin.checked_sub(1) {
        Some(last) if last >= log.beginning.next() => {
            hashes(log).find(|(sequence, _)| *sequence == last).map(|found| found.1)
        }
        _ => Some(log.beginning.hash()),
    };
    if before(log) != before(other) {
        let why = format!("what comes before record {begin} differs: the chain's hashes do");
        return Err(Diverged { sequence: begin.saturating_sub(1), why });
    }
    let common = |log: &Log| {
        let skipped = (begin - log.beginning.next()) as usize;
        log.records[skipped..][..(end - begin) as usize].to_vec()
    };
    let pairs = common(log).into_iter().zip(common(other));
    for (sequence, (ours, theirs)) in (begin..).zip(pairs) {
        if ours != theirs {
            let (ours, theirs) = (shown(&ours), shown(&theirs));
            let why = format!("{name} has{ours}, {other_name} has{theirs}");
            return Err(Diverged { sequence, why });
        }
    }
    if log.end() == other.end() && begin < end {
        return Ok(format!("{name} and {other_name} are the same log"));
    }
    let (first, ending) =
        if log.end() < other.end() { (&name, &log.ending) } else { (&other_name, &other.ending) };
    let up_to = match end.checked_sub(1) {
        Some(last) if begin < end => format!("up to record {last}"),
        _ => format!("before record {begin}"),
    };
    let ends = if matches!(ending, Ending::Damaged { .. }) { "is damaged" } else { "ends" };
    Ok(format!("{name} and {other_name} are the same {up_to}, where {first} {ends}"))
}

/// A record as a line; its bytes if they are none.
pub fn shown(bytes: &[u8]) -> String {
    match Record::decode(bytes) {
        Ok(record) => format!(" {}", record.to_string().trim_start()),
        Err(error) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!(" {hex} ({error})")
        }
    }
}
