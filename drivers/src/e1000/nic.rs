//! The device as its user holds it, and as its reaper sees it: the two rings, each behind one lock.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use executor::sync::Notify;
use hal::dma::{DmaBuf, DmaDomain, DmaError};
use protocols::e1000::{Cause, Model, MulticastFilter};

use super::Signal;
use super::offload::{self, CUT_MOST, Cuts, FRAME_MOST};
use super::receive::{self, Impossible, ReceiveRing};
use super::registers::{ICR, IMC, IMS, RDT, Registers, TDT};
use super::transmit::{self, TransmitRing};
use crate::completion::CompletionMode;
use crate::net::{Frame, FramePool, LinkState, MacAddress, NetDevice, NetInfo, Port, Refused};
use crate::reaper::CompletionQueue;

/// Buffers for plain frames that are kept while not in use: as many as both rings hold.
const SMALL_KEPT: usize = receive::ENTRIES + transmit::ENTRIES;
/// Buffers for frames that the device cuts: twice what the ring holds.
const LARGE_KEPT: usize = 32;
/// Buffers for plain frames that are there from the beginning.
const READY: usize = 64;
/// Free places that make one who waits for room worth waking.
const ENOUGH: usize = transmit::ENTRIES / 4;

/// A device that is being served. Valid for good: once its driver has ended, its link is down.
pub struct Nic {
    pub(super) registers: Registers,
    info: NetInfo,
    pub(super) port: Port,
    pub(super) small: Arc<FramePool>,
    large: Arc<FramePool>,
    /// `None`: the device is being reset, or its driver has ended.
    pub(super) receive: spin::Mutex<Option<ReceiveRing>>,
    pub(super) transmit: spin::Mutex<Option<TransmitRing>>,
    /// Somebody waits for room in the transmit ring.
    wants_room: AtomicBool,
    pub(super) signal: Signal,
    pub(super) filter: spin::Mutex<MulticastFilter>,
    /// Something wants a look sooner than the next slow one.
    pub(super) look: Notify,
    /// The device wrote nonsense.
    pub(super) nonsense: spin::Mutex<Option<Impossible>>,
    has_ended: AtomicBool,
}

/// The driver has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended;

impl Nic {
    pub(super) fn new(
        registers: Registers,
        mac: MacAddress,
        dma: &DmaDomain,
        signal: Signal,
        mode: CompletionMode,
    ) -> Result<Self, DmaError> {
        let model = registers.model;
        let small = FramePool::new(dma.clone(), receive::BUFFER_BYTES, SMALL_KEPT);
        let receive = ReceiveRing::new(dma, &small)?;
        // For the first frames, so that they wait for no memory to be found and zeroed.
        let ready: Vec<DmaBuf> = (0..READY).map_while(|_| small.take().ok()).collect();
        ready.into_iter().for_each(|buf| small.put(buf));
        let transmit = TransmitRing::new(dma, model.piece_bytes())?;
        let info = NetInfo {
            mac,
            max_frame_bytes: FRAME_MOST as u16,
            transmit_depth: transmit.room() as u16,
            inserts_checksums: true,
            max_segmented_bytes: CUT_MOST as u32,
        };
        Ok(Self {
            registers,
            info,
            port: Port::new(mode),
            small,
            large: FramePool::new(dma.clone(), CUT_MOST, LARGE_KEPT),
            receive: spin::Mutex::new(Some(receive)),
            transmit: spin::Mutex::new(Some(transmit)),
            wants_room: AtomicBool::new(false),
            signal,
            filter: spin::Mutex::new(MulticastFilter::new(model.multicast_registers())),
            look: Notify::new(),
            nonsense: spin::Mutex::new(None),
            has_ended: AtomicBool::new(false),
        })
    }

    /// What kind of device it is, as figures and names call it.
    pub fn kind(&self) -> &'static str {
        match self.model().family {
            protocols::e1000::Family::Pci => "e1000",
            protocols::e1000::Family::PciExpress | protocols::e1000::Family::Chipset => "e1000e",
        }
    }

    /// The model.
    pub fn model(&self) -> Model {
        self.registers.model
    }

    fn cuts(&self) -> Cuts {
        if self.model().segments_ipv6 { Cuts::Both } else { Cuts::Ipv4 }
    }

    /// Takes a buffer back that was sent.
    #[inline]
    pub(super) fn free(&self, buf: DmaBuf) {
        if buf.len() == receive::BUFFER_BYTES { self.small.put(buf) } else { self.large.put(buf) }
    }

    /// Lets go of the rings: `memory` is what becomes of them.
    pub(super) fn end(&self, memory: Memory) {
        let (receive, transmit) = (self.receive.lock().take(), self.transmit.lock().take());
        if memory == Memory::Free {
            if let Some(ring) = receive {
                ring.retire();
            }
            if let Some(ring) = transmit {
                ring.retire(|buf| self.free(buf));
            }
        }
        self.has_ended.store(true, Relaxed);
        self.port.set_link(LinkState::Down);
        self.port.room_made();
        self.port.control.look_now();
    }

    /// Whether somebody waits for what an interrupt should have brought.
    pub(super) fn is_overdue(&self) -> bool {
        self.wants_room.load(Relaxed)
            || self.receive.lock().as_ref().is_some_and(ReceiveRing::has_arrived)
    }

    /// Frames that were sent go back to their pool, though nobody wants their places.
    pub(super) fn take_back_sent(&self) {
        if let Some(ring) = &mut *self.transmit.lock() {
            ring.take_back(|buf| self.free(buf));
        }
    }

    /// Whoever waits for room is to be told once there is.
    fn ask_for_room(&self) {
        self.wants_room.store(true, Relaxed);
        self.registers.write(IMS, self.signal.sent());
    }

    /// Tells whoever waits for room, once there is enough; says whether there was anybody to tell.
    fn make_room(&self) -> bool {
        let mut locked = self.transmit.lock();
        let Some(ring) = &mut *locked else { return false };
        ring.take_back(|buf| self.free(buf));
        let is_enough = ring.room() >= ENOUGH;
        if is_enough {
            self.room_made();
        }
        is_enough
    }

    pub(super) fn room_made(&self) {
        self.wants_room.store(false, Relaxed);
        self.registers.write(IMC, self.signal.sent());
        self.port.room_made();
    }
}

/// What becomes of the memory that a device was lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    /// The device has stopped: it is freed.
    Free,
    /// The device may still use it: it is leaked.
    Leak,
}

impl NetDevice for Nic {
    fn info(&self) -> &NetInfo {
        &self.info
    }

    #[inline]
    fn port(&self) -> &Port {
        &self.port
    }

    #[inline]
    fn frame(&self, bytes: usize) -> Result<Frame, DmaError> {
        let pool = if bytes <= receive::BUFFER_BYTES { &self.small } else { &self.large };
        pool.fresh(bytes)
    }

    #[inline]
    fn try_transmit(&self, mut frame: Frame) -> Result<(), Refused> {
        if self.port.link() == LinkState::Down {
            return Err(Refused::Down(frame));
        }
        let Ok(context) = offload::context(&mut frame, self.cuts()) else {
            return Err(Refused::Unfit(frame));
        };
        let bytes = frame.len();
        let mut locked = self.transmit.lock();
        let Some(ring) = &mut *locked else {
            // It is being reset.
            self.wants_room.store(true, Relaxed);
            return Err(Refused::Full(frame));
        };
        if !ring.has_room(bytes, context, |buf| self.free(buf)) {
            tell(&self.registers, ring);
            self.ask_for_room();
            // Some may have been sent before the device was asked to say so.
            if !ring.has_room(bytes, context, |buf| self.free(buf)) {
                return Err(Refused::Full(frame));
            }
        }
        let Some(buf) = frame.into_buf() else { return Ok(()) };
        let put = ring.put(buf, bytes, context);
        drop(locked);
        match put {
            Ok(()) => self.port.note_transmitted(bytes),
            Err(buf) => {
                // It fitted before.
                let Ok(frame) = Frame::new(buf, bytes) else { return Ok(()) };
                return Err(Refused::Unfit(frame));
            }
        }
        Ok(())
    }

    #[inline]
    fn kick(&self) {
        if let Some(ring) = &mut *self.transmit.lock() {
            tell(&self.registers, ring);
        }
    }

    fn listen_to(&self, groups: &[MacAddress]) {
        let mut filter = MulticastFilter::new(self.model().multicast_registers());
        groups.iter().for_each(|group| filter.allow(group.0));
        let mut locked = self.filter.lock();
        *locked = filter;
        // While it is being reset, the filter is set after that anyhow; setting it twice is as good.
        self.registers.set_filter(&filter);
    }
}

/// The doorbell. Under the ring's lock: a later tail must not be overtaken by an earlier one.
#[inline]
fn tell(registers: &Registers, ring: &mut TransmitRing) {
    if let Some(tail) = ring.tell() {
        registers.write(TDT, tail);
    }
}

/// The device as its reaper sees it.
pub(super) struct Queue(pub(super) Arc<Nic>);

impl CompletionQueue for Queue {
    type Error = Ended;

    #[inline]
    fn drain(&self, limit: usize) -> Result<usize, Ended> {
        let nic = &*self.0;
        let mut found = nic.receive_some(limit)?;
        if nic.wants_room.load(Relaxed) {
            found += usize::from(nic.make_room());
        }
        Ok(found)
    }

    /// With the link down nothing comes; what changes that is seen by the slow look.
    fn is_idle(&self) -> bool {
        self.0.port.link() == LinkState::Down && !self.0.wants_room.load(Relaxed)
    }

    fn acknowledge(&self) {
        self.0.acknowledge();
    }
}

impl Nic {
    /// Has the device forget why it interrupted: one read for each interrupt, however many frames
    /// it stands for.
    pub(super) fn acknowledge(&self) {
        let causes = self.registers.read(ICR);
        if self.signal == Signal::Table {
            // Reading does not clear them there (82574, 10.2.4.1).
            self.registers.write(ICR, causes);
        }
        // All ones: it may be gone, which is seen by looking, too.
        if causes & Cause::LINK != 0 {
            self.look.notify();
        }
    }

    /// Takes what has arrived, `limit` frames at most, and tells the device once.
    #[inline]
    fn receive_some(&self, limit: usize) -> Result<usize, Ended> {
        let mut locked = self.receive.lock();
        let Some(ring) = &mut *locked else {
            return if self.has_ended.load(Relaxed) { Err(Ended) } else { Ok(0) };
        };
        if !ring.has_arrived() {
            return Ok(0);
        }
        let before = ring.tail();
        let drained = ring.drain(limit.min(self.port.space()), &self.small, &self.port);
        if ring.tail() != before {
            self.registers.write(RDT, ring.tail());
            self.port.wake();
        }
        drop(locked);
        match drained {
            Ok(taken) => Ok(taken),
            Err(nonsense) => {
                *self.nonsense.lock() = Some(nonsense);
                self.look.notify();
                // Until it is reset, nothing more is taken from it.
                Ok(0)
            }
        }
    }
}
