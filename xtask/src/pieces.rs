//! Blocks by what they hold, and whether they do.

use std::fs::File;

use anyhow::{Result, bail};
use protocols::pattern;

use crate::disks::read_at;

const CHUNK: u64 = 1 << 20;

/// Blocks that hold the same kind of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The first, from the beginning of the disk or partition.
    pub lba: u64,
    /// How many.
    pub blocks: u64,
    /// What they hold.
    pub data: Data,
}

/// What blocks hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// The pattern of this seed.
    Pattern(u64),
    /// Zeros.
    Zero,
    /// Whatever it is.
    Anything,
}

/// `blocks` blocks from `lba` on with the pattern of `seed`.
pub const fn pattern(lba: u64, blocks: u64, seed: u64) -> Piece {
    Piece { lba, blocks, data: Data::Pattern(seed) }
}

/// Checks the area of `length` bytes from `start` on: each piece, and zeros around them.
pub fn check(file: &mut File, start: u64, length: u64, block: u32, pieces: &[Piece]) -> Result<()> {
    let block = u64::from(block);
    for chunk in (0..length).step_by(CHUNK as usize) {
        let end = (chunk + CHUNK).min(length);
        let actual = read_at(file, start + chunk, end - chunk)?;
        let mut expected = vec![0; actual.len()];
        for piece in pieces {
            let from = (piece.lba * block).max(chunk);
            let to = ((piece.lba + piece.blocks) * block).min(end);
            if from >= to {
                continue;
            }
            let range = (from - chunk) as usize..(to - chunk) as usize;
            match piece.data {
                Data::Pattern(seed) => pattern::fill(seed, from, &mut expected[range]),
                Data::Zero => expected[range].fill(0),
                Data::Anything => expected[range.clone()].copy_from_slice(&actual[range]),
            }
        }
        if let Some(at) = actual.iter().zip(&expected).position(|(is, should)| is != should) {
            let place = chunk + at as u64;
            let lba = place / block;
            let whole = (lba * block - chunk) as usize..((lba + 1) * block - chunk) as usize;
            let is = if actual[whole].iter().all(|byte| *byte == 0) { "zeros" } else { "else" };
            let holder = |piece: &&Piece| (piece.lba..piece.lba + piece.blocks).contains(&lba);
            let should = match pieces.iter().rev().find(holder).map(|piece| piece.data) {
                Some(Data::Pattern(seed)) => format!("should hold the pattern of seed {seed}"),
                Some(_) => "should be erased".to_owned(),
                None => "should not have been written to".to_owned(),
            };
            bail!("block {lba} {should}, but holds {is} (byte {place})");
        }
    }
    Ok(())
}
