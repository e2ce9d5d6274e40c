//! Reads a log from its headers to its end, and verifies it on the way.
//!
//! ```text
//!  Headers ──both blank──> Erased? ──no group there──> Nothing
//!     │ newest sound one      └──a group──> Refusal
//!     ▼
//!  Groups: segment by segment, group by group
//!     ├── damage before the durable head ──> Refusal: place, reason
//!     └── damage after it ──> Log: all before it, and what the tail was
//! ```
//!
//! The caller reads the blocks that are [`wanted`](Recovery::wanted) and [`give`](Recovery::give)s
//! them, until none are. One segment and one state are held at a time.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::found::{Found, Kept, Log, Seen, Tail};
use super::group::{Group, Kind, records};
use super::header::{self, Header, HeaderFlaw};
use super::{Damage, Flaw, Mark, Partition, Refusal, geometry};
use crate::axiom::replay::Replay;
use crate::axiom::{Commit, Hash, Record};

/// Blocks of the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks {
    /// The first one.
    pub first: u64,
    /// How many; never none.
    pub count: u32,
}

/// Recovery under way.
#[derive(Debug)]
pub struct Recovery {
    partition: Partition,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Headers,
    /// Both are blank.
    Erased,
    Groups(Box<Groups>),
    Ended(Result<Found, Refusal>),
}

/// The log as far as it was read.
#[derive(Debug)]
struct Groups {
    header: Header,
    headers: [Result<Header, HeaderFlaw>; 2],
    /// `None`: the state that it begins with is still being read.
    replay: Option<Replay>,
    /// A state being read.
    pieces: Option<Pieces>,
    /// After the last group.
    at: u64,
    /// After the last group at which the log may end.
    end: Mark,
    /// The last checkpoint, or the beginning.
    begin: Mark,
    /// No group that follows is of an earlier one.
    opening: u32,
}

#[derive(Debug)]
struct Pieces {
    state: Vec<u8>,
    total: u32,
    next: u32,
    /// Where the first one is.
    place: u64,
}

type See<'a> = &'a mut dyn FnMut(Seen<'_>);

impl Recovery {
    /// Of what is on `partition`.
    pub const fn new(partition: Partition) -> Self {
        Self { partition, phase: Phase::Headers }
    }

    /// What to read next, all at once. `None`: it is over.
    pub fn wanted(&self) -> Option<Blocks> {
        let first = geometry::first_block(self.partition.block_size);
        match &self.phase {
            Phase::Headers => Some(Blocks { first: 0, count: first as u32 }),
            Phase::Erased => Some(Blocks { first, count: 1 }),
            Phase::Groups(groups) => {
                let geometry = &groups.header.geometry;
                let (first, count) = (geometry.block(groups.at), geometry.left(groups.at));
                Some(Blocks { first, count })
            }
            Phase::Ended(_) => None,
        }
    }

    /// Takes the blocks that were wanted. `see` is told of every record on the way.
    pub fn give(&mut self, bytes: &[u8], see: See<'_>) {
        let phase = core::mem::replace(&mut self.phase, Phase::Headers);
        self.phase = match phase {
            Phase::Headers => match headers(&self.partition, bytes, see) {
                Ok(phase) => phase,
                Err(refusal) => Phase::Ended(Err(refusal)),
            },
            Phase::Erased if Group::is_at(bytes) => {
                let block = geometry::first_block(self.partition.block_size);
                Phase::Ended(Err(Refusal::Erased { block }))
            }
            Phase::Erased => Phase::Ended(Ok(Found::Nothing { generation: 0 })),
            Phase::Groups(groups) => groups.segment(bytes, see),
            ended @ Phase::Ended(_) => ended,
        };
    }

    /// What came of it. `None`: it isn't over.
    pub fn finish(self) -> Option<Result<Found, Refusal>> {
        match self.phase {
            Phase::Ended(result) => Some(result),
            _ => None,
        }
    }
}

/// Chooses between the headers.
fn headers(partition: &Partition, bytes: &[u8], see: See<'_>) -> Result<Phase, Refusal> {
    super::Geometry::of(partition)?;
    let read = header::both(bytes);
    let newest = read.iter().flatten().max_by_key(|header| header.generation);
    let Some(header) = newest.copied() else {
        let flaws = read.map(|header| header.err().unwrap_or(HeaderFlaw::Magic));
        if flaws == [HeaderFlaw::Blank; 2] {
            return Ok(Phase::Erased);
        }
        if let Some(version) = flaws.iter().find_map(|flaw| match flaw {
            HeaderFlaw::Version(version) => Some(*version),
            _ => None,
        }) {
            return Err(Refusal::Version(version));
        }
        let block = geometry::header_block(partition.block_size, 1);
        return Err(Refusal::Headers { flaws, block });
    };
    let Header { geometry, begin, .. } = header;
    if geometry.block_size != partition.block_size {
        return Err(Refusal::BlockSize(geometry.block_size));
    }
    if header.partition != partition.id {
        return Err(Refusal::Foreign(header.partition));
    }
    if geometry.blocks() > partition.blocks {
        let (needed, there) = (geometry.blocks(), partition.blocks);
        return Err(Refusal::Shorter { needed, there });
    }
    let replay = (begin.sequence == 0).then(Replay::new);
    let (at, end) = (begin.place, begin);
    let (headers, pieces) = (read, None);
    let groups = Groups { header, headers, replay, pieces, at, end, begin, opening: 0 };
    match &groups.replay {
        Some(_) if begin.hash != Hash::default() => {
            return Err(Refusal::Tampered(groups.damage(Flaw::Chain)));
        }
        Some(replay) => see(Seen::Beginning(replay)),
        None => {}
    }
    Ok(Phase::Groups(Box::new(groups)))
}

impl Groups {
    /// Takes what was read from here to the segment's end.
    fn segment(mut self: Box<Self>, mut bytes: &[u8], see: See<'_>) -> Phase {
        let size = self.header.geometry.block_size as usize;
        loop {
            // Where the header says that it ends it must end as the header says.
            if self.at == self.header.head.place {
                if self.end != self.header.head {
                    return self.refuse(Flaw::End);
                }
                // From here on, what the opening of the header wrote, or a later one.
                self.opening = self.header.opening;
            }
            if bytes.is_empty() {
                return Phase::Groups(self);
            }
            match self.group(bytes, see) {
                Ok(blocks) => bytes = bytes.get(blocks as usize * size..).unwrap_or(&[]),
                Err(flaw) if self.at < self.header.head.place || !flaw.may_be_torn() => {
                    return self.refuse(flaw);
                }
                Err(flaw) => return self.stop(flaw, bytes),
            }
        }
    }

    /// Goes on by the group that begins with `bytes`; how many blocks it has.
    fn group(&mut self, bytes: &[u8], see: See<'_>) -> Result<u32, Flaw> {
        let Header { geometry, log, head, .. } = self.header;
        let (group, content) = Group::new_checked(bytes, geometry.block_size)?;
        if group.log != log {
            return Err(Flaw::OtherLog);
        }
        if group.place > self.at {
            return Err(Flaw::Misplaced);
        }
        if group.place < self.at || group.opening < self.opening {
            return Err(Flaw::Stale);
        }
        if (group.sequence, group.before) != (self.end.sequence, self.end.hash) {
            return Err(Flaw::Chain);
        }
        let after = self.at + u64::from(group.blocks);
        if self.at < head.place && after > head.place {
            return Err(Flaw::End);
        }
        match group.kind {
            Kind::Piece { number, total } => self.piece(number, total, content)?,
            Kind::Records(count) => {
                let kept = if self.at < head.place { Kept::Durable } else { Kept::Tail };
                self.records(records(content, count)?, after, kept, see)?;
            }
        }
        (self.at, self.opening) = (after, group.opening);
        Ok(group.blocks)
    }

    fn piece(&mut self, number: u32, total: u32, content: &[u8]) -> Result<(), Flaw> {
        let begun = Pieces { state: Vec::new(), total, next: 0, place: self.at };
        let pieces = self.pieces.get_or_insert(begun);
        if (number, total) != (pieces.next, pieces.total) {
            return Err(Flaw::Pieces);
        }
        pieces.state.extend_from_slice(content);
        pieces.next += 1;
        if pieces.state.len() > total as usize { Err(Flaw::Pieces) } else { Ok(()) }
    }

    /// Carries out the records of a group that ends at `after`.
    fn records<'a>(
        &mut self,
        records: impl Iterator<Item = &'a [u8]>,
        after: u64,
        kept: Kept,
        see: See<'_>,
    ) -> Result<(), Flaw> {
        let mut records = records.peekable();
        match (records.peek(), self.pieces.is_some()) {
            // It only fills a segment up.
            (None, true) => return Ok(()),
            (Some(first), true) => self.checkpoint(first, see)?,
            _ => {}
        }
        let replay = self.replay.as_mut().ok_or(Flaw::Pieces)?;
        for bytes in records {
            let record = replay.push(bytes, &mut |_| ());
            // For the place of the damage.
            self.end = Mark { place: self.end.place, ..Mark::of(replay, 0) };
            let record = record?;
            see(Seen::Record { record: &record, bytes, replay, kept });
        }
        self.end.place = after;
        Ok(())
    }

    /// The state that was read must be the one that `record` is a checkpoint of.
    fn checkpoint(&mut self, record: &[u8], see: See<'_>) -> Result<(), Flaw> {
        let Some(pieces) = self.pieces.take() else { return Ok(()) };
        let record = Record::decode(record).map_err(|error| Flaw::Record(error.into()))?;
        let Commit::Checkpoint { state } = record.commit else { return Err(Flaw::Pieces) };
        if pieces.state.len() != pieces.total as usize {
            return Err(Flaw::Pieces);
        }
        if Hash::of(&pieces.state) != state {
            return Err(Flaw::State);
        }
        if self.replay.is_none() {
            let Mark { sequence, hash, .. } = self.end;
            let replay = Replay::from_checkpoint(&pieces.state, sequence, hash)?;
            see(Seen::Beginning(&replay));
            self.replay = Some(replay);
        }
        self.begin = Mark { place: pieces.place, ..self.end };
        Ok(())
    }

    /// Here.
    fn damage(&self, why: Flaw) -> Damage {
        let geometry = &self.header.geometry;
        let (block, segment) = (geometry.block(self.at), geometry.segment(self.at));
        Damage { block, segment, sequence: self.end.sequence, why }
    }

    fn refuse(&self, flaw: Flaw) -> Phase {
        let damage = self.damage(flaw);
        Phase::Ended(Err(match flaw {
            Flaw::Blank | Flaw::Stale | Flaw::OtherLog => Refusal::Missing(damage),
            _ => Refusal::Tampered(damage),
        }))
    }

    /// The log ends before `rest`, which begins with no group that could follow.
    fn stop(self, flaw: Flaw, rest: &[u8]) -> Phase {
        let Header { geometry, log, generation, .. } = self.header;
        let is_ours = |(place, block): (u64, &[u8])| {
            Group::claimed(block).is_some_and(|group| {
                group.log == log && group.place == place && group.opening >= self.opening
            })
        };
        let mut later = (self.at..).zip(rest.chunks(geometry.block_size as usize));
        let is_torn = self.pieces.is_some() || later.any(is_ours);
        let tail = if is_torn { Tail::Torn(self.damage(flaw)) } else { Tail::Clean };
        let Self { header, headers, replay, end, begin, opening, .. } = self;
        let Some(replay) = replay.filter(|replay| replay.next() > 0) else {
            return Phase::Ended(Ok(Found::Nothing { generation }));
        };
        if replay.state().log() != Some(log) {
            let (block, segment) = (geometry.block(header.begin.place), 0);
            let damage =
                Damage { block, segment, sequence: header.begin.sequence, why: Flaw::OtherLog };
            return Phase::Ended(Err(Refusal::Tampered(damage)));
        }
        Phase::Ended(Ok(Found::Log(Box::new(Log {
            header,
            headers,
            replay,
            end,
            begin,
            opening,
            tail,
        }))))
    }
}

impl Flaw {
    /// Whether a write that was cut off, or never carried out, can leave this behind.
    const fn may_be_torn(self) -> bool {
        matches!(
            self,
            Self::Blank
                | Self::Stale
                | Self::NoGroup
                | Self::Head
                | Self::Checksum
                | Self::OtherLog
                | Self::Misplaced
                | Self::Chain
        )
    }
}
