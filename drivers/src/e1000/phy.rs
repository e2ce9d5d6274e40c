//! The transceiver: who may talk to it, and whether it negotiates.
//!
//! It does what its settings in EEPROM or firmware say, and keeps doing so across resets of the
//! device. So there is one thing to see to: that it is powered and negotiates.
//!
//! In a chipset it is shared with firmware (the management engine), by a flag that each side sets
//! while it talks (I218 datasheet, EXTCNF_CTRL).

use core::time::Duration;

use executor::Platform;
use hal::mmio::Register;
use protocols::e1000::{Family, MdiAnswer, PhyRegister, offset, read_request, write_request};

use super::registers::{Registers, until};

const MDIC: Register<u32> = Register::at(offset::MDIC);
const EXTCNF_CTRL: Register<u32> = Register::at(offset::EXTCNF_CTRL);
/// EXTCNF_CTRL: the driver has the transceiver.
const DRIVER_OWNS: u32 = 1 << 5;

/// How long firmware may keep the transceiver, and how long it may take to let it go.
const OTHER_LIMIT: Duration = Duration::from_millis(100);
const GRANT_LIMIT: Duration = Duration::from_secs(1);
/// How long an access may take; it takes some 64 us.
const ACCESS_LIMIT: Duration = Duration::from_millis(10);

/// Why the transceiver is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub(super) enum PhyError {
    #[error("firmware does not let the transceiver go")]
    Taken,
    #[error("the transceiver does not answer")]
    Silent,
    #[error("there is no transceiver at address {0}")]
    Nobody(u8),
}

impl Registers {
    /// Sees to it that the transceiver is powered and negotiates. If it cannot be asked, it is left
    /// as it is, which the log says.
    pub(super) async fn wake_phy<P: Platform>(&self) {
        let is_shared = self.model.family == Family::Chipset;
        let asked = match if is_shared { self.own_phy::<P>().await } else { Ok(()) } {
            Ok(()) => self.negotiate::<P>().await,
            Err(error) => Err(error),
        };
        if is_shared {
            self.disown_phy();
        }
        if let Err(error) = asked {
            log::warn!("{}: {error}: left as it is", self.name());
        }
    }

    async fn negotiate<P: Platform>(&self) -> Result<(), PhyError> {
        let high = self.read_phy::<P>(PhyRegister::IdHigh).await?;
        let low = self.read_phy::<P>(PhyRegister::IdLow).await?;
        log::debug!("{}: transceiver {high:04x}:{low:04x}", self.name());
        let control = self.read_phy::<P>(PhyRegister::Control).await?;
        let asleep = control & PhyRegister::POWER_DOWN != 0;
        if !asleep && control & PhyRegister::NEGOTIATE != 0 {
            return Ok(());
        }
        let awake = control & !PhyRegister::POWER_DOWN;
        let anew = awake | PhyRegister::NEGOTIATE | PhyRegister::NEGOTIATE_ANEW;
        self.access::<P>(write_request(self.model.phy_address(), PhyRegister::Control, anew))
            .await
            .map(drop)
    }

    async fn read_phy<P: Platform>(&self, register: PhyRegister) -> Result<u16, PhyError> {
        self.access::<P>(read_request(self.model.phy_address(), register)).await
    }

    async fn access<P: Platform>(&self, request: u32) -> Result<u16, PhyError> {
        self.write(MDIC, request);
        let look = || match MdiAnswer::of(self.read(MDIC)) {
            MdiAnswer::Busy => None,
            MdiAnswer::Error => Some(Err(PhyError::Nobody(self.model.phy_address()))),
            MdiAnswer::Done(value) => Some(Ok(value)),
        };
        until::<P, _>(ACCESS_LIMIT, look).await.unwrap_or(Err(PhyError::Silent))
    }

    /// Takes the transceiver from firmware. A reset of the device gives it back.
    pub(super) async fn own_phy<P: Platform>(&self) -> Result<(), PhyError> {
        let is_owned = || self.read(EXTCNF_CTRL) & DRIVER_OWNS != 0;
        let free = until::<P, _>(OTHER_LIMIT, || (!is_owned()).then_some(())).await;
        free.ok_or(PhyError::Taken)?;
        self.set(EXTCNF_CTRL, DRIVER_OWNS);
        let granted = until::<P, _>(GRANT_LIMIT, || is_owned().then_some(())).await;
        if granted.is_none() {
            self.disown_phy();
        }
        granted.ok_or(PhyError::Taken)
    }

    fn disown_phy(&self) {
        let value = self.read(EXTCNF_CTRL);
        self.write(EXTCNF_CTRL, value & !DRIVER_OWNS);
    }
}
