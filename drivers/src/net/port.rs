//! Where a driver and the user of its device meet: frames that arrived, and what changed.
//!
//! The driver's reaper [`put`](Port::put)s frames, the user takes them; when the port is full the
//! driver leaves the rest in the device's ring, and is asked to look again once there is room.

use alloc::collections::VecDeque;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use core::task::{Context, Poll};

use executor::sync::Notify;

use super::{Frame, LinkState};
use crate::completion::{CompletionControl, CompletionMode};

/// Most frames that wait in a port. As many again wait in the ring of the device.
const WAITING_MAX: usize = 256;

const DOWN: u32 = u32::MAX;

/// Counts of one device since its driver started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetStatistics {
    /// Frames handed to the user.
    pub received_frames: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Frames the device has sent, or has in its ring.
    pub transmitted_frames: u64,
    /// Their bytes.
    pub transmitted_bytes: u64,
    /// Frames that came and were lost for want of room.
    pub missed: u64,
    /// Frames that came damaged: length, FCS, checksum.
    pub receive_errors: u64,
    /// Frames that could not be sent.
    pub transmit_errors: u64,
    /// How often the device was reset.
    pub resets: u64,
}

/// What a driver and the user of its device share.
#[derive(Debug)]
pub struct Port {
    waiting: spin::Mutex<VecDeque<Frame>>,
    arrived: Notify,
    room: Notify,
    link: AtomicU32,
    link_changed: Notify,
    /// How the driver notices arrivals, and a way to make it look.
    pub control: CompletionControl,
    received_frames: AtomicU64,
    received_bytes: AtomicU64,
    transmitted_frames: AtomicU64,
    transmitted_bytes: AtomicU64,
    missed: AtomicU64,
    receive_errors: AtomicU64,
    transmit_errors: AtomicU64,
    resets: AtomicU64,
}

impl Port {
    /// Empty, the link down.
    pub fn new(mode: CompletionMode) -> Self {
        Self {
            waiting: spin::Mutex::new(VecDeque::with_capacity(WAITING_MAX)),
            arrived: Notify::new(),
            room: Notify::new(),
            link: AtomicU32::new(DOWN),
            link_changed: Notify::new(),
            control: CompletionControl::new(mode),
            received_frames: AtomicU64::new(0),
            received_bytes: AtomicU64::new(0),
            transmitted_frames: AtomicU64::new(0),
            transmitted_bytes: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            receive_errors: AtomicU64::new(0),
            transmit_errors: AtomicU64::new(0),
            resets: AtomicU64::new(0),
        }
    }

    // ── The driver's side ──

    /// How many frames it takes now. A driver drains no more than that.
    #[inline]
    pub fn space(&self) -> usize {
        WAITING_MAX.saturating_sub(self.waiting.lock().len())
    }

    /// Leaves a frame for the user. One without a place is dropped, and counted as missed. The user
    /// is woken by [`wake`](Self::wake), once for a batch.
    #[inline]
    pub fn put(&self, frame: Frame) {
        let bytes = frame.len() as u64;
        {
            let mut waiting = self.waiting.lock();
            if waiting.len() >= WAITING_MAX {
                drop(waiting);
                self.note_missed(1);
                return;
            }
            waiting.push_back(frame);
        }
        self.received_frames.fetch_add(1, Relaxed);
        self.received_bytes.fetch_add(bytes, Relaxed);
    }

    /// Wakes the user: frames have arrived.
    #[inline]
    pub fn wake(&self) {
        self.arrived.notify();
    }

    /// Wakes the user: a full ring has room again.
    #[inline]
    pub fn room_made(&self) {
        self.room.notify();
    }

    /// The link is like this now.
    pub fn set_link(&self, link: LinkState) {
        let word = match link {
            LinkState::Down => DOWN,
            LinkState::Up { megabits } => megabits.min(DOWN - 1),
        };
        if self.link.swap(word, Relaxed) != word {
            self.link_changed.notify();
            // Who waits for room would wait for good.
            self.room.notify();
        }
    }

    /// A frame of so many bytes was put into the transmit ring.
    #[inline]
    pub fn note_transmitted(&self, bytes: usize) {
        self.transmitted_frames.fetch_add(1, Relaxed);
        self.transmitted_bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// So many frames came and were lost for want of room.
    pub fn note_missed(&self, frames: u64) {
        self.missed.fetch_add(frames, Relaxed);
    }

    /// So many frames came damaged.
    pub fn note_receive_errors(&self, frames: u64) {
        self.receive_errors.fetch_add(frames, Relaxed);
    }

    /// So many frames could not be sent.
    pub fn note_transmit_errors(&self, frames: u64) {
        self.transmit_errors.fetch_add(frames, Relaxed);
    }

    /// The device was reset.
    pub fn note_reset(&self) {
        self.resets.fetch_add(1, Relaxed);
    }

    // ── The user's side ──

    /// The frame that has waited longest.
    #[inline]
    pub fn take(&self) -> Option<Frame> {
        let mut waiting = self.waiting.lock();
        let frame = waiting.pop_front();
        // At half, not at once: the driver then has a batch to move.
        let was_full = frame.is_some() && waiting.len() == WAITING_MAX / 2;
        drop(waiting);
        if was_full {
            self.control.look_now();
        }
        frame
    }

    /// How the link is.
    pub fn link(&self) -> LinkState {
        match self.link.load(Relaxed) {
            DOWN => LinkState::Down,
            megabits => LinkState::Up { megabits },
        }
    }

    /// The counts.
    pub fn statistics(&self) -> NetStatistics {
        NetStatistics {
            received_frames: self.received_frames.load(Relaxed),
            received_bytes: self.received_bytes.load(Relaxed),
            transmitted_frames: self.transmitted_frames.load(Relaxed),
            transmitted_bytes: self.transmitted_bytes.load(Relaxed),
            missed: self.missed.load(Relaxed),
            receive_errors: self.receive_errors.load(Relaxed),
            transmit_errors: self.transmit_errors.load(Relaxed),
            resets: self.resets.load(Relaxed),
        }
    }

    pub(super) fn poll_receive(&self, context: &mut Context<'_>) -> Poll<Frame> {
        loop {
            if let Some(frame) = self.take() {
                return Poll::Ready(frame);
            }
            if self.arrived.poll_wait(context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    pub(super) fn poll_room(&self, context: &mut Context<'_>) -> Poll<()> {
        self.room.poll_wait(context)
    }

    pub(super) fn poll_link(&self, context: &mut Context<'_>, seen: LinkState) -> Poll<LinkState> {
        loop {
            let link = self.link();
            if link != seen {
                return Poll::Ready(link);
            }
            if self.link_changed.poll_wait(context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    pub(super) fn poll_event(&self, context: &mut Context<'_>, seen: LinkState) -> Poll<()> {
        let arrived = self.arrived.poll_wait(context).is_ready();
        let room = self.room.poll_wait(context).is_ready();
        let link = self.poll_link(context, seen).is_ready();
        if arrived || room || link { Poll::Ready(()) } else { Poll::Pending }
    }
}
