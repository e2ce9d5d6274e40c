//! Pages that a device, the kernel and ring 3 may all have at once, and what devices take of either
//! kind of memory.
//!
//! Others write to [`SharedPages`] at any time, so there are no slices: words are read and written
//! one at a time, and bytes are copied. A device is lent them as a [`DmaBuf`] is; while any loan is out the pages stay,
//! whatever becomes of the process that had them.
//!
//! ```text
//!   DmaBuf ───── into ──┐            lend(direction)
//!                       ├─> Memory ───────────────────> Loan ──drop──> leaked, and counted
//!   SharedPages ─ into ─┘      ^──────── reclaim() ───────┘
//! ```

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use protocols::shared;

use super::statistics::{SHARED_PAGES, leaked};
use super::{DeviceAddress, Direction, DmaBuf, DmaDomain, DmaError, DmaLoan, LARGEST, PAGE};
use crate::machine;

/// Words of 64 bits in a page.
const PAGE_WORDS: usize = PAGE / 8;

/// Owned together; the last owner or loan frees them.
struct List {
    runs: Vec<machine::RingMemory>,
    /// How many pages each run has.
    each: usize,
}

impl List {
    /// Pages that are shared from here on.
    fn new(mut runs: Vec<machine::RingMemory>, each: usize) -> Arc<Self> {
        runs.iter_mut().for_each(|run| run.set_shared(true));
        SHARED_PAGES.fetch_add(runs.len() * each, Ordering::Relaxed);
        Arc::new(Self { runs, each })
    }

    /// Words and place of page `index`.
    fn page(&self, index: usize) -> Option<(&[AtomicU64], DeviceAddress)> {
        let (run, page) = (self.runs.get(index / self.each)?, index % self.each);
        let words = run.words().get(page * PAGE_WORDS..(page + 1) * PAGE_WORDS)?;
        Some((words, run.address().plus((page * PAGE) as u64)))
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // No loan is out: each holds a reference.
        SHARED_PAGES.fetch_sub(self.runs.len() * self.each, Ordering::Relaxed);
        self.runs.iter_mut().for_each(|run| run.set_shared(false));
    }
}

/// Zeroed pages of [`PAGE`] bytes, anywhere in memory, or a part of such.
#[derive(Clone)]
pub struct SharedPages {
    list: Arc<List>,
    // Two words in all, since these values travel through futures within futures.
    first: u32,
    count: u32,
}

impl DmaDomain {
    /// Pages to be shared, each below the limit.
    pub fn shared_pages(&self, count: usize) -> Result<SharedPages, DmaError> {
        let mut pages = SharedPagesBuilder::new(self.clone());
        pages.grow(count)?;
        pages.finish().ok_or(DmaError::BadSize)
    }

    /// Pages to be shared, one behind the other, below the limit.
    pub fn shared_run(&self, count: usize) -> Result<SharedPages, DmaError> {
        if count == 0 || count > LARGEST / PAGE {
            return Err(DmaError::BadSize);
        }
        let run = self.space.allocate_ring(count * PAGE_WORDS, self.limit)?;
        let list = List::new(alloc::vec![run], count);
        Ok(SharedPages { list, first: 0, count: count as u32 })
    }
}

/// Pages on their way to be shared: whoever wants many gives others a turn between the pieces.
pub struct SharedPagesBuilder {
    domain: DmaDomain,
    pages: Vec<machine::RingMemory>,
}

impl SharedPagesBuilder {
    /// No pages yet, each to be below the domain's limit.
    pub const fn new(domain: DmaDomain) -> Self {
        Self { domain, pages: Vec::new() }
    }

    /// Adds `count` pages. What was added before an error stays.
    pub fn grow(&mut self, count: usize) -> Result<(), DmaError> {
        if count > LARGEST / PAGE - self.pages.len() {
            return Err(DmaError::BadSize);
        }
        self.pages.try_reserve(count).map_err(|_| DmaError::OutOfMemory)?;
        for _ in 0..count {
            let DmaDomain { space, limit } = &self.domain;
            self.pages.push(space.allocate_ring(PAGE_WORDS, *limit)?);
        }
        Ok(())
    }

    /// The pages. `None`: there are none.
    pub fn finish(self) -> Option<SharedPages> {
        let count = self.pages.len();
        let list = List::new(self.pages, 1);
        (count > 0).then_some(SharedPages { list, first: 0, count: count as u32 })
    }
}

impl SharedPages {
    /// How many pages.
    #[inline]
    pub fn count(&self) -> usize {
        self.count as usize
    }

    /// Its length in bytes.
    pub fn bytes(&self) -> usize {
        self.count() * PAGE
    }

    /// Some of the pages. `None`: not that many, or none.
    pub fn part(&self, pages: Range<usize>) -> Option<Self> {
        if pages.start >= pages.end || pages.end > self.count() {
            return None;
        }
        // Inside of what there is, so it fits.
        let (first, count) = (pages.start as u32, (pages.end - pages.start) as u32);
        Some(Self { list: self.list.clone(), first: self.first + first, count })
    }

    /// These and `next` as one, if it is the part of the same pages that comes next.
    #[must_use]
    pub fn joined(&self, next: &Self) -> Option<Self> {
        let follows = Arc::ptr_eq(&self.list, &next.list) && self.first + self.count == next.first;
        let (list, count) = (&self.list, self.count + next.count);
        follows.then(|| Self { list: list.clone(), first: self.first, count })
    }

    /// Where a device, or a page table, finds page `index`.
    pub fn page(&self, index: usize) -> Option<DeviceAddress> {
        Some(self.memory(index)?.1)
    }

    /// The word at `index`, as an acquire; 0 beyond the end.
    pub fn load(&self, index: usize) -> u64 {
        self.word(index).map_or(0, |word| u64::from_le(word.load(Ordering::Acquire)))
    }

    /// Writes a word, as a release; nowhere beyond the end.
    pub fn store(&self, index: usize, value: u64) {
        if let Some(word) = self.word(index) {
            word.store(value.to_le(), Ordering::Release);
        }
    }

    /// Writes a word and says what it was, ordered against everything before and after.
    pub fn swap(&self, index: usize, value: u64) -> u64 {
        self.word(index).map_or(0, |word| u64::from_le(word.swap(value.to_le(), Ordering::SeqCst)))
    }

    /// Copies bytes from `at` on. The others may be writing to them; beyond the end: zeros.
    pub fn read(&self, at: usize, into: &mut [u8]) {
        let (mut page, mut offset, mut rest) = (at / PAGE, at % PAGE, into);
        while !rest.is_empty() {
            let (part, others) = rest.split_at_mut(rest.len().min(PAGE - offset));
            shared::read(self.words(page), offset, part);
            (page, offset, rest) = (page + 1, 0, others);
        }
    }

    /// Copies bytes there; nowhere beyond the end. Of the words it touches only this side may be
    /// writing any part.
    pub fn write(&self, at: usize, from: &[u8]) {
        let (mut page, mut offset, mut rest) = (at / PAGE, at % PAGE, from);
        while !rest.is_empty() {
            let (part, others) = rest.split_at(rest.len().min(PAGE - offset));
            shared::write(self.words(page), offset, part);
            (page, offset, rest) = (page + 1, 0, others);
        }
    }

    fn memory(&self, index: usize) -> Option<(&[AtomicU64], DeviceAddress)> {
        if index < self.count() { self.list.page(self.first as usize + index) } else { None }
    }

    fn words(&self, index: usize) -> &[AtomicU64] {
        self.memory(index).map_or(&[], |memory| memory.0)
    }

    fn word(&self, index: usize) -> Option<&AtomicU64> {
        self.words(index / PAGE_WORDS).get(index % PAGE_WORDS)
    }

    /// Lends them to a device; the others may go on using them.
    pub fn lend(self, _direction: Direction) -> SharedLoan {
        core::sync::atomic::fence(Ordering::Release);
        SharedLoan { pages: ManuallyDrop::new(self) }
    }
}

impl fmt::Debug for SharedPages {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SharedPages({})", self.count)
    }
}

/// Shared pages a device may be using. Dropping it leaks them.
#[must_use = "a loan that is dropped is leaked: reclaim it when the device is done"]
pub struct SharedLoan {
    pages: ManuallyDrop<SharedPages>,
}

impl SharedLoan {
    /// Takes them back, on the terms of [`DmaLoan::reclaim`].
    pub fn reclaim(self) -> SharedPages {
        let mut this = ManuallyDrop::new(self);
        core::sync::atomic::fence(Ordering::Acquire);
        // SAFETY: `this` is neither used nor dropped after this, so the pages have one owner.
        unsafe { ManuallyDrop::take(&mut this.pages) }
    }
}

impl Drop for SharedLoan {
    fn drop(&mut self) {
        leaked(self.pages.bytes());
    }
}

/// What an operation of a device carries: a buffer of one's own, or shared pages.
#[derive(Debug)]
pub enum Memory {
    /// A buffer.
    Buf(DmaBuf),
    /// Shared pages.
    Shared(SharedPages),
}

impl Memory {
    /// Its length in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Buf(buf) => buf.len(),
            Self::Shared(pages) => pages.bytes(),
        }
    }

    /// Gives it to a device.
    pub fn lend(self, direction: Direction) -> Loan {
        match self {
            Self::Buf(buf) => Loan::Buf(buf.lend(direction)),
            Self::Shared(pages) => Loan::Shared(pages.lend(direction)),
        }
    }

    /// The buffer, if it is one.
    pub fn into_buf(self) -> Option<DmaBuf> {
        match self {
            Self::Buf(buf) => Some(buf),
            Self::Shared(_) => None,
        }
    }
}

impl From<DmaBuf> for Memory {
    fn from(buf: DmaBuf) -> Self {
        Self::Buf(buf)
    }
}

impl From<SharedPages> for Memory {
    fn from(pages: SharedPages) -> Self {
        Self::Shared(pages)
    }
}

/// Memory of either kind that a device may be using. Dropping it leaks it.
#[must_use = "a loan that is dropped is leaked: reclaim it when the device is done"]
pub enum Loan {
    /// A buffer.
    Buf(DmaLoan),
    /// Shared pages.
    Shared(SharedLoan),
}

impl Loan {
    /// Its length in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Buf(loan) => loan.bytes(),
            Self::Shared(loan) => loan.pages.bytes(),
        }
    }

    /// Where the device finds its first page.
    #[inline(always)]
    pub fn first_page(&self) -> DeviceAddress {
        match self {
            Self::Buf(loan) => loan.address(),
            Self::Shared(loan) => loan.pages.page(0).unwrap_or(DeviceAddress(0)),
        }
    }

    /// Where the device finds its page `index`: each piece of [`PAGE`] bytes lies in one page.
    /// Beyond the end: the last one.
    #[inline]
    pub fn page(&self, index: usize) -> DeviceAddress {
        match self {
            Self::Buf(loan) => loan.page(index),
            Self::Shared(loan) => {
                let index = index.min(loan.pages.count() - 1);
                loan.pages.page(index).unwrap_or(DeviceAddress(0))
            }
        }
    }

    /// Takes it back, on the terms of [`DmaLoan::reclaim`].
    pub fn reclaim(self) -> Memory {
        match self {
            Self::Buf(loan) => Memory::Buf(loan.reclaim()),
            Self::Shared(loan) => Memory::Shared(loan.reclaim()),
        }
    }
}
