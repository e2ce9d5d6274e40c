//! Frames that no honest neighbour sends: noise, nonsense of every protocol there is, and honest
//! frames with something wrong in them. As many as are asked for, the same for the same seed.
//!
//! They come from anybody but the host itself, whose ARP entry must stay what it is: forging that
//! is a thing Ethernet lets everybody do, and would cut the other connections off.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::frames::{
    ARP, BROADCAST, Fragment, ICMP, ICMPV6, IPV4, IPV6, Segment, Station, TCP, UDP, arp, ethernet,
    flag, icmp, icmpv6, ipv4, ipv6, tcp, udp,
};
use super::random::Random;

/// Ports of the guest at which something listens, or might.
const PORTS: &[u16] = &[7, 9, 19, 53, 68, 80, 80, 5201];
const LONGEST: u64 = 1514;

/// The generator.
#[derive(Debug)]
pub struct Flood {
    random: Random,
    guest: Station,
    host: Station,
}

impl Flood {
    /// Frames for `guest`, which knows `host`.
    pub fn new(seed: u64, guest: Station, host: Station) -> Self {
        Self { random: Random::new(seed), guest, host }
    }

    /// The next frame: of up to 1514 bytes for the most part, at times of one or of far too many.
    /// Never of none: QEMU takes that for a frame which the card refused, and waits for good.
    pub fn frame(&mut self) -> Vec<u8> {
        loop {
            let mut frame = match self.random.below(20) {
                0 => self.noise(),
                1 => self.odd_size(),
                2 | 3 => self.arp(),
                4 | 5 => self.fragment(),
                6 | 7 => self.icmp(),
                8 | 9 => self.icmpv6(),
                10 | 11 => self.dhcp(),
                12 | 13 => self.dns(),
                14 => self.datagram(),
                _ => self.segment(),
            };
            if self.random.below(2) == 0 {
                self.spoil(&mut frame);
            }
            if frame.is_empty() {
                frame.push(0);
            }
            if !self.forges_host(&frame) {
                return frame;
            }
        }
    }

    /// A request for a connection to `port` from somewhere on the internet, of which nothing more
    /// will be heard.
    pub fn syn(&mut self, port: u16) -> Vec<u8> {
        let from = (self.far_address(), self.random.below(60_000) as u16 + 1024);
        let segment = Segment {
            numbers: [self.random.next() as u32, 0],
            flags: flag::SYN,
            window: 64_240,
            options: vec![2, 4, 5, 180],
        };
        let segment = tcp(from, (self.guest.ip, port), &segment, &[]);
        let packet = ipv4(from.0, self.guest.ip, TCP, Fragment::default(), &segment);
        ethernet(self.host.mac, self.guest.mac, IPV4, &packet)
    }

    /// Whether it says that the host's IPv4 address is somewhere else.
    fn forges_host(&self, frame: &[u8]) -> bool {
        frame.get(12..14) == Some(&ARP.to_be_bytes())
            && frame.get(28..32) == Some(&self.host.ip.octets())
    }

    fn far_address(&mut self) -> Ipv4Addr {
        let [_, b, c, d] = (self.random.next() as u32).to_be_bytes();
        Ipv4Addr::new(self.random.pick(&[1, 8, 100, 203]), b, c, d | 1)
    }

    /// Somebody on the same cable.
    fn neighbour(&mut self) -> Station {
        let [_, _, _, d] = (self.random.next() as u32).to_be_bytes();
        let [a, b, c, _] = self.host.ip.octets();
        let mut mac = [0; 6];
        mac.copy_from_slice(&self.random.bytes(6));
        mac[0] = mac[0] & 0xfe | 2;
        let ip6 = Ipv6Addr::from((0xfe80 << 112) | u128::from(self.random.next()));
        Station { mac, ip: Ipv4Addr::new(a, b, c, d.max(20)), ip6 }
    }

    fn some(&mut self, most: u64) -> Vec<u8> {
        let count = self.random.below(most + 1);
        self.random.bytes(count as usize)
    }

    fn noise(&mut self) -> Vec<u8> {
        let mut frame = self.some(LONGEST);
        if self.random.below(2) == 0 && frame.len() >= 6 {
            frame[..6].copy_from_slice(&self.guest.mac);
        }
        frame
    }

    /// Shorter than a header, longer than Ethernet allows, longer than a jumbo frame.
    fn odd_size(&mut self) -> Vec<u8> {
        let size = match self.random.below(4) {
            0 => self.random.below(15),
            1 => 1515 + self.random.below(10),
            2 => 1515 + self.random.below(8000),
            _ => 9000 + self.random.below(56_000),
        };
        let payload = vec![0x5a; (size as usize).saturating_sub(14)];
        let mut frame = ethernet(self.host.mac, self.guest.mac, IPV4, &payload);
        frame.truncate(size as usize);
        frame
    }

    fn arp(&mut self) -> Vec<u8> {
        let from = self.neighbour();
        let to = if self.random.below(4) == 0 { from.ip } else { self.guest.ip };
        let operation = self.random.pick(&[1, 1, 2, 2, 0, 3, 0xffff]);
        let message = arp(operation, &from, self.guest.mac, to);
        let target = self.random.pick(&[self.guest.mac, BROADCAST]);
        ethernet(from.mac, target, ARP, &message)
    }

    /// A piece of a packet whose other pieces never come, or lie over each other, or beyond 64 KiB.
    fn fragment(&mut self) -> Vec<u8> {
        let part = Fragment {
            identification: self.random.below(64) as u16,
            offset: (self.random.below(8192) * 8) as u16,
            more: self.random.below(4) != 0,
        };
        let (from, payload) = (self.neighbour(), self.some(1400));
        let packet =
            ipv4(from.ip, self.guest.ip, self.random.pick(&[UDP, TCP, ICMP]), part, &payload);
        ethernet(from.mac, self.guest.mac, IPV4, &packet)
    }

    fn icmp(&mut self) -> Vec<u8> {
        let from = self.neighbour();
        let mut message =
            vec![self.random.pick(&[8, 0, 3, 5, 11, 13, 42]), self.random.below(6) as u8];
        message.extend([0, 0]);
        message.extend(self.some(600));
        let to = self.random.pick(&[self.guest.ip, Ipv4Addr::BROADCAST]);
        let packet = ipv4(from.ip, to, ICMP, Fragment::default(), &icmp(message));
        ethernet(from.mac, self.guest.mac, IPV4, &packet)
    }

    /// Router advertisements for any prefix, solicitations, answers to nothing, echo requests.
    fn icmpv6(&mut self) -> Vec<u8> {
        let from = self.neighbour();
        let mut message =
            vec![self.random.pick(&[128, 129, 133, 134, 135, 136, 137, 130]), 0, 0, 0];
        match message[0] {
            134 => {
                // Hop limit, flags, a router for no time, then a prefix (RFC 4861, 4.2 and 4.6.2).
                message.extend([64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
                message.extend([3, 4, 64, 0xc0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]);
                message.extend([0x20, 1]);
                message.extend(self.random.bytes(6));
                message.extend([0; 8]);
            }
            135 | 136 => {
                message.extend([0x60, 0, 0, 0]);
                let target = self.random.pick(&[self.guest.ip6, from.ip6]);
                message.extend(target.octets());
                message.extend([self.random.pick(&[1, 2]), self.random.pick(&[1, 0, 200])]);
                message.extend(from.mac);
            }
            _ => message.extend(self.some(300)),
        }
        let everybody = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
        let to = self.random.pick(&[self.guest.ip6, everybody]);
        let message = icmpv6(from.ip6, to, message);
        let packet = ipv6(from.ip6, to, ICMPV6, self.random.pick(&[255, 64]), &message);
        ethernet(
            from.mac,
            self.random.pick(&[self.guest.mac, [0x33, 0x33, 0, 0, 0, 1]]),
            IPV6,
            &packet,
        )
    }

    /// Offers and acknowledgements nobody asked for, with options that end nowhere (RFC 2131, 2132).
    fn dhcp(&mut self) -> Vec<u8> {
        let from = self.neighbour();
        let mut message = vec![2, 1, 6, 0];
        message.extend(self.random.bytes(4));
        message.extend([0; 8]);
        message.extend(self.neighbour().ip.octets());
        message.extend([0; 8]);
        message.extend(self.guest.mac);
        message.extend([0; 10 + 64 + 128]);
        message.extend([99, 130, 83, 99]);
        message.extend([53, 1, self.random.pick(&[2, 5, 6, 9])]);
        for _ in 0..self.random.below(8) {
            message.push(self.random.pick(&[1, 3, 6, 51, 54, 58, 59, 12, 0, 255]));
            message.push(self.random.pick(&[4, 0, 1, 8, 255]));
            message.extend(self.some(16));
        }
        let to = self.random.pick(&[Ipv4Addr::BROADCAST, self.guest.ip]);
        self.udp_frame(&from, 67, (to, 68), &message)
    }

    /// Answers to no question, whose names point at themselves (RFC 1035, 4.1.4).
    fn dns(&mut self) -> Vec<u8> {
        let from = self.neighbour();
        let mut message = self.random.bytes(2);
        message.extend([
            0x81,
            0x80,
            0,
            self.random.below(3) as u8,
            0,
            self.random.below(9) as u8,
            0,
            0,
            0,
            0,
        ]);
        message.extend([0xc0, self.random.pick(&[12, 0, 255])]);
        message.extend([0, self.random.pick(&[1, 28, 5]), 0, 1]);
        message.extend(self.some(200));
        let port = self.random.below(65_536) as u16;
        let to = self.guest.ip;
        self.udp_frame(&from, 53, (to, port), &message)
    }

    fn datagram(&mut self) -> Vec<u8> {
        let (from, payload) = (self.neighbour(), self.some(1400));
        let (source, port) = (self.random.pick(PORTS), self.random.pick(PORTS));
        let to = self.random.pick(&[self.guest.ip, Ipv4Addr::BROADCAST]);
        self.udp_frame(&from, source, (to, port), &payload)
    }

    fn udp_frame(
        &mut self,
        from: &Station,
        source: u16,
        to: (Ipv4Addr, u16),
        data: &[u8],
    ) -> Vec<u8> {
        let datagram = udp((from.ip, source), to, data);
        let packet = ipv4(from.ip, to.0, UDP, Fragment::default(), &datagram);
        ethernet(from.mac, self.guest.mac, IPV4, &packet)
    }

    /// Segments out of the blue, with all the flags and options there are.
    fn segment(&mut self) -> Vec<u8> {
        let from = (self.far_address(), self.random.below(65_536) as u16);
        let segment = Segment {
            numbers: [self.random.next() as u32, self.random.next() as u32],
            flags: self.random.pick(&[
                flag::SYN,
                flag::SYN | flag::FIN,
                flag::ACK,
                flag::PSH | flag::ACK,
                flag::RST,
                flag::FIN | flag::ACK,
                0,
                0xff,
            ]),
            window: self.random.next() as u16,
            options: self.some(40),
        };
        let (port, data) = (self.random.pick(PORTS), self.some(1000));
        let segment = tcp(from, (self.guest.ip, port), &segment, &data);
        let packet = ipv4(from.0, self.guest.ip, TCP, Fragment::default(), &segment);
        ethernet(self.host.mac, self.guest.mac, IPV4, &packet)
    }

    /// Changes something: a few bytes, the length, a field to its extreme.
    fn spoil(&mut self, frame: &mut Vec<u8>) {
        if frame.len() < 15 {
            return;
        }
        let length = frame.len() as u64;
        match self.random.below(4) {
            0 => frame.truncate(14 + self.random.below(length - 14) as usize),
            1 => {
                let at = 14 + self.random.below((length - 14).min(64)) as usize;
                frame[at] = self.random.pick(&[0, 1, 0x7f, 0x80, 0xff]);
            }
            2 => {
                for _ in 0..=self.random.below(8) {
                    let at = 12 + self.random.below(length - 12) as usize;
                    frame[at] ^= 1 << self.random.below(8);
                }
            }
            _ => {
                let more = self.some(64);
                frame.extend(more);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stations() -> [Station; 2] {
        let station = |last: u8| Station {
            mac: [2, 0, 0, 0, 0, last],
            ip: Ipv4Addr::new(192, 0, 2, last),
            ip6: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, u16::from(last)),
        };
        [station(10), station(1)]
    }

    #[test]
    fn floods_are_wild_but_do_not_forge_the_host() {
        let [guest, host] = stations();
        let mut flood = Flood::new(1, guest, host);
        let (mut short, mut long, mut kinds) = (0, 0, std::collections::BTreeSet::new());
        for _ in 0..200_000 {
            let frame = flood.frame();
            assert!((1..=68 << 10).contains(&frame.len()), "{}", frame.len());
            assert!(!flood.forges_host(&frame));
            short += u32::from(frame.len() < 14);
            long += u32::from(frame.len() > 1514);
            kinds.extend(frame.get(12..14).map(<[u8]>::to_vec));
        }
        assert!(short > 100 && long > 100 && kinds.len() > 1000, "{short} {long} {}", kinds.len());
    }

    #[test]
    fn the_same_seed_is_the_same_flood() {
        let [guest, host] = stations();
        let frames = |seed| {
            let mut flood = Flood::new(seed, guest, host);
            (0..100).map(|_| flood.frame()).collect::<Vec<_>>()
        };
        assert_eq!(frames(5), frames(5));
        assert_ne!(frames(5), frames(6));
    }

    #[test]
    fn requests_for_connections_are_in_order() {
        let [guest, host] = stations();
        let frame = Flood::new(1, guest, host).syn(80);
        let (packet, segment) = (&frame[14..], &frame[34..]);
        assert_eq!(super::super::frames::checksum(&[&packet[..20]]), 0);
        assert_eq!((segment[13], &segment[2..4]), (flag::SYN, &80_u16.to_be_bytes()[..]));
    }
}
