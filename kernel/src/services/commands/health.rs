//! What a disk says of itself, in lines: who it is, how it is, its last errors, and what the queues
//! to it have done.

use crate::platform::Pollux;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use drivers::ahci::Disk;
use drivers::block::Device;
use drivers::nvme::{Namespace, NvmeError};
use drivers::storage::StorageError;
use kernel_text::grid::Grid;
use kernel_text::quantity::Bytes;

/// Errors shown.
const ERRORS_SHOWN: usize = 8;
/// Bytes in a unit of the health page's counters.
const UNIT: u128 = 512_000;

/// The lines, or why there are none.
pub async fn lines(device: &Device<Pollux>) -> Result<Vec<String>, String> {
    match device {
        Device::Nvme(namespace) => nvme(namespace).await.map_err(|error| error.to_string()),
        Device::Ahci(disk) => ahci(disk).await.map_err(|error| error.to_string()),
    }
}

async fn ahci(disk: &Disk<Pollux>) -> Result<Vec<String>, StorageError> {
    let who = disk.identity();
    let mut lines =
        Vec::from([format!("{} {}, firmware {}", who.model(), who.serial(), who.firmware())]);
    lines.push(match disk.queue_depth() {
        Some(depth) => format!("queued commands: {depth} at once"),
        None => String::from("queued commands: none, one after the other"),
    });
    let health = disk.health().await?;
    lines.push(String::from(if health.is_failing {
        "SMART: it expects to fail soon: save the data"
    } else {
        "SMART: all is well"
    }));
    lines.push(match health.celsius {
        Some(celsius) => format!("temperature: {celsius} C"),
        None => String::from("temperature: it does not say"),
    });
    Ok(lines)
}

async fn nvme(namespace: &Namespace<Pollux>) -> Result<Vec<String>, NvmeError> {
    let mut lines = Vec::new();
    if let Some(who) = namespace.identity() {
        lines.push(format!("{} {}, firmware {}", who.model(), who.serial(), who.firmware()));
    }
    let health = namespace.health().await?;
    let celsius = i32::from(health.temperature) - 273;
    let transferred =
        |units: u128| Bytes(u64::try_from(units.saturating_mul(UNIT)).unwrap_or(u64::MAX));
    let warnings: Vec<&str> = health.warnings.words().collect();
    lines.push(match warnings.as_slice() {
        [] => String::from("warnings: none"),
        words => format!("warnings: {}", words.join(", ")),
    });
    lines.push(match health.temperature {
        0 => String::from("temperature: it does not say"),
        _ => format!("temperature: {celsius} C"),
    });
    lines.push(format!(
        "life used: {} %; spare blocks left: {} % (it warns below {} %)",
        health.used_percent, health.spare_percent, health.spare_threshold_percent
    ));
    lines.push(format!(
        "read: {} in {} commands; written: {} in {}",
        transferred(health.units_read),
        health.reads,
        transferred(health.units_written),
        health.writes
    ));
    lines.push(format!(
        "on for {} h, switched on {} times, {} times without a shutdown; data lost: {} times",
        health.power_on_hours, health.power_cycles, health.unsafe_shutdowns, health.media_errors
    ));
    let errors = namespace.error_log().await?;
    lines.push(format!("error log: {} entries", errors.len()));
    for error in errors.iter().take(ERRORS_SHOWN) {
        lines.push(format!(
            "  {}: queue {}, command {:#06x}, LBA {}: {}",
            error.number, error.queue, error.command, error.lba, error.status
        ));
    }
    let mut grid = Grid::new(&["queue", "submitted", "done", "doorbells", "interrupts", "stale"]);
    for (number, queue) in namespace.statistics().iter().enumerate() {
        let counts =
            [queue.submitted, queue.completed, queue.doorbells, queue.interrupts, queue.stale];
        let mut row = Vec::from([number.to_string()]);
        row.extend(counts.iter().map(ToString::to_string));
        grid.row(row);
    }
    lines.extend(grid.lines());
    Ok(lines)
}
