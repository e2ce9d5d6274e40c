//! Writes a log: records in, blocks to write and flushes out, in the order that makes them durable.
//!
//! ```text
//!   put, checkpoint ──> groups ─┐
//!                               ├──> step(): Write, Write, Flush, Write (header), Flush ──> durable()
//!   sync ──> flush, header, flush ─┘
//! ```
//!
//! The caller carries out one step after the other; [`step`](Writer::step) is told by being called
//! that the step before has succeeded. A step that failed is the end: what is on the disk is then
//! unknown, and the writer is to be dropped.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::group::{Group, HEAD_BYTES, Kind, put_record};
use super::{Geometry, Header, Log, Mark, Partition, TooSmall};
use crate::axiom::{Commit, Hash, Record};
use crate::gpt::Guid;

/// What is to be done to the partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write these whole blocks.
    Write {
        /// The first one.
        block: u64,
        /// Their content.
        bytes: Vec<u8>,
    },
    /// Make all that was written durable.
    Flush,
}

/// Why something cannot be written. Nothing of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum WriteError {
    /// A checkpoint is needed first.
    #[error("the log is full: {needed} more blocks, and {left} are left before its checkpoint")]
    Full {
        /// What it takes.
        needed: u64,
        /// What there is.
        left: u64,
    },
    /// Make the partition larger.
    #[error("the log is too small: a checkpoint of {needed} blocks and a segment, of {ring}")]
    TooSmall {
        /// What the state takes.
        needed: u64,
        /// The whole ring.
        ring: u64,
    },
    /// A record that no segment has room for.
    #[error("a record of {0} bytes is too long")]
    TooLong(usize),
    /// Not the encoding of the next record: it could never be read back.
    #[error("that is not record {0}, which is next")]
    NotNext(u64),
    /// A checkpoint whose record is of another state.
    #[error("the checkpoint's record is of another state")]
    OtherState,
}

/// What a new log begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The first record, which is to come.
    Genesis,
    /// A checkpoint, which is to come: of before this record, at this hash.
    Checkpoint(u64, Hash),
}

/// The writer of a log.
#[derive(Debug)]
pub struct Writer {
    geometry: Geometry,
    partition: Guid,
    log: [u8; 16],
    opening: u32,
    /// Of the newest header.
    generation: u64,
    /// Where the log begins from the next header on.
    begin: Mark,
    /// Where it begins by the header in each slot.
    begins: [u64; 2],
    /// After all groups.
    head: Mark,
    durable: Mark,
    steps: VecDeque<Queued>,
}

#[derive(Debug)]
enum Queued {
    Step(Step),
    /// All before it being done, this is durable.
    Reached(Mark),
}

impl Writer {
    /// A new log with this id on `partition`. `generation` is that of the newest header there, of
    /// whatever was there before.
    pub fn create(
        partition: &Partition,
        log: [u8; 16],
        start: Start,
        generation: u64,
    ) -> Result<Self, TooSmall> {
        let (sequence, hash) = match start {
            Start::Genesis => (0, Hash::default()),
            Start::Checkpoint(sequence, hash) => (sequence, hash),
        };
        let begin = Mark { place: 0, sequence, hash };
        let mut writer = Self {
            geometry: Geometry::of(partition)?,
            partition: partition.id,
            log,
            opening: 1,
            generation,
            begin,
            begins: [0; 2],
            head: begin,
            durable: begin,
            steps: VecDeque::new(),
        };
        // Both, before the first group: blank headers beside records were erased.
        writer.sync();
        writer.sync();
        Ok(writer)
    }

    /// Goes on with a log. What of its tail was taken becomes durable first; if that has a
    /// checkpoint, the log begins with it.
    pub fn resume(log: &Log) -> Self {
        let Log { header, headers, end, begin, opening, .. } = log;
        // A header that cannot be read, or of another log, holds nothing back.
        let begins = headers.map(|other| match other {
            Ok(other) if other.log == header.log => other.begin.place,
            _ => header.begin.place,
        });
        let mut writer = Self {
            geometry: header.geometry,
            partition: header.partition,
            log: header.log,
            opening: opening.saturating_add(1),
            generation: header.generation,
            begin: *begin,
            begins,
            head: *end,
            durable: header.head,
            steps: VecDeque::new(),
        };
        writer.sync();
        writer
    }

    /// How the partition is divided.
    pub const fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Which log.
    pub const fn log(&self) -> [u8; 16] {
        self.log
    }

    /// After the last record that was put.
    pub const fn head(&self) -> Mark {
        self.head
    }

    /// Everything before this is durable.
    pub const fn durable(&self) -> Mark {
        self.durable
    }

    /// Blocks that the log has, from where it begins.
    pub const fn live(&self) -> u64 {
        self.head.place - self.begin.place
    }

    /// Whether it is time for a checkpoint: a quarter of the ring is used.
    pub fn wants_checkpoint(&self) -> bool {
        self.live() > self.geometry.ring() / 4
    }

    /// Blocks that may still be written to: up to the segment in which the log begins by either
    /// header.
    pub fn room(&self) -> u64 {
        let oldest = self.begins[0].min(self.begins[1]).min(self.begin.place);
        let end = self.geometry.segment_start(oldest) + self.geometry.ring();
        end.saturating_sub(self.head.place)
    }

    /// Puts records: each the encoding of the next one, and the chain's hash after it, which is not
    /// made once more.
    pub fn put<'a>(
        &mut self,
        records: impl IntoIterator<Item = (&'a [u8], Hash)>,
    ) -> Result<(), WriteError> {
        let mut groups = Groups::new(self);
        for (record, after) in records {
            groups.record(record, after)?;
        }
        groups.end_group();
        let Groups { at, queued, .. } = groups;
        self.claim(at.place - self.head.place)?;
        self.steps.extend(queued);
        self.head = at;
        Ok(())
    }

    /// Puts a checkpoint: the encoding of the state here, and the record with its hash, which comes
    /// next, with the chain's hash after it. From the next header on the log begins with it.
    pub fn checkpoint(
        &mut self,
        state: &[u8],
        (record, after): (&[u8], Hash),
    ) -> Result<(), WriteError> {
        let of_state =
            |record: &Record| record.commit == Commit::Checkpoint { state: Hash::of(state) };
        if !Record::decode(record).is_ok_and(|record| of_state(&record)) {
            return Err(WriteError::OtherState);
        }
        let mut groups = Groups::new(self);
        groups.state(state);
        groups.record(record, after)?;
        groups.end_group();
        let Groups { at, queued, .. } = groups;
        let (needed, ring) = (at.place - self.head.place, self.geometry.ring());
        // A segment is left for records, and the one it begins in is not given up.
        if needed + 2 * u64::from(self.geometry.segment_blocks) > ring {
            return Err(WriteError::TooSmall { needed, ring });
        }
        self.claim(needed)?;
        self.steps.extend(queued);
        self.begin = self.head;
        self.head = at;
        Ok(())
    }

    /// Makes durable whatever was put.
    pub fn sync(&mut self) {
        self.generation += 1;
        let header = Header {
            generation: self.generation,
            geometry: self.geometry,
            opening: self.opening,
            partition: self.partition,
            log: self.log,
            begin: self.begin,
            head: self.head,
        };
        let slot = header.slot();
        self.begins[slot] = self.begin.place;
        let write = Step::Write { block: self.geometry.header(slot), bytes: header.encode() };
        let steps = [Step::Flush, write, Step::Flush];
        self.steps.extend(steps.map(Queued::Step));
        self.steps.push_back(Queued::Reached(self.head));
    }

    /// Sees to it that there is room for so many blocks more. What the last checkpoint gave up may
    /// take another header or two.
    fn claim(&mut self, needed: u64) -> Result<(), WriteError> {
        while self.room() < needed && self.begins.iter().any(|begin| *begin < self.begin.place) {
            self.sync();
        }
        let left = self.room();
        if needed > left { Err(WriteError::Full { needed, left }) } else { Ok(()) }
    }

    /// The next step. To call this is to say that the one before was carried out.
    pub fn step(&mut self) -> Option<Step> {
        loop {
            match self.steps.pop_front()? {
                Queued::Step(step) => return Some(step),
                Queued::Reached(mark) => self.durable = mark,
            }
        }
    }
}

/// Groups being made.
struct Groups<'a> {
    writer: &'a Writer,
    /// Before the group being made, but its sequence and hash are those after its records.
    at: Mark,
    /// Before the group being made.
    sequence: u64,
    before: Hash,
    content: Vec<u8>,
    count: u32,
    queued: Vec<Queued>,
}

impl<'a> Groups<'a> {
    fn new(writer: &'a Writer) -> Self {
        let at = writer.head;
        let (sequence, before) = (at.sequence, at.hash);
        Self { writer, at, sequence, before, content: Vec::new(), count: 0, queued: Vec::new() }
    }

    /// Bytes of content that a group here may have.
    fn room(&self) -> usize {
        let Geometry { block_size, .. } = self.writer.geometry;
        self.writer.geometry.left(self.at.place) as usize * block_size as usize - HEAD_BYTES
    }

    fn record(&mut self, record: &[u8], after: Hash) -> Result<(), WriteError> {
        let Geometry { segment_blocks, block_size, .. } = self.writer.geometry;
        let most = (segment_blocks as usize * block_size as usize - HEAD_BYTES - 2).min(0xffff);
        if record.len() > most {
            return Err(WriteError::TooLong(record.len()));
        }
        let next = self.at.sequence;
        if !Record::decode(record).is_ok_and(|record| record.sequence == next) {
            return Err(WriteError::NotNext(next));
        }
        if self.content.len() + 2 + record.len() > self.room() {
            // What is left of the segment after its records goes with them, or is a group of none.
            let left = self.writer.geometry.left(self.at.place);
            self.group(Kind::Records(self.count), left);
        }
        put_record(record, &mut self.content);
        self.count += 1;
        self.at.sequence += 1;
        self.at.hash = after;
        Ok(())
    }

    fn state(&mut self, state: &[u8]) {
        let total = state.len() as u32;
        let mut left = state;
        for number in 0.. {
            let (piece, rest) = left.split_at(left.len().min(self.room()));
            self.content.extend_from_slice(piece);
            self.group(Kind::Piece { number, total }, self.blocks());
            left = rest;
            if left.is_empty() {
                break;
            }
        }
    }

    /// Ends a group of records, if one has begun.
    fn end_group(&mut self) {
        if self.count > 0 {
            self.group(Kind::Records(self.count), self.blocks());
        }
    }

    /// Blocks that the content takes.
    fn blocks(&self) -> u32 {
        let block_size = self.writer.geometry.block_size as usize;
        (HEAD_BYTES + self.content.len()).div_ceil(block_size) as u32
    }

    fn group(&mut self, kind: Kind, blocks: u32) {
        let Writer { geometry, opening, log, .. } = *self.writer;
        let (place, sequence, before) = (self.at.place, self.sequence, self.before);
        let group = Group { kind, blocks, opening, log, place, sequence, before };
        let bytes = group.encode(&self.content, geometry.block_size);
        self.queued.push(Queued::Step(Step::Write { block: geometry.block(place), bytes }));
        self.content.clear();
        self.count = 0;
        self.at.place += u64::from(blocks);
        (self.sequence, self.before) = (self.at.sequence, self.at.hash);
    }
}
