//! The words by which a person gives a program a disk: `--disk NAME[:ro|:rw]`, read-only if nothing
//! is said.

use crate::devices::{self, Block, OpenError};
use alloc::string::String;
use alloc::vec::Vec;
use drivers::storage::Writable;
use kernel_text::gifts;
use thiserror_no_std::Error;

/// The word before a disk's name.
const WORD: &str = "--disk";

/// A disk for a program.
#[derive(Debug)]
pub struct Grant {
    /// What the program knows it by.
    pub name: String,
    /// The disk, with the access given.
    pub disk: Block,
}

/// Why a program gets no disk.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GrantError {
    /// Nothing comes after the word.
    #[error("{WORD} of what? {WORD} NAME[:ro|:rw]")]
    NoName,
    /// There is no such access.
    #[error("`{0}`: a disk is given as NAME, NAME:ro or NAME:rw")]
    Access(String),
    /// The disk cannot be had.
    #[error("{0}: {1}")]
    Disk(String, OpenError),
}

/// Takes the disks out of a program's arguments.
pub fn grants(arguments: &[String]) -> Result<(Vec<String>, Vec<Grant>), GrantError> {
    let (rest, meant) = gifts::take_out(arguments, WORD).ok_or(GrantError::NoName)?;
    let disks = meant.into_iter().map(|meant| {
        let (name, access) = match meant.split_once(':') {
            None => (meant, Writable::No),
            Some((name, "ro")) => (name, Writable::No),
            Some((name, "rw")) => (name, Writable::Yes),
            Some(_) => return Err(GrantError::Access(meant.into())),
        };
        let opened = devices::open(name, access);
        let disk = opened.map_err(|error| GrantError::Disk(name.into(), error))?;
        Ok(Grant { name: name.into(), disk })
    });
    Ok((rest, disks.collect::<Result<_, _>>()?))
}
