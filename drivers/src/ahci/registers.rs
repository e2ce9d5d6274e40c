//! A port's registers, and what it takes to stop it, start it and reset its link, each within a
//! limit.

use core::time::Duration;

use executor::{Platform, sleep};
use hal::mmio::{DeviceRegion, Register};
use protocols::ahci::{
    Detection, LinkControl, LinkStatus, PortCommand, PortInterrupts, Signature, TaskFile,
    port_offset,
};

use super::memory::Page;
use super::{PortError, after, ticks};

const CLB: Register<u32> = Register::at(port_offset::CLB);
const CLBU: Register<u32> = Register::at(port_offset::CLBU);
const FB: Register<u32> = Register::at(port_offset::FB);
const FBU: Register<u32> = Register::at(port_offset::FBU);
const IS: Register<u32> = Register::at(port_offset::IS);
const IE: Register<u32> = Register::at(port_offset::IE);
const CMD: Register<u32> = Register::at(port_offset::CMD);
const TFD: Register<u32> = Register::at(port_offset::TFD);
const SIG: Register<u32> = Register::at(port_offset::SIG);
const SSTS: Register<u32> = Register::at(port_offset::SSTS);
const SCTL: Register<u32> = Register::at(port_offset::SCTL);
const SERR: Register<u32> = Register::at(port_offset::SERR);
const SACT: Register<u32> = Register::at(port_offset::SACT);
const CI: Register<u32> = Register::at(port_offset::CI);

/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_micros(200);
/// How long the engine may take to stop (10.1.2 says 500 ms).
const STOP_MS: u64 = 500;
/// How long the reset of a link is held (10.4.2 says at least 1 ms).
const RESET_HOLD: Duration = Duration::from_millis(2);
/// How long a device may take to be noticed, and then to be connected.
const PRESENCE_MS: u64 = 200;
const CONNECTION_MS: u64 = 1000;

/// One port's registers.
pub(super) struct PortRegisters(DeviceRegion);

impl PortRegisters {
    /// All of a port's registers.
    pub(super) fn new(region: DeviceRegion) -> Self {
        Self(region)
    }

    pub(super) fn command(&self) -> PortCommand {
        PortCommand(self.0.read(CMD))
    }

    pub(super) fn link(&self) -> LinkStatus {
        LinkStatus(self.0.read(SSTS))
    }

    pub(super) fn task_file(&self) -> TaskFile {
        TaskFile(self.0.read(TFD))
    }

    pub(super) fn signature(&self) -> Signature {
        Signature::new(self.0.read(SIG))
    }

    pub(super) fn causes(&self) -> PortInterrupts {
        PortInterrupts(self.0.read(IS))
    }

    /// What the port has to report; it does not report it again.
    pub(super) fn take_causes(&self) -> PortInterrupts {
        let causes = self.causes();
        if causes.0 != 0 && !causes.is_gone() {
            self.0.write(IS, causes.0);
        }
        causes
    }

    /// Which reports raise an interrupt.
    pub(super) fn let_through(&self, causes: u32) {
        self.0.write(IE, causes);
    }

    /// The link's errors.
    pub(super) fn link_errors(&self) -> u32 {
        self.0.read(SERR)
    }

    /// Forgets what went wrong.
    pub(super) fn clear_errors(&self) {
        self.0.write(SERR, u32::MAX);
        self.0.write(IS, u32::MAX);
    }

    /// Queued commands the device is at.
    pub(super) fn active(&self) -> u32 {
        self.0.read(SACT)
    }

    /// Commands that have been handed over and not ended, or not been sent.
    pub(super) fn issued(&self) -> u32 {
        self.0.read(CI)
    }

    /// Hands over commands; those in `queued` are queued ones.
    pub(super) fn issue(&self, slots: u32, queued: u32) {
        if queued != 0 {
            self.0.write(SACT, queued);
        }
        self.0.write(CI, slots);
    }

    /// Tells the port where its page is. It must be at rest.
    fn set_page(&self, page: &Page) {
        page.0.lend();
        let (list, received) = (page.list(), page.received());
        self.0.write(CLB, list.low());
        self.0.write(CLBU, list.high());
        self.0.write(FB, received.low());
        self.0.write(FBU, received.high());
    }

    /// Powers the device, and lets what it sends into the page. The port must be at rest.
    pub(super) fn power_up(&self, page: &Page) {
        self.let_through(0);
        self.set_page(page);
        self.clear_errors();
        self.0.write(SCTL, LinkControl::AWAKE);
        let bits = PortCommand::RECEIVE | PortCommand::SPIN_UP | PortCommand::POWER;
        self.0.write(CMD, self.command().with(bits | PortCommand::ACTIVE).0);
    }

    /// Lets it carry out commands. There must be a device that is free.
    pub(super) fn start(&self) {
        self.clear_errors();
        self.0.write(CMD, self.command().with(PortCommand::START).0);
    }

    /// Tells it to stop, and does not look whether it does.
    pub(super) fn stop_unseen(&self) {
        self.let_through(0);
        self.0.write(CMD, self.command().without(PortCommand::START).0);
    }

    /// Stops the command engine. `Ok`: it uses no memory any more, but for frames it receives.
    pub(super) async fn stop<P: Platform>(&self) -> Result<(), PortError> {
        self.stop_unseen();
        self.wait::<P>("stopped", STOP_MS, |port| Ok(!port.command().is_running())).await
    }

    /// Stops everything. `Ok`: it uses no memory any more.
    pub(super) async fn rest<P: Platform>(&self) -> Result<(), PortError> {
        self.stop::<P>().await?;
        self.0.write(CMD, self.command().without(PortCommand::RECEIVE).0);
        self.wait::<P>("at rest", STOP_MS, |port| Ok(port.command().is_at_rest())).await
    }

    /// Resets the link and the device (10.4.2). The engine should be stopped.
    pub(super) async fn reset_link<P: Platform>(&self) -> Result<(), PortError> {
        self.0.write(SCTL, LinkControl::RESET);
        sleep::<P>(ticks::<P>(RESET_HOLD)).await;
        self.0.write(SCTL, LinkControl::AWAKE);
        self.connected::<P>().await?;
        self.clear_errors();
        Ok(())
    }

    /// Waits for a device to be noticed, and then for the connection to it.
    pub(super) async fn connected<P: Platform>(&self) -> Result<(), PortError> {
        let noticed = self
            .wait::<P>("noticed", PRESENCE_MS, |port| {
                let detection = port.link().detection();
                Ok(matches!(detection, Detection::Unconnected | Detection::Connected))
            })
            .await;
        match noticed {
            Err(PortError::NotInTime(..)) => return Err(PortError::NoDevice),
            other => other?,
        }
        self.wait::<P>("connected", CONNECTION_MS, |port| {
            Ok(port.link().detection() == Detection::Connected)
        })
        .await
    }

    /// Waits until the device takes commands.
    pub(super) async fn free<P: Platform>(&self, limit_ms: u64) -> Result<(), PortError> {
        self.wait::<P>("ready", limit_ms, |port| {
            if port.link().detection() == Detection::Nothing {
                return Err(PortError::NoDevice);
            }
            Ok(port.task_file().outcome().status.is_free())
        })
        .await
    }

    /// Looks until it is so, or the time is over, or the HBA is gone.
    pub(super) async fn wait<P: Platform>(
        &self,
        what: &'static str,
        limit_ms: u64,
        mut done: impl FnMut(&Self) -> Result<bool, PortError>,
    ) -> Result<(), PortError> {
        let deadline = after::<P>(Duration::from_millis(limit_ms));
        loop {
            let late = P::now() >= deadline;
            if self.link().is_gone() || self.command().is_gone() {
                return Err(PortError::Gone);
            }
            if done(self)? {
                return Ok(());
            }
            if late {
                return Err(PortError::NotInTime(what, limit_ms));
            }
            sleep::<P>(ticks::<P>(LOOK_INTERVAL)).await;
        }
    }
}
