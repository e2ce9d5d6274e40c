//! What the kernel says of its CommitLog: when it starts, `commits: DISK: verified: epoch E,
//! N records, chain H`; when it is asked, `commits: epoch E, N records, chain H, state S`.

use anyhow::{Context, Result, bail};
use protocols::axiom::Hash;

/// How such a line begins.
const BEGINS: &str = "commits: epoch ";

/// What it says when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which start of the machine on this log.
    pub epoch: u32,
    /// How many records the log has had.
    pub records: u64,
    /// The chain's hash after the last.
    pub chain: Hash,
    /// The state's hash.
    pub state: Hash,
}

impl Report {
    /// The last one in `said`.
    pub fn last(said: &str) -> Result<Self> {
        let at = said.rfind(BEGINS).context("the kernel has said nothing of its commits")?;
        let line = said[at..].lines().next().unwrap_or_default();
        parse(line).with_context(|| format!("`{line}`"))
    }
}

/// What a log held when the machine started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// How many records it had had.
    pub records: u64,
    /// How often the machine had been started on it.
    pub boots: u32,
}

impl Verified {
    /// What the kernel said when it started; `None`: nothing yet. A new log holds nothing.
    pub fn said(said: &str) -> Option<Self> {
        let lines = said.lines().filter_map(|line| Some(line.split_once("commits: ")?.1));
        lines.filter_map(|line| line.split_once(": ")).find_map(|(_, words)| {
            if words.starts_with("empty: a new log begins there") {
                return Some(Self::default());
            }
            let (boots, rest) = words.strip_prefix("verified: epoch ")?.split_once(", ")?;
            let (records, _) = rest.split_once(" records, ")?;
            Some(Self { records: records.parse().ok()?, boots: boots.parse().ok()? })
        })
    }
}

fn parse(line: &str) -> Result<Report> {
    let mut parts = line.trim_start_matches("commits: ").split(", ");
    let mut part = || parts.next().context("it ends too early");
    let (epoch, records, chain, state) = (part()?, part()?, part()?, part()?);
    let after = |part: &'_ str, word: &str| {
        let rest = part.strip_prefix(word).with_context(|| format!("no `{word}`"))?;
        anyhow::Ok(rest.split(' ').next().unwrap_or_default().to_owned())
    };
    Ok(Report {
        epoch: after(epoch, "epoch ")?.parse()?,
        records: records.strip_suffix(" records").context("no records")?.parse()?,
        chain: hash(&after(chain, "chain ")?)?,
        state: hash(&after(state, "state ")?)?,
    })
}

fn hash(text: &str) -> Result<Hash> {
    let mut hash = Hash::default();
    if text.len() != 64 || !text.is_ascii() {
        bail!("`{text}` is no SHA-256");
    }
    for (at, byte) in hash.0.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16)?;
    }
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_verified_is_read() {
        let said =
            "x\n[1.0] core0 info  y: commits: nvme1n1p1: verified: epoch 3, 52 records, chain 0\n";
        assert_eq!(Verified::said(said), Some(Verified { records: 52, boots: 3 }));
        let new = "commits: nvme1n1p1: empty: a new log begins there\n";
        assert_eq!(Verified::said(new), Some(Verified::default()));
        assert_eq!(Verified::said("commits: nvme1n1p1: verified: epoch 3, 5"), None);
    }

    #[test]
    fn the_last_line_is_read() {
        let line = |epoch, records| {
            let (chain, state) = (Hash([1; 32]), Hash([0xab; 32]));
            format!(
                "[0.1] info commits: epoch {epoch}, {records} records, chain {chain}, state {state}\n"
            )
        };
        let report = Report::last(&format!("{}x\n{}pollux> ", line(1, 2), line(3, 4000))).unwrap();
        let expected =
            Report { epoch: 3, records: 4000, chain: Hash([1; 32]), state: Hash([0xab; 32]) };
        assert_eq!(report, expected);
        for bad in ["", "commits: epoch 1", "commits: epoch 1, 2 records, chain 00, state 11"] {
            assert!(Report::last(bad).is_err(), "{bad}");
        }
    }
}
