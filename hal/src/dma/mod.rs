//! Memory a device can reach, and who owns it when.
//!
//! A [`DmaBuf`] is an owned value with ordinary slices, because no device knows its address.
//! [`DmaBuf::lend`] turns it into a [`DmaLoan`]: that has the address and no slices. When the
//! device is done, [`DmaLoan::reclaim`] turns it back.
//!
//! ```text
//!              lend(direction)
//!   DmaBuf ────────────────────> DmaLoan ──drop──> leaked, and counted
//!   slices, drop frees it        device address
//!      ^                            │
//!      └──────── reclaim() ─────────┘
//! ```
//!
//! A buffer's pages lie one behind the other ([`DmaDomain::buffer`]) or anywhere
//! ([`DmaDomain::listed`]); a loan says where each is. A [`DmaRing`] is shared with the device as
//! long as it lives: words read and written one at a time, no slices.
//!
//! **Memory whose address a device was given is never freed by a drop.** A loan is freed by
//! reclaiming it, a ring by [`DmaRing::retire`], which both say that the device has stopped;
//! otherwise it is leaked. So a driver that is cancelled at any moment corrupts nothing.
//!
//! Order: lending releases what was written before, reclaiming acquires what the device wrote
//! (`hal::mmio` says the same of register accesses). Where a store must be seen before a later
//! *load* of another place (shadow doorbells), [`full_fence`] is needed; nothing else needs a
//! fence.

use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::Ordering;

use crate::machine;

#[cfg(not(ring3))]
#[cfg(any(test, target_os = "none"))]
pub(crate) mod pool;
mod ring;
mod shared;
#[cfg(test)]
mod shared_tests;
mod statistics;

pub use ring::DmaRing;
pub use shared::{Loan, Memory, SharedLoan, SharedPages, SharedPagesBuilder};
pub use statistics::{Statistics, drain, leaked_bytes, statistics};

/// Orders every store before it against every load after it.
pub fn full_fence() {
    core::sync::atomic::fence(Ordering::SeqCst);
}

/// An address as the device uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceAddress(pub u64);

impl DeviceAddress {
    /// The address `bytes` further on.
    pub const fn plus(self, bytes: u64) -> Self {
        Self(self.0.wrapping_add(bytes))
    }

    /// Its low 32 bits, for devices that take it in halves.
    pub const fn low(self) -> u32 {
        self.0 as u32
    }

    /// Its high 32 bits.
    pub const fn high(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl fmt::LowerHex for DeviceAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, formatter)
    }
}

/// The highest address a device can put on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AddressLimit(u64);

impl AddressLimit {
    /// Any address at all.
    pub const NONE: Self = Self(u64::MAX);

    /// Addresses of so many bits: 28 for QEMU's `edu`, 32 for most older devices.
    pub const fn bits(bits: u32) -> Self {
        match bits {
            0 => Self(0),
            1..=63 => Self((1 << bits) - 1),
            _ => Self::NONE,
        }
    }

    /// The highest address allowed.
    pub const fn highest(self) -> u64 {
        self.0
    }

    /// The stricter of the two.
    pub const fn and(self, other: Self) -> Self {
        if self.0 < other.0 { self } else { other }
    }
}

/// What the device does with lent memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It reads: a disk write, a transmitted frame.
    ToDevice,
    /// It writes: a disk read, a received frame.
    FromDevice,
    /// Both.
    Both,
}

impl Direction {
    /// Whether the device may read.
    pub const fn device_reads(self) -> bool {
        matches!(self, Direction::ToDevice | Direction::Both)
    }

    /// Whether the device may write.
    pub const fn device_writes(self) -> bool {
        matches!(self, Direction::FromDevice | Direction::Both)
    }
}

/// Why there is no DMA memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum DmaError {
    /// Nothing of that size is free below the address limit. Ask for less, or later; a contiguous
    /// buffer may still be had as a listed one.
    #[error("no memory of that size below the device's address limit")]
    OutOfMemory,
    /// Zero bytes, or more than any allocation may have. Ask for something sensible.
    #[error("not a size DMA memory can have")]
    BadSize,
}

/// Every allocation starts at a multiple of this many bytes, so it crosses no page it need not
/// cross.
pub const ALIGNMENT: usize = 4096;

/// Bytes in a page, as devices that take lists of pages mean it.
pub const PAGE: usize = 4096;

/// No single allocation is larger: 32 MiB.
pub const LARGEST: usize = 32 << 20;

/// The memory one device can reach, and where its buffers and rings come from.
#[derive(Clone)]
pub struct DmaDomain {
    space: machine::DmaSpace,
    limit: AddressLimit,
}

impl DmaDomain {
    // Handed out by each machine only.
    #[allow(dead_code)]
    pub(crate) const fn new(space: machine::DmaSpace, limit: AddressLimit) -> Self {
        Self { space, limit }
    }

    /// The same domain for a device with (also) this limit.
    #[must_use]
    #[allow(
        clippy::clone_on_copy,
        reason = "on metal there is nothing to clone, in the simulation there is"
    )]
    pub fn limited(&self, limit: AddressLimit) -> Self {
        Self { space: self.space.clone(), limit: self.limit.and(limit) }
    }

    /// The highest address its memory has.
    pub fn limit(&self) -> AddressLimit {
        self.limit
    }

    /// A zeroed buffer of `bytes`, physically contiguous, below the limit, aligned to
    /// [`ALIGNMENT`]. Up to 128 KiB come from what this core keeps ready, without a lock.
    #[inline]
    pub fn buffer(&self, bytes: usize) -> Result<DmaBuf, DmaError> {
        check_size(bytes)?;
        Ok(DmaBuf { memory: self.space.allocate(bytes, self.limit)? })
    }

    /// A zeroed buffer of `bytes` whose pages lie anywhere below the limit, for devices that take
    /// lists of pages: there is memory for it when none in a row is left. It is mapped for the
    /// kernel page by page, so it costs far more to make and to free than [`buffer`](Self::buffer).
    pub fn listed(&self, bytes: usize) -> Result<DmaBuf, DmaError> {
        check_size(bytes)?;
        Ok(DmaBuf { memory: self.space.allocate_listed(bytes, self.limit)? })
    }
}

fn check_size(bytes: usize) -> Result<(), DmaError> {
    if bytes == 0 || bytes > LARGEST { Err(DmaError::BadSize) } else { Ok(()) }
}

/// An owned buffer a device can be lent; freed on drop. No device knows it while it is a `DmaBuf`.
pub struct DmaBuf {
    memory: machine::DmaMemory,
}

impl DmaBuf {
    /// Gives it to a device: from here on it has an address and no slices.
    pub fn lend(self, direction: Direction) -> DmaLoan {
        core::sync::atomic::fence(Ordering::Release);
        DmaLoan { memory: self.memory.lend(direction) }
    }
}

impl Deref for DmaBuf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.memory.bytes()
    }
}

impl DerefMut for DmaBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.memory.bytes_mut()
    }
}

impl fmt::Debug for DmaBuf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DmaBuf({} bytes)", self.len())
    }
}

/// A buffer a device may be using. Dropping it leaks the memory: the device may still write there.
#[must_use = "a loan that is dropped is leaked: reclaim it when the device is done"]
pub struct DmaLoan {
    /// Dropping it by itself frees nothing.
    memory: machine::LentMemory,
}

impl DmaLoan {
    /// Where the device finds its beginning. All of it follows only if it
    /// [is contiguous](Self::is_contiguous), as a [`buffer`](DmaDomain::buffer) is.
    #[inline(always)]
    pub fn address(&self) -> DeviceAddress {
        self.memory.address()
    }

    /// Where the device finds its page `index`: each piece of [`PAGE`] bytes lies in one page.
    /// Beyond the end: the last one.
    #[inline]
    pub fn page(&self, index: usize) -> DeviceAddress {
        self.memory.page(index.min(self.last_page()))
    }

    /// Whether its pages lie one behind the other.
    pub fn is_contiguous(&self) -> bool {
        let first = self.address();
        (1..=self.last_page()).all(|index| self.page(index) == first.plus((index * PAGE) as u64))
    }

    fn last_page(&self) -> usize {
        self.bytes().div_ceil(PAGE) - 1
    }

    /// Its length in bytes.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.memory.length()
    }

    /// Takes it back. The caller says that the device is done with it: it reported completion, or
    /// was reset or cut off from the bus. (Until there is an IOMMU, drivers are trusted in this.)
    pub fn reclaim(self) -> DmaBuf {
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is neither used nor dropped after this, so the memory has one owner.
        let memory = unsafe { core::ptr::read(&raw const this.memory) };
        core::sync::atomic::fence(Ordering::Acquire);
        DmaBuf { memory: memory.reclaim() }
    }
}

impl Drop for DmaLoan {
    fn drop(&mut self) {
        statistics::leaked(self.bytes());
    }
}

impl fmt::Debug for DmaLoan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DmaLoan({} bytes at {:#x})", self.bytes(), self.address())
    }
}

#[cfg(test)]
mod tests;
