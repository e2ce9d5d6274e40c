//! A function's registers, lent: mapped for others than the kernel, page by page.
//!
//! Only whole pages can be lent, and the pages with the function's table of interrupt messages for
//! reading only: who writes there makes the function write anywhere, and to any core.

use alloc::sync::Arc;
use core::any::Any;
use core::fmt;
use core::ops::Range;

use protocols::pci::id;
use protocols::pci::msix::MsixCapability;

use super::{Function, PciError};
use crate::dma::PAGE;
use crate::mmio::{DeviceRegion, MmioError};

/// What is behind one base address register, or a part of it, in pages.
#[derive(Clone)]
pub struct LentRegisters {
    whole: Arc<Whole>,
    first: usize,
    count: usize,
}

struct Whole {
    /// Where it begins, for the CPU.
    physical: u64,
    /// Pages that may be read only.
    guarded: [Range<usize>; 2],
    // While this is there nobody else gets the registers.
    _region: DeviceRegion,
    _mark: Arc<dyn Any + Send + Sync>,
}

impl Function {
    /// Lends what is behind base address register `index`, and makes the function answer there.
    /// `mark` is dropped when no part of it is mapped or held any more.
    ///
    /// # Errors
    /// It is not there, not in memory, or shares its pages with other registers.
    pub fn lend_bar(
        &self,
        index: u8,
        mark: Arc<dyn Any + Send + Sync>,
    ) -> Result<LentRegisters, PciError> {
        let bar = self.bar(index)?;
        let page = PAGE as u64;
        if !bar.address.is_multiple_of(page) || !bar.bytes.is_multiple_of(page) {
            return Err(PciError::Map(MmioError::NotDevice));
        }
        let bytes = usize::try_from(bar.bytes).map_err(|_| MmioError::NoSpace)?;
        let region = self.map_bar(index, bytes)?;
        let guarded = self.message_tables(index);
        let physical = bar.address;
        let whole = Whole { physical, guarded, _region: region, _mark: mark };
        Ok(LentRegisters { whole: Arc::new(whole), first: 0, count: bytes / PAGE })
    }

    /// The pages behind that register with the MSI-X table and its pending bits.
    fn message_tables(&self, index: u8) -> [Range<usize>; 2] {
        let found = self.capability(id::MSIX);
        let Some(found) = found.and_then(|found| MsixCapability::read(self.config(), found)) else {
            return [0..0, 0..0];
        };
        let pages = |bar: u8, start: u64, end: u64| {
            let pages = start / PAGE as u64..end.div_ceil(PAGE as u64);
            if bar == index { pages.start as usize..pages.end as usize } else { 0..0 }
        };
        let (table, pending) = (found.table, found.pending);
        let pending_end = u64::from(pending.offset) + u64::from(found.entries).div_ceil(64) * 8;
        [
            pages(table.bar, table.offset.into(), found.table_end()),
            pages(pending.bar, pending.offset.into(), pending_end),
        ]
    }
}

impl LentRegisters {
    /// How many pages.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Some of the pages. `None`: not that many, or none.
    pub fn part(&self, pages: Range<usize>) -> Option<Self> {
        if pages.start >= pages.end || pages.end > self.count {
            return None;
        }
        let (first, count) = (self.first + pages.start, pages.end - pages.start);
        Some(Self { whole: self.whole.clone(), first, count })
    }

    /// These and `next` as one, if it is the part of the same registers that comes next.
    #[must_use]
    pub fn joined(&self, next: &Self) -> Option<Self> {
        let follows =
            Arc::ptr_eq(&self.whole, &next.whole) && self.first + self.count == next.first;
        let (whole, count) = (self.whole.clone(), self.count + next.count);
        follows.then_some(Self { whole, first: self.first, count })
    }

    /// The pages from the first one on that may all be written, or may all be read only; and
    /// whether they may be written. `None`: there is no page `from`.
    pub fn alike(&self, from: usize) -> Option<(Range<usize>, Touch)> {
        let touch = |page: usize| {
            let page = self.first + page;
            let is_guarded = self.whole.guarded.iter().any(|pages| pages.contains(&page));
            if is_guarded { Touch::Read } else { Touch::Write }
        };
        let first = (from < self.count).then(|| touch(from))?;
        let end = (from..self.count).find(|page| touch(*page) != first).unwrap_or(self.count);
        Some((from..end, first))
    }

    /// Where the CPU finds page `index`.
    pub fn physical(&self, index: usize) -> Option<u64> {
        let offset = (self.first + index) as u64 * PAGE as u64;
        (index < self.count).then(|| self.whole.physical + offset)
    }
}

/// What may be done with lent registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// Read them.
    Read,
    /// Read and write them.
    Write,
}

impl fmt::Debug for LentRegisters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LentRegisters({} pages)", self.count)
    }
}
