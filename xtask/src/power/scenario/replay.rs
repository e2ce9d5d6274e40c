//! Replay elsewhere: chaos on four cores, its log read on the host, and both come to the same state.

use anyhow::{Context, Result, ensure};

use super::{LOG_BYTES, load, words};
use crate::drives::Port;
use crate::power::reader::state_at;
use crate::power::report::Report;
use crate::power::stand::{LOAD, SOON, Stand};
use crate::power::volume::Volume;

/// Room for all of it.
const ROOM: u64 = 16 * LOG_BYTES;

/// The host replays what four cores did.
pub fn replay(stand: &mut Stand<'_, '_>) -> Result<String> {
    let port = Port::Nvme(1, 1);
    let volume = Volume::make(stand.dir.join("log.img"), port, 512, ROOM)?;
    stand.note("four cores, many processes");
    let (report, _) = stand.run(("machine", &words(port)), 4, volume.drive(), |session| {
        session.expect("run chaos ms=4000 actors=24 seed=7", "ended well", LOAD)?;
        session.expect(&load(port, 200, 4, 3), "records durable", LOAD)?;
        Report::last(&session.ask("commits verify", SOON)?)
    })?;
    let (chain, state) = state_at(volume.partition, &volume.read()?, report.records)
        .context("the log, replayed by the host")?;
    ensure!(chain == report.chain, "the kernel's chain is {}, the host's {chain}", report.chain);
    ensure!(state == report.state, "the kernel's state is {}, the host's {state}", report.state);
    let _ = std::fs::remove_file(&volume.path);
    Ok(format!("{} records, state {state}", report.records))
}
