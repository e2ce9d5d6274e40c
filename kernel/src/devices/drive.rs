//! Runs the drivers: one task for each PCI function that a driver is for.

use super::disks::{self, Listed};
use super::{Block, WINDOWS, default_mode, partitions};
use crate::clock;
use crate::platform::{self, Pollux};
use crate::process::exit::Event;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::pin::pin;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use drivers::block::Device;
use drivers::edu::{self, Edu};
use drivers::nvme::{self, Namespace};
use drivers::registry::{Match, PciId, Registry};
use drivers::storage::Writable;
use executor::sync::Notify;
use executor::{Instant, Priority};
use futures_util::future::{Either, select};
use hal::dma::DmaDomain;
use hal::pci::{self, Function};
use hal::x86_64::time::clock::now;
use protocols::pci::Address;

/// Seconds a driver may take to its disks, and to its end.
const PATIENCE_S: u64 = 10;

/// The drivers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nvme,
    Edu,
}

/// Which functions they are for.
const DRIVERS: Registry<'_, Kind> = Registry::new(&[
    (Match::Class { class: 0x01, subclass: 0x08, interface: Some(0x02) }, Kind::Nvme),
    (Match::Device { vendor: 0x1234, device: 0x11e8 }, Kind::Edu),
]);

/// PCI class and subclass of storage whose drivers are still to come.
const NOT_YET: &[(u8, u8, &str)] = &[(0x01, 0x06, "AHCI"), (0x0c, 0x03, "USB")];

/// A function whose driver runs.
#[derive(Clone)]
struct Driven {
    id: u64,
    name: Arc<str>,
    address: Address,
    stop: Arc<Notify>,
    /// Its disks and their partitions are known, or will never be.
    known: Arc<Event<()>>,
    ended: Arc<Event<()>>,
}

static DRIVEN: spin::Mutex<Vec<Driven>> = spin::Mutex::new(Vec::new());
static FOUND: spin::Mutex<Vec<Function>> = spin::Mutex::new(Vec::new());
static NEXT: AtomicU64 = AtomicU64::new(1);
static WITHOUT: spin::Mutex<Vec<&'static str>> = spin::Mutex::new(Vec::new());

/// Every function that was found, and the name of its driver while that runs.
pub fn functions() -> Vec<(Function, Option<Arc<str>>)> {
    let driven = DRIVEN.lock().clone();
    let driver = |found: &Function| {
        let it = driven.iter().find(|driven| driven.address == found.address());
        it.map(|driven| driven.name.clone())
    };
    FOUND.lock().iter().map(|found| (found.clone(), driver(found))).collect()
}

/// Looks for functions and starts their drivers. What a driver has to complain of is in the log.
pub fn start() {
    let windows = WINDOWS.get().map_or(&[][..], Vec::as_slice);
    let functions = pci::scan_machine(windows);
    log::debug!("pci: {} functions: {functions:?}", functions.len());
    FOUND.lock().clone_from(&functions);
    functions.into_iter().for_each(begin);
}

/// Starts the driver of `function`, if there is one.
fn begin(function: Function) {
    let header = *function.header();
    let id = PciId {
        vendor: header.vendor,
        device: header.device,
        class: header.class,
        subclass: header.subclass,
        interface: header.interface,
    };
    let Some(kind) = DRIVERS.find(&id) else {
        let without = NOT_YET.iter().find(|kind| (kind.0, kind.1) == (id.class, id.subclass));
        if let Some((.., name)) = without {
            let mut all = WITHOUT.lock();
            if !all.contains(name) {
                all.push(name);
            }
        }
        return;
    };
    let driven = {
        let mut all = DRIVEN.lock();
        let prefix = match kind {
            Kind::Nvme => "nvme",
            Kind::Edu => "edu",
        };
        let free = |number: &usize| {
            let name = format!("{prefix}{number}");
            all.iter().all(|other| *other.name != *name)
        };
        let number = (0..).find(free).unwrap_or(0);
        let driven = Driven {
            id: NEXT.fetch_add(1, Relaxed),
            name: format!("{prefix}{number}").into(),
            address: function.address(),
            stop: Arc::new(Notify::new()),
            known: Arc::new(Event::new()),
            ended: Arc::new(Event::new()),
        };
        all.push(driven.clone());
        driven
    };
    log::info!("{}: {function:?}", driven.name);
    let task = async move {
        match kind {
            Kind::Nvme => drive_nvme(&driven, &function).await,
            Kind::Edu => drive_edu(&driven, &function).await,
        }
        if let Err(error) = function.disable_bus_master() {
            log::debug!("{}: {error}", driven.name);
        }
        disks::remove_all_of(driven.id);
        DRIVEN.lock().retain(|other| other.id != driven.id);
        driven.known.set(());
        driven.ended.set(());
    };
    executor::spawn::<Pollux, _>("driver", Priority::High, task).detach();
}

async fn drive_nvme(driven: &Driven, function: &Function) {
    let cores: Vec<u16> = (0..platform::core_count() as u16).collect();
    // One for the admin queue, on this core, and one for each I/O queue.
    let vectors: Vec<u16> = core::iter::once(0).chain(cores.iter().copied()).collect();
    let interrupts = function.interrupts(&vectors).vectors;
    let attached = nvme::attach(
        driven.name.to_string(),
        function,
        DmaDomain::machine(),
        Writable::Yes,
        interrupts,
        &cores,
        default_mode(),
    );
    let mut parts = match attached {
        Ok(parts) => parts,
        Err(error) => return log::error!("{}: {error}: not used", driven.name),
    };
    parts.stop = driven.stop.clone();
    let announced = driven.clone();
    let announce = move |found: Vec<Namespace<Pollux>>| {
        let disks = found.into_iter().map(|namespace| {
            let name = format!("{}n{}", announced.name, namespace.name().1);
            let description = namespace
                .identity()
                .map_or_else(String::new, |who| format!("{} {}", who.model(), who.serial()));
            (Block::new(name, Device::Nvme(namespace)), description)
        });
        list(&announced, disks.collect());
    };
    // It has said in the log how it ended.
    let _ended = nvme::run::<Pollux>(parts, announce).await;
}

/// The last `edu` device that was found, for the check that tries it.
static EDU: spin::Mutex<Option<Arc<Edu>>> = spin::Mutex::new(None);

/// QEMU's `edu` device, if there is one.
pub fn edu() -> Option<Arc<Edu>> {
    EDU.lock().clone()
}

async fn drive_edu(driven: &Driven, function: &Function) {
    let registers = match function.map_bar(0, edu::REGISTER_BYTES) {
        Ok(registers) => registers,
        Err(error) => return log::error!("{}: {error}: not used", driven.name),
    };
    let interrupt = function.interrupts(&[0]).vectors.pop();
    if let Err(error) = function.enable_bus_master() {
        return log::error!("{}: {error}: not used", driven.name);
    }
    let announce = |edu| {
        *EDU.lock() = Some(edu);
        driven.known.set(());
    };
    let dma = DmaDomain::machine();
    let served = edu::run(registers, &dma, interrupt, default_mode(), announce);
    match select(pin!(served), pin!(driven.stop.wait())).await {
        Either::Left((error, _)) => log::error!("{}: {error}", driven.name),
        Either::Right(((), _)) => log::info!("{}: stopped", driven.name),
    }
    *EDU.lock() = None;
}

/// Lists disks that a driver announces, and then their partitions.
fn list(driven: &Driven, found: Vec<(Block, String)>) {
    let listed: Vec<Listed> = found
        .into_iter()
        .map(|(block, description)| {
            log::info!("{block:?}, {description}");
            let listed = Listed::disk(block, driven.id, description);
            disks::add(listed.clone());
            listed
        })
        .collect();
    let known = driven.known.clone();
    let read_tables = async move {
        for disk in &listed {
            partitions::find(disk).await;
        }
        known.set(());
    };
    executor::spawn::<Pollux, _>("partitions", Priority::Normal, read_tables).detach();
}

fn soon() -> Instant {
    Instant(now().saturating_add(clock::frequency() * PATIENCE_S))
}

/// Waits until the disks of all drivers that were started are known, at most for as long as
/// anybody's patience lasts.
pub async fn settled() {
    let deadline = soon();
    let waited_for: Vec<Driven> = DRIVEN.lock().clone();
    for driven in waited_for {
        if executor::timeout::<Pollux, _>(deadline, driven.known.wait()).await.is_err() {
            log::warn!("{}: still starting after {PATIENCE_S} s: not waited for", driven.name);
        }
    }
}

/// Ends all drivers in an orderly way: the devices bring their caches to rest.
pub async fn stop() {
    let deadline = soon();
    let all: Vec<Driven> = DRIVEN.lock().clone();
    all.iter().for_each(|driven| driven.stop.notify());
    for driven in all {
        if executor::timeout::<Pollux, _>(deadline, driven.ended.wait()).await.is_err() {
            log::error!("{}: its driver does not end within {PATIENCE_S} s", driven.name);
        }
    }
}

/// Kinds of storage controllers that are there and have no driver yet.
pub fn without_driver() -> Vec<&'static str> {
    WITHOUT.lock().clone()
}
