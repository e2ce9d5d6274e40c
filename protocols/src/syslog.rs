//! Lines of a log as syslog messages (RFC 5424), one a datagram (RFC 5426).
//!
//! ```text
//! <PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID [meta sequenceId="…" sysUpTime="…"] MSG
//! ```
//!
//! The sequence number counts the messages, so that a reader sees what got lost on the way
//! (section 7.3). The text is UTF-8, announced by a byte-order mark where it is more than ASCII
//! (section 6.4).

use core::fmt::{self, Display, Write};

use crate::calendar::Timestamp;

/// Longest message, in bytes: it fits into one Ethernet frame over either version of IP, and every
/// receiver should take it (RFC 5424 section 6.1). Longer ones are cut at the end.
pub const MESSAGE_MAX: usize = 1_024;
/// The port (RFC 5426 section 3.3).
pub const PORT: u16 = 514;

/// Messages of a kernel (RFC 5424 table 1).
const FACILITY_KERNEL: u8 = 0;
/// Largest sequence number; the next is 1 (section 7.3.1).
const SEQUENCE_MAX: u64 = 2_147_483_647;
/// Longest MSGID.
const MSGID_MAX: usize = 32;
/// Longest HOSTNAME.
const HOSTNAME_MAX: usize = 255;
const BYTE_ORDER_MARK: char = '\u{feff}';

/// How bad it is (RFC 5424 table 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Severity {
    /// Something does not work.
    Error = 3,
    /// Something should be looked at.
    Warning = 4,
    /// What happens.
    Informational = 6,
    /// For who looks for a mistake.
    Debug = 7,
}

/// One message.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// How bad it is.
    pub severity: Severity,
    /// Microseconds since 1970, where somebody knows the date.
    pub unix_us: Option<u64>,
    /// Microseconds since the machine's start.
    pub uptime_us: u64,
    /// The machine's name, or address; empty: unknown.
    pub hostname: &'a str,
    /// Who speaks: `pollux`.
    pub application: &'a str,
    /// The core it happened on.
    pub core: u16,
    /// The part of the program, `drivers::nvme`. Cut to its last 32 bytes.
    pub target: &'a str,
    /// Which message this is, counted from 1.
    pub sequence: u64,
    /// What happened. Characters that would break a line or a terminal are replaced.
    pub text: &'a str,
}

/// A message's bytes.
#[derive(Clone, Debug)]
pub struct Datagram {
    bytes: [u8; MESSAGE_MAX],
    length: usize,
}

impl Message<'_> {
    /// The message as it is sent.
    pub fn datagram(&self) -> Datagram {
        let mut datagram = Datagram { bytes: [0; MESSAGE_MAX], length: 0 };
        // An error says that it is full: the rest of the text is cut.
        let _ = self.write(&mut datagram);
        datagram
    }

    fn write(&self, out: &mut Datagram) -> fmt::Result {
        write!(out, "<{}>1 ", FACILITY_KERNEL * 8 + self.severity as u8)?;
        match self.unix_us {
            Some(unix_us) => write!(out, "{}", Timestamp(unix_us))?,
            None => out.write_char('-')?,
        }
        let hostname = Name { text: self.hostname, most: HOSTNAME_MAX };
        let application = Name { text: self.application, most: 48 };
        let target = Name { text: self.target, most: MSGID_MAX };
        write!(out, " {hostname} {application} core{} {target} ", self.core)?;
        let sequence = self.sequence.saturating_sub(1) % SEQUENCE_MAX + 1;
        // In hundredths of a second, as SNMP has it.
        let uptime = self.uptime_us / 10_000;
        write!(out, "[meta sequenceId=\"{sequence}\" sysUpTime=\"{uptime}\"] ")?;
        if !self.text.is_ascii() {
            out.write_char(BYTE_ORDER_MARK)?;
        }
        for character in self.text.chars() {
            out.write_char(if character.is_control() { ' ' } else { character })?;
        }
        Ok(())
    }
}

impl Datagram {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }
}

impl Write for Datagram {
    /// Takes what fits, in whole characters.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut end = text.len().min(MESSAGE_MAX - self.length);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.bytes[self.length..self.length + end].copy_from_slice(&text.as_bytes()[..end]);
        self.length += end;
        if end == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// A field of the header: printable ASCII, at most so many bytes of it (the last ones); `-` for
/// nothing.
struct Name<'a> {
    text: &'a str,
    most: usize,
}

impl Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut printable = self.text.chars().filter(char::is_ascii_graphic);
        let left_out = printable.clone().count().saturating_sub(self.most);
        if left_out > 0 {
            printable.nth(left_out - 1);
        }
        let mut empty = true;
        for character in printable {
            empty = false;
            f.write_char(character)?;
        }
        if empty { f.write_char('-') } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::string::{String, ToString};

    const PLAIN: Message<'static> = Message {
        severity: Severity::Warning,
        unix_us: Some(1_795_514_579_123_456),
        uptime_us: 42_210_000,
        hostname: "pollux",
        application: "pollux",
        core: 1,
        target: "drivers::nvme",
        sequence: 7,
        text: "nvme0: hot",
    };

    fn shown(message: &Message<'_>) -> String {
        core::str::from_utf8(message.datagram().as_bytes()).unwrap().to_string()
    }

    #[test]
    fn as_the_rfc_has_it() {
        assert_eq!(
            shown(&PLAIN),
            "<4>1 2026-11-24T10:02:59.123456Z pollux pollux core1 drivers::nvme \
             [meta sequenceId=\"7\" sysUpTime=\"4221\"] nvme0: hot"
        );
        let bare = Message { unix_us: None, hostname: "", target: " ", text: "", ..PLAIN };
        assert!(shown(&bare).starts_with("<4>1 - - pollux core1 - [meta "), "{}", shown(&bare));
        let wide = Message { text: "40 µs\n!", ..PLAIN };
        assert!(shown(&wide).ends_with("\"] \u{feff}40 µs !"), "{}", shown(&wide));
        let long = Message { target: "kernel::services::net::apps::syslog", ..PLAIN };
        assert!(shown(&long).contains(" nel::services::net::apps::syslog "), "{}", shown(&long));
    }

    #[test]
    fn sequence_numbers_begin_again_at_one() {
        let at = |sequence| shown(&Message { sequence, ..PLAIN });
        assert!(at(SEQUENCE_MAX).contains("sequenceId=\"2147483647\""));
        assert!(at(SEQUENCE_MAX + 1).contains("sequenceId=\"1\""));
        assert!(at(0).contains("sequenceId=\"1\""));
    }

    proptest! {
        /// Whatever the texts are, the header has its fields and nothing is too long.
        #[test]
        fn always_in_form(host: String, target: String, text in ".{0,1500}", sequence: u64, time: Option<u64>) {
            let message = Message {
                hostname: &host, target: &target, text: &text, sequence, unix_us: time, ..PLAIN
            };
            let line = shown(&message);
            prop_assert!(line.len() <= MESSAGE_MAX);
            let fields: std::vec::Vec<&str> = line.splitn(8, ' ').collect();
            prop_assert_eq!(fields.len(), 8, "{}", line);
            prop_assert!(fields[..6].iter().all(|field| !field.is_empty() && field.is_ascii()));
            prop_assert!(fields[6].starts_with("[meta"));
            prop_assert!(!line.chars().any(char::is_control));
        }
    }
}
