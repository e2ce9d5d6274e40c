//! Internet packets as the model makes, checks and changes them: checksums, segments.

use std::vec;
use std::vec::Vec;

use protocols::e1000::Context;

/// A checksum of the internet's (RFC 1071), not complemented.
fn sum(bytes: &[u8]) -> u32 {
    let pairs = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)));
    fold(pairs.sum())
}

fn fold(sum: u32) -> u32 {
    let once = (sum & 0xffff) + (sum >> 16);
    (once & 0xffff) + (once >> 16)
}

fn put(frame: &mut [u8], at: usize, value: u32) {
    frame[at..at + 2].copy_from_slice(&(value as u16).to_be_bytes());
}

fn get(frame: &[u8], at: usize) -> u32 {
    u32::from(frame[at]) << 8 | u32::from(frame[at + 1])
}

/// The complement of the sum from `start` to `end`, at `field`.
fn close(frame: &mut [u8], start: usize, end: usize, field: usize) {
    let total = !sum(&frame[start..end]);
    put(frame, field, total);
}

/// Protocols whose packets carry checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Transport {
    Tcp4,
    Udp4,
    Tcp6,
}

impl Transport {
    /// Where its header begins in a frame.
    pub(in super::super) const fn start(self) -> usize {
        if matches!(self, Self::Tcp6) { 54 } else { 34 }
    }

    /// Where its checksum is.
    pub(in super::super) const fn field(self) -> usize {
        self.start() + if matches!(self, Self::Udp4) { 6 } else { 16 }
    }

    /// How long all headers are.
    pub(in super::super) const fn headers(self) -> usize {
        self.start() + if matches!(self, Self::Udp4) { 8 } else { 20 }
    }

    const fn number(self) -> u8 {
        if matches!(self, Self::Udp4) { 17 } else { 6 }
    }

    fn of(frame: &[u8]) -> Option<Self> {
        match (frame.get(12..14)?, frame.get(14)?, frame.get(23)?, frame.get(20)?) {
            ([8, 0], 0x45, 6, _) => Some(Self::Tcp4),
            ([8, 0], 0x45, 17, _) => Some(Self::Udp4),
            ([0x86, 0xdd], _, _, 6) => Some(Self::Tcp6),
            _ => None,
        }
    }

    /// The sum of the pseudo-header, without the length.
    fn pseudo(self, frame: &[u8]) -> u32 {
        let ends = if self == Self::Tcp6 { 22..54 } else { 26..34 };
        fold(sum(&frame[ends]) + u32::from(self.number()))
    }
}

/// A frame to `target` with `payload` behind whole headers. Its checksums are right.
pub(in super::super) fn ip_frame(target: [u8; 6], kind: Transport, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; kind.headers()];
    frame.extend(payload);
    frame[..6].copy_from_slice(&target);
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 7]);
    let bytes = frame.len();
    if kind == Transport::Tcp6 {
        frame[12..21].copy_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 6]);
        put(&mut frame, 18, (bytes - 54) as u32);
        (22..54).for_each(|at| frame[at] = at as u8);
    } else {
        frame[12..16].copy_from_slice(&[8, 0, 0x45, 0]);
        put(&mut frame, 16, (bytes - 14) as u32);
        put(&mut frame, 18, 0xfffe);
        (frame[22], frame[23]) = (64, kind.number());
        frame[26..34].copy_from_slice(&[192, 0, 2, 1, 198, 51, 100, 7]);
        close(&mut frame, 14, 34, 24);
    }
    if kind == Transport::Udp4 {
        put(&mut frame, 38, (bytes - 34) as u32);
    } else {
        // A sequence number about to wrap around; headers of 20 bytes; ACK, PSH, FIN.
        frame[kind.start() + 4..kind.start() + 8].copy_from_slice(&0xffff_ff00u32.to_be_bytes());
        (frame[kind.start() + 12], frame[kind.start() + 13]) = (0x50, 0x19);
    }
    let seed = fold(kind.pseudo(&frame) + (bytes - kind.start()) as u32);
    put(&mut frame, kind.field(), seed);
    close(&mut frame, kind.start(), bytes, kind.field());
    frame
}

/// Whether the checksums of IP and of TCP or UDP: right, `None` where there is none.
fn check(frame: &[u8]) -> (Option<bool>, Option<bool>) {
    let Some(kind) = Transport::of(frame).filter(|kind| frame.len() >= kind.headers()) else {
        return (None, None);
    };
    let ip = (kind != Transport::Tcp6).then(|| sum(&frame[14..34]) == 0xffff);
    let end = match kind {
        Transport::Tcp6 => 54 + get(frame, 18) as usize,
        _ => 14 + get(frame, 16) as usize,
    };
    let Some(body) = frame.get(kind.start()..end) else { return (ip, None) };
    let total = fold(kind.pseudo(frame) + body.len() as u32 + sum(body));
    (ip, Some(total == 0xffff))
}

/// Whether all checksums of a frame are right.
pub(in super::super) fn is_right(frame: &[u8]) -> bool {
    let (ip, transport) = check(frame);
    ip != Some(false) && transport == Some(true)
}

/// Status and errors that a receive descriptor shows for a frame.
pub(super) fn sums(frame: &[u8]) -> (u8, u8) {
    let (ip, transport) = check(frame);
    let bits = |sum: Option<bool>, checked: u8, wrong: u8| match sum {
        None => (0, 0),
        Some(true) => (checked, 0),
        Some(false) => (checked, wrong),
    };
    let ((ip, ip_wrong), (tcp, tcp_wrong)) =
        (bits(ip, 1 << 6, 1 << 6), bits(transport, 1 << 5, 1 << 5));
    (ip | tcp, ip_wrong | tcp_wrong)
}

/// Inserts the checksums of IP and of TCP or UDP where `context` says.
pub(super) fn insert(
    mut frame: Vec<u8>,
    context: Option<Context>,
    (ip, transport): (bool, bool),
) -> Vec<u8> {
    let Some(context) = context else { return frame };
    let bytes = frame.len();
    if let Some((start, field, end)) = context.ip.filter(|_| ip) {
        close(&mut frame, start.into(), usize::from(end) + 1, field.into());
    }
    if transport {
        close(&mut frame, context.start.into(), bytes, context.field.into());
    }
    frame
}

/// Cuts a frame into segments (SDM, 3.5).
pub(super) fn cut(frame: &[u8], context: Context) -> Vec<Vec<u8>> {
    let segments = context.segments.expect("it cuts");
    let (header, payload) = frame.split_at(segments.header_bytes.into());
    assert_eq!(payload.len(), segments.payload_bytes as usize, "the payload's length");
    let pieces = payload.chunks(segments.segment_bytes.into());
    let (tcp, last) = (usize::from(context.start), pieces.len() - 1);
    let sequence = u32::from_be_bytes(header[tcp + 4..tcp + 8].try_into().expect("four bytes"));
    let mut offset = 0;
    let mut frames = Vec::new();
    for (number, piece) in pieces.enumerate() {
        let mut out = [header, piece].concat();
        let bytes = out.len();
        match context.ip {
            Some((start, ..)) => {
                let start = usize::from(start);
                assert_eq!(
                    (get(&out, start + 2), get(&out, start + 10)),
                    (0, 0),
                    "to be filled in"
                );
                put(&mut out, start + 2, (bytes - start) as u32);
                let id = get(&out, start + 4) + number as u32;
                put(&mut out, start + 4, id);
            }
            None => put(&mut out, tcp - 36, (bytes - tcp) as u32),
        }
        out[tcp + 4..tcp + 8].copy_from_slice(&(sequence.wrapping_add(offset)).to_be_bytes());
        if number != last {
            // FIN and PSH are the last one's.
            out[tcp + 13] &= !0b1001;
        }
        let field = usize::from(context.field);
        let seed = fold(get(&out, field) + (bytes - tcp) as u32);
        put(&mut out, field, seed);
        frames.push(insert(out, Some(context), (true, true)));
        offset += piece.len() as u32;
    }
    frames
}
