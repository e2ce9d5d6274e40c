//! A frame, the memory it lies in, and where that memory comes from.
//!
//! ```text
//!   pool ──take──> Frame ──lend──> ring, device ──reclaim──> Frame ──drop──> pool
//! ```
//!
//! Frames are not zeroed between uses, so sending and receiving cost no pass over memory.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use hal::dma::{DmaBuf, DmaDomain, DmaError};

/// The shortest frame on the wire, without FCS; shorter ones are padded by the device.
pub const MIN_FRAME_BYTES: usize = 60;

/// The frame does not fit its buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
#[error("the frame is longer than its buffer")]
pub struct FrameTooLong;

/// Where a checksum goes that the device is to compute. The field must hold the checksum of the
/// pseudo-header (not complemented), or zero where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChecksumField {
    /// Byte of the frame from which on, to the end, the sum is taken.
    pub start: u16,
    /// Byte of the frame at which the two bytes of the checksum are.
    pub field: u16,
}

/// What the device is to do to a frame while it sends it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// Compute the checksum of TCP or UDP.
    pub checksum: Option<ChecksumField>,
    /// Cut what follows the headers (`header_bytes`) into TCP segments of at most so many bytes; 0:
    /// leave it whole. With this the checksum is needed too, the IPv4 header's checksum is computed
    /// for each segment, and the field holds the pseudo-header's sum *without* the length.
    pub segment_bytes: u16,
    /// How long the Ethernet, IP and TCP headers are together. Looked at only when segmenting.
    pub header_bytes: u16,
}

/// What a device said of a received frame's checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksums {
    /// Nothing: they have to be checked.
    #[default]
    Unchecked,
    /// Those of the IP header and of TCP or UDP are right.
    Right,
}

/// A whole Ethernet frame without FCS, in memory a device can reach. Dropped, its memory goes back
/// to the pool it came from.
#[derive(Debug)]
pub struct Frame {
    /// Taken only by `into_buf` and by the drop.
    buf: Option<DmaBuf>,
    bytes: u32,
    /// Of a frame to be sent: what the device is to do.
    pub offload: Offload,
    /// Of a received frame: what the device has done.
    pub checksums: Checksums,
    pool: Option<Arc<FramePool>>,
}

impl Frame {
    /// The frame in the first `bytes` bytes of `buf`.
    ///
    /// # Errors
    /// `buf` is shorter than that.
    pub fn new(buf: DmaBuf, bytes: usize) -> Result<Self, FrameTooLong> {
        if bytes > buf.len() {
            return Err(FrameTooLong);
        }
        let (offload, checksums) = (Offload::default(), Checksums::default());
        Ok(Self { buf: Some(buf), bytes: bytes as u32, offload, checksums, pool: None })
    }

    /// Its bytes, from the destination address on.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.buf.as_deref().and_then(|buf| buf.get(..self.bytes as usize)).unwrap_or_default()
    }

    /// Its bytes, to be changed.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let bytes = self.bytes as usize;
        self.buf.as_deref_mut().and_then(|buf| buf.get_mut(..bytes)).unwrap_or_default()
    }

    /// How long it is.
    #[inline]
    pub const fn len(&self) -> usize {
        self.bytes as usize
    }

    /// Whether nothing is in it.
    pub const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Its buffer, which may be longer: to be lent to the device. Goes back into a frame by
    /// [`FramePool::frame`].
    #[inline]
    pub fn into_buf(mut self) -> Option<DmaBuf> {
        self.buf.take()
    }
}

impl Drop for Frame {
    #[inline]
    fn drop(&mut self) {
        if let (Some(pool), Some(buf)) = (&self.pool, self.buf.take()) {
            pool.put(buf);
        }
    }
}

/// Buffers for the frames of one device, all of one length, used again and again.
pub struct FramePool {
    domain: DmaDomain,
    buffer_bytes: usize,
    keep: usize,
    free: spin::Mutex<Vec<DmaBuf>>,
}

impl fmt::Debug for FramePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} buffers of {} bytes free", self.free.lock().len(), self.buffer_bytes)
    }
}

impl FramePool {
    /// Buffers of `buffer_bytes` in `domain`; up to `keep` that are not in use stay with the pool.
    pub fn new(domain: DmaDomain, buffer_bytes: usize, keep: usize) -> Arc<Self> {
        let free = spin::Mutex::new(Vec::with_capacity(keep));
        Arc::new(Self { domain, buffer_bytes, keep, free })
    }

    /// How long its buffers are.
    pub fn buffer_bytes(&self) -> usize {
        self.buffer_bytes
    }

    /// A buffer with anything in it.
    ///
    /// # Errors
    /// No memory.
    #[inline]
    pub fn take(&self) -> Result<DmaBuf, DmaError> {
        let free = self.free.lock().pop();
        free.map_or_else(|| self.domain.buffer(self.buffer_bytes), Ok)
    }

    /// Takes a buffer back.
    #[inline]
    pub fn put(&self, buf: DmaBuf) {
        let mut free = self.free.lock();
        if free.len() < self.keep && buf.len() == self.buffer_bytes {
            free.push(buf);
        }
    }

    /// The frame in the first `bytes` bytes of a buffer of this pool.
    ///
    /// # Errors
    /// It does not fit.
    #[inline]
    pub fn frame(self: &Arc<Self>, buf: DmaBuf, bytes: usize) -> Result<Frame, FrameTooLong> {
        let mut frame = Frame::new(buf, bytes)?;
        frame.pool = Some(self.clone());
        Ok(frame)
    }

    /// A frame of `bytes` bytes, whatever is in them.
    ///
    /// # Errors
    /// No memory, or longer than a buffer.
    pub fn fresh(self: &Arc<Self>, bytes: usize) -> Result<Frame, DmaError> {
        if bytes > self.buffer_bytes {
            return Err(DmaError::BadSize);
        }
        self.frame(self.take()?, bytes).map_err(|_| DmaError::BadSize)
    }
}
