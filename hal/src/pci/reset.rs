//! A function's reset and its power.
//!
//! `hal` knows no executor, so whoever resets says how to wait: `sleep(span)` is the executor's.
//!
//! ```text
//!   off the bus ─> nothing of it under way (<= 1 s) ─> FLR ─> 100 ms ─> answers (<= 1 s) ─> restored
//! ```
//!
//! Source: PCI Express 5.0, 6.6.2 (function-level reset), 2.3.1 (retry status), 7.5.3;
//! PCI Bus Power Management 1.2, 5.4 and 5.6.1.

use alloc::vec::Vec;
use core::future::Future;
use core::time::Duration;

use protocols::pci::express::{
    Express, FUNCTION_LEVEL_RESET, Offered, TRANSACTIONS_PENDING, place,
};
use protocols::pci::{command, id, offset, power};

use super::function::COMMAND;
use super::{Function, PciError, ResetError};
use crate::mmio::Register;

/// The part of the header that is written: from the cache line's length to the interrupt line.
const HEADER: core::ops::RangeInclusive<u16> = offset::HEADER_TYPE..=offset::INTERRUPT;

/// How long what is under way may take to arrive, and the function to answer again.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked at.
const STEP: Duration = Duration::from_millis(10);
/// A function is left alone so long after it was told to reset itself.
const RESET_SPAN: Duration = Duration::from_millis(100);
/// A function is left alone so long after it was told to change its power.
const POWER_SPAN: Duration = Duration::from_millis(10);

/// What a function forgets at a reset.
struct Saved {
    command: u16,
    /// Double words of the header.
    header: Vec<(u16, u32)>,
    /// Half words of its capabilities.
    control: Vec<(u16, u16)>,
}

impl Function {
    fn express(&self) -> Option<Express> {
        self.capability(id::EXPRESS).map(|found| Express::read(self.config(), found))
    }

    fn half(offset: u16) -> Register<u16> {
        Register::at(usize::from(offset))
    }

    /// Whether it can be [`reset`](Self::reset).
    pub fn can_reset(&self) -> bool {
        self.express().is_some_and(|found| found.function_level_reset == Offered::Yes)
    }

    /// Resets it, and it alone: it forgets what it was doing, and reaches no memory of what it was
    /// told before. Its addresses, and the interrupts somebody holds, are told it again. Takes 100
    /// ms, 2.1 s at most.
    ///
    /// # Errors
    /// It offers no reset, or is not usable after it.
    pub async fn reset<S: Future<Output = ()>>(
        &self,
        mut sleep: impl FnMut(Duration) -> S,
    ) -> Result<(), ResetError> {
        let express = self.express().filter(|found| found.function_level_reset == Offered::Yes);
        let express = express.ok_or(ResetError::NotOffered)?;
        let saved = self.save(Some(&express));
        self.change_command(|_| command::INTERRUPT_OFF)?;
        let status = Self::half(express.offset + place::DEVICE_STATUS);
        let settled = || self.config().read(status) & TRANSACTIONS_PENDING == 0;
        if !until(settled, &mut sleep).await {
            // What it still waits for is of no use to it any more; the reset ends that too.
            log::warn!("pci {self:?}: still busy after {PATIENCE:?}; reset all the same");
        }
        let control = Self::half(express.offset + place::DEVICE_CONTROL);
        self.config().modify(control, |control| control | FUNCTION_LEVEL_RESET);
        sleep(RESET_SPAN).await;
        if !until(|| self.answers(), &mut sleep).await {
            log::error!("pci {self:?}: silent {PATIENCE:?} after its reset");
            return Err(ResetError::Silent);
        }
        self.restore(&saved)?;
        Ok(())
    }

    /// Brings it to full power (D0), if it sleeps.
    ///
    /// # Errors
    /// It does not wake.
    pub async fn power_on<S: Future<Output = ()>>(
        &self,
        mut sleep: impl FnMut(Duration) -> S,
    ) -> Result<(), PciError> {
        // Without the capability it is always on.
        let Some(capability) = self.capability(id::POWER) else { return Ok(()) };
        let control = Self::half(capability.offset + power::CONTROL);
        let before = self.config().read(control);
        if before & power::STATE == 0 {
            return Ok(());
        }
        // Of what it was nothing is left, unless it says so; what it was told is told again.
        let saved = self.save(self.express().as_ref());
        self.config().write(control, before & !power::STATE);
        sleep(POWER_SPAN).await;
        if self.config().read(control) & power::STATE != 0 {
            return Err(PciError::Deaf);
        }
        if before & power::NO_SOFT_RESET != 0 { Ok(()) } else { self.restore(&saved) }
    }

    /// Whether anything answers where it is. What does not is off the bus, and reaches no memory.
    pub fn is_there(&self) -> bool {
        self.config().read(Self::half(offset::ID)) != u16::MAX
    }

    /// Whether it is there and has finished its reset: until then it has no vendor, or the one
    /// that stands for "ask again".
    fn answers(&self) -> bool {
        let vendor = self.config().read(Self::half(offset::ID));
        vendor != u16::MAX && vendor != 0x0001
    }

    fn save(&self, express: Option<&Express>) -> Saved {
        let read = |offset: u16| self.config().read(Register::<u32>::at(usize::from(offset)));
        let header = HEADER.step_by(4).map(|offset| (offset, read(offset))).collect();
        let mut control = Vec::new();
        if let Some(express) = express {
            control.extend([place::DEVICE_CONTROL, place::LINK_CONTROL].map(Some));
            control.push((express.version >= 2).then_some(place::DEVICE_CONTROL_2));
        }
        let control = control.into_iter().flatten().map(|place| {
            let offset = express.map_or(0, |express| express.offset) + place;
            (offset, self.config().read(Self::half(offset)))
        });
        Saved { command: self.config().read(COMMAND), header, control: control.collect() }
    }

    fn restore(&self, saved: &Saved) -> Result<(), PciError> {
        for (offset, value) in &saved.header {
            self.config().write(Register::<u32>::at(usize::from(*offset)), *value);
        }
        for (offset, value) in &saved.control {
            self.config().write(Self::half(*offset), *value);
        }
        self.change_command(|_| saved.command)?;
        self.signalling().map_or(Ok(()), |signalling| signalling.write_all())
    }
}

/// Looks until `done` says so; `false`: it did not in time.
async fn until<S: Future<Output = ()>>(
    done: impl Fn() -> bool,
    sleep: &mut impl FnMut(Duration) -> S,
) -> bool {
    let mut waited = Duration::ZERO;
    while !done() {
        if waited >= PATIENCE {
            return false;
        }
        sleep(STEP).await;
        waited += STEP;
    }
    true
}
