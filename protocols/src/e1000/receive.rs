//! Legacy receive descriptors (SDM, 3.2.3): 16 bytes, the address of a buffer, then what the device
//! writes about the frame it put there.

const DONE: u64 = 1 << 32;
const END: u64 = 1 << 33;
const SUMS_IGNORED: u64 = 1 << 34;
const UDP_CHECKED: u64 = 1 << 36;
const TCP_CHECKED: u64 = 1 << 37;
const IP_CHECKED: u64 = 1 << 38;
const TCP_WRONG: u64 = 1 << 45;
const IP_WRONG: u64 = 1 << 46;
/// FCS, symbol, sequence, carrier extension, data.
const DAMAGED: u64 = 1 << 40 | 1 << 41 | 1 << 42 | 1 << 44 | 1 << 47;

/// A receive descriptor as two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiveDescriptor(pub [u64; 2]);

/// What the device says of the frame's checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sums {
    /// Not checked, or not all of them.
    Unchecked,
    /// The IP header's is right, and so is that of TCP or UDP.
    Right,
    /// That of TCP or UDP is right, and no IP header's was checked: IPv6, which has none.
    TransportRight,
}

/// What has become of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// The device has not used it yet.
    NotYet,
    /// A frame of so many bytes.
    Frame {
        /// Bytes, without FCS.
        bytes: u16,
        /// Its checksums.
        sums: Sums,
    },
    /// A frame that is of no use.
    Damaged(Damage),
    /// What no working device writes: no length, or a frame that goes on in another buffer although
    /// it fits into one. The device has to be reset.
    Impossible,
}

/// Why a frame is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Damaged on the wire, or shorter than its header.
    Wire,
    /// A checksum that the device has checked is wrong.
    Checksum,
}

/// Bytes of an Ethernet header.
const HEADER_BYTES: u16 = 14;

impl ReceiveDescriptor {
    /// For the device to fill a buffer.
    #[inline]
    pub const fn empty(address: u64) -> Self {
        Self([address, 0])
    }

    /// What the device has done, from the second word; `buffer_bytes`: how much it may have
    /// written.
    #[inline]
    pub const fn received(word: u64, buffer_bytes: u16) -> Received {
        if word & DONE == 0 {
            return Received::NotYet;
        }
        let bytes = word as u16;
        if word & END == 0 || bytes == 0 || bytes > buffer_bytes {
            return Received::Impossible;
        }
        if word & DAMAGED != 0 || bytes < HEADER_BYTES {
            return Received::Damaged(Damage::Wire);
        }
        if word & SUMS_IGNORED != 0 {
            return Received::Frame { bytes, sums: Sums::Unchecked };
        }
        let (ip, transport) = (word & IP_CHECKED != 0, word & (TCP_CHECKED | UDP_CHECKED) != 0);
        if ip && word & IP_WRONG != 0 || transport && word & TCP_WRONG != 0 {
            return Received::Damaged(Damage::Checksum);
        }
        let sums = match (ip, transport) {
            (true, true) => Sums::Right,
            (false, true) => Sums::TransportRight,
            (_, false) => Sums::Unchecked,
        };
        Received::Frame { bytes, sums }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(status: u64, errors: u64, bytes: u64) -> Received {
        ReceiveDescriptor::received(errors << 40 | status << 32 | bytes, 2048)
    }

    #[test]
    fn frames_and_what_is_said_of_them() {
        assert_eq!(read(0, 0, 60), Received::NotYet);
        assert_eq!(read(0x07, 0, 60), Received::Frame { bytes: 60, sums: Sums::Unchecked });
        assert_eq!(read(0x63, 0, 60), Received::Frame { bytes: 60, sums: Sums::Right });
        assert_eq!(read(0x73, 0, 60), Received::Frame { bytes: 60, sums: Sums::Right });
        assert_eq!(read(0x43, 0, 60), Received::Frame { bytes: 60, sums: Sums::Unchecked });
        assert_eq!(read(0x23, 0, 60), Received::Frame { bytes: 60, sums: Sums::TransportRight });
        assert_eq!(read(0x67, 0x60, 60), Received::Frame { bytes: 60, sums: Sums::Unchecked });
    }

    #[test]
    fn what_is_wrong() {
        assert_eq!(read(0x63, 0x20, 60), Received::Damaged(Damage::Checksum));
        assert_eq!(read(0x63, 0x40, 60), Received::Damaged(Damage::Checksum));
        assert_eq!(read(0x43, 0x20, 60), Received::Frame { bytes: 60, sums: Sums::Unchecked });
        assert_eq!(read(0x03, 0x01, 60), Received::Damaged(Damage::Wire));
        assert_eq!(read(0x03, 0, 13), Received::Damaged(Damage::Wire));
        for (status, bytes) in [(0x03, 0), (0x01, 60), (0x03, 2049), (0x03, 0xffff)] {
            assert_eq!(read(status, 0, bytes), Received::Impossible);
        }
        assert_eq!(ReceiveDescriptor::received(u64::MAX, 2048), Received::Impossible);
    }

    proptest! {
        #[test]
        fn any_word_is_read_and_no_frame_is_longer_than_its_buffer(word: u64, buffer: u16) {
            match ReceiveDescriptor::received(word, buffer) {
                Received::Frame { bytes, .. } => prop_assert!((14..=buffer).contains(&bytes)),
                Received::NotYet => prop_assert_eq!(word >> 32 & 1, 0),
                Received::Damaged(_) | Received::Impossible => prop_assert_eq!(word >> 32 & 1, 1),
            }
        }
    }
}
