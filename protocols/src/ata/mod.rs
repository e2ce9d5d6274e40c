//! ATA: what a SATA disk is told and what it says of itself, whoever carries it there.
//!
//! | file | what |
//! |---|---|
//! | `command` | the registers of a command: read, write, flush, trim, identify, logs |
//! | `status` | the status and error registers a command ends with |
//! | `identify` | what a disk says of itself |
//! | `log` | the log that names the queued command that failed |
//! | `smart` | whether a disk expects to fail, and how warm it is |
//! | `trim` | the list of ranges whose data nobody wants any more |
//!
//! Source: ATA/ATAPI Command Set 3 (ACS-3, T13/2161-D); sections are of that one.

mod command;
#[cfg(test)]
pub(crate) mod fuzz;
mod identify;
mod log;
mod smart;
mod status;
mod trim;

pub use self::command::{Addressing, Command, QUEUE_LOG, SMART_HEALTHY, SMART_UNHEALTHY, opcode};
pub use self::identify::{Cache, Geometry, IdentifyError, Identity};
pub use self::log::{LogError, QueueError};
pub use self::smart::{SmartData, SmartError};
pub use self::status::{Error, Failure, Outcome, Status};
pub use self::trim::{RANGE_BLOCKS, RANGES, TRIM_BLOCKS, ranges, trim_list};

/// Bytes of a sector of identify data, of a log page, of a list of ranges.
pub const SECTOR_BYTES: usize = 512;
