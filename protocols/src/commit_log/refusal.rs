//! Why a log is not used.

use super::TooSmall;
use super::header::HeaderFlaw;
use crate::axiom::replay::Divergence;
use crate::gpt::Guid;

/// A log that is not to be gone on with. It is to be left as it is: what it is, a person decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum Refusal {
    /// No log fits there.
    #[error("{0}")]
    TooSmall(#[from] TooSmall),
    /// Neither header can be used, and the partition isn't empty.
    #[error("no sound header: block 0 {}, block {block} {}", .flaws[0], .flaws[1])]
    Headers {
        /// What is wrong with each.
        flaws: [HeaderFlaw; 2],
        /// Where the second one is.
        block: u64,
    },
    /// Both headers are blank, but there are records.
    #[error("both headers were erased, but block {block} (segment 0) holds records: tampered with")]
    Erased {
        /// Where.
        block: u64,
    },
    /// A header of another format's version.
    #[error("its format has version {0}, this kernel knows {known}", known = super::header::VERSION)]
    Version(u32),
    /// It was made on another partition.
    #[error("a foreign log: it was made on partition {0}")]
    Foreign(Guid),
    /// It was made for another size of block.
    #[error("a foreign log: it was made for blocks of {0} bytes")]
    BlockSize(u32),
    /// The partition is smaller than the log.
    #[error("the log is cut short: its header says {needed} blocks, the partition has {there}")]
    Shorter {
        /// What the header says.
        needed: u64,
        /// What there is.
        there: u64,
    },
    /// Records that the header calls durable are not there.
    #[error("the log is shorter than its header says: {0}")]
    Missing(Damage),
    /// What was durable was changed.
    #[error("tampered with or damaged: {0}")]
    Tampered(Damage),
}

impl Refusal {
    /// Where, if at one place.
    pub const fn damage(&self) -> Option<Damage> {
        match self {
            Self::Missing(damage) | Self::Tampered(damage) => Some(*damage),
            _ => None,
        }
    }
}

/// Where a log is damaged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
#[error("block {block} (segment {segment}), record {sequence}: {why}")]
pub struct Damage {
    /// The first block of the group, from the partition's beginning.
    pub block: u64,
    /// The segment it is in, from the ring's beginning.
    pub segment: u32,
    /// The first record that is not as it was.
    pub sequence: u64,
    /// How.
    pub why: Flaw,
}

/// What is wrong with a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum Flaw {
    /// Nothing was ever written there.
    #[error("nothing is there")]
    Blank,
    /// What is there was written earlier.
    #[error("what is there is older")]
    Stale,
    /// It is no group.
    #[error("no group of records begins there")]
    NoGroup,
    /// Its head's numbers cannot be.
    #[error("the group's head makes no sense")]
    Head,
    /// Its sum is wrong.
    #[error("wrong checksum")]
    Checksum,
    /// It is of another log.
    #[error("it belongs to another log")]
    OtherLog,
    /// It belongs elsewhere in the log.
    #[error("it belongs to another place in the log")]
    Misplaced,
    /// Its records do not follow those before it.
    #[error("the chain is broken")]
    Chain,
    /// Its records are not what its head says.
    #[error("its records are not divided as its head says")]
    Division,
    /// A record cannot follow.
    #[error("the record cannot follow: {0}")]
    Record(#[from] Divergence),
    /// A piece of a state is missing, or one too many.
    #[error("the checkpoint's state is not whole")]
    Pieces,
    /// The state is not the one of the checkpoint's record.
    #[error("the checkpoint's state is not what its record says")]
    State,
    /// The chain ends otherwise than the header says.
    #[error("the chain does not end as the header says")]
    End,
}
