//! The receive ring: a buffer lent to the device in each of its places.
//!
//! ```text
//!   place: next ──────────────> … ──> tail        tail = next - 1: the device never has all
//!          DONE? frame to the port, a fresh buffer into the place
//! ```

use alloc::sync::Arc;
use alloc::vec::Vec;

use hal::dma::{DeviceAddress, Direction, DmaDomain, DmaError, DmaLoan, DmaRing};
use protocols::e1000::{ReceiveDescriptor, Received, Sums};

use crate::net::{Checksums, FramePool, Port};

/// Its places. At 1 Gbit/s with the shortest frames they last for 170 us.
pub(super) const ENTRIES: usize = 256;
/// How long its buffers are.
pub(super) const BUFFER_BYTES: usize = 2048;

/// A descriptor that no working device writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Impossible {
    pub(super) place: usize,
    pub(super) word: u64,
}

pub(super) struct ReceiveRing {
    ring: DmaRing<2>,
    /// Always there but while a frame is taken.
    loans: Vec<Option<DmaLoan>>,
    /// Where the next frame arrives.
    next: usize,
}

impl ReceiveRing {
    /// A ring with its buffers, of which no device knows yet.
    pub(super) fn new(dma: &DmaDomain, pool: &FramePool) -> Result<Self, DmaError> {
        let ring = dma.ring(ENTRIES)?;
        let mut buffers = Vec::with_capacity(ENTRIES);
        for _ in 0..ENTRIES {
            buffers.push(pool.take()?);
        }
        let lend = |buffer: hal::dma::DmaBuf| Some(buffer.lend(Direction::FromDevice));
        Ok(Self { ring, loans: buffers.into_iter().map(lend).collect(), next: 0 })
    }

    /// Gives every place to a device that knows nothing yet, and says where the ring is.
    pub(super) fn begin(&mut self) -> DeviceAddress {
        self.next = 0;
        for (place, loan) in self.loans.iter().enumerate() {
            let address = loan.as_ref().map_or(0, |loan| loan.address().0);
            self.ring.set_entry(place, ReceiveDescriptor::empty(address).0);
        }
        self.ring.address()
    }

    /// The first place that the device does not have.
    #[inline]
    pub(super) fn tail(&self) -> u32 {
        ((self.next + ENTRIES - 1) % ENTRIES) as u32
    }

    /// Whether something has arrived.
    #[inline]
    pub(super) fn has_arrived(&self) -> bool {
        self.look() != Received::NotYet
    }

    #[inline]
    fn look(&self) -> Received {
        ReceiveDescriptor::received(self.ring.word(self.next, 1), BUFFER_BYTES as u16)
    }

    /// Takes at most `limit` frames to `port`; says how many places were freed. The device is to be
    /// told the new [`tail`](Self::tail).
    #[inline]
    pub(super) fn drain(
        &mut self,
        limit: usize,
        pool: &Arc<FramePool>,
        port: &Port,
    ) -> Result<usize, Impossible> {
        let mut taken = 0;
        while taken < limit {
            match self.look() {
                Received::NotYet => break,
                Received::Frame { bytes, sums } => self.take(usize::from(bytes), sums, pool, port),
                Received::Damaged(_) => {
                    port.note_receive_errors(1);
                    self.offer();
                }
                Received::Impossible => {
                    let (place, word) = (self.next, self.ring.word(self.next, 1));
                    return Err(Impossible { place, word });
                }
            }
            self.next = (self.next + 1) % ENTRIES;
            taken += 1;
        }
        Ok(taken)
    }

    /// The frame in the next place goes to `port`, and a fresh buffer into the place.
    #[inline]
    fn take(&mut self, bytes: usize, sums: Sums, pool: &Arc<FramePool>, port: &Port) {
        let Some(place) = self.loans.get_mut(self.next) else { return };
        let Ok(fresh) = pool.take() else {
            // No memory: the frame is given up, its buffer used again.
            port.note_missed(1);
            return self.offer();
        };
        let fresh = fresh.lend(Direction::FromDevice);
        let address = fresh.address();
        let Some(loan) = place.replace(fresh) else { return };
        self.ring.set_entry(self.next, ReceiveDescriptor::empty(address.0).0);
        let Ok(mut frame) = pool.frame(loan.reclaim(), bytes) else { return };
        let right = match sums {
            Sums::Right => true,
            Sums::TransportRight => frame.bytes().get(12..14) == Some(&[0x86, 0xdd]),
            Sums::Unchecked => false,
        };
        if right {
            frame.checksums = Checksums::Right;
        }
        port.put(frame);
    }

    /// Offers the buffer in the next place once more.
    fn offer(&self) {
        let loan = self.loans.get(self.next).and_then(Option::as_ref);
        let address = loan.map_or(0, |loan| loan.address().0);
        self.ring.set_entry(self.next, ReceiveDescriptor::empty(address).0);
    }

    /// Frees it. The caller says that the device has stopped.
    pub(super) fn retire(self) {
        self.loans.into_iter().flatten().for_each(|loan| drop(loan.reclaim()));
        self.ring.retire();
    }
}
