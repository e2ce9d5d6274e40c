//! A controller for tests: 1.4, one namespace of 512-byte blocks in memory, and what may go wrong
//! with it.

use std::boxed::Box;
use std::collections::{BTreeMap, VecDeque};
use std::vec;
use std::vec::Vec;

use hal::clock::Ticks;
use hal::dma::DeviceAddress;
use hal::mmio::Width;
use hal::sim::{Bus, DeviceModel};
use protocols::nvme::{
    Command, Completion, Configuration, PAGE_BYTES, Phase, Status, list_entries, offset,
};

pub(super) const BLOCK: usize = 512;
pub(super) const BLOCKS: usize = 4096;
/// Ticks from a doorbell to a completion.
const DELAY: u64 = 30_000;
/// `event` tokens: becoming ready, or else carrying out a command.
const READY: u64 = 1;

/// What becomes of an I/O command.
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

#[derive(Default)]
struct Ring {
    base: u64,
    entries: u64,
    place: u64,
    pass: u64,
}

pub(super) struct Model {
    registers: BTreeMap<usize, u64>,
    submissions: BTreeMap<u16, Ring>,
    completions: BTreeMap<u16, Ring>,
    pending: VecDeque<(u16, Command, Fate)>,
    pub(super) disk: Vec<u8>,
    pub(super) fates: Fates,
    pub(super) flushes: u32,
    pub(super) never_ready: bool,
    pub(super) never_stops: bool,
    pub(super) shutdown_seen: bool,
    /// Overwrites identify data before they are given out.
    pub(super) identify: Scribble,
    cap: u64,
    status: u32,
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            registers: BTreeMap::new(),
            submissions: BTreeMap::new(),
            completions: BTreeMap::new(),
            pending: VecDeque::new(),
            disk: vec![0; BLOCK * BLOCKS],
            fates: Box::new(|_| Fate::Good),
            flushes: 0,
            never_ready: false,
            never_stops: false,
            shutdown_seen: false,
            identify: Box::new(|_, _| {}),
            // NVM commands, ready within two seconds, queues of 64.
            cap: 1 << 37 | 4 << 24 | 63,
            // As firmware left it: running.
            status: 1,
        }
    }

    pub(super) fn fail(&mut self) {
        self.status |= 0b10;
    }

    fn configure(&mut self, bus: &mut Bus<'_>, value: u32) {
        let enabled = Configuration(value).is_enabled();
        if value >> 14 & 0b11 != 0 {
            self.shutdown_seen = true;
            self.status = self.status & !0b1100 | 0b1000;
        }
        if !enabled && !self.never_stops {
            self.status &= !0b1111;
            self.submissions.clear();
            self.completions.clear();
            self.pending.clear();
        } else if enabled && self.status & 1 == 0 && !self.never_ready {
            let register = |at| self.registers.get(&at).copied().unwrap_or(0);
            let sizes = register(offset::AQA);
            let ring = |base, entries| Ring { base, entries, place: 0, pass: 0 };
            let admin = (
                ring(register(offset::ASQ), (sizes & 0xfff) + 1),
                ring(register(offset::ACQ), (sizes >> 16 & 0xfff) + 1),
            );
            self.submissions.insert(0, admin.0);
            self.completions.insert(0, admin.1);
            bus.call_after(Ticks(1_000_000), READY);
        }
    }

    fn submitted(&mut self, bus: &mut Bus<'_>, queue: u16, tail: u64) {
        while let Some(ring) = self.submissions.get_mut(&queue) {
            if ring.place == tail || tail >= ring.entries {
                return;
            }
            let mut bytes = [0; 64];
            if bus.dma_read(DeviceAddress(ring.base + ring.place * 64), &mut bytes).is_err() {
                return;
            }
            ring.place = (ring.place + 1) % ring.entries;
            let word = |at: usize| {
                u64::from_le_bytes(bytes[at * 8..at * 8 + 8].try_into().expect("eight bytes"))
            };
            let command = Command(std::array::from_fn(word));
            let fate = if queue == 0 { Fate::Good } else { (self.fates)(&command) };
            self.pending.push_back((queue, command, fate));
            let late = if let Fate::Late(ticks) = fate { ticks } else { 0 };
            bus.call_after(Ticks(DELAY + late), u64::from(command.id()) << 16 | 1 << 8);
        }
    }

    fn post(&mut self, bus: &mut Bus<'_>, queue: u16, id: u16, status: Status) {
        let Some(ring) = self.completions.get_mut(&queue) else { return };
        let phase = if ring.pass.is_multiple_of(2) { Phase::One } else { Phase::Zero };
        let entry = Completion {
            result: 0,
            submission_head: 0,
            submission_queue: queue,
            id,
            phase,
            status,
        };
        let bytes: Vec<u8> = entry.words().iter().flat_map(|word| word.to_le_bytes()).collect();
        let _ = bus.dma_write(DeviceAddress(ring.base + ring.place * 16), &bytes);
        ring.place += 1;
        if ring.place == ring.entries {
            ring.place = 0;
            ring.pass += 1;
        }
    }

    fn carry_out(&mut self, bus: &mut Bus<'_>, queue: u16, command: &Command) -> Status {
        const INVALID: Status = Status { kind: 0, code: 2, do_not_retry: true };
        let ring =
            |low: u32, base| Ring { base, entries: u64::from(low >> 16) + 1, place: 0, pass: 0 };
        match (queue, command.opcode()) {
            (0, 0x06) => self.identify(bus, command),
            (0, 0x09) => Status::SUCCESS,
            (0, 0x05) => {
                let number = command.dword(10) as u16;
                self.completions.insert(number, ring(command.dword(10), command.prp().first));
                Status::SUCCESS
            }
            (0, 0x01) => {
                let number = command.dword(10) as u16;
                self.submissions.insert(number, ring(command.dword(10), command.prp().first));
                Status::SUCCESS
            }
            (_, 0x00) => {
                self.flushes += 1;
                Status::SUCCESS
            }
            (1.., 0x01 | 0x02) => self.transfer(bus, command),
            _ => INVALID,
        }
    }

    fn identify(&mut self, bus: &mut Bus<'_>, command: &Command) -> Status {
        let mut page = [0u8; PAGE_BYTES];
        match command.dword(10) {
            0 => {
                page[..8].copy_from_slice(&(BLOCKS as u64).to_le_bytes());
                page[128 + 2] = 9;
            }
            1 => {
                page[24..30].copy_from_slice(b"Modell");
                page[77] = 7;
                page[516] = 1;
            }
            _ => page[0] = 1,
        }
        (self.identify)(command, &mut page);
        let _ = bus.dma_write(DeviceAddress(command.prp().first), &page);
        Status::SUCCESS
    }

    fn transfer(&mut self, bus: &mut Bus<'_>, command: &Command) -> Status {
        let start = (u64::from(command.dword(11)) << 32 | u64::from(command.dword(10))) as usize;
        let bytes = (command.dword(12) as usize + 1) * BLOCK;
        let first = start * BLOCK;
        if start + bytes / BLOCK > BLOCKS || command.namespace() != 1 {
            return Status { kind: 0, code: 0x80, do_not_retry: true };
        }
        let mut pages = vec![command.prp().first];
        match list_entries(bytes) {
            Some(0) if bytes > PAGE_BYTES => pages.push(command.prp().second),
            Some(entries) => {
                let mut list = vec![0; entries * 8];
                if entries > 0
                    && bus.dma_read(DeviceAddress(command.prp().second), &mut list).is_err()
                {
                    return Status { kind: 0, code: 4, do_not_retry: true };
                }
                let entry = |entry: &[u8]| u64::from_le_bytes(entry.try_into().expect("eight"));
                pages.extend(list.chunks_exact(8).map(entry));
            }
            None => return Status { kind: 0, code: 2, do_not_retry: true },
        }
        for (part, page) in self.disk[first..first + bytes].chunks_mut(PAGE_BYTES).zip(pages) {
            let done = match command.opcode() {
                0x01 => bus.dma_read(DeviceAddress(page), part),
                _ => bus.dma_write(DeviceAddress(page), part),
            };
            if done.is_err() {
                return Status { kind: 0, code: 4, do_not_retry: true };
            }
        }
        Status::SUCCESS
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
            offset::DOORBELLS.. if (at / 4).is_multiple_of(2) => {
                self.submitted(bus, ((at - offset::DOORBELLS) / 8) as u16, value);
            }
            _ => {}
        }
    }

    fn event(&mut self, bus: &mut Bus<'_>, token: u64) {
        if token == READY {
            self.status |= 1;
            return;
        }
        let id = (token >> 16) as u16;
        let found = self.pending.iter().position(|(_, command, _)| command.id() == id);
        let Some((queue, command, fate)) = found.and_then(|at| self.pending.remove(at)) else {
            return;
        };
        match fate {
            Fate::Lost => return,
            Fate::Fails(status) => return self.post(bus, queue, id, status),
            Fate::AfterStray(stray) => self.post(bus, queue, stray, Status::SUCCESS),
            Fate::Good | Fate::Twice | Fate::Late(_) => {}
        }
        let status = self.carry_out(bus, queue, &command);
        self.post(bus, queue, id, status);
        if fate == Fate::Twice {
            self.post(bus, queue, id, status);
        }
    }
}
