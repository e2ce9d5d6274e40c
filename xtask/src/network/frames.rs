//! Frames made by hand, with right lengths and checksums, for the flood to send or to spoil.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Ethernet, IPv4 and IPv6 addresses of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Station {
    /// Ethernet.
    pub mac: [u8; 6],
    /// IPv4.
    pub ip: Ipv4Addr,
    /// IPv6.
    pub ip6: Ipv6Addr,
}

/// Everybody.
pub const BROADCAST: [u8; 6] = [0xff; 6];

pub const ARP: u16 = 0x0806;
pub const IPV4: u16 = 0x0800;
pub const IPV6: u16 = 0x86dd;
pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMPV6: u8 = 58;

/// Flags of TCP (RFC 9293, 3.1).
pub mod flag {
    pub const FIN: u8 = 1;
    pub const SYN: u8 = 2;
    pub const RST: u8 = 4;
    pub const PSH: u8 = 8;
    pub const ACK: u8 = 16;
}

/// An Ethernet frame, as short as it comes: devices pad.
pub fn ethernet(from: [u8; 6], to: [u8; 6], kind: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from[..], &kind.to_be_bytes(), payload].concat()
}

/// ARP (RFC 826): operation 1 asks, 2 answers.
pub fn arp(operation: u16, from: &Station, to_mac: [u8; 6], to_ip: Ipv4Addr) -> Vec<u8> {
    let head = [0, 1, 8, 0, 6, 4];
    let (sender, target) = (from.ip.octets(), to_ip.octets());
    [&head[..], &operation.to_be_bytes(), &from.mac, &sender, &to_mac, &target].concat()
}

/// Where a fragment lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fragment {
    /// Names the packet.
    pub identification: u16,
    /// In bytes, a multiple of 8.
    pub offset: u16,
    /// More come.
    pub more: bool,
}

/// An IPv4 packet (RFC 791).
pub fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, part: Fragment, payload: &[u8]) -> Vec<u8> {
    let length = (20 + payload.len()) as u16;
    let place = (part.offset / 8) | if part.more { 0x2000 } else { 0 };
    let mut head = vec![0x45, 0];
    head.extend(length.to_be_bytes());
    head.extend(part.identification.to_be_bytes());
    head.extend(place.to_be_bytes());
    head.extend([64, protocol, 0, 0]);
    head.extend(from.octets());
    head.extend(to.octets());
    let sum = checksum(&[&head]);
    head[10..12].copy_from_slice(&sum.to_be_bytes());
    head.extend_from_slice(payload);
    head
}

/// An IPv6 packet (RFC 8200).
pub fn ipv6(from: Ipv6Addr, to: Ipv6Addr, protocol: u8, hops: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([protocol, hops]);
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend_from_slice(payload);
    packet
}

/// The sum of a packet's ends that TCP, UDP and ICMPv6 count in.
pub fn pseudo_v4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, length: usize) -> Vec<u8> {
    let length = (length as u16).to_be_bytes();
    [&from.octets()[..], &to.octets(), &[0, protocol], &length].concat()
}

/// The same of IPv6 (RFC 8200, 8.1).
pub fn pseudo_v6(from: Ipv6Addr, to: Ipv6Addr, protocol: u8, length: usize) -> Vec<u8> {
    let length = (length as u32).to_be_bytes();
    [&from.octets()[..], &to.octets(), &length, &[0, 0, 0, protocol]].concat()
}

/// A UDP datagram (RFC 768) over IPv4.
pub fn udp(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), payload: &[u8]) -> Vec<u8> {
    let length = 8 + payload.len();
    let mut packet = [from.1, to.1, length as u16, 0].map(u16::to_be_bytes).concat();
    packet.extend_from_slice(payload);
    let sum = match checksum(&[&pseudo_v4(from.0, to.0, UDP, length), &packet]) {
        // Zero would be none.
        0 => 0xffff,
        sum => sum,
    };
    packet[6..8].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// What a TCP segment says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Sequence and acknowledgement numbers.
    pub numbers: [u32; 2],
    /// [`flag`]s.
    pub flags: u8,
    /// Window.
    pub window: u16,
    /// Options; padded to four bytes.
    pub options: Vec<u8>,
}

/// A TCP segment (RFC 9293, 3.1) over IPv4.
pub fn tcp(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), segment: &Segment, data: &[u8]) -> Vec<u8> {
    let mut options = segment.options.clone();
    options.resize(options.len().next_multiple_of(4).min(40), 0);
    let words = (20 + options.len()) / 4;
    let mut packet = [from.1, to.1].map(u16::to_be_bytes).concat();
    packet.extend(segment.numbers.map(u32::to_be_bytes).concat());
    packet.extend([(words as u8) << 4, segment.flags]);
    packet.extend(segment.window.to_be_bytes());
    packet.extend([0; 4]);
    packet.extend_from_slice(&options);
    packet.extend_from_slice(data);
    let sum = checksum(&[&pseudo_v4(from.0, to.0, TCP, packet.len()), &packet]);
    packet[16..18].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// A message of ICMP (RFC 792), whose bytes 2 and 3 are the checksum's.
pub fn icmp(mut message: Vec<u8>) -> Vec<u8> {
    seal(&mut message, 2, &[]);
    message
}

/// A message of ICMPv6 (RFC 4443) between these two.
pub fn icmpv6(from: Ipv6Addr, to: Ipv6Addr, mut message: Vec<u8>) -> Vec<u8> {
    let pseudo = pseudo_v6(from, to, ICMPV6, message.len());
    seal(&mut message, 2, &pseudo);
    message
}

/// Puts the checksum of `pseudo` and `message` at byte `at` of it, where it is long enough.
pub fn seal(message: &mut [u8], at: usize, pseudo: &[u8]) {
    if let Some(field) = message.get_mut(at..at + 2) {
        field.copy_from_slice(&[0, 0]);
        let sum = checksum(&[pseudo, message]);
        message[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
}

/// The internet checksum (RFC 1071) of parts of even length, but for the last.
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u64;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const B: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);

    #[test]
    fn checksums_add_up_to_nothing() {
        let datagram = udp((A, 53), (B, 1053), b"odd");
        assert_eq!(checksum(&[&pseudo_v4(A, B, UDP, datagram.len()), &datagram]), 0);
        let segment =
            Segment { flags: flag::SYN, options: vec![2, 4, 5, 180], ..Segment::default() };
        let segment = tcp((A, 1), (B, 80), &segment, b"data");
        assert_eq!((segment.len(), segment[12] >> 4), (28, 6));
        assert_eq!(checksum(&[&pseudo_v4(A, B, TCP, segment.len()), &segment]), 0);
        let packet = ipv4(A, B, TCP, Fragment::default(), &segment);
        assert_eq!((checksum(&[&packet[..20]]), packet.len()), (0, 48));
        let echo = icmp(vec![8, 0, 0, 0, 0, 1, 0, 1, 9]);
        assert_eq!(checksum(&[&echo]), 0);
        let (a, b) = (Ipv6Addr::LOCALHOST, Ipv6Addr::UNSPECIFIED);
        let message = icmpv6(a, b, vec![128, 0, 0, 0, 0, 1, 0, 1]);
        assert_eq!(checksum(&[&pseudo_v6(a, b, ICMPV6, message.len()), &message]), 0);
    }

    /// The example of RFC 1071, 3.
    #[test]
    fn the_checksum_is_the_internets() {
        assert_eq!(checksum(&[&[0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
    }

    #[test]
    fn fragments_say_where_they_lie() {
        let part = Fragment { identification: 7, offset: 1480, more: true };
        let packet = ipv4(A, B, UDP, part, &[0; 8]);
        assert_eq!(packet[4..8], [0, 7, 0x20, 185]);
    }

    #[test]
    fn arp_is_28_bytes() {
        let station = Station { mac: [2; 6], ip: A, ip6: Ipv6Addr::LOCALHOST };
        let message = arp(1, &station, [0; 6], B);
        assert_eq!((message.len(), message[7], &message[24..]), (28, 1, &B.octets()[..]));
    }
}
