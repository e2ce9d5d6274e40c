//! Disks, for whoever needs one: finds the NVMe controllers and runs their drivers for as long as
//! they are needed.
//!
//! Nothing touches a disk unless somebody asks; whoever does says whether it may write. Drivers run
//! as tasks of the core that asks.

use crate::clock;
use crate::platform::Pollux;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use drivers::nvme::{self, Namespace, NvmeError};
use drivers::storage::Writable;
use executor::sync::{Notify, oneshot};
use executor::{Instant, JoinHandle, Priority};
use hal::dma::DmaDomain;
use hal::pci::{self, Function, Window};
use hal::x86_64::time::clock::now;

/// Seconds a driver may take from its start to its disks, and to its end.
const PATIENCE_S: u64 = 60;

/// PCI class and subclass of storage whose drivers are still to come.
const NOT_YET: &[(u8, u8, &str)] = &[(0x01, 0x06, "AHCI"), (0x0c, 0x03, "USB")];

static WINDOWS: spin::Once<Vec<Window>> = spin::Once::new();

/// Remembers where the PCI functions' configuration is, as ACPI says. Once, at boot.
pub fn remember_windows(windows: impl Iterator<Item = Window>) {
    WINDOWS.call_once(|| windows.collect());
}

/// Where the PCI functions' configuration is.
pub fn windows() -> &'static [Window] {
    WINDOWS.get().map_or(&[], Vec::as_slice)
}

/// A controller whose driver runs.
pub struct Controller {
    name: String,
    function: Function,
    stop: Arc<Notify>,
    driver: JoinHandle<Result<(), NvmeError>>,
    /// Its disks.
    pub namespaces: Vec<Namespace<Pollux>>,
}

/// The controllers that were found.
pub struct Disks {
    /// Those whose drivers run.
    pub controllers: Vec<Controller>,
    /// Kinds of controllers that are there and have no driver yet.
    pub not_yet: Vec<&'static str>,
}

/// Starts the drivers of all NVMe controllers. What a driver has to complain of is in the log.
pub async fn start(writable: Writable) -> Disks {
    let windows = WINDOWS.get().map_or(&[][..], Vec::as_slice);
    if windows.is_empty() {
        log::warn!("pci: firmware names no configuration window (MCFG): no device is found");
    }
    let functions = pci::scan(windows, &pci::machine_map());
    log::debug!("pci: {} functions: {functions:?}", functions.len());
    let is_there = |class: u8, subclass: u8| {
        let header = |found: &Function| (found.header().class, found.header().subclass);
        functions.iter().any(|found| header(found) == (class, subclass))
    };
    let not_yet = NOT_YET.iter().filter(|kind| is_there(kind.0, kind.1)).map(|kind| kind.2);
    let mut disks = Disks { controllers: Vec::new(), not_yet: not_yet.collect() };
    let found = pci::find_class(&functions, protocols::nvme::PCI_CLASS);
    for (number, function) in found.enumerate() {
        let name = format!("nvme{number}");
        if let Some(controller) = start_controller(name, function, writable).await {
            disks.controllers.push(controller);
        }
    }
    disks
}

async fn start_controller(
    name: String,
    function: &Function,
    writable: Writable,
) -> Option<Controller> {
    log::info!("{name}: {function:?}");
    let parts = match nvme::attach(name.clone(), function, DmaDomain::machine(), writable) {
        Ok(parts) => parts,
        Err(error) => {
            log::error!("{name}: {error}");
            return None;
        }
    };
    let stop = parts.stop.clone();
    let (sender, receiver) = oneshot::channel();
    // A receiver that is gone wants no disks.
    let driver = nvme::run::<Pollux>(parts, |found| drop(sender.send(found)));
    let driver = executor::spawn::<Pollux, _>("nvme", Priority::High, driver);
    match executor::timeout::<Pollux, _>(soon(), receiver).await {
        Ok(Ok(namespaces)) => {
            Some(Controller { name, function: function.clone(), stop, driver, namespaces })
        }
        // It has said why in the log.
        Ok(Err(_)) => None,
        Err(_) => {
            log::error!("{name}: nothing heard of it for {PATIENCE_S} s; given up");
            None
        }
    }
}

fn soon() -> Instant {
    Instant(now().saturating_add(clock::frequency() * PATIENCE_S))
}

impl Disks {
    /// Ends the drivers: the controllers bring their caches to rest.
    pub async fn stop(self) {
        for controller in self.controllers {
            let Controller { name, function, stop, driver, namespaces } = controller;
            drop(namespaces);
            stop.notify();
            if executor::timeout::<Pollux, _>(soon(), driver).await.is_err() {
                log::error!("{name}: its driver does not end");
            }
            if let Err(error) = function.disable_bus_master() {
                log::warn!("{name}: {error}");
            }
        }
    }
}
