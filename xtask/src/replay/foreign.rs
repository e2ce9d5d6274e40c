//! What is said of a file that holds no log in any form: which forms there are, and what it is instead.

use std::fmt::Display;
use std::io::{Read, Seek};

use anyhow::Result;
use protocols::commit_log::{Header, HeaderFlaw, PARTITION_NAME};
use protocols::gpt::FirstBlock;

use super::source::SECOND_HEADER;
use crate::partitions;

/// Bytes that are shown of what is not known.
const SHOWN: usize = 8;

/// Why there is no log in `file`, whose partition table cannot be used: `table` says why.
pub fn told(file: &mut (impl Read + Seek), table: &impl Display) -> Result<String> {
    Ok(format!(
        "no CommitLog is there: it is neither a disk or image with a GUID partition table that has a \
         partition of type {PARTITION_NAME}, nor such a partition by itself, nor a file of records \
         (`--save`). Seen: {}; {table}",
        seen(file)?
    ))
}

/// What there is, by its length and how it begins.
fn seen(file: &mut (impl Read + Seek)) -> Result<String> {
    let length = partitions::length(file)?;
    if length == 0 {
        return Ok("no bytes".to_owned());
    }
    let first = partitions::read_at(file, 0, length.min(512))?;
    let is_zero = first.iter().all(|byte| *byte == 0);
    let what = match FirstBlock::of(&first) {
        FirstBlock::Protective => "a protective master boot record".to_owned(),
        FirstBlock::Mbr => "a master boot record with partitions of its own".to_owned(),
        FirstBlock::FatVolume => "a FAT volume".to_owned(),
        FirstBlock::Unknown if is_zero => "zeros".to_owned(),
        FirstBlock::Unknown => {
            let shown = &first[..first.len().min(SHOWN)];
            let hex: Vec<String> = shown.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{} (`{}`)", hex.join(" "), shown.escape_ascii())
        }
    };
    let mut said = format!("{length} bytes that begin with {what}");
    for slot in [0, 1] {
        let start = slot as u64 * SECOND_HEADER;
        let there = length.saturating_sub(start).min(SECOND_HEADER);
        let bytes = partitions::read_at(file, start, there)?;
        match Header::new_checked(&bytes, slot) {
            Ok(_) | Err(HeaderFlaw::Blank | HeaderFlaw::Magic) => {}
            Err(flaw) => said += &format!("; at byte {start} a log's header that {flaw}"),
        }
    }
    Ok(said)
}
