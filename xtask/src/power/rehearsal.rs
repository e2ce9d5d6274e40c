//! A rehearsal without a machine: the kernel's own writer of the log on a disk that is recorded here
//! as QEMU would, with a flush left out, or not.

use protocols::abi::{Handle, ObjectKind, Rights};
use protocols::axiom::replay::Replay;
use protocols::axiom::{Budget, CapabilityId, Cause, Commit, Hash, ObjectId, Record};
use protocols::commit_log::{Partition, Start, Step, Writer};
use protocols::gpt::Guid;
use protocols::sync_mark;

use super::cuts::{Cuts, Effort, Load, Rule};
use super::flips::flip;
use super::reader::read;
use super::surviving::{Disk, Survival};
use super::write_log::{Operation, Stays, WriteLog};
use crate::network::random::Random;

const BLOCK: usize = 512;
/// Where the marks are; the log's partition comes after it.
const MARKS: u64 = 0;
const START: u64 = 8192;
const BYTES: u64 = 128 << 10;

fn partition() -> Partition {
    Partition { id: Guid([7; 16]), block_size: BLOCK as u32, blocks: BYTES / BLOCK as u64 }
}

/// Which flushes the disk gets to see.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flushes {
    All,
    None,
    /// None between groups and header.
    OnlyAfterHeaders,
}

/// Authority under load.
struct Machine {
    replay: Replay,
    held: Vec<CapabilityId>,
    random: Random,
    /// Not yet put, with the hash after each.
    records: Vec<(Vec<u8>, Hash)>,
}

impl Machine {
    fn new() -> Self {
        let mut machine = Self {
            replay: Replay::new(),
            held: Vec::new(),
            random: Random::new(11),
            records: Vec::new(),
        };
        machine.commit(Commit::Genesis { log: [9; 16] });
        let budget = Budget { frames: 9, threads: 9, handles: 99, messages: 9 };
        machine.commit(Commit::Booted { epoch: 1, measured: Hash([1; 32]), budget });
        machine.commit(Commit::ObjectCreated {
            object: ObjectId(1),
            kind: ObjectKind::Endpoint,
            detail: 0,
            capability: CapabilityId(0),
            process: 0,
            handle: Handle::new(0, 1),
        });
        machine
    }

    fn commit(&mut self, commit: Commit) {
        let sequence = self.replay.next();
        let mut bytes = Vec::new();
        Record { sequence, time_us: sequence, cause: Cause::Kernel, commit }.encode(&mut bytes);
        self.replay.push(&bytes, &mut |_| ()).unwrap();
        self.records.push((bytes, self.replay.hash()));
    }

    fn step(&mut self) {
        if self.held.len() > 20 || (!self.held.is_empty() && self.random.happens(3_000)) {
            let at = self.random.below(self.held.len() as u64) as usize;
            let capability = self.held.swap_remove(at);
            return self.commit(Commit::Removed { capability });
        }
        let state = self.replay.state();
        let (capability, handle) = (state.next_capability(), state.vacant(0, |_| true).unwrap());
        let from = CapabilityId(0);
        self.held.push(capability);
        let rights = Rights::all();
        self.commit(Commit::Derived { capability, from, rights, process: 0, handle });
    }
}

/// What is written while `syncs` syncs are waited for: places and bytes, `None` is a flush.
fn record(syncs: usize, flushes: Flushes) -> Vec<Option<(u64, Vec<u8>)>> {
    let mut machine = Machine::new();
    let mut writer = Writer::create(&partition(), [9; 16], Start::Genesis, 0).unwrap();
    let (mut log, mut flushed) = (Vec::new(), 0);
    for _ in 0..syncs {
        for _ in 0..machine.random.below(12) {
            machine.step();
        }
        writer.put(machine.records.iter().map(|(bytes, hash)| (bytes.as_slice(), *hash))).unwrap();
        machine.records.clear();
        if writer.wants_checkpoint() {
            let mut state = Vec::new();
            machine.replay.state().encode(&mut state);
            machine.commit(Commit::Checkpoint { state: Hash::of(&state) });
            let (bytes, hash) = &machine.records[0];
            writer.checkpoint(&state, (bytes, *hash)).unwrap();
            machine.records.clear();
            writer.sync();
        }
        writer.sync();
        while let Some(step) = writer.step() {
            match step {
                Step::Write { block, bytes } => {
                    log.push(Some((START + block * BLOCK as u64, bytes)));
                }
                Step::Flush => {
                    flushed += 1;
                    let is_seen = match flushes {
                        Flushes::All => true,
                        Flushes::None => false,
                        Flushes::OnlyAfterHeaders => flushed % 2 == 0,
                    };
                    log.extend(is_seen.then_some(None));
                }
            }
        }
        let mut mark = sync_mark::encode(writer.durable().sequence - 1).to_vec();
        mark.resize(BLOCK, 0);
        log.push(Some((MARKS, mark)));
    }
    log
}

fn operations(log: &[Option<(u64, Vec<u8>)>]) -> WriteLog<'_> {
    let operations = log.iter().map(|one| match one {
        None => Operation::Flush,
        Some((offset, data)) => {
            Operation::Write { offset: *offset, data, stays: Stays::AfterFlush }
        }
    });
    WriteLog { sector: BLOCK, operations: operations.collect() }
}

fn cut(syncs: usize, flushes: Flushes) -> Cuts {
    let log = record(syncs, flushes);
    let log = operations(&log);
    let reader = |bytes: &[u8]| {
        read(partition(), bytes).map(|read| read.found).map_err(|why| why.to_string())
    };
    let base = vec![0; BYTES as usize];
    let load = Load { log: &log, base: &base, range: START..START + BYTES, reader: &reader };
    load.cut(Effort { cuts: 800, diced: 3 }).unwrap()
}

fn rules(cuts: &Cuts) -> Vec<Rule> {
    let mut rules: Vec<Rule> = cuts.breaches.iter().map(|breach| breach.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

#[test]
fn the_writer_keeps_its_word_over_power_cuts() {
    let cuts = cut(250, Flushes::All);
    assert_eq!(cuts.breaches, []);
    // Long enough to wrap.
    assert!(cuts.records > 1000 && cuts.states > 3000, "{cuts:?}");
}

#[test]
fn a_flush_that_is_left_out_is_noticed() {
    let never = cut(120, Flushes::None);
    assert!(rules(&never).contains(&Rule::SyncedIsThere), "{:?}", rules(&never));
    // Header and records at once: the header may be there before them.
    assert!(rules(&cut(120, Flushes::OnlyAfterHeaders)).contains(&Rule::Verifies));
}

#[test]
fn a_flipped_bit_is_noticed_wherever_it_is() {
    let log = record(250, Flushes::All);
    let mut disk = Disk::new(vec![0; BYTES as usize], START..START + BYTES, BLOCK);
    operations(&log).operations.iter().for_each(|operation| disk.advance(operation));
    let bytes = disk.survives(Survival::All, <[u8]>::to_vec);
    let flips = flip(partition(), &bytes, 3000).unwrap();
    assert_eq!(flips.missed, Vec::<String>::new());
    assert!(flips.flips > 3000 && flips.reasons.len() > 3, "{flips:?}");
}
