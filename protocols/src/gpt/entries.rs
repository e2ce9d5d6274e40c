//! The entries of a table: one for each partition.

use super::Guid;
use crate::fields::{array_at, u16_at, u64_at};

/// A partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is for.
    pub kind: Guid,
    /// Itself.
    pub id: Guid,
    /// Its first block.
    pub first: u64,
    /// Its last block; never before the first.
    pub last: u64,
    name: [u16; 36],
}

impl Entry {
    /// How many blocks it has.
    pub const fn blocks(&self) -> u64 {
        self.last - self.first + 1
    }

    /// Its name; what is no character becomes U+FFFD.
    pub fn name(&self) -> impl Iterator<Item = char> {
        let units = self.name.into_iter().take_while(|unit| *unit != 0);
        char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
    }
}

/// The partitions of a table. Those that reach outside of the usable blocks are left out.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    bytes: &'a [u8],
    entry_bytes: usize,
    first_usable: u64,
    last_usable: u64,
}

impl<'a> Entries<'a> {
    pub(super) fn new(bytes: &'a [u8], entry_bytes: usize, first: u64, last: u64) -> Self {
        Self { bytes, entry_bytes, first_usable: first, last_usable: last }
    }
}

impl Iterator for Entries<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        while let Some((bytes, rest)) = self.bytes.split_at_checked(self.entry_bytes) {
            self.bytes = rest;
            let entry = read(bytes)?;
            let is_sound = self.first_usable <= entry.first
                && entry.first <= entry.last
                && entry.last <= self.last_usable;
            if entry.kind != Guid::ZERO && is_sound {
                return Some(entry);
            }
        }
        None
    }
}

fn read(bytes: &[u8]) -> Option<Entry> {
    let mut name = [0; 36];
    for (index, unit) in name.iter_mut().enumerate() {
        *unit = u16_at(bytes, 56 + 2 * index)?;
    }
    Some(Entry {
        kind: Guid(array_at(bytes, 0)?),
        id: Guid(array_at(bytes, 16)?),
        first: u64_at(bytes, 32)?,
        last: u64_at(bytes, 40)?,
        name,
    })
}
