//! What smoltcp has to be kept from, since it would stop the machine: frames refused before it sees
//! them, and two rules for those who use its sockets.
//!
//! smoltcp 0.14 checks lengths and checksums of all that it reads, but takes some values on trust.
//! `drivers/tests/hostile` looks for more of them.
//!
//! | refused | because smoltcp |
//! |---|---|
//! | a prefix longer than an address, or of a group, in a router's advertisement (RFC 4861, 4.6.2) | makes an address of it |
//! | a question about a group that is none (RFC 3810, 5.1.5) | answers it with the same address |
//! | a segment of TCP in pieces (nobody sends such: RFC 9293, 3.7.5) | and resets are to be seen here |
//!
//! The rules, all about what a connection's window is for a moment:
//!
//! - After each frame that [is a reset](is_reset), and before the next frame, every socket that
//!   listens is to be aborted and to listen anew. One that a reset has sent back from SYN-RECEIVED to
//!   LISTEN keeps the old window.
//! - After each frame that ends one direction, and before the next frame, the stack is to be given
//!   [`after_end`]: an end that follows a full window lies beyond it, until that is acknowledged.
//! - A segment that [begins](Segment::Beginning) a connection is to be dropped where a socket is in
//!   SYN-SENT at that port, so that none is opened from both sides: if the socket could not send
//!   its own segment yet, it has announced no window.
//! - A connection that says the same [again and again](Repeated) is to be aborted.
//! - A receive buffer has a [capacity](receive_capacity) that its window scale can express, or more
//!   is taken than there is room for.
//!
//! Frames that make no sense in other ways are let through: the stack drops them.

mod end;
mod repeated;
#[cfg(test)]
mod tests;

pub use self::end::{AFTER_END_BYTES, AfterEnd, after_end};
pub use self::repeated::{REPEATED_MOST, Repeated};

use crate::fields::{array_at, u8_at};

/// Why a frame is refused. Drop and count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum Refusal {
    /// No address has this prefix.
    #[error("a router advertises a prefix that no address has")]
    Prefix,
    /// This is no group.
    #[error("a question about a group that is none")]
    Group,
    /// Part of a segment.
    #[error("a segment of TCP in pieces")]
    Piece,
}

/// Where IP begins in a frame.
const ETHERNET: usize = 14;
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
const IPV6_HEADER: usize = 40;
/// In IPv4's header, what says that this is a piece: more to come, or an offset.
const PIECE: u16 = 0x3fff;

/// Next headers (RFC 8200, 4.1; RFC 9293, 3.1; RFC 4443, 2.1).
const HOP_BY_HOP: u8 = 0;
const TCP: u8 = 6;
const ICMPV6: u8 = 58;

/// Where the flags are in a TCP header, and some of them (RFC 9293, 3.1).
const FLAGS: usize = 13;
const END: u8 = 1;
const BEGIN: u8 = 1 << 1;
const RESET: u8 = 1 << 2;
const ACKNOWLEDGE: u8 = 1 << 4;

/// Kinds of ICMPv6 messages (RFC 3810, 5.1; RFC 4861, 4.2).
const GROUP_QUERY: u8 = 130;
const ROUTER_ADVERTISEMENT: u8 = 134;

/// A router's advertisement: where its options begin, and the one that has a prefix (RFC 4861,
/// 4.2, 4.6.2).
const ADVERTISEMENT_HEADER: usize = 16;
const PREFIX: u8 = 3;

/// Looks at a whole Ethernet frame.
///
/// # Errors
/// The stack must not see it.
#[inline]
pub fn inspect(frame: &[u8]) -> Result<(), Refusal> {
    match array_at(frame, 12) {
        Some(IPV4) => {
            let (protocol, place) = (u8_at(frame, ETHERNET + 9), array_at(frame, ETHERNET + 6));
            let is_piece = place.is_some_and(|place| u16::from_be_bytes(place) & PIECE != 0);
            if protocol == Some(TCP) && is_piece { Err(Refusal::Piece) } else { Ok(()) }
        }
        Some(IPV6) => match payload_v6(frame) {
            Some((ICMPV6, message)) => inspect_message(message),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// What a segment of TCP's is to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// It asks for one to this port on this side.
    Beginning(u16),
    /// It resets the one of this port on this side.
    Reset(u16),
    /// Neither.
    Other,
}

/// The segment of TCP's in a frame, from its header on, where smoltcp would find it.
#[inline]
pub fn segment(frame: &[u8]) -> Option<&[u8]> {
    match array_at(frame, 12)? {
        IPV4 if u8_at(frame, ETHERNET + 9) == Some(TCP) => {
            let header = usize::from(u8_at(frame, ETHERNET)? & 0xf) * 4;
            frame.get(ETHERNET + header..)
        }
        IPV6 => payload_v6(frame).filter(|(next, _)| *next == TCP).map(|(_, bytes)| bytes),
        _ => None,
    }
}

/// What the segment of TCP's in a frame is, if there is one. Other flags than these are as they may
/// be: so it is with smoltcp.
#[inline]
pub fn classify(frame: &[u8]) -> Option<Segment> {
    let segment = segment(frame)?;
    let flags = u8_at(segment, FLAGS)?;
    let port = u16::from_be_bytes(array_at(segment, 2)?);
    Some(if flags & RESET != 0 {
        Segment::Reset(port)
    } else if flags & (BEGIN | END | ACKNOWLEDGE) == BEGIN {
        Segment::Beginning(port)
    } else {
        Segment::Other
    })
}

/// Whether it is a segment of TCP's that resets a connection.
#[inline]
pub fn is_reset(frame: &[u8]) -> bool {
    matches!(classify(frame), Some(Segment::Reset(_)))
}

/// The largest receive buffer of TCP's, up to `wanted` bytes, that is no smaller than the largest
/// window it can announce (RFC 7323, 2.2): the window of a SYN is not scaled, and smoltcp takes it
/// as if it were.
pub const fn receive_capacity(wanted: usize) -> usize {
    if wanted <= u16::MAX as usize {
        return wanted;
    }
    // One less than a power of two.
    match wanted.checked_add(1) {
        Some(more) => (1 << more.ilog2()) - 1,
        None => usize::MAX >> 1,
    }
}

/// What a frame of IPv6 carries, where smoltcp would find it.
fn payload_v6(frame: &[u8]) -> Option<(u8, &[u8])> {
    let packet = frame.get(ETHERNET..)?;
    match u8_at(packet, 6)? {
        HOP_BY_HOP => {
            let next = u8_at(packet, IPV6_HEADER)?;
            let bytes = (usize::from(u8_at(packet, IPV6_HEADER + 1)?) + 1) * 8;
            Some((next, packet.get(IPV6_HEADER + bytes..)?))
        }
        next => Some((next, packet.get(IPV6_HEADER..)?)),
    }
}

fn inspect_message(message: &[u8]) -> Result<(), Refusal> {
    match u8_at(message, 0) {
        Some(ROUTER_ADVERTISEMENT) => {
            inspect_options(message.get(ADVERTISEMENT_HEADER..).unwrap_or_default())
        }
        Some(GROUP_QUERY) => match array_at::<16>(message, 8) {
            Some(group) if group[0] != 0xff && group != [0; 16] => Err(Refusal::Group),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

fn inspect_options(mut options: &[u8]) -> Result<(), Refusal> {
    while let [kind, eights, rest @ ..] = options {
        if *kind == PREFIX {
            let (bits, first) = (rest.first(), rest.get(14));
            if bits.is_some_and(|bits| *bits > 128) || first == Some(&0xff) {
                return Err(Refusal::Prefix);
            }
        }
        // One of length 0 ends it: the whole message is void (RFC 4861, 4.6).
        let bytes = usize::from(*eights) * 8;
        if bytes == 0 {
            break;
        }
        options = options.get(bytes..).unwrap_or_default();
    }
    Ok(())
}
