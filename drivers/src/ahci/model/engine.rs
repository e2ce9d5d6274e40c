//! A port: its registers, its engine, its link.

use std::collections::BTreeMap;
use std::format;
use std::string::String;
use std::vec::Vec;

use hal::clock::Ticks;
use hal::dma::DeviceAddress;
use hal::sim::{Bus, BusError};
use protocols::ahci::{
    Fis, Header, PioSetup, PortCommand, PortInterrupts, Registers, SetDeviceBits, place,
    port_offset,
};
use protocols::ata::{Command, Outcome, QueueError};

use super::disk::{Answered, Data, Disk};
use super::transfer::{Moved, transfer, words};
use super::{CARRY_OUT, Fate, Fates, READY, STOPPED, Style, token};

/// Ticks from handing over a command to its end, from a stop to the stand, and from a link reset to
/// a ready disk.
const DELAY: u64 = 30_000;
const STOP_DELAY: u64 = 50_000;
const READY_DELAY: u64 = 3_000_000;

const RUNNING: u32 = 1 << 15;
const RECEIVING: u32 = 1 << 14;
const REGISTERS_CAME: u32 = 1 << 0;
const PIO_SETUP_CAME: u32 = 1 << 1;
const BITS_CAME: u32 = 1 << 3;
/// Link errors: exchanged, link went up or down.
const EXCHANGED: u32 = 1 << 26;
const LINK_CHANGED: u32 = 1 << 16;
/// The link is up, at 1.5 Gbit/s.
const UP: u32 = 0x113;

/// The rest of the model, as a port needs it.
pub(super) struct Rest<'a> {
    pub(super) fates: &'a mut Fates,
    pub(super) complaints: &'a mut Vec<String>,
    pub(super) style: Style,
}

struct Pending {
    command: Command,
    header: Header,
    fate: Fate,
}

pub(in super::super) struct Port {
    pub(in super::super) disk: Option<Disk>,
    /// The engine does not stop when told to.
    pub(in super::super) never_stops: bool,
    /// Not even by a reset of the link.
    pub(in super::super) never_at_all: bool,
    /// Resets of the link there have been.
    pub(in super::super) resets: u32,
    pub(super) epoch: u32,
    list: u64,
    received: u64,
    causes: u32,
    enabled: u32,
    command: u32,
    task_file: u32,
    signature: u32,
    link: u32,
    control: u32,
    errors: u32,
    active: u32,
    issued: u32,
    halted: bool,
    pending: BTreeMap<u8, Pending>,
}

impl Port {
    pub(super) fn new(disk: Option<Disk>) -> Self {
        let link = if disk.is_some() { UP } else { 0 };
        Self {
            disk,
            never_stops: false,
            never_at_all: false,
            resets: 0,
            epoch: 0,
            list: 0,
            received: 0,
            causes: 0,
            enabled: 0,
            // As firmware left it.
            command: PortCommand::START | PortCommand::RECEIVE | RUNNING | RECEIVING,
            task_file: 0x50,
            signature: 0x101,
            link,
            control: 0,
            errors: 0,
            active: 0,
            issued: 0,
            halted: false,
            pending: BTreeMap::new(),
        }
    }

    fn causes(&self) -> u32 {
        let mut causes = self.causes;
        if self.errors & EXCHANGED != 0 {
            causes |= PortInterrupts::CONNECT_CHANGE;
        }
        if self.errors & LINK_CHANGED != 0 {
            causes |= PortInterrupts::READY_CHANGE;
        }
        causes
    }

    pub(super) fn asks(&self) -> bool {
        self.causes() & self.enabled != 0
    }

    pub(super) fn read(&self, at: usize) -> u32 {
        match at {
            port_offset::CLB => self.list as u32,
            port_offset::FB => self.received as u32,
            port_offset::IS => self.causes(),
            port_offset::IE => self.enabled,
            port_offset::CMD => self.command,
            port_offset::TFD => self.task_file,
            port_offset::SIG => self.signature,
            port_offset::SSTS => self.link,
            port_offset::SCTL => self.control,
            port_offset::SERR => self.errors,
            port_offset::SACT => self.active,
            port_offset::CI => self.issued,
            _ => 0,
        }
    }

    pub(super) fn write(
        &mut self,
        bus: &mut Bus<'_>,
        rest: &mut Rest<'_>,
        number: usize,
        at: usize,
        value: u32,
    ) {
        let runs = self.command & RUNNING != 0;
        let mut complain = |what: &str| rest.complaints.push(format!("port {number}: {what}"));
        match at {
            port_offset::CLB | port_offset::CLBU | port_offset::FB | port_offset::FBU
                if self.command & (RUNNING | RECEIVING) != 0 =>
            {
                complain("memory moved while in use");
            }
            port_offset::CLB => self.list = self.list & !0xffff_ffff | u64::from(value),
            port_offset::CLBU => self.list = self.list & 0xffff_ffff | u64::from(value) << 32,
            port_offset::FB => self.received = self.received & !0xffff_ffff | u64::from(value),
            port_offset::FBU => {
                self.received = self.received & 0xffff_ffff | u64::from(value) << 32;
            }
            port_offset::IS => self.causes &= !value,
            port_offset::IE => self.enabled = value,
            port_offset::SERR => self.errors &= !value,
            port_offset::CMD => self.set_command(bus, rest, number, value),
            port_offset::SCTL => {
                if value & 0xf == 1 && self.command & PortCommand::START != 0 {
                    complain("link reset while started");
                }
                let was_reset = self.control & 0xf == 1;
                self.control = value;
                if was_reset && value & 0xf == 0 {
                    self.resets += 1;
                    self.link_reset(bus, number);
                }
            }
            port_offset::SACT => {
                if !runs || self.active & value != 0 {
                    let active = self.active;
                    complain(&format!("tags {value:#x} of {active:#x}, running: {runs}"));
                }
                self.active |= value;
            }
            port_offset::CI => {
                if !runs || self.issued & value != 0 {
                    let issued = self.issued;
                    complain(&format!("slots {value:#x} of {issued:#x}, running: {runs}"));
                }
                self.issued |= value;
                for slot in (0..32).filter(|slot| value >> slot & 1 == 1) {
                    self.fetch(bus, rest, number, slot);
                }
            }
            _ => {}
        }
    }

    fn set_command(&mut self, bus: &mut Bus<'_>, rest: &mut Rest<'_>, number: usize, value: u32) {
        let starts = |bits: u32| bits & PortCommand::START != 0;
        let (before, kept) = (self.command, self.command & (RUNNING | RECEIVING));
        self.command = value & 0x0fff_3fff & !(0x1f << 8) | kept;
        if value & PortCommand::RECEIVE != 0 {
            self.command |= RECEIVING;
        } else {
            if kept & RUNNING != 0 {
                rest.complaints.push(format!("port {number}: receiving ended while running"));
            }
            self.command &= !RECEIVING;
        }
        if starts(value) && !starts(before) {
            if self.task_file & 0x88 != 0 || self.link & 0xf != 3 {
                rest.complaints.push(format!("port {number}: started without a free device"));
            }
            self.command |= RUNNING;
            self.halted = false;
        }
        if starts(before) && !starts(value) {
            self.issued = 0;
            if rest.style == Style::Specified {
                self.active = 0;
            }
            if !self.never_stops {
                bus.call_after(Ticks(STOP_DELAY), token(STOPPED, number, 0, self.epoch));
            }
        }
    }

    /// A new life: what was under way ends without a trace.
    fn forget(&mut self) {
        self.epoch += 1;
        self.pending.clear();
        self.halted = false;
    }

    pub(super) fn reset(&mut self, bus: &mut Bus<'_>, number: usize) {
        let disk = self.disk.take();
        *self = Self { epoch: self.epoch, resets: self.resets, ..Self::new(None) };
        self.command = 0;
        self.disk = disk;
        self.link_reset(bus, number);
    }

    fn link_reset(&mut self, bus: &mut Bus<'_>, number: usize) {
        if !self.never_at_all {
            self.forget();
            self.command &= !RUNNING;
            (self.active, self.issued) = (0, 0);
        }
        (self.link, self.task_file) = (0, 0x80);
        if let Some(disk) = &mut self.disk {
            disk.failed = None;
            self.link_comes_up(bus, number);
        }
    }

    pub(super) fn link_comes_up(&mut self, bus: &mut Bus<'_>, number: usize) {
        self.link = UP;
        self.errors |= EXCHANGED | LINK_CHANGED;
        self.task_file = 0x80;
        bus.call_after(Ticks(READY_DELAY), token(READY, number, 0, self.epoch));
    }

    pub(super) fn unplug(&mut self) -> Disk {
        if !self.never_at_all {
            self.forget();
        }
        (self.link, self.task_file) = (0, 0x7f);
        self.errors |= LINK_CHANGED;
        let mut disk = self.disk.take().expect("there is one");
        disk.failed = None;
        disk
    }

    pub(super) fn event(&mut self, bus: &mut Bus<'_>, rest: &mut Rest<'_>, what: u64, slot: u8) {
        match what {
            READY => {
                if let Some(disk) = &self.disk
                    && !disk.never_ready
                {
                    (self.task_file, self.signature) = (0x50, disk.kind.signature());
                }
            }
            STOPPED if self.command & PortCommand::START == 0 => {
                self.command &= !RUNNING;
                if rest.style == Style::Specified {
                    self.forget();
                }
            }
            CARRY_OUT if !self.halted => self.carry_out(bus, rest, slot),
            _ => {}
        }
    }

    fn fetch(&mut self, bus: &mut Bus<'_>, rest: &mut Rest<'_>, number: usize, slot: u8) {
        if self.halted {
            return;
        }
        let header = words::<4>(bus, self.list + u64::from(slot) * 32).map(Header::read);
        let Ok(header) = header else { return self.break_off(PortInterrupts::BUS_FATAL) };
        let mut frame = [0; 20];
        if bus.dma_read(DeviceAddress(header.table), &mut frame).is_err() {
            return self.break_off(PortInterrupts::BUS_FATAL);
        }
        let mut complain = |what: &str| rest.complaints.push(format!("port {number}: {what}"));
        let Ok(Fis::Command(command)) = Fis::new_checked(&frame) else {
            return complain("no command in the frame");
        };
        let Some(disk) = &mut self.disk else { return };
        let queued = command.is_queued();
        if self.pending.values().any(|other| other.command.is_queued() != queued) {
            complain("queued commands mixed with others");
        }
        if queued {
            if command.tag() != slot || self.active >> slot & 1 == 0 {
                complain("a queued command without its tag");
            }
            if u32::from(slot) >= disk.depth() {
                complain("more queued commands than the disk takes");
            }
            self.issued &= !(1 << slot);
        } else if self.active != 0 && rest.style == Style::Specified {
            complain("a command among queued ones");
        }
        let mut fate =
            if disk.is_data(&command) { (rest.fates)(number as u8, &command) } else { Fate::Good };
        if disk.failed.is_some() && !disk.tells_failed(&command) {
            complain("a command before the log of the failed one was read");
            fate = Fate::Fails(Outcome::new(0x51, 4));
        }
        self.pending.insert(slot, Pending { command, header, fate });
        let late = if let Fate::Late(ticks) = fate { ticks } else { 0 };
        bus.call_after(Ticks(DELAY + late), token(CARRY_OUT, number, slot, self.epoch));
    }

    /// The engine stops by itself, with this to report.
    fn break_off(&mut self, causes: u32) {
        self.causes |= causes;
        self.halted = true;
    }

    fn carry_out(&mut self, bus: &mut Bus<'_>, rest: &mut Rest<'_>, slot: u8) {
        let Some(pending) = self.pending.remove(&slot) else { return };
        let Some(disk) = &mut self.disk else { return };
        let answered = match pending.fate {
            Fate::Lost => return,
            Fate::Breaks(causes) => return self.break_off(causes),
            Fate::Fails(outcome) => Answered { outcome, lba: 0, data: Data::None },
            _ => disk.answer(&pending.command),
        };
        if !answered.outcome.status.is_failed() {
            match transfer(bus, &pending.header, disk, &answered.data) {
                Ok(Moved::All) => {}
                Ok(Moved::Wrong) => rest.complaints.push("pieces of the wrong length".into()),
                Err(BusError) => return self.break_off(PortInterrupts::BUS_DATA),
            }
            if pending.fate == Fate::Untold {
                return;
            }
        }
        let Outcome { status, error } = answered.outcome;
        self.task_file = u32::from(error.0) << 8 | u32::from(status.0);
        let queued = pending.command.is_queued();
        if status.is_failed() {
            self.causes |= PortInterrupts::TASK_FILE;
            self.halted = rest.style == Style::Specified;
            if queued {
                let failed = QueueError { tag: slot, outcome: answered.outcome };
                if rest.style == Style::Specified {
                    disk.failed = Some(failed);
                    self.pending.clear();
                }
            } else if rest.style == Style::Lax {
                self.issued &= !(1 << slot);
            }
        } else if queued {
            self.active &= !(1 << slot);
        } else {
            self.issued &= !(1 << slot);
        }
        self.tell(bus, &answered, queued, slot);
        if pending.fate == Fate::Twice {
            self.tell(bus, &answered, queued, slot);
        }
    }

    fn tell(&mut self, bus: &mut Bus<'_>, answered: &Answered, queued: bool, slot: u8) {
        let registers = Registers { outcome: answered.outcome, lba: answered.lba, count: 0 };
        let (at, frame, came) = if queued {
            let done = if answered.outcome.status.is_failed() { 0 } else { 1 << slot };
            let bits = SetDeviceBits { outcome: answered.outcome, done };
            (place::DEVICE_BITS, bits.frame().to_vec(), BITS_CAME)
        } else if let Data::ToHost(data) = &answered.data {
            let setup = PioSetup { registers, end_status: 0x50, bytes: data.len() as u16 };
            (place::PIO_SETUP, setup.frame().to_vec(), PIO_SETUP_CAME)
        } else {
            (place::REGISTERS, registers.frame().to_vec(), REGISTERS_CAME)
        };
        let _ = bus.dma_write(DeviceAddress(self.received + at as u64), &frame);
        self.causes |= came;
    }
}
