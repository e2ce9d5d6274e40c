//! Records in a file of their own, without a disk around them: what `--save` makes, to keep or send a
//! log.
//!
//! ```text
//! offset 0   8 bytes   "PLXRECS1"
//!        8   8         sequence of the first record
//!       16  32         the chain's hash before it
//!       48   4         bytes of the state it begins with; 0: it begins with nothing
//!       52             the state, then records: each its length in 2 bytes, and its encoding
//! ```
//!
//! Numbers are little-endian.

use anyhow::{Context, Result, bail};
use protocols::axiom::Hash;
use protocols::axiom::replay::Replay;

use super::source::{Ending, Log};

/// What such a file begins with.
pub const MAGIC: &[u8; 8] = b"PLXRECS1";

/// Reads such a file.
pub fn read(bytes: &[u8]) -> Result<Log> {
    let short = "the file of records ends too soon";
    let mut rest = bytes.strip_prefix(MAGIC).context("no file of records")?;
    let mut next = |count| -> Result<&[u8]> {
        let (part, after) = rest.split_at_checked(count).context(short)?;
        rest = after;
        Ok(part)
    };
    let first = u64::from_le_bytes(next(8)?.try_into()?);
    let hash = Hash(next(32)?.try_into()?);
    let length = u32::from_le_bytes(next(4)?.try_into()?);
    let state = next(length as usize)?;
    let beginning = match length {
        0 if (first, hash) == (0, Hash::default()) => Replay::new(),
        0 => bail!("it begins with record {first}, but with no state before that"),
        _ => Replay::from_checkpoint(state, first, hash)
            .map_err(|error| anyhow::anyhow!("{error}"))?,
    };
    let mut records = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk().context(short)?;
        let (record, after) =
            after.split_at_checked(u16::from_le_bytes(*length).into()).context(short)?;
        records.push(record.to_vec());
        rest = after;
    }
    if records.is_empty() {
        bail!("the file of records holds none");
    }
    let durable = records.len();
    Ok(Log {
        what: "a file of records".to_owned(),
        beginning,
        records,
        durable,
        ending: Ending::Clean,
        flaws: Vec::new(),
    })
}

/// Makes such a file of the records that follow `beginning`. It cannot say that a log is damaged, nor
/// what of it was durable.
pub fn write(beginning: &Replay, records: &[Vec<u8>]) -> Result<Vec<u8>> {
    let mut state = Vec::new();
    if beginning.next() > 0 {
        beginning.state().encode(&mut state);
    }
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&beginning.next().to_le_bytes());
    bytes.extend_from_slice(&beginning.hash().0);
    let length = u32::try_from(state.len()).context("the state it begins with is too long")?;
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&state);
    for record in records {
        let length = u16::try_from(record.len()).context("a record is too long")?;
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(record);
    }
    Ok(bytes)
}
