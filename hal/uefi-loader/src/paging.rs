//! The page tables the kernel is entered with: 4 levels, built in a pool of pages by index
//! arithmetic alone, so that a test on the host can walk them.
//!
//! `map` picks the largest page that fits. Mapping over something already mapped replaces it, and
//! breaks up a larger page where it must: that is how the framebuffer gets its own caching inside
//! the direct map. Bits and layout: Intel SDM vol. 3A, section 5.5 (4-level paging).

use crate::PAGE;
use crate::memory_map::{Kind, Region};
use crate::{HHDM, elf::Kernel};
use thiserror_no_std::Error;

/// One page table.
pub type Table = [u64; 512];

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
/// In a level-2 or level-3 entry: a page rather than a table.
const LARGE: u64 = 1 << 7;
const PAT_SMALL: u64 = 1 << 7;
const PAT_LARGE: u64 = 1 << 12;
const WRITE_THROUGH: u64 = 1 << 3;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const GIB: u64 = 1 << 30;

/// PAT contents the protocol prescribes: WB, WT, UC-, UC, WP, WC, and two that are unspecified.
pub const PAT: u64 = 0x0000_0105_0007_0406;

/// How a range is mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Kernel segment, read-only.
    ReadOnly,
    /// Kernel segment, writable, not executable.
    ReadWrite,
    /// Kernel segment, executable, not writable.
    Execute,
    /// Direct map: everything allowed, as the protocol says.
    Direct,
    /// Direct map of the framebuffer: everything allowed, write-combining (PAT entry 5).
    Framebuffer,
}

impl Access {
    /// Entry bits of a 4 KiB page.
    fn bits(self, features: Features) -> u64 {
        let no_execute = if features.no_execute { NO_EXECUTE } else { 0 };
        match self {
            Self::ReadOnly => PRESENT | no_execute,
            Self::ReadWrite => PRESENT | WRITABLE | no_execute,
            Self::Execute => PRESENT,
            Self::Direct => PRESENT | WRITABLE,
            Self::Framebuffer if features.pat => PRESENT | WRITABLE | PAT_SMALL | WRITE_THROUGH,
            Self::Framebuffer => PRESENT | WRITABLE,
        }
    }
}

/// What the processor can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features {
    /// No-execute bit in page tables.
    pub no_execute: bool,
    /// 1 GiB pages.
    pub gib_pages: bool,
    /// Page attribute table.
    pub pat: bool,
}

/// Why page tables could not be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PagingError {
    /// The pool has no table left: try a larger one.
    #[error("the pool of page tables is used up")]
    PoolExhausted,
    /// Physical memory beyond what 4-level paging can map directly.
    #[error("physical memory at {0:#x} is beyond the reach of 4-level paging")]
    OutOfReach(u64),
    /// The range is not made of whole pages, or wraps.
    #[error("{0:#x} is not a range of whole pages")]
    NotPages(u64),
}

/// A set of page tables being built. The first page of the pool is the root.
#[derive(Debug)]
pub struct Tables<'a> {
    pool: &'a mut [Table],
    physical: u64,
    used: usize,
    features: Features,
}

impl<'a> Tables<'a> {
    /// Begins with an empty root in `pool`, which lies at the page-aligned address `physical`.
    pub fn new(
        pool: &'a mut [Table],
        physical: u64,
        features: Features,
    ) -> Result<Self, PagingError> {
        let mut tables = Self { pool, physical, used: 0, features };
        tables.allocate()?;
        Ok(tables)
    }

    /// Tables used so far, the root included.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Maps `len` bytes at `virt` to `physical`; all three are multiples of 4 KiB.
    pub fn map(
        &mut self,
        virt: u64,
        physical: u64,
        len: u64,
        access: Access,
    ) -> Result<(), PagingError> {
        let whole = (virt | physical | len).is_multiple_of(PAGE);
        if !whole || virt.checked_add(len).is_none() || physical.checked_add(len).is_none() {
            return Err(PagingError::NotPages(virt));
        }
        let mut done = 0;
        while done < len {
            let (at, to, left) = (virt + done, physical + done, len - done);
            let fits = |size: u64| (at | to).is_multiple_of(size) && left >= size;
            let level = match () {
                () if self.features.gib_pages && fits(GIB) => 3,
                () if fits(0x20_0000) => 2,
                () => 1,
            };
            self.place(at, to, level, access)?;
            done += size_of_page(level);
        }
        Ok(())
    }

    /// Writes one entry at `level` (1 = 4 KiB, 2 = 2 MiB, 3 = 1 GiB).
    fn place(
        &mut self,
        virt: u64,
        physical: u64,
        level: u32,
        access: Access,
    ) -> Result<(), PagingError> {
        let mut table = 0;
        for depth in ((level + 1)..=4).rev() {
            table = self.descend(table, index(virt, depth), depth)?;
        }
        let small = access.bits(self.features);
        let bits = if level == 1 { small } else { enlarge(small) };
        self.set(table, index(virt, level), physical | bits)
    }

    /// The table below an entry at `depth`, made if there is none; a large page is broken up.
    fn descend(&mut self, table: usize, slot: usize, depth: u32) -> Result<usize, PagingError> {
        let entry = self.get(table, slot)?;
        if entry & PRESENT != 0 && (depth == 4 || entry & LARGE == 0) {
            let below = (entry & ADDRESS).wrapping_sub(self.physical) / PAGE;
            return usize::try_from(below).map_err(|_| PagingError::PoolExhausted);
        }
        let below = self.allocate()?;
        if entry & PRESENT != 0 {
            // Smaller pages with the same attributes, covering the same memory.
            let step = size_of_page(depth - 1);
            let base = entry & ADDRESS & !PAT_LARGE;
            let small = shrink(entry & !(ADDRESS & !PAT_LARGE));
            let bits = if depth == 2 { small } else { enlarge(small) };
            for piece in 0..512 {
                self.set(below, piece, (base + piece as u64 * step) | bits)?;
            }
        }
        let link = self.address_of(below) | PRESENT | WRITABLE;
        self.set(table, slot, link)?;
        Ok(below)
    }

    fn address_of(&self, table: usize) -> u64 {
        self.physical + table as u64 * PAGE
    }

    fn allocate(&mut self) -> Result<usize, PagingError> {
        let table = self.pool.get_mut(self.used).ok_or(PagingError::PoolExhausted)?;
        table.fill(0);
        self.used += 1;
        Ok(self.used - 1)
    }

    fn get(&self, table: usize, slot: usize) -> Result<u64, PagingError> {
        let entry = self.pool.get(table).and_then(|table| table.get(slot));
        entry.copied().ok_or(PagingError::PoolExhausted)
    }

    fn set(&mut self, table: usize, slot: usize, value: u64) -> Result<(), PagingError> {
        let entry = self.pool.get_mut(table).and_then(|table| table.get_mut(slot));
        *entry.ok_or(PagingError::PoolExhausted)? = value;
        Ok(())
    }
}

fn index(virt: u64, level: u32) -> usize {
    ((virt >> (12 + 9 * (level - 1))) & 511) as usize
}

fn size_of_page(level: u32) -> u64 {
    PAGE << (9 * (level - 1))
}

/// Bits of a 4 KiB page as those of a larger one: the PAT bit moves to make room for `LARGE`.
fn enlarge(bits: u64) -> u64 {
    let pat = if bits & PAT_SMALL != 0 { PAT_LARGE } else { 0 };
    (bits & !PAT_SMALL) | LARGE | pat
}

fn shrink(bits: u64) -> u64 {
    let pat = if bits & PAT_LARGE != 0 { PAT_SMALL } else { 0 };
    (bits & !(PAT_LARGE | LARGE)) | pat
}

/// Maps the kernel's segments by their flags, and the direct map as the granted base revision has
/// it (protocol, "Memory Layout at Entry"): revision 3 maps usable memory, what the loader leaves,
/// kernel and modules, framebuffer; revision 2 the first 4 GiB and all that is not reserved or bad.
pub fn lay_out(
    tables: &mut Tables<'_>,
    revision: u64,
    map: &[Region],
    kernel: &Kernel,
    kernel_physical: u64,
) -> Result<(), PagingError> {
    if revision < 3 {
        tables.map(HHDM, 0, 4 * GIB, Access::Direct)?;
    }
    let framebuffers_last = [false, true];
    for framebuffers in framebuffers_last {
        for region in map {
            if framebuffers != (region.kind == Kind::Framebuffer) {
                continue;
            }
            let (access, wanted) = match region.kind {
                Kind::Framebuffer => (Access::Framebuffer, true),
                Kind::Usable | Kind::BootloaderReclaimable | Kind::ExecutableAndModules => {
                    (Access::Direct, true)
                }
                Kind::AcpiReclaimable | Kind::AcpiNvs => (Access::Direct, revision < 3),
                Kind::Reserved | Kind::Bad => (Access::Direct, false),
            };
            if !wanted {
                continue;
            }
            let start = region.base & !(PAGE - 1);
            let end = crate::page_up(region.end).ok_or(PagingError::OutOfReach(start))?;
            // Half of the direct map's half: a guard against nonsense, far above real machines.
            if end > 1 << 46 {
                return Err(PagingError::OutOfReach(start));
            }
            let start = if revision < 3 && !framebuffers { start.max(4 * GIB) } else { start };
            if start < end {
                tables.map(HHDM + start, start, end - start, access)?;
            }
        }
    }
    for segment in kernel.segments() {
        let access = match (segment.writable, segment.executable) {
            (true, _) => Access::ReadWrite,
            (false, true) => Access::Execute,
            (false, false) => Access::ReadOnly,
        };
        let start = segment.first_page();
        let physical = kernel_physical + (start - kernel.base);
        tables.map(start, physical, segment.end_page() - start, access)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POOL: u64 = 0x10_0000;
    const ALL: Features = Features { no_execute: true, gib_pages: true, pat: true };

    /// What the hardware would do: physical address, writable, executable, PAT index.
    fn walk(pool: &[Table], virt: u64) -> Option<(u64, bool, bool, u64)> {
        let mut table = 0;
        for level in (1..=4).rev() {
            let entry = pool[table][index(virt, level)];
            if entry & PRESENT == 0 {
                return None;
            }
            if level == 1 || (level < 4 && entry & LARGE != 0) {
                let bits = if level == 1 { entry } else { shrink(entry) };
                let size = size_of_page(level);
                let page = entry & ADDRESS & !(size - 1) & !if level > 1 { PAT_LARGE } else { 0 };
                let pat = (bits >> 7 & 1) << 2 | (bits >> 4 & 1) << 1 | bits >> 3 & 1;
                return Some((page + virt % size, bits & 2 != 0, bits & NO_EXECUTE == 0, pat));
            }
            table = usize::try_from(((entry & ADDRESS) - POOL) / PAGE).unwrap();
        }
        None
    }

    #[test]
    fn a_framebuffer_inside_the_direct_map_is_write_combining() {
        for gib_pages in [true, false] {
            let mut pool = vec![[0; 512]; 16];
            let mut tables = Tables::new(&mut pool, POOL, Features { gib_pages, ..ALL }).unwrap();
            tables.map(HHDM, 0, 4 * GIB, Access::Direct).unwrap();
            tables.map(HHDM + 0x8000_1000, 0x8000_1000, 0x40_0000, Access::Framebuffer).unwrap();
            assert_eq!(walk(&pool, HHDM + 0x8000_0fff), Some((0x8000_0fff, true, true, 0)));
            assert_eq!(walk(&pool, HHDM + 0x8000_1000), Some((0x8000_1000, true, true, 5)));
            assert_eq!(walk(&pool, HHDM + 0x8030_0000), Some((0x8030_0000, true, true, 5)));
            assert_eq!(walk(&pool, HHDM + 0x8040_1000), Some((0x8040_1000, true, true, 0)));
            assert_eq!(walk(&pool, HHDM + 0xffff_f000), Some((0xffff_f000, true, true, 0)));
            assert_eq!(walk(&pool, HHDM + 0x1_0000_0000), None);
        }
    }

    #[test]
    fn a_broken_up_page_keeps_its_attributes() {
        let mut pool = vec![[0; 512]; 16];
        let mut tables = Tables::new(&mut pool, POOL, ALL).unwrap();
        tables.map(HHDM, GIB, GIB, Access::Framebuffer).unwrap();
        tables.map(HHDM + 0x1000, 0x5000, PAGE, Access::ReadOnly).unwrap();
        assert_eq!(walk(&pool, HHDM), Some((GIB, true, true, 5)));
        assert_eq!(walk(&pool, HHDM + 0x1234), Some((0x5234, false, false, 0)));
        assert_eq!(walk(&pool, HHDM + 0x3fff_ffff), Some((GIB + 0x3fff_ffff, true, true, 5)));
    }

    #[test]
    fn refuses_what_it_cannot_do() {
        let mut pool = vec![[0; 512]; 2];
        let mut tables = Tables::new(&mut pool, POOL, ALL).unwrap();
        assert_eq!(tables.map(1, 0, PAGE, Access::Direct), Err(PagingError::NotPages(1)));
        assert_eq!(tables.map(HHDM, 0, PAGE, Access::Direct), Err(PagingError::PoolExhausted));
        assert!(Tables::new(&mut [], POOL, ALL).is_err());
    }

    proptest! {
        #[test]
        fn later_mappings_win(
            maps in proptest::collection::vec(
                (0_u64..0x600, 0_u64..0x1000, 1_u64..0x800, 0_usize..5), 1..6),
            gib_pages in any::<bool>(),
        ) {
            const KINDS: [Access; 5] = [Access::ReadOnly, Access::ReadWrite, Access::Execute,
                Access::Direct, Access::Framebuffer];
            let mut pool = vec![[0; 512]; 64];
            let mut tables = Tables::new(&mut pool, POOL, Features { gib_pages, ..ALL }).unwrap();
            for &(virt, physical, pages, kind) in &maps {
                tables.map(HHDM + virt * PAGE, physical * PAGE, pages * PAGE, KINDS[kind]).unwrap();
            }
            for page in (0_u64..0xe00).step_by(7) {
                let last = maps.iter().rev().find(|map| map.0 <= page && page < map.0 + map.2);
                let expected = last.map(|&(virt, physical, _, kind)| {
                    let access = KINDS[kind];
                    ((physical + page - virt) * PAGE,
                     matches!(access, Access::ReadWrite | Access::Direct | Access::Framebuffer),
                     !matches!(access, Access::ReadOnly | Access::ReadWrite),
                     if access == Access::Framebuffer { 5 } else { 0 })
                });
                prop_assert_eq!(walk(&pool, HHDM + page * PAGE), expected);
            }
        }
    }
}
