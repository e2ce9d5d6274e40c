//! Native PCI Express hot-plug: one task for each port with a slot.
//!
//! [`run`] is the whole driver. It sees to the slot's power and lights, finds what was plugged in,
//! and tells whoever started it: [`Event`]s, one after the other, each awaited.
//!
//! ```text
//!              present: power on, link, settle, addresses
//!    Empty ───────────────────────────────────────────> On <─────────────┐ button again,
//!      ^ ^  no link, power fault: off, attention light  │ │              │ device still there
//!      │ └────────────────────────────────────┐         │ │ button       │
//!      │ pulled out                           │         │ v              │
//!      │                     pulled out, link │         │ Leaving (light blinks, 5 s)
//!      │                     lost: Surprise   ├─────────┘ │ 5 s are over: Removed, awaited,
//!      │                                      │           v then power off
//!      └───────────────────────────────────── Off <───────┘
//!                                             │ ^
//!               button: light blinks, 5 s     v │ button again
//!                                          Entering ──> power on, as from Empty
//! ```
//!
//! Contacts bounce: what is plugged in counts once presence has not changed for a while. Every
//! command to the slot is waited for, with a limit: a port that never completes one is believed
//! anyway, and named in the log once.
//!
//! How events are noticed: by the port's interrupt, or, where it has none, by looking.
//!
//! Source: PCI Express Base Specification 5.0, 6.7 (hot-plug), 6.7.1.5 (the five seconds), 6.6.1
//! (how long a device may take), 7.5.3.9 to 7.5.3.11 (registers).

#[cfg(test)]
mod model;
mod slot;
#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::pin::pin;
use core::time::Duration;

use executor::sync::Notify;
use executor::{Instant, Platform, sleep_until};
use futures_util::future::{Either, select};
use hal::interrupt::Interrupt;
use hal::pci::{self, Function, Port};
use protocols::pci::express::{Light, SlotStatus};

use self::slot::Slot;

/// How long a press of the button may be taken back.
const REGRET: Duration = Duration::from_secs(5);
/// How often a port without an interrupt is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How often a port with an interrupt is looked at all the same: one that is gone raises none.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// What says that the device is not the one that was there.
const CHANGES: SlotStatus =
    SlotStatus::PRESENCE_CHANGED.union(SlotStatus::LINK_CHANGED).union(SlotStatus::LATCH_CHANGED);

/// Why a port is no longer served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum HotplugError {
    /// The port itself is gone: it was behind another slot. Nothing to do.
    #[error("the port is gone")]
    Gone,
    /// It has no slot that devices are plugged into.
    #[error("the port has no slot to plug into")]
    NoSlot,
}

/// What happened at a slot.
#[derive(Debug)]
pub enum Event {
    /// These functions are there, with addresses. They may be known already: what was plugged in
    /// when the driver started is told too.
    Inserted(Vec<Function>),
    /// Somebody asks for the device. Stop its drivers in an orderly way; the slot loses power once
    /// this has been dealt with.
    Removed,
    /// The device is gone already. End its drivers.
    Surprise,
}

/// What the driver needs.
pub struct Parts {
    /// What it is called in the log, such as `slot0`.
    pub name: String,
    /// The port.
    pub port: Port,
    /// Its interrupt; none: it is looked at every 50 ms.
    pub interrupts: Vec<Interrupt>,
    /// Ends the driver.
    pub stop: Arc<Notify>,
}

/// The parts of the port that `function` is, with an interrupt on the first of `cores` if it has
/// one. An empty `cores`: it is looked at instead.
///
/// # Errors
/// [`HotplugError::NoSlot`].
pub fn attach(name: String, function: &Function, cores: &[u16]) -> Result<Parts, HotplugError> {
    let port = function.hot_plug_port().ok_or(HotplugError::NoSlot)?;
    // Messages are writes to memory.
    let obeys = function.enable_bus_master();
    let cores = if obeys.is_ok() { &cores[..cores.len().min(1)] } else { &[] };
    let interrupts = function.interrupts(cores).vectors;
    Ok(Parts { name, port, interrupts, stop: Arc::new(Notify::new()) })
}

/// How the slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing is in it.
    Empty,
    /// Something is in it, without power.
    Off,
    /// As `Off`; power goes on at that time.
    Entering(Instant),
    /// A device works.
    On,
    /// As `On`; it is asked for at that time.
    Leaving(Instant),
}

/// Serves the port: see the module's documentation. `tell` is awaited for each event.
///
/// Dropping the future, or stopping it, leaves the slot as it is: the device goes on working.
///
/// # Errors
/// The port is gone; what was behind it was told to be gone first.
pub async fn run<P: Platform>(
    parts: Parts,
    mut tell: impl AsyncFnMut(Event),
) -> Result<(), HotplugError> {
    let Parts { name, port, mut interrupts, stop } = parts;
    let bridge = port.bridge().clone();
    let mut driver = Driver { slot: Slot::<P>::new(name, port), bridge, state: State::Empty };
    let mut interrupt = interrupts.drain(..).next();
    let served = async {
        driver.start(&mut tell).await?;
        if let Some(interrupt) = &mut interrupt {
            interrupt.unmask();
        }
        loop {
            driver.look(&mut tell).await?;
            driver.wait(interrupt.as_mut()).await;
        }
    };
    let ended = match select(pin!(served), pin!(stop.wait())).await {
        Either::Left((ended, _)) => ended,
        Either::Right(((), _)) => Ok(()),
    };
    if ended.is_err() {
        driver.lose(&mut tell).await;
    }
    driver.slot.be_quiet();
    ended
}

/// A port being served.
struct Driver<P> {
    slot: Slot<P>,
    bridge: Function,
    state: State,
}

impl<P: Platform> Driver<P> {
    /// Finds out how the slot is, and begins to listen.
    async fn start(&mut self, tell: &mut impl AsyncFnMut(Event)) -> Result<(), HotplugError> {
        let found = self.slot.take_events()?;
        if self.slot.is_present(found) && self.slot.has_power() {
            self.slot.lights(Light::On, Light::Off).await?;
            self.announce(tell).await?;
        }
        self.slot.listen().await
    }

    /// Deals with what has happened since the last look, and with what is due.
    async fn look(&mut self, tell: &mut impl AsyncFnMut(Event)) -> Result<(), HotplugError> {
        let found = self.slot.take_events()?;
        let present = self.slot.is_present(found);
        let changed = found.intersects(CHANGES);
        match self.state {
            State::On | State::Leaving(_) => {
                let fault = found.contains(SlotStatus::POWER_FAULT);
                if changed || fault || !present || self.slot.link_is_down() {
                    self.lose(tell).await;
                    self.power_off(if fault { Light::On } else { Light::Off }).await?;
                    // A power that failed is switched on again by people only.
                    self.state = if fault { State::Off } else { State::Empty };
                    return if fault { Ok(()) } else { self.insert(tell).await };
                }
                if found.contains(SlotStatus::BUTTON_PRESSED) {
                    self.press().await?;
                }
            }
            State::Empty if present => self.insert(tell).await?,
            State::Empty => {}
            State::Off | State::Entering(_) => {
                if !present {
                    self.slot.lights(Light::Off, Light::Off).await?;
                    self.state = State::Empty;
                } else if changed {
                    self.insert(tell).await?;
                } else if found.contains(SlotStatus::BUTTON_PRESSED) {
                    self.press().await?;
                }
            }
        }
        match self.state {
            State::Entering(due) if due <= P::now() => self.power_on(tell).await,
            State::Leaving(due) if due <= P::now() => self.remove(tell).await,
            _ => Ok(()),
        }
    }

    /// Waits for something to happen, or to be due.
    async fn wait(&self, interrupt: Option<&mut Interrupt>) {
        let interval = if interrupt.is_some() { WATCH_INTERVAL } else { LOOK_INTERVAL };
        let next = P::now().after(ticks::<P>(interval));
        let next = match self.state {
            State::Entering(due) | State::Leaving(due) => next.min(due),
            _ => next,
        };
        let raised = async {
            match interrupt {
                Some(interrupt) => drop(interrupt.wait().await),
                None => core::future::pending().await,
            }
        };
        select(pin!(raised), pin!(sleep_until::<P>(next))).await;
    }

    /// The button: asks for something, or takes it back.
    async fn press(&mut self) -> Result<(), HotplugError> {
        let name = &self.slot.name;
        let due = P::now().after(ticks::<P>(REGRET));
        let (state, light) = match self.state {
            State::On => {
                log::info!("{name}: the button asks for the device: {REGRET:?} to press it again");
                (State::Leaving(due), Light::Blinking)
            }
            State::Off => {
                log::info!("{name}: the button asks for power: {REGRET:?} to press it again");
                (State::Entering(due), Light::Blinking)
            }
            State::Leaving(_) | State::Entering(_) => {
                log::info!("{name}: the button takes it back");
                let was_on = matches!(self.state, State::Leaving(_));
                if was_on { (State::On, Light::On) } else { (State::Off, Light::Off) }
            }
            State::Empty => return Ok(()),
        };
        self.state = state;
        self.slot.lights(light, Light::Off).await
    }

    /// Something was plugged in, or its contacts bounce.
    async fn insert(&mut self, tell: &mut impl AsyncFnMut(Event)) -> Result<(), HotplugError> {
        if self.slot.settle().await? {
            self.power_on(tell).await
        } else {
            self.state = State::Empty;
            Ok(())
        }
    }

    /// Power, link, addresses; then the device is everybody's.
    async fn power_on(&mut self, tell: &mut impl AsyncFnMut(Event)) -> Result<(), HotplugError> {
        self.slot.power_on().await?;
        if self.slot.link_comes_up().await? {
            return self.announce(tell).await;
        }
        log::error!("{}: what was plugged in gets no link: power off", self.slot.name);
        self.fail().await
    }

    /// Looks for functions, until there are some or their time is over.
    async fn announce(&mut self, tell: &mut impl AsyncFnMut(Event)) -> Result<(), HotplugError> {
        let found = self.slot.functions(&self.bridge).await;
        if found.is_empty() {
            log::error!("{}: nothing answers behind it: power off", self.slot.name);
            return self.fail().await;
        }
        log::info!("{}: {found:?}", self.slot.name);
        self.slot.lights(Light::On, Light::Off).await?;
        self.slot.forget(SlotStatus::POWER_FAULT);
        self.state = State::On;
        tell(Event::Inserted(found)).await;
        Ok(())
    }

    /// What is in the slot is of no use.
    async fn fail(&mut self) -> Result<(), HotplugError> {
        self.power_off(Light::On).await?;
        self.state = State::Off;
        Ok(())
    }

    /// Nobody took it back: the device goes.
    async fn remove(&mut self, tell: &mut impl AsyncFnMut(Event)) -> Result<(), HotplugError> {
        tell(Event::Removed).await;
        pci::forget(&self.bridge);
        self.power_off(Light::Off).await?;
        log::info!("{}: the device may be taken out", self.slot.name);
        self.state = State::Off;
        Ok(())
    }

    /// The device is gone, if there was one.
    async fn lose(&mut self, tell: &mut impl AsyncFnMut(Event)) {
        if matches!(self.state, State::On | State::Leaving(_)) {
            log::warn!("{}: the device was pulled out, or lost its link or power", self.slot.name);
            self.state = State::Empty;
            pci::forget(&self.bridge);
            tell(Event::Surprise).await;
        }
    }

    async fn power_off(&mut self, attention: Light) -> Result<(), HotplugError> {
        self.slot.power_off().await?;
        self.slot.lights(Light::Off, attention).await?;
        // The link went because it was told to.
        self.slot.forget(SlotStatus::LINK_CHANGED);
        Ok(())
    }
}

fn ticks<P: Platform>(span: Duration) -> u64 {
    let ticks = span.as_nanos().saturating_mul(u128::from(P::ticks_per_second())) / 1_000_000_000;
    u64::try_from(ticks).unwrap_or(u64::MAX)
}
