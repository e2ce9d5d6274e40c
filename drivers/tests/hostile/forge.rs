//! Frames that nobody sends by mistake: half of each is right.

use super::frame::{
    ALL_NODES, ARP, ETHERNET, Frame, ICMP, ICMPV6, IGMP, IPV4, IPV6, PEER_IP, PEER_IP6, PEER_MAC,
    Segment, TCP, UDP, VICTIM_IP, VICTIM_IP6, VICTIM_MAC, ethernet, ipv4, ipv6, tcp, udp, word,
};
use super::numbers::Numbers;
use super::pieces::piece;
use super::seen::Seen;

/// Ports that the victim listens on, and one that it does not.
pub const PORTS: [u16; 5] = [7, 9, 80, 68, 4444];

pub fn any_address(numbers: &mut Numbers) -> [u8; 4] {
    match numbers.below(12) {
        0 => [0; 4],
        1 => [255; 4],
        2 => [224, 0, 0, 1],
        3 => [127, 0, 0, 1],
        4 => [192, 0, 2, 255],
        5 => VICTIM_IP,
        6 => numbers.word().to_be_bytes(),
        _ => PEER_IP,
    }
}

pub fn any_address6(numbers: &mut Numbers) -> [u8; 16] {
    let mut address = PEER_IP6;
    match numbers.below(10) {
        0 => address = [0; 16],
        1 => address = ALL_NODES,
        2 => address = VICTIM_IP6,
        3 => address[..8].copy_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0]),
        4 => address[15] = numbers.byte(),
        5 => numbers.bytes(16).into_iter().zip(&mut address).for_each(|(from, to)| *to = from),
        6 => {
            address = [0; 16];
            address[15] = 1;
        }
        _ => {}
    }
    address
}

/// A packet of IP, whichever version.
fn packet(numbers: &mut Numbers, protocol: (u8, u8), payload: &[u8]) -> Frame {
    if numbers.one_in(2) {
        let to = if numbers.one_in(4) { any_address(numbers) } else { VICTIM_IP };
        ipv4(any_address(numbers), to, protocol.0, payload)
    } else {
        let to = match numbers.below(8) {
            0 => any_address6(numbers),
            1 => ALL_NODES,
            2 => [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 1],
            _ => VICTIM_IP6,
        };
        let hops = numbers.pick(&[255, 64, 1, 0]);
        let (next, payload) = extended(numbers, protocol.1, payload);
        ipv6(any_address6(numbers), to, next, hops, &payload)
    }
}

/// Sometimes with extension headers before it.
fn extended(numbers: &mut Numbers, protocol: u8, payload: &[u8]) -> (u8, Vec<u8>) {
    let (mut next, mut bytes) = (protocol, payload.to_vec());
    while numbers.one_in(4) {
        let kind = numbers.pick(&[0, 0, 0, 43, 44, 60, 59, 51, 135]);
        let eights = numbers.pick(&[0, 0, 0, 1, 2, 255]);
        let mut header = vec![next, eights];
        let size = if numbers.one_in(8) { numbers.below(40) } else { 8 + usize::from(eights) * 8 };
        let options = options(numbers, size.saturating_sub(2), &[0, 1, 5, 0x1e, 0x63, 0xc2, 0x80]);
        header.extend(options);
        header.extend(bytes);
        (next, bytes) = (kind, header);
    }
    (next, bytes)
}

/// Options of kind, length, value, that fill so many bytes, more or less.
fn options(numbers: &mut Numbers, size: usize, kinds: &[u8]) -> Vec<u8> {
    let mut options = Vec::new();
    while options.len() < size {
        let kind = if numbers.one_in(6) { numbers.byte() } else { numbers.pick(kinds) };
        let length = numbers.pick(&[0, 1, 2, 3, 4, 4, 6, 8, 8, 10, 16, 32, 255]);
        options.extend([kind, length]);
        let value = if numbers.one_in(6) { 300 } else { usize::from(length).min(40) };
        options.extend(numbers.bytes(value.min(size)));
    }
    options.truncate(size);
    options
}

fn some_bytes(numbers: &mut Numbers) -> Vec<u8> {
    let size = numbers.pick(&[0, 1, 4, 8, 20, 64, 300, 1000, 1400]);
    let size = numbers.below(size + 1);
    numbers.bytes(size)
}

/// A segment of a connection that there is, or of none.
fn segment(numbers: &mut Numbers, seen: &Seen) -> Frame {
    let flow = (!seen.flows.is_empty() && !numbers.one_in(5))
        .then(|| seen.flows[numbers.below(seen.flows.len())]);
    let near = |numbers: &mut Numbers, number: u32| match numbers.below(8) {
        0 => number.wrapping_add(numbers.awkward()),
        1 => number.wrapping_add(numbers.below(70_000) as u32),
        2 => number.wrapping_sub(numbers.below(70_000) as u32),
        3 => number.wrapping_add(1),
        4 => number.wrapping_sub(1),
        _ => number,
    };
    let (ports, sequence, acknowledges) = match flow {
        Some(flow) => (flow.ports, flow.sequence, flow.acknowledges),
        None => {
            let from = numbers.pick(&[1, 2000, 7000, 0, 65535]);
            ((from, numbers.pick(&PORTS)), numbers.awkward(), numbers.awkward())
        }
    };
    let flags = if numbers.one_in(12) {
        numbers.byte()
    } else {
        numbers
            .pick(&[0x10, 0x10, 0x10, 0x18, 0x18, 0x18, 0x10, 0x18, 0x11, 0x02, 0x12, 0x00, 0x29])
    };
    let options = if numbers.one_in(2) {
        let size = numbers.below(41);
        options(numbers, size, &[0, 1, 2, 3, 4, 5, 8])
    } else {
        Vec::new()
    };
    let payload = some_bytes(numbers);
    let segment = tcp(&Segment {
        ports,
        sequence: near(numbers, sequence),
        acknowledges: near(numbers, acknowledges),
        flags,
        window: numbers.pick(&[0, 1, 536, 0x4000, 0xffff]),
        options: &options,
        payload: &payload,
    });
    match flow {
        Some(flow) if flow.is_v6 => ipv6(PEER_IP6, VICTIM_IP6, TCP, 64, &segment),
        Some(_) => ipv4(PEER_IP, VICTIM_IP, TCP, &segment),
        None => packet(numbers, (TCP, TCP), &segment),
    }
}

fn datagram(numbers: &mut Numbers) -> Frame {
    let bytes = some_bytes(numbers);
    let from = numbers.pick(&[0, 7, 53, 67, 2000]);
    let payload = udp(from, numbers.pick(&PORTS), &bytes);
    packet(numbers, (UDP, UDP), &payload)
}

const MASK: [u8; 4] = [255, 255, 255, 0];

/// The answer of a DHCP server.
pub fn dhcp(numbers: &mut Numbers, transaction: u32, is_honest: bool) -> Frame {
    let awkward = |numbers: &mut Numbers, right: [u8; 4]| {
        if is_honest || numbers.one_in(2) { right } else { any_address(numbers) }
    };
    let mut message = vec![2, 1, 6, 0];
    message.extend(transaction.to_be_bytes());
    message.extend([0; 8]);
    message.extend(awkward(numbers, VICTIM_IP));
    message.extend(awkward(numbers, PEER_IP));
    message.extend([0; 4]);
    message.extend(VICTIM_MAC);
    message.resize(236, 0);
    message.extend([0x63, 0x82, 0x53, 0x63]);
    let kind = numbers.below(if is_honest { 2 } else { 8 });
    message.extend([53, 1, [5, 2, 5, 2, 5, 6, 1, 99][kind]]);
    for (option, right) in [(54, PEER_IP), (1, MASK), (3, PEER_IP), (6, PEER_IP)] {
        if is_honest || !numbers.one_in(5) {
            message.extend([option, 4]);
            message.extend(awkward(numbers, right));
        }
    }
    let seconds = if is_honest { 3600 } else { numbers.awkward() };
    message.extend([51, 4]);
    message.extend(seconds.to_be_bytes());
    if !is_honest {
        let size = numbers.below(200);
        message.extend(options(numbers, size, &[1, 3, 6, 12, 50, 51, 53, 54, 58, 59, 0]));
    }
    message.push(255);
    let to = if is_honest || numbers.one_in(2) { [255; 4] } else { VICTIM_IP };
    ipv4(PEER_IP, to, UDP, &udp(67, 68, &message))
}

/// The answer of a name server.
fn name_server(numbers: &mut Numbers, seen: &Seen) -> Frame {
    let Some(question) = seen.questions.get(numbers.below(seen.questions.len().max(1))) else {
        return datagram(numbers);
    };
    let mut message = question.message.clone();
    let flags = if numbers.one_in(4) { numbers.awkward() as u16 } else { 0x8180 };
    message[2..4].copy_from_slice(&flags.to_be_bytes());
    let answers: u16 = numbers.pick(&[0, 1, 1, 2, 5, 0xffff]);
    message[6..8].copy_from_slice(&answers.to_be_bytes());
    for _ in 0..answers.min(6) {
        // A name: a pointer, maybe to itself or beyond the end; or labels without one.
        match numbers.below(4) {
            0 => message.extend((0xc000 | numbers.awkward() as u16).to_be_bytes()),
            1 => {
                let here = message.len() as u16;
                message.extend((0xc000 | here).to_be_bytes());
            }
            2 => {
                let size = numbers.pick(&[1, 63, 64, 200]);
                message.push(size);
                message.extend(numbers.bytes(usize::from(size).min(70)));
                message.extend([0xc0, 12]);
            }
            _ => message.extend([0xc0, 12]),
        }
        let kind: u16 = numbers.pick(&[1, 5, 28, 12, 33, 255]);
        message.extend(kind.to_be_bytes());
        message.extend([0, 1, 0, 0, 0, 60]);
        let size: u16 = numbers.pick(&[0, 1, 2, 4, 4, 16, 16, 300, 0xffff]);
        message.extend(size.to_be_bytes());
        message.extend(numbers.bytes(usize::from(size).min(40)));
    }
    if numbers.one_in(4) {
        message.truncate(numbers.below(message.len()));
    }
    ipv4(PEER_IP, VICTIM_IP, UDP, &udp(53, question.port, &message))
}

fn icmp(numbers: &mut Numbers, seen: &Seen) -> Frame {
    let (v4, v6) = (numbers.pick(&[0, 3, 8, 11, 12, 5]), numbers.pick(&[1, 2, 3, 4, 128, 129]));
    let kind = |is_v4| if is_v4 { v4 } else { v6 };
    let is_v4 = numbers.one_in(2);
    let mut message = vec![kind(is_v4), numbers.below(16) as u8, 0, 0];
    message.extend(numbers.awkward().to_be_bytes());
    // About a packet of its own, cut anywhere.
    let about = if numbers.one_in(2) { some_bytes(numbers) } else { segment(numbers, seen) };
    let about = about.get(ETHERNET..).unwrap_or(&[]);
    message.extend(&about[..numbers.below(about.len() + 1)]);
    if is_v4 {
        ipv4(PEER_IP, VICTIM_IP, ICMP, &message)
    } else {
        ipv6(PEER_IP6, VICTIM_IP6, ICMPV6, 64, &message)
    }
}

/// Neighbours, routers, listeners.
fn neighbours(numbers: &mut Numbers) -> Frame {
    let kind = numbers.pick(&[133, 134, 134, 135, 136, 137, 130, 131, 132, 143]);
    let mut message = vec![kind, 0, 0, 0];
    match kind {
        134 => {
            message.extend([numbers.byte(), numbers.byte()]);
            message.extend((numbers.awkward() as u16).to_be_bytes());
            message.extend(numbers.awkward().to_be_bytes());
            message.extend(numbers.awkward().to_be_bytes());
        }
        130 => {
            message.extend((numbers.awkward() as u16).to_be_bytes());
            message.extend([0, 0]);
            message.extend(any_address6(numbers));
            message.extend([numbers.byte(), numbers.byte()]);
            message.extend((numbers.below(4) as u16).to_be_bytes());
        }
        _ => {
            message.extend(numbers.word().to_be_bytes());
            message.extend(if numbers.one_in(3) { any_address6(numbers) } else { VICTIM_IP6 });
        }
    }
    for _ in 0..numbers.below(4) {
        match numbers.below(4) {
            0 => {
                // A prefix, whose lifetimes and length are anything.
                message.extend([3, 4, numbers.pick(&[64, 64, 0, 128, 129, 255]), numbers.byte()]);
                message.extend(numbers.awkward().to_be_bytes());
                message.extend(numbers.awkward().to_be_bytes());
                message.extend([0; 4]);
                message.extend(any_address6(numbers));
            }
            1 => {
                let mac =
                    numbers.pick(&[PEER_MAC, VICTIM_MAC, [0xff; 6], [0; 6], [1, 0, 0, 0, 0, 9]]);
                message.extend([numbers.pick(&[1, 2]), 1]);
                message.extend(mac);
            }
            2 => {
                message.extend([5, 1, 0, 0]);
                message.extend(numbers.awkward().to_be_bytes());
            }
            _ => {
                let size = numbers.below(40);
                message.extend(options(numbers, size, &[1, 2, 3, 4, 5, 25]));
            }
        }
    }
    let hops = if kind < 133 || kind == 143 { 1 } else { 255 };
    let hops = if numbers.one_in(8) { numbers.byte() } else { hops };
    let (next, message) = extended(numbers, ICMPV6, &message);
    let to = numbers.pick(&[
        VICTIM_IP6,
        ALL_NODES,
        [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 1],
    ]);
    ipv6(any_address6(numbers), to, next, hops, &message)
}

fn arp(numbers: &mut Numbers) -> Frame {
    let mut message = vec![0, 1, 8, 0, 6, 4, 0, numbers.pick(&[1, 2, 3, 0])];
    if numbers.one_in(4) {
        message[numbers.below(6)] = numbers.byte();
    }
    message.extend(numbers.pick(&[PEER_MAC, [0xff; 6], [0; 6], [1, 2, 3, 4, 5, 6], VICTIM_MAC]));
    message.extend(any_address(numbers));
    message.extend(VICTIM_MAC);
    message.extend(if numbers.one_in(3) { any_address(numbers) } else { VICTIM_IP });
    message.truncate(if numbers.one_in(5) { numbers.below(29) } else { 28 });
    ethernet(numbers.pick(&[VICTIM_MAC, [0xff; 6]]), ARP, &message)
}

fn groups(numbers: &mut Numbers) -> Frame {
    let mut message = vec![numbers.pick(&[0x11, 0x12, 0x16, 0x17, 0x22]), numbers.byte(), 0, 0];
    message.extend(any_address(numbers));
    let extra = numbers.below(20);
    message.extend(numbers.bytes(extra));
    ipv4(PEER_IP, numbers.pick(&[[224, 0, 0, 1], VICTIM_IP]), IGMP, &message)
}

fn garbage(numbers: &mut Numbers) -> Frame {
    let kind = numbers.pick(&[IPV4, IPV6, ARP, 0x8100, 0, 46, 0xffff]);
    let size = numbers.pick(&[0, 1, 20, 46, 100, 1500]);
    let size = numbers.below(size + 1);
    let mut frame = ethernet(VICTIM_MAC, kind, &numbers.bytes(size));
    if word(&frame, 12) == IPV4 && frame.len() > ETHERNET {
        frame[ETHERNET] = 0x40 | numbers.byte() & 0xf;
    }
    frame.truncate(if numbers.one_in(10) { numbers.below(16) } else { frame.len() });
    frame
}

/// One of these.
pub fn forge(numbers: &mut Numbers, seen: &Seen) -> Frame {
    match numbers.below(24) {
        0 => arp(numbers),
        1..=2 => datagram(numbers),
        3 => dhcp(numbers, seen.dhcp.unwrap_or(0), false),
        4..=5 => name_server(numbers, seen),
        6..=7 => icmp(numbers, seen),
        8..=10 => neighbours(numbers),
        11..=12 => piece(numbers),
        13 => groups(numbers),
        14 => garbage(numbers),
        _ => segment(numbers, seen),
    }
}
