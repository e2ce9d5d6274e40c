//! The header of a UDP test's datagrams, and what a receiver learns from it: loss and jitter.
//!
//! ```text
//! offset 0  4 bytes       seconds     ┐ when it was sent, by the sender's clock
//!        4  4 bytes       microseconds┘
//!        8  4 or 8 bytes  which datagram of the stream, from 1 on
//! ```
//!
//! Big-endian.

use crate::fields::array_at;

/// How long the counter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// 32 bits.
    Short,
    /// 64 bits.
    Long,
}

/// A datagram's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// When it was sent, in microseconds.
    pub sent_us: u64,
    /// Which it is, from 1 on.
    pub number: u64,
}

impl Header {
    /// The header that `datagram` begins with; `None`: it is too short for one.
    pub fn parse(datagram: &[u8], counter: Counter) -> Option<Self> {
        let word = |at| array_at(datagram, at).map(u32::from_be_bytes);
        let (seconds, micros) = (u64::from(word(0)?), u64::from(word(4)?));
        let number = match counter {
            Counter::Short => u64::from(word(8)?),
            Counter::Long => u64::from_be_bytes(array_at(datagram, 8)?),
        };
        Some(Self { sent_us: seconds * 1_000_000 + micros, number })
    }

    /// Puts it at the beginning of `datagram`, as far as it fits.
    pub fn emit(&self, datagram: &mut [u8], counter: Counter) {
        let mut bytes = [0; 16];
        let seconds = (self.sent_us / 1_000_000) as u32;
        bytes[..4].copy_from_slice(&seconds.to_be_bytes());
        bytes[4..8].copy_from_slice(&((self.sent_us % 1_000_000) as u32).to_be_bytes());
        let length = match counter {
            Counter::Short => {
                bytes[8..12].copy_from_slice(&(self.number as u32).to_be_bytes());
                12
            }
            Counter::Long => {
                bytes[8..].copy_from_slice(&self.number.to_be_bytes());
                16
            }
        };
        let length = length.min(datagram.len());
        datagram[..length].copy_from_slice(&bytes[..length]);
    }
}

/// What a stream's receiver keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receiver {
    /// The highest number that has come.
    highest: u64,
    lost: u64,
    /// The last datagram's time on the way, by two clocks.
    transit_us: Option<i64>,
    /// In nanoseconds: a sixteenth of a microsecond counts.
    jitter_ns: u64,
}

impl Receiver {
    /// A datagram has come at `now_us`.
    pub fn take(&mut self, header: Header, now_us: u64) {
        if header.number > self.highest {
            let skipped = header.number - self.highest - 1;
            self.lost = self.lost.saturating_add(skipped);
            self.highest = header.number;
        } else {
            // Late: it was counted as lost.
            self.lost = self.lost.saturating_sub(1);
        }
        let transit = (now_us as i64).wrapping_sub(header.sent_us as i64);
        if let Some(last) = self.transit_us.replace(transit) {
            let change_ns = transit.wrapping_sub(last).unsigned_abs().saturating_mul(1_000);
            let jitter = self.jitter_ns - self.jitter_ns / 16;
            self.jitter_ns = jitter.saturating_add(change_ns / 16);
        }
    }

    /// Datagrams that were sent, as far as the receiver knows.
    pub fn packets(&self) -> u64 {
        self.highest
    }

    /// Datagrams that have not come.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Variation of the time on the way, in microseconds.
    pub fn jitter_us(&self) -> u64 {
        self.jitter_ns / 1_000
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn loss_lateness_jitter() {
        let mut receiver = Receiver::default();
        for (number, now_us) in [(1, 1_000), (2, 2_000), (5, 5_000), (4, 6_000)] {
            receiver.take(Header { sent_us: number * 1_000, number }, now_us);
        }
        assert_eq!((receiver.packets(), receiver.lost()), (5, 1));
        assert_eq!(receiver.jitter_us(), 2_000 / 16);
    }

    proptest! {
        #[test]
        fn headers_survive(sent_us in 0u64..=u64::from(u32::MAX) * 1_000_000, number: u64) {
            let mut datagram = [0; 16];
            let header = Header { sent_us, number };
            header.emit(&mut datagram, Counter::Long);
            prop_assert_eq!(Header::parse(&datagram, Counter::Long), Some(header));
            header.emit(&mut datagram, Counter::Short);
            let short = Header { number: number & 0xffff_ffff, ..header };
            prop_assert_eq!(Header::parse(&datagram[..12], Counter::Short), Some(short));
            prop_assert_eq!(Header::parse(&datagram[..11], Counter::Short), None);
            header.emit(&mut datagram[..7], Counter::Long);
        }

        #[test]
        fn any_datagrams_are_counted(datagrams: Vec<([u8; 16], u64)>) {
            let mut receiver = Receiver::default();
            for (bytes, now_us) in &datagrams {
                if let Some(header) = Header::parse(bytes, Counter::Long) {
                    receiver.take(header, *now_us);
                }
            }
            prop_assert!(receiver.lost() <= receiver.packets());
        }

        /// In order and without loss, nothing is lost.
        #[test]
        fn all_are_there(count in 1u64..100) {
            let mut receiver = Receiver::default();
            for number in 1..=count {
                receiver.take(Header { sent_us: number, number }, number + 7);
            }
            prop_assert_eq!((receiver.packets(), receiver.lost(), receiver.jitter_us()), (count, 0, 0));
        }
    }
}
