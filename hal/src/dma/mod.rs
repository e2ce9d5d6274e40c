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
//! A [`DmaRing`] is shared with the device as long as it lives: words read and written one at a
//! time, no slices.
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
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::machine;

mod shared;

pub use shared::{Loan, Memory, SharedLoan, SharedPages};

static LEAKED: AtomicUsize = AtomicUsize::new(0);

/// Bytes leaked because a device may still reach them, since start.
pub fn leaked_bytes() -> usize {
    LEAKED.load(Ordering::Relaxed)
}

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
    /// Nothing contiguous of that size is free below the address limit. Ask for less, or later.
    #[error("no contiguous memory of that size below the device's address limit")]
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
    /// [`ALIGNMENT`].
    pub fn buffer(&self, bytes: usize) -> Result<DmaBuf, DmaError> {
        check_size(bytes)?;
        Ok(DmaBuf { memory: self.space.allocate(bytes, self.limit)? })
    }

    /// A zeroed ring of `entries` entries of `WORDS` 64-bit words each, contiguous and aligned
    /// alike.
    pub fn ring<const WORDS: usize>(&self, entries: usize) -> Result<DmaRing<WORDS>, DmaError> {
        let words = entries.checked_mul(WORDS).ok_or(DmaError::BadSize)?;
        check_size(words.checked_mul(8).ok_or(DmaError::BadSize)?)?;
        let memory = self.space.allocate_ring(words, self.limit)?;
        Ok(DmaRing { memory, leak: None, entries })
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
        let leak = Leak { bytes: self.len() };
        DmaLoan { memory: self.memory.lend(direction), leak }
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
    memory: machine::LentMemory,
    leak: Leak,
}

impl DmaLoan {
    /// Where the device finds it.
    pub fn address(&self) -> DeviceAddress {
        self.memory.address()
    }

    /// Where the device finds its page `index`: each piece of [`PAGE`] bytes lies in one page.
    /// Beyond the end: the last one.
    #[inline]
    pub fn page(&self, index: usize) -> DeviceAddress {
        let index = index.min(self.bytes().div_ceil(PAGE) - 1);
        self.address().plus((index * PAGE) as u64)
    }

    /// Its length in bytes.
    pub fn bytes(&self) -> usize {
        self.leak.bytes
    }

    /// Takes it back. The caller says that the device is done with it: it reported completion, or
    /// was reset or cut off from the bus. (Until there is an IOMMU, drivers are trusted in this.)
    pub fn reclaim(self) -> DmaBuf {
        let Self { memory, leak } = self;
        core::mem::forget(leak);
        core::sync::atomic::fence(Ordering::Acquire);
        DmaBuf { memory: memory.reclaim() }
    }
}

impl fmt::Debug for DmaLoan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DmaLoan({} bytes at {:#x})", self.bytes(), self.address())
    }
}

/// Counts and reports memory that is lost when it is dropped. The memory itself needs no code to be
/// leaked: nothing frees it.
struct Leak {
    bytes: usize,
}

impl Drop for Leak {
    fn drop(&mut self) {
        LEAKED.fetch_add(self.bytes, Ordering::Relaxed);
        log::warn!("hal: {} bytes of DMA memory leaked: a device may still use them", self.bytes);
    }
}

/// A ring of entries shared with a device: `WORDS` little-endian 64-bit words each.
///
/// Words of one entry are written in order, the last one as a release; a single word is read as an
/// acquire. So an ownership or phase bit in the last word publishes the entry, and one seen in
/// [`word`](Self::word) makes the rest of the entry safe to read. Indices wrap around.
pub struct DmaRing<const WORDS: usize> {
    memory: machine::RingMemory,
    leak: Option<Leak>,
    entries: usize,
}

impl<const WORDS: usize> DmaRing<WORDS> {
    /// Where the device finds it. From the first call on, only [`retire`](Self::retire) frees it.
    pub fn address(&mut self) -> DeviceAddress {
        let bytes = self.bytes();
        self.leak.get_or_insert(Leak { bytes });
        self.memory.set_shared(true);
        self.memory.address()
    }

    /// How many entries it has.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// Its length in bytes.
    pub fn bytes(&self) -> usize {
        self.entries * WORDS * 8
    }

    /// The entry at `index`, which the device must have finished: words are read one by one.
    #[inline]
    pub fn entry(&self, index: usize) -> [u64; WORDS] {
        let base = self.base(index);
        let words = self.memory.words();
        core::array::from_fn(|word| u64::from_le(words[base + word].load(Ordering::Relaxed)))
    }

    /// Writes the entry at `index`, which the device must have given back.
    #[inline(always)]
    pub fn set_entry(&self, index: usize, entry: [u64; WORDS]) {
        let base = self.base(index);
        let Some(words) = self.memory.words()[base..].first_chunk::<WORDS>() else { return };
        for (word, value) in words.iter().zip(entry).take(WORDS - 1) {
            word.store(value.to_le(), Ordering::Relaxed);
        }
        words[WORDS - 1].store(entry[WORDS - 1].to_le(), Ordering::Release);
    }

    /// One word of an entry; what is read after it is read after it.
    #[inline(always)]
    pub fn word(&self, index: usize, word: usize) -> u64 {
        let place = self.base(index) + word % WORDS;
        u64::from_le(self.memory.words()[place].load(Ordering::Acquire))
    }

    /// Writes one word of an entry, after all that was written before it.
    #[inline]
    pub fn set_word(&self, index: usize, word: usize, value: u64) {
        let place = self.base(index) + word % WORDS;
        self.memory.words()[place].store(value.to_le(), Ordering::Release);
    }

    /// Flips `bits` of one word in one step, after all that was written before: for words whose
    /// parts have different writers.
    #[inline]
    pub fn flip_word(&self, index: usize, word: usize, bits: u64) {
        let place = self.base(index) + word % WORDS;
        self.memory.words()[place].fetch_xor(bits.to_le(), Ordering::AcqRel);
    }

    /// Copies bytes out, from `offset` bytes into the ring and around its end: for devices that
    /// write a stream (rtl8139).
    pub fn copy_out(&self, offset: usize, into: &mut [u8]) {
        let (words, bytes) = (self.memory.words(), self.bytes());
        for (step, byte) in into.iter_mut().enumerate() {
            let place = (offset % bytes + step) % bytes;
            let word = words[place / 8].load(Ordering::Relaxed);
            *byte = word.to_ne_bytes()[place % 8];
        }
    }

    /// Frees it. The caller says that the device has stopped using it: it was reset, or cut off
    /// from the bus.
    pub fn retire(mut self) {
        self.memory.set_shared(false);
        core::mem::forget(self.leak.take());
    }

    #[inline(always)]
    fn base(&self, index: usize) -> usize {
        if index < self.entries { index * WORDS } else { index % self.entries * WORDS }
    }
}

#[cfg(test)]
mod tests;
