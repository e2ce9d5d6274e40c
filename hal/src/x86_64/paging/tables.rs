//! Four levels of page tables as a data structure: mapping, unmapping, looking up.
//!
//! Knows nothing of the CPU: where tables live comes from [`TableFrames`], so all of it is tested
//! on the host against a model. A table is unlinked as soon as its last entry goes; the entry
//! naming a table counts that table's entries in software bits, so nothing has to be searched for
//! that. Callers keep others from changing the same tables meanwhile; the CPU only ever reads them
//! (and sets accessed and dirty bits, which nothing here relies on).

use core::sync::atomic::{AtomicU64, Ordering};

use super::entry::{Access, Entry, Owner, PageSize};
use crate::memory::{FrameNumber, VirtAddr};

/// A table: 512 entries.
pub type Table = [AtomicU64; 512];

/// Where tables come from, and how to reach them.
pub trait TableFrames {
    /// A table of zeros.
    fn allocate(&self) -> Option<FrameNumber>;
    /// The table in that frame, which [`allocate`](Self::allocate) gave out (or the root).
    fn table(&self, frame: FrameNumber) -> &Table;
}

/// Why an address space was not changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror_no_std::Error)]
pub enum MapError {
    /// No frame for a page or a table. Free some memory.
    #[error("out of physical memory")]
    OutOfFrames,
    /// The address or the range is not one that may be mapped here: unaligned, not in this half,
    /// empty.
    #[error("the address range cannot be mapped here")]
    BadRange,
    /// Something is mapped there already. Unmap it first.
    #[error("the range is mapped already")]
    AlreadyMapped,
    /// Nothing is mapped there.
    #[error("the range is not mapped")]
    NotMapped,
    /// So many pieces of shared memory are mapped that no more are kept track of. Unmap one first.
    #[error("too many pieces of shared memory are mapped")]
    TooManyPieces,
}

/// What an address leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Translation {
    /// The 4 KiB frame.
    pub frame: FrameNumber,
    /// What may be done there.
    pub access: Access,
    /// Whether ring 3 may.
    pub owner: Owner,
}

/// The tables under one root.
#[derive(Clone, Copy)]
pub struct Tables<'a, F> {
    root: FrameNumber,
    frames: &'a F,
}

fn index(address: VirtAddr, level: usize) -> usize {
    (address.0 >> (12 + 9 * level) & 0x1ff) as usize
}

fn load(slot: &AtomicU64) -> Entry {
    Entry(slot.load(Ordering::Relaxed))
}

fn store(slot: &AtomicU64, entry: Entry) {
    slot.store(entry.0, Ordering::Release);
}

impl<'a, F: TableFrames> Tables<'a, F> {
    /// The tables under `root`, a frame that holds a top-level table.
    pub const fn new(root: FrameNumber, frames: &'a F) -> Self {
        Self { root, frames }
    }

    /// Writes `leaf` for the page of that size at `page`, making tables as needed.
    pub fn map(
        &self,
        page: VirtAddr,
        size: PageSize,
        leaf: Entry,
        owner: Owner,
    ) -> Result<(), MapError> {
        let mut table = self.frames.table(self.root);
        let mut parent: Option<&AtomicU64> = None;
        for level in (size as usize + 1..4).rev() {
            let slot = &table[index(page, level)];
            let mut entry = load(slot);
            if !entry.is_present() {
                let frame = self.frames.allocate().ok_or(MapError::OutOfFrames)?;
                entry = Entry::table(frame, owner);
                store(slot, entry);
                count_up(parent);
            } else if entry.is_page(level) {
                return Err(MapError::AlreadyMapped);
            }
            table = self.frames.table(entry.frame());
            parent = Some(slot);
        }
        let slot = &table[index(page, size as usize)];
        if load(slot).is_present() {
            return Err(MapError::AlreadyMapped);
        }
        store(slot, leaf);
        count_up(parent);
        Ok(())
    }

    /// Makes the tables for a top-level entry, so that address spaces can share it from the start.
    pub fn reserve_top(&self, address: VirtAddr, owner: Owner) -> Result<(), MapError> {
        let slot = &self.frames.table(self.root)[index(address, 3)];
        if !load(slot).is_present() {
            let frame = self.frames.allocate().ok_or(MapError::OutOfFrames)?;
            store(slot, Entry::table(frame, owner));
        }
        Ok(())
    }

    /// Takes away the small page at `page` and returns its entry. Each table that thereby becomes
    /// empty is unlinked and given to `unlinked`; those of the top level only where `owner` is the
    /// user.
    pub fn unmap(
        &self,
        page: VirtAddr,
        owner: Owner,
        mut unlinked: impl FnMut(FrameNumber),
    ) -> Option<Entry> {
        let slots = self.path(page)?;
        let leaf = load(slots[0]);
        if !leaf.is_present() {
            return None;
        }
        store(slots[0], Entry::EMPTY);
        for (level, slot) in slots.iter().enumerate().skip(1) {
            let entry = load(slot).count_down();
            let shared = level == 3 && owner == Owner::Kernel;
            if entry.count() > 0 || shared {
                store(slot, entry);
                break;
            }
            store(slot, Entry::EMPTY);
            unlinked(entry.frame());
        }
        Some(leaf)
    }

    /// The slots for a small page, lowest first; `None` where a table is missing or a larger page
    /// lies.
    fn path(&self, page: VirtAddr) -> Option<[&'a AtomicU64; 4]> {
        let mut table = self.frames.table(self.root);
        let top = &table[index(page, 3)];
        let mut slots = [top; 4];
        for level in (0..4).rev() {
            let slot = &table[index(page, level)];
            slots[level] = slot;
            if level > 0 {
                let entry = load(slot);
                if !entry.is_present() || entry.is_page(level) {
                    return None;
                }
                table = self.frames.table(entry.frame());
            }
        }
        Some(slots)
    }

    /// The entry of the small page at `page`, if one is mapped.
    pub fn small_page(&self, page: VirtAddr) -> Option<Entry> {
        let entry = load(self.path(page)?[0]);
        entry.is_present().then_some(entry)
    }

    /// Changes the rights of the small page at `page`. Returns what they were.
    pub fn protect(&self, page: VirtAddr, access: Access) -> Option<Access> {
        let slot = self.path(page)?[0];
        let entry = load(slot);
        if !entry.is_present() {
            return None;
        }
        store(slot, entry.with_access(access));
        Some(entry.access())
    }

    /// What `address` leads to, whatever the size of the page.
    pub fn translate(&self, address: VirtAddr) -> Option<Translation> {
        let mut table = self.frames.table(self.root);
        for (level, size) in [
            (3, None),
            (2, Some(PageSize::Huge)),
            (1, Some(PageSize::Large)),
            (0, Some(PageSize::Small)),
        ] {
            let entry = load(&table[index(address, level)]);
            if !entry.is_present() {
                return None;
            }
            if let Some(size) = size.filter(|_| entry.is_page(level)) {
                let within = (address.0 & (size.bytes() - 1)) >> 12;
                let owner = if entry.is_user() { Owner::User } else { Owner::Kernel };
                let frame = FrameNumber(entry.frame_of(size).0 + within);
                return Some(Translation { frame, access: entry.access(), owner });
            }
            table = self.frames.table(entry.frame());
        }
        None
    }

    /// Visits everything under the lower half: each small page's entry, then each table, children
    /// before parents. Nothing is written; the caller frees what it is given, and the root.
    pub fn visit_lower_half(&self, mut visit: impl FnMut(Visited)) {
        let root = self.frames.table(self.root);
        for slot in &root[..256] {
            self.visit(load(slot), 3, &mut visit);
        }
    }

    /// Visits everything under the upper half, likewise.
    pub fn visit_upper_half(&self, mut visit: impl FnMut(Visited)) {
        let root = self.frames.table(self.root);
        for slot in &root[256..] {
            self.visit(load(slot), 3, &mut visit);
        }
    }

    fn visit(&self, entry: Entry, level: usize, visit: &mut impl FnMut(Visited)) {
        if !entry.is_present() {
            return;
        }
        if entry.is_page(level) {
            visit(Visited::Page(entry));
            return;
        }
        for slot in self.frames.table(entry.frame()) {
            self.visit(load(slot), level - 1, visit);
        }
        visit(Visited::Table(entry.frame()));
    }
}

fn count_up(parent: Option<&AtomicU64>) {
    if let Some(slot) = parent {
        store(slot, load(slot).count_up());
    }
}

/// What [`Tables::visit_lower_half`] and its like come by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Visited {
    /// A page.
    Page(Entry),
    /// A table whose entries have all been visited.
    Table(FrameNumber),
}

#[cfg(test)]
mod tests;
