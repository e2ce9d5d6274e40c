//! Finds connections that acknowledge the same again and again, with nobody asking.
//!
//! smoltcp's timer that asks for a window may run on when a connection has nothing left to send and
//! waits for its peer's end (FIN-WAIT-2): what it sends then does not set the timer anew, so it is
//! sent for ever, as fast as the device takes it. Whoever sends sees that by the frames.

use crate::fields::{array_at, u8_at};

use super::{ETHERNET, FLAGS, IPV4, IPV6, IPV6_HEADER, TCP};

/// So many alike are never meant: none is an answer to anything.
pub const REPEATED_MOST: u32 = 32;
/// How many are kept in mind.
const KEPT: usize = 4;

const ACKNOWLEDGE: u8 = 1 << 4;
const HEADER: usize = 20;

/// Ports, numbers and window of a segment.
type Key = [u8; 16];

/// The last acknowledgements that were sent unasked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repeated {
    kept: [(Key, u32); KEPT],
}

impl Repeated {
    /// A frame is sent that is no answer to one that has come. The local and the remote port of its
    /// connection, if that has said the same too often: it is to be aborted.
    #[inline]
    pub fn note(&mut self, frame: &[u8]) -> Option<(u16, u16)> {
        let key = acknowledgement(frame)?;
        let Some((_, count)) = self.kept.iter_mut().find(|(kept, _)| *kept == key) else {
            // The one seen least gives way.
            if let Some(least) = self.kept.iter_mut().min_by_key(|(_, count)| *count) {
                *least = (key, 1);
            }
            return None;
        };
        *count += 1;
        if *count < REPEATED_MOST {
            return None;
        }
        *count = 0;
        Some((u16::from_be_bytes([key[0], key[1]]), u16::from_be_bytes([key[2], key[3]])))
    }
}

/// What a segment says that acknowledges and nothing else, as smoltcp makes them: without options
/// of IP's.
fn acknowledgement(frame: &[u8]) -> Option<Key> {
    let start = match array_at(frame, 12)? {
        IPV4 if u8_at(frame, ETHERNET + 9)? == TCP => ETHERNET + 20,
        IPV6 if u8_at(frame, ETHERNET + 6)? == TCP => ETHERNET + IPV6_HEADER,
        _ => return None,
    };
    let is_bare = frame.len() == start + HEADER && u8_at(frame, start + FLAGS)? == ACKNOWLEDGE;
    if is_bare { array_at(frame, start) } else { None }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn segment(is_v6: bool, port: u16, number: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let (kind, at, header) = if is_v6 { (IPV6, 6, 40) } else { (IPV4, 9, 20) };
        let mut frame = std::vec![0; ETHERNET + header];
        frame[12..14].copy_from_slice(&kind);
        frame[ETHERNET + at] = TCP;
        frame.extend([0, 80]);
        frame.extend(port.to_be_bytes());
        frame.extend([0, 0, 0, number, 0, 0, 0, 0, 0x50, flags, 1, 0, 0, 0, 0, 0]);
        frame.extend(payload);
        frame
    }

    #[test]
    fn one_that_repeats_itself_is_found_among_others() {
        for is_v6 in [false, true] {
            let mut repeated = Repeated::default();
            let found = (0..200u8).find_map(|round| {
                // Others, which go on.
                for port in 2000..2003 {
                    assert_eq!(repeated.note(&segment(is_v6, port, round, 0x10, &[])), None);
                }
                repeated.note(&segment(is_v6, 1000, 7, 0x10, &[]))
            });
            assert_eq!(found, Some((80, 1000)));
        }
    }

    #[test]
    fn what_carries_something_may_be_repeated() {
        let mut repeated = Repeated::default();
        for _ in 0..200 {
            assert_eq!(repeated.note(&segment(false, 1000, 7, 0x10, &[0])), None);
            assert_eq!(repeated.note(&segment(false, 1000, 7, 0x11, &[])), None);
            assert_eq!(repeated.note(&segment(false, 1000, 7, 0x18, &[])), None);
        }
    }

    proptest! {
        #[test]
        fn no_frame_makes_it_panic(frames: Vec<Vec<u8>>) {
            let mut repeated = Repeated::default();
            for frame in &frames {
                let _ = repeated.note(frame);
            }
        }
    }
}
