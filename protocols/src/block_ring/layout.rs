//! Where what is in the memory object, in words of 64 bits.
//!
//! Each word that one side writes and the other reads has a cache line of its own. The rings
//! follow, then, on a page of their own, the data pages.

use crate::abi::PAGE;

/// Most entries of a ring.
pub const ENTRIES_MAX: u32 = 256;

/// Words in a cache line.
const LINE: usize = 8;
/// Words of the header.
const HEADER: usize = 8 * LINE;
/// Words in a page.
const PAGE_WORDS: usize = PAGE / 8;

/// Words of a submission.
pub(super) const SUBMISSION: usize = 4;
/// Words of a completion.
pub(super) const COMPLETION: usize = 2;

/// Client: how many requests it has submitted, ever.
pub(super) const SUBMITTED: usize = 0;
/// Client: how many completions it has taken, ever.
pub(super) const REAPED: usize = LINE;
/// Client, and the service when it rings: not zero while the client sleeps.
pub(super) const CLIENT_SLEEPS: usize = 2 * LINE;
/// Service: how many completions it has posted, ever.
pub(super) const POSTED: usize = 3 * LINE;
/// Service, and the client when it rings: not zero while the service sleeps.
pub(super) const SERVER_SLEEPS: usize = 4 * LINE;
/// Service: not zero once the session is over.
pub(super) const ENDED: usize = 5 * LINE;

/// A ring of so many entries in so many pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    entries: u32,
    pages: u32,
}

/// Why there is no such ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum LayoutError {
    /// Not a power of two up to [`ENTRIES_MAX`].
    #[error("a ring has a power of two of entries, at most {ENTRIES_MAX}")]
    Entries,
    /// Not even the rings fit.
    #[error("the memory object is too small for its rings")]
    TooSmall,
}

impl Layout {
    /// `entries` entries in an object of `pages` pages.
    pub const fn new(entries: u32, pages: u32) -> Result<Self, LayoutError> {
        if !entries.is_power_of_two() || entries > ENTRIES_MAX {
            return Err(LayoutError::Entries);
        }
        let layout = Self { entries, pages };
        if layout.first_data_page() > pages { Err(LayoutError::TooSmall) } else { Ok(layout) }
    }

    /// Entries of each ring.
    pub const fn entries(&self) -> u32 {
        self.entries
    }

    /// Pages of the object.
    pub const fn pages(&self) -> u32 {
        self.pages
    }

    /// The first page that is not the rings'.
    pub const fn first_data_page(&self) -> u32 {
        let words = HEADER + self.entries as usize * (SUBMISSION + COMPLETION);
        words.div_ceil(PAGE_WORDS) as u32
    }

    /// Whether these pages are there and for data.
    pub const fn holds_data(&self, first: u32, count: u32) -> bool {
        match first.checked_add(count) {
            Some(end) => count > 0 && first >= self.first_data_page() && end <= self.pages,
            None => false,
        }
    }

    /// First word of the submission with that number.
    pub(super) const fn submission(&self, number: u64) -> usize {
        HEADER + self.place(number) * SUBMISSION
    }

    /// First word of the completion with that number.
    pub(super) const fn completion(&self, number: u64) -> usize {
        HEADER + self.entries as usize * SUBMISSION + self.place(number) * COMPLETION
    }

    const fn place(&self, number: u64) -> usize {
        (number & (self.entries as u64 - 1)) as usize
    }
}
