//! Which address ranges of a process are mapped, and how: pure bookkeeping, no page tables.
//!
//! Ranges are kept sorted, never overlap, and neighbours of the same protection are one.

use alloc::collections::BTreeMap;
use protocols::abi::{Error, PAGE, Protection};

const PAGE_BYTES: u64 = PAGE as u64;

/// A range of whole pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First address.
    pub start: u64,
    /// Address after the last.
    pub end: u64,
}

impl Range {
    /// A range of `len` bytes from `start`: not empty, whole pages, no overflow.
    pub fn new(start: u64, len: u64) -> Result<Self, Error> {
        if len == 0 || !start.is_multiple_of(PAGE_BYTES) || !len.is_multiple_of(PAGE_BYTES) {
            return Err(Error::InvalidArgument);
        }
        let end = start.checked_add(len).ok_or(Error::InvalidArgument)?;
        Ok(Self { start, end })
    }

    /// Addresses of its pages.
    pub fn pages(self) -> impl Iterator<Item = u64> {
        (self.start..self.end).step_by(PAGE)
    }

    /// How many pages it has.
    pub const fn page_count(self) -> u64 {
        (self.end - self.start) / PAGE_BYTES
    }
}

/// The ranges of one address space.
#[derive(Debug)]
pub struct Regions {
    /// Start to (end, protection).
    ranges: BTreeMap<u64, (u64, Protection)>,
    bounds: Range,
    /// Where the last free range was found: the next search goes on there.
    hint: u64,
    /// Most ranges.
    limit: usize,
}

impl Regions {
    /// Nothing mapped within `bounds`; searches begin at `hint`; at most `limit` ranges.
    pub const fn new(bounds: Range, hint: u64, limit: usize) -> Self {
        Self { ranges: BTreeMap::new(), bounds, hint, limit }
    }

    /// How many ranges there are.
    pub fn count(&self) -> usize {
        self.ranges.len()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Range, Protection)> + '_ {
        self.ranges
            .iter()
            .map(|(start, (end, protection))| (Range { start: *start, end: *end }, *protection))
    }

    /// The parts of `range` that are in use, in order.
    pub fn within(&self, range: Range) -> impl Iterator<Item = Range> + '_ {
        let before = self.ranges.range(..range.start).next_back();
        let hit = before.into_iter().chain(self.ranges.range(range.start..range.end));
        hit.map(move |(start, (end, _))| Range {
            start: range.start.max(*start),
            end: range.end.min(*end),
        })
        .filter(|part| part.start < part.end)
    }

    fn is_free(&self, range: Range) -> bool {
        self.ranges.range(..range.end).next_back().is_none_or(|(_, (end, _))| *end <= range.start)
    }

    /// A free range of `len` bytes (whole pages), with a free page before it.
    pub fn find(&mut self, len: u64) -> Result<Range, Error> {
        let found =
            self.find_from(self.hint, len).or_else(|| self.find_from(self.bounds.start, len));
        let range = found.ok_or(Error::OutOfMemory)?;
        self.hint = range.end;
        Ok(range)
    }

    fn find_from(&self, from: u64, len: u64) -> Option<Range> {
        let before =
            self.ranges.range(..from).next_back().map_or(self.bounds.start, |(_, (end, _))| *end);
        let mut start = from.max(before).checked_add(PAGE_BYTES)?;
        for (next, (end, _)) in self.ranges.range(from..) {
            if start.checked_add(len)? <= *next {
                break;
            }
            start = end.checked_add(PAGE_BYTES)?;
        }
        let end = start.checked_add(len)?;
        (end <= self.bounds.end).then_some(Range { start, end })
    }

    /// Takes `range` into use.
    pub fn insert(&mut self, range: Range, protection: Protection) -> Result<(), Error> {
        if range.start < self.bounds.start || range.end > self.bounds.end {
            return Err(Error::BadAddress);
        }
        if !self.is_free(range) {
            return Err(Error::RangeConflict);
        }
        if self.ranges.len() >= self.limit {
            return Err(Error::LimitReached);
        }
        self.put(range, protection);
        Ok(())
    }

    /// Puts a range that is free, joining it to its neighbours.
    fn put(&mut self, mut range: Range, protection: Protection) {
        if let Some((start, (end, same))) = self.ranges.range(..range.start).next_back()
            && *end == range.start
            && *same == protection
        {
            range.start = *start;
        }
        if let Some((end, same)) = self.ranges.get(&range.end).copied()
            && same == protection
        {
            self.ranges.remove(&range.end);
            range.end = end;
        }
        self.ranges.insert(range.start, (range.end, protection));
    }

    /// Whether every page of `range` is mapped.
    pub fn covers(&self, range: Range) -> bool {
        let mut at = range.start;
        let first = self.ranges.range(..=at).next_back();
        for (start, (end, _)) in first.into_iter().chain(self.ranges.range(at + 1..range.end)) {
            if *start > at || *end <= at {
                return false;
            }
            at = *end;
            if at >= range.end {
                return true;
            }
        }
        false
    }

    /// Takes `range` out of use; all of it must be in use.
    pub fn remove(&mut self, range: Range) -> Result<(), Error> {
        self.check_change(range, 0)?;
        self.cut(range);
        Ok(())
    }

    /// Takes out of use what [`insert`](Self::insert) took into use last, whatever the limit: it
    /// makes as many ranges as there were.
    pub fn take_back(&mut self, range: Range) {
        self.cut(range);
    }

    /// Changes the protection of `range`; all of it must be in use.
    pub fn protect(&mut self, range: Range, protection: Protection) -> Result<(), Error> {
        self.check_change(range, 1)?;
        self.cut(range);
        self.put(range, protection);
        Ok(())
    }

    /// Whether `range` may be cut out, and `put` ranges put in its place.
    fn check_change(&self, range: Range, put: usize) -> Result<(), Error> {
        if !self.covers(range) {
            return Err(Error::RangeConflict);
        }
        let touched = self.ranges.range(..range.end).rev();
        let touched = touched.take_while(|(_, (end, _))| *end > range.start);
        // What sticks out of the range on either side stays, as a piece of its own.
        let (mut gone, mut stay) = (0, put);
        for (start, (end, _)) in touched {
            gone += 1;
            stay += usize::from(*start < range.start) + usize::from(*end > range.end);
        }
        if self.ranges.len() - gone + stay > self.limit && stay > gone {
            return Err(Error::LimitReached);
        }
        Ok(())
    }

    fn cut(&mut self, range: Range) {
        while let Some((start, (end, protection))) =
            self.ranges.range(..range.end).next_back().map(|(start, rest)| (*start, *rest))
            && end > range.start
        {
            self.ranges.remove(&start);
            if start < range.start {
                self.ranges.insert(start, (range.start, protection));
            }
            if end > range.end {
                self.ranges.insert(range.end, (end, protection));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap as Model;
    use std::vec::Vec;

    const LOW: u64 = 16 * PAGE_BYTES;
    const HIGH: u64 = 80 * PAGE_BYTES;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u64, u64, bool),
        Find(u64),
        Remove(u64, u64),
        Protect(u64, u64, bool),
    }

    fn step() -> impl Strategy<Value = Step> {
        let pages = (14_u64..84, 1_u64..12);
        prop_oneof![
            (pages.clone(), any::<bool>())
                .prop_map(|((at, len), write)| Step::Insert(at, len, write)),
            (1_u64..12).prop_map(Step::Find),
            pages.clone().prop_map(|(at, len)| Step::Remove(at, len)),
            (pages, any::<bool>()).prop_map(|((at, len), write)| Step::Protect(at, len, write)),
        ]
    }

    fn protection(write: bool) -> Protection {
        if write { Protection::READ | Protection::WRITE } else { Protection::READ }
    }

    fn pages(at: u64, len: u64) -> Range {
        Range::new(at * PAGE_BYTES, len * PAGE_BYTES).unwrap()
    }

    proptest! {
        #[test]
        fn behaves_as_a_map_of_pages(steps in proptest::collection::vec(step(), 0..80)) {
            let bounds = Range { start: LOW, end: HIGH };
            let mut regions = Regions::new(bounds, LOW, 1000);
            let mut model: Model<u64, bool> = Model::new();
            for step in steps {
                match step {
                    Step::Insert(at, len, write) => {
                        let range = pages(at, len);
                        let inside = range.start >= LOW && range.end <= HIGH;
                        let free = range.pages().all(|page| !model.contains_key(&page));
                        let done = regions.insert(range, protection(write));
                        prop_assert_eq!(done.is_ok(), inside && free);
                        if done.is_ok() {
                            model.extend(range.pages().map(|page| (page, write)));
                        }
                    }
                    Step::Find(len) => {
                        if let Ok(range) = regions.find(len * PAGE_BYTES) {
                            prop_assert!(range.start > LOW && range.end <= HIGH);
                            prop_assert_eq!(range.page_count(), len);
                            prop_assert!(range.pages().all(|page| !model.contains_key(&page)));
                        }
                    }
                    Step::Remove(at, len) => {
                        let range = pages(at, len);
                        let covered = range.pages().all(|page| model.contains_key(&page));
                        prop_assert_eq!(regions.remove(range).is_ok(), covered);
                        if covered {
                            for page in range.pages() {
                                model.remove(&page);
                            }
                        }
                    }
                    Step::Protect(at, len, write) => {
                        let range = pages(at, len);
                        let covered = range.pages().all(|page| model.contains_key(&page));
                        prop_assert_eq!(regions.protect(range, protection(write)).is_ok(), covered);
                        if covered {
                            model.extend(range.pages().map(|page| (page, write)));
                        }
                    }
                }
                let window = pages(30, 20);
                let within: Vec<u64> = regions.within(window).flat_map(Range::pages).collect();
                let wanted: Vec<u64> =
                    window.pages().filter(|page| model.contains_key(page)).collect();
                prop_assert_eq!(within, wanted);
                let found: Vec<(u64, bool)> = regions
                    .iter()
                    .flat_map(|(range, how)| {
                        range.pages().map(move |page| (page, how.contains(Protection::WRITE)))
                    })
                    .collect();
                prop_assert_eq!(found, model.iter().map(|(page, write)| (*page, *write)).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn limits_and_bad_ranges_are_refused() {
        let mut regions = Regions::new(Range { start: LOW, end: HIGH }, LOW, 3);
        assert_eq!(Range::new(1, PAGE_BYTES), Err(Error::InvalidArgument));
        assert_eq!(Range::new(0, 0), Err(Error::InvalidArgument));
        assert_eq!(Range::new(!4095, PAGE_BYTES), Err(Error::InvalidArgument));
        for at in [20, 30, 40] {
            regions.insert(pages(at, 1), protection(true)).unwrap();
        }
        assert_eq!(regions.insert(pages(50, 1), protection(true)), Err(Error::LimitReached));
        assert_eq!(regions.find(HIGH), Err(Error::OutOfMemory));
        // What makes no more of them is let through.
        assert_eq!(regions.protect(pages(30, 1), protection(false)), Ok(()));
        assert_eq!(regions.remove(pages(30, 1)), Ok(()));
        regions.insert(pages(30, 4), protection(true)).unwrap();
        assert_eq!(regions.remove(pages(31, 1)), Err(Error::LimitReached));
        assert_eq!(regions.protect(pages(31, 1), protection(false)), Err(Error::LimitReached));
        assert_eq!(regions.remove(pages(30, 1)), Ok(()));
    }
}
