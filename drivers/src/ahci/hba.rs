//! The HBA's own registers: taking it over from firmware, resetting it, and its one interrupt.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use executor::{Platform, sleep};
use hal::interrupt::Interrupt;
use hal::mmio::{DeviceRegion, MmioError, Register};
use protocols::ahci::{
    Capabilities, Control, Handoff, PORT_BYTES, PORTS, PORTS_AT, Version, has_handoff, offset,
};

use super::port::Port;
use super::registers::PortRegisters;
use super::schedule::slots as ports_in;
use super::{AhciError, after, ticks};

const CAP: Register<u32> = Register::at(offset::CAP);
const GHC: Register<u32> = Register::at(offset::GHC);
const IS: Register<u32> = Register::at(offset::IS);
const PI: Register<u32> = Register::at(offset::PI);
const VS: Register<u32> = Register::at(offset::VS);
const CAP2: Register<u32> = Register::at(offset::CAP2);
const BOHC: Register<u32> = Register::at(offset::BOHC);

/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);
/// How long firmware may take to let go, and how long if it says that it is busy (10.6.3).
const HANDOFF_MS: u64 = 25;
const HANDOFF_BUSY_MS: u64 = 2_000;
/// How long a reset may take (10.4.3).
const RESET_MS: u64 = 1_000;
/// So often the interrupt's causes are looked at before others get a turn.
const ROUNDS: u32 = 8;

/// The registers that all ports have in common.
pub(super) struct Registers {
    name: String,
    region: DeviceRegion,
    capabilities: Capabilities,
    implemented: u32,
}

impl Registers {
    /// Looks whether this is an HBA that can be used.
    pub(super) fn new_checked(name: &str, region: DeviceRegion) -> Result<Self, AhciError> {
        if region.bytes() < PORTS_AT + PORT_BYTES {
            return Err(AhciError::Unsupported("it has too few registers"));
        }
        let capabilities = Capabilities(region.read(CAP));
        if capabilities.is_gone() {
            return Err(AhciError::Gone);
        }
        let implemented = region.read(PI);
        Ok(Self { name: name.to_string(), region, capabilities, implemented })
    }

    pub(super) fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    pub(super) fn version(&self) -> Version {
        Version(self.region.read(VS))
    }

    /// The numbers of its ports.
    pub(super) fn ports(&self) -> impl Iterator<Item = u8> {
        ports_in(self.implemented)
    }

    /// A port's registers.
    pub(super) fn port(&self, number: u8) -> Result<PortRegisters, MmioError> {
        let start = PORTS_AT + usize::from(number) * PORT_BYTES;
        Ok(PortRegisters::new(self.region.part(start..start + PORT_BYTES)?))
    }

    pub(super) fn is_gone(&self) -> bool {
        Control(self.region.read(GHC)).is_gone()
    }

    /// Takes the HBA over from firmware, and resets it: no port runs afterwards.
    pub(super) async fn take_over<P: Platform>(&mut self) -> Result<(), AhciError> {
        self.hand_over::<P>().await?;
        self.reset::<P>().await?;
        if self.implemented == 0 {
            // Some firmware forgets to say.
            let ports = self.capabilities.ports().min(PORTS as u32);
            self.implemented = u32::MAX >> (PORTS as u32 - ports);
            log::warn!("{}: it names no port; {ports} are tried", self.name);
        }
        Ok(())
    }

    async fn hand_over<P: Platform>(&self) -> Result<(), AhciError> {
        if !has_handoff(self.region.read(CAP2)) {
            return Ok(());
        }
        self.region.write(BOHC, self.region.read(BOHC) | Handoff::WANTED);
        let is_ours = |registers: &Self| !Handoff(registers.region.read(BOHC)).is_firmwares();
        let mut ours = self.wait::<P>("handed over by firmware", HANDOFF_MS, is_ours).await;
        if ours.is_err() && Handoff(self.region.read(BOHC)).is_busy() {
            ours = self.wait::<P>("handed over by firmware", HANDOFF_BUSY_MS, is_ours).await;
        }
        match ours {
            Err(error @ AhciError::NotInTime(..)) => {
                log::warn!("{}: {error}; taking it anyway", self.name);
                Ok(())
            }
            other => other,
        }
    }

    /// Resets the HBA. `Ok`: it uses no memory.
    pub(super) async fn reset<P: Platform>(&self) -> Result<(), AhciError> {
        self.region.write(GHC, Control::AHCI);
        self.region.write(GHC, Control::AHCI | Control::RESET);
        self.wait::<P>("reset", RESET_MS, |registers| {
            !Control(registers.region.read(GHC)).is_resetting()
        })
        .await?;
        self.region.write(GHC, Control::AHCI);
        Ok(())
    }

    /// Lets ports raise interrupts, as each of them wants.
    pub(super) fn enable_interrupts(&self) {
        self.region.write(IS, u32::MAX);
        self.region.write(GHC, Control::AHCI | Control::INTERRUPTS);
    }

    pub(super) fn disable_interrupts(&self) {
        self.region.write(GHC, Control::AHCI);
    }

    async fn wait<P: Platform>(
        &self,
        what: &'static str,
        limit_ms: u64,
        done: impl Fn(&Self) -> bool,
    ) -> Result<(), AhciError> {
        let deadline = after::<P>(Duration::from_millis(limit_ms));
        loop {
            let late = P::now() >= deadline;
            if self.is_gone() {
                return Err(AhciError::Gone);
            }
            if done(self) {
                return Ok(());
            }
            if late {
                return Err(AhciError::NotInTime(what, limit_ms));
            }
            sleep::<P>(ticks::<P>(LOOK_INTERVAL)).await;
        }
    }
}

/// Takes the HBA's interrupt, for ever: has the ports that it names looked at.
pub(super) async fn take_interrupts(
    registers: Arc<Registers>,
    ports: Vec<Arc<Port>>,
    mut interrupt: Interrupt,
) {
    interrupt.unmask();
    loop {
        interrupt.wait().await;
        for _ in 0..ROUNDS {
            let pending = registers.region.read(IS);
            if pending == 0 {
                break;
            }
            for port in &ports {
                if pending >> port.number & 1 == 1 {
                    port.raised();
                }
            }
            // After the ports' own reports: else it would be set again by what is still there.
            registers.region.write(IS, pending);
            if pending == u32::MAX && registers.is_gone() {
                break;
            }
        }
    }
}
