//! Records that follow each other, as a kernel would make them, and the log that is written of
//! them.

use super::*;
use crate::abi::{Handle, ObjectKind, Rights};
use crate::axiom::{Budget, CapabilityId, Cause, Commit, ObjectId, Record};

/// A kernel's view: the state, and every record from a point on.
#[derive(Clone, Debug)]
pub struct History {
    pub replay: Replay,
    /// From record 0 on.
    pub records: Vec<Vec<u8>>,
    /// The hash before each, and after the last.
    pub hashes: Vec<Hash>,
    /// How many of them were put into the writer.
    pub put: usize,
    held: Vec<CapabilityId>,
    seed: u64,
}

impl History {
    pub fn new(seed: u64) -> Self {
        let mut history = Self {
            replay: Replay::new(),
            records: Vec::new(),
            hashes: vec![Hash::default()],
            put: 0,
            held: Vec::new(),
            seed,
        };
        let mut log = [3; 16];
        log[..8].copy_from_slice(&seed.to_le_bytes());
        history.commit(Commit::Genesis { log });
        history.boot();
        history
    }

    /// The machine stops, and starts again with what was found.
    pub fn reboot(&mut self, found: &Log) {
        self.replay = found.replay.clone();
        let kept = usize::try_from(found.end.sequence).unwrap();
        self.records.truncate(kept);
        self.hashes.truncate(kept + 1);
        assert_eq!(self.hashes.last(), Some(&found.end.hash));
        self.put = kept;
        self.boot();
    }

    fn boot(&mut self) {
        self.held.clear();
        let epoch = self.replay.state().epoch() + 1;
        let budget = Budget { frames: 1 << 20, threads: 10, handles: 1000, messages: 10 };
        self.commit(Commit::Booted { epoch, measured: Hash([7; 32]), budget });
        self.commit(Commit::ObjectCreated {
            object: ObjectId(1),
            kind: ObjectKind::Endpoint,
            detail: 0,
            capability: CapabilityId(0),
            process: 0,
            handle: Handle::new(0, 1),
        });
    }

    pub fn random(&mut self, below: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed >> 11) % below
    }

    fn commit(&mut self, commit: Commit) {
        let sequence = self.replay.next();
        let time_us = sequence * 1000 + (self.seed & 0xff);
        let mut bytes = Vec::new();
        Record { sequence, time_us, cause: Cause::Kernel, commit }.encode(&mut bytes);
        self.replay.push(&bytes, &mut |_| ()).unwrap();
        self.records.push(bytes);
        self.hashes.push(self.replay.hash());
    }

    /// Capabilities come and go; at most `most` are held.
    pub fn step(&mut self, most: usize) {
        if self.held.len() >= most || (!self.held.is_empty() && self.random(3) == 0) {
            let at = self.random(self.held.len() as u64) as usize;
            let capability = self.held.swap_remove(at);
            return self.commit(Commit::Removed { capability });
        }
        let state = self.replay.state();
        let (capability, handle) = (state.next_capability(), state.vacant(0, |_| true).unwrap());
        let rights = Rights::all();
        let from = CapabilityId(0);
        self.held.push(capability);
        self.commit(Commit::Derived { capability, from, rights, process: 0, handle });
    }

    /// What was not put yet.
    pub fn unput(&self) -> impl Iterator<Item = (&[u8], Hash)> {
        let after = self.hashes[self.put + 1..].iter().copied();
        self.records[self.put..].iter().map(Vec::as_slice).zip(after)
    }

    /// Puts what was not put yet.
    pub fn put_into(&mut self, writer: &mut Writer) {
        writer.put(self.unput()).unwrap();
        self.put = self.records.len();
    }

    /// Puts a checkpoint of here.
    pub fn checkpoint(&mut self, writer: &mut Writer) -> Result<(), WriteError> {
        self.put_into(writer);
        let mut state = Vec::new();
        self.replay.state().encode(&mut state);
        self.commit(Commit::Checkpoint { state: Hash::of(&state) });
        let result = writer.checkpoint(&state, self.unput().next().unwrap());
        self.put = self.records.len();
        result
    }

    pub fn create(&self, disk: &Disk) -> Writer {
        let log = self.replay.state().log().unwrap();
        Writer::create(&disk.partition, log, Start::Genesis, 0).unwrap()
    }
}
