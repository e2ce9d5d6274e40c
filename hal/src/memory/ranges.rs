//! Which stretches of a reserved window of virtual memory are free.
//!
//! First fit over a sorted list of free stretches, which merge when they touch.

use alloc::collections::TryReserveError;
use alloc::vec::Vec;
use core::ops::Range;

/// The free stretches of a window, in pages.
#[derive(Debug, Default)]
pub struct VirtualRanges {
    /// Sorted, disjoint, never touching.
    free: Vec<Range<u64>>,
}

impl VirtualRanges {
    /// Nothing is free.
    pub const fn empty() -> Self {
        Self { free: Vec::new() }
    }

    /// Takes the lowest `count` free pages in a row whose first is a multiple of `alignment`.
    pub fn take(&mut self, count: u64, alignment: u64) -> Option<Range<u64>> {
        let (index, start) = self.free.iter().enumerate().find_map(|(index, stretch)| {
            let start = stretch.start.checked_next_multiple_of(alignment.max(1))?;
            (start.checked_add(count)? <= stretch.end).then_some((index, start))
        })?;
        // A place in the list must be there before the range is given out.
        self.free.try_reserve(2).ok()?;
        let taken = start..start + count;
        let stretch = self.free.remove(index);
        let after = taken.end..stretch.end;
        let before = stretch.start..taken.start;
        for rest in [after, before] {
            if !rest.is_empty() {
                self.free.insert(index, rest);
            }
        }
        Some(taken)
    }

    /// Gives a range back (or the window, at first).
    ///
    /// # Panics
    /// If part of it is free already: it was given back twice.
    pub fn give(&mut self, range: Range<u64>) -> Result<(), TryReserveError> {
        if range.is_empty() {
            return Ok(());
        }
        let index = self.free.partition_point(|stretch| stretch.end < range.start);
        let end = self.free.partition_point(|stretch| stretch.start <= range.end);
        let touching = &self.free[index..end];
        assert!(
            touching.iter().all(|s| s.end == range.start || s.start == range.end),
            "virtual range given back twice"
        );
        let start = touching.first().map_or(range.start, |first| first.start.min(range.start));
        let stop = touching.last().map_or(range.end, |last| last.end.max(range.end));
        if touching.is_empty() {
            self.free.try_reserve(1)?;
            self.free.insert(index, start..stop);
        } else {
            self.free[index] = start..stop;
            self.free.drain(index + 1..end);
        }
        Ok(())
    }

    /// Free pages.
    pub fn free_pages(&self) -> u64 {
        self.free.iter().map(|stretch| stretch.end - stretch.start).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn agree_with_a_set(steps in prop::collection::vec((1..9_u64, 0..4_u32, any::<prop::sample::Index>()), 0..150)) {
            let mut ranges = VirtualRanges::empty();
            ranges.give(10..100).unwrap();
            let mut free: BTreeSet<u64> = (10..100).collect();
            let mut taken: Vec<Range<u64>> = Vec::new();
            for (count, power, which) in steps {
                if count % 2 == 0 && !taken.is_empty() {
                    let range = taken.swap_remove(which.index(taken.len()));
                    free.extend(range.clone());
                    ranges.give(range).unwrap();
                } else {
                    let alignment = 1 << power;
                    let expected = (0..100).find(|start| {
                        start % alignment == 0 && (*start..start + count).all(|page| free.contains(&page))
                    });
                    let got = ranges.take(count, alignment);
                    prop_assert_eq!(got.as_ref().map(|r| r.start), expected);
                    if let Some(range) = got {
                        prop_assert_eq!(range.end - range.start, count);
                        range.clone().for_each(|page| { free.remove(&page); });
                        taken.push(range);
                    }
                }
                prop_assert_eq!(ranges.free_pages(), free.len() as u64);
                prop_assert!(ranges.free.windows(2).all(|w| w[0].end < w[1].start));
            }
        }
    }
}
