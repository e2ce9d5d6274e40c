//! The legacy interrupt of a function: a pin, which bridges pass on up to the root bus, and there
//! the board joins it to an interrupt line, with others.
//!
//! Where no message can be had, this is what a function interrupts by. The line is level-triggered
//! and shared: whoever is on it hears of every interrupt on it, looks at his device, silences it,
//! and then waits again, which lets the line interrupt again. While masked, the function is kept
//! from asserting the line at all, where it can be: a device that is polled leaves its neighbours
//! alone.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use protocols::pci::intx::Pin;
use protocols::pci::{Address, HeaderKind, command, offset};

use super::config::ConfigSpace;
use super::function::COMMAND;
use super::interrupts::{Refusal, Signalling};
use super::{Function, PciError};
use crate::interrupt::{Interrupt, InterruptControl, InterruptError};
use crate::machine;
use crate::mmio::Register;

/// Most bridges between a function and its root bus.
const DEEPEST: usize = 32;

/// A function on the way to the root bus, and its pin that the interrupt is on there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Which function.
    pub address: Address,
    /// Which pin.
    pub pin: Pin,
}

/// The way of a function's interrupt: the function, then each bridge up to the root bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(Vec<Hop>);

impl Path {
    /// The way from `function`, whose interrupt is on `pin`, up through `bridges`, the nearest
    /// first.
    pub fn new(function: Address, pin: Pin, bridges: impl IntoIterator<Item = Address>) -> Self {
        let mut hops = alloc::vec![Hop { address: function, pin }];
        for address in bridges {
            let below = hops[hops.len() - 1];
            hops.push(Hop { address, pin: below.pin.through_bridge(below.address.device) });
        }
        Self(hops)
    }

    /// The function first; never empty.
    pub fn hops(&self) -> &[Hop] {
        &self.0
    }
}

impl Function {
    /// The pin it interrupts on, and the bridges that pass it on. `None`: it uses no pin.
    pub fn interrupt_path(&self) -> Option<Path> {
        let register = Register::<u8>::at(usize::from(offset::INTERRUPT) + 1);
        let pin = Pin::from_register(self.config().read(register))?;
        let functions = self.segment().scan();
        let above = |bus: u8| {
            functions.iter().find(|found| match found.header().kind {
                HeaderKind::Bridge { secondary, .. } => secondary == bus && bus != 0,
                _ => false,
            })
        };
        let mut bus = self.address().bus;
        let bridges = core::iter::from_fn(|| {
            let bridge = above(bus)?.address();
            bus = bridge.bus;
            Some(bridge)
        });
        Some(Path::new(self.address(), pin, bridges.take(DEEPEST)))
    }
}

/// The line of `function`, masked.
pub(super) fn set_up(function: &Function) -> Result<Interrupt, Refusal> {
    let path = function.interrupt_path().ok_or(InterruptError::NoPin)?;
    let config = function.config().clone();
    let (latch, line) = machine::pci_line(config.window(), &path)?;
    let switch = Arc::new(Switch { config, is_off: AtomicBool::new(true) });
    let signalling: Arc<dyn Signalling> = switch.clone();
    function.remember_signalling(&signalling);
    Ok(Interrupt::new(latch, Box::new(Pinned { switch, line })))
}

/// The function's own switch in front of its line. Functions made before PCI 2.3 have none: there
/// it has no effect, and the line alone is masked.
struct Switch {
    config: ConfigSpace,
    is_off: AtomicBool,
}

impl Switch {
    fn turn(&self, off: bool) {
        self.is_off.store(off, Ordering::Relaxed);
        self.apply();
    }

    /// Has the function hear of it.
    fn apply(&self) {
        let before = self.config.read(COMMAND);
        // All ones: the function is gone. What comes in its place must not be told this.
        if before != u16::MAX && self.command(before) != before {
            self.config.write(COMMAND, self.command(before));
            let _ = self.config.read(COMMAND);
        }
    }
}

impl Signalling for Switch {
    fn write_all(&self) -> Result<(), PciError> {
        self.apply();
        Ok(())
    }

    fn command(&self, command: u16) -> u16 {
        match self.is_off.load(Ordering::Relaxed) {
            true => command | command::INTERRUPT_OFF,
            false => command & !command::INTERRUPT_OFF,
        }
    }
}

/// The line, behind the switch.
struct Pinned {
    switch: Arc<Switch>,
    line: Box<dyn InterruptControl>,
}

impl InterruptControl for Pinned {
    fn mask(&self) {
        self.switch.turn(true);
        self.line.mask();
    }

    fn unmask(&self) {
        self.line.unmask();
        self.switch.turn(false);
    }

    fn rearm(&self) {
        self.line.rearm();
    }

    fn claim(&self) {
        self.line.claim();
    }
}
