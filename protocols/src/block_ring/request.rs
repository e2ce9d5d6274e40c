//! Requests and completions, as values and as words.
//!
//! | word | read, write | flush | erase |
//! |---|---|---|---|
//! | 0 | operation in bits 0-7, pages in bits 32-63 | operation | operation |
//! | 1 | first block | 0 | first block |
//! | 2 | first page of the object | 0 | blocks |
//! | 3 | the client's tag | tag | tag |
//!
//! All other bits are zero. A completion is the tag and the [`Status`].

use super::layout::{COMPLETION, SUBMISSION};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Blocks from `lba` on into `pages` pages of the object, from `first_page` on.
    Read {
        /// First block.
        lba: u64,
        /// First page of the object.
        first_page: u32,
        /// How many pages.
        pages: u32,
    },
    /// Those pages to the blocks from `lba` on.
    Write {
        /// First block.
        lba: u64,
        /// First page of the object.
        first_page: u32,
        /// How many pages.
        pages: u32,
    },
    /// Makes what was written before survive a loss of power.
    Flush,
    /// The blocks read as zeros from then on.
    Zero {
        /// First block.
        lba: u64,
        /// How many.
        blocks: u64,
    },
    /// What the blocks hold is no longer needed.
    Discard {
        /// First block.
        lba: u64,
        /// How many.
        blocks: u64,
    },
}

const READ: u64 = 1;
const WRITE: u64 = 2;
const FLUSH: u64 = 3;
const ZERO: u64 = 4;
const DISCARD: u64 = 5;

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What.
    pub operation: Operation,
    /// Comes back with the completion.
    pub tag: u64,
}

/// A request that says nothing; its completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(pub Completion);

impl Request {
    /// Its words.
    pub const fn to_words(self) -> [u64; SUBMISSION] {
        match self.operation {
            Operation::Read { lba, first_page, pages } => {
                [READ | (pages as u64) << 32, lba, first_page as u64, self.tag]
            }
            Operation::Write { lba, first_page, pages } => {
                [WRITE | (pages as u64) << 32, lba, first_page as u64, self.tag]
            }
            Operation::Flush => [FLUSH, 0, 0, self.tag],
            Operation::Zero { lba, blocks } => [ZERO, lba, blocks, self.tag],
            Operation::Discard { lba, blocks } => [DISCARD, lba, blocks, self.tag],
        }
    }

    /// Reads words that may be anything.
    pub fn from_words(words: [u64; SUBMISSION]) -> Result<Self, Refused> {
        let [what, first, second, tag] = words;
        let refused = |status| Refused(Completion { tag, status });
        let pages = (what >> 32) as u32;
        let moves = || match u32::try_from(second) {
            Ok(first_page) => Ok((first_page, pages)),
            Err(_) => Err(refused(Status::BadPages)),
        };
        let operation = match what & 0xffff_ffff {
            READ => {
                let (first_page, pages) = moves()?;
                Operation::Read { lba: first, first_page, pages }
            }
            WRITE => {
                let (first_page, pages) = moves()?;
                Operation::Write { lba: first, first_page, pages }
            }
            _ if pages != 0 => return Err(refused(Status::BadRequest)),
            FLUSH if first == 0 && second == 0 => Operation::Flush,
            ZERO => Operation::Zero { lba: first, blocks: second },
            DISCARD => Operation::Discard { lba: first, blocks: second },
            _ => return Err(refused(Status::BadRequest)),
        };
        Ok(Self { operation, tag })
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The request's.
    pub tag: u64,
    /// How.
    pub status: Status,
}

impl Completion {
    /// Its words.
    pub const fn to_words(self) -> [u64; COMPLETION] {
        [self.tag, self.status as u64]
    }

    /// Reads words. A status this version does not know reads as [`Status::Device`]: it can only
    /// come from a newer kernel.
    pub fn from_words(words: [u64; COMPLETION]) -> Self {
        let known = Status::ALL.iter().find(|status| **status as u64 == words[1]);
        Self { tag: words[0], status: known.copied().unwrap_or(Status::Device) }
    }
}

/// How an operation ended, and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
#[repr(u8)]
pub enum Status {
    /// Well.
    #[error("done")]
    Done = 0,
    /// Blocks beyond the end. The client's mistake.
    #[error("beyond the end of the disk")]
    OutOfRange = 1,
    /// Not whole blocks, or more than the disk takes at once. The client's mistake.
    #[error("not a length the disk takes")]
    BadLength = 2,
    /// The capability, or the disk, is read-only.
    #[error("the disk may not be written to")]
    ReadOnly = 3,
    /// The medium cannot give back, or keep, this data.
    #[error("the medium failed")]
    Media = 4,
    /// The disk has no such operation.
    #[error("the disk cannot do this")]
    Unsupported = 5,
    /// The disk failed it for a reason of its own. It may be repeated once.
    #[error("the disk failed the operation")]
    Device = 6,
    /// The disk did not answer in time. It may be repeated.
    #[error("the disk did not answer in time")]
    TimedOut = 7,
    /// The disk was reset under the operation. It may be repeated.
    #[error("the disk was reset during the operation")]
    Reset = 8,
    /// The disk is no longer there.
    #[error("the disk is gone")]
    Gone = 9,
    /// No memory for it. Try again later.
    #[error("out of memory for the operation")]
    OutOfMemory = 10,
    /// The words are no request.
    #[error("no such request")]
    BadRequest = 11,
    /// The pages are not data pages of the memory object.
    #[error("not data pages of the memory object")]
    BadPages = 12,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Done,
        Self::OutOfRange,
        Self::BadLength,
        Self::ReadOnly,
        Self::Media,
        Self::Unsupported,
        Self::Device,
        Self::TimedOut,
        Self::Reset,
        Self::Gone,
        Self::OutOfMemory,
        Self::BadRequest,
        Self::BadPages,
    ];
}
