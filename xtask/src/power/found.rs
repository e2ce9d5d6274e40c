//! What somebody who starts a machine finds of its CommitLog, and who looks for it.

use protocols::axiom::Hash;

/// A log as it was read, all of it verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// How many records came before the first that is there.
    pub first: u64,
    /// The chain's hash before the first record, then after each.
    pub hashes: Vec<Hash>,
    /// How many records the log itself says are durable.
    pub durable: u64,
}

impl Found {
    /// A log that has not begun.
    pub fn nothing() -> Self {
        Self { first: 0, hashes: vec![Hash::default()], durable: 0 }
    }

    /// The number of the next record: how many there have been.
    pub fn next(&self) -> u64 {
        self.first + self.hashes.len() as u64 - 1
    }
}

/// Reads a partition as the kernel does when it starts.
///
/// # Errors
/// What the kernel would refuse, with the place.
pub type Reader = dyn Fn(&[u8]) -> Result<Found, String> + Sync;
