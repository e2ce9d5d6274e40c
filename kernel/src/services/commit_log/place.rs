//! Chooses the partition.

use super::MemoryOnly;
use super::disk::Disk;
use crate::devices::{self, Block};
use drivers::storage::{StorageDevice, Writable};
use kernel_text::options::Commits;
use protocols::commit_log::PARTITION_TYPE;
use protocols::gpt::Guid;

/// The partition that the command line says.
pub fn choose(word: &Commits) -> Result<Disk, MemoryOnly> {
    let mut found = devices::partitions_of(PARTITION_TYPE);
    match word {
        Commits::Off => Err(MemoryOnly::Off),
        Commits::Named(name) => named(name),
        Commits::Auto => match (found.pop(), found.is_empty()) {
            (None, _) => Err(MemoryOnly::NoPartition),
            (Some(one), true) => usable(one),
            (Some(_), false) => Err(MemoryOnly::Several),
        },
    }
}

/// The partition of that name, if it is one for logs.
pub fn named(name: &str) -> Result<Disk, MemoryOnly> {
    let mut found = devices::partitions_of(PARTITION_TYPE).into_iter();
    found.find(|(block, _)| block.name() == name).ok_or(MemoryOnly::Unknown).and_then(usable)
}

fn usable((block, id): (Block, Guid)) -> Result<Disk, MemoryOnly> {
    match block.info().writable {
        Writable::Yes => Ok(Disk::new(block, id)),
        Writable::No => Err(MemoryOnly::ReadOnly),
    }
}
