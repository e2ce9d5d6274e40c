//! Where a PCI function's legacy interrupt arrives: what firmware says in `_PRT`, as plain data.
//!
//! ```text
//!   function, pin ─► bridge, pin turned ─► … ─► root bus          (hal::pci::Path)
//!        │ a table for this bus?                    │
//!        └──── the lowest bus whose table names device and pin decides ────┘
//!                 │ a number                │ a link
//!                 └► that line, level, low  └► what the link is set to; if to nothing, what it
//!                                              could be set to, and then it has to be told
//! ```
//!
//! Pure: [`aml`](super::aml) fills it. Source: ACPI 6.5, 6.2.13.

pub mod resources;
#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::vec::Vec;

use protocols::pci::intx::Pin;

use self::resources::{Descriptor, Form};
use super::madt::{Line, Polarity, Trigger};
use crate::pci::{Hop, Path, RouteError};

/// All that firmware says of legacy interrupts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routing {
    /// Root buses and bridges that have a `_PRT`.
    pub tables: Vec<Table>,
    /// What tables lead to.
    pub links: Vec<Link>,
}

/// The `_PRT` of a root bus, or of a bridge for the bus behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Segment of the root bus.
    pub segment: u16,
    /// Number of the root bus.
    pub bus: u8,
    /// Device and function of each bridge from the root bus down to the one whose table it is.
    pub bridges: Vec<(u8, u8)>,
    /// What it says.
    pub entries: Vec<Entry>,
}

/// Where a pin of a device leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The device, on that bus.
    pub device: u8,
    /// Its pin.
    pub pin: Pin,
    /// Where it leads.
    pub source: Source,
}

/// The other end of a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A line by its global number: level-triggered, active low.
    Gsi(u32),
    /// A link.
    Link {
        /// Which of [`Routing::links`].
        link: usize,
        /// Which of the interrupts that the link names.
        index: usize,
    },
}

/// The entries of an i440FX board: pins turn from slot to slot, and slot 1 (the PIIX) begins with the
/// first of the four links. Its pin A is the power management's, which is wired otherwise.
pub fn i440fx(links: &[usize]) -> Vec<Entry> {
    let pins = (0..32).flat_map(|device| Pin::ALL.map(|pin| (device, pin)));
    let entries = pins.filter(|place| *place != (1, Pin::A)).filter_map(|(device, pin)| {
        // As if behind a bridge in slot 31.
        let turned = pin.through_bridge(device).through_bridge(31);
        let link = *links.get(turned as usize)?;
        Some(Entry { device, pin, source: Source::Link { link, index: 0 } })
    });
    entries.collect()
}

/// A device of the chipset that joins pins to a line that can be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its path in the namespace.
    pub name: String,
    /// What it is set to (`_CRS`).
    pub current: Vec<Descriptor>,
    /// What it could be set to (`_PRS`).
    pub possible: Vec<Descriptor>,
}

/// What becomes of a function's interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// It arrives there.
    Line(Line),
    /// It will once this link was told to use this line, in this form.
    Choice {
        /// Which of [`Routing::links`].
        link: usize,
        /// What to tell it.
        line: Line,
        /// How.
        form: Form,
    },
}

impl Routing {
    /// Where the interrupt of the function at the path's beginning arrives.
    pub fn find(&self, path: &Path) -> Result<Route, RouteError> {
        let hops = path.hops();
        let source = (0..hops.len()).find_map(|at| {
            let table = self.table(&hops[at], &hops[at + 1..])?;
            let hop = &hops[at];
            let named = |entry: &&Entry| (entry.device, entry.pin) == (hop.address.device, hop.pin);
            table.entries.iter().find(named).map(|entry| entry.source)
        });
        match source.ok_or(RouteError::NoEntry)? {
            Source::Gsi(gsi) => {
                let (trigger, polarity) = (Trigger::Level, Polarity::Low);
                Ok(Route::Line(Line { gsi, trigger, polarity }))
            }
            Source::Link { link, index } => self.through(link, index),
        }
    }

    /// The table for the bus that `hop` is on, which is reached through `above`.
    fn table(&self, hop: &Hop, above: &[Hop]) -> Option<&Table> {
        let root = above.last().unwrap_or(hop).address;
        let chain = || above.iter().rev().map(|hop| (hop.address.device, hop.address.function));
        let mut alike = self.tables.iter().filter(|table| {
            table.segment == root.segment && table.bridges.iter().copied().eq(chain())
        });
        // Firmware that has one root bus may be wrong about its number.
        let exact = alike.clone().find(|table| table.bus == root.bus);
        exact.or_else(|| alike.next().filter(|_| alike.next().is_none()))
    }

    fn through(&self, number: usize, index: usize) -> Result<Route, RouteError> {
        let link = self.links.get(number).ok_or(RouteError::BadLink)?;
        let nth = |all: &[Descriptor]| all.get(index).or(all.first()).cloned();
        // Line 0 is the timer's: firmware says "none" with it.
        let set = nth(&link.current).and_then(|current| current.lines.first().copied());
        if let Some(line) = set.filter(|line| line.gsi != 0) {
            return Ok(Route::Line(line));
        }
        let possible = nth(&link.possible).ok_or(RouteError::BadLink)?;
        let line = self.best(&possible.lines).ok_or(RouteError::BadLink)?;
        let form = nth(&link.current).map_or(possible.form, |current| current.form);
        let form = if resources::template(form, &line).is_some() { form } else { possible.form };
        Ok(Route::Choice { link: number, line, form })
    }

    /// The best of some lines: one that no ISA device can be on, else one that a link is on
    /// already, else the one that is most often free on a PC.
    fn best(&self, lines: &[Line]) -> Option<Line> {
        let in_use = |gsi| {
            let set = self.links.iter().flat_map(|link| &link.current);
            set.flat_map(|descriptor| &descriptor.lines).any(|line| line.gsi == gsi)
        };
        let rank = |line: &&Line| match line.gsi {
            16.. => 0,
            gsi @ 3..16 if in_use(gsi) => 1,
            10 | 11 => 2,
            5 | 7 => 3,
            9 => 4,
            3 | 4 | 6 | 12 | 15 => 5,
            // Timer, keyboard, cascade, clock, coprocessor, first disk.
            _ => 6,
        };
        lines.iter().min_by_key(rank).copied().filter(|line| rank(&line) < 6)
    }
}
