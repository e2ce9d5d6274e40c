//! Whose turn it is: in the order they came, queued commands together, others alone. Pure.
//!
//! ```text
//!             push              next                        done
//!   command ───────> waiting ─────────────────> issued ──────────────> gone
//!                       ^   queued: unless one is │ alone
//!                       │   alone:  once none is  │
//!                       └────── put_back ─────────┘
//! ```
//!
//! A disk refuses to mix queued commands with others (ACS-3, 4.15). Since nobody passes by, a
//! flush waits for at most what was issued before it, and holds up only what came after it.

use alloc::collections::VecDeque;

use protocols::ahci::SLOTS;

/// Whether a command may be at the disk together with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// With others of its kind.
    Together,
    /// Not.
    Alone,
}

/// The commands of a disk; each is known by its slot, below 32.
pub(super) struct Schedule {
    waiting: VecDeque<u8>,
    issued: u32,
    alone: u32,
}

impl Schedule {
    pub(super) fn new() -> Self {
        Self { waiting: VecDeque::with_capacity(SLOTS), issued: 0, alone: 0 }
    }

    /// The slots the disk is at, a bit for each.
    pub(super) fn issued(&self) -> u32 {
        self.issued
    }

    /// Whether there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        self.issued == 0 && self.waiting.is_empty()
    }

    /// A command comes.
    pub(super) fn push(&mut self, slot: u8, turn: Turn) {
        self.waiting.push_back(slot);
        match turn {
            Turn::Together => self.alone &= !bit(slot),
            Turn::Alone => self.alone |= bit(slot),
        }
    }

    /// The next one to hand over, if there is one whose turn it is.
    pub(super) fn next(&mut self) -> Option<u8> {
        let slot = *self.waiting.front()?;
        let barred =
            if self.alone & bit(slot) != 0 { self.issued } else { self.issued & self.alone };
        if barred != 0 {
            return None;
        }
        self.waiting.pop_front();
        self.issued |= bit(slot);
        Some(slot)
    }

    /// These have ended.
    pub(super) fn done(&mut self, slots: u32) {
        self.issued &= !slots;
    }

    /// This one has ended before its turn came. `false`: it is not waiting.
    pub(super) fn leave(&mut self, slot: u8) -> bool {
        let place = self.waiting.iter().position(|waiting| *waiting == slot);
        place.is_some_and(|place| self.waiting.remove(place).is_some())
    }

    /// The port has stopped: what was issued waits again, before all others.
    pub(super) fn put_back(&mut self) {
        for slot in (0..SLOTS as u8).rev().filter(|slot| self.issued & bit(*slot) != 0) {
            self.waiting.push_front(slot);
        }
        self.issued = 0;
    }

    /// What is issued must be alone from its next turn on, so that the one that fails is known.
    pub(super) fn isolate(&mut self) {
        self.alone |= self.issued;
    }

    /// Takes everything that waits.
    pub(super) fn take_waiting(&mut self) -> impl Iterator<Item = u8> + '_ {
        self.waiting.drain(..)
    }
}

/// The bit of a slot.
pub(super) const fn bit(slot: u8) -> u32 {
    1 << (slot % SLOTS as u8)
}

/// The slots in a mask.
pub(super) fn slots(mask: u32) -> impl Iterator<Item = u8> {
    (0..SLOTS as u8).filter(move |slot| mask & bit(*slot) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Come(Turn),
        Go(u32),
        Halt,
        Isolate,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Come(Turn::Together)),
            1 => Just(Step::Come(Turn::Alone)),
            4 => any::<u32>().prop_map(Step::Go),
            1 => Just(Step::Halt),
            1 => Just(Step::Isolate),
        ]
    }

    proptest! {
        /// Kinds never mix, everybody gets a turn, and in the order they came; those that were put
        /// back come first.
        #[test]
        fn in_order_and_never_mixed(steps in proptest::collection::vec(step(), 0..200)) {
            let mut schedule = Schedule::new();
            let (mut alone, mut busy) = (0u32, 0u32);
            // In the order they are to be issued.
            let mut line: Vec<u8> = Vec::new();
            for step in steps.into_iter().chain([Step::Go(u32::MAX); 33]) {
                match step {
                    Step::Come(turn) => {
                        let Some(slot) = slots(!busy).next() else { continue };
                        schedule.push(slot, turn);
                        busy |= bit(slot);
                        line.push(slot);
                        alone &= !bit(slot);
                        alone |= if turn == Turn::Alone { bit(slot) } else { 0 };
                    }
                    Step::Go(mask) => {
                        busy &= !(schedule.issued() & mask);
                        schedule.done(mask);
                    }
                    Step::Halt => {
                        let again: Vec<u8> = slots(schedule.issued()).collect();
                        line.splice(0..0, again);
                        schedule.put_back();
                    }
                    Step::Isolate => {
                        alone |= schedule.issued();
                        schedule.isolate();
                    }
                }
                while let Some(slot) = schedule.next() {
                    prop_assert_eq!(slot, line.remove(0));
                    let issued = schedule.issued();
                    // Only those already there when they were isolated may be together.
                    prop_assert!(alone & bit(slot) == 0 || issued == bit(slot));
                    prop_assert!(issued & !bit(slot) & alone == 0);
                }
            }
            prop_assert!(schedule.is_empty() && line.is_empty());
        }
    }
}
