//! The first block of a disk: what it is that has no GUID partition table.

use crate::fields::{array_at, u8_at, u16_at, u32_at};

/// What the first block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstBlock {
    /// A master boot record that says there is a GUID partition table.
    Protective,
    /// A master boot record with partitions of its own.
    Mbr,
    /// The beginning of a FAT volume, which fills the disk.
    FatVolume,
    /// None of these.
    Unknown,
}

/// The type of the one partition in a protective master boot record.
const PROTECTIVE: u8 = 0xee;

impl FirstBlock {
    /// What `block` is. Any bytes will do.
    pub fn of(block: &[u8]) -> Self {
        if array_at(block, 510) != Some([0x55, 0xaa]) {
            return Self::Unknown;
        }
        if is_fat(block).unwrap_or(false) {
            return Self::FatVolume;
        }
        let mut found = Self::Unknown;
        for at in [446, 462, 478, 494] {
            let (Some(status), Some(kind)) = (u8_at(block, at), u8_at(block, at + 4)) else {
                break;
            };
            let (first, blocks) = (u32_at(block, at + 8), u32_at(block, at + 12));
            if kind == PROTECTIVE {
                return Self::Protective;
            }
            let is_plausible = matches!(status, 0 | 0x80) && first > Some(0) && blocks > Some(0);
            if kind != 0 && is_plausible {
                found = Self::Mbr;
            }
        }
        found
    }
}

/// Whether it begins with a jump and a BIOS parameter block that FAT could have.
fn is_fat(block: &[u8]) -> Option<bool> {
    let has_jump = matches!(array_at(block, 0)?, [0xeb, _, 0x90] | [0xe9, _, _]);
    let sector = u16_at(block, 11)?;
    let cluster = u8_at(block, 13)?;
    let reserved = u16_at(block, 14)?;
    let tables = u8_at(block, 16)?;
    Some(
        has_jump
            && sector.is_power_of_two()
            && (512..=4096).contains(&sector)
            && cluster.is_power_of_two()
            && reserved > 0
            && matches!(tables, 1 | 2),
    )
}
