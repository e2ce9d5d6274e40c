//! Tampering: what the kernel wrote is changed behind its back. The host's recovery notices every
//! bit; a kernel that boots on it refuses, says what and where, touches nothing and goes on in memory.

use anyhow::{Context, Result, bail, ensure};
use protocols::axiom::{Cause, Commit, Hash, Record};
use protocols::commit_log::{Log, Step, Tail, Writer};

use super::{LOG_BYTES, load, read, words};
use crate::drives::Port;
use crate::network::session::Session;
use crate::power::flips::flip;
use crate::power::reader::{self, durable_bytes};
use crate::power::report::Report;
use crate::power::stand::{LOAD, SOON, Stand, finish, played};
use crate::power::volume::Volume;

const PORT: Port = Port::Nvme(1, 1);
/// Places at which a bit is changed, one after the other.
const FLIPS: usize = 4000;
/// Missed changes that are shown.
const SHOWN: usize = 8;

/// A log that something was done to.
struct Case {
    name: &'static str,
    volume: Volume,
    bytes: Vec<u8>,
}

/// All of it.
pub fn tampered(stand: &mut Stand<'_, '_>) -> Result<String> {
    let volume = Volume::make(stand.dir.join("log.img"), PORT, 512, LOG_BYTES)?;
    stand.run(("machine", &words(PORT)), 2, volume.drive(), |session| {
        session.expect(&load(PORT, 300, 2, 5), "records durable", LOAD)
    })?;
    let bytes = volume.read()?;
    stand.note("bits are changed");
    let flips = flip(volume.partition, &bytes, FLIPS)?;
    if !flips.missed.is_empty() {
        let all: Vec<&str> = flips.missed.iter().take(SHOWN).map(String::as_str).collect();
        bail!("{} of {} missed:\n    {}", flips.missed.len(), flips.flips, all.join("\n    "));
    }
    let log = read(&volume)?.log.context("there is no log")?;
    let cases = cases(stand, &volume, &bytes, &log)?;
    stand.note(&format!("the kernel boots on {} changed logs", cases.len()));
    for pair in cases.chunks(2) {
        let sessions: Vec<Result<Session>> = pair.iter().map(|case| case.start(stand)).collect();
        for (case, session) in pair.iter().zip(sessions) {
            let mut session = session?;
            let end = played(&mut session, |session| case.boots(session));
            finish(session, end).and_then(|(report, _)| case.after(report)).context(case.name)?;
            let _ = std::fs::remove_file(&case.volume.path);
        }
    }
    let _ = std::fs::remove_file(&volume.path);
    let reasons: Vec<String> =
        flips.reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    Ok(format!("{} bits ({}), {} boots", flips.flips, reasons.join(", "), cases.len()))
}

fn cases(stand: &Stand<'_, '_>, volume: &Volume, bytes: &[u8], log: &Log) -> Result<Vec<Case>> {
    let ranges = durable_bytes(log);
    // Behind the headers.
    let blocks = &ranges[2..];
    let flipped = |block: usize| {
        let mut bytes = bytes.to_vec();
        bytes[blocks[block].start + 77] ^= 4;
        bytes
    };
    let mut erased = bytes.to_vec();
    let last = blocks.last().context("nothing is durable")?.clone();
    erased[last].fill(0);
    let same = |name: &'static str, bytes: Vec<u8>| -> Result<Case> {
        let path = stand.dir.join(format!("{name}.img"));
        Ok(Case { name, volume: volume.copy(path, &bytes)?, bytes })
    };
    let path = stand.dir.join("half.img");
    let mut half = volume.copy(path, bytes)?;
    half.halve()?;
    let of_half = half.read()?;
    let foreign = Volume::make(stand.dir.join("foreign.img"), PORT, 512, LOG_BYTES)?;
    foreign.write(bytes)?;
    Ok(vec![
        same("flipped-first", flipped(0))?,
        same("flipped-middle", flipped(blocks.len() / 2))?,
        same("erased-end", erased)?,
        Case { name: "half", volume: half, bytes: of_half },
        Case { name: "foreign", volume: foreign, bytes: bytes.to_vec() },
        same("torn-tail", torn(bytes, log)?)?,
        same("untouched", bytes.to_vec())?,
    ])
}

/// The log with the beginning of a group after its end, as a power cut leaves it.
fn torn(bytes: &[u8], log: &Log) -> Result<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    let mut writer = Writer::resume(log);
    let mut records = Vec::new();
    // As many as take more than one block.
    for sequence in (log.end.sequence..).take(30) {
        let mut record = Vec::new();
        let commit = Commit::Checkpoint { state: Hash::default() };
        Record { sequence, time_us: 0, cause: Cause::Kernel, commit }.encode(&mut record);
        records.push((record, Hash::default()));
    }
    let pairs = records.iter().map(|(record, after)| (record.as_slice(), *after));
    writer.put(pairs).map_err(anyhow::Error::msg)?;
    let size = log.header.geometry.block_size as usize;
    while let Some(step) = writer.step() {
        // Behind the headers: the group.
        if let Step::Write { block, bytes: group } = step
            && block >= log.header.geometry.first()
        {
            ensure!(group.len() > size, "the group fits into a block");
            let start = block as usize * size;
            bytes[start..start + size].copy_from_slice(&group[..size]);
        }
    }
    Ok(bytes)
}

impl Case {
    fn start(&self, stand: &Stand<'_, '_>) -> Result<Session> {
        stand.medium(self.name, &words(PORT))?;
        stand.start(self.name, 1, self.volume.drive())
    }

    /// What the host's recovery says of it.
    fn expected(&self) -> std::result::Result<reader::Read, String> {
        reader::read(self.volume.partition, &self.bytes).map_err(|refusal| refusal.to_string())
    }

    /// The boot itself.
    fn boots(&self, session: &mut Session) -> Result<Report> {
        match self.expected() {
            Err(refusal) => {
                session.wait_for(&refusal, LOAD)?;
                session.expect("run hello", "ended well", SOON)?;
                // Nothing that is not kept is called durable.
                session.expect(&load(PORT, 1, 1, 1), "FAILED: a sync", SOON)?;
            }
            Ok(read) => {
                if let Some(Tail::Torn(damage)) = read.log.as_ref().map(|log| log.tail) {
                    session.wait_for(&damage.to_string(), LOAD)?;
                }
                session.expect(&load(PORT, 20, 1, 1), "records durable", LOAD)?;
            }
        }
        Report::last(&session.ask("commits verify", SOON)?)
    }

    /// What is on the disk then.
    fn after(&self, report: Report) -> Result<()> {
        let now = self.volume.read()?;
        match self.expected() {
            Err(_) => {
                let changed = now.iter().zip(&self.bytes).position(|(now, then)| now != then);
                match changed {
                    Some(at) => bail!("the kernel refused the log and changed its byte {at}"),
                    None => Ok(()),
                }
            }
            Ok(before) => {
                let epoch = before.log.as_ref().map(|log| log.replay.state().epoch() + 1);
                ensure!(Some(report.epoch) == epoch, "epoch {} now", report.epoch);
                let found = read(&self.volume)?.found;
                let (now, then) = (found.next(), before.found.next());
                ensure!(now > then, "{now} records, {then} before the boot");
                Ok(())
            }
        }
    }
}
