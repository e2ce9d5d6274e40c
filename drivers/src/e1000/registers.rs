//! The device's registers: resetting it, and waiting for it, each within its time.

use alloc::string::{String, ToString};
use core::time::Duration;

use executor::{Platform, sleep};
use hal::mmio::{DeviceRegion, Register};
use protocols::e1000::{Cause, Control, Family, Model, Status, deaf, offset};

use super::{E1000Error, after, ticks};

pub(super) const CTRL: Register<u32> = Register::at(offset::CTRL);
pub(super) const STATUS: Register<u32> = Register::at(offset::STATUS);
pub(super) const EECD: Register<u32> = Register::at(offset::EECD);
pub(super) const ICR: Register<u32> = Register::at(offset::ICR);
pub(super) const IMS: Register<u32> = Register::at(offset::IMS);
pub(super) const IMC: Register<u32> = Register::at(offset::IMC);
pub(super) const RCTL: Register<u32> = Register::at(offset::RCTL);
pub(super) const TCTL: Register<u32> = Register::at(offset::TCTL);
pub(super) const RDT: Register<u32> = Register::at(offset::RDT);
pub(super) const TDT: Register<u32> = Register::at(offset::TDT);

/// How long a reset may take. Intel's manuals say 1 ms for the device, some 20 ms with its EEPROM.
const RESET_LIMIT: Duration = Duration::from_millis(200);
/// How long transfers under way may take to end.
const TRANSFERS_LIMIT: Duration = Duration::from_millis(100);
/// EECD: the EEPROM was read after a reset (82574, 10.2.2.3).
const EEPROM_WAS_READ: u32 = 1 << 9;

pub(super) struct Registers {
    name: String,
    region: DeviceRegion,
    pub(super) model: Model,
}

impl Registers {
    /// Looks whether somebody answers.
    pub(super) fn new_checked(
        name: &str,
        region: DeviceRegion,
        model: Model,
    ) -> Result<Self, E1000Error> {
        if region.bytes() < offset::END {
            return Err(E1000Error::Unsupported("it has too few registers"));
        }
        let registers = Self { name: name.to_string(), region, model };
        registers.status()?;
        Ok(registers)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    #[inline]
    pub(super) fn read(&self, register: Register<u32>) -> u32 {
        self.region.read(register)
    }

    #[inline]
    pub(super) fn write(&self, register: Register<u32>, value: u32) {
        self.region.write(register, value);
    }

    pub(super) fn set(&self, register: Register<u32>, bits: u32) {
        self.region.modify(register, |value| value | bits);
    }

    /// How the device is, if it is still there.
    pub(super) fn status(&self) -> Result<Status, E1000Error> {
        let status = Status(self.read(STATUS));
        if status.is_gone() { Err(E1000Error::Gone) } else { Ok(status) }
    }

    /// Raises nothing any more, and begins no new frame either way.
    pub(super) fn silence(&self) {
        self.write(IMC, Cause::ALL);
        self.write(RCTL, 0);
        self.write(TCTL, 0);
    }

    /// Silences it and tells it to reset itself; nobody waits for it.
    pub(super) fn reset_unseen(&self) {
        self.silence();
        self.set(CTRL, Control::RESET);
    }

    /// Resets the device: it stops using memory and forgets its rings. The transceiver keeps its
    /// settings and its link.
    pub(super) async fn reset<P: Platform>(&self) -> Result<(), E1000Error> {
        self.status()?;
        self.silence();
        self.end_transfers::<P>().await?;
        let owned = match self.model.family {
            Family::Chipset => self.own_phy::<P>().await,
            Family::Pci | Family::PciExpress => Ok(()),
        };
        if let Err(error) = owned {
            log::warn!("{}: {error}; it is reset all the same", self.name);
        }
        self.set(CTRL, Control::RESET);
        // Until it has begun anew, it is not to be touched.
        let untouched = match self.model.family {
            Family::Chipset => Duration::from_millis(20),
            Family::Pci | Family::PciExpress => Duration::from_millis(5),
        };
        sleep::<P>(ticks::<P>(untouched)).await;
        let ended = || {
            let control = self.read(CTRL);
            (deaf(control) || control & Control::RESET == 0).then_some(control)
        };
        let control = until::<P, _>(RESET_LIMIT, ended).await;
        if deaf(control.ok_or(E1000Error::NotInTime("reset"))?) {
            return Err(E1000Error::Gone);
        }
        if self.model.family == Family::PciExpress {
            let was_read = || (self.read(EECD) & EEPROM_WAS_READ != 0).then_some(());
            if until::<P, _>(RESET_LIMIT, was_read).await.is_none() {
                log::warn!("{}: its EEPROM was not read after a reset", self.name);
            }
        }
        // Some are on by default.
        self.silence();
        let _ = self.read(ICR);
        self.status()?;
        Ok(())
    }

    /// Waits until no transfer is under way, so that the reset breaks none.
    async fn end_transfers<P: Platform>(&self) -> Result<(), E1000Error> {
        if self.model.family == Family::Pci {
            // It does not say; a frame of 64 KiB has left by then.
            sleep::<P>(ticks::<P>(Duration::from_millis(10))).await;
            return Ok(());
        }
        self.set(CTRL, Control::MASTER_OFF);
        let ended = || match self.status() {
            Ok(status) if status.is_master() => None,
            other => Some(other.map(drop)),
        };
        match until::<P, _>(TRANSFERS_LIMIT, ended).await {
            Some(outcome) => outcome,
            None => {
                log::warn!("{}: its transfers do not end; it is reset all the same", self.name);
                Ok(())
            }
        }
    }
}

/// Looks until there is an answer, for `limit` at most.
pub(super) async fn until<P: Platform, T>(
    limit: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> Option<T> {
    const INTERVAL: Duration = Duration::from_micros(50);
    let deadline = after::<P>(limit);
    loop {
        if let Some(answer) = look() {
            return Some(answer);
        }
        if P::now() >= deadline {
            return None;
        }
        sleep::<P>(ticks::<P>(INTERVAL)).await;
    }
}
