//! Page tables for a core that turns on paging while it runs below 1 MiB: the kernel's half, and
//! its own page at its own address.

use super::entry::{Access, Backing, Caching, Entry, Owner, PageSize};
use super::kernel::{self, FrameTables};
use super::tables::{MapError, TableFrames, Tables, Visited};
use crate::memory::frames::{Frame, FrameRun, RunLimits};
use crate::memory::{FrameNumber, PhysAddr, VirtAddr};
use core::sync::atomic::Ordering;

/// Tables that map the kernel, and one page at its physical address, executable. Freed on drop: no
/// core may be in them by then, and none holds their translations once it took the kernel's tables.
pub struct TrampolineTables {
    root: FrameRun,
}

impl TrampolineTables {
    /// Builds them for the page in frame `code`, which lies below 1 MiB.
    pub fn new(code: FrameNumber) -> Result<Self, MapError> {
        let limits = RunLimits { below: Some(PhysAddr(1 << 32)), ..RunLimits::default() };
        let mut root = FrameRun::allocate(1, limits).map_err(|_| MapError::OutOfFrames)?;
        root.zero();
        let built = Self { root };
        let (own, kernels) = (FrameTables.table(built.root()), FrameTables.table(kernel::root()));
        for (slot, entry) in own[256..].iter().zip(&kernels[256..]) {
            slot.store(entry.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        let access = Access::ReadExecute;
        let (caching, backing) = (Caching::WriteBack, Backing::Borrowed);
        let entry = Entry::page(code, PageSize::Small, access, caching, Owner::Kernel, backing);
        let page = VirtAddr(code.start().0);
        Tables::new(built.root(), &FrameTables).map(page, PageSize::Small, entry, Owner::Kernel)?;
        Ok(built)
    }

    /// The frame for CR3; below 4 GiB.
    pub fn root(&self) -> FrameNumber {
        FrameNumber::containing(self.root.physical())
    }
}

impl Drop for TrampolineTables {
    fn drop(&mut self) {
        Tables::new(self.root(), &FrameTables).visit_lower_half(|visited| {
            if let Visited::Table(frame) = visited {
                // SAFETY: made by `map` in `new` for these tables alone, and found once.
                drop(unsafe { Frame::from_number(frame) });
            }
        });
    }
}
