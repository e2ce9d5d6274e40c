//! What a client asks for, as JSON.

use super::{BLOCK_MAX, Counter, STREAMS_MAX, ServerError};
use crate::json::{self, Value};

/// Bytes of a TCP write unless the client says otherwise.
const TCP_BLOCK: u32 = 128 << 10;
/// Bytes of a UDP datagram unless the client says otherwise.
const UDP_BLOCK: u32 = 1_460;
/// Smallest datagram: it holds the header with a long counter.
const UDP_BLOCK_MIN: u32 = 16;
/// Largest datagram that the program sends.
const UDP_BLOCK_MAX: u32 = 65_507;
/// Longest test, in seconds: a day.
const TIME_MAX_S: u64 = 86_400;
/// Longest omitted beginning, in seconds.
const OMIT_MAX_S: u64 = 60;

/// What carries the streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The client.
    Forward,
    /// The server.
    Reverse,
    /// Both: half of the streams each, those that the client sends on come first.
    Both,
}

/// A test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// What carries the streams.
    pub protocol: Protocol,
    /// Who sends.
    pub direction: Direction,
    /// Streams each way, 1 to [`STREAMS_MAX`].
    pub parallel: u8,
    /// Bytes of a write or datagram.
    pub block_bytes: u32,
    /// Bits a second that a stream's sender is to keep to; `None`: as fast as it goes.
    pub bits_per_second: Option<u64>,
    /// Seconds that the test lasts; 0: until so many bytes have come.
    pub time_s: u64,
    /// Seconds at the beginning that are not counted.
    pub omit_s: u64,
    /// How long the datagrams' counters are.
    pub counter: Counter,
}

/// Why there is no such test. [`ParameterError::server_error`] is what the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum ParameterError {
    /// Not JSON.
    #[error("the client's parameters are no JSON object")]
    Json,
    /// Neither TCP nor UDP.
    #[error("only TCP and UDP are measured")]
    Protocol,
    /// Too many streams, or none.
    #[error("1 to {STREAMS_MAX} parallel streams can be measured")]
    Streams,
    /// A block of a size that cannot be.
    #[error("blocks have 1 to {BLOCK_MAX} bytes, datagrams {UDP_BLOCK_MIN} to {UDP_BLOCK_MAX}")]
    Block,
}

impl ParameterError {
    /// What the client is told.
    pub const fn server_error(self) -> ServerError {
        match self {
            Self::Json => ServerError::Parameters,
            Self::Protocol => ServerError::Unimplemented,
            Self::Streams => ServerError::Streams,
            Self::Block => ServerError::Block,
        }
    }
}

impl Parameters {
    /// Reads a client's parameters. What only concerns the client, or cannot be done here (window,
    /// congestion control, type of service), is passed over, as the program's own server does where
    /// the system lacks it.
    ///
    /// # Errors
    /// There is no such test.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParameterError> {
        let (mut protocol, mut parallel, mut block, mut rate) = (None, 1, None, 0);
        let (mut reverse, mut both, mut counter) = (false, false, Counter::Short);
        let (mut time_s, mut omit_s) = (0, 0);
        json::members(bytes, |name, value: Value<'_>| match name {
            "tcp" if value.is_set() => protocol = Some(Protocol::Tcp),
            "udp" if value.is_set() => protocol = Some(Protocol::Udp),
            "parallel" => parallel = value.unsigned().unwrap_or(0),
            "len" => block = value.unsigned().or(Some(0)),
            "bandwidth" => rate = value.unsigned().unwrap_or(0),
            "reverse" => reverse = value.is_set(),
            "bidirectional" => both = value.is_set(),
            "time" => time_s = value.unsigned().unwrap_or(0).min(TIME_MAX_S),
            "omit" => omit_s = value.unsigned().unwrap_or(0).min(OMIT_MAX_S),
            "udp_counters_64bit" if value.is_set() => counter = Counter::Long,
            _ => {}
        })
        .map_err(|_| ParameterError::Json)?;
        let protocol = protocol.ok_or(ParameterError::Protocol)?;
        let parallel = u8::try_from(parallel).map_err(|_| ParameterError::Streams)?;
        if !(1..=STREAMS_MAX).contains(&parallel) {
            return Err(ParameterError::Streams);
        }
        let (usual, sizes) = match protocol {
            Protocol::Tcp => (TCP_BLOCK, 1..=BLOCK_MAX),
            Protocol::Udp => (UDP_BLOCK, UDP_BLOCK_MIN..=UDP_BLOCK_MAX),
        };
        let block_bytes = match block {
            None => usual,
            Some(bytes) => u32::try_from(bytes).map_err(|_| ParameterError::Block)?,
        };
        if !sizes.contains(&block_bytes) {
            return Err(ParameterError::Block);
        }
        let direction = match (reverse, both) {
            (_, true) => Direction::Both,
            (true, false) => Direction::Reverse,
            (false, false) => Direction::Forward,
        };
        let bits_per_second = (rate > 0).then_some(rate);
        Ok(Self {
            protocol,
            direction,
            parallel,
            block_bytes,
            bits_per_second,
            time_s,
            omit_s,
            counter,
        })
    }

    /// Streams that the server receives on, and that it sends on.
    pub const fn streams(&self) -> (usize, usize) {
        let count = self.parallel as usize;
        match self.direction {
            Direction::Forward => (count, 0),
            Direction::Reverse => (0, count),
            Direction::Both => (count, count),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::format;
    use std::vec::Vec;

    #[test]
    fn what_the_program_sends() {
        let tcp =
            br#"{"tcp":true,"omit":0,"time":10,"num":0,"blockcount":0,"parallel":1,"len":131072,
            "pacing_timer":1000,"client_version":"3.12"}"#;
        let expected = Parameters {
            protocol: Protocol::Tcp,
            direction: Direction::Forward,
            parallel: 1,
            block_bytes: 131_072,
            bits_per_second: None,
            time_s: 10,
            omit_s: 0,
            counter: Counter::Short,
        };
        assert_eq!(Parameters::parse(tcp), Ok(expected));
        assert_eq!(expected.streams(), (1, 0));
        let udp = br#"{"udp":true,"omit":1,"time":2,"parallel":4,"reverse":true,"len":1448,
            "bandwidth":1048576,"udp_counters_64bit":1}"#;
        let read = Parameters::parse(udp).unwrap();
        assert_eq!((read.protocol, read.direction), (Protocol::Udp, Direction::Reverse));
        assert_eq!((read.bits_per_second, read.counter), (Some(1_048_576), Counter::Long));
        assert_eq!((read.omit_s, read.streams()), (1, (0, 4)));
        let both = Parameters::parse(br#"{"tcp":true,"bidirectional":true,"parallel":3}"#).unwrap();
        assert_eq!(both.streams(), (3, 3));
    }

    #[test]
    fn what_cannot_be_measured() {
        for (text, error) in [
            ("", ParameterError::Json),
            ("{\"tcp\":true", ParameterError::Json),
            ("{\"sctp\":true}", ParameterError::Protocol),
            ("{\"tcp\":true,\"parallel\":0}", ParameterError::Streams),
            ("{\"tcp\":true,\"parallel\":129}", ParameterError::Streams),
            ("{\"tcp\":true,\"len\":0}", ParameterError::Block),
            ("{\"tcp\":true,\"len\":\"x\"}", ParameterError::Block),
            ("{\"tcp\":true,\"len\":99999999999}", ParameterError::Block),
            ("{\"udp\":true,\"len\":15}", ParameterError::Block),
            ("{\"udp\":true,\"len\":65508}", ParameterError::Block),
        ] {
            assert_eq!(Parameters::parse(text.as_bytes()), Err(error), "{text}");
        }
    }

    proptest! {
        /// Whatever comes, what is accepted keeps within its bounds.
        #[test]
        fn anything_is_bounded(bytes: Vec<u8>, numbers: [i64; 4], udp: bool) {
            let _ = Parameters::parse(&bytes);
            let [parallel, len, time, omit] = numbers;
            let protocol = if udp { "udp" } else { "tcp" };
            let text = format!(
                "{{\"{protocol}\":true,\"parallel\":{},\"len\":{},\"time\":{time},\"omit\":{omit}}}",
                parallel % 20, len % 70_000
            );
            if let Ok(read) = Parameters::parse(text.as_bytes()) {
                prop_assert!((1..=STREAMS_MAX).contains(&read.parallel));
                prop_assert!((1..=BLOCK_MAX).contains(&read.block_bytes));
                prop_assert!(read.time_s <= TIME_MAX_S && read.omit_s <= OMIT_MAX_S);
            }
        }
    }
}
