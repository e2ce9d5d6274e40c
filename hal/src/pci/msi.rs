//! A function's MSI message, in configuration space.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use protocols::pci::Capability;
use protocols::pci::msi::{ADDRESS, CONTROL, Masking, MsiCapability, control};

use super::config::ConfigSpace;
use super::interrupts::{Refusal, Signalling};
use super::{Function, PciError};
use crate::interrupt::{Interrupt, InterruptControl, Message};
use crate::machine::{LatchRef, MessageVector};
use crate::mmio::Register;

/// The mask bit of the one message.
const MASKED: u32 = 1;

/// The message, turned on as long as somebody has it.
struct Msi {
    config: ConfigSpace,
    found: MsiCapability,
    message: Message,
    masked: AtomicU32,
}

pub(super) fn set_up(
    function: &Function,
    capability: Capability,
    cores: &[u16],
) -> Result<Vec<Interrupt>, Refusal> {
    let config = function.config().clone();
    let found = MsiCapability::read(&config, capability);
    let vectors = function.vectors(&cores[..cores.len().min(1)])?;
    let vector = vectors.into_iter().next().ok_or(Refusal::Nonsense)?;
    let msi = Msi { config, found, message: vector.message()?, masked: AtomicU32::new(MASKED) };
    let msi = Arc::new(msi);
    function.disable_legacy_interrupt()?;
    msi.write_all()?;
    let signalling: Arc<dyn Signalling> = msi.clone();
    function.remember_signalling(&signalling);
    let latch = vector.latch();
    let control = Sole { msi, latch: vector.latch(), _vector: vector };
    Ok(alloc::vec![Interrupt::new(latch, Box::new(control))])
}

impl Msi {
    /// Sends messages, or none.
    fn turn(&self, enable: u16) {
        // All ones: the function is gone. What comes in its place must not be told this.
        if self.config.read(self.control()) != u16::MAX {
            self.config.write(self.control(), self.found.one_message(enable));
        }
    }

    fn control(&self) -> Register<u16> {
        Register::at(usize::from(self.found.offset + CONTROL))
    }

    fn word<T: crate::mmio::RegisterValue>(&self, offset: u16) -> Register<T> {
        Register::at(usize::from(offset))
    }

    /// Masks or unmasks the message; returned, the function has heard of it.
    fn apply(&self) {
        let masked = self.masked.load(Ordering::Relaxed);
        match self.found.masking() {
            Masking::PerVector(place) => {
                let mask = self.word::<u32>(place);
                self.config.modify(mask, |old| old & !MASKED | masked);
                let _ = self.config.read(mask);
            }
            Masking::None => {
                self.turn(if masked == 0 { control::ENABLE } else { 0 });
                let _ = self.config.read(self.control());
            }
        }
    }
}

impl Signalling for Msi {
    fn write_all(&self) -> Result<(), PciError> {
        self.turn(0);
        if self.config.read(self.control()) & control::ENABLE != 0 {
            return Err(PciError::Deaf);
        }
        let Message { address, data } = self.message;
        self.config.write(self.word(self.found.offset + ADDRESS), address as u32);
        if let Some(high) = self.found.address_high() {
            self.config.write(self.word(high), (address >> 32) as u32);
        }
        self.config.write(self.word(self.found.data()), data as u16);
        self.apply();
        if self.found.masking() != Masking::None {
            self.turn(control::ENABLE);
        }
        Ok(())
    }
}

impl Drop for Msi {
    fn drop(&mut self) {
        self.turn(0);
    }
}

/// The one interrupt.
struct Sole {
    msi: Arc<Msi>,
    latch: LatchRef,
    /// Free once the message was masked: `Interrupt` does so before it drops this.
    _vector: MessageVector,
}

impl InterruptControl for Sole {
    fn mask(&self) {
        self.msi.masked.store(MASKED, Ordering::Relaxed);
        self.msi.apply();
    }

    fn unmask(&self) {
        let was = self.msi.masked.swap(0, Ordering::Relaxed);
        self.msi.apply();
        if was != 0 && self.msi.found.masking() == Masking::None {
            // What came meanwhile is lost: whoever waits looks for himself.
            self.latch.raise();
        }
    }
}
