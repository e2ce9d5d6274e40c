//! Finds the partitions of a disk that was announced, and lists them with it.

use super::disks::{self, Listed};
use alloc::format;
use alloc::string::String;
use drivers::partition::{self, PartitionError};
use drivers::storage::Lba;
use hal::dma::DmaDomain;
use protocols::gpt::GptError;

/// Reads the partition table of `disk` and lists what is in it. A disk without one is a disk
/// without partitions.
pub async fn find(disk: &Listed) {
    let block = disk.block();
    let name = String::from(block.name());
    let entries = match partition::list(&name, &block, &DmaDomain::machine()).await {
        Ok(entries) => entries,
        Err(PartitionError::Table(error @ GptError::Absent)) => {
            return log::debug!("{name}: no partitions: {error}");
        }
        Err(PartitionError::Table(error)) => {
            return log::warn!("{name}: no partitions: {error}, and there is no sound backup");
        }
        Err(error @ (PartitionError::Mbr | PartitionError::WholeVolume)) => {
            return log::info!("{name}: {error}");
        }
        Err(error) => return log::warn!("{name}: its partition table cannot be read: {error}"),
    };
    for entry in entries {
        let part = format!("{name}p{}", entry.number);
        let Some(block) = disk.part(part.clone(), Lba(entry.first), entry.blocks()) else {
            log::warn!("{part}: it is not on the disk: left out");
            continue;
        };
        let label: String = entry.name().collect();
        log::info!("{part}: {} blocks, `{label}`", entry.blocks());
        let description = format!("`{label}` {}", entry.kind);
        disks::add(disk.partition(block, &entry, description));
    }
}
