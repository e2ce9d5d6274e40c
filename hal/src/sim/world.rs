//! What all parts of one simulated machine share: time, memory, events to come, violations.

use std::boxed::Box;
use std::collections::BTreeMap;
use std::string::String;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::vec::Vec;

use super::arena::Arena;
use super::device::{Bus, DeviceModel, Level, Signal};
use super::faults::{Faults, InterruptFate, WriteFate};
use super::line::Line;
use super::vectors::Vectors;
use super::violation::Violation;
use super::wire::Wire;
use crate::clock::Ticks;
use crate::dma::AddressLimit;
use crate::interrupt::{InterruptLatch, Message};
use crate::mmio::Width;

/// A tick is a nanosecond.
pub(super) const TICKS_PER_SECOND: u64 = 1_000_000_000;

/// Locks, also after a test thread panicked while holding it.
pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What happens at a later time.
pub(super) enum Event {
    Model { device: Arc<Device>, token: u64 },
    Edge { device: Arc<Device>, line: u32 },
    Wake(Waker),
}

pub(super) struct World {
    now: AtomicU64,
    /// Somebody else's clock, for machines that follow one.
    follows: Option<fn() -> Ticks>,
    /// Raised when something new is to happen.
    pub(super) scheduled: InterruptLatch,
    pub(super) arena: Mutex<Arena>,
    pub(super) vectors: Mutex<Vectors>,
    events: Mutex<BTreeMap<(Ticks, u64), Event>>,
    sequence: AtomicU64,
    violations: Mutex<Vec<Violation>>,
}

impl World {
    pub(super) fn new(follows: Option<fn() -> Ticks>) -> Self {
        Self {
            now: AtomicU64::new(0),
            follows,
            scheduled: InterruptLatch::new(),
            arena: Mutex::new(Arena::new()),
            vectors: Mutex::new(Vectors::default()),
            events: Mutex::new(BTreeMap::new()),
            sequence: AtomicU64::new(0),
            violations: Mutex::new(Vec::new()),
        }
    }

    pub(super) fn now(&self) -> Ticks {
        let own = Ticks(self.now.load(Ordering::Acquire));
        self.follows.map_or(own, |clock| clock().max(own))
    }

    pub(super) fn report(&self, violation: Violation) {
        lock(&self.violations).push(violation);
    }

    /// A message arrives at the interrupt controllers.
    fn deliver(&self, device: &'static str, message: Message) {
        let latch = lock(&self.vectors).latch(message);
        match latch {
            Some(latch) => latch.raise(),
            None => self.report(Violation::StrayMessage { device, message }),
        }
    }

    pub(super) fn take_violations(&self) -> Vec<Violation> {
        std::mem::take(&mut lock(&self.violations))
    }

    pub(super) fn schedule(&self, at: Ticks, event: Event) {
        let order = self.sequence.fetch_add(1, Ordering::Relaxed);
        lock(&self.events).insert((at, order), event);
        self.scheduled.raise();
    }

    pub(super) fn next_event(&self) -> Option<Ticks> {
        lock(&self.events).first_key_value().map(|((at, _), _)| *at)
    }

    /// Moves time to `end`, and lets happen on the way what is due.
    pub(super) fn advance_to(self: &Arc<Self>, end: Ticks) {
        loop {
            let mut events = lock(&self.events);
            match events.first_entry() {
                Some(first) if first.key().0 <= end => {
                    let ((at, _), event) = first.remove_entry();
                    drop(events);
                    self.now.fetch_max(at.0, Ordering::AcqRel);
                    self.fire(event);
                }
                _ => break,
            }
        }
        self.now.fetch_max(end.0, Ordering::AcqRel);
    }

    fn fire(self: &Arc<Self>, event: Event) {
        match event {
            Event::Model { device, token } => {
                device.with_model(self, |model, bus| model.event(bus, token));
            }
            Event::Edge { device, line } => device.edge(line),
            Event::Wake(waker) => waker.wake(),
        }
    }

    /// Lets go of what is still to come, and with it of the devices.
    pub(super) fn forget_events(&self) {
        let forgotten = std::mem::take(&mut *lock(&self.events));
        drop(forgotten);
    }

    /// All violations as one text, or `None` if there were none.
    pub(super) fn complaint(&self) -> Option<String> {
        let violations = self.take_violations();
        let mut text = String::new();
        for violation in &violations {
            text.push_str("\n  ");
            text.push_str(&std::string::ToString::to_string(violation));
        }
        (!violations.is_empty()).then_some(text)
    }
}

/// Whether the device answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Present,
    Gone,
}

/// One device in the machine.
pub(super) struct Device {
    pub(super) name: &'static str,
    model: Mutex<Box<dyn DeviceModel>>,
    faults: Mutex<Box<dyn Faults>>,
    presence: Mutex<Presence>,
    lines: Mutex<BTreeMap<u32, Arc<Line>>>,
    /// Where the pin of its PCI function leads, and which of its lines is the pin.
    pin: Mutex<Option<(u32, Wire)>>,
}

impl Device {
    pub(super) fn new(
        name: &'static str,
        model: Box<dyn DeviceModel>,
        none: Box<dyn Faults>,
    ) -> Self {
        Self {
            name,
            model: Mutex::new(model),
            faults: Mutex::new(none),
            presence: Mutex::new(Presence::Present),
            lines: Mutex::new(BTreeMap::new()),
            pin: Mutex::new(None),
        }
    }

    pub(super) fn set_faults(&self, faults: Box<dyn Faults>) {
        *lock(&self.faults) = faults;
    }

    pub(super) fn unplug(&self) {
        *lock(&self.presence) = Presence::Gone;
        // Nobody drives its pin any more.
        let pin = lock(&self.pin).clone();
        if let Some((_, wire)) = pin {
            wire.set_level(core::ptr::from_ref(self) as usize, Level::Deasserted);
        }
    }

    pub(super) fn plug_in(&self) {
        *lock(&self.presence) = Presence::Present;
    }

    fn is_gone(&self) -> bool {
        *lock(&self.presence) == Presence::Gone
    }

    pub(super) fn line(&self, number: u32) -> Arc<Line> {
        lock(&self.lines).entry(number).or_default().clone()
    }

    pub(super) fn wire(&self) -> Option<Wire> {
        lock(&self.pin).as_ref().map(|(_, wire)| wire.clone())
    }

    pub(super) fn join_pin(&self, line: u32, wire: &Wire) {
        *lock(&self.pin) = Some((line, wire.clone()));
    }

    fn set_level(self: &Arc<Self>, line: u32, level: Level) {
        let pin = lock(&self.pin).clone();
        match pin.filter(|(pin, _)| *pin == line) {
            Some((_, wire)) => wire.set_level(Arc::as_ptr(self) as usize, level),
            None => self.line(line).set_level(level),
        }
    }

    fn edge(&self, line: u32) {
        if !self.is_gone() {
            self.line(line).edge();
        }
    }

    /// Lets the model act, unless the device is gone, then delivers what it asked for.
    pub(super) fn with_model<R>(
        self: &Arc<Self>,
        world: &Arc<World>,
        act: impl FnOnce(&mut dyn DeviceModel, &mut Bus<'_>) -> R,
    ) -> Option<R> {
        if self.is_gone() {
            return None;
        }
        Some(self.with_bus(world, |bus| {
            let mut model = lock(&self.model);
            bus.limit = model.address_limit();
            act(&mut **model, bus)
        }))
    }

    /// Acts on the bus in the device's name, then delivers what was asked for.
    pub(super) fn with_bus<R>(
        self: &Arc<Self>,
        world: &Arc<World>,
        act: impl FnOnce(&mut Bus<'_>) -> R,
    ) -> R {
        let mut lose = |transfer| self.is_gone() || !lock(&self.faults).dma(transfer);
        let mut bus = Bus {
            world,
            name: self.name,
            limit: AddressLimit::NONE,
            lose: &mut lose,
            signals: Vec::new(),
            calls: Vec::new(),
        };
        let result = act(&mut bus);
        let Bus { signals, calls, .. } = bus;
        for (at, token) in calls {
            world.schedule(at, Event::Model { device: self.clone(), token });
        }
        for signal in signals {
            match signal {
                Signal::Edge(line) => self.raise(world, line),
                Signal::Level(line, level) if !self.is_gone() => self.set_level(line, level),
                Signal::Message(message) if !self.is_gone() => world.deliver(self.name, message),
                Signal::Level(..) | Signal::Message(_) => {}
            }
        }
        result
    }

    /// An interrupt on its way from the device, past the faults.
    pub(super) fn raise(self: &Arc<Self>, world: &Arc<World>, line: u32) {
        if self.is_gone() {
            return;
        }
        let fate = lock(&self.faults).interrupt(line);
        match fate {
            InterruptFate::Deliver => self.edge(line),
            InterruptFate::Lose => {}
            InterruptFate::Repeat(times) => {
                for _ in 0..times {
                    self.edge(line);
                }
            }
            InterruptFate::Delay(delay) => {
                let at = world.now().plus(delay);
                world.schedule(at, Event::Edge { device: self.clone(), line });
            }
        }
    }

    pub(super) fn register_read(
        self: &Arc<Self>,
        world: &Arc<World>,
        offset: usize,
        width: Width,
    ) -> u64 {
        let answer = self.with_model(world, |model, bus| model.read(bus, offset, width));
        let value = match answer {
            Some(value) => lock(&self.faults).read(offset, width, value),
            None => u64::MAX,
        };
        value & width.all_ones()
    }

    pub(super) fn register_write(
        self: &Arc<Self>,
        world: &Arc<World>,
        offset: usize,
        width: Width,
        value: u64,
    ) {
        let fate = lock(&self.faults).write(offset, width, value);
        let value = match fate {
            WriteFate::Deliver => value,
            WriteFate::Ignore => return,
            WriteFate::Change(other) => other & width.all_ones(),
        };
        self.with_model(world, |model, bus| model.write(bus, offset, width, value));
    }
}
