//! Which pages of an address space belong to shared memory or to devices, and what holds them
//! meanwhile.
//!
//! A page table names a frame and keeps nothing alive. So a space keeps a hold on what is behind
//! each range of such pages ([`Held`]) until that range is unmapped, and hands the hold to the
//! [`Flush`](super::Flush) then: the frames stay until no core can reach them. A range remembers
//! what may at most be done with it.

use alloc::vec::Vec;
use core::ops::Range;

use super::entry::Access;
use super::held::Held;

/// Most ranges that are attached to one space.
const RANGES_MAX: usize = 1024;

/// Pages that lie one behind the other.
struct Piece {
    /// Number of the first page.
    start: u64,
    pages: Held,
    most: Access,
}

impl Piece {
    fn end(&self) -> u64 {
        self.start + self.pages.count() as u64
    }
}

/// The held pages of a space: sorted, never overlapping.
#[derive(Default)]
pub(super) struct SharedRanges(Vec<Piece>);

/// No memory for the list, or it is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NoRoom;

impl SharedRanges {
    /// Makes room for one more range.
    pub fn make_room(&mut self) -> Result<(), NoRoom> {
        if self.0.len() >= RANGES_MAX {
            return Err(NoRoom);
        }
        self.0.try_reserve(1).map_err(|_| NoRoom)
    }

    /// Adds `pages`, which begin at page number `start` and may at most be used as `most` says.
    /// Nothing is there yet; room was made.
    pub fn add(&mut self, start: u64, pages: Held, most: Access) {
        let at = self.0.partition_point(|piece| piece.start < start);
        if let Some(before) = at.checked_sub(1).and_then(|at| self.0.get_mut(at))
            && before.end() == start
            && before.most == most
            && let Some(both) = before.pages.joined(&pages)
        {
            before.pages = both;
            return;
        }
        self.0.insert(at, Piece { start, pages, most });
    }

    /// Those that overlap `range`.
    fn overlapping(&self, range: &Range<u64>) -> Range<usize> {
        let first = self.0.partition_point(|piece| piece.end() <= range.start);
        let end = self.0.partition_point(|piece| piece.start < range.end);
        first..end.max(first)
    }

    /// Whether all of them within `range` may be used so.
    pub fn allow(&self, range: &Range<u64>, access: Access) -> bool {
        self.0[self.overlapping(range)].iter().all(|piece| piece.most.allows(access))
    }

    /// Makes room for [`SharedRanges::take`] of `range`, so that it cannot fail.
    pub fn prepare(&mut self, range: &Range<u64>, taken: &mut Vec<Held>) -> Result<(), NoRoom> {
        let count = self.overlapping(range).len();
        if count == 0 {
            return Ok(());
        }
        taken.try_reserve(count).map_err(|_| NoRoom)?;
        // A hole in the middle of one makes two.
        self.0.try_reserve(1).map_err(|_| NoRoom)
    }

    /// Moves what lies in `range` to `taken`.
    pub fn take(&mut self, range: &Range<u64>, taken: &mut Vec<Held>) {
        let mut at = self.overlapping(range).start;
        while let Some(piece) = self.0.get_mut(at).filter(|piece| piece.start < range.end) {
            let (start, end) = (piece.start, piece.end());
            let (cut, cut_end) = (start.max(range.start), end.min(range.end));
            let part = |from: u64, to: u64| {
                piece.pages.part((from - start) as usize..(to - start) as usize)
            };
            let (before, after) = (part(start, cut), part(cut_end, end));
            taken.extend(part(cut, cut_end));
            let most = piece.most;
            match (before, after) {
                (None, None) => {
                    self.0.remove(at);
                }
                (None, Some(after)) => {
                    *piece = Piece { start: cut_end, pages: after, most };
                    at += 1;
                }
                (Some(before), after) => {
                    piece.pages = before;
                    at += 1;
                    if let Some(pages) = after {
                        self.0.insert(at, Piece { start: cut_end, pages, most });
                        at += 1;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::SimMachine;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::vec;

    /// What lies where: page number to the device address of the page and its limit.
    fn shown(ranges: &SharedRanges) -> BTreeMap<u64, (u64, Access)> {
        let pages = |piece: &Piece| {
            let (start, most) = (piece.start, piece.most);
            let address = |index| piece.pages.physical(index).unwrap();
            (0..piece.pages.count())
                .map(|index| (start + index as u64, (address(index), most)))
                .collect::<Vec<_>>()
        };
        ranges.0.iter().flat_map(pages).collect()
    }

    proptest! {
        /// Against a map of single pages.
        #[test]
        fn ranges_are_kept(
            steps in prop::collection::vec((any::<bool>(), 0u64..40, 1u64..12, 0usize..8, any::<bool>()), 1..60),
        ) {
            let machine = SimMachine::new();
            let object = Held::Memory(machine.dma().shared_pages(20).unwrap());
            let (mut ranges, mut model) = (SharedRanges::default(), BTreeMap::new());
            for (adds, start, count, first, writes) in steps {
                let range = start..start + count;
                let most = if writes { Access::ReadWrite } else { Access::Read };
                if adds && model.range(range.clone()).next().is_none() {
                    let part = object.part(first..first + count as usize).unwrap();
                    ranges.make_room().unwrap();
                    for (at, index) in range.zip(0..) {
                        model.insert(at, (part.physical(index).unwrap(), most));
                    }
                    ranges.add(start, part, most);
                } else {
                    let allowed = model.range(range.clone()).all(|(_, page)| page.1 == Access::ReadWrite);
                    prop_assert_eq!(ranges.allow(&range, Access::ReadWrite), allowed);
                    let mut taken = vec![];
                    ranges.prepare(&range, &mut taken).unwrap();
                    let capacity = (taken.capacity(), ranges.0.capacity());
                    ranges.take(&range, &mut taken);
                    prop_assert_eq!(capacity, (taken.capacity(), ranges.0.capacity()));
                    let gone = range.filter_map(|at| model.remove(&at)).count();
                    prop_assert_eq!(taken.iter().map(Held::count).sum::<usize>(), gone);
                }
                prop_assert_eq!(&shown(&ranges), &model);
            }
        }
    }
}
