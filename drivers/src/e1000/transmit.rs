//! The transmit ring.
//!
//! ```text
//!   head ──────────> told ──────────> tail ──────────> head
//!    the device's     written,         free
//!    (or sent: lazily  not told
//!    taken back)       until `kick`
//! ```
//!
//! The device is asked to report only at every [`REPORT_EVERY`]-th descriptor and at the last one
//! before each doorbell: a report says that all before it is sent. Frames that were sent stay in
//! the ring until their places are wanted, or until the next slow look.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use hal::dma::{DeviceAddress, Direction, DmaBuf, DmaDomain, DmaError, DmaLoan, DmaRing, PAGE};
use protocols::e1000::{Context, Data, is_done, with_report};

/// Its places; a power of two.
pub(super) const ENTRIES: usize = 256;
const MASK: u32 = ENTRIES as u32 - 1;
/// Most descriptors without a report.
const REPORT_EVERY: u32 = 32;
/// With more places than this in use, those of sent frames are looked for: their memory is used again
/// while caches still have it.
const BUSY: usize = 32;

pub(super) struct TransmitRing {
    ring: DmaRing<2>,
    /// Each frame's memory, in the place of its last descriptor.
    loans: Vec<Option<DmaLoan>>,
    // These count descriptors for ever and wrap around; their low bits are places.
    head: u32,
    told: u32,
    tail: u32,
    /// Where reports were asked for, in order.
    reports: VecDeque<u32>,
    /// The first descriptor that no report covers.
    unreported: u32,
    /// What the device was told of checksums last.
    context: Option<Context>,
    /// Most bytes in one descriptor.
    piece_bytes: usize,
}

impl TransmitRing {
    pub(super) fn new(dma: &DmaDomain, piece_bytes: usize) -> Result<Self, DmaError> {
        Ok(Self {
            ring: dma.ring(ENTRIES)?,
            loans: core::iter::repeat_with(|| None).take(ENTRIES).collect(),
            head: 0,
            told: 0,
            tail: 0,
            reports: VecDeque::with_capacity(ENTRIES),
            unreported: 0,
            context: None,
            piece_bytes,
        })
    }

    /// Empties it, for a device that knows nothing yet, and says where the ring is. What was in it
    /// goes to `free`; the caller says that the device has stopped.
    pub(super) fn begin(&mut self, free: impl FnMut(DmaBuf)) -> DeviceAddress {
        self.loans.iter_mut().filter_map(Option::take).map(DmaLoan::reclaim).for_each(free);
        (self.head, self.told, self.tail, self.unreported) = (0, 0, 0, 0);
        self.reports.clear();
        self.context = None;
        self.ring.address()
    }

    /// How many places are free. One always stays so, or a full ring would look like an empty one.
    #[inline]
    pub(super) fn room(&self) -> usize {
        ENTRIES - 1 - self.tail.wrapping_sub(self.head) as usize
    }

    /// How far the device is, and whether it has anything to do.
    pub(super) fn progress(&self) -> (u32, bool) {
        (self.head, self.head != self.told)
    }

    /// How many places a frame takes.
    #[inline]
    fn wanted(&self, bytes: usize, context: Option<Context>) -> usize {
        let pieces = if bytes <= self.piece_bytes { 1 } else { bytes.div_ceil(self.piece_bytes) };
        pieces + usize::from(self.has_news(context))
    }

    /// Whether the device has to be told of `context`. One that cuts is used up by its frame.
    #[inline]
    fn has_news(&self, context: Option<Context>) -> bool {
        context.is_some_and(|new| new.segments.is_some() || self.context != Some(new))
    }

    /// Whether a frame finds room, if need be in places whose frames were sent.
    #[inline]
    pub(super) fn has_room(
        &mut self,
        bytes: usize,
        context: Option<Context>,
        free: impl FnMut(DmaBuf),
    ) -> bool {
        if self.room() < ENTRIES - 1 - BUSY {
            self.take_back(free);
        }
        self.room() >= self.wanted(bytes, context)
    }

    /// Puts in the first `bytes` bytes of `buf`, for which there [is room](Self::has_room).
    ///
    /// # Errors
    /// Its memory lies in several places.
    #[inline]
    pub(super) fn put(
        &mut self,
        buf: DmaBuf,
        bytes: usize,
        context: Option<Context>,
    ) -> Result<(), DmaBuf> {
        let loan = buf.lend(Direction::ToDevice);
        if bytes > PAGE && !loan.is_contiguous() {
            return Err(loan.reclaim());
        }
        if let Some(new) = context.filter(|_| self.has_news(context)) {
            self.ring.set_entry(self.place(self.tail), new.descriptor().0);
            self.tail = self.tail.wrapping_add(1);
            self.context = context;
        }
        let (mut address, mut left) = (loan.address(), bytes);
        loop {
            let piece = left.min(self.piece_bytes);
            left -= piece;
            let is_last = left == 0;
            let is_reported =
                is_last && self.tail.wrapping_sub(self.unreported) >= REPORT_EVERY - 1;
            let (offload, bytes) = (context, piece as u32);
            let data = Data { address: address.0, bytes, is_last, offload, is_reported };
            self.ring.set_entry(self.place(self.tail), data.descriptor().0);
            if is_reported {
                self.note_report();
            }
            if is_last {
                break;
            }
            self.tail = self.tail.wrapping_add(1);
            address = address.plus(piece as u64);
        }
        let place = self.place(self.tail);
        if let Some(slot) = self.loans.get_mut(place) {
            *slot = Some(loan);
        }
        self.tail = self.tail.wrapping_add(1);
        Ok(())
    }

    #[inline]
    fn place(&self, number: u32) -> usize {
        (number & MASK) as usize
    }

    /// A report was asked for at the tail.
    #[inline]
    fn note_report(&mut self) {
        self.reports.push_back(self.tail);
        self.unreported = self.tail.wrapping_add(1);
    }

    /// If the device was not told of all frames: the tail that it is to be told.
    #[inline]
    pub(super) fn tell(&mut self) -> Option<u32> {
        if self.told == self.tail {
            return None;
        }
        if self.unreported != self.tail {
            // The last descriptor of the last frame, which the device does not have yet.
            let last = self.tail.wrapping_sub(1);
            let place = self.place(last);
            self.ring.set_word(place, 1, with_report(self.ring.word(place, 1)));
            self.reports.push_back(last);
            self.unreported = self.tail;
        }
        self.told = self.tail;
        Some(self.tail & MASK)
    }

    /// Takes frames back that were sent; their memory goes to `free`.
    #[inline]
    pub(super) fn take_back(&mut self, mut free: impl FnMut(DmaBuf)) {
        while let Some(report) = self.reports.front().copied() {
            if !is_done(self.ring.word(self.place(report), 1)) {
                break;
            }
            self.reports.pop_front();
            let end = report.wrapping_add(1);
            while self.head != end {
                let place = self.place(self.head);
                if let Some(loan) = self.loans.get_mut(place).and_then(Option::take) {
                    free(loan.reclaim());
                }
                self.head = self.head.wrapping_add(1);
            }
        }
    }

    /// Frees it. The caller says that the device has stopped.
    pub(super) fn retire(mut self, free: impl FnMut(DmaBuf)) {
        let _ = self.begin(free);
        self.ring.retire();
    }
}
