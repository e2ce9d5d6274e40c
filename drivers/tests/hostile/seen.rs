//! What an attacker on the link sees of the victim: enough to answer in its name.

use super::frame::{ETHERNET, IPV4, TCP, UDP, transport, word};

/// One direction of a connection, as the victim last told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    pub is_v6: bool,
    /// The peer's port, the victim's.
    pub ports: (u16, u16),
    /// What the victim expects next, and what it has sent.
    pub sequence: u32,
    pub acknowledges: u32,
}

/// A question to a name server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub port: u16,
    pub message: Vec<u8>,
}

#[derive(Default)]
pub struct Seen {
    pub flows: Vec<Flow>,
    pub dhcp: Option<u32>,
    pub questions: Vec<Question>,
}

const FLOWS_MOST: usize = 24;
const QUESTIONS_MOST: usize = 8;

impl Seen {
    /// The victim has sent this.
    pub fn look(&mut self, frame: &[u8]) {
        let Some((protocol, start, end, _)) = transport(frame) else { return };
        let bytes = &frame[start..end];
        match protocol {
            TCP if bytes.len() >= 20 => self.segment(word(frame, 12) != IPV4, bytes),
            UDP if bytes.len() >= 8 => self.datagram(bytes),
            _ => {}
        }
    }

    fn segment(&mut self, is_v6: bool, bytes: &[u8]) {
        let long = |at: usize| u32::from(word(bytes, at)) << 16 | u32::from(word(bytes, at + 2));
        let header = usize::from(bytes[12] >> 4) * 4;
        let payload = bytes.len().saturating_sub(header) as u32;
        let flow = Flow {
            is_v6,
            ports: (word(bytes, 2), word(bytes, 0)),
            sequence: long(8),
            acknowledges: long(4).wrapping_add(payload + u32::from(bytes[13] & 3 != 0)),
        };
        // The latest is the last.
        self.flows.retain(|old| old.is_v6 != is_v6 || old.ports != flow.ports);
        if self.flows.len() == FLOWS_MOST {
            self.flows.remove(0);
        }
        self.flows.push(flow);
    }

    fn datagram(&mut self, bytes: &[u8]) {
        let (from, to, message) = (word(bytes, 0), word(bytes, 2), &bytes[8..]);
        if to == 67 && message.len() > 8 {
            self.dhcp = Some(u32::from_be_bytes([message[4], message[5], message[6], message[7]]));
        }
        if to == 53 && message.len() > 12 {
            if self.questions.len() == QUESTIONS_MOST {
                self.questions.remove(0);
            }
            self.questions.push(Question { port: from, message: message.to_vec() });
        }
    }
}

/// Whether a frame of the victim is well formed: its lengths agree, and its checksums are right
/// where it computes them itself.
pub fn is_well_formed(frame: &[u8]) -> bool {
    if frame.len() < ETHERNET || frame.len() > 1514 {
        return false;
    }
    let length = match word(frame, 12) {
        IPV4 => usize::from(word(frame, 16)),
        super::frame::IPV6 => 40 + usize::from(word(frame, 18)),
        super::frame::ARP => 28,
        _ => return false,
    };
    length == frame.len() - ETHERNET && super::frame::fixed(frame.to_vec()) == frame
}
