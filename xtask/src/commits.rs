//! CommitLogs on the disks of boots: made here as a kernel would have left them, or as no kernel
//! leaves them, and read back afterwards.

use std::fmt::Display;
use std::io::{Read, Seek};

use anyhow::{Context, Result, anyhow, bail, ensure};
use protocols::abi::{Handle, ObjectKind};
use protocols::axiom::replay::Replay;
use protocols::axiom::{Budget, CapabilityId, Cause, Commit, Hash, Record};
use protocols::commit_log::{
    Blocks, Found, Log, PARTITION_TYPE, Partition, Recovery, Start, Step, Tail, Writer,
};

use crate::partitions;

/// What a partition for commits holds before the boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// Zeros.
    Blank,
    /// A log of one boot.
    Sound,
    /// One with a record changed.
    Tampered,
    /// One with a group after its end that is only half there.
    Torn,
    /// One of another partition.
    Foreign,
}

/// What it has to hold afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// The same.
    Untouched,
    /// A log in which nothing is.
    Empty,
    /// A log of so many boots, which was brought to rest.
    Boots(u32),
}

/// The partition for commits that begins at byte `start` of a disk.
pub fn partition(disk: &mut (impl Read + Seek), start: u64) -> Result<Partition> {
    let found = partitions::find(disk, PARTITION_TYPE)?;
    let found = found.iter().find(|found| found.start == start).context("no such partition")?;
    let block_size = u32::try_from(found.block)?;
    Ok(Partition { id: found.id, block_size, blocks: found.bytes / found.block })
}

/// What lies on `partition` before the boot.
pub fn make(before: Before, partition: &Partition) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(partition.blocks * u64::from(partition.block_size))?];
    let mut made_on = *partition;
    match before {
        Before::Blank => return Ok(bytes),
        Before::Foreign => made_on.id.0[0] ^= 1,
        Before::Sound | Before::Tampered | Before::Torn => {}
    }
    let mut history = History::default();
    history.boot()?;
    let mut writer = told(Writer::create(&made_on, [7; 16], Start::Genesis, 0))?;
    told(writer.put(history.unput()))?;
    writer.sync();
    carry_out(&mut writer, &mut bytes);
    let end = writer.geometry().block(writer.head().place);
    let block = partition.block_size as usize;
    match before {
        Before::Tampered => bytes[writer.geometry().first() as usize * block + 111] ^= 4,
        Before::Torn => {
            history.put = history.records.len();
            (0..200).try_for_each(|_| history.come_and_go())?;
            told(writer.put(history.unput()))?;
            carry_out(&mut writer, &mut bytes);
            bytes[(end as usize + 1) * block..][..block].fill(0);
        }
        _ => {}
    }
    Ok(bytes)
}

/// Checks what the boot left of it.
pub fn verify(before: Before, after: After, partition: &Partition, bytes: &[u8]) -> Result<()> {
    let boots = match after {
        After::Untouched => {
            let changed = make(before, partition)?.iter().zip(bytes).position(|(a, b)| a != b);
            return match changed {
                Some(at) => bail!("byte {at} of a log that was not to be touched was changed"),
                None => Ok(()),
            };
        }
        After::Empty => 0,
        After::Boots(boots) => boots,
    };
    let log = match recover(partition, bytes)? {
        Some(log) => log,
        None if boots == 0 => return Ok(()),
        None => bail!("there is no log"),
    };
    let found = log.replay.state().epoch();
    ensure!(found == boots, "the log is of {found} boots, not {boots}");
    ensure!(log.tail == Tail::Clean, "it has a torn tail: {:?}", log.tail);
    ensure!(log.end == log.header.head, "its end is not durable");
    Ok(())
}

/// The log there, if there is more than its headers.
fn recover(partition: &Partition, bytes: &[u8]) -> Result<Option<Log>> {
    let mut recovery = Recovery::new(*partition);
    while let Some(Blocks { first, count }) = recovery.wanted() {
        let start = first as usize * partition.block_size as usize;
        let length = count as usize * partition.block_size as usize;
        let blocks = bytes.get(start..start + length).context("beyond the partition")?;
        recovery.give(blocks, &mut |_| ());
    }
    match recovery.finish() {
        Some(Ok(Found::Log(log))) => Ok(Some(*log)),
        Some(Ok(Found::Nothing { .. })) => Ok(None),
        Some(Err(refusal)) => bail!("the log is refused: {refusal}"),
        None => bail!("its recovery does not end"),
    }
}

fn told<T, E: Display>(result: Result<T, E>) -> Result<T> {
    result.map_err(|error| anyhow!("{error}"))
}

fn carry_out(writer: &mut Writer, bytes: &mut [u8]) {
    let block_size = writer.geometry().block_size as usize;
    while let Some(step) = writer.step() {
        if let Step::Write { block, bytes: written } = step {
            bytes[block as usize * block_size..][..written.len()].copy_from_slice(&written);
        }
    }
}

/// Records as a kernel makes them.
#[derive(Default)]
struct History {
    replay: Replay,
    records: Vec<(Vec<u8>, Hash)>,
    /// How many were put.
    put: usize,
}

impl History {
    fn boot(&mut self) -> Result<()> {
        let budget = Budget { frames: 9, threads: 9, handles: 9, messages: 9 };
        self.commit(Commit::Genesis { log: [7; 16] })?;
        self.commit(Commit::Booted { epoch: 1, measured: Hash::default(), budget })?;
        (0..20).try_for_each(|_| self.come_and_go())
    }

    fn come_and_go(&mut self) -> Result<()> {
        let state = self.replay.state();
        let CapabilityId(id) = state.next_capability();
        let handle = state.vacant(0, |_| true).unwrap_or(Handle::NONE);
        self.commit(Commit::ObjectCreated {
            object: state.next_object(),
            kind: ObjectKind::Notification,
            detail: 0,
            capability: CapabilityId(id),
            process: 0,
            handle,
        })?;
        self.commit(Commit::Removed { capability: CapabilityId(id) })
    }

    fn commit(&mut self, commit: Commit) -> Result<()> {
        let sequence = self.replay.next();
        let mut bytes = Vec::new();
        Record { sequence, time_us: sequence, cause: Cause::Kernel, commit }.encode(&mut bytes);
        told(self.replay.push(&bytes, &mut |_| ()))?;
        self.records.push((bytes, self.replay.hash()));
        Ok(())
    }

    fn unput(&self) -> impl Iterator<Item = (&[u8], Hash)> {
        self.records[self.put..].iter().map(|(bytes, hash)| (&bytes[..], *hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocols::gpt::Guid;

    #[test]
    fn each_is_what_it_says() {
        for block_size in [512, 4096] {
            let blocks = (1 << 20) / u64::from(block_size);
            let partition = Partition { id: Guid([5; 16]), block_size, blocks };
            let found = |before| recover(&partition, &make(before, &partition).unwrap());
            assert!(found(Before::Blank).unwrap().is_none());
            assert_eq!(found(Before::Sound).unwrap().unwrap().tail, Tail::Clean);
            assert!(matches!(found(Before::Torn).unwrap().unwrap().tail, Tail::Torn(_)));
            for (before, why) in
                [(Before::Tampered, "record 0: wrong checksum"), (Before::Foreign, "a foreign log")]
            {
                let error = found(before).unwrap_err().to_string();
                assert!(error.contains(why), "{error}");
            }
            let bytes = make(Before::Sound, &partition).unwrap();
            verify(Before::Sound, After::Untouched, &partition, &bytes).unwrap();
            verify(Before::Sound, After::Boots(1), &partition, &bytes).unwrap();
            verify(Before::Sound, After::Boots(2), &partition, &bytes).unwrap_err();
            verify(Before::Tampered, After::Untouched, &partition, &bytes).unwrap_err();
        }
    }
}
