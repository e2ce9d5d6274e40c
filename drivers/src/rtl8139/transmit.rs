//! Lending frames to the four transmit descriptors, and taking them back.
//!
//! The device is told of a frame when it is put in; there is no doorbell for several. Frames that
//! were sent are taken back when their descriptors are wanted, so while there is room nobody is
//! interrupted by what was sent.

use alloc::sync::Arc;

use hal::dma::{Direction, DmaBuf, DmaLoan};
use protocols::rtl8139::{
    DESCRIPTORS, Fate, LONGEST_TRANSMIT, Summary, Threshold, send_command, shortest_transmit,
};

use super::REACH;
use super::registers::Registers;
use crate::net::{Frame, FramePool};

/// A frame was given up by the device, which now waits for its driver to do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Aborted;

/// What the descriptors have.
#[derive(Default)]
pub(super) struct Transmitter {
    lent: [Option<DmaLoan>; DESCRIPTORS],
    /// The next one to be used.
    next: usize,
    /// How many are in use: those before `next`.
    used: usize,
    threshold: Threshold,
    /// How many frames came back.
    pub(super) done: u64,
}

impl Transmitter {
    pub(super) fn is_full(&self) -> bool {
        self.used == DESCRIPTORS
    }

    pub(super) fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Puts a frame into a free descriptor, and has it sent. Hands it back if there is no memory
    /// that the device reaches.
    #[inline]
    pub(super) fn put(
        &mut self,
        frame: Frame,
        registers: &Registers,
        pool: &Arc<FramePool>,
    ) -> Result<(), Option<Frame>> {
        let bytes = frame.len();
        let buf = frame.into_buf().ok_or(None)?;
        let loan = match lend(buf, bytes, pool) {
            Ok(loan) => loan,
            Err(buf) => return Err(pool.frame(buf, bytes).ok()),
        };
        let command = send_command(shortest_transmit(bytes), self.threshold);
        registers.send(self.next, loan.address(), command);
        self.lent[self.next] = Some(loan);
        self.next = (self.next + 1) % DESCRIPTORS;
        self.used += 1;
        Ok(())
    }

    /// Takes back what was sent. Says how many frames that were.
    #[inline]
    pub(super) fn take_back(
        &mut self,
        summary: Summary,
        pool: &FramePool,
    ) -> Result<usize, Aborted> {
        let mut found = 0;
        while self.used > 0 && !summary.is_gone() {
            let oldest = (self.next + DESCRIPTORS - self.used) % DESCRIPTORS;
            match summary.fate(oldest) {
                Fate::UnderWay => break,
                Fate::Aborted => return Err(Aborted),
                Fate::SentLate => self.threshold = self.threshold.raised(),
                Fate::Sent => {}
            }
            if let Some(loan) = self.lent[oldest].take() {
                pool.put(loan.reclaim());
            }
            self.used -= 1;
            found += 1;
        }
        self.done += found as u64;
        Ok(found)
    }

    /// All that was lent, and forgets it: as the device is after a reset.
    pub(super) fn rewind(&mut self) -> impl Iterator<Item = DmaLoan> + use<> {
        (self.next, self.used) = (0, 0);
        core::mem::take(&mut self.lent).into_iter().flatten()
    }
}

/// Lends a frame's own memory, padded with zeros to what goes over the wire; a copy of it where it
/// lies beyond the device's reach or has no room. Hands it back if there is no memory for that.
fn lend(mut buf: DmaBuf, bytes: usize, pool: &FramePool) -> Result<DmaLoan, DmaBuf> {
    let wire = shortest_transmit(bytes);
    if let Some(padding) = buf.get_mut(bytes..wire) {
        padding.fill(0);
    }
    let has_room = buf.len() >= wire;
    let buf = if has_room {
        let loan = buf.lend(Direction::ToDevice);
        let last = loan.address().plus(LONGEST_TRANSMIT as u64);
        if last.0 <= REACH.highest() {
            return Ok(loan);
        }
        loan.reclaim()
    } else {
        buf
    };
    let Ok(mut copy) = pool.take() else { return Err(buf) };
    let (Some(into), Some(from)) = (copy.get_mut(..wire), buf.get(..bytes)) else {
        return Err(buf);
    };
    into[..bytes].copy_from_slice(from);
    into[bytes..].fill(0);
    Ok(copy.lend(Direction::ToDevice))
}
