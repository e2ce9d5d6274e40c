//! What a directory says of a file.

use alloc::string::String;
use core::fmt;

use hadris_fs::{DateTime, Metadata as Found};

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A file.
    File,
    /// A directory.
    Directory,
}

/// When something was changed: a civil date and time of no particular zone, to two seconds, as FAT
/// has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Modified {
    /// From 1980 on.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
}

impl fmt::Display for Modified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second } = self;
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}

impl From<DateTime> for Modified {
    fn from(time: DateTime) -> Self {
        let (date, time) = time.to_civil();
        Self {
            year: u16::try_from(date.year()).unwrap_or(0),
            month: date.month(),
            day: date.day(),
            hour: time.hour(),
            minute: time.minute(),
            second: time.second(),
        }
    }
}

/// What is known of a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: EntryKind,
    /// Its length in bytes; 0 for a directory.
    pub bytes: u64,
    /// When it was last written; the root directory does not say.
    pub modified: Option<Modified>,
}

impl Metadata {
    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind == EntryKind::Directory
    }
}

impl From<&Found> for Metadata {
    fn from(found: &Found) -> Self {
        let is_directory = found.file_type().is_dir();
        Self {
            kind: if is_directory { EntryKind::Directory } else { EntryKind::File },
            bytes: found.len(),
            modified: found.modified().map(Modified::from),
        }
    }
}

/// A file or directory in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Its name: the long one where it has one.
    pub name: String,
    /// What is known of it.
    pub metadata: Metadata,
}
