//! Runs of free frames that a core keeps for its next DMA buffers, by size.
//!
//! One user at a time: tasks do not move between cores and interrupt handlers neither allocate nor
//! free, so a core's pool needs no lock. What a core frees goes to its own pool, wherever it came
//! from. How much is kept is bounded; the rest is the frame pool's.

use core::sync::atomic::{AtomicU32, Ordering};

use super::AddressLimit;
use crate::memory::FRAME_SIZE;

/// Sizes that are kept: 1, 2, 4 … frames; the largest has 128 KiB.
pub(crate) const CLASSES: usize = 6;
/// Most runs of one class that are kept.
const MOST: usize = 32;
/// Most bytes of one class that are kept.
const MOST_BYTES: usize = 1 << 20;

/// How many frames a run of this pool has, as a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class(u8);

impl Class {
    /// The smallest class that holds so many bytes. `None`: it is too much for the pool.
    #[inline]
    pub fn of(bytes: usize) -> Option<Self> {
        let order = bytes.div_ceil(FRAME_SIZE).next_power_of_two().trailing_zeros();
        ((order as usize) < CLASSES).then_some(Self(order as u8))
    }

    pub fn all() -> impl Iterator<Item = Self> {
        (0..CLASSES as u8).map(Self)
    }

    /// Frames in a run.
    #[inline]
    pub const fn frames(self) -> u64 {
        1 << self.0
    }

    const fn bytes(self) -> usize {
        FRAME_SIZE << self.0
    }

    const fn kept(self) -> usize {
        let fit = MOST_BYTES / self.bytes();
        if fit < MOST { fit } else { MOST }
    }
}

/// Runs of one class, by their first frame.
struct Stack {
    count: AtomicU32,
    runs: [AtomicU32; MOST],
}

/// What one core keeps.
pub(crate) struct CorePool {
    stacks: [Stack; CLASSES],
}

impl CorePool {
    pub const fn new() -> Self {
        Self { stacks: [const { Stack::new() }; CLASSES] }
    }

    /// Takes a run that lies below the limit; its first frame.
    #[inline]
    pub fn pop(&self, class: Class, limit: AddressLimit) -> Option<u32> {
        let stack = &self.stacks[usize::from(class.0)];
        let count = stack.count.load(Ordering::Relaxed) as usize;
        // The last one freed is in the caches, and mostly fits.
        let fits = |place: &usize| class.lies_below(stack.at(*place), limit);
        let place = (0..count).rev().find(fits)?;
        let found = stack.at(place);
        stack.runs[place].store(stack.at(count - 1), Ordering::Relaxed);
        stack.count.store(count as u32 - 1, Ordering::Relaxed);
        Some(found)
    }

    /// Keeps a run, unless there are enough.
    #[inline]
    pub fn push(&self, class: Class, first: u32) -> Result<(), Full> {
        let stack = &self.stacks[usize::from(class.0)];
        let count = stack.count.load(Ordering::Relaxed);
        if count as usize >= class.kept() {
            return Err(Full);
        }
        stack.runs[count as usize].store(first, Ordering::Relaxed);
        stack.count.store(count + 1, Ordering::Relaxed);
        Ok(())
    }

    /// Bytes it holds. Right on its own core, a little old elsewhere.
    pub fn bytes(&self) -> usize {
        let count = |class: Class| self.stacks[usize::from(class.0)].count.load(Ordering::Relaxed);
        Class::all().map(|class| count(class) as usize * class.bytes()).sum()
    }
}

/// It keeps no more of these: give the run back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Stack {
    const fn new() -> Self {
        Self { count: AtomicU32::new(0), runs: [const { AtomicU32::new(0) }; MOST] }
    }

    fn at(&self, place: usize) -> u32 {
        self.runs[place].load(Ordering::Relaxed)
    }
}

impl Class {
    #[inline]
    fn lies_below(self, first: u32, limit: AddressLimit) -> bool {
        let end = (u64::from(first) + self.frames()) * FRAME_SIZE as u64;
        end - 1 <= limit.highest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn classes_hold_what_they_are_for() {
        assert_eq!(Class::of(1), Some(Class(0)));
        assert_eq!(Class::of(4096), Some(Class(0)));
        assert_eq!(Class::of(4097), Some(Class(1)));
        assert_eq!(Class::of(3 * 4096), Some(Class(2)));
        assert_eq!(Class::of(128 << 10), Some(Class(5)));
        assert_eq!(Class::of((128 << 10) + 1), None);
    }

    #[test]
    fn a_limit_is_kept() {
        let pool = CorePool::new();
        let limit = AddressLimit::bits(28);
        let [one, two] = [Class(0), Class(1)];
        for first in [0xffff, 0x1_0000, 0x1_0001] {
            assert_eq!(pool.push(one, first), Ok(()));
            assert_eq!(pool.push(two, first), Ok(()));
        }
        assert_eq!(pool.pop(one, limit), Some(0xffff));
        assert_eq!(pool.pop(one, limit), None);
        assert_eq!(pool.pop(two, limit), None, "its second frame lies beyond");
        assert_eq!(pool.pop(one, AddressLimit::NONE), Some(0x1_0000));
        assert_eq!(pool.bytes(), 4096 + 3 * 8192);
    }

    proptest! {
        /// What goes in comes out once, never more is kept than allowed, and limits hold.
        #[test]
        fn nothing_is_lost_or_doubled(
            steps in proptest::collection::vec((0u8..6, any::<bool>(), 12u32..40), 0..400),
        ) {
            let pool = CorePool::new();
            let mut held: Vec<(u8, u32)> = Vec::new();
            for (step, (class, put, bits)) in steps.into_iter().enumerate() {
                let number = (step as u32) << 7;
                if put {
                    let fits = held.iter().filter(|run| run.0 == class).count() < Class(class).kept();
                    prop_assert_eq!(pool.push(Class(class), number).is_ok(), fits);
                    if fits {
                        held.push((class, number));
                    }
                } else {
                    let limit = AddressLimit::bits(bits);
                    let fits = |run: &(u8, u32)| run.0 == class && Class(class).lies_below(run.1, limit);
                    match pool.pop(Class(class), limit) {
                        Some(first) => {
                            prop_assert!(fits(&(class, first)));
                            let place = held.iter().position(|run| *run == (class, first));
                            held.swap_remove(place.expect("it was put in"));
                        }
                        None => prop_assert!(!held.iter().any(fits)),
                    }
                }
            }
            let bytes: usize = held.iter().map(|run| Class(run.0).bytes()).sum();
            prop_assert_eq!(pool.bytes(), bytes);
        }
    }
}
