//! Kernel memory that is mapped page by page: stacks with guard pages, device registers, firmware's
//! tables. One reserved window of addresses, apart from the direct map and the kernel image.
//!
//! Every range taken here has an unmapped page behind it (and so, but for the very first, before
//! it: the window's first page is never mapped either).

use core::ops::Range;

use spin::Mutex;

use super::control;
use super::entry::{Access, Backing, Caching, Entry, Owner, PageSize};
use super::flush::{Flush, Holds, online_cores};
use super::kernel::kernel_tables;
use super::tables::MapError;
use crate::memory::frames::Frame;
use crate::memory::ranges::VirtualRanges;
use crate::memory::{FRAME_SIZE, FrameNumber, VirtAddr};

/// The window: 256 GiB, the lower half of the top-level entry that also holds the kernel image.
pub const WINDOW: Range<u64> = 0xffff_ff80_0000_0000..0xffff_ffc0_0000_0000;

const PAGE: u64 = FRAME_SIZE as u64;
/// Pages that are flushed one by one; beyond, everything is.
const FLUSH_SINGLY: u64 = 32;

static RANGES: Mutex<VirtualRanges> = Mutex::new(VirtualRanges::empty());
/// Held while the kernel's tables change.
static CHANGE: Mutex<()> = Mutex::new(());

pub(super) fn init() -> Result<(), MapError> {
    let pages = WINDOW.start / PAGE + 1..WINDOW.end / PAGE;
    RANGES.lock().give(pages).map_err(|_| MapError::OutOfFrames)
}

/// Runs `body` while the kernel's tables stay as they are.
pub(in crate::x86_64) fn unchanged<R>(body: impl FnOnce() -> R) -> R {
    let _change = CHANGE.lock();
    body()
}

/// Takes `pages` pages of addresses and an unmapped one behind them.
fn take(pages: u64) -> Result<Range<u64>, MapError> {
    RANGES.lock().take(pages + 1, 1).ok_or(MapError::OutOfFrames)
}

pub(super) fn give_back(range: Range<u64>) {
    if RANGES.lock().give(range).is_err() {
        log::error!("paging: no memory to remember a free address range by; it is lost");
    }
}

/// A range of the window; unmapped, and its owned frames freed, on drop.
pub struct Mapping {
    /// Pages, without the guard behind them.
    pages: Range<u64>,
}

impl Mapping {
    /// Maps fresh frames, readable and writable, content undefined.
    pub fn allocate(pages: u64) -> Result<Self, MapError> {
        Self::of_frames(pages, || Frame::allocate().map_err(|_| MapError::OutOfFrames))
    }

    /// Maps the frames that `next` gives, readable and writable.
    pub fn of_frames(
        pages: u64,
        mut next: impl FnMut() -> Result<Frame, MapError>,
    ) -> Result<Self, MapError> {
        Self::build(pages, |_| {
            Ok(Entry::page(
                next()?.into_number(),
                PageSize::Small,
                Access::ReadWrite,
                Caching::WriteBack,
                Owner::Kernel,
                Backing::Owned,
            ))
        })
    }

    /// Maps frames that are not the pool's: devices, firmware's tables.
    ///
    /// # Safety
    /// Reaching these frames that way, as long as the mapping lives, breaks nobody's memory.
    pub unsafe fn over(
        first: FrameNumber,
        pages: u64,
        access: Access,
        caching: Caching,
    ) -> Result<Self, MapError> {
        Self::build(pages, |index| {
            Ok(Entry::page(
                FrameNumber(first.0 + index),
                PageSize::Small,
                access,
                caching,
                Owner::Kernel,
                Backing::Borrowed,
            ))
        })
    }

    fn build(
        pages: u64,
        mut entry: impl FnMut(u64) -> Result<Entry, MapError>,
    ) -> Result<Self, MapError> {
        if pages == 0 || pages >= (WINDOW.end - WINDOW.start) / PAGE {
            return Err(MapError::BadRange);
        }
        let range = take(pages)?;
        // From here on, dropping `mapping` undoes what was done.
        let mapping = Self { pages: range.start..range.end - 1 };
        let _change = CHANGE.lock();
        for (index, page) in mapping.pages.clone().enumerate() {
            let entry = entry(index as u64)?;
            let address = VirtAddr(page * PAGE);
            let result = kernel_tables().map(address, PageSize::Small, entry, Owner::Kernel);
            if let Err(error) = result {
                if entry.is_owned() {
                    // SAFETY: the frame was just allocated for this entry, which no table took.
                    drop(unsafe { Frame::from_number(entry.frame()) });
                }
                drop(_change);
                return Err(error);
            }
        }
        drop(_change);
        Ok(mapping)
    }

    /// Its first byte.
    pub fn start(&self) -> VirtAddr {
        VirtAddr(self.pages.start * PAGE)
    }
    /// Its length in bytes.
    pub fn size(&self) -> u64 {
        (self.pages.end - self.pages.start) * PAGE
    }

    /// Unmaps it now; the frames and addresses are free once the result is complete.
    pub fn unmap(self) -> Flush {
        let flush = self.take_out();
        core::mem::forget(self);
        flush
    }

    fn take_out(&self) -> Flush {
        let mut holds =
            Holds { window: Some(self.pages.start..self.pages.end + 1), ..Holds::default() };
        let count = self.pages.end - self.pages.start;
        // Twice: a table may go with each page, at worst. If there is no room, what does not fit
        // stays mapped by nobody and is lost.
        let room = holds.frames.reserve(count as usize * 2).is_ok();
        {
            let _change = CHANGE.lock();
            for page in self.pages.clone() {
                let frames = &mut holds.frames;
                let mut keep = |frame| {
                    if room {
                        frames.push(frame);
                    }
                };
                let entry = kernel_tables().unmap(VirtAddr(page * PAGE), Owner::Kernel, &mut keep);
                if let Some(entry) = entry.filter(|entry| entry.is_owned()) {
                    keep(entry.frame());
                }
            }
        }
        if count <= FLUSH_SINGLY {
            self.pages.clone().for_each(|page| control::flush_page(VirtAddr(page * PAGE)));
        } else {
            control::flush_everything();
        }
        Flush::request(online_cores(), holds)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        drop(self.take_out());
    }
}
