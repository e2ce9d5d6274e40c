//! QEMU's `edu` device: a small driver that is whole, to begin from. `docs/writing-a-driver.md`
//! walks through it.
//!
//! The device copies between memory and 4 KiB of its own, one copy at a time, and raises an
//! interrupt when done. It drives 28 address lines. It cannot be reset: should it lose a copy, every
//! later one times out until it is unplugged. Source: QEMU, `docs/specs/edu.rst`.

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU16, Ordering::Relaxed};

use executor::{Platform, timeout};
use hal::clock::Ticks;
use hal::dma::{AddressLimit, Direction, DmaBuf, DmaDomain, DmaLoan};
use hal::interrupt::Interrupt;
use hal::mmio::{DeviceRegion, Register};

use crate::completion::{CompletionControl, CompletionMode};
use crate::reaper::{CompletionQueue, reap};
use crate::slots::{CommandId, SlotTable};

const IDENTITY: Register<u32> = Register::at(0x00);
const RAISED: Register<u32> = Register::at(0x24);
const ACKNOWLEDGE: Register<u32> = Register::at(0x64);
const DMA_SOURCE: Register<u64> = Register::at(0x80);
const DMA_DESTINATION: Register<u64> = Register::at(0x88);
const DMA_COUNT: Register<u64> = Register::at(0x90);
const DMA_COMMAND: Register<u64> = Register::at(0x98);

const COPIED: u32 = 0x100;
const RUN_AND_INTERRUPT: u64 = 0b101;
const TO_MEMORY: u64 = 0b010;
/// Where the device's own memory lies, as its DMA engine sees it.
const OWN_MEMORY: u64 = 0x4_0000;
/// How long that is.
pub const OWN_BYTES: usize = 4096;

/// How many bytes of registers it has.
pub const REGISTER_BYTES: usize = 1 << 20;

/// Why the device did not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum EduError {
    /// Something else is there, or nothing. Leave it alone.
    #[error("this is no edu device")]
    NotEdu,
    /// It stopped answering. Give it up.
    #[error("the device is gone")]
    Gone,
    /// It holds no more than [`OWN_BYTES`]. The caller's mistake.
    #[error("more bytes than the device holds")]
    TooLong,
    /// It was not done within a second. The buffer comes back when it is.
    #[error("the device did not answer in time")]
    TimedOut,
}

/// A device that is being served.
pub struct Edu {
    registers: DeviceRegion,
    slots: SlotTable<DmaLoan, Result<(), EduError>>,
    running: AtomicU16,
    /// How its completions are noticed.
    pub control: CompletionControl,
    /// Memory that it reaches.
    pub dma: DmaDomain,
}

/// Serves the device until it goes away. `announce` is given it once it is ready.
pub async fn run(
    registers: DeviceRegion,
    dma: &DmaDomain,
    interrupt: Option<Interrupt>,
    mode: CompletionMode,
    announce: impl FnOnce(Arc<Edu>),
) -> EduError {
    if registers.read(IDENTITY) & 0xff != 0xed {
        return EduError::NotEdu;
    }
    // An earlier driver may have left while it copied.
    registers.write(ACKNOWLEDGE, COPIED);
    let edu = Arc::new(Edu {
        registers,
        slots: SlotTable::new(1, 16),
        running: AtomicU16::new(0),
        control: CompletionControl::new(mode),
        dma: dma.limited(AddressLimit::bits(28)),
    });
    announce(edu.clone());
    let error = reap(&*edu, &edu.control, interrupt).await;
    // It is off the bus and reaches no memory any more: everybody who waits has it back.
    edu.slots.reset(|| Err(error));
    error
}

impl Edu {
    /// Copies `buffer` to the device's memory or from there.
    pub async fn copy<P: Platform>(
        &self,
        buffer: DmaBuf,
        direction: Direction,
    ) -> Result<DmaBuf, EduError> {
        if buffer.len() > OWN_BYTES {
            return Err(EduError::TooLong);
        }
        let deadline = P::now().after(P::ticks_per_second());
        let slot = timeout::<P, _>(deadline, self.slots.reserve()).await;
        let slot = slot.map_err(|_| EduError::TimedOut)?;
        self.running.store(slot.id().0, Relaxed);
        let bytes = buffer.len() as u64;
        let loan = buffer.lend(direction);
        let (from, to, way) = match direction {
            Direction::ToDevice => (loan.address().0, OWN_MEMORY, 0),
            _ => (OWN_MEMORY, loan.address().0, TO_MEMORY),
        };
        let copied = slot.submit(loan, Ticks(deadline.0));
        self.registers.write(DMA_SOURCE, from);
        self.registers.write(DMA_DESTINATION, to);
        self.registers.write(DMA_COUNT, bytes);
        self.registers.write(DMA_COMMAND, RUN_AND_INTERRUPT | way);
        self.control.submitted();
        let copied = timeout::<P, _>(deadline, copied).await.map_err(|_| EduError::TimedOut)?;
        copied.result?;
        copied.returned.ok_or(EduError::Gone)
    }
}

impl CompletionQueue for Edu {
    type Error = EduError;

    fn drain(&self, _limit: usize) -> Result<usize, EduError> {
        match self.registers.read(RAISED) {
            u32::MAX => return Err(EduError::Gone),
            raised if raised & COPIED == 0 => return Ok(0),
            _ => self.registers.write(ACKNOWLEDGE, COPIED),
        }
        if let Err(error) = self.slots.complete(CommandId(self.running.load(Relaxed)), Ok(())) {
            log::warn!("edu: {error}");
        }
        Ok(1)
    }

    fn is_idle(&self) -> bool {
        self.slots.in_flight() == 0
    }
}
