//! Frames made by hand, and made right: lengths and checksums.

pub type Frame = Vec<u8>;

pub const VICTIM_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
pub const VICTIM_IP: [u8; 4] = [192, 0, 2, 10];
pub const PEER_IP: [u8; 4] = [192, 0, 2, 1];
pub const VICTIM_IP6: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 1];
pub const PEER_IP6: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 2];
pub const ALL_NODES: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

pub const ETHERNET: usize = 14;
pub const ARP: u16 = 0x0806;
pub const IPV4: u16 = 0x0800;
pub const IPV6: u16 = 0x86dd;

pub const ICMP: u8 = 1;
pub const IGMP: u8 = 2;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMPV6: u8 = 58;

/// The group address on the wire of a group's IP address.
pub fn mac_of(ip: &[u8]) -> [u8; 6] {
    match ip {
        [255, 255, 255, 255] => [0xff; 6],
        [224..=239, a, b, c] => [1, 0, 0x5e, a & 0x7f, *b, *c],
        [0xff, .., a, b, c, d] if ip.len() == 16 => [0x33, 0x33, *a, *b, *c, *d],
        _ => VICTIM_MAC,
    }
}

pub fn ethernet(to: [u8; 6], kind: u16, payload: &[u8]) -> Frame {
    [&to[..], &PEER_MAC, &kind.to_be_bytes(), payload].concat()
}

pub fn ipv4(from: [u8; 4], to: [u8; 4], protocol: u8, payload: &[u8]) -> Frame {
    ipv4_piece(from, to, protocol, 0, 0, payload)
}

/// `place`: flags and offset, as in the header.
pub fn ipv4_piece(
    from: [u8; 4],
    to: [u8; 4],
    protocol: u8,
    ident: u16,
    place: u16,
    payload: &[u8],
) -> Frame {
    let length = (20 + payload.len()) as u16;
    let mut packet = vec![0x45, 0];
    for word in [length, ident, place] {
        packet.extend(word.to_be_bytes());
    }
    packet.extend([64, protocol, 0, 0]);
    packet.extend(from);
    packet.extend(to);
    packet.extend(payload);
    fixed(ethernet(mac_of(&to), IPV4, &packet))
}

pub fn ipv6(from: [u8; 16], to: [u8; 16], next: u8, hops: u8, payload: &[u8]) -> Frame {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next, hops]);
    packet.extend(from);
    packet.extend(to);
    packet.extend(payload);
    fixed(ethernet(mac_of(&to), IPV6, &packet))
}

pub fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let length = (8 + payload.len()) as u16;
    let mut bytes = [from, to, length, 0].map(u16::to_be_bytes).concat();
    bytes.extend(payload);
    bytes
}

pub struct Segment<'a> {
    pub ports: (u16, u16),
    pub sequence: u32,
    pub acknowledges: u32,
    pub flags: u8,
    pub window: u16,
    pub options: &'a [u8],
    pub payload: &'a [u8],
}

pub fn tcp(segment: &Segment<'_>) -> Vec<u8> {
    let mut options = segment.options.to_vec();
    options.resize(options.len().next_multiple_of(4).min(40), 0);
    let mut bytes = [segment.ports.0, segment.ports.1].map(u16::to_be_bytes).concat();
    bytes.extend(segment.sequence.to_be_bytes());
    bytes.extend(segment.acknowledges.to_be_bytes());
    bytes.extend([((5 + options.len() / 4) << 4) as u8, segment.flags]);
    bytes.extend(segment.window.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(options);
    bytes.extend(segment.payload);
    bytes
}

/// The frame with right checksums.
pub fn fixed(mut frame: Frame) -> Frame {
    fix(&mut frame);
    frame
}

pub fn word(bytes: &[u8], at: usize) -> u16 {
    match bytes.get(at..at + 2) {
        Some(two) => u16::from_be_bytes([two[0], two[1]]),
        None => 0,
    }
}

/// Makes the lengths in the headers those of the frame.
pub fn fix_lengths(frame: &mut [u8]) {
    let bytes = frame.len().saturating_sub(ETHERNET);
    match word(frame, 12) {
        IPV4 if bytes >= 20 => frame[16..18].copy_from_slice(&(bytes as u16).to_be_bytes()),
        IPV6 if bytes >= 40 => frame[18..20].copy_from_slice(&((bytes - 40) as u16).to_be_bytes()),
        _ => return,
    }
    if let Some((UDP, start, end, _)) = transport(frame)
        && end - start >= 8
    {
        let length = ((end - start) as u16).to_be_bytes();
        frame[start + 4..start + 6].copy_from_slice(&length);
    }
}

/// Makes all checksums right that can be found.
pub fn fix(frame: &mut [u8]) {
    if word(frame, 12) == IPV4 && frame.len() >= ETHERNET + 20 {
        let header = usize::from(frame[ETHERNET] & 0xf) * 4;
        if let Some(bytes) = frame.get_mut(ETHERNET..ETHERNET + header)
            && header >= 20
        {
            bytes[10..12].fill(0);
            let sum = !sum(bytes, 0);
            bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        }
    }
    let Some((protocol, start, end, pseudo)) = transport(frame) else { return };
    let bytes = &mut frame[start..end];
    let at = match protocol {
        ICMP | IGMP | ICMPV6 => 2,
        UDP => 6,
        TCP => 16,
        _ => return,
    };
    if bytes.len() < at + 2 {
        return;
    }
    bytes[at..at + 2].fill(0);
    let pseudo = if protocol == ICMP || protocol == IGMP { 0 } else { pseudo };
    let sum = match !sum(bytes, pseudo) {
        0 if protocol == UDP => 0xffff,
        sum => sum,
    };
    bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// The sum of 16-bit words, in one's complement.
fn sum(bytes: &[u8], start: u32) -> u16 {
    let pairs = bytes.chunks(2);
    let words = pairs.map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum = words.fold(start, |sum, word| sum + word);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The protocol in a frame of IP, where it begins and ends, and the sum of its pseudo-header.
pub fn transport(frame: &[u8]) -> Option<(u8, usize, usize, u32)> {
    let packet = frame.get(ETHERNET..)?;
    let (protocol, header, bytes, ends) = match word(frame, 12) {
        IPV4 if packet.len() >= 20 => {
            if word(packet, 6) & 0x3fff != 0 {
                return None;
            }
            let header = usize::from(packet[0] & 0xf) * 4;
            (packet[9], header, usize::from(word(packet, 2)), &packet[12..20])
        }
        IPV6 if packet.len() >= 40 => {
            let (mut next, mut at) = (packet[6], 40);
            while [0, 43, 60].contains(&next) && at + 8 <= packet.len() {
                (next, at) = (packet[at], at + 8 + usize::from(packet[at + 1]) * 8);
            }
            (next, at, 40 + usize::from(word(packet, 4)), &packet[8..40])
        }
        _ => return None,
    };
    let end = bytes.min(packet.len());
    if header >= end {
        return None;
    }
    let length = (end - header) as u32;
    let pseudo = u32::from(sum(ends, u32::from(protocol) + (length & 0xffff) + (length >> 16)));
    Some((protocol, ETHERNET + header, ETHERNET + end, pseudo))
}
