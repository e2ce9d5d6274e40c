//! Memory from the firmware, in zeroed pages that are given back when dropped.
//!
//! All of it is loader data, which the memory map reports as bootloader-reclaimable unless it is
//! added as something else. Under UEFI virtual and physical addresses are the same.

use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use uefi::boot::{self, AllocateType, MemoryType};
use uefi_loader::PAGE;
use uefi_loader::paging::Table;

/// An owned range of pages.
#[derive(Debug)]
pub struct Pages {
    start: NonNull<u8>,
    count: usize,
}

impl Pages {
    /// At least `len` bytes of zeroes, or `None` where there is not so much memory in one piece.
    pub fn allocate(len: u64) -> Option<Self> {
        let count = usize::try_from(len.div_ceil(PAGE).max(1)).ok()?;
        // A count whose size in bytes overflows would be more than firmware should be asked for.
        isize::try_from(count.checked_mul(PAGE as usize)?).ok()?;
        let start =
            boot::allocate_pages(AllocateType::AnyPages, MemoryType::LOADER_DATA, count).ok()?;
        // SAFETY: the firmware has just given us these `count` pages, and nobody else.
        unsafe { start.write_bytes(0, count * PAGE as usize) };
        Some(Self { start, count })
    }

    /// Physical address of the first byte.
    pub fn physical(&self) -> u64 {
        self.start.as_ptr() as u64
    }

    /// Length in bytes: whole pages.
    pub fn len(&self) -> u64 {
        self.count as u64 * PAGE
    }

    /// The pages seen as page tables.
    pub fn tables(&mut self) -> &mut [Table] {
        // SAFETY: the pages are ours and initialised, a table is exactly one page, pages are
        // aligned for it, and any bytes are valid words; the borrow of `self` keeps others away.
        unsafe { core::slice::from_raw_parts_mut(self.start.cast().as_ptr(), self.count) }
    }
}

impl Deref for Pages {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: the pages are ours, initialised by `allocate`, and freed only by `drop`.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.count * PAGE as usize) }
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `&mut self` makes this the only view of them.
        unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr(), self.count * PAGE as usize) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: `allocate` got exactly these pages, and no reference outlives `self`. Never
        // reached after boot services have ended: from there on nothing returns.
        let _ = unsafe { boot::free_pages(self.start, self.count) };
    }
}
