//! The firmware's memory map, turned into the protocol's: sorted, without overlaps, neighbours of
//! one kind joined, usable memory in whole pages.
//!
//! Regions may be added in any order and may overlap (some firmware's do): where they do, the kind
//! with the higher rank wins, and rank follows caution: what must not be touched beats what may be.
//! All storage is allocated beforehand: after boot services have ended, nothing can be.

use crate::{PAGE, page_up};
use alloc::vec::Vec;
use thiserror_no_std::Error;

/// What a region is, with the protocol's numbers (`LIMINE_MEMMAP_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Kind {
    /// Free memory.
    Usable = 0,
    /// Not memory, or the firmware's for ever.
    Reserved = 1,
    /// ACPI tables; free once they have been read.
    AcpiReclaimable = 2,
    /// The firmware's, to be kept across sleep.
    AcpiNvs = 3,
    /// Broken memory.
    Bad = 4,
    /// What the loader leaves behind: free once the kernel no longer needs it.
    BootloaderReclaimable = 5,
    /// Kernel image, kernel file, modules.
    ExecutableAndModules = 6,
    /// The screen.
    Framebuffer = 7,
}

impl Kind {
    /// The kind of an EFI memory type (UEFI 2.10, table 7.6). Types nobody knows are reserved.
    pub fn from_efi(memory_type: u32) -> Self {
        match memory_type {
            1 | 2 => Self::BootloaderReclaimable,
            3 | 4 | 7 => Self::Usable,
            8 => Self::Bad,
            9 => Self::AcpiReclaimable,
            10 => Self::AcpiNvs,
            _ => Self::Reserved,
        }
    }

    fn rank(self) -> u8 {
        match self {
            Self::Usable => 0,
            Self::BootloaderReclaimable => 1,
            Self::AcpiReclaimable => 2,
            Self::AcpiNvs => 3,
            Self::Reserved => 4,
            Self::Bad => 5,
            Self::Framebuffer => 6,
            Self::ExecutableAndModules => 7,
        }
    }

    /// Whether the protocol wants such regions in whole pages, overlapping nothing.
    fn is_memory(self) -> bool {
        matches!(self, Self::Usable | Self::BootloaderReclaimable)
    }
}

/// One region of physical memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Physical address of the first byte.
    pub base: u64,
    /// Physical address after the last byte.
    pub end: u64,
    /// What it is.
    pub kind: Kind,
}

/// The map has more regions than was provided for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the firmware's memory map has too many entries")]
pub struct MapFull;

/// Regions as they are reported, and the map made of them.
#[derive(Debug)]
pub struct MemoryMap {
    limit: usize,
    raw: Vec<Region>,
    edges: Vec<u64>,
    merged: Vec<Region>,
}

impl MemoryMap {
    /// A map with room for `regions` reported regions; none of the methods allocates.
    pub fn with_capacity(regions: usize) -> Self {
        Self {
            limit: regions,
            raw: Vec::with_capacity(regions),
            edges: Vec::with_capacity(regions * 2),
            merged: Vec::with_capacity(regions * 2),
        }
    }

    /// Most entries that `finish` can leave in the map.
    pub fn most_entries(&self) -> usize {
        self.limit * 2
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.raw.clear();
        self.merged.clear();
    }

    /// Reports `len` bytes at `base`. What reaches past the end of the address space is cut off;
    /// memory (usable, reclaimable) is trimmed to whole pages.
    pub fn add(&mut self, base: u64, len: u64, kind: Kind) -> Result<(), MapFull> {
        let (mut start, mut end) = (base, base.saturating_add(len));
        if kind.is_memory() {
            start = page_up(start).unwrap_or(u64::MAX);
            end &= !(PAGE - 1);
        }
        if start >= end {
            return Ok(());
        }
        if self.raw.len() >= self.limit {
            return Err(MapFull);
        }
        self.raw.push(Region { base: start, end, kind });
        Ok(())
    }

    /// Makes the map of what was reported.
    pub fn finish(&mut self) -> &[Region] {
        self.edges.clear();
        self.merged.clear();
        for region in &self.raw {
            self.edges.push(region.base);
            self.edges.push(region.end);
        }
        self.edges.sort_unstable();
        self.edges.dedup();
        for pair in self.edges.windows(2) {
            let &[base, end] = pair else { continue };
            let covering =
                self.raw.iter().filter(|region| region.base <= base && end <= region.end);
            let Some(top) = covering.max_by_key(|region| region.kind.rank()) else { continue };
            match self.merged.last_mut() {
                Some(last) if last.end == base && last.kind == top.kind => last.end = end,
                _ => self.merged.push(Region { base, end, kind: top.kind }),
            }
        }
        self.trim();
        &self.merged
    }

    /// The finished map.
    pub fn entries(&self) -> &[Region] {
        &self.merged
    }

    /// Trims to whole pages the memory that an unaligned neighbour has cut into.
    fn trim(&mut self) {
        self.merged.retain_mut(|region| {
            if region.kind.is_memory() {
                region.base = page_up(region.base).unwrap_or(u64::MAX);
                region.end &= !(PAGE - 1);
            }
            region.base < region.end
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Kind; 8] = [
        Kind::Usable,
        Kind::Reserved,
        Kind::AcpiReclaimable,
        Kind::AcpiNvs,
        Kind::Bad,
        Kind::BootloaderReclaimable,
        Kind::ExecutableAndModules,
        Kind::Framebuffer,
    ];

    #[test]
    fn carves_and_joins() {
        let mut map = MemoryMap::with_capacity(8);
        map.add(0x5000, 0x3000, Kind::Usable).unwrap();
        map.add(0x1000, 0x4000, Kind::Usable).unwrap();
        map.add(0x3000, 0x1800, Kind::ExecutableAndModules).unwrap();
        map.add(0x9000, 0x10, Kind::Usable).unwrap();
        let region = |base, end, kind| Region { base, end, kind };
        assert_eq!(
            map.finish(),
            [
                region(0x1000, 0x3000, Kind::Usable),
                region(0x3000, 0x4800, Kind::ExecutableAndModules),
                region(0x5000, 0x8000, Kind::Usable),
            ]
        );
    }

    #[test]
    fn refuses_more_than_it_has_room_for() {
        let mut map = MemoryMap::with_capacity(1);
        assert_eq!(map.add(0, 0xfff, Kind::Usable), Ok(()), "no whole page, no region");
        map.add(0x3000, 0x1000, Kind::Usable).unwrap();
        assert_eq!(map.add(0, 0x1000, Kind::Usable), Err(MapFull));
    }

    proptest! {
        #[test]
        fn is_sorted_whole_and_cautious(
            regions in proptest::collection::vec((0_u64..0x4_0000, 0_u64..0x8000, 0_usize..8), 0..24),
        ) {
            let mut map = MemoryMap::with_capacity(32);
            for &(base, len, kind) in &regions {
                map.add(base, len, ALL[kind]).unwrap();
            }
            let entries = map.finish().to_vec();
            for pair in entries.windows(2) {
                prop_assert!(pair[0].end <= pair[1].base);
                prop_assert!(pair[0].end < pair[1].base || pair[0].kind != pair[1].kind);
            }
            for entry in &entries {
                prop_assert!(entry.base < entry.end);
                if entry.kind.is_memory() {
                    prop_assert_eq!((entry.base | entry.end) % PAGE, 0);
                }
                // Nothing is reported as less cautious than any report that touches it.
                for &(base, len, kind) in &regions {
                    let touches = base < entry.end && entry.base < base + len;
                    if touches && !ALL[kind].is_memory() {
                        prop_assert!(ALL[kind].rank() <= entry.kind.rank());
                    }
                }
            }
            // Every byte of a region that is not memory is in the map.
            for &(base, len, kind) in &regions {
                if !ALL[kind].is_memory() && len > 0 {
                    let mut at = base;
                    for entry in &entries {
                        if entry.base <= at && at < entry.end {
                            at = entry.end;
                        }
                    }
                    prop_assert!(at >= base + len);
                }
            }
        }
    }

    #[test]
    fn ends_of_the_address_space() {
        let mut map = MemoryMap::with_capacity(4);
        map.add(u64::MAX - 10, 100, Kind::Reserved).unwrap();
        map.add(u64::MAX - 10, 100, Kind::Usable).unwrap();
        assert_eq!(map.finish().len(), 1);
        assert_eq!(Kind::from_efi(99), Kind::Reserved);
    }
}
