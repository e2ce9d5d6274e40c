//! SysLog as a program reads it ([`super::Syscall::SysLogRead`]): every system call's request and
//! response, in one ring per core.
//!
//! A call answered on the spot is one record with its result in it. One that had to wait is two:
//! the request, whose result says [`PENDING`], and, when it is answered, a response. Where a message
//! goes straight to a waiting thread of the same core, one record is the sender's request and the
//! receiver's response at once: [`Event::Delivered`].

use super::message::Sender;

/// The result of a call that had not been answered when its request was recorded.
pub const PENDING: u64 = 1 << 63;

/// What a record tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Event {
    /// A call: its first four arguments and, unless pending, its result.
    Request = 0,
    /// The answer to a call that waited: `rdx`, or of a message its sender, info and first two
    /// words.
    Response = 1,
    /// A `Call` or `ReplyReceive` whose message answered the waiting call of the thread in `result`
    /// (its [`Sender`] stamp): info and first words are in the values. The sender's own call is
    /// pending.
    Delivered = 2,
}

impl Event {
    /// The event of a number.
    pub const fn from_raw(raw: u8) -> Option<Self> {
        match raw {
            0 => Some(Self::Request),
            1 => Some(Self::Response),
            2 => Some(Self::Delivered),
            _ => None,
        }
    }
}

/// One event. Its sequence number is not in it: records come in order and without gaps, and the
/// call that copies them tells the number of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it tells.
    pub event: Event,
    /// The call's number as the caller gave it, cut to 8 bits.
    pub number: u8,
    /// The thread.
    pub stamp: Sender,
    /// When, in TSC ticks.
    pub tsc: u64,
    /// Arguments or response values.
    pub values: [u64; 4],
    /// `rax`, or [`PENDING`].
    pub result: u64,
}

impl Record {
    /// Bytes of one.
    pub const BYTES: usize = 64;

    /// Little-endian: call number (1), event (1), 6 zero, thread, TSC, four values, result (8
    /// each).
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let [v0, v1, v2, v3] = self.values;
        let what = u64::from(self.number) | u64::from(self.event as u8) << 8;
        let words = [what, self.stamp.0, self.tsc, v0, v1, v2, v3, self.result];
        let mut bytes = [0; Self::BYTES];
        for (slot, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *slot = word.to_le_bytes();
        }
        bytes
    }

    /// Reads what [`Record::to_bytes`] wrote; `None` if this version does not know the event.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let word = |at: usize| {
            let mut le = [0; 8];
            le.copy_from_slice(&bytes[at * 8..at * 8 + 8]);
            u64::from_le_bytes(le)
        };
        Some(Self {
            event: Event::from_raw(bytes[1])?,
            number: bytes[0],
            stamp: Sender(word(1)),
            tsc: word(2),
            values: core::array::from_fn(|at| word(3 + at)),
            result: word(7),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(head: [u8; 32], tail: [u8; 32]) {
            let mut bytes = [0; Record::BYTES];
            bytes[..32].copy_from_slice(&head);
            bytes[32..].copy_from_slice(&tail);
            bytes[2..8].fill(0);
            prop_assert_eq!(Record::from_bytes(&bytes).is_some(), bytes[1] <= 2);
            if let Some(record) = Record::from_bytes(&bytes) {
                prop_assert_eq!(record.to_bytes(), bytes);
            }
        }
    }

    #[test]
    fn lies_as_the_kernel_keeps_it() {
        let record = Record {
            event: Event::Delivered,
            number: 18,
            stamp: Sender::new(2, 3),
            tsc: 5,
            values: [6, 7, 8, 9],
            result: PENDING,
        };
        let bytes = record.to_bytes();
        assert_eq!(bytes[..10], [18, 2, 0, 0, 0, 0, 0, 0, 3, 0]);
        assert_eq!((bytes[12], bytes[16], bytes[24], bytes[48], bytes[63]), (2, 5, 6, 9, 0x80));
    }
}
