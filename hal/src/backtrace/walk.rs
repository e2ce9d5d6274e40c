//! Following the chain of frame pointers, with nothing taken on trust.
//!
//! Each frame is two words: the caller's frame pointer and the return address. A frame counts only
//! if it lies in a known stack, aligned, and above the one before in the same stack; a chain may
//! cross to another stack (from an interrupt's), but not come back to one it left.

use core::ops::Range;

/// Most frames that are followed.
pub const LONGEST: usize = 48;
/// Most stacks that a chain may cross: a core's own, an exception's, an NMI's, and one to spare.
const CROSSINGS: usize = 4;

/// Where stacks lie, and how to read them.
pub trait Stacks {
    /// The known stack that holds an address.
    fn containing(&self, address: u64) -> Option<Range<u64>>;
    /// The word at `address`, which is aligned and lies whole in a range that
    /// [`containing`](Self::containing) gave.
    fn read(&self, address: u64) -> u64;
}

/// The return addresses of a chain of frames, innermost first.
pub struct Walk<'a, S> {
    stacks: &'a S,
    frame: u64,
    left: [u64; CROSSINGS],
    crossings: usize,
    stack: Range<u64>,
    remaining: usize,
}

impl<'a, S: Stacks> Walk<'a, S> {
    /// Starts at a frame pointer.
    pub fn new(stacks: &'a S, frame: u64) -> Self {
        Self { stacks, frame, left: [0; CROSSINGS], crossings: 0, stack: 0..0, remaining: LONGEST }
    }

    /// The stack that the frame at `address` lies in whole, if it may come next.
    fn enter(&mut self, address: u64) -> Option<()> {
        if !address.is_multiple_of(8) {
            return None;
        }
        if !self.stack.contains(&address) {
            let stack = self.stacks.containing(address)?;
            if self.left[..self.crossings].contains(&stack.start) || self.crossings == CROSSINGS {
                return None;
            }
            self.left[self.crossings] = stack.start;
            self.crossings += 1;
            self.stack = stack;
        }
        (self.stack.end - address >= 16).then_some(())
    }
}

impl<S: Stacks> Iterator for Walk<'_, S> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.remaining = self.remaining.checked_sub(1)?;
        let frame = self.frame;
        self.enter(frame)?;
        let caller = self.stacks.read(frame);
        let address = self.stacks.read(frame + 8);
        if address == 0 {
            self.remaining = 0;
            return None;
        }
        // Not upward in the same stack: the last one that counts.
        self.frame = if self.stack.contains(&caller) && caller <= frame { 0 } else { caller };
        Some(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// Words from address 0x1000 on, in two stacks of equal size.
    struct Host(Vec<u64>);

    impl Stacks for Host {
        fn containing(&self, address: u64) -> Option<Range<u64>> {
            let half = self.0.len() as u64 / 2 * 8;
            [0x1000..0x1000 + half, 0x1000 + half..0x1000 + 2 * half]
                .into_iter()
                .find(|range| range.contains(&address))
        }
        fn read(&self, address: u64) -> u64 {
            assert!(address.is_multiple_of(8));
            self.0[((address - 0x1000) / 8) as usize]
        }
    }

    #[test]
    fn follows_frames_across_stacks_and_stops() {
        let mut words = std::vec![0; 16];
        // The second stack (from 0x1040) was entered from the first.
        (words[8], words[9]) = (0x1060, 0xa);
        (words[12], words[13]) = (0x1010, 0xb);
        (words[2], words[3]) = (0x1020, 0xc);
        (words[4], words[5]) = (0, 0xd);
        let found: Vec<u64> = Walk::new(&Host(words.clone()), 0x1040).collect();
        assert_eq!(found, [0xa, 0xb, 0xc, 0xd]);
        words[4] = 0x1010;
        assert_eq!(Walk::new(&Host(words.clone()), 0x1040).count(), 4, "a loop ends");
        words[4] = 0x1040;
        assert_eq!(Walk::new(&Host(words.clone()), 0x1040).count(), 4, "never back to a stack");
        words[4] = 0x1038;
        words[7] = 9;
        assert_eq!(Walk::new(&Host(words), 0x1040).count(), 4, "a frame must fit its stack");
    }

    proptest! {
        #[test]
        fn any_stack_is_walked_in_bounds(
            words in prop::collection::vec(prop_oneof![0x0ff8..0x1200_u64, any::<u64>()], 0..64),
            start in 0x0ff0..0x1210_u64,
        ) {
            let host = Host(words);
            prop_assert!(Walk::new(&host, start).count() <= LONGEST);
        }
    }
}
