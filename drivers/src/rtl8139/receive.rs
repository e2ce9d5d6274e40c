//! Taking frames out of the receive buffer.

use hal::dma::{DmaDomain, DmaError, DmaRing};
use protocols::rtl8139::{
    Arrival, BUFFER_BYTES, BUFFER_SPARE_BYTES, HEADER_BYTES, HeaderError, ReadPlace,
};

use super::registers::Registers;
use crate::net::{FramePool, Port};
use alloc::sync::Arc;

/// The buffer, and how far it has been read.
pub(super) struct Receiver {
    /// `None`: the driver has ended.
    buffer: Option<DmaRing<1>>,
    place: ReadPlace,
    /// Whether something was left in it that the device will not report again.
    pub(super) has_more: bool,
    /// How many frames were taken.
    pub(super) taken: u64,
}

impl Receiver {
    pub(super) fn new(dma: &DmaDomain) -> Result<Self, DmaError> {
        let buffer = dma.ring((BUFFER_BYTES + BUFFER_SPARE_BYTES) / 8)?;
        Ok(Self { buffer: Some(buffer), place: ReadPlace::default(), has_more: false, taken: 0 })
    }

    /// As the device is after a reset; where the buffer is.
    pub(super) fn rewind(&mut self) -> Option<hal::dma::DeviceAddress> {
        (self.place, self.has_more) = (ReadPlace::default(), false);
        self.buffer.as_mut().map(DmaRing::address)
    }

    /// The buffer, at the end.
    pub(super) fn take_buffer(&mut self) -> Option<DmaRing<1>> {
        self.buffer.take()
    }

    /// Moves up to `limit` frames to the port. Says how many, and what stopped it if that was
    /// nonsense.
    #[inline]
    pub(super) fn drain(
        &mut self,
        registers: &Registers,
        pool: &Arc<FramePool>,
        port: &Port,
        limit: usize,
    ) -> (usize, Result<(), HeaderError>) {
        let Some(buffer) = &self.buffer else { return (0, Ok(())) };
        let (written, limit) = (registers.written(), limit.min(port.space()));
        let (mut found, mut verdict) = (0, Ok(()));
        let mut place = self.place;
        loop {
            let available = place.available(written);
            self.has_more = available != 0;
            if found == limit || available == 0 {
                break;
            }
            match Arrival::new_checked(header(buffer, place), available) {
                Ok(Arrival::Frame(bytes)) => {
                    hand_over(buffer, place, bytes, pool, port);
                    place = place.after(bytes);
                    found += 1;
                }
                Ok(Arrival::Unfinished) => break,
                Err(error) => {
                    verdict = Err(error);
                    break;
                }
            }
        }
        if found > 0 {
            self.place = place;
            self.taken += found as u64;
            registers.have_read(place);
            port.wake();
        }
        (found, verdict)
    }
}

fn header(buffer: &DmaRing<1>, place: ReadPlace) -> u32 {
    let word = buffer.word(place.offset() / 8, 0);
    (word >> (place.offset() % 8 * 8)) as u32
}

/// Copies the frame at `place` into memory of its own.
#[inline]
fn hand_over(
    buffer: &DmaRing<1>,
    place: ReadPlace,
    bytes: usize,
    pool: &Arc<FramePool>,
    port: &Port,
) {
    let Ok(mut frame) = pool.fresh(bytes) else {
        // The next one may find memory; this one need not stay in the way.
        return port.note_missed(1);
    };
    let start = place.plus(HEADER_BYTES);
    let (before, behind) = frame.bytes_mut().split_at_mut(bytes.min(BUFFER_BYTES - start));
    buffer.copy_out(start, before);
    buffer.copy_out(0, behind);
    port.put(frame);
}
