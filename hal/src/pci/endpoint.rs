//! A function that interrupts by message, for tests: configuration space on bus 0, and behind its
//! first base address register a page of registers with the MSI-X table.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::vec::Vec;

use protocols::pci::express::{FUNCTION_LEVEL_RESET, place};
use protocols::pci::{command, id, msi, msix, power};

use super::*;
use crate::interrupt::Message;
use crate::mmio::Width;
use crate::sim::{Bus, DeviceModel, Level, SimDevice, SimMachine};

const BASE: u64 = 0xe000_0000;
pub(super) const BAR: u64 = 0xc0_0000_0000;
pub(super) const BAR_BYTES: usize = 0x4000;
/// Where the table begins behind the base address register.
pub(super) const TABLE: usize = 0x2000;
pub(super) const MSIX: usize = 0x40;
pub(super) const MSI: usize = 0x60;
pub(super) const EXPRESS: usize = 0x80;
pub(super) const POWER: usize = 0xc0;

pub(super) struct Endpoint {
    pub config: Vec<u8>,
    pub bar: Vec<u8>,
    pub pending: Vec<bool>,
    pub writes: usize,
    /// How many times it does not answer after a reset.
    pub silent: usize,
    /// How many times it says that requests are pending.
    pub busy: usize,
    /// What its pin would be at if it were not turned off.
    pin: Level,
}

impl Endpoint {
    /// An ordinary function with no capability but what is then added.
    pub fn new() -> Self {
        let mut config = std::vec![0; 4096];
        config[..4].copy_from_slice(&[0x36, 0x1b, 0x10, 0]);
        config[8..12].copy_from_slice(&[2, 2, 8, 1]);
        config[0x10..0x18].copy_from_slice(&(BAR | 4).to_le_bytes());
        let (bar, pending) = (std::vec![0; BAR_BYTES], std::vec![false; 64]);
        Self { config, bar, pending, writes: 0, silent: 0, busy: 0, pin: Level::Deasserted }
    }

    fn link(&mut self, at: usize, id: u8) {
        self.config[6] = 0x10;
        self.config[at] = id;
        self.config[at + 1] = self.config[0x34];
        self.config[0x34] = at as u8;
    }

    /// With a legacy interrupt.
    pub fn with_pin(mut self, pin: u8) -> Self {
        self.config[0x3d] = pin;
        self
    }

    /// Asks for attention by its pin, its line 0, or does not.
    pub fn set_pin(&mut self, bus: &mut Bus<'_>, level: Level) {
        self.pin = level;
        self.settle(bus);
    }

    pub fn with_msix(mut self, entries: u16, bar: u8) -> Self {
        self.link(MSIX, id::MSIX);
        self.config[MSIX + 2..MSIX + 4].copy_from_slice(&(entries - 1).to_le_bytes());
        self.config[MSIX + 4..MSIX + 8].copy_from_slice(&(TABLE as u32).to_le_bytes());
        self.config[MSIX + 4] |= bar;
        self
    }

    pub fn with_msi(mut self, control: u16) -> Self {
        self.link(MSI, id::MSI);
        self.config[MSI + 2..MSI + 4].copy_from_slice(&control.to_le_bytes());
        self
    }

    /// With a PCI Express capability, version 2, that offers function-level reset.
    pub fn with_express(mut self) -> Self {
        self.link(EXPRESS, id::EXPRESS);
        self.config[EXPRESS + 2] = 2;
        self.config[EXPRESS + 7] = 0x10;
        self
    }

    /// With power management, asleep.
    pub fn asleep(mut self, control: u16) -> Self {
        self.link(POWER, id::POWER);
        self.set16(POWER + usize::from(power::CONTROL), control | power::STATE);
        self
    }

    fn set16(&mut self, at: usize, value: u16) {
        self.config[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }

    /// Forgets what it was told.
    fn reset(&mut self) {
        self.set16(4, 0);
        self.config[0x10..0x18].copy_from_slice(&4u64.to_le_bytes());
        self.config[0x3c] = 0;
        self.set16(EXPRESS + usize::from(place::DEVICE_CONTROL), 0);
        self.set16(MSIX + 2, self.msix_control() & 0x7ff);
        self.set16(MSI + 2, self.config16(MSI + 2) & !msi::control::ENABLE);
        self.bar.fill(0);
        (0..64).for_each(|index| self.bar[TABLE + index * 16 + msix::entry::CONTROL] = 1);
    }

    /// The same as a bridge.
    pub fn into_bridge(mut self) -> Self {
        self.config[8..12].copy_from_slice(&[0, 0, 4, 6]);
        self.config[14] = 1;
        self
    }

    pub fn config16(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.config[at], self.config[at + 1]])
    }

    fn word(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    pub fn msix_control(&self) -> u16 {
        self.config16(MSIX + 2)
    }

    pub fn entry_masked(&self, index: usize) -> bool {
        self.bar[TABLE + index * 16 + msix::entry::CONTROL] & 1 != 0
    }

    /// Something happens that is interrupt number `index`.
    pub fn fire(&mut self, bus: &mut Bus<'_>, index: usize) {
        self.pending[index] = true;
        self.settle(bus);
        if !self.keeps_pending() {
            self.pending[index] = false;
        }
    }

    fn keeps_pending(&self) -> bool {
        let msi = self.config16(MSI + 2);
        self.msix_control() & msix::control::ENABLE != 0
            || msi & msi::control::ENABLE != 0 && msi & msi::control::MASKABLE != 0
    }

    /// Sends what is pending and may be sent.
    fn settle(&mut self, bus: &mut Bus<'_>) {
        let is_off = self.config16(4) & command::INTERRUPT_OFF != 0;
        bus.set_level(0, if is_off { Level::Deasserted } else { self.pin });
        if self.config16(4) & command::BUS_MASTER == 0 {
            return;
        }
        for index in 0..self.pending.len() {
            if let Some(message) = self.message(index).filter(|_| self.pending[index]) {
                self.pending[index] = false;
                bus.send(message);
            }
        }
    }

    fn message(&self, index: usize) -> Option<Message> {
        let control = self.msix_control();
        if control & msix::control::ENABLE != 0 {
            let entry = &self.bar[TABLE + index * 16..][..16];
            let on = control & msix::control::MASK_ALL == 0 && !self.entry_masked(index);
            let high = u64::from(Self::word(entry, msix::entry::ADDRESS_HIGH));
            let address = high << 32 | u64::from(Self::word(entry, msix::entry::ADDRESS));
            return on.then_some(Message { address, data: Self::word(entry, msix::entry::DATA) });
        }
        let control = self.config16(MSI + 2);
        let wide = control & msi::control::WIDE != 0;
        let data = MSI + if wide { 12 } else { 8 };
        let masked = control & msi::control::MASKABLE != 0 && self.config[data + 4] & 1 != 0;
        let address = u64::from(Self::word(&self.config, MSI + 4));
        let on = index == 0 && control & msi::control::ENABLE != 0 && !masked;
        on.then(|| Message { address, data: u32::from(self.config16(data)) })
    }
}

impl DeviceModel for Endpoint {
    fn read(&mut self, _bus: &mut Bus<'_>, offset: usize, width: Width) -> u64 {
        if offset == 0 && self.silent != 0 {
            self.silent -= 1;
            return width.all_ones();
        }
        if offset == EXPRESS + usize::from(place::DEVICE_STATUS) && self.busy != 0 {
            self.busy -= 1;
            return u64::from(protocols::pci::express::TRANSACTIONS_PENDING);
        }
        let bytes = match offset {
            0..FUNCTION_BYTES => &self.config[offset..],
            BUS_BYTES.. => &self.bar[offset - BUS_BYTES..],
            _ => return width.all_ones(),
        };
        bytes[..width.bytes()].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }

    fn write(&mut self, bus: &mut Bus<'_>, offset: usize, width: Width, value: u64) {
        self.writes += 1;
        let mask = !(BAR_BYTES as u64 - 1);
        let value = match offset {
            0x10 => value & mask | 0x4,
            0x14 => value & mask >> 32,
            0x18..0x28 => 0,
            _ => value,
        };
        let bytes = match offset {
            0..FUNCTION_BYTES => &mut self.config[offset..],
            BUS_BYTES.. => &mut self.bar[offset - BUS_BYTES..],
            _ => return,
        };
        bytes[..width.bytes()].copy_from_slice(&value.to_le_bytes()[..width.bytes()]);
        let control = EXPRESS + usize::from(place::DEVICE_CONTROL);
        if offset == control && value as u16 & FUNCTION_LEVEL_RESET != 0 {
            self.reset();
        }
        let slept = POWER + usize::from(power::CONTROL);
        if offset == slept && self.config16(slept) & power::NO_SOFT_RESET == 0 {
            self.reset();
        }
        self.settle(bus);
    }
}

/// A machine with that function alone on bus 0. Its registers can be mapped once at a time.
pub(super) fn machine(endpoint: Endpoint) -> (SimMachine, SimDevice<Endpoint>, Function) {
    let machine = SimMachine::new();
    let (device, function) = machine_with(&machine, endpoint);
    (machine, device, function)
}

/// The same in a machine that is there.
pub(super) fn machine_with(
    machine: &SimMachine,
    endpoint: Endpoint,
) -> (SimDevice<Endpoint>, Function) {
    let device = machine.add("endpoint", endpoint);
    let whole = device.region(BUS_BYTES + BAR_BYTES);
    let handed_out = AtomicUsize::new(0);
    let map: Arc<Map> = Arc::new(move |physical: u64, bytes| {
        if physical == BASE {
            return whole.part(0..BUS_BYTES);
        }
        assert_eq!(physical, BAR);
        assert_eq!(handed_out.fetch_add(1, Ordering::Relaxed), 0, "claimed twice");
        whole.part(BUS_BYTES..BUS_BYTES + bytes)
    });
    let window = Window { base: BASE, segment: 0, first_bus: 0, last_bus: 0 };
    let mut functions = scan(&[window], &map);
    assert_eq!(functions.len(), 1);
    (device, functions.remove(0))
}
