//! A function's MSI-X table.
//!
//! The table lies among the registers its driver uses, so both have parts of one mapping. What was
//! written to the table is remembered: a reset of the function forgets it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use protocols::pci::Capability;
use protocols::pci::msix::{CONTROL, ENTRY_BYTES, MsixCapability, control, entry};

use super::config::ConfigSpace;
use super::interrupts::{Refusal, Signalling};
use super::{Function, PciError};
use crate::interrupt::{Interrupt, InterruptControl, Message};
use crate::machine::MessageVector;
use crate::mmio::{DeviceRegion, Register};

/// The table, turned on as long as anybody has an interrupt of it.
struct Table {
    config: ConfigSpace,
    control: Register<u16>,
    entries: DeviceRegion,
    /// How many entries the function has.
    count: u16,
    /// What was written to the first ones.
    written: Vec<Written>,
}

struct Written {
    message: Message,
    /// The entry's mask bit.
    masked: AtomicU32,
}

pub(super) fn set_up(
    function: &Function,
    capability: Capability,
    cores: &[u16],
) -> Result<Vec<Interrupt>, Refusal> {
    let config = function.config().clone();
    let found = MsixCapability::read(&config, capability).ok_or(Refusal::Nonsense)?;
    let start = found.table.offset as usize;
    let bytes = usize::from(found.entries) * ENTRY_BYTES as usize;
    let registers = function.map_bar(found.table.bar, start + bytes)?;
    let entries = registers.part(start..start + bytes).map_err(PciError::Map)?;
    let vectors = function.vectors(&cores[..cores.len().min(usize::from(found.entries))])?;
    let written = vectors.iter().map(|vector| {
        let message = vector.message()?;
        Ok(Written { message, masked: AtomicU32::new(entry::MASKED) })
    });
    let table = Arc::new(Table {
        config,
        control: Register::at(usize::from(found.offset + CONTROL)),
        entries,
        count: found.entries,
        written: written.collect::<Result<_, Refusal>>()?,
    });
    function.disable_legacy_interrupt()?;
    table.write_all()?;
    let signalling: Arc<dyn Signalling> = table.clone();
    function.remember_signalling(&signalling);
    let joined = vectors.into_iter().enumerate().map(|(index, vector)| {
        let latch = vector.latch();
        Interrupt::new(latch, Box::new(Entry { index, table: table.clone(), _vector: vector }))
    });
    Ok(joined.collect())
}

impl Signalling for Table {
    fn write_all(&self) -> Result<(), PciError> {
        self.change_control(|value| value | control::ENABLE | control::MASK_ALL);
        let value = self.config.read(self.control);
        if value == u16::MAX || value & control::ENABLE == 0 {
            return Err(PciError::Deaf);
        }
        // Entries nobody has an interrupt for stay masked.
        for index in 0..usize::from(self.count) {
            self.set_mask(index, entry::MASKED);
        }
        for (index, written) in self.written.iter().enumerate() {
            let Message { address, data } = written.message;
            self.entries.write(at(index, entry::ADDRESS), address as u32);
            self.entries.write(at(index, entry::ADDRESS_HIGH), (address >> 32) as u32);
            self.entries.write(at(index, entry::DATA), data);
            self.set_mask(index, written.masked.load(Ordering::Relaxed));
        }
        self.flush(0);
        self.change_control(|value| value & !control::MASK_ALL);
        Ok(())
    }
}

impl Table {
    fn change_control(&self, change: impl FnOnce(u16) -> u16) {
        let value = self.config.read(self.control);
        // All ones: the function is gone. What comes in its place must not be told this.
        if value != u16::MAX {
            self.config.write(self.control, change(value));
        }
    }

    fn set_mask(&self, index: usize, masked: u32) {
        self.entries.modify(at(index, entry::CONTROL), |old| old & !entry::MASKED | masked);
    }

    /// Waits until what was written has arrived: a read overtakes no write.
    fn flush(&self, index: usize) {
        let _ = self.entries.read(at(index, entry::CONTROL));
    }

    fn mask(&self, index: usize, masked: u32) {
        if let Some(written) = self.written.get(index) {
            written.masked.store(masked, Ordering::Relaxed);
        }
        self.set_mask(index, masked);
        self.flush(index);
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.change_control(|value| value & !control::ENABLE);
    }
}

fn at(index: usize, place: usize) -> Register<u32> {
    Register::at(place).nth(index, ENTRY_BYTES as usize)
}

/// One entry.
struct Entry {
    index: usize,
    table: Arc<Table>,
    /// Free once the entry was masked: `Interrupt` does so before it drops this.
    _vector: MessageVector,
}

impl InterruptControl for Entry {
    fn mask(&self) {
        self.table.mask(self.index, entry::MASKED);
    }

    fn unmask(&self) {
        self.table.mask(self.index, 0);
    }
}
