//! Network devices as the rest of the kernel knows them: they move whole Ethernet frames.
//!
//! ```text
//!             ┌─────────────── device ───────────────┐
//!   receive <─┤ Port <── drain ── receive ring       │<── wire
//!             │  │ link, room, arrived               │
//!  transmit ──┤──┴─ try_transmit ─> transmit ring ───┤──> wire
//!             └────────── kick: the doorbell ────────┘
//! ```
//!
//! How arrival is noticed (polled, by interrupt) is not to be seen here. A driver has its rings and
//! a [`Port`]; what is the same for all of them, the futures too, is provided.

mod frame;
mod handle;
mod port;
#[cfg(test)]
mod tests;

use core::fmt;
use core::future::poll_fn;
use core::task::{Context, Poll};

pub use frame::{
    ChecksumField, Checksums, Frame, FramePool, FrameTooLong, MIN_FRAME_BYTES, Offload,
};
use hal::dma::DmaError;
pub use handle::NetHandle;
pub use port::{NetStatistics, Port};

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
    /// Whether it computes the checksum that a frame's [`Offload`] asks for.
    pub inserts_checksums: bool,
    /// The longest frame it cuts into segments by itself ([`Offload::segment_bytes`]); 0: it does
    /// not.
    pub max_segmented_bytes: u32,
}

/// Why a frame was not taken for sending. It comes back.
#[derive(Debug)]
pub enum Refused {
    /// The ring is full: wait for [`NetDevice::room`].
    Full(Frame),
    /// The link is down, or the device is gone.
    Down(Frame),
    /// Too long, or it asks for what the device does not do. The caller's mistake.
    Unfit(Frame),
}

/// A network interface card, usable from any core.
///
/// One task at a time waits for each of its futures; they may be dropped at any time: a frame not
/// yet received stays for the next call, and one being sent is sent or not.
#[allow(async_fn_in_trait)]
pub trait NetDevice {
    /// What it is.
    fn info(&self) -> &NetInfo;

    /// Where its driver leaves what arrived, and says what changed.
    fn port(&self) -> &Port;

    /// A frame of `bytes` bytes to be filled in and sent. What is in it at first is of no meaning
    /// to anybody, but may be an older frame's: fill in all of it.
    ///
    /// # Errors
    /// No memory, or longer than the device sends.
    fn frame(&self, bytes: usize) -> Result<Frame, DmaError>;

    /// Puts `frame` into the transmit ring. The device need not notice before [`kick`](Self::kick):
    /// many frames, one doorbell.
    fn try_transmit(&self, frame: Frame) -> Result<(), Refused>;

    /// Tells the device of all frames that were put into its ring.
    fn kick(&self);

    /// Receives these group addresses too, and no others. Those it was told before are forgotten.
    fn listen_to(&self, groups: &[MacAddress]);

    /// A frame that has arrived, if one has.
    fn try_receive(&self) -> Option<Frame> {
        self.port().take()
    }

    /// How the link is.
    fn link(&self) -> LinkState {
        self.port().link()
    }

    /// The next frame that arrives.
    async fn receive(&self) -> Frame {
        poll_fn(|context| self.port().poll_receive(context)).await
    }

    /// Waits until the transmit ring that was full has room.
    async fn room(&self) {
        poll_fn(|context| self.port().poll_room(context)).await;
    }

    /// Sends `frame`; done when the device has it. Hands it back when the link is down, or when it
    /// is not fit to be sent.
    async fn transmit(&self, frame: Frame) -> Result<(), Frame> {
        let mut frame = frame;
        loop {
            match self.try_transmit(frame) {
                Ok(()) => {
                    self.kick();
                    return Ok(());
                }
                Err(Refused::Full(back)) => frame = back,
                Err(Refused::Down(back) | Refused::Unfit(back)) => return Err(back),
            }
            self.room().await;
        }
    }

    /// Resolves once the link is not as `seen`, with how it is then.
    async fn link_changed(&self, seen: LinkState) -> LinkState {
        poll_fn(|context| self.port().poll_link(context, seen)).await
    }

    /// Ready when something has arrived, when a full ring has room again, or when the link is not
    /// as `seen`: for one who uses the `try_` functions. Takes nothing.
    fn poll_event(&self, context: &mut Context<'_>, seen: LinkState) -> Poll<()> {
        self.port().poll_event(context, seen)
    }
}
