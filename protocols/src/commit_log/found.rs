//! What recovery finds, and what it comes by on its way.

use alloc::boxed::Box;

use super::header::{Header, HeaderFlaw};
use super::{Damage, Mark};
use crate::axiom::Record;
use crate::axiom::replay::Replay;

/// What there is on a partition that no reason forbids to write to.
#[derive(Debug)]
pub enum Found {
    /// No records: a new log may begin.
    Nothing {
        /// Of the newest header; 0: there is none.
        generation: u64,
    },
    /// A log.
    Log(Box<Log>),
}

/// A log that was verified to its end.
#[derive(Debug)]
pub struct Log {
    /// The newest header.
    pub header: Header,
    /// What was in both places for headers.
    pub headers: [Result<Header, HeaderFlaw>; 2],
    /// The state and chain at the end.
    pub replay: Replay,
    /// The end. What is between the header's head and this was never said to be durable.
    pub end: Mark,
    /// The last checkpoint, or where it begins: from here on it says everything.
    pub begin: Mark,
    /// The highest opening that wrote to it.
    pub opening: u32,
    /// What follows the end.
    pub tail: Tail,
}

/// What follows a log's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Nothing of this log.
    Clean,
    /// What was under way when the machine stopped; it is dropped.
    Torn(Damage),
}

/// Whether a record was said to be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is before the durable head.
    Durable,
    /// It is after it: it happened, but nobody was told that it would be kept.
    Tail,
}

/// What recovery comes by.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// The log begins here.
    Beginning(&'a Replay),
    /// A record that was verified and carried out.
    Record {
        /// It.
        record: &'a Record,
        /// Its encoding.
        bytes: &'a [u8],
        /// After it.
        replay: &'a Replay,
        /// What was promised of it.
        kept: Kept,
    },
}
