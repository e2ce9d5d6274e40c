//! Firmware's code: the AML of the DSDT and the SSDTs, run for what the kernel needs of it. Today
//! that is where legacy interrupts of PCI functions arrive.
//!
//! ```text
//!   init: remembers where the tables are, runs nothing
//!   route(path) ─ first time ─► load tables, ask every _PRT and link ─► Routing ─► forget the code
//!        │                                                                │
//!        └────────────────── found there ◄────────────────────────────────┘
//!            a link that has to be told: load again, tell it, ask again
//! ```
//!
//! Only a machine with a function that cannot interrupt by message ever runs any. What is kept is
//! the answer: no interpreter, no namespace. Code that makes no sense, or that would run for ever, is
//! left out: see [`guard`] and [`interpreter`].

mod firmware;
pub mod guard;
mod interpreter;
mod pci_regions;
mod survey;
pub mod trial;

use alloc::vec::Vec;

use spin::{Mutex, Once};

use super::acpi::Acpi;
use super::madt::Line;
use super::routing::{Route, Routing};
use super::time::clock;
use crate::memory::heap;
use crate::pci::{Path, RouteError};

/// The tables with code: the DSDT, then what adds to it.
struct Code {
    tables: Vec<&'static [u8]>,
}

static CODE: Once<Code> = Once::new();
/// What the code said when it was asked. `None`: it was not yet.
static ROUTING: Mutex<Option<Result<Routing, RouteError>>> = Mutex::new(None);

/// Remembers where firmware's code is. Once, at boot.
pub fn init(acpi: &Acpi) {
    let dsdt = acpi.fadt().ok().and_then(|fadt| acpi.dsdt(&fadt));
    if dsdt.is_none() {
        log::warn!("acpi: the DSDT is missing or damaged: legacy interrupts will not be routed");
    }
    CODE.call_once(|| Code { tables: dsdt.into_iter().chain(acpi.ssdts()).collect() });
}

/// Where the interrupt of the function at the path's beginning arrives. May take a while the first
/// time.
///
/// # Errors
/// Firmware does not say, or cannot be asked.
pub fn route(path: &Path) -> Result<Line, RouteError> {
    let mut known = ROUTING.lock();
    let routing = known.get_or_insert_with(first_look).as_mut();
    let routing = routing.map_err(|error| *error)?;
    match routing.find(path)? {
        Route::Line(line) => Ok(line),
        Route::Choice { link, line, form } => {
            let current = survey::set_link(code()?, &routing.links[link].name, form, &line)?;
            routing.links[link].current = current;
            match routing.find(path)? {
                Route::Line(line) => Ok(line),
                Route::Choice { .. } => {
                    // Not to be asked again.
                    routing.links[link].possible.clear();
                    Err(RouteError::DeafLink)
                }
            }
        }
    }
}

/// Asks for everything, and says what that took.
fn first_look() -> Result<Routing, RouteError> {
    let (begin, before) = (clock::now(), heap::statistics());
    let routing = survey::routing(code()?);
    firmware::let_go();
    let took_us = clock::ticks_to_ns(clock::now() - begin) / 1_000;
    let after = heap::statistics();
    let kept = after.used_bytes.saturating_sub(before.used_bytes);
    let grown = after.claimed_bytes - before.claimed_bytes;
    if let Ok(routing) = &routing {
        let (tables, links) = (routing.tables.len(), routing.links.len());
        log::info!("aml: {tables} routing tables, {links} links, {took_us} us");
        log::debug!("aml: the heap has grown by {grown} bytes, {kept} are kept");
        log::debug!("aml: {routing:?}");
    }
    routing
}

fn code() -> Result<&'static Code, RouteError> {
    CODE.get().filter(|code| !code.tables.is_empty()).ok_or(RouteError::NoAml)
}
