//! iperf3's protocol, the server's side: how a client of that name measures against this machine.
//!
//! ```text
//!   client                                      server
//!     ── control connection, cookie ──────────────►
//!     ◄───────────────────────── ParameterExchange   one byte: a state
//!     ── length, JSON ────────────────────────────►  [Parameters]
//!     ◄────────────────────────────  CreateStreams
//!     ── TCP: connections, cookie each ───────────►
//!     ── UDP: a datagram each, answered by one ───►
//!     ◄──────────────────── TestStart, TestRunning
//!     ═══ data, either way or both ════════════════
//!     ── TestEnd ─────────────────────────────────►
//!     ◄──────────────────────────  ExchangeResults
//!     ── length, JSON ────────────────────────────►
//!     ◄──────────────────────────────  length, JSON  [Results]
//!     ◄───────────────────────────  DisplayResults
//!     ── Done ────────────────────────────────────►
//! ```
//!
//! Lengths are 32 bits, big-endian. There is no specification but the program's behaviour; this is
//! that of version 3.12, to which older and newer ones are compatible.

mod parameters;
mod results;
mod udp;

pub use parameters::{Direction, ParameterError, Parameters, Protocol};
pub use results::{Results, StreamResult};
pub use udp::{Counter, Header, Receiver};

/// The port of the control connection, of TCP streams and of UDP streams.
pub const PORT: u16 = 5201;
/// Bytes of a cookie, its final zero included.
pub const COOKIE_BYTES: usize = 37;
/// Most bytes of JSON taken from a client. Its results grow with the streams.
pub const JSON_MAX: usize = 64 << 10;
/// Most parallel streams each way.
pub const STREAMS_MAX: u8 = 16;
/// Most bytes of one write that a client may ask for.
pub const BLOCK_MAX: u32 = 1 << 20;
/// What a server sends back when a UDP stream's first datagram has come: `"6789"`.
pub const UDP_REPLY: [u8; 4] = 0x3938_3736u32.to_le_bytes();

/// A step of a test, one byte on the control connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum State {
    /// All streams are there.
    TestStart = 1,
    /// Data may flow.
    TestRunning = 2,
    /// The client has measured enough.
    TestEnd = 4,
    /// The client is to send its parameters.
    ParameterExchange = 9,
    /// The client is to open its streams.
    CreateStreams = 10,
    /// The server gives up.
    ServerTerminate = 11,
    /// The client gives up.
    ClientTerminate = 12,
    /// Each side is to send its results, the client first.
    ExchangeResults = 13,
    /// The client is to show them.
    DisplayResults = 14,
    /// The client is done.
    Done = 16,
    /// Another test is running.
    AccessDenied = -1,
    /// The server cannot; two 32-bit numbers follow: what ([`ServerError`]), and the system's error.
    ServerError = -2,
}

impl State {
    /// The byte for it.
    pub const fn byte(self) -> u8 {
        self as i8 as u8
    }

    /// What a client may say: the state for a byte.
    pub const fn from_client(byte: u8) -> Option<Self> {
        match byte {
            4 => Some(Self::TestEnd),
            12 => Some(Self::ClientTerminate),
            16 => Some(Self::Done),
            _ => None,
        }
    }
}

/// What the server cannot do, by the program's own numbers: its client shows a sentence for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ServerError {
    /// Too many parallel streams.
    Streams = 6,
    /// Too large a block.
    Block = 7,
    /// Not implemented.
    Unimplemented = 13,
    /// The parameters did not come, or are none.
    Parameters = 114,
    /// The streams did not come.
    CreateStream = 200,
}

impl ServerError {
    /// State and numbers, as they are sent.
    pub fn bytes(self) -> [u8; 9] {
        let mut bytes = [0; 9];
        bytes[0] = State::ServerError.byte();
        bytes[1..5].copy_from_slice(&(self as u32).to_be_bytes());
        bytes
    }
}

/// The number that the program gives to the stream at `index`: it leaves out 2.
pub const fn stream_id(index: usize) -> usize {
    if index == 0 { 1 } else { index + 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_on_the_wire() {
        assert_eq!(&UDP_REPLY, b"6789");
        assert_eq!((State::AccessDenied.byte(), State::ServerError.byte()), (255, 254));
        assert_eq!(ServerError::Unimplemented.bytes(), [254, 0, 0, 0, 13, 0, 0, 0, 0]);
        assert_eq!([0, 1, 2].map(stream_id), [1, 3, 4]);
        for byte in 0..=255 {
            if let Some(state) = State::from_client(byte) {
                assert_eq!(state.byte(), byte);
            }
        }
    }
}
