//! What a simulated device is, and what it can do to the machine.

use std::vec::Vec;

use super::world::{World, lock};
use super::{DmaFault, Transfer, Violation};
use crate::clock::Ticks;
use crate::dma::{AddressLimit, DeviceAddress};
use crate::interrupt::Message;
use crate::mmio::Width;

/// A device modelled in Rust: what its registers do.
///
/// The machine calls it one call at a time. It must not touch its own registers through a
/// `DeviceRegion`.
pub trait DeviceModel: Send {
    /// The driver reads a register.
    fn read(&mut self, bus: &mut Bus<'_>, offset: usize, width: Width) -> u64;

    /// The driver writes a register.
    fn write(&mut self, bus: &mut Bus<'_>, offset: usize, width: Width, value: u64);

    /// A time asked for with [`Bus::call_after`] has come.
    fn event(&mut self, bus: &mut Bus<'_>, token: u64) {
        let _ = (bus, token);
    }

    /// The highest address it can put on the bus.
    fn address_limit(&self) -> AddressLimit {
        AddressLimit::NONE
    }
}

/// State of a level-triggered interrupt line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The device asks for attention.
    Asserted,
    /// It does not.
    Deasserted,
}

/// A transfer that did not happen. The machine has recorded why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusError;

pub(super) enum Signal {
    Edge(u32),
    Level(u32, Level),
    Message(Message),
}

/// The machine as a device sees it: memory, interrupt lines, time.
pub struct Bus<'a> {
    pub(super) world: &'a World,
    pub(super) name: &'static str,
    pub(super) limit: AddressLimit,
    pub(super) lose: &'a mut dyn FnMut(Transfer) -> bool,
    /// Delivered when the model has returned.
    pub(super) signals: Vec<Signal>,
    pub(super) calls: Vec<(Ticks, u64)>,
}

impl Bus<'_> {
    /// The time.
    pub fn now(&self) -> Ticks {
        self.world.now()
    }

    /// Raises interrupt `line` (an edge or a message) once this call returns.
    pub fn raise(&mut self, line: u32) {
        self.signals.push(Signal::Edge(line));
    }

    /// Sends an interrupt message, as its MSI or MSI-X registers say, once this call returns. One
    /// that raises nobody's vector is a violation.
    pub fn send(&mut self, message: Message) {
        self.signals.push(Signal::Message(message));
    }

    /// Sets the level of interrupt `line` once this call returns.
    pub fn set_level(&mut self, line: u32, level: Level) {
        self.signals.push(Signal::Level(line, level));
    }

    /// Asks for [`DeviceModel::event`] with `token`, so many ticks from now.
    pub fn call_after(&mut self, delay: Ticks, token: u64) {
        self.calls.push((self.now().plus(delay), token));
    }

    /// Reads memory the device was lent to read.
    pub fn dma_read(&mut self, address: DeviceAddress, into: &mut [u8]) -> Result<(), BusError> {
        let bytes = into.len();
        self.check_limit(address, bytes)?;
        if (self.lose)(Transfer::Read { address, bytes }) {
            return Err(BusError);
        }
        let result = lock(&self.world.arena).device_read(address.0, into);
        result.map_err(|fault| self.refuse(address, bytes, fault))
    }

    /// Writes memory the device was lent to write.
    pub fn dma_write(&mut self, address: DeviceAddress, from: &[u8]) -> Result<(), BusError> {
        let bytes = from.len();
        self.check_limit(address, bytes)?;
        if (self.lose)(Transfer::Write { address, bytes }) {
            return Err(BusError);
        }
        let result = lock(&self.world.arena).device_write(address.0, from);
        result.map_err(|fault| self.refuse(address, bytes, fault))
    }

    fn check_limit(&self, address: DeviceAddress, bytes: usize) -> Result<(), BusError> {
        let last = address.0.checked_add((bytes as u64).saturating_sub(1));
        match last {
            Some(last) if last <= self.limit.highest() => Ok(()),
            _ => Err(self.refuse(address, bytes, DmaFault::BeyondLimit)),
        }
    }

    fn refuse(&self, address: DeviceAddress, bytes: usize, fault: DmaFault) -> BusError {
        let address = address.0;
        self.world.report(Violation::Dma { device: self.name, address, bytes, fault });
        BusError
    }
}
