//! Datagrams in pieces (RFC 791, 3.2): too many, too few, one upon the other, and beyond the end.

use super::forge::PORTS;
use super::frame::{
    ETHERNET, Frame, ICMP, IGMP, PEER_IP, Segment, TCP, UDP, VICTIM_IP, ipv4, ipv4_piece, tcp, udp,
};
use super::numbers::Numbers;
use super::seen::Seen;

/// A piece of a datagram: with others it is whole, has holes, overlaps, or is too long.
pub fn piece(numbers: &mut Numbers) -> Frame {
    let bytes = numbers.pick(&[0, 8, 16, 64, 512, 1400, 1480]) + numbers.pick(&[0, 0, 0, 1, 7]);
    let offset = match numbers.below(4) {
        0 => numbers.word() as u16 & 0x1fff,
        1 => numbers.pick(&[0x1fff, 0x1ffe, 0x1f48, 0x1000]),
        _ => numbers.pick(&[0, 1, 2, 8, 64, 175, 185, 350]),
    };
    let more = if numbers.one_in(2) { 0x2000 } else { 0 };
    let payload = if offset == 0 {
        let head = udp(2000, numbers.pick(&PORTS), &numbers.bytes(bytes));
        match numbers.below(3) {
            0 => [&[8, 0, 0, 0][..], &head].concat(),
            _ => head,
        }
    } else {
        numbers.bytes(bytes)
    };
    let protocol = numbers.pick(&[UDP, UDP, ICMP, TCP, IGMP, 99]);
    let ident = numbers.below(6) as u16;
    ipv4_piece(PEER_IP, VICTIM_IP, protocol, ident, offset | more, &payload)
}

/// All pieces of one long datagram, in some order: they fill the longest there is, and more.
pub fn whole_in_pieces(numbers: &mut Numbers, seen: &Seen) -> Vec<Frame> {
    let total = numbers.pick(&[3000, 20_000, 65_000, 65_507, 65_515, 66_900]);
    let protocol = numbers.pick(&[UDP, ICMP, TCP, TCP, 99]);
    let ident = 100 + numbers.below(4) as u16;
    let datagram = long(numbers, seen, protocol, total);
    let size = numbers.pick(&[1480, 1400, 800]);
    let mut pieces: Vec<Frame> = datagram
        .chunks(size)
        .enumerate()
        .map(|(index, part)| {
            let at = index * size;
            let more = if at + part.len() < total { 0x2000 } else { 0 };
            ipv4_piece(PEER_IP, VICTIM_IP, protocol, ident, (at / 8) as u16 | more, part)
        })
        .collect();
    if numbers.one_in(3) {
        pieces.reverse();
    }
    if numbers.one_in(4) {
        pieces.remove(numbers.below(pieces.len()));
    }
    pieces
}

/// A datagram of `total` bytes, its checksum right if it is not too long for that.
fn long(numbers: &mut Numbers, seen: &Seen, protocol: u8, total: usize) -> Vec<u8> {
    let mut datagram = match (protocol, seen.flows.last()) {
        (UDP, _) => udp(2000, numbers.pick(&PORTS), &[]),
        (TCP, Some(flow)) => tcp(&Segment {
            ports: flow.ports,
            sequence: flow.sequence.wrapping_sub(numbers.pick(&[0, 0, 1, 5000])),
            acknowledges: flow.acknowledges,
            flags: numbers.pick(&[0x18, 0x10, 0x11, 0x02, 0x38]),
            window: 0xffff,
            options: &[],
            payload: &[],
        }),
        _ => vec![8, 0, 0, 0, 0, 1, 0, 1],
    };
    datagram.resize(total, 0x5a);
    if protocol == UDP {
        datagram[4..6].copy_from_slice(&(total as u16).to_be_bytes());
    }
    // A frame's own repair does not reach into its pieces.
    let whole = ipv4(PEER_IP, VICTIM_IP, protocol, &datagram);
    whole[ETHERNET + 20..].to_vec()
}
