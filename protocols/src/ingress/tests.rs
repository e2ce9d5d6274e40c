//! Frames that are refused, and those that are not.

extern crate std;

use super::*;
use proptest::prelude::*;
use std::vec::Vec;

/// A frame of IPv6 with this message, behind a hop-by-hop header of so many units of 8 bytes.
fn frame(hop_by_hop: Option<u8>, message: &[u8]) -> Vec<u8> {
    let mut frame = std::vec![0; ETHERNET + IPV6_HEADER];
    frame[12..14].copy_from_slice(&IPV6);
    frame[ETHERNET + 6] = if hop_by_hop.is_some() { HOP_BY_HOP } else { ICMPV6 };
    if let Some(eights) = hop_by_hop {
        frame.extend([ICMPV6, eights]);
        frame.resize(frame.len() + 6 + usize::from(eights) * 8, 0);
    }
    frame.extend(message);
    frame
}

fn query(group: [u8; 16]) -> Vec<u8> {
    [&[GROUP_QUERY, 0, 0, 0, 0, 1, 0, 0][..], &group, &[0; 4]].concat()
}

fn advertisement(options: &[u8]) -> Vec<u8> {
    let mut message = std::vec![0; ADVERTISEMENT_HEADER];
    message[0] = ROUTER_ADVERTISEMENT;
    message.extend(options);
    message
}

fn prefix(bits: u8, first: u8) -> [u8; 32] {
    let mut option = [0; 32];
    (option[0], option[1], option[2], option[16]) = (PREFIX, 4, bits, first);
    option
}

#[test]
fn what_stops_smoltcp_is_refused() {
    for hop_by_hop in [None, Some(0), Some(2)] {
        let verdict = |message: &[u8]| inspect(&frame(hop_by_hop, message));
        assert_eq!(verdict(&advertisement(&prefix(64, 0x20))), Ok(()));
        assert_eq!(verdict(&advertisement(&prefix(128, 0x20))), Ok(()));
        assert_eq!(verdict(&advertisement(&prefix(129, 0x20))), Err(Refusal::Prefix));
        assert_eq!(verdict(&advertisement(&prefix(64, 0xff))), Err(Refusal::Prefix));
        // Behind others.
        let source = [1, 1, 2, 0, 0, 0, 0, 1];
        let options = [&source[..], &prefix(64, 0x20), &prefix(255, 0x20)].concat();
        assert_eq!(verdict(&advertisement(&options)), Err(Refusal::Prefix));
        let mut own = [0; 16];
        (own[0], own[15]) = (0xfe, 1);
        assert_eq!(verdict(&query(own)), Err(Refusal::Group));
        own[0] = 0xff;
        assert_eq!(verdict(&query(own)), Ok(()));
        assert_eq!(verdict(&query([0; 16])), Ok(()), "about all groups");
    }
}

#[test]
fn others_are_let_through() {
    assert_eq!(inspect(&[]), Ok(()));
    let mut arp = frame(None, &query([1; 16]));
    arp[12..14].copy_from_slice(&[8, 6]);
    assert_eq!(inspect(&arp), Ok(()));
    let whole = frame(Some(0), &advertisement(&prefix(200, 0x20)));
    assert_eq!(inspect(&whole[..whole.len() - 30]), Ok(()), "its prefix is not there");
}

/// A frame of TCP in IPv4, or a piece of one.
fn segment(flags: u8, place: u16, options: usize) -> Vec<u8> {
    let mut frame = std::vec![0; ETHERNET + 20 + options + 20];
    frame[12..14].copy_from_slice(&IPV4);
    frame[ETHERNET] = 0x45 + (options / 4) as u8;
    frame[ETHERNET + 6..ETHERNET + 8].copy_from_slice(&place.to_be_bytes());
    frame[ETHERNET + 9] = TCP;
    frame[ETHERNET + 20 + options + FLAGS] = flags;
    frame
}

#[test]
fn resets_are_seen_and_pieces_of_tcp_are_not() {
    for options in [0, 4, 40] {
        assert!(is_reset(&segment(RESET, 0, options)) && is_reset(&segment(0xff, 0, options)));
        assert!(!is_reset(&segment(!RESET, 0, options)));
    }
    let mut v6 = frame(Some(1), &segment(RESET, 0, 0)[ETHERNET + 20..]);
    v6[ETHERNET + IPV6_HEADER] = TCP;
    assert!(is_reset(&v6) && inspect(&v6).is_ok());
    assert_eq!(inspect(&segment(RESET, 0x4000, 0)), Ok(()), "it may not be cut");
    assert_eq!(inspect(&segment(RESET, 0x2000, 0)), Err(Refusal::Piece));
    assert_eq!(inspect(&segment(RESET, 1, 0)), Err(Refusal::Piece));
    let mut datagram = segment(0, 0x2000, 0);
    datagram[ETHERNET + 9] = 17;
    assert_eq!(inspect(&datagram), Ok(()));
}

#[test]
fn capacities() {
    for (wanted, given) in [
        (0, 0),
        (4096, 4096),
        (65_535, 65_535),
        (65_536, 65_535),
        (131_070, 65_535),
        (131_071, 131_071),
        (512 << 10, (512 << 10) - 1),
    ] {
        assert_eq!(receive_capacity(wanted), given);
    }
}

proptest! {
    /// The window of a SYN, as smoltcp scales it, fits.
    #[test]
    fn a_capacity_holds_any_window(wanted: usize) {
        let capacity = receive_capacity(wanted);
        let shift = (usize::BITS - capacity.leading_zeros()).saturating_sub(16);
        prop_assert!(capacity <= wanted);
        prop_assert!((capacity.min(0xffff)) << shift <= capacity);
    }

    /// Whatever comes, and wherever it ends.
    #[test]
    fn no_frame_makes_it_panic(
        hop_by_hop: Option<u8>,
        kind in prop_oneof![Just(GROUP_QUERY), Just(ROUTER_ADVERTISEMENT), any::<u8>()],
        rest: Vec<u8>,
        cut: usize,
    ) {
        let whole = frame(hop_by_hop, &[&[kind][..], &rest].concat());
        let _ = inspect(&whole);
        let _ = inspect(&whole[..cut % whole.len()]);
        let _ = (inspect(&rest), is_reset(&whole), is_reset(&rest));
        let _ = is_reset(&whole[..cut % whole.len()]);
    }

    /// No option hides behind others.
    #[test]
    fn a_bad_prefix_is_found_behind_any_options(
        before in proptest::collection::vec((4u8..255, 1u8..6), 0..6), bits in 129u8..,
    ) {
        let mut options = Vec::new();
        for (kind, eights) in before {
            options.extend([kind, eights]);
            options.resize(options.len() - 2 + usize::from(eights) * 8, 0);
        }
        options.extend(prefix(bits, 0x20));
        prop_assert_eq!(inspect(&frame(None, &advertisement(&options))), Err(Refusal::Prefix));
    }
}
