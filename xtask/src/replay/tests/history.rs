//! A small history of authority, and the places a log can be in.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use gpt::GptConfig;
use gpt::disk::LogicalBlockSize;
use gpt::partition_types::{OperatingSystem, Type};
use protocols::abi::{Handle, ObjectKind, Rights};
use protocols::axiom::replay::Replay;
use protocols::axiom::{Budget, CapabilityId, Cause, Commit, Hash, Name, ObjectId, Record, State};
use protocols::commit_log::{PARTITION_NAME, PARTITION_TYPE, Partition, Start, Step, Writer};
use protocols::gpt::Guid;

pub const LOG: [u8; 16] = [7; 16];

/// What happened: the records, and where they led.
#[derive(Clone, Default)]
pub struct History {
    pub replay: Replay,
    pub records: Vec<Vec<u8>>,
    /// The chain's hash after each.
    pub hashes: Vec<Hash>,
    /// Encoding of the state before the checkpoint, and that record's number.
    pub checkpoint: Option<(Replay, Vec<u8>)>,
}

impl History {
    pub fn go(&mut self, commit: Commit) {
        let sequence = self.replay.next();
        let cause = match sequence % 2 {
            0 => Cause::Kernel,
            _ => Cause::Call { core: 1, sequence: 10 * sequence },
        };
        let mut bytes = Vec::new();
        Record { sequence, time_us: 1000 * sequence, cause, commit }.encode(&mut bytes);
        self.replay.push(&bytes, &mut |_| ()).unwrap();
        self.records.push(bytes);
        self.hashes.push(self.replay.hash());
    }

    pub fn checkpoint(&mut self) {
        self.checkpoint = Some((self.replay.clone(), state_bytes(self.replay.state())));
        self.go(Commit::Checkpoint { state: self.replay.state().hash() });
    }

    fn derive(&mut self, from: u64, rights: Rights, process: u32) {
        let state = self.replay.state();
        self.go(Commit::Derived {
            capability: state.next_capability(),
            from: CapabilityId(from),
            rights,
            process,
            handle: state.vacant(process, |_| true).unwrap(),
        });
    }

    /// Two epochs; in the second two programs, with memory and an endpoint between them.
    pub fn new() -> Self {
        let mut history = Self::default();
        let budget = Budget { frames: 100, threads: 8, handles: 64, messages: 8 };
        history.go(Commit::Genesis { log: LOG });
        history.go(Commit::Booted { epoch: 1, measured: Hash::of(b"one"), budget });
        history.go(Commit::Booted { epoch: 2, measured: Hash::of(b"two"), budget });
        let half = Budget { frames: 10, threads: 1, handles: 8, messages: 1 };
        let whole = half.with(half).unwrap();
        for (process, name, budget) in [(1, "init", whole), (2, "shell \"<&>\"", half)] {
            let object = ObjectId(u64::from(process));
            let (parent, name) = (process - 1, Name::new(name));
            history.go(Commit::ProcessCreated { process, object, parent, budget, name });
        }
        for (object, kind) in [(3, ObjectKind::Memory), (4, ObjectKind::Endpoint)] {
            history.go(Commit::ObjectCreated {
                object: ObjectId(object),
                kind,
                detail: 4,
                capability: CapabilityId(object - 3),
                process: 1,
                handle: Handle::new(object as u16 - 3, 1),
            });
        }
        history.derive(0, Rights::RECEIVE | Rights::DUPLICATE, 2);
        history.checkpoint();
        history.go(Commit::Shared {
            capability: CapabilityId(2),
            address: 0x40_0000,
            pages: 3,
            rights: Rights::RECEIVE,
        });
        history.derive(1, Rights::SEND, 2);
        history.derive(2, Rights::RECEIVE, 2);
        history
    }

    /// The line with which the kernel says how its log stands.
    pub fn line(&self) -> String {
        let (replay, state) = (&self.replay, self.replay.state());
        format!(
            "[    1.234] commits: epoch {}, {} records, chain {}, state {}",
            state.epoch(),
            replay.next(),
            replay.hash(),
            state.hash()
        )
    }
}

pub fn state_bytes(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    state.encode(&mut bytes);
    bytes
}

/// A folder that is gone afterwards.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        let thread = format!("{:?}", std::thread::current().id());
        let unique = format!("xtask-replay-{}-{thread}", std::process::id());
        let path = std::env::temp_dir().join(unique);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, contents).unwrap();
        path
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A disk with a partition for a log, and something else before that.
pub fn disk(path: &Path) -> Partition {
    let mut file =
        File::options().read(true).write(true).create(true).truncate(true).open(path).unwrap();
    file.set_len(4 << 20).unwrap();
    let mut disk = GptConfig::new()
        .writable(true)
        .logical_block_size(LogicalBlockSize::Lb512)
        .create_from_device(&mut file, None)
        .unwrap();
    let kind = |guid: Guid, name: &str| Type {
        guid: guid.to_string().parse().unwrap(),
        os: OperatingSystem::Custom(name.to_owned()),
    };
    disk.add_partition("other", 1 << 20, kind(Guid([9; 16]), "other"), 0, None).unwrap();
    let name = PARTITION_NAME;
    disk.add_partition(name, 1 << 20, kind(PARTITION_TYPE, name), 0, None).unwrap();
    disk.write().unwrap();
    let found = crate::partitions::find(&mut file, PARTITION_TYPE).unwrap();
    let [partition] = &found[..] else { panic!("{found:?}") };
    assert!(partition.start > 1 << 20);
    Partition { id: partition.id, block_size: 512, blocks: partition.bytes / 512 }
}

/// Writes a history to a partition that begins at byte `start` of a file.
pub fn write(path: &Path, start: u64, partition: &Partition, history: &History) {
    let mut writer = Writer::create(partition, LOG, Start::Genesis, 0).unwrap();
    let (before, state) = history.checkpoint.as_ref().unwrap();
    let records = history.records.iter().map(Vec::as_slice).zip(history.hashes.iter().copied());
    let records: Vec<(&[u8], Hash)> = records.collect();
    let checkpoint = before.next() as usize;
    writer.put(records[..checkpoint].iter().copied()).unwrap();
    writer.sync();
    writer.checkpoint(state, records[checkpoint]).unwrap();
    writer.put(records[checkpoint + 1..].iter().copied()).unwrap();
    writer.sync();
    let mut file = File::options().write(true).open(path).unwrap();
    while let Some(step) = writer.step() {
        if let Step::Write { block, bytes } = step {
            let at = start + block * u64::from(partition.block_size);
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(&bytes).unwrap();
        }
    }
}
