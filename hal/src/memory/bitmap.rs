//! Which frames are free: one bit a frame, and one summary bit for each 64 of those.
//!
//! Single frames come from the top, so that the low memory some devices insist on lasts; runs come
//! from the bottom. Both words are plain memory given by the caller; there is no lock here.

use super::FrameNumber;

/// Free frames as set bits.
pub struct FrameBitmap<'a> {
    /// Bit `n % 64` of word `n / 64`: frame `n` is free.
    bits: &'a mut [u64],
    /// Bit `w % 64` of word `w / 64`: word `w` of `bits` is not zero.
    summary: &'a mut [u64],
    free: u64,
}

/// The frame was free already, or lies beyond the bitmap.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror_no_std::Error)]
#[error("frame {0:?} was not in use: freed twice, or never handed out")]
pub struct NotInUse(pub FrameNumber);

/// What a run of frames must look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RunShape {
    /// Frames, at least one.
    pub count: u64,
    /// The first frame's number is a multiple of this.
    pub alignment: u64,
    /// The run begins at or above this frame.
    pub from: FrameNumber,
    /// The run ends at or below this frame.
    pub below: FrameNumber,
}

impl<'a> FrameBitmap<'a> {
    /// Words of 64 bits that a bitmap for frames `0..frames` needs, bits and summary together.
    pub const fn words_for(frames: u64) -> usize {
        let words = frames.div_ceil(64);
        (words + words.div_ceil(64)) as usize
    }

    /// A bitmap for frames `0..frames`, all in use, over `words` (at least
    /// [`words_for`](Self::words_for)).
    ///
    /// # Panics
    /// If `words` is too short.
    pub fn new(words: &'a mut [u64], frames: u64) -> Self {
        words.fill(0);
        let (bits, rest) = words.split_at_mut(frames.div_ceil(64) as usize);
        let summary = &mut rest[..bits.len().div_ceil(64)];
        Self { bits, summary, free: 0 }
    }

    /// Free frames.
    pub fn free_count(&self) -> u64 {
        self.free
    }

    /// Whether a frame is free.
    pub fn is_free(&self, frame: FrameNumber) -> bool {
        let word = self.bits.get((frame.0 / 64) as usize).copied().unwrap_or(0);
        word >> (frame.0 % 64) & 1 == 1
    }

    /// Marks one frame free.
    pub fn free(&mut self, frame: FrameNumber) -> Result<(), NotInUse> {
        let index = (frame.0 / 64) as usize;
        let mask = 1_u64 << (frame.0 % 64);
        let word = self.bits.get_mut(index).ok_or(NotInUse(frame))?;
        if *word & mask != 0 {
            return Err(NotInUse(frame));
        }
        *word |= mask;
        self.summary[index / 64] |= 1 << (index % 64);
        self.free += 1;
        Ok(())
    }

    /// Takes the highest free frame at or above `floor`.
    pub fn take_highest(&mut self, floor: FrameNumber) -> Option<FrameNumber> {
        let (top, summary) = self.summary.iter().enumerate().rev().find(|(_, word)| **word != 0)?;
        let index = top * 64 + (63 - summary.leading_zeros() as usize);
        let bit = 63 - u64::from(self.bits[index].leading_zeros());
        let frame = FrameNumber(index as u64 * 64 + bit);
        if frame < floor {
            return None;
        }
        self.take(frame);
        Some(frame)
    }

    /// Takes the lowest run of that shape.
    pub fn take_run(&mut self, shape: RunShape) -> Option<FrameNumber> {
        let alignment = shape.alignment.max(1);
        let count = shape.count.max(1);
        let end = shape.below.0.min(self.bits.len() as u64 * 64);
        let mut start = shape.from.0.checked_next_multiple_of(alignment)?;
        while start.checked_add(count)? <= end {
            match self.last_used_in(start, count) {
                None => {
                    (start..start + count).for_each(|frame| self.take(FrameNumber(frame)));
                    return Some(FrameNumber(start));
                }
                Some(used) => {
                    start = self.next_free(used + 1, end)?.checked_next_multiple_of(alignment)?;
                }
            }
        }
        None
    }

    /// The last frame in use in a run, or `None` if all are free.
    fn last_used_in(&self, start: u64, count: u64) -> Option<u64> {
        let mut frame = start + count;
        while frame > start {
            let word = (frame - 1) / 64;
            let low = start.max(word * 64);
            let width = frame - low;
            let mask = (u64::MAX >> (64 - width)) << (low % 64);
            let used = !self.bits[word as usize] & mask;
            if used != 0 {
                return Some(word * 64 + 63 - u64::from(used.leading_zeros()));
            }
            frame = low;
        }
        None
    }

    /// The first free frame in `from..end`, by whole words.
    fn next_free(&self, from: u64, end: u64) -> Option<u64> {
        let mut index = (from / 64) as usize;
        let mut word = self.bits.get(index)? & (u64::MAX << (from % 64));
        while word == 0 {
            index += 1;
            if index as u64 * 64 >= end {
                return None;
            }
            word = *self.bits.get(index)?;
        }
        Some(index as u64 * 64 + u64::from(word.trailing_zeros()))
    }

    fn take(&mut self, frame: FrameNumber) {
        let index = (frame.0 / 64) as usize;
        self.bits[index] &= !(1 << (frame.0 % 64));
        if self.bits[index] == 0 {
            self.summary[index / 64] &= !(1 << (index % 64));
        }
        self.free -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::vec;

    const FRAMES: u64 = 64 * 70 + 13;

    #[derive(Clone, Debug)]
    enum Step {
        Free(u64),
        Take(u64),
        Run(RunShape),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..FRAMES + 100).prop_map(Step::Free),
            2 => (0..300_u64).prop_map(Step::Take),
            2 => (0..90_u64, 0..5_u32, 0..FRAMES, 0..FRAMES * 2).prop_map(|(count, power, from, below)| {
                Step::Run(RunShape {
                    count,
                    alignment: 1 << power,
                    from: FrameNumber(from),
                    below: FrameNumber(below),
                })
            }),
        ]
    }

    proptest! {
        /// Against a set of free frames.
        #[test]
        fn agrees_with_a_set(
            ranges in prop::collection::vec((0..FRAMES, 1..400_u64), 0..8),
            steps in prop::collection::vec(step(), 0..200),
        ) {
            let mut words = vec![0; FrameBitmap::words_for(FRAMES)];
            let mut bitmap = FrameBitmap::new(&mut words, FRAMES);
            let mut model = BTreeSet::new();
            let whole = FRAMES.div_ceil(64) * 64;
            for (start, count) in ranges {
                for frame in start..(start + count).min(FRAMES) {
                    let was = model.insert(frame);
                    prop_assert_eq!(bitmap.free(FrameNumber(frame)).is_ok(), was);
                }
            }
            for step in steps {
                match step {
                    Step::Free(frame) => {
                        let expected = frame < whole && model.insert(frame);
                        prop_assert_eq!(bitmap.free(FrameNumber(frame)).is_ok(), expected);
                    }
                    Step::Take(floor) => {
                        let expected = model.last().copied().filter(|f| *f >= floor);
                        prop_assert_eq!(bitmap.take_highest(FrameNumber(floor)).map(|f| f.0), expected);
                        if let Some(frame) = expected {
                            model.remove(&frame);
                        }
                    }
                    Step::Run(shape) => {
                        let count = shape.count.max(1);
                        let expected = (shape.from.0..whole).find(|start| {
                            start % shape.alignment == 0
                                && start + count <= shape.below.0.min(whole)
                                && (*start..start + count).all(|f| model.contains(&f))
                        });
                        prop_assert_eq!(bitmap.take_run(shape).map(|f| f.0), expected);
                        if let Some(start) = expected {
                            (start..start + count).for_each(|f| { model.remove(&f); });
                        }
                    }
                }
                prop_assert_eq!(bitmap.free_count(), model.len() as u64);
            }
        }
    }
}
