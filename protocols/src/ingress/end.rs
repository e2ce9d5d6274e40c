//! What the stack is given after a segment that ends one direction of a connection: one of the same
//! connection whose data are so old that they can be nothing but acknowledged, at once.
//!
//! An end (FIN) counts as one byte. One that follows a window filled to its last byte is accepted by
//! smoltcp, whose next expected byte then lies beyond the window that it announced; a segment half
//! the sequence space away would stop it. With an acknowledgement the window is announced anew.

use crate::fields::{array_at, u8_at};

use super::{ETHERNET, FLAGS, IPV4, IPV6, IPV6_HEADER, RESET, TCP, payload_v6};

/// The longest frame that [`after_end`] makes.
pub const AFTER_END_BYTES: usize = ETHERNET + IPV6_HEADER + SEGMENT;
/// A TCP header and a byte.
const SEGMENT: usize = 20 + 1;
const IPV4_HEADER: usize = 20;
/// How far the byte lies in the past: nearer than half the sequence space, and beyond any window.
const PAST: u32 = 1 << 30;

const END: u8 = 1 << 0;
const BEGIN: u8 = 1 << 1;
const ACKNOWLEDGE: u8 = 1 << 4;
/// Where the checksum is in a TCP header.
const CHECKSUM: usize = 16;

/// A frame to be given to the stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AfterEnd {
    bytes: [u8; AFTER_END_BYTES],
    length: usize,
}

impl AfterEnd {
    /// The frame.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// What the stack is to be given after `frame`, if that ends one direction of a connection.
#[inline]
pub fn after_end(frame: &[u8]) -> Option<AfterEnd> {
    let (header, segment) = match array_at(frame, 12)? {
        IPV4 if u8_at(frame, ETHERNET + 9)? == TCP => {
            let header = usize::from(u8_at(frame, ETHERNET)? & 0xf) * 4;
            (IPV4_HEADER, frame.get(ETHERNET + header..)?)
        }
        IPV6 => match payload_v6(frame)? {
            (TCP, segment) => (IPV6_HEADER, segment),
            _ => return None,
        },
        _ => return None,
    };
    if u8_at(segment, FLAGS)? & (END | BEGIN | RESET) != END {
        return None;
    }
    Some(make(frame, header, segment))
}

#[cold]
fn make(frame: &[u8], header: usize, segment: &[u8]) -> AfterEnd {
    let mut bytes = [0; AFTER_END_BYTES];
    let length = ETHERNET + header + SEGMENT;
    let copied = ETHERNET + header;
    bytes.iter_mut().zip(frame.iter().take(copied)).for_each(|(to, from)| *to = *from);
    let (network, transport) = bytes[ETHERNET..length].split_at_mut(header);
    if header == IPV4_HEADER {
        network[0] = 0x45;
        network[2..4].copy_from_slice(&((IPV4_HEADER + SEGMENT) as u16).to_be_bytes());
        network[6..8].fill(0);
        network[10..12].fill(0);
        let sum = !sum(network, 0);
        network[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        network[4..6].copy_from_slice(&(SEGMENT as u16).to_be_bytes());
        network[6] = TCP;
    }
    // Ports, sequence, what it acknowledges.
    transport.iter_mut().zip(segment.iter().take(12)).for_each(|(to, from)| *to = *from);
    let sequence = array_at(segment, 4).map_or(0, u32::from_be_bytes).wrapping_sub(PAST);
    transport[4..8].copy_from_slice(&sequence.to_be_bytes());
    transport[12] = 5 << 4;
    transport[FLAGS] = ACKNOWLEDGE;
    // The same window: else this would be an update of it.
    transport[14..16].copy_from_slice(&array_at::<2>(segment, 14).unwrap_or_default());
    let addresses = if header == IPV4_HEADER { &network[12..20] } else { &network[8..40] };
    let pseudo = sum(addresses, u32::from(TCP) + SEGMENT as u32);
    let sum = !sum(transport, u32::from(pseudo));
    transport[CHECKSUM..CHECKSUM + 2].copy_from_slice(&sum.to_be_bytes());
    AfterEnd { bytes, length }
}

/// The sum of 16-bit words in one's complement (RFC 1071).
fn sum(bytes: &[u8], start: u32) -> u16 {
    let pairs = bytes.chunks(2);
    let words = pairs.map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum = words.fold(start, |sum, word| sum + word);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn frame(kind: [u8; 2], header: usize, flags: u8, rest: &[u8]) -> Vec<u8> {
        let mut frame = std::vec![7; ETHERNET + header];
        frame[12..14].copy_from_slice(&kind);
        (frame[ETHERNET], frame[ETHERNET + 6], frame[ETHERNET + 9]) = (0x45, TCP, TCP);
        frame.extend([0, 80, 1, 2, 0, 0, 0, 5, 9, 9, 9, 9, 0x50, flags, 3, 4, 0, 0, 0, 0]);
        frame.extend(rest);
        frame
    }

    #[test]
    fn it_is_of_the_same_connection_and_old() {
        for (kind, header) in [(IPV4, 20), (IPV6, 40)] {
            let whole = frame(kind, header, END | ACKNOWLEDGE, b"data");
            let after = after_end(&whole).expect("it ends");
            let bytes = after.bytes();
            assert_eq!(bytes.len(), ETHERNET + header + 21);
            assert_eq!(bytes[..14], whole[..14]);
            let segment = &bytes[ETHERNET + header..];
            assert_eq!(segment[..4], [0, 80, 1, 2]);
            assert_eq!(segment[4..8], (5u32.wrapping_sub(1 << 30)).to_be_bytes());
            assert_eq!(segment[8..16], [9, 9, 9, 9, 0x50, 0x10, 3, 4]);
            let ends = if header == 20 { 26..34 } else { 22..54 };
            let pseudo = sum(&bytes[ends], u32::from(TCP) + 21);
            assert_eq!(sum(segment, u32::from(pseudo)), 0xffff, "its checksum is right");
            if header == 20 {
                assert_eq!(sum(&bytes[ETHERNET..ETHERNET + 20], 0), 0xffff);
            }
            assert_eq!(after_end(bytes), None);
        }
    }

    #[test]
    fn nothing_follows_others() {
        for flags in [0, ACKNOWLEDGE, END | BEGIN, END | RESET, BEGIN, RESET] {
            assert_eq!(after_end(&frame(IPV4, 20, flags, &[])), None);
        }
        assert_eq!(after_end(&frame([8, 6], 20, END, &[])), None);
    }

    proptest! {
        #[test]
        fn no_frame_makes_it_panic(v6: bool, first: u8, rest: Vec<u8>, cut: usize) {
            let (kind, header) = if v6 { (IPV6, 40) } else { (IPV4, 20) };
            let mut whole = frame(kind, header, END, &rest);
            whole[ETHERNET] = first;
            let _ = after_end(&whole);
            let _ = after_end(&whole[..cut % whole.len()]);
            let _ = after_end(&rest);
        }
    }
}
