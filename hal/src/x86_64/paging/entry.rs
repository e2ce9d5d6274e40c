//! One entry of a page table, and what a mapping may be.
//!
//! Source: Intel SDM vol. 3, sections 4.5 (4-level paging) and 12.12 (page attribute table).
//! [`Access`] has no value that is both writable and executable: W^X holds by construction.

use crate::memory::{FrameNumber, PhysAddr};

/// What may be done with a page, besides reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Nothing.
    Read,
    /// Write.
    ReadWrite,
    /// Execute.
    ReadExecute,
}

impl Access {
    /// Whether a page with `self` allows all that `wanted` names.
    pub const fn allows(self, wanted: Self) -> bool {
        match wanted {
            Self::Read => true,
            Self::ReadWrite => matches!(self, Self::ReadWrite),
            Self::ReadExecute => matches!(self, Self::ReadExecute),
        }
    }
}

/// How the CPU caches a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caching {
    /// Ordinary memory.
    WriteBack,
    /// Writes gather in buffers and go out in bursts: framebuffers.
    WriteCombining,
    /// Every access goes to the device, in order.
    Uncacheable,
}

/// Whose page it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// Ring 0 only; the translation is global.
    Kernel,
    /// Ring 3 too.
    User,
}

/// Whether the address space frees the frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backing {
    /// The frame belongs to the mapping and is freed with it.
    Owned,
    /// The frame belongs to someone else.
    Borrowed,
}

/// The size of a page, as the level of the table that maps it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum PageSize {
    /// 4 KiB, level 0.
    Small = 0,
    /// 2 MiB, level 1.
    Large = 1,
    /// 1 GiB, level 2.
    Huge = 2,
}

impl PageSize {
    /// Bytes.
    pub const fn bytes(self) -> u64 {
        4096 << (9 * self as u32)
    }
}

/// The value for `IA32_PAT` that [`Caching`] relies on: WB, WT, UC-, UC, then WP and WC in entries
/// 4 and 5. The same as Limine's, so nothing changes meaning when the tables are replaced.
pub const PAT: u64 = 0x0007_0105_0007_0406;

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const WRITE_THROUGH: u64 = 1 << 3;
const CACHE_DISABLE: u64 = 1 << 4;
const LARGE: u64 = 1 << 7;
const PAT_SMALL: u64 = 1 << 7;
const GLOBAL: u64 = 1 << 8;
/// Software bit: the frame goes when the mapping goes.
const OWNED: u64 = 1 << 9;
const PAT_LARGE: u64 = 1 << 12;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// Software bits of an entry that names a table: how many of that table's entries are in use.
const COUNT_SHIFT: u32 = 52;
const COUNT: u64 = 0x3ff << COUNT_SHIFT;

/// A page table entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct Entry(pub u64);

impl Entry {
    /// Maps nothing.
    pub const EMPTY: Self = Self(0);

    /// An entry that maps a page.
    pub const fn page(
        frame: FrameNumber,
        size: PageSize,
        access: Access,
        caching: Caching,
        owner: Owner,
        backing: Backing,
    ) -> Self {
        let mut bits = frame.start().0 | PRESENT;
        match access {
            Access::Read => bits |= NO_EXECUTE,
            Access::ReadWrite => bits |= NO_EXECUTE | WRITABLE,
            Access::ReadExecute => {}
        }
        match owner {
            Owner::Kernel => bits |= GLOBAL,
            Owner::User => bits |= USER,
        }
        if matches!(backing, Backing::Owned) {
            bits |= OWNED;
        }
        let small = matches!(size, PageSize::Small);
        match caching {
            Caching::WriteBack => {}
            Caching::Uncacheable => bits |= CACHE_DISABLE | WRITE_THROUGH,
            Caching::WriteCombining => {
                bits |= WRITE_THROUGH | if small { PAT_SMALL } else { PAT_LARGE };
            }
        }
        if !small {
            bits |= LARGE;
        }
        Self(bits)
    }

    /// An entry that names a table with no entry in use. Rights are decided by the pages alone.
    pub const fn table(frame: FrameNumber, owner: Owner) -> Self {
        let user = match owner {
            Owner::Kernel => 0,
            Owner::User => USER,
        };
        Self(frame.start().0 | PRESENT | WRITABLE | user)
    }

    /// Whether it maps anything.
    pub const fn is_present(self) -> bool {
        self.0 & PRESENT != 0
    }
    /// Whether an entry of a table of that level (0 the lowest) maps a page rather than names a
    /// table.
    pub const fn is_page(self, level: usize) -> bool {
        level == 0 || self.0 & LARGE != 0
    }
    /// Whether the frame is freed with the mapping.
    pub const fn is_owned(self) -> bool {
        self.0 & OWNED != 0
    }
    /// Whether ring 3 may use it.
    pub const fn is_user(self) -> bool {
        self.0 & USER != 0
    }
    /// The frame of the small page or table.
    pub const fn frame(self) -> FrameNumber {
        FrameNumber::containing(PhysAddr(self.0 & ADDRESS))
    }
    /// The first frame of a page of that size.
    pub const fn frame_of(self, size: PageSize) -> FrameNumber {
        FrameNumber::containing(PhysAddr(self.0 & ADDRESS & !(size.bytes() - 1)))
    }
    /// What may be done with the page.
    pub const fn access(self) -> Access {
        if self.0 & NO_EXECUTE == 0 {
            Access::ReadExecute
        } else if self.0 & WRITABLE != 0 {
            Access::ReadWrite
        } else {
            Access::Read
        }
    }
    /// The same small page with other rights.
    #[must_use]
    pub const fn with_access(self, access: Access) -> Self {
        let bits = self.0 & !(NO_EXECUTE | WRITABLE);
        Self(match access {
            Access::Read => bits | NO_EXECUTE,
            Access::ReadWrite => bits | NO_EXECUTE | WRITABLE,
            Access::ReadExecute => bits,
        })
    }

    /// For an entry that names a table: how many of its entries are in use.
    pub const fn count(self) -> u64 {
        (self.0 & COUNT) >> COUNT_SHIFT
    }
    /// The same entry with one more in use.
    #[must_use]
    pub const fn count_up(self) -> Self {
        Self(self.0 + (1 << COUNT_SHIFT))
    }
    /// The same entry with one fewer in use.
    #[must_use]
    pub const fn count_down(self) -> Self {
        Self(self.0 - (1 << COUNT_SHIFT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_the_manuals() {
        let frame = FrameNumber(0x1234);
        let data = Entry::page(
            frame,
            PageSize::Small,
            Access::ReadWrite,
            Caching::WriteBack,
            Owner::User,
            Backing::Owned,
        );
        assert_eq!(data.0, 1 << 63 | 0x0123_4000 | 1 << 9 | 0b111);
        assert_eq!(data.with_access(Access::ReadExecute).0, 0x0123_4000 | 1 << 9 | 0b101);
        let screen = Entry::page(
            FrameNumber(0x80000),
            PageSize::Large,
            Access::ReadWrite,
            Caching::WriteCombining,
            Owner::Kernel,
            Backing::Borrowed,
        );
        // PAT, PCD, PWT = 1, 0, 1: entry 5.
        assert_eq!(screen.0, 1 << 63 | 0x8000_0000 | 1 << 12 | 1 << 8 | 1 << 7 | 1 << 3 | 0b11);
        assert_eq!(screen.frame_of(PageSize::Large), FrameNumber(0x80000));
        assert_eq!(PAT >> 40 & 7, 1, "entry 5 is write-combining");
    }

    #[test]
    fn nothing_is_writable_and_executable() {
        for access in [Access::Read, Access::ReadWrite, Access::ReadExecute] {
            let entry = Entry::EMPTY.with_access(access);
            assert!(entry.0 & WRITABLE == 0 || entry.0 & NO_EXECUTE != 0);
            assert_eq!(entry.access(), access);
        }
    }

    #[test]
    fn a_full_table_can_be_counted() {
        let mut entry = Entry::table(FrameNumber(7), Owner::User);
        for _ in 0..512 {
            entry = entry.count_up();
        }
        assert_eq!((entry.count(), entry.frame()), (512, FrameNumber(7)));
        assert_eq!(entry.count_down().count(), 511);
    }
}
