//! The slot of a port: events taken once, commands waited for.

use alloc::string::String;
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::time::Duration;

use executor::{Platform, sleep};
use hal::pci::{self, Function, Port};
use protocols::pci::express::{Light, SlotCapabilities, SlotControl, SlotStatus};

use super::{CHANGES, HotplugError, ticks};

/// How long a command to the slot may take (6.7.3.2).
const COMMAND_LIMIT: Duration = Duration::from_secs(1);
/// How long the link may take to come up (6.6.1), and a function to answer once it is.
const LINK_LIMIT: Duration = Duration::from_secs(1);
/// A device is left alone so long after its link came up (6.6.1).
const AFTER_LINK: Duration = Duration::from_millis(100);
/// Presence counts once it has not changed for so long.
const SETTLE: Duration = Duration::from_millis(100);
/// A contact that bounces longer than so many times that is taken as it is.
const SETTLE_ROUNDS: u32 = 20;
/// How often all of this is looked at.
const STEP: Duration = Duration::from_millis(5);
/// How often events that come while others are taken are taken too.
const ROUNDS: usize = 8;

/// The bits of control that let events interrupt.
const LISTEN: SlotControl = SlotControl::ON_BUTTON
    .union(SlotControl::ON_POWER_FAULT)
    .union(SlotControl::ON_LATCH)
    .union(SlotControl::ON_PRESENCE)
    .union(SlotControl::ON_LINK)
    .union(SlotControl::INTERRUPT);

pub(super) struct Slot<P> {
    pub(super) name: String,
    port: Port,
    /// Whether it ever failed to complete a command.
    believed: Believed,
    platform: PhantomData<P>,
}

/// Whether the port's commands are waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Believed {
    /// It says that they are done.
    No,
    /// It does not say, or did not once.
    Yes,
}

impl<P: Platform> Slot<P> {
    pub(super) fn new(name: String, port: Port) -> Self {
        let silent = port.slot().contains(SlotCapabilities::NO_COMMAND_COMPLETED);
        let believed = if silent { Believed::Yes } else { Believed::No };
        Self { name, port, believed, platform: PhantomData }
    }

    fn status(&self) -> Result<SlotStatus, HotplugError> {
        self.port.status().ok_or(HotplugError::Gone)
    }

    /// What has happened since the last time, and how it is now. The port raises its interrupt
    /// when the first event comes, and again only after all were taken.
    pub(super) fn take_events(&self) -> Result<SlotStatus, HotplugError> {
        let taken = SlotStatus::EVENTS - SlotStatus::COMMAND_COMPLETED;
        let mut events = SlotStatus::empty();
        for _ in 0..ROUNDS {
            let status = self.status()?;
            if !status.intersects(taken) {
                return Ok(events | status);
            }
            events |= status & taken;
            self.port.clear(status & taken);
        }
        Ok(events | self.status()?)
    }

    /// Takes events that are of no interest.
    pub(super) fn forget(&self, events: SlotStatus) {
        self.port.clear(events);
    }

    /// Whether something is in the slot, and the latch, if there is one, holds it.
    pub(super) fn is_present(&self, status: SlotStatus) -> bool {
        let has_latch = self.port.slot().contains(SlotCapabilities::LATCH_SENSOR);
        let is_open = has_latch && status.contains(SlotStatus::LATCH_OPEN);
        status.contains(SlotStatus::PRESENT) && !is_open
    }

    pub(super) fn link_is_down(&self) -> bool {
        self.port.link_is_active() == Some(false)
    }

    pub(super) fn has_power(&self) -> bool {
        let switches = self.port.slot().contains(SlotCapabilities::POWER_CONTROLLER);
        !switches || !self.port.control().contains(SlotControl::POWER_OFF)
    }

    /// Lets events interrupt.
    pub(super) async fn listen(&mut self) -> Result<(), HotplugError> {
        self.command(|control| control | LISTEN).await
    }

    /// Lets nothing interrupt any more. Not waited for.
    pub(super) fn be_quiet(&self) {
        if self.port.status().is_some() {
            self.port.set_control(self.port.control() - LISTEN);
        }
    }

    /// The power light and the attention light.
    pub(super) async fn lights(
        &mut self,
        power: Light,
        attention: Light,
    ) -> Result<(), HotplugError> {
        let slot = self.port.slot();
        self.command(|mut control| {
            if slot.contains(SlotCapabilities::POWER_INDICATOR) {
                control = control.with_power_light(power);
            }
            if slot.contains(SlotCapabilities::ATTENTION_INDICATOR) {
                control = control.with_attention_light(attention);
            }
            control
        })
        .await
    }

    pub(super) async fn power_on(&mut self) -> Result<(), HotplugError> {
        self.lights(Light::Blinking, Light::Off).await?;
        self.switch(|control| control - SlotControl::POWER_OFF).await
    }

    pub(super) async fn power_off(&mut self) -> Result<(), HotplugError> {
        self.switch(|control| control | SlotControl::POWER_OFF).await
    }

    async fn switch(
        &mut self,
        change: impl FnOnce(SlotControl) -> SlotControl,
    ) -> Result<(), HotplugError> {
        if !self.port.slot().contains(SlotCapabilities::POWER_CONTROLLER) {
            return Ok(());
        }
        self.command(change).await
    }

    /// Tells the slot something and waits until it is done.
    async fn command(
        &mut self,
        change: impl FnOnce(SlotControl) -> SlotControl,
    ) -> Result<(), HotplugError> {
        self.status()?;
        let before = self.port.control();
        let wanted = change(before);
        if wanted == before {
            return Ok(());
        }
        self.port.clear(SlotStatus::COMMAND_COMPLETED);
        self.port.set_control(wanted);
        if self.believed == Believed::Yes {
            self.status()?;
            return Ok(());
        }
        let mut waited = Duration::ZERO;
        while !self.status()?.contains(SlotStatus::COMMAND_COMPLETED) {
            if waited >= COMMAND_LIMIT {
                let name = &self.name;
                log::warn!("{name}: a command to the slot not done in {COMMAND_LIMIT:?}: believed");
                self.believed = Believed::Yes;
                return Ok(());
            }
            sleep::<P>(ticks::<P>(STEP)).await;
            waited += STEP;
        }
        self.port.clear(SlotStatus::COMMAND_COMPLETED);
        Ok(())
    }

    /// Waits until contacts no longer bounce; whether something is in the slot then.
    pub(super) async fn settle(&self) -> Result<bool, HotplugError> {
        for _ in 0..SETTLE_ROUNDS {
            self.forget(CHANGES);
            sleep::<P>(ticks::<P>(SETTLE)).await;
            let status = self.status()?;
            if !status.intersects(CHANGES) {
                return Ok(self.is_present(status));
            }
        }
        log::warn!("{}: its contacts bounce without end; taken as they are", self.name);
        self.forget(CHANGES);
        Ok(self.is_present(self.status()?))
    }

    /// Waits for the link; whether it came in time.
    pub(super) async fn link_comes_up(&self) -> Result<bool, HotplugError> {
        let mut waited = Duration::ZERO;
        loop {
            self.status()?;
            match self.port.link_is_active() {
                // It came because it was told to; what comes from here on is news.
                Some(true) => break self.forget(SlotStatus::LINK_CHANGED),
                // A port that does not say is given all the time there is.
                None if waited >= LINK_LIMIT => break,
                Some(false) if waited >= LINK_LIMIT => return Ok(false),
                _ => {}
            }
            sleep::<P>(ticks::<P>(STEP)).await;
            waited += STEP;
        }
        sleep::<P>(ticks::<P>(AFTER_LINK)).await;
        Ok(true)
    }

    /// The functions behind the port, with addresses. None: they did not answer in time.
    pub(super) async fn functions(&self, bridge: &Function) -> Vec<Function> {
        let mut waited = Duration::ZERO;
        loop {
            match pci::assign(bridge) {
                Ok(found) if found.is_empty() && waited < LINK_LIMIT => {}
                Ok(found) => return found,
                Err(error) => {
                    log::error!("{}: {error}", self.name);
                    return Vec::new();
                }
            }
            sleep::<P>(ticks::<P>(STEP)).await;
            waited += STEP;
        }
    }
}
