//! A log, verified commit by commit from its beginning or from a checkpoint.
//!
//! ```text
//!   beginning, or state and hash of a checkpoint ──> Replay ──record──> Replay ──record──> …
//!                                                      └── Divergence: where, and what is wrong
//! ```

use super::chain::{Hash, Record, extend};
use super::commit::Commit;
use super::encoding::Malformed;
use super::state::{Broken, Effect, Refusal, State};

/// Where a log stopped being one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum Divergence {
    /// The bytes are no record.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// A record is missing, or one too many.
    #[error("it says that it is number {0}")]
    Sequence(u64),
    /// Its commit cannot follow.
    #[error("its commit cannot be: {0}")]
    Refused(#[from] Refusal),
    /// A checkpoint of another state.
    #[error("the checkpoint is of another state")]
    State,
    /// A log that begins with a state begins with the checkpoint that names it: nothing else says
    /// that it was this one.
    #[error("the state it begins with is not named by a checkpoint")]
    Unnamed,
    /// The state that the log begins with cannot be.
    #[error("the state it begins with cannot be: {0}")]
    Broken(#[from] Broken),
}

/// The state after some records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    state: State,
    next: u64,
    hash: Hash,
    /// The state is what records made, or what one said.
    is_named: bool,
}

impl Default for Replay {
    fn default() -> Self {
        Self::new()
    }
}

impl Replay {
    /// Before the first record.
    pub const fn new() -> Self {
        Self { state: State::new(), next: 0, hash: Hash([0; 32]), is_named: true }
    }

    /// From a state as [`State::encode`]d, before record `next`, where the chain's hash was `hash`.
    /// That record has to be its checkpoint.
    pub fn from_checkpoint(state: &[u8], next: u64, hash: Hash) -> Result<Self, Divergence> {
        let state = State::decode(state)?;
        state.verify()?;
        Ok(Self { state, next, hash, is_named: false })
    }

    /// Goes on by one record, given as its encoding.
    pub fn push(
        &mut self,
        bytes: &[u8],
        effects: &mut dyn FnMut(Effect),
    ) -> Result<Record, Divergence> {
        let record = Record::decode(bytes)?;
        if record.sequence != self.next {
            return Err(Divergence::Sequence(record.sequence));
        }
        let next = self.next.checked_add(1).ok_or(Divergence::Sequence(record.sequence))?;
        if let Commit::Checkpoint { state } = record.commit {
            if self.state.hash() != state {
                return Err(Divergence::State);
            }
        } else if !self.is_named {
            return Err(Divergence::Unnamed);
        }
        self.state.apply(&record.commit, effects)?;
        self.hash = extend(self.hash, bytes);
        self.next = next;
        self.is_named = true;
        Ok(record)
    }

    /// The state.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The number of the next record.
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// The chain's hash after the last record.
    pub const fn hash(&self) -> Hash {
        self.hash
    }
}
