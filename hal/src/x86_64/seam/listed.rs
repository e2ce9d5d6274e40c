//! DMA memory made of pages from anywhere, which the kernel sees as one range.

use alloc::vec::Vec;
use core::ptr::NonNull;

use super::runs::{count_back, count_out};
use crate::dma::{AddressLimit, DmaError};
use crate::memory::frames::{Frame, FrameRun, RunLimits};
use crate::memory::{FRAME_SIZE, PhysAddr};
use crate::x86_64::paging::MapError;
use crate::x86_64::paging::windows::Mapping;

/// Pages, zeroed, mapped one behind the other; freed on drop, once no core can reach them.
pub(super) struct Pages {
    mapping: Mapping,
    /// Where each of them is.
    physical: Vec<u64>,
}

impl Pages {
    pub fn allocate(bytes: usize, limit: AddressLimit) -> Result<Self, DmaError> {
        let count = bytes.div_ceil(FRAME_SIZE);
        let mut physical = Vec::new();
        physical.try_reserve_exact(count).map_err(|_| DmaError::OutOfMemory)?;
        let mapping = Mapping::of_frames(count as u64, || {
            let frame = frame_below(limit)?;
            physical.push(frame.physical().0);
            Ok(frame)
        });
        let mapping = mapping.map_err(|_| DmaError::OutOfMemory)?;
        count_out(count * FRAME_SIZE);
        let pages = Self { mapping, physical };
        // SAFETY: just mapped, writable, of fresh frames that nobody else has.
        unsafe { pages.base().as_ptr().write_bytes(0, count * FRAME_SIZE) };
        Ok(pages)
    }

    /// Where the kernel sees them.
    pub fn base(&self) -> NonNull<u8> {
        // The window lies in the upper half: never null.
        NonNull::new(self.mapping.start().as_mut_ptr()).unwrap_or(NonNull::dangling())
    }

    /// Where each page is, as devices see it.
    pub fn physical(&self) -> &[u64] {
        &self.physical
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        count_back(self.physical.len() * FRAME_SIZE);
    }
}

/// A frame that the limit allows: any, if any is below it.
fn frame_below(limit: AddressLimit) -> Result<Frame, MapError> {
    let fits = |frame: &Frame| frame.physical().0 + (FRAME_SIZE as u64 - 1) <= limit.highest();
    if let Some(frame) = Frame::allocate().ok().filter(fits) {
        return Ok(frame);
    }
    let below = limit.highest().checked_add(1).map(PhysAddr);
    let run = FrameRun::allocate(1, RunLimits { below, ..RunLimits::default() });
    let run = run.map_err(|_| MapError::OutOfFrames)?;
    let first = crate::memory::FrameNumber(run.numbers().start);
    core::mem::forget(run);
    // SAFETY: a run of one frame, just forgotten, is that frame.
    Ok(unsafe { Frame::from_number(first) })
}
