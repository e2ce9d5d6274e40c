//! Completion queue entries: two 64-bit words (NVMe 1.4, section 4.6).
//!
//! The phase bit tells new entries from those of the pass before: the driver clears the queue, the
//! first pass has phase 1, each further pass the other one.

use super::{CommandId, Status};

/// Whether an entry is of this pass over the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Bit clear.
    Zero,
    /// Bit set.
    One,
}

impl Phase {
    /// That of the first pass.
    pub const FIRST: Self = Self::One;

    /// That of the next pass.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::Zero => Self::One,
            Self::One => Self::Zero,
        }
    }

    /// The phase in the second word of an entry.
    pub const fn of(word: u64) -> Self {
        if word >> 48 & 1 == 1 { Self::One } else { Self::Zero }
    }
}

/// An entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// What the command gives back (command specific).
    pub result: u32,
    /// How far the controller has read the submission queue.
    pub submission_head: u16,
    /// The submission queue it came by.
    pub submission_queue: u16,
    /// What the command was called.
    pub id: CommandId,
    /// The entry's pass.
    pub phase: Phase,
    /// How it ended.
    pub status: Status,
}

impl Completion {
    /// Reads the two words of an entry. Any words are some entry.
    pub const fn read(words: [u64; 2]) -> Self {
        let status = (words[1] >> 49) as u16;
        Self {
            result: words[0] as u32,
            submission_head: words[1] as u16,
            submission_queue: (words[1] >> 16) as u16,
            id: (words[1] >> 32) as u16,
            phase: Phase::of(words[1]),
            status: Status {
                kind: (status >> 8 & 0b111) as u8,
                code: status as u8,
                do_not_retry: status >> 14 & 1 == 1,
            },
        }
    }

    /// The words of an entry.
    pub const fn words(&self) -> [u64; 2] {
        let Status { kind, code, do_not_retry } = self.status;
        let status = code as u64 | (kind as u64 & 0b111) << 8 | (do_not_retry as u64) << 14;
        let phase = matches!(self.phase, Phase::One) as u64;
        let high = self.submission_head as u64
            | (self.submission_queue as u64) << 16
            | (self.id as u64) << 32
            | phase << 48
            | status << 49;
        [self.result as u64, high]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_entry_as_it_lies_in_memory() {
        // LBA out of range, do not retry, phase 1, id 0x0102.
        let entry = Completion::read([9, 0x8101_0102_0001_0003]);
        assert_eq!((entry.result, entry.submission_head, entry.submission_queue), (9, 3, 1));
        assert_eq!((entry.id, entry.phase), (0x0102, Phase::One));
        assert_eq!(entry.status, Status { kind: 0, code: 0x80, do_not_retry: true });
        assert!(entry.status.is_out_of_range() && !entry.status.is_success());
    }

    proptest! {
        #[test]
        fn entries_survive(low: u32, high: u64) {
            let entry = Completion::read([u64::from(low), high]);
            prop_assert_eq!(Completion::read(entry.words()), entry);
            prop_assert_eq!(Phase::of(high), entry.phase);
            // All but the "more" and the retry-delay bits.
            prop_assert_eq!(entry.words()[1], high & !(0b111 << 60));
        }
    }
}
