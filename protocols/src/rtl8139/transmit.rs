//! The four transmit descriptors (sections 5.2 and 5.22). They are used one after the other.

/// How many there are.
pub const DESCRIPTORS: usize = 4;

/// The longest frame that is sent, without its check sequence.
pub const LONGEST_TRANSMIT: usize = 1514;

/// The length that a frame of `bytes` bytes has on the wire: the device fills nothing up.
pub const fn shortest_transmit(bytes: usize) -> usize {
    if bytes < 60 { 60 } else { bytes }
}

/// How much of a frame the device has before it begins to send it, in units of 32 bytes. More when
/// memory is too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold(u8);

impl Default for Threshold {
    /// 256 bytes.
    fn default() -> Self {
        Self(8)
    }
}

impl Threshold {
    /// 48 × 32 bytes: the longest frame.
    const MOST: u8 = 48;

    /// The next higher one.
    #[must_use]
    pub const fn raised(self) -> Self {
        if self.0 + 8 > Self::MOST { Self(Self::MOST) } else { Self(self.0 + 8) }
    }
}

/// What is written to a descriptor's register to have its frame of `bytes` bytes sent.
pub const fn send_command(bytes: usize, threshold: Threshold) -> u32 {
    (threshold.0 as u32) << 16 | (bytes as u32 & 0x1fff)
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The device has it still.
    UnderWay,
    /// It is on the wire.
    Sent,
    /// It is on the wire at the second attempt: memory was too slow at the first. Raise the
    /// [`Threshold`].
    SentLate,
    /// It was given up after too many collisions. The transmitter waits to be told what to do.
    Aborted,
}

/// All four descriptors at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary(pub u16);

impl Summary {
    /// Whether nothing answers there any more. (Nothing is both sent and aborted.)
    pub const fn is_gone(self) -> bool {
        self.0 == u16::MAX
    }

    /// What became of the frame in descriptor `index`.
    pub const fn fate(self, index: usize) -> Fate {
        let bits = self.0 >> (index % DESCRIPTORS);
        if bits & 1 << 12 != 0 {
            Fate::Sent
        } else if bits & 1 << 4 != 0 {
            Fate::Aborted
        } else if bits & 1 << 8 != 0 {
            Fate::SentLate
        } else {
            Fate::UnderWay
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fates() {
        assert_eq!(Summary(0x000f).fate(0), Fate::UnderWay, "fetched, not sent");
        let summary = Summary(0x1000 | 0x20 | 0x400);
        let fates = [0, 1, 2, 3].map(|index| summary.fate(index));
        assert_eq!(fates, [Fate::Sent, Fate::Aborted, Fate::SentLate, Fate::UnderWay]);
    }

    #[test]
    fn commands() {
        assert_eq!(send_command(1514, Threshold::default()), 0x0008_05ea);
        let mut threshold = Threshold::default();
        for _ in 0..10 {
            threshold = threshold.raised();
        }
        assert_eq!(send_command(60, threshold), 0x0030_003c);
        assert_eq!(shortest_transmit(42), 60);
        assert_eq!(shortest_transmit(61), 61);
    }

    proptest! {
        /// The bit by which the device knows a frame as its own is never set.
        #[test]
        fn a_command_gives_the_frame_to_the_device(bytes: usize, raises in 0..20, raw: u16) {
            let threshold = (0..raises).fold(Threshold::default(), |old, _| old.raised());
            let command = send_command(bytes, threshold);
            prop_assert_eq!(command & 0xffc0_e000, 0);
            prop_assert_eq!(command as usize & 0x1fff, bytes & 0x1fff);
            for index in 0..8 {
                prop_assert_eq!(Summary(raw).fate(index), Summary(raw).fate(index % 4));
            }
        }
    }
}
