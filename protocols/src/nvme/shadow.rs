//! Doorbells in memory (NVMe 1.4, sections 5.7 and 7.13): a driver writes its tails and heads to a
//! page, as the registers would hold them, and writes the register itself only when that moves past
//! the value at which the controller has said it wants to hear of it.

use super::{PAGE_BYTES, QueueDoorbell};

/// Where a doorbell lies in its page: in which word of 64 bits, and how far up in that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShadowPlace {
    /// The word.
    pub word: usize,
    /// Bits to the left of the low end: 0 or 32.
    pub shift: u32,
}

impl ShadowPlace {
    /// The doorbell of queue pair `queue`, where the registers are `stride` bytes apart. `None`: it
    /// is not in the page.
    pub const fn new(queue: u16, which: QueueDoorbell, stride: usize) -> Option<Self> {
        let index = 2 * queue as usize
            + match which {
                QueueDoorbell::SubmissionTail => 0,
                QueueDoorbell::CompletionHead => 1,
            };
        let offset = index.saturating_mul(stride);
        if offset >= PAGE_BYTES {
            return None;
        }
        Some(Self { word: offset / 8, shift: (offset % 8) as u32 * 8 })
    }

    /// The doorbell's value in its word.
    pub const fn value(self, word: u64) -> u32 {
        (word >> self.shift) as u32
    }

    /// The bits in which the word differs once the doorbell has gone from `old` to `new`.
    pub const fn change(self, old: u32, new: u32) -> u64 {
        ((old ^ new) as u64) << self.shift
    }
}

/// Whether the controller wants the register written when a doorbell goes from `old` to `new`,
/// having asked to hear when it passes `event`. All go around; with a ring of any size the
/// arithmetic of 16 bits keeps their order.
pub const fn wants_ring(event: u32, old: u32, new: u32) -> bool {
    let (event, old, new) = (event as u16, old as u16, new as u16);
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn places() {
        let tail = ShadowPlace::new(3, QueueDoorbell::SubmissionTail, 4);
        let head = ShadowPlace::new(3, QueueDoorbell::CompletionHead, 4);
        assert_eq!(tail, Some(ShadowPlace { word: 3, shift: 0 }));
        assert_eq!(head, Some(ShadowPlace { word: 3, shift: 32 }));
        let wide = ShadowPlace::new(1, QueueDoorbell::CompletionHead, 16);
        assert_eq!(wide, Some(ShadowPlace { word: 6, shift: 0 }));
        assert_eq!(ShadowPlace::new(512, QueueDoorbell::SubmissionTail, 4), None);
        assert_eq!(ShadowPlace::new(u16::MAX, QueueDoorbell::CompletionHead, 1 << 17), None);
    }

    proptest! {
        /// It rings exactly if the event lies among the entries that are new.
        #[test]
        fn rings_if_the_event_is_passed(
            entries in 2u32..65_536,
            old in any::<u32>(),
            fresh in any::<u32>(),
            event in any::<u32>(),
        ) {
            let (old, fresh, event) = (old % entries, fresh % entries, event % entries);
            let new = (old + fresh) % entries;
            let is_passed = (event + entries - old) % entries < fresh;
            prop_assert_eq!(wants_ring(event, old, new), is_passed);
        }

        #[test]
        fn values_go_in_and_come_out(word: u64, new: u32, shift in prop_oneof![Just(0u32), Just(32)]) {
            let place = ShadowPlace { word: 0, shift };
            let changed = word ^ place.change(place.value(word), new);
            prop_assert_eq!(place.value(changed), new);
            let other = ShadowPlace { word: 0, shift: 32 - shift };
            prop_assert_eq!(other.value(changed), other.value(word));
        }
    }
}
