//! A root port with a slot, and cards to plug into it, as configuration space: buses 0 and 1.

use std::vec;
use std::vec::Vec;

use hal::clock::Ticks;
use hal::mmio::Width;
use hal::sim::{Bus, DeviceModel};
use protocols::pci::express::{SlotCapabilities, SlotControl, SlotStatus, place};

/// Bytes of a bus's configuration space.
pub(super) const BUS_BYTES: usize = 1 << 20;
const PORT: usize = 8 << 12;
const EXPRESS: usize = 0x40;
const CONTROL: usize = EXPRESS + place::SLOT_CONTROL as usize;
const STATUS: usize = EXPRESS + place::SLOT_STATUS as usize;
const LINK: usize = EXPRESS + place::LINK_STATUS as usize;
/// What is asked for at a later time: bits of slot status, or this.
const LINK_UP: u64 = 1 << 32;

/// What the slot was told and what happened to it, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    PowerOn,
    PowerOff,
    Blink,
}

pub(super) struct Model {
    port: Vec<u8>,
    /// What is in the slot.
    card: Option<Vec<u8>>,
    /// How long the link takes; `None`: it never comes.
    pub link: Option<Ticks>,
    /// How long a command takes; `None`: it is never completed.
    pub command: Option<Ticks>,
    /// Whether cards leave the slot by themselves once they have no power.
    pub ejects: bool,
    pub steps: Vec<Step>,
    asserted: bool,
}

pub(super) fn slot() -> SlotCapabilities {
    SlotCapabilities::HOT_PLUG
        | SlotCapabilities::SURPRISE
        | SlotCapabilities::ATTENTION_BUTTON
        | SlotCapabilities::POWER_CONTROLLER
        | SlotCapabilities::POWER_INDICATOR
        | SlotCapabilities::ATTENTION_INDICATOR
}

fn card() -> Vec<u8> {
    let mut config = vec![0; 4096];
    config[..4].copy_from_slice(&[0x36, 0x1b, 0x10, 0]);
    config[8..12].copy_from_slice(&[2, 2, 8, 1]);
    config[0x10] = 4;
    config
}

impl Model {
    /// A slot that can do this, empty and without power.
    pub fn new(slot: SlotCapabilities) -> Self {
        let mut port = vec![0; 4096];
        port[..4].copy_from_slice(&[0x36, 0x1b, 0x0c, 0]);
        port[6] = 0x10;
        port[8..12].copy_from_slice(&[0, 0, 4, 6]);
        (port[14], port[0x19], port[0x1a]) = (1, 1, 1);
        // Memory from 0xfe00_0000, 2 MiB; nothing prefetchable, no ports.
        port[0x1c..0x28].copy_from_slice(&[0xf0, 0, 0, 0, 0, 0xfe, 0x10, 0xfe, 0xf0, 0xff, 0, 0]);
        port[0x34] = EXPRESS as u8;
        port[EXPRESS..EXPRESS + 4].copy_from_slice(&[0x10, 0, 0x42, 0x01]);
        port[EXPRESS + 0xc..EXPRESS + 0x10].copy_from_slice(&(1u32 << 20).to_le_bytes());
        port[EXPRESS + 0x14..EXPRESS + 0x18].copy_from_slice(&slot.bits().to_le_bytes());
        let mut model = Self {
            port,
            card: None,
            link: Some(Ticks(30_000_000)),
            command: Some(Ticks(2_000_000)),
            ejects: false,
            steps: Vec::new(),
            asserted: false,
        };
        if slot.contains(SlotCapabilities::POWER_CONTROLLER) {
            model.set(CONTROL, SlotControl::POWER_OFF.bits());
        }
        model
    }

    /// With a card that works, as firmware leaves it.
    pub fn occupied(mut self) -> Self {
        self.set(CONTROL, 0);
        self.set(STATUS, SlotStatus::PRESENT.bits());
        self.set(LINK, 1 << 13);
        self.card = Some(card());
        self
    }

    fn get(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.port[at], self.port[at + 1]])
    }

    fn set(&mut self, at: usize, value: u16) {
        self.port[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }

    pub fn control(&self) -> SlotControl {
        SlotControl::from_bits_retain(self.get(CONTROL))
    }

    fn is_linked(&self) -> bool {
        self.get(LINK) != 0
    }

    /// Something happens; the interrupt is raised if nothing else was waiting.
    fn happen(&mut self, bus: &mut Bus<'_>, events: SlotStatus) {
        self.set(STATUS, self.get(STATUS) | events.bits());
        self.settle(bus);
    }

    fn settle(&mut self, bus: &mut Bus<'_>) {
        let (status, control) = (self.get(STATUS), self.get(CONTROL));
        // Status and enable bits have the same places, but the link's.
        let events = status & control & 0x1f | (status >> 8 & control >> 12 & 1) << 8;
        let due = events != 0 && control & SlotControl::INTERRUPT.bits() != 0;
        if due && !self.asserted {
            bus.raise(0);
        }
        self.asserted = due;
    }

    fn train(&mut self, bus: &mut Bus<'_>) {
        let powered = !self.control().contains(SlotControl::POWER_OFF);
        if let (true, Some(delay), Some(card_)) = (powered, self.link, &mut self.card) {
            *card_ = card();
            bus.call_after(delay, LINK_UP);
        }
    }

    fn unlink(&mut self, bus: &mut Bus<'_>) {
        if self.is_linked() {
            self.set(LINK, 0);
            self.happen(bus, SlotStatus::LINK_CHANGED);
        }
    }

    pub fn plug_in(&mut self, bus: &mut Bus<'_>) {
        self.card = Some(card());
        self.set(STATUS, self.get(STATUS) | SlotStatus::PRESENT.bits());
        self.train(bus);
        self.happen(bus, SlotStatus::PRESENCE_CHANGED);
    }

    pub fn pull_out(&mut self, bus: &mut Bus<'_>) {
        self.card = None;
        self.set(STATUS, self.get(STATUS) & !SlotStatus::PRESENT.bits());
        self.unlink(bus);
        self.happen(bus, SlotStatus::PRESENCE_CHANGED);
    }

    pub fn press(&mut self, bus: &mut Bus<'_>) {
        self.happen(bus, SlotStatus::BUTTON_PRESSED);
    }

    pub fn fail_power(&mut self, bus: &mut Bus<'_>) {
        self.unlink(bus);
        self.happen(bus, SlotStatus::POWER_FAULT);
    }

    fn told(&mut self, bus: &mut Bus<'_>, before: SlotControl, now: SlotControl) {
        let power = before.contains(SlotControl::POWER_OFF) && now == now - SlotControl::POWER_OFF;
        if power {
            self.steps.push(Step::PowerOn);
            self.train(bus);
        } else if !before.contains(SlotControl::POWER_OFF) && now.contains(SlotControl::POWER_OFF) {
            self.steps.push(Step::PowerOff);
            self.unlink(bus);
            if self.ejects && self.card.is_some() {
                self.pull_out(bus);
            }
        }
        let blinking = |control: SlotControl| control.bits() >> 8 & 0b11 == 0b10;
        if blinking(now) && !blinking(before) {
            self.steps.push(Step::Blink);
        }
        if let Some(delay) = self.command {
            bus.call_after(delay, u64::from(SlotStatus::COMMAND_COMPLETED.bits()));
        }
        self.settle(bus);
    }
}

impl DeviceModel for Model {
    fn read(&mut self, _bus: &mut Bus<'_>, offset: usize, width: Width) -> u64 {
        let config = match (offset & !0xfff, &self.card) {
            (PORT, _) => &self.port,
            (BUS_BYTES, Some(card)) if self.is_linked() => card,
            _ => return width.all_ones(),
        };
        let bytes = &config[offset & 0xfff..][..width.bytes()];
        bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }

    fn write(&mut self, bus: &mut Bus<'_>, offset: usize, width: Width, value: u64) {
        let (at, is_linked) = (offset & 0xfff, self.is_linked());
        match (offset & !0xfff, &mut self.card) {
            (PORT, _) if at == STATUS => {
                let cleared = value as u16 & SlotStatus::EVENTS.bits();
                self.set(STATUS, self.get(STATUS) & !cleared);
                self.settle(bus);
            }
            (PORT, _) if at == CONTROL => {
                let (before, now) = (self.control(), SlotControl::from_bits_retain(value as u16));
                self.set(CONTROL, value as u16);
                self.told(bus, before, now);
            }
            (PORT, _) if at == 4 => self.port[4] = value as u8,
            (BUS_BYTES, Some(card)) if is_linked => {
                let value = match at {
                    0x10 => value & 0xffff_c000 | 4,
                    0x18..0x28 | 0x30 => 0,
                    _ => value,
                };
                let bytes = value.to_le_bytes();
                card[at..at + width.bytes()].copy_from_slice(&bytes[..width.bytes()]);
            }
            _ => {}
        }
    }

    fn event(&mut self, bus: &mut Bus<'_>, token: u64) {
        if token != LINK_UP {
            return self.happen(bus, SlotStatus::from_bits_retain(token as u16));
        }
        let powered = !self.control().contains(SlotControl::POWER_OFF);
        if powered && self.card.is_some() && !self.is_linked() {
            self.set(LINK, 1 << 13);
            self.happen(bus, SlotStatus::LINK_CHANGED);
        }
    }
}
