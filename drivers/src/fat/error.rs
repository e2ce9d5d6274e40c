//! Why an operation on a volume failed.

use hadris_io::{Error, ErrorKind};

use crate::storage::StorageError;

/// Why an operation on a volume failed, and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum FatError {
    /// The device failed. What was not synced may be lost.
    #[error("{0}")]
    Device(#[from] StorageError),
    /// There is no FAT volume here.
    #[error("not a FAT volume")]
    NotFat,
    /// The volume contradicts itself. Check it with `fsck.vfat` before writing to it.
    #[error("the volume is damaged: {0}")]
    Corrupt(&'static str),
    /// There is no file or directory of that name.
    #[error("no such file or directory")]
    NotFound,
    /// The name is taken.
    #[error("there is a file or directory of that name")]
    Exists,
    /// It is a file where a directory is needed.
    #[error("not a directory")]
    NotADirectory,
    /// It is a directory where a file is needed.
    #[error("a directory, not a file")]
    IsADirectory,
    /// Only empty directories can be removed.
    #[error("the directory is not empty")]
    NotEmpty,
    /// The volume, or its root directory, is full.
    #[error("no space left on the volume")]
    Full,
    /// The volume or its device is read-only.
    #[error("the volume is read-only")]
    ReadOnly,
    /// FAT cannot hold that name, or it cannot be meant here (the root, a directory into itself).
    #[error("not a name that can be used")]
    BadName,
    /// A file has at most 4 GiB less one byte.
    #[error("larger than a file on FAT can be")]
    TooLarge,
    /// The volume or its device is of a kind that is not supported: blocks over 4096 bytes.
    #[error("this kind of volume is not supported")]
    Unsupported,
    /// The filesystem failed in a way it should not. Report it.
    #[error("the filesystem failed: {0}")]
    Internal(&'static str),
}

impl From<Error<StorageError>> for FatError {
    fn from(error: Error<StorageError>) -> Self {
        match error.kind() {
            ErrorKind::Io => match error.device_error() {
                Some(device) => Self::Device(*device),
                None => Self::Internal(error.message()),
            },
            ErrorKind::NotRecognized => Self::NotFat,
            ErrorKind::Corrupt => Self::Corrupt(error.message()),
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::AlreadyExists => Self::Exists,
            ErrorKind::NotADirectory => Self::NotADirectory,
            ErrorKind::IsADirectory => Self::IsADirectory,
            ErrorKind::DirectoryNotEmpty => Self::NotEmpty,
            ErrorKind::NoSpace => Self::Full,
            ErrorKind::ReadOnly => Self::ReadOnly,
            ErrorKind::InvalidInput | ErrorKind::NameTooLong => Self::BadName,
            ErrorKind::FileTooLarge => Self::TooLarge,
            ErrorKind::Unsupported => Self::Unsupported,
            _ => Self::Internal(error.message()),
        }
    }
}
