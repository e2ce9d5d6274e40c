//! Services for measuring and trying a network: echo (RFC 862), discard (RFC 863), chargen (RFC
//! 864), by TCP and UDP, and iperf3.
//!
//! They answer whoever asks, as fast as they can: only with `net.services=on`.

mod datagrams;
mod iperf3;
mod iperf3_streams;
mod iperf3_test;
mod streams;

pub use datagrams::serve as serve_datagrams;
pub use iperf3::serve as serve_iperf3;
pub use streams::serve as serve_streams;

/// What a port does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Sends back what comes.
    Echo,
    /// Forgets what comes.
    Discard,
    /// Sends lines of characters without end; by UDP, a line for each datagram.
    Chargen,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Echo, Self::Discard, Self::Chargen];

    /// Its port.
    pub const fn port(self) -> u16 {
        match self {
            Self::Echo => 7,
            Self::Discard => 9,
            Self::Chargen => 19,
        }
    }
}

/// The characters of chargen: printable ASCII, in a ring.
const FIRST: u8 = b' ';
const CHARACTERS: usize = 95;
/// Characters in a line, before its end.
const LINE: usize = 72;
/// Bytes of a line.
const LINE_BYTES: usize = LINE + 2;

/// What chargen sends at byte `at` of its stream: each line begins one character further on.
const fn chargen(at: usize) -> u8 {
    let (line, column) = (at / LINE_BYTES, at % LINE_BYTES);
    match column {
        LINE => b'\r',
        column if column > LINE => b'\n',
        column => FIRST + ((line + column) % CHARACTERS) as u8,
    }
}

/// After so many bytes the stream begins again.
const PERIOD: usize = LINE_BYTES * CHARACTERS;
