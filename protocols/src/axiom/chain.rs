//! Records and the chain of hashes over them.
//!
//! A record is a commit with its place, its time and its cause. The hash after record n is
//! `SHA-256(hash after record n-1 ‖ encoding of record n)`; before the first it is all zeros. The
//! first commit of a log carries random bytes, so no two logs have a hash in common.

use alloc::vec::Vec;
use core::fmt;

use sha2::{Digest, Sha256};

use super::commit::Commit;
use super::encoding::{Field, Malformed, Reader};

/// A SHA-256 hash.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The hash after a record with that encoding, where `previous` was the one before.
pub fn extend(previous: Hash, record: &[u8]) -> Hash {
    Hash(Sha256::new().chain_update(previous.0).chain_update(record).finalize().into())
}

/// What a commit came of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The kernel itself.
    Kernel,
    /// The system call that stands in SysLog there.
    Call {
        /// The core whose ring it is in.
        core: u16,
        /// Its place in that core's history.
        sequence: u64,
    },
}

/// A commit with its place in history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// How many commits came before it in this log.
    pub sequence: u64,
    /// Microseconds since that epoch's boot.
    pub time_us: u64,
    /// What it came of.
    pub cause: Cause,
    /// What changed.
    pub commit: Commit,
}

impl Record {
    /// Appends its encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.sequence.put(out);
        self.time_us.put(out);
        match self.cause {
            Cause::Kernel => 0u8.put(out),
            Cause::Call { core, sequence } => {
                (u32::from(core) + 1).put(out);
                sequence.put(out);
            }
        }
        self.commit.put(out);
    }

    /// The record these bytes encode, all of them.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut from = Reader::new(bytes);
        let (sequence, time_us) = (from.take()?, from.take()?);
        let begun = from.malformed();
        let cause = match from.take::<u32>()? {
            0 => Cause::Kernel,
            core => Cause::Call {
                core: u16::try_from(core - 1).map_err(|_| begun)?,
                sequence: from.take()?,
            },
        };
        let commit = from.take()?;
        from.finish()?;
        Ok(Self { sequence, time_us, cause, commit })
    }
}
