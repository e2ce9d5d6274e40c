//! The entries of a table: one for each partition.

use super::{GptError, Guid};
use crate::fields::{array_at, u16_at, u64_at};

bitflags::bitflags! {
    /// What is to be minded about a partition. The upper 16 bits belong to whoever defined its
    /// kind.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Attributes: u64 {
        /// The machine needs it: leave it alone.
        const REQUIRED = 1 << 0;
        /// Firmware is to ignore it.
        const NO_BLOCK_IO = 1 << 1;
        /// A BIOS may boot from it.
        const LEGACY_BOOTABLE = 1 << 2;
    }
}

/// A partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the table, from 1 on: what systems number partitions by.
    pub number: u32,
    /// What it is for.
    pub kind: Guid,
    /// Itself.
    pub id: Guid,
    /// Its first block.
    pub first: u64,
    /// Its last block; never before the first.
    pub last: u64,
    /// What is to be minded about it.
    pub attributes: Attributes,
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

/// The partitions of a table. They are on the disk and do not overlap.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    bytes: &'a [u8],
    entry_bytes: usize,
    number: u32,
}

impl<'a> Entries<'a> {
    /// The entries in `bytes`; partitions may have the blocks from `first` to `last`.
    pub(super) fn new_checked(
        bytes: &'a [u8],
        entry_bytes: usize,
        first: u64,
        last: u64,
    ) -> Result<Self, GptError> {
        let entries = Self { bytes, entry_bytes, number: 0 };
        let mut others = entries.clone();
        while let Some((start, end)) = others.next_span() {
            if start > end {
                return Err(GptError::Nonsense("a partition ends before it begins"));
            }
            if start < first || end > last {
                return Err(GptError::Nonsense("a partition reaches beyond the usable blocks"));
            }
            // Those that follow only: an overlap is seen from the first of the two.
            let mut later = others.clone();
            while let Some((other_start, other_end)) = later.next_span() {
                if start <= other_end && other_start <= end {
                    return Err(GptError::Nonsense("two partitions overlap"));
                }
            }
        }
        Ok(entries)
    }

    /// The next entry in use.
    fn next_bytes(&mut self) -> Option<&'a [u8]> {
        while let Some((bytes, rest)) = self.bytes.split_at_checked(self.entry_bytes) {
            self.bytes = rest;
            self.number += 1;
            if array_at(bytes, 0) != Some(Guid::ZERO.0) {
                return Some(bytes);
            }
        }
        None
    }

    /// Its first and last block.
    fn next_span(&mut self) -> Option<(u64, u64)> {
        let bytes = self.next_bytes()?;
        Some((u64_at(bytes, 32)?, u64_at(bytes, 40)?))
    }
}

impl Iterator for Entries<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        let bytes = self.next_bytes()?;
        read(bytes, self.number)
    }
}

fn read(bytes: &[u8], number: u32) -> Option<Entry> {
    let mut name = [0; 36];
    for (index, unit) in name.iter_mut().enumerate() {
        *unit = u16_at(bytes, 56 + 2 * index)?;
    }
    Some(Entry {
        number,
        kind: Guid(array_at(bytes, 0)?),
        id: Guid(array_at(bytes, 16)?),
        first: u64_at(bytes, 32)?,
        last: u64_at(bytes, 40)?,
        attributes: Attributes::from_bits_retain(u64_at(bytes, 48)?),
        name,
    })
}
