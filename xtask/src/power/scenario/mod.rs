//! What is done with machines whose CommitLog is durable, and what has to come of it.

mod cut;
mod kill;
mod replay;
mod tamper;

pub use cut::{never_flushes, power_cuts};
pub use kill::kills;
pub use replay::replay;
pub use tamper::tampered;

use anyhow::{Context, Result};

use super::found::Found;
use super::reader::{self, Read};
use super::volume::Volume;
use crate::drives::{self, Port};

/// Bytes of the partition for the log: it wraps several times in a test.
const LOG_BYTES: u64 = 512 << 10;

/// What the kernel calls a partition of the disk at `port`, the only one beside the boot disk.
fn part(port: Port, number: u32) -> String {
    format!("{}p{number}", drives::name(port, &[port]))
}

/// The words that have the log kept there, for there is one on the boot disk as well, and let
/// programs write marks.
fn words(port: Port) -> String {
    format!("commits={} disk.write={}", part(port, 1), part(port, 2))
}

/// The line that starts the load.
fn load(port: Port, syncs: u64, threads: u64, seed: u64) -> String {
    format!("run committer --disk {}:rw syncs={syncs} threads={threads} seed={seed}", part(port, 2))
}

/// The log on `volume` as the kernel reads it.
fn read(volume: &Volume) -> Result<Read> {
    let read = reader::read(volume.partition, &volume.read()?);
    read.map_err(anyhow::Error::msg).context("the log, read by the host")
}

/// The same for bytes, in words.
fn found(volume: &Volume) -> impl Fn(&[u8]) -> Result<Found, String> + Sync + use<> {
    let partition = volume.partition;
    move |bytes| match reader::read(partition, bytes) {
        Ok(read) => Ok(read.found),
        Err(refusal) => Err(refusal.to_string()),
    }
}
