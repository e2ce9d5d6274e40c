//! The messages to the network service and to a listener, as words.
//!
//! Whatever opens a socket or a query brings two capabilities along: the memory object (with both
//! rights to it) and a notification (to signal). The reply has the doorbell as its capability (to
//! signal; any bits), in word 0 the core that serves it. Errors: `InvalidArgument` for wrong words
//! or an object too small, `WrongKind` and `NotPermitted` for the capabilities, `LimitReached` with
//! too many sockets, `OutOfMemory`. What becomes of the socket after that, the object says.

use core::net::{IpAddr, SocketAddr};

use super::query::NAME_MAX;
use super::{Layout, SocketError, address};
use crate::abi::message::{Info, Message};

/// Asks about an interface: word 0 its number, word 1 the number of one of its addresses. The reply
/// is an [`InterfaceInfo`].
pub const INFO: u32 = 1;
/// Opens a TCP connection: [`Connect`].
pub const CONNECT: u32 = 2;
/// Listens for TCP connections: [`Listen`]. The reply has an endpoint to the listener as its
/// capability; with the last one it ends. Without a capability it is a [`SocketError`]
/// ([`Listening`]).
pub const LISTEN: u32 = 3;
/// To a listener: the next connection, as soon as there is one: [`Accept`].
pub const ACCEPT: u32 = 4;
/// Opens a UDP socket: [`Bind`].
pub const BIND: u32 = 5;
/// The addresses of a name: [`Resolve`].
pub const RESOLVE: u32 = 6;
/// An ICMP echo: [`Ping`].
pub const PING: u32 = 7;

/// Most bytes of an echo's payload.
pub const PAYLOAD_MAX: u16 = 1400;
/// Capabilities along with what opens something.
const LUGGAGE: u8 = 2;

/// A message with `capabilities` capabilities still to be filled in.
const fn message(label: u32, words: [u64; 6], capabilities: u8) -> Message {
    let mut message = Message::new(label, words);
    message.info = Info::new(label, capabilities);
    message
}

/// Both capacities in a word.
const fn pack(layout: Layout) -> u64 {
    layout.to_network() as u64 | (layout.from_network() as u64) << 32
}

fn unpack(word: u64) -> Option<Layout> {
    Layout::new(word as u32, (word >> 32) as u32).ok()
}

/// The words of a [`CONNECT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect {
    /// The rings.
    pub layout: Layout,
    /// What to signal when the client sleeps; not zero.
    pub bits: u64,
    /// Whom to.
    pub peer: SocketAddr,
}

impl Connect {
    /// The message, lacking its two capabilities.
    pub fn to_message(self) -> Message {
        let [a, b, c] = address::to_words(self.peer);
        message(CONNECT, [pack(self.layout), self.bits, a, b, c, 0], LUGGAGE)
    }

    /// Reads and checks the words.
    pub fn from_words([rings, bits, a, b, c, rest]: [u64; 6]) -> Option<Self> {
        let peer = address::from_words([a, b, c])?;
        let layout = unpack(rings)?;
        (bits != 0 && rest == 0).then_some(Self { layout, bits, peer })
    }
}

/// The words of a [`LISTEN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// On which port; not zero.
    pub port: u16,
    /// How many connections may wait to be accepted; the service may take fewer.
    pub backlog: u16,
}

impl Listen {
    /// The message.
    pub const fn to_message(self) -> Message {
        Message::new(LISTEN, [self.port as u64, self.backlog as u64, 0, 0, 0, 0])
    }

    /// Reads and checks the words.
    pub fn from_words([port, backlog, rest @ ..]: [u64; 6]) -> Option<Self> {
        let (port, backlog) = (u16::try_from(port).ok()?, u16::try_from(backlog).ok()?);
        (port != 0 && rest == [0; 4]).then_some(Self { port, backlog })
    }
}

/// The words of the reply to a [`LISTEN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening;

impl Listening {
    /// Of a refusal, which has no capability.
    pub const fn refused(error: SocketError) -> [u64; 6] {
        [error as u64, 0, 0, 0, 0, 0]
    }

    /// What a reply without a capability says.
    pub fn why_not(words: [u64; 6]) -> SocketError {
        SocketError::from_code(words[0])
    }
}

/// The words of an [`ACCEPT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accept {
    /// The rings.
    pub layout: Layout,
    /// What to signal when the client sleeps; not zero.
    pub bits: u64,
}

impl Accept {
    /// The message, lacking its two capabilities.
    pub const fn to_message(self) -> Message {
        message(ACCEPT, [pack(self.layout), self.bits, 0, 0, 0, 0], LUGGAGE)
    }

    /// Reads and checks the words.
    pub fn from_words([rings, bits, rest @ ..]: [u64; 6]) -> Option<Self> {
        let layout = unpack(rings)?;
        (bits != 0 && rest == [0; 4]).then_some(Self { layout, bits })
    }
}

/// The words of a [`BIND`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bind {
    /// The rings.
    pub layout: Layout,
    /// What to signal when the client sleeps; not zero.
    pub bits: u64,
    /// The port; 0: any.
    pub port: u16,
}

impl Bind {
    /// The message, lacking its two capabilities.
    pub const fn to_message(self) -> Message {
        message(BIND, [pack(self.layout), self.bits, self.port as u64, 0, 0, 0], LUGGAGE)
    }

    /// Reads and checks the words.
    pub fn from_words([rings, bits, port, rest @ ..]: [u64; 6]) -> Option<Self> {
        let (layout, port) = (unpack(rings)?, u16::try_from(port).ok()?);
        (bits != 0 && rest == [0; 3]).then_some(Self { layout, bits, port })
    }
}

/// The words of a [`RESOLVE`]; the name lies in the object ([`super::Query::set_name`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolve {
    /// What to signal when the client sleeps; not zero.
    pub bits: u64,
    /// Bytes of the name.
    pub length: u16,
}

impl Resolve {
    /// The message, lacking its two capabilities.
    pub const fn to_message(self) -> Message {
        message(RESOLVE, [self.bits, self.length as u64, 0, 0, 0, 0], LUGGAGE)
    }

    /// Reads and checks the words.
    pub fn from_words([bits, length, rest @ ..]: [u64; 6]) -> Option<Self> {
        let length = u16::try_from(length).ok().filter(|length| *length != 0)?;
        let good = bits != 0 && usize::from(length) <= NAME_MAX && rest == [0; 4];
        good.then_some(Self { bits, length })
    }
}

/// The words of a [`PING`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    /// What to signal when the client sleeps; not zero.
    pub bits: u64,
    /// Whom.
    pub host: IpAddr,
    /// The sequence number.
    pub sequence: u16,
    /// Bytes of payload, at most [`PAYLOAD_MAX`].
    pub payload_bytes: u16,
    /// How long to wait for the echo.
    pub limit_ms: u32,
}

impl Ping {
    /// The message, lacking its two capabilities.
    pub fn to_message(self) -> Message {
        let [family, first, second] = address::to_words(SocketAddr::new(self.host, 0));
        let [sequence, payload] = [self.sequence, self.payload_bytes].map(u64::from);
        let asked = sequence | payload << 16 | u64::from(self.limit_ms) << 32;
        message(PING, [self.bits, family, first, second, asked, 0], LUGGAGE)
    }

    /// Reads and checks the words.
    pub fn from_words([bits, family, first, second, asked, rest]: [u64; 6]) -> Option<Self> {
        let address = address::from_words([family, first, second])?;
        let this = Self {
            bits,
            host: address.ip(),
            sequence: asked as u16,
            payload_bytes: (asked >> 16) as u16,
            limit_ms: (asked >> 32) as u32,
        };
        let good = bits != 0 && rest == 0 && address.port() == 0;
        (good && this.payload_bytes <= PAYLOAD_MAX).then_some(this)
    }
}

/// An interface and one of its addresses, as [`INFO`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceInfo {
    /// How many interfaces there are.
    pub interfaces: u16,
    /// Whether this one's link is up.
    pub link: Link,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Most bytes of a packet.
    pub mtu: u16,
    /// The address asked for, with the bits of its prefix. `None`: it has no such address.
    pub address: Option<(IpAddr, u8)>,
}

/// Whether an interface reaches anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// It does not.
    Down,
    /// It may.
    Up,
}

impl InterfaceInfo {
    /// As words of the reply.
    pub fn to_words(self) -> [u64; 6] {
        let [a, b, c, d, e, f] = self.mac;
        let mac = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]);
        let [family, first, second] =
            self.address.map_or([0; 3], |(ip, _)| address::to_words(SocketAddr::new(ip, 0)));
        let prefix = self.address.map_or(0, |(_, prefix)| u64::from(prefix));
        let link = u64::from(self.link == Link::Up);
        let first_word = u64::from(self.interfaces) | link << 16 | u64::from(self.mtu) << 32;
        [first_word, mac, family | prefix << 32, first, second, 0]
    }

    /// From the words of a reply. `None`: no interface is like that.
    pub fn from_words([what, mac, family, first, second, rest]: [u64; 6]) -> Option<Self> {
        let [a, b, c, d, e, f, 0, 0] = mac.to_le_bytes() else { return None };
        let link = match (what >> 16) as u16 {
            0 => Link::Down,
            1 => Link::Up,
            _ => return None,
        };
        let prefix = u8::try_from(family >> 32).ok()?;
        let address = match family {
            0 => None,
            _ => Some(address::from_words([family & 0xffff_ffff, first, second])?),
        };
        let mtu = u16::try_from(what >> 32).ok()?;
        let address = address.map(|address| (address.ip(), prefix));
        let mac = [a, b, c, d, e, f];
        (rest == 0).then_some(Self { interfaces: what as u16, link, mac, mtu, address })
    }
}
