//! Network devices as the rest of the kernel knows them: they move whole Ethernet frames.
//!
//! How arrival is noticed (polled, by interrupt) is not to be seen here.

use core::fmt;

use hal::dma::DmaBuf;

/// An Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// The address everybody listens to.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether it can be a device's own: not a group address and not all zeros. Devices that come
    /// with nonsense in their EEPROM are refused by this.
    pub const fn is_station(self) -> bool {
        let [a, b, c, d, e, f] = self.0;
        a & 1 == 0 && (a | b | c | d | e | f) != 0
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(formatter, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

/// Whether frames can pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// No cable, or nobody at the other end.
    Down,
    /// Frames pass, at this speed in Mbit/s; 0 if the device does not say.
    Up {
        /// Mbit/s.
        megabits: u32,
    },
}

/// What a network device is. Does not change while it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetInfo {
    /// Its own address.
    pub mac: MacAddress,
    /// The longest frame it carries, header included, FCS not: 1514 on plain Ethernet.
    pub max_frame_bytes: u16,
    /// How many frames it holds for sending.
    pub transmit_depth: u16,
}

/// The shortest frame on the wire, without FCS; shorter ones are padded by the device.
pub const MIN_FRAME_BYTES: usize = 60;

/// The frame does not fit its buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
#[error("the frame is longer than its buffer")]
pub struct FrameTooLong;

/// A whole Ethernet frame without FCS, in memory a device can reach.
#[derive(Debug)]
pub struct Frame {
    buf: DmaBuf,
    bytes: usize,
}

impl Frame {
    /// The frame in the first `bytes` bytes of `buf`.
    pub fn new(buf: DmaBuf, bytes: usize) -> Result<Self, FrameTooLong> {
        if bytes > buf.len() { Err(FrameTooLong) } else { Ok(Self { buf, bytes }) }
    }

    /// Its bytes, from the destination address on.
    pub fn bytes(&self) -> &[u8] {
        &self.buf[..self.bytes]
    }

    /// Its bytes, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buf[..self.bytes]
    }

    /// Its buffer, which may be longer, and its length.
    pub fn into_buf(self) -> (DmaBuf, usize) {
        (self.buf, self.bytes)
    }
}

/// A network interface card.
///
/// The futures may be dropped at any time: a frame not yet received stays for the next call, and
/// one being sent is sent or not. They stay on the core that polls them (no `Send` bound).
#[allow(async_fn_in_trait)]
pub trait NetDevice {
    /// What it is.
    fn info(&self) -> &NetInfo;

    /// The next frame that arrives.
    async fn receive(&self) -> Frame;

    /// Sends `frame`; done when the device has it. Hands it back when the link is down.
    async fn transmit(&self, frame: Frame) -> Result<(), Frame>;

    /// Resolves once the link is not as `seen`, with how it is then.
    async fn link_changed(&self, seen: LinkState) -> LinkState;
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal::sim::SimMachine;
    use std::format;

    #[test]
    fn addresses() {
        let mac = MacAddress([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
        assert_eq!(format!("{mac}"), "52:54:00:12:34:56");
        assert!(mac.is_station());
        assert!(!MacAddress::BROADCAST.is_station());
        assert!(!MacAddress([0; 6]).is_station());
        assert!(!MacAddress([1, 0, 0x5e, 0, 0, 1]).is_station());
    }

    #[test]
    fn a_frame_is_the_front_of_its_buffer() {
        let machine = SimMachine::new();
        let buf = machine.dma().buffer(2048).expect("memory");
        let mut frame = Frame::new(buf, 60).expect("it fits");
        frame.bytes_mut()[59] = 7;
        assert_eq!((frame.bytes().len(), frame.bytes()[59]), (60, 7));
        let (buf, bytes) = frame.into_buf();
        assert_eq!((buf.len(), bytes), (2048, 60));
        assert_eq!(Frame::new(buf, 2049).err(), Some(FrameTooLong));
    }
}
