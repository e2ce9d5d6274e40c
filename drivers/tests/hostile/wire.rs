//! The device of an interface: frames in, frames out, nothing between.

use std::collections::VecDeque;
use std::num::NonZeroUsize;

use protocols::ingress::{Repeated, after_end, is_reset};
use smoltcp::phy::{Checksum, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

/// What the device does by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offloads {
    /// Nothing: an RTL8139.
    None,
    /// Checksums of what is sent and received, and segments of TCP: an e1000.
    All,
}

/// Whether the rules of `protocols::ingress` are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    Kept,
    Broken,
}

pub struct Wire {
    pub incoming: VecDeque<Vec<u8>>,
    pub outgoing: Vec<Vec<u8>>,
    /// A frame was taken that resets a connection.
    pub has_reset: bool,
    /// While nothing is an answer: who says the same again and again.
    pub repeated: Option<Repeated>,
    /// The ports of one who does.
    pub runaway: Option<(u16, u16)>,
    offloads: Offloads,
    rules: Rules,
}

impl Wire {
    pub fn new(offloads: Offloads, rules: Rules) -> Self {
        Self {
            incoming: VecDeque::new(),
            outgoing: Vec::new(),
            has_reset: false,
            repeated: None,
            runaway: None,
            offloads,
            rules,
        }
    }
}

impl Device for Wire {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Received, Sending<'_>)> {
        let frame = self.incoming.pop_front()?;
        self.has_reset |= is_reset(&frame);
        if self.rules == Rules::Kept
            && let Some(after) = after_end(&frame)
        {
            self.incoming.push_front(after.bytes().to_vec());
        }
        Some((Received(frame), Sending(self)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Sending<'_>> {
        Some(Sending(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        if self.offloads == Offloads::All {
            capabilities.checksum.tcp = Checksum::None;
            capabilities.checksum.udp = Checksum::Rx;
            capabilities.segmentation.tcpv4 = NonZeroUsize::new(16 << 10);
            capabilities.segmentation.tcpv6 = NonZeroUsize::new(16 << 10);
        }
        capabilities
    }
}

pub struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

pub struct Sending<'a>(&'a mut Wire);

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, bytes: usize, f: F) -> R {
        let mut frame = vec![0; bytes];
        let result = f(&mut frame);
        if let Some(repeated) = &mut self.0.repeated {
            self.0.runaway = repeated.note(&frame).or(self.0.runaway);
        }
        self.0.outgoing.push(frame);
        result
    }
}
