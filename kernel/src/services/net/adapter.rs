//! A network device as smoltcp takes it: tokens for one frame each, no copy on either way.
//!
//! smoltcp cannot be told that a frame was not taken, so one that finds the ring full waits here,
//! and no token is given out meanwhile. Checksums of TCP are the device's where it computes them:
//! it is told where, and what it has not checked on receipt is checked here. UDP is checked by
//! smoltcp on receipt, since its fragments are put together there.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::num::{NonZeroU16, NonZeroUsize};
use drivers::net::{
    ChecksumField, Checksums, Frame, MacAddress, NetDevice, NetHandle, Offload, Refused,
};
use protocols::ingress::{self, AfterEnd, Repeated, Segment};
use smoltcp::phy::{Checksum, Device, DeviceCapabilities, Medium, PacketMeta, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpAddress, IpEndpoint, IpProtocol, Ipv4Packet, Ipv6Packet,
    TcpPacket, checksum,
};

/// Ethernet header.
const ETHERNET: usize = 14;
/// Where the checksum is in a TCP header, and in one of UDP.
const TCP_CHECKSUM: usize = 16;
const UDP_CHECKSUM: usize = 6;

/// Connections that may begin in a turn: as many as the smallest backlog has sockets for, which are
/// replaced between turns.
pub const BEGINNINGS: usize = 4;

/// The device of one interface.
pub struct Adapter {
    handle: NetHandle,
    /// Frames that found the ring full.
    refused: VecDeque<Frame>,
    /// For frames that there is no memory for: written here, and lost.
    scratch: Vec<u8>,
    /// How many more frames are taken in this turn.
    budget: usize,
    /// The frame that is taken next, and what it is to a connection.
    fetched: Option<(Frame, Option<Segment>)>,
    /// What the stack is given next (`protocols::ingress` says why).
    next: Option<AfterEnd>,
    /// What is sent is no answer to a frame.
    is_unasked: bool,
    repeated: Repeated,
    runaway: Option<(u16, u16)>,
    /// How many more of them may begin a connection.
    beginnings: usize,
    inserts_checksums: bool,
    /// The identification of the next IPv4 packet that is cut into segments.
    identification: u16,
    /// Frames lost: no memory, link down, or not what the device can send.
    pub lost: u64,
    /// Frames whose checksum is wrong, or that would stop the stack.
    pub damaged: u64,
}

impl Adapter {
    /// Of this device.
    pub fn new(handle: NetHandle) -> Self {
        let inserts_checksums = handle.info().inserts_checksums;
        let (refused, scratch) = (VecDeque::new(), Vec::new());
        Self {
            handle,
            refused,
            scratch,
            budget: 0,
            fetched: None,
            next: None,
            is_unasked: false,
            repeated: Repeated::default(),
            runaway: None,
            beginnings: 0,
            inserts_checksums,
            identification: 0,
            lost: 0,
            damaged: 0,
        }
    }

    /// A turn begins: at most `budget` frames are taken, and what had to wait is sent first.
    pub fn begin(&mut self, budget: usize) {
        self.budget = budget;
        self.beginnings = BEGINNINGS;
        while let Some(frame) = self.refused.pop_front() {
            match self.handle.try_transmit(frame) {
                Ok(()) => {}
                Err(Refused::Full(frame)) => {
                    self.refused.push_front(frame);
                    break;
                }
                Err(Refused::Down(_) | Refused::Unfit(_)) => self.lost += 1,
            }
        }
    }

    /// A turn ends: the device is told. Whether there may be more frames.
    pub fn end(&mut self) -> bool {
        self.handle.kick();
        self.is_unasked = false;
        self.budget == 0 || self.beginnings == 0
    }

    /// The port on this side of the connection that the next frame resets, if it does that.
    pub fn next_reset(&mut self) -> Option<u16> {
        self.fetch();
        match self.fetched {
            Some((_, Some(Segment::Reset(port)))) => Some(port),
            _ => None,
        }
    }

    /// The port on this side to which the next frame begins a connection, if it does that.
    pub fn next_beginning(&mut self) -> Option<u16> {
        self.fetch();
        match self.fetched {
            Some((_, Some(Segment::Beginning(port)))) => Some(port),
            _ => None,
        }
    }

    /// Who sends the next frame, if that is a segment of TCP's.
    pub fn next_source(&self) -> Option<IpEndpoint> {
        let frame = self.fetched.as_ref()?.0.bytes();
        let port = u16::from_be_bytes(ingress::segment(frame)?.first_chunk().copied()?);
        let addr = match frame.get(12..14)? {
            [0x08, 0x00] => IpAddress::Ipv4(frame.get(26..30)?.first_chunk::<4>().copied()?.into()),
            _ => IpAddress::Ipv6(frame.get(22..38)?.first_chunk::<16>().copied()?.into()),
        };
        Some(IpEndpoint { addr, port })
    }

    /// Drops the next frame.
    pub fn skip(&mut self) {
        self.damaged += u64::from(self.fetched.take().is_some());
    }

    /// Has the next frame ready, if there is one that may be taken in this turn.
    fn fetch(&mut self) {
        while self.fetched.is_none()
            && self.budget > 0
            && self.beginnings > 0
            && self.refused.is_empty()
        {
            let Some(frame) = self.handle.try_receive() else { break };
            self.budget -= 1;
            if self.admits(&frame) {
                let segment = ingress::classify(frame.bytes());
                self.beginnings -= usize::from(matches!(segment, Some(Segment::Beginning(_))));
                self.fetched = Some((frame, segment));
            }
        }
    }

    /// All frames are taken: what is sent from here on, to the end of the turn, answers none.
    pub fn unasked(&mut self) {
        self.is_unasked = true;
    }

    /// The local and the remote port of a connection that says the same again and again.
    pub fn take_runaway(&mut self) -> Option<(u16, u16)> {
        self.runaway.take()
    }

    /// Whether nothing can be sent until the ring has room.
    pub fn is_blocked(&self) -> bool {
        !self.refused.is_empty()
    }

    /// Receives what is sent to these groups, and to no others.
    pub fn listen_to(&self, groups: &[MacAddress]) {
        self.handle.listen_to(groups);
    }

    fn send(&mut self, frame: Frame) {
        match self.handle.try_transmit(frame) {
            Ok(()) => {}
            Err(Refused::Full(frame)) => self.refused.push_back(frame),
            Err(Refused::Down(_) | Refused::Unfit(_)) => self.lost += 1,
        }
    }

    /// Whether the stack may see the frame.
    fn admits(&mut self, frame: &Frame) -> bool {
        let checked = !self.inserts_checksums || frame.checksums == Checksums::Right;
        let admitted =
            ingress::inspect(frame.bytes()).is_ok() && (checked || tcp_is_right(frame.bytes()));
        self.damaged += u64::from(!admitted);
        admitted
    }
}

impl Device for Adapter {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Received, Sending<'_>)> {
        if let Some(after) = self.next.take() {
            return Some((Received::AfterEnd(after), Sending { adapter: self, segment: None }));
        }
        self.fetch();
        if !self.refused.is_empty() {
            return None;
        }
        let (frame, _) = self.fetched.take()?;
        self.next = ingress::after_end(frame.bytes());
        Some((Received::Frame(frame), Sending { adapter: self, segment: None }))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Sending<'_>> {
        let is_free = self.refused.is_empty();
        is_free.then_some(Sending { adapter: self, segment: None })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let info = self.handle.info();
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = usize::from(info.max_frame_bytes);
        if info.inserts_checksums {
            capabilities.checksum.tcp = Checksum::None;
            capabilities.checksum.udp = Checksum::Rx;
            let longest = NonZeroUsize::new(info.max_segmented_bytes as usize);
            // Not by IPv6: there smoltcp drops what is longer than the link carries.
            capabilities.segmentation.tcpv4 = longest;
        }
        capabilities
    }
}

/// What the stack is given.
pub enum Received {
    /// A frame that has arrived.
    Frame(Frame),
    /// One that none has sent.
    AfterEnd(AfterEnd),
}

impl RxToken for Received {
    #[inline]
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        match &self {
            Self::Frame(frame) => f(frame.bytes()),
            Self::AfterEnd(after) => f(after.bytes()),
        }
    }
}

/// The right to send a frame.
pub struct Sending<'a> {
    adapter: &'a mut Adapter,
    segment: Option<NonZeroU16>,
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, bytes: usize, f: F) -> R {
        let adapter = self.adapter;
        let Ok(mut frame) = adapter.handle.frame(bytes) else {
            adapter.lost += 1;
            adapter.scratch.clear();
            adapter.scratch.resize(bytes, 0);
            return f(&mut adapter.scratch);
        };
        let result = f(frame.bytes_mut());
        if adapter.is_unasked {
            adapter.runaway = adapter.repeated.note(frame.bytes()).or(adapter.runaway);
        }
        if adapter.inserts_checksums {
            frame.offload = offload(frame.bytes_mut(), self.segment).unwrap_or_default();
            if let Some(segment) = self.segment {
                let count = frame.len() / usize::from(segment.get()) + 1;
                identify(frame.bytes_mut(), adapter.identification);
                adapter.identification = adapter.identification.wrapping_add(count as u16);
            }
        }
        adapter.send(frame);
        result
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.segment = meta.segmentation_offload_size;
    }
}

/// What the device is to do with a frame of TCP or UDP, whose checksum field is made ready for it.
fn offload(frame: &mut [u8], segment: Option<NonZeroU16>) -> Option<Offload> {
    let kind = u16::from_be_bytes([*frame.get(12)?, *frame.get(13)?]);
    let (start, protocol, source, target) = match kind {
        0x0800 => {
            let header = usize::from(*frame.get(ETHERNET)? & 0x0f) * 4;
            // A piece of a datagram of UDP's: it goes without a checksum (RFC 768).
            if u16::from_be_bytes([*frame.get(20)?, *frame.get(21)?]) & 0x3fff != 0 {
                return None;
            }
            let (source, target) = (frame.get(26..30)?, frame.get(30..34)?);
            (ETHERNET + header, *frame.get(23)?, source, target)
        }
        0x86dd => (ETHERNET + 40, *frame.get(20)?, frame.get(22..38)?, frame.get(38..54)?),
        _ => return None,
    };
    let (within, header) = match IpProtocol::from(protocol) {
        IpProtocol::Tcp => (TCP_CHECKSUM, usize::from(*frame.get(start + 12)? >> 4) * 4),
        IpProtocol::Udp => (UDP_CHECKSUM, 8),
        _ => return None,
    };
    let length = match segment {
        Some(_) => 0,
        None => frame.len().checked_sub(start)? as u16,
    };
    let sum = checksum::combine(&[
        checksum::data(source),
        checksum::data(target),
        u16::from(protocol),
        length,
    ]);
    let field = start + within;
    frame.get_mut(field..field + 2)?.copy_from_slice(&sum.to_be_bytes());
    Some(Offload {
        checksum: Some(ChecksumField { start: start as u16, field: field as u16 }),
        segment_bytes: segment.map_or(0, NonZeroU16::get),
        header_bytes: (start + header) as u16,
    })
}

/// Gives an IPv4 packet that the device cuts an identification, which the device counts on from
/// segment to segment, and whose header's checksum the device computes. smoltcp's is always zero,
/// and QEMU's 82574L does not make segments where its network takes no offloads, but fragments:
/// those of one packet would be put together with those of another.
fn identify(frame: &mut [u8], identification: u16) {
    if frame.get(12..14) == Some(&[0x08, 0x00])
        && let Some(field) = frame.get_mut(18..20)
    {
        field.copy_from_slice(&identification.to_be_bytes());
    }
}

/// Whether the frame is none of TCP's, or its checksum right. Pieces of segments do not come here.
fn tcp_is_right(frame: &[u8]) -> bool {
    let Some(segment) = ingress::segment(frame) else { return true };
    // The segment ends where the packet says, not where the frame does: short ones are padded.
    let Ok(ethernet) = EthernetFrame::new_checked(frame) else { return true };
    let before = frame.len() - ETHERNET - segment.len();
    let whole = |payload: &[u8], header: usize| {
        let bytes = (header + payload.len()).checked_sub(before)?;
        segment.get(..bytes)
    };
    let (bytes, ends) = match ethernet.ethertype() {
        EthernetProtocol::Ipv4 => {
            let Ok(packet) = Ipv4Packet::new_checked(ethernet.payload()) else { return true };
            let ends = (IpAddress::Ipv4(packet.src_addr()), IpAddress::Ipv4(packet.dst_addr()));
            (whole(packet.payload(), usize::from(packet.header_len())), ends)
        }
        _ => {
            let Ok(packet) = Ipv6Packet::new_checked(ethernet.payload()) else { return true };
            let ends = (IpAddress::Ipv6(packet.src_addr()), IpAddress::Ipv6(packet.dst_addr()));
            (whole(packet.payload(), packet.header_len()), ends)
        }
    };
    bytes.is_some_and(|bytes| segment_is_right(bytes, ends))
}

fn segment_is_right(bytes: &[u8], (source, target): (IpAddress, IpAddress)) -> bool {
    TcpPacket::new_checked(bytes).is_ok_and(|segment| segment.verify_checksum(&source, &target))
}
