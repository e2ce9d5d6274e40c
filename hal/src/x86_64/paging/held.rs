//! What a page of an address space may be that is not the space's own, and is kept by a hold.

use core::ops::Range;

use super::entry::Caching;
use crate::dma::SharedPages;
use crate::pci::LentRegisters;

/// Pages that lie one behind the other, and are held.
#[derive(Clone, Debug)]
pub(super) enum Held {
    /// Shared memory.
    Memory(SharedPages),
    /// Registers of a device.
    Registers(LentRegisters),
}

impl Held {
    /// How many pages.
    pub fn count(&self) -> usize {
        match self {
            Self::Memory(pages) => pages.count(),
            Self::Registers(pages) => pages.count(),
        }
    }

    /// Some of the pages. `None`: not that many, or none.
    pub fn part(&self, pages: Range<usize>) -> Option<Self> {
        match self {
            Self::Memory(all) => all.part(pages).map(Self::Memory),
            Self::Registers(all) => all.part(pages).map(Self::Registers),
        }
    }

    /// These and `next` as one, if it is what comes next.
    pub fn joined(&self, next: &Self) -> Option<Self> {
        match (self, next) {
            (Self::Memory(pages), Self::Memory(next)) => pages.joined(next).map(Self::Memory),
            (Self::Registers(pages), Self::Registers(next)) => {
                pages.joined(next).map(Self::Registers)
            }
            _ => None,
        }
    }

    /// The physical address of page `index`.
    #[cfg_attr(not(target_os = "none"), allow(dead_code, reason = "there are no page tables"))]
    pub fn physical(&self, index: usize) -> Option<u64> {
        match self {
            Self::Memory(pages) => pages.page(index).map(|place| place.0),
            Self::Registers(pages) => pages.physical(index),
        }
    }

    /// How they are to be mapped.
    #[cfg_attr(not(target_os = "none"), allow(dead_code, reason = "there are no page tables"))]
    pub fn caching(&self) -> Caching {
        match self {
            Self::Memory(_) => Caching::WriteBack,
            Self::Registers(_) => Caching::Uncacheable,
        }
    }
}
