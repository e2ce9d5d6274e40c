//! Power cuts: a load is recorded, and the power is cut at thousands of places of the record. The
//! same with a kernel that never flushes, which must be found out.

use anyhow::{Context, Result, bail, ensure};

use super::{LOG_BYTES, found, load, words};
use crate::drives::Port;
use crate::power::cuts::{Cuts, Effort, Load, Rule};
use crate::power::stand::{LOAD, Stand};
use crate::power::volume::Volume;
use crate::power::write_log::WriteLog;

/// The log of writes.
const WRITES: &str = "writes.log";
/// Loads that are recorded, one after the other.
const LOADS: u64 = 2;
/// Syncs of a load.
const SYNCS: u64 = 600;
/// Threads that sync.
const THREADS: u64 = 3;
const EFFORT: Effort = Effort { cuts: 2500, diced: 2 };
/// Breaches that are shown.
const SHOWN: usize = 8;

/// The log keeps its word on a disk at `port`: from a new log on, and then from what one of those
/// power cuts has left of it.
pub fn power_cuts(stand: &mut Stand<'_, '_>, port: Port) -> Result<String> {
    let volume = Volume::make(stand.dir.join("log.img"), port, 512, LOG_BYTES)?;
    let mut remarks = Vec::new();
    for load in 0..LOADS {
        let (cuts, left) = record_and_cut(stand, &volume, "", load)?;
        kept(&cuts).with_context(|| format!("load {}", load + 1))?;
        remarks.push(format!(
            "{} states of {} power cuts, {} records, {} marks of syncs, {} flushes",
            cuts.states, cuts.cuts, cuts.records, cuts.syncs, cuts.flushes
        ));
        volume.write(&left)?;
    }
    clear(&volume);
    Ok(remarks.join("; again on what was left: "))
}

fn kept(cuts: &Cuts) -> Result<()> {
    if cuts.breaches.is_empty() {
        return Ok(());
    }
    let all: Vec<String> = cuts.breaches.iter().take(SHOWN).map(ToString::to_string).collect();
    bail!("{} of {} states:\n    {}", cuts.breaches.len(), cuts.states, all.join("\n    "));
}

/// A kernel that leaves out every flush of its log loses what was synced, and the judge says so.
pub fn never_flushes(stand: &mut Stand<'_, '_>) -> Result<String> {
    let volume = Volume::make(stand.dir.join("log.img"), Port::Nvme(1, 1), 512, LOG_BYTES)?;
    let (cuts, _) = record_and_cut(stand, &volume, "commits.flush=never", 0)?;
    let lost = cuts.breaches.iter().filter(|breach| breach.rule == Rule::SyncedIsThere).count();
    ensure!(
        lost > 0,
        "a log that never flushed kept its word in all of {} states: nothing was shown",
        cuts.states
    );
    clear(&volume);
    Ok(format!("found out: synced commits lost in {lost} of {} states", cuts.states))
}

/// Records a load and cuts the power many times. What came of it, and what one of the cuts left of
/// the log's partition.
fn record_and_cut(
    stand: &mut Stand<'_, '_>,
    volume: &Volume,
    more: &str,
    seed: u64,
) -> Result<(Cuts, Vec<u8>)> {
    let base = volume.read()?;
    let file = stand.dir.join(WRITES);
    let drive = volume.recorded(&file)?;
    let line = format!("{} {more}", words(volume.port));
    stand.note("a load is recorded");
    let (_, serial) = stand.run(("machine", &line), 2, drive, |session| {
        session.expect(&load(volume.port, SYNCS, THREADS, seed), "records durable", LOAD)
    })?;
    let bytes = std::fs::read(&file).with_context(|| file.display().to_string())?;
    let log = WriteLog::new_checked(&bytes)?;
    stand.note(&format!("the power is cut: {} operations", log.operations.len()));
    let reader = found(volume);
    let load = Load { log: &log, base: &base, range: volume.log.clone(), reader: &reader };
    let cuts = load.cut(EFFORT).with_context(|| serial)?;
    Ok((cuts, load.left()))
}

/// Removes what is large, and made anew each time. It stays where something is to be looked at.
fn clear(volume: &Volume) {
    let _ = std::fs::remove_file(&volume.path);
    let _ = std::fs::remove_file(volume.path.with_file_name(WRITES));
}
