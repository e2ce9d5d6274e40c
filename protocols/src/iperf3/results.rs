//! What the server has measured, as JSON.

use core::fmt::{self, Display};

use super::{Direction, stream_id};

/// One stream, as its end here has seen it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamResult {
    /// Bytes received, or sent.
    pub bytes: u64,
    /// Variation of the datagrams' transit time, in microseconds (RFC 1889 appendix A.8).
    pub jitter_us: u64,
    /// Datagrams lost.
    pub lost: u64,
    /// Datagrams received or sent, those lost included.
    pub packets: u64,
    /// Microseconds that it was measured for.
    pub span_us: u64,
}

/// All streams. Displays as the JSON that the client waits for.
#[derive(Clone, Copy, Debug)]
pub struct Results<'a> {
    /// Who has sent.
    pub direction: Direction,
    /// In the order in which they came.
    pub streams: &'a [StreamResult],
    /// How busy the core was, in thousandths.
    pub load_permille: u64,
}

impl Display for Results<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let load = Thousandths(self.load_permille * 100);
        // Retransmissions are not counted here: a sender says so by 0, a receiver has none to tell.
        let counts = if self.direction == Direction::Forward { -1 } else { 0 };
        write!(
            f,
            "{{\"cpu_util_total\":{load},\"cpu_util_user\":0,\"cpu_util_system\":{load},\
             \"sender_has_retransmits\":{counts},\"streams\":["
        )?;
        for (index, stream) in self.streams.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let StreamResult { bytes, jitter_us, lost, packets, span_us } = stream;
            let jitter = Millionths(*jitter_us);
            write!(
                f,
                "{comma}{{\"id\":{},\"bytes\":{bytes},\"retransmits\":-1,\"jitter\":{jitter},\
                 \"errors\":{lost},\"packets\":{packets},\"start_time\":0,\"end_time\":{}}}",
                stream_id(index),
                Millionths(*span_us)
            )?;
        }
        f.write_str("]}")
    }
}

struct Thousandths(u64);

impl Display for Thousandths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1_000, self.0 % 1_000)
    }
}

struct Millionths(u64);

impl Display for Millionths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use crate::json;
    use std::string::ToString;

    #[test]
    fn is_json_with_what_the_client_asks_for() {
        let stream =
            StreamResult { bytes: 5, jitter_us: 1_234, lost: 1, packets: 9, span_us: 10_000_001 };
        let text =
            Results { direction: Direction::Forward, streams: &[stream; 2], load_permille: 123 };
        let text = text.to_string();
        assert!(text.contains("\"cpu_util_total\":12.300,"), "{text}");
        assert!(text.contains(
            "{\"id\":3,\"bytes\":5,\"retransmits\":-1,\"jitter\":0.001234,\"errors\":1,\
             \"packets\":9,\"start_time\":0,\"end_time\":10.000001}"
        ));
        let mut names = std::vec::Vec::new();
        json::members(text.as_bytes(), |name, _| names.push(name.to_string())).unwrap();
        assert_eq!(names.last().map(|name| name.as_str()), Some("streams"));
        let none = Results { direction: Direction::Reverse, streams: &[], load_permille: 0 };
        assert!(none.to_string().ends_with("\"sender_has_retransmits\":0,\"streams\":[]}"));
    }
}
