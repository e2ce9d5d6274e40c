//! An HBA for tests, with disks in memory, and what may go wrong with it.
//!
//! It objects to what a driver must not do: see [`Model::complaints`].

mod disk;
mod engine;
mod transfer;

use std::boxed::Box;
use std::string::String;
use std::vec::Vec;

use hal::clock::Ticks;
use hal::mmio::Width;
use hal::sim::{Bus, DeviceModel};
use protocols::ahci::{Control, Handoff, PORT_BYTES, PORTS_AT, offset};
use protocols::ata::{Command, Outcome};

pub(super) use self::disk::{BLOCKS, Disk, Kind};
pub(super) use self::engine::Port;

/// What becomes of a command that reads, writes, flushes or trims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Good,
    /// Refused with these registers.
    Fails(Outcome),
    /// Never heard of again.
    Lost,
    /// Done, and nobody is told.
    Untold,
    /// Told twice.
    Twice,
    /// So many ticks late.
    Late(u64),
    /// The port reports these causes and stops.
    Breaks(u32),
}

/// Where this HBA is not as the specification says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Specified,
    /// As QEMU does it: a command that failed counts as done, others go on, and there is no log.
    Lax,
}

/// What firmware does when asked for the HBA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Firmware {
    None,
    /// Lets go, so many ticks later.
    LetsGo(u64),
    Keeps,
}

type Fates = Box<dyn FnMut(u8, &Command) -> Fate + Send>;

pub(super) struct Model {
    pub(super) ports: Vec<Port>,
    pub(super) fates: Fates,
    pub(super) style: Style,
    pub(super) firmware: Firmware,
    pub(super) never_resets: bool,
    pub(super) cap: u32,
    pub(super) implemented: u32,
    /// What the driver did wrong.
    pub(super) complaints: Vec<String>,
    ghc: u32,
    bohc: u32,
    pending: u32,
}

/// `event` tokens: what, and then the port, the slot and the port's epoch.
const RESET_DONE: u64 = 1;
const LET_GO: u64 = 2;
pub(super) const READY: u64 = 3;
pub(super) const STOPPED: u64 = 4;
pub(super) const CARRY_OUT: u64 = 5;

fn token(what: u64, port: usize, slot: u8, epoch: u32) -> u64 {
    what | (port as u64) << 8 | u64::from(slot) << 16 | u64::from(epoch) << 32
}

impl Model {
    /// As firmware left it: running, one port for each of `disks`.
    pub(super) fn new(disks: impl IntoIterator<Item = Option<Disk>>) -> Self {
        let ports: Vec<Port> = disks.into_iter().map(Port::new).collect();
        Self {
            cap: (ports.len() as u32 - 1) | 31 << 8 | 1 << 18 | 1 << 30 | 1 << 31,
            implemented: (1u64 << ports.len()).wrapping_sub(1) as u32,
            ports,
            fates: Box::new(|_, _| Fate::Good),
            style: Style::Specified,
            firmware: Firmware::None,
            never_resets: false,
            complaints: Vec::new(),
            ghc: Control::AHCI,
            bohc: 1,
            pending: 0,
        }
    }

    /// The disk at port `number`.
    pub(super) fn disk(&mut self, number: usize) -> &mut Disk {
        self.ports[number].disk.as_mut().expect("there is one")
    }

    /// Takes the disk at port `number` out.
    pub(super) fn unplug(&mut self, bus: &mut Bus<'_>, number: usize) -> Disk {
        let disk = self.ports[number].unplug();
        self.look_at_interrupts(bus);
        disk
    }

    /// Puts a disk in.
    pub(super) fn plug_in(&mut self, bus: &mut Bus<'_>, number: usize, disk: Disk) {
        let port = &mut self.ports[number];
        port.disk = Some(disk);
        port.link_comes_up(bus, number);
        self.look_at_interrupts(bus);
    }

    /// One message when the HBA begins to have anything to report.
    fn look_at_interrupts(&mut self, bus: &mut Bus<'_>) {
        let before = self.pending;
        for (number, port) in self.ports.iter().enumerate() {
            if port.asks() {
                self.pending |= 1 << number;
            }
        }
        if before == 0 && self.pending != 0 && self.ghc & Control::INTERRUPTS != 0 {
            bus.raise(0);
        }
    }

    fn control(&mut self, bus: &mut Bus<'_>, value: u32) {
        self.ghc = value & (Control::INTERRUPTS | Control::RESET) | Control::AHCI;
        if value & Control::RESET != 0 && !self.never_resets {
            bus.call_after(Ticks(300_000), RESET_DONE);
        }
    }

    fn write_bohc(&mut self, bus: &mut Bus<'_>, value: u32) {
        self.bohc = self.bohc & 1 | value & Handoff::WANTED;
        if let Firmware::LetsGo(ticks) = self.firmware {
            self.bohc |= 1 << 4;
            bus.call_after(Ticks(ticks), LET_GO);
        }
    }
}

impl DeviceModel for Model {
    fn read(&mut self, _bus: &mut Bus<'_>, at: usize, _width: Width) -> u64 {
        let value = match at {
            offset::CAP => self.cap,
            offset::GHC => self.ghc,
            offset::IS => self.pending,
            offset::PI => self.implemented,
            offset::VS => 0x1_0301,
            offset::CAP2 => u32::from(self.firmware != Firmware::None),
            offset::BOHC => self.bohc,
            PORTS_AT.. => match self.ports.get((at - PORTS_AT) / PORT_BYTES) {
                Some(port) => port.read(at % PORT_BYTES),
                None => 0,
            },
            _ => 0,
        };
        u64::from(value)
    }

    fn write(&mut self, bus: &mut Bus<'_>, at: usize, _width: Width, value: u64) {
        let value = value as u32;
        match at {
            offset::GHC => self.control(bus, value),
            offset::IS => self.pending &= !value,
            offset::BOHC => self.write_bohc(bus, value),
            PORTS_AT.. => {
                let number = (at - PORTS_AT) / PORT_BYTES;
                if let Some(port) = self.ports.get_mut(number) {
                    let mut rest = engine::Rest {
                        fates: &mut self.fates,
                        complaints: &mut self.complaints,
                        style: self.style,
                    };
                    port.write(bus, &mut rest, number, at % PORT_BYTES, value);
                }
            }
            _ => {}
        }
        self.look_at_interrupts(bus);
    }

    fn event(&mut self, bus: &mut Bus<'_>, token: u64) {
        let (number, slot) = ((token >> 8 & 0xff) as usize, (token >> 16 & 0xff) as u8);
        let epoch = (token >> 32) as u32;
        match token & 0xff {
            RESET_DONE => {
                self.ghc = Control::AHCI;
                self.pending = 0;
                for (number, port) in self.ports.iter_mut().enumerate() {
                    port.reset(bus, number);
                }
            }
            LET_GO => self.bohc &= !0b1_0001,
            what => {
                let mut rest = engine::Rest {
                    fates: &mut self.fates,
                    complaints: &mut self.complaints,
                    style: self.style,
                };
                if let Some(port) = self.ports.get_mut(number).filter(|port| port.epoch == epoch) {
                    port.event(bus, &mut rest, what, slot);
                }
            }
        }
        self.look_at_interrupts(bus);
    }
}
