//! A controller for tests, after version 1.4, and what may go wrong with it: its registers and
//! rings are here, what it does with commands in `admin` and `io`.
//!
//! ```text
//!   doorbell ──> fetch: each command gets its fate ──> pending ──later──> carry out ──> post, raise
//! ```

mod admin;
mod io;
mod rings;

use std::boxed::Box;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::vec;
use std::vec::Vec;

use hal::clock::Ticks;
use hal::mmio::Width;
use hal::sim::{Bus, DeviceModel};
use protocols::nvme::{Command, Configuration, ERROR_BYTES, HEALTH_BYTES, Status, offset};

pub(super) use self::io::Disk;
use self::rings::{CompletionRing, SubmissionRing};

pub(super) const BLOCK: usize = 512;
pub(super) const BLOCKS: usize = 4096;
/// Ticks from a doorbell to a completion.
const DELAY: u64 = 30_000;
/// `event` token: becoming ready. All others: numbers of commands.
const READY: u64 = 0;

/// What becomes of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Good,
    /// Refused with this status.
    Fails(Status),
    /// Never heard of again.
    Lost,
    /// Completed twice.
    Twice,
    /// Done, and a completion with this id comes first.
    AfterStray(u16),
    /// So many ticks late.
    Late(u64),
}

type Scribble = Box<dyn FnMut(&Command, &mut [u8]) + Send>;
type Fates = Box<dyn FnMut(&Command) -> Fate + Send>;

struct Pending {
    number: u64,
    queue: u16,
    command: Command,
    fate: Fate,
}

pub(super) struct Model {
    registers: BTreeMap<usize, u64>,
    submissions: BTreeMap<u16, SubmissionRing>,
    completions: BTreeMap<u16, CompletionRing>,
    pending: VecDeque<Pending>,
    fetched: u64,
    /// It has posted completions nobody waits for.
    posts_too_much: bool,
    /// Addresses of the doorbells in memory, and of the events.
    shadows: Option<(u64, u64)>,
    /// Ids of event requests, and the events to come, by their results.
    event_requests: VecDeque<u16>,
    events: VecDeque<u32>,
    pub(super) disks: BTreeMap<u32, Disk>,
    /// What becomes of I/O commands, and of admin commands.
    pub(super) fates: Fates,
    pub(super) admin_fates: Fates,
    /// Admin commands it does not know, and those it does not answer, by their opcodes.
    pub(super) refuses: BTreeSet<u8>,
    pub(super) ignores: BTreeSet<u8>,
    pub(super) queues_granted: u16,
    /// The MDTS field: pages of a transfer at most, as a power of two.
    pub(super) transfer_shift: u8,
    /// The ONCS field.
    pub(super) optional_commands: u16,
    /// The OACS field.
    pub(super) optional_admin_commands: u16,
    pub(super) health: [u8; HEALTH_BYTES],
    pub(super) errors: Vec<[u8; ERROR_BYTES]>,
    pub(super) changed: Vec<u32>,
    pub(super) flushes: u32,
    /// Commands that came by each I/O queue.
    pub(super) seen: BTreeMap<u16, u64>,
    /// How often each doorbell register was written, by its offset.
    pub(super) rings: BTreeMap<usize, u64>,
    pub(super) admin_seen: Vec<u8>,
    pub(super) resets: u32,
    pub(super) never_ready: bool,
    pub(super) never_stops: bool,
    pub(super) shutdown_seen: bool,
    /// Overwrites identify data before they are given out.
    pub(super) identify: Scribble,
    pub(super) cap: u64,
    status: u32,
}

impl Model {
    /// One namespace of [`BLOCKS`] blocks of [`BLOCK`] bytes; running, as firmware left it.
    pub(super) fn new() -> Self {
        Self {
            registers: BTreeMap::new(),
            submissions: BTreeMap::new(),
            completions: BTreeMap::new(),
            pending: VecDeque::new(),
            fetched: READY,
            posts_too_much: false,
            shadows: None,
            event_requests: VecDeque::new(),
            events: VecDeque::new(),
            disks: BTreeMap::from([(1, Disk::new(BLOCK, BLOCKS))]),
            fates: Box::new(|_| Fate::Good),
            admin_fates: Box::new(|_| Fate::Good),
            refuses: BTreeSet::new(),
            ignores: BTreeSet::new(),
            queues_granted: 64,
            transfer_shift: 7,
            optional_commands: 0b1100,
            optional_admin_commands: 0,
            health: [0; HEALTH_BYTES],
            errors: Vec::new(),
            changed: Vec::new(),
            flushes: 0,
            seen: BTreeMap::new(),
            rings: BTreeMap::new(),
            admin_seen: Vec::new(),
            resets: 0,
            never_ready: false,
            never_stops: false,
            shutdown_seen: false,
            identify: Box::new(|_, _| {}),
            // NVM commands, ready within two seconds, queues of 64.
            cap: 1 << 37 | 4 << 24 | 63,
            status: 1,
        }
    }

    /// The controller has failed, and says so.
    pub(super) fn fail(&mut self) {
        self.status |= 0b10;
    }

    /// The first namespace's data.
    pub(super) fn disk(&mut self) -> &mut [u8] {
        &mut self.disks.get_mut(&1).expect("it is there").data
    }

    /// Something happens that is reported with this result.
    pub(super) fn happens(&mut self, bus: &mut Bus<'_>, result: u32) {
        self.events.push_back(result);
        self.tell_events(bus);
    }

    fn tell_events(&mut self, bus: &mut Bus<'_>) {
        while !self.events.is_empty() {
            let Some(id) = self.event_requests.pop_front() else { return };
            let result = self.events.pop_front().expect("there is one");
            self.post(bus, 0, id, Status::SUCCESS, result);
        }
    }

    fn configure(&mut self, bus: &mut Bus<'_>, value: u32) {
        let enabled = Configuration(value).is_enabled();
        if value >> 14 & 0b11 != 0 {
            self.shutdown_seen = true;
            self.status = self.status & !0b1100 | 0b1000;
        }
        if !enabled && !self.never_stops {
            self.resets += self.status & 1;
            self.status &= !0b1111;
            self.submissions.clear();
            self.completions.clear();
            self.pending.clear();
            self.event_requests.clear();
            self.shadows = None;
        } else if enabled && self.status & 1 == 0 && !self.never_ready {
            let register = |at| self.registers.get(&at).copied().unwrap_or(0);
            let sizes = register(offset::AQA);
            let submissions = SubmissionRing::new(register(offset::ASQ), (sizes & 0xfff) + 1);
            let entries = (sizes >> 16 & 0xfff) + 1;
            let completions = CompletionRing::new(register(offset::ACQ), entries, Some(0));
            self.submissions.insert(0, submissions);
            self.completions.insert(0, completions);
            bus.call_after(Ticks(1_000_000), READY);
        }
    }

    /// Takes note of a command that was fetched; it is carried out later.
    fn fetch(&mut self, bus: &mut Bus<'_>, queue: u16, command: Command) {
        let fate = if queue == 0 {
            self.admin_seen.push(command.opcode());
            (self.admin_fates)(&command)
        } else {
            *self.seen.entry(queue).or_default() += 1;
            (self.fates)(&command)
        };
        self.fetched += 1;
        self.pending.push_back(Pending { number: self.fetched, queue, command, fate });
        let late = if let Fate::Late(ticks) = fate { ticks } else { 0 };
        bus.call_after(Ticks(DELAY + late), self.fetched);
    }

    fn finish(&mut self, bus: &mut Bus<'_>, pending: &Pending) {
        let Pending { queue, command, fate, .. } = pending;
        let (queue, id) = (*queue, command.id());
        self.posts_too_much |= matches!(fate, Fate::Twice | Fate::AfterStray(_));
        match fate {
            Fate::Lost => return,
            Fate::Fails(status) => return self.post(bus, queue, id, *status, 0),
            Fate::AfterStray(stray) => self.post(bus, queue, *stray, Status::SUCCESS, 0),
            Fate::Good | Fate::Twice | Fate::Late(_) => {}
        }
        let answer = if queue == 0 {
            self.administer(bus, command)
        } else {
            Some((self.carry_out(bus, command), 0))
        };
        let Some((status, result)) = answer else { return };
        self.post(bus, queue, id, status, result);
        if *fate == Fate::Twice {
            self.post(bus, queue, id, status, result);
        }
    }
}

impl DeviceModel for Model {
    fn read(&mut self, _bus: &mut Bus<'_>, at: usize, _width: Width) -> u64 {
        match at {
            offset::CAP => self.cap,
            offset::VS => 0x1_0400,
            offset::CSTS => u64::from(self.status),
            _ => self.registers.get(&at).copied().unwrap_or(u64::from(at == offset::CC)),
        }
    }

    fn write(&mut self, bus: &mut Bus<'_>, at: usize, _width: Width, value: u64) {
        self.registers.insert(at, value);
        match at {
            offset::CC => self.configure(bus, value as u32),
            offset::DOORBELLS.. => {
                *self.rings.entry(at).or_default() += 1;
                let index = (at - offset::DOORBELLS) / 4;
                let queue = (index / 2) as u16;
                if index.is_multiple_of(2) {
                    self.tail_moved(bus, queue, value);
                } else if let Some(ring) = self.completions.get_mut(&queue) {
                    ring.head = value;
                }
            }
            _ => {}
        }
    }

    fn event(&mut self, bus: &mut Bus<'_>, token: u64) {
        if token == READY {
            self.status |= 1;
            return;
        }
        let found = self.pending.iter().position(|pending| pending.number == token);
        let Some(pending) = found.and_then(|at| self.pending.remove(at)) else { return };
        self.finish(bus, &pending);
        self.look_at_shadow(bus, pending.queue);
    }
}

/// A status of the generic kind, not to be repeated.
fn generic(code: u8) -> Status {
    Status { kind: 0, code, do_not_retry: true }
}

fn zeroed(bytes: usize) -> Vec<u8> {
    vec![0; bytes]
}
