//! How ring 3 reaches a disk: a session is opened by message, then requests and completions go
//! through a ring in a memory object, and the data stays where it is.
//!
//! ```text
//!   client                                                          block service
//!     │  Call INFO ─────────────────────────────────────────────────> │
//!     │  Call OPEN: memory object, notification ────────────────────> │
//!     │ <──────────────────────────────────────────── doorbell, core  │
//!     │                                                               │
//!     │  memory object:  ┌ submissions ┐ tail ───────────────────────>│ takes them: polls while
//!     │                  └─────────────┘                              │ they keep coming
//!     │ <─────────────────────────────── tail ┌ completions ┐         │
//!     │                                       └─────────────┘         │
//!     │                  ┌ data pages ┐ <──────────────────────────── device, in place
//! ```
//!
//! Neither side makes a system call for a request. One that finds nothing to do says in its `sleeps`
//! word that it sleeps, looks once more, and sleeps; who then adds something reads that word and
//! rings: the client signals the doorbell, the service the client's notification. Each side stores
//! before it loads with a full fence between, so one of them always sees the other.
//!
//! The doorbell *is* the session: when the last capability to signal it is gone (dropped, or with
//! the end of its process), the session ends. What a device is still doing then, it does to pages
//! that stay until it is done.
//!
//! The unit of data is a page of [`crate::abi::PAGE`] bytes: an operation moves whole pages, which
//! must be whole blocks. Of a disk whose size is not a multiple of a page, the last blocks are out
//! of reach. Operations are in no order among each other; a flush covers the writes whose
//! completions the client has seen.
//!
//! Everything in the memory object is in the hands of the client while the service reads it:
//! [`Server`] reads each word once, checks the copy, and gives an error completion for a request it
//! cannot carry out; counters that make no sense end the session.

mod client;
mod layout;
mod request;
mod server;
#[cfg(test)]
mod tests;

pub use client::{Client, Full};
pub use layout::{ENTRIES_MAX, Layout, LayoutError};
pub use request::{Completion, Operation, Refused, Request, Status};
pub use server::{Next, Server};

pub use crate::shared::Words;

use crate::abi::message::{Info, Message};

/// Label of a call without anything that gets [`DiskInfo`].
pub const INFO: u32 = 1;
/// Label of a call that opens a session: word 0 the number of entries ([`Layout`]), word 1 the bits
/// to signal, word 2 the core to be served on ([`crate::abi::ANY_CORE`]: the caller's);
/// capabilities: the memory object (with both rights to it), a notification (to signal).
///
/// The reply has the doorbell as its capability (to signal; any bits), in word 0 the core.
/// Errors: `InvalidArgument` for wrong words, `WrongKind` and `NotPermitted` for the capabilities,
/// `LimitReached` with too many sessions.
pub const OPEN: u32 = 2;

/// What a disk is, as [`INFO`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskInfo {
    /// Bytes in a block.
    pub block_size: u32,
    /// How many blocks.
    pub blocks: u64,
    /// Most bytes of one operation.
    pub max_transfer_bytes: u32,
    /// Operations the device takes at once.
    pub depth: u32,
    /// Whether this capability lets write.
    pub access: Access,
}

/// What may be done with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
}

impl DiskInfo {
    /// As words of the reply.
    pub const fn to_words(self) -> [u64; 6] {
        let writable = matches!(self.access, Access::ReadWrite) as u64;
        let Self { block_size, blocks, max_transfer_bytes, depth, .. } = self;
        [block_size as u64, blocks, max_transfer_bytes as u64, depth as u64, writable, 0]
    }

    /// From the words of a reply. `None`: no disk is like that.
    pub fn from_words(words: [u64; 6]) -> Option<Self> {
        let half = |word: u64| u32::try_from(word).ok();
        let access = match words[4] {
            0 => Access::ReadOnly,
            1 => Access::ReadWrite,
            _ => return None,
        };
        let block_size = half(words[0]).filter(|size| size.is_power_of_two())?;
        let (max_transfer_bytes, depth) = (half(words[2])?, half(words[3])?);
        Some(Self { block_size, blocks: words[1], max_transfer_bytes, depth, access })
    }

    /// Most pages of one operation.
    pub const fn max_pages(&self) -> u32 {
        self.max_transfer_bytes / crate::abi::PAGE as u32
    }
}

/// The words of an [`OPEN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// Entries of each ring.
    pub entries: u32,
    /// What to signal when the client sleeps; not zero.
    pub bits: u64,
    /// The core to be served on, or [`crate::abi::ANY_CORE`].
    pub core: u32,
}

impl Open {
    /// The message, lacking its two capabilities.
    pub const fn to_message(self) -> Message {
        let words = [self.entries as u64, self.bits, self.core as u64, 0, 0, 0];
        let mut message = Message::new(OPEN, words);
        message.info = Info::new(OPEN, 2);
        message
    }

    /// Reads and checks the words; whether the memory holds such a ring, [`Layout`] knows.
    pub fn from_words(words: [u64; 6]) -> Option<Self> {
        let [entries, bits, core, rest @ ..] = words;
        if bits == 0 || rest != [0; 3] {
            return None;
        }
        let (entries, core) = (u32::try_from(entries).ok()?, u32::try_from(core).ok()?);
        Some(Self { entries, bits, core })
    }
}

/// Whether the other side must be rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "one that sleeps and is not rung sleeps for ever"]
pub enum Wake {
    /// It sleeps.
    Ring,
    /// It looks by itself.
    No,
}

/// The other side's counters make no sense: the session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
#[error("the ring's counters make no sense")]
pub struct Corrupt;
