//! The history that a machine really wrote: the chain's hash after every record, as it is found along
//! a log of writes of which nothing is lost.

use anyhow::{Result, bail, ensure};
use protocols::axiom::Hash;

use super::found::Found;

/// The chain, from the first record on that was there.
#[derive(Clone, Debug)]
pub struct History {
    first: u64,
    /// Before the first record, then after each.
    hashes: Vec<Hash>,
}

impl History {
    /// That far.
    pub fn new(found: &Found) -> Self {
        Self { first: found.first, hashes: found.hashes.clone() }
    }

    /// How many records there were, those before its beginning included.
    pub fn records(&self) -> u64 {
        self.first + self.hashes.len() as u64 - 1
    }

    /// The chain's hash after so many records.
    fn after(&self, records: u64) -> Option<&Hash> {
        self.hashes.get(usize::try_from(records.checked_sub(self.first)?).ok()?)
    }

    /// Adds what was found later.
    ///
    /// # Errors
    /// It is another history, or there is a gap in between.
    pub fn add(&mut self, found: &Found) -> Result<()> {
        ensure!(
            found.first <= self.records(),
            "records {} to {} were never seen: look more often",
            self.records(),
            found.first
        );
        for (number, hash) in (found.first..).zip(&found.hashes) {
            match self.after(number) {
                None if number > self.records() => self.hashes.push(*hash),
                None => {}
                Some(known) if known == hash => {}
                Some(_) => bail!("after {number} records the log has become another one"),
            }
        }
        Ok(())
    }

    /// Whether what was found is a part of it, to its last record.
    pub fn holds(&self, found: &Found) -> bool {
        (found.first..).zip(&found.hashes).all(|(number, hash)| self.after(number) == Some(hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(first: u64, hashes: &[u8]) -> Found {
        let hashes = hashes.iter().map(|byte| Hash([*byte; 32])).collect();
        Found { first, hashes, durable: 0 }
    }

    #[test]
    fn a_history_grows_and_does_not_change() {
        let mut history = History::new(&Found::nothing());
        history.add(&found(0, &[0, 1, 2])).unwrap();
        history.add(&found(2, &[2, 3, 4])).unwrap();
        assert_eq!(history.records(), 4);
        assert!(history.holds(&found(1, &[1, 2, 3])));
        assert!(!history.holds(&found(1, &[1, 2, 4])));
        assert!(!history.holds(&found(4, &[4, 5])));
        let error = history.add(&found(3, &[3, 5])).unwrap_err().to_string();
        assert!(error.contains("after 4 records"), "{error}");
        assert!(history.add(&found(7, &[7])).is_err());
        let mut late = History::new(&found(5, &[5, 6]));
        late.add(&found(5, &[5, 6, 7])).unwrap();
        assert!(late.holds(&found(6, &[6, 7])) && !late.holds(&found(4, &[4, 5])));
        assert_eq!(late.records(), 7);
    }
}
