//! Runs the drivers: one task for each PCI function that a driver is for.

use super::kinds::{self, Kind};
use super::lent::{self, LendError};
use super::{WINDOWS, disks, hotplug};
use crate::clock;
use crate::platform::Pollux;
use crate::process::exit::Event;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use executor::sync::Notify;
use executor::{Instant, Priority};
use hal::pci::{self, Function};
use hal::x86_64::time::clock::now;
use protocols::pci::{Address, HeaderKind};

/// Seconds a driver may take to its disks.
const PATIENCE_S: u64 = 10;
/// Seconds that a function which is lent may take to come back, if it is on its way.
const RETURN_S: u64 = 5;
/// Seconds it may take to its end: a SATA disk to finish, to flush and to come to rest.
const REST_S: u64 = 70;

/// Whose driver has a function.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// One of ours.
    Kernel,
    /// A program's, which was lent it.
    Program,
}

/// A function whose driver runs.
#[derive(Clone)]
pub struct Driven {
    /// Of all that ever ran, this one.
    pub id: u64,
    /// What it is called.
    pub name: Arc<str>,
    address: Address,
    by: By,
    /// Ends it.
    pub stop: Arc<Notify>,
    /// Its disks and their partitions are known, or will never be.
    pub known: Arc<Event<()>>,
    ended: Arc<Event<()>>,
}

/// The machine goes down: no driver begins.
static STOPPING: AtomicBool = AtomicBool::new(false);

static DRIVEN: spin::Mutex<Vec<Driven>> = spin::Mutex::new(Vec::new());
static FOUND: spin::Mutex<Vec<Function>> = spin::Mutex::new(Vec::new());
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Every function there is, and the name of its driver while that runs.
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
    functions.into_iter().for_each(add);
}

/// Starts what there is for a function, unless it is known.
pub fn add(function: Function) {
    {
        let mut found = FOUND.lock();
        if found.iter().any(|other| other.address() == function.address()) {
            return;
        }
        found.push(function.clone());
    }
    // One that never ended may still have the registers, and turn the device off later.
    let others = DRIVEN.lock().clone();
    if let Some(other) = others.iter().find(|driven| driven.address == function.address()) {
        let name = &other.name;
        return log::error!(
            "pci {function:?}: not used: the driver of {name}, which was there, has not ended"
        );
    }
    match Kind::of(&function) {
        Some(kind) => begin(kind, function),
        None => hotplug::serve(&function),
    }
}

/// Starts a driver.
fn begin(kind: Kind, function: Function) {
    let driven = {
        let mut all = DRIVEN.lock();
        let free = |number: &usize| {
            let name = format!("{}{number}", kind.prefix());
            all.iter().all(|other| *other.name != *name)
        };
        let number = (0..).find(free).unwrap_or(0);
        let driven = Driven {
            id: NEXT.fetch_add(1, Relaxed),
            name: format!("{}{number}", kind.prefix()).into(),
            address: function.address(),
            by: By::Kernel,
            stop: Arc::new(Notify::new()),
            known: Arc::new(Event::new()),
            ended: Arc::new(Event::new()),
        };
        all.push(driven.clone());
        driven
    };
    log::info!("{}: {function:?}", driven.name);
    let task = async move {
        if kind.numbers_its_disks() {
            after_earlier(kind, &driven).await;
        }
        kind.drive(&driven, &function).await;
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

/// Waits until the disks of the controllers of this kind before this one are known: theirs have the
/// lower numbers, whoever is quicker.
async fn after_earlier(kind: Kind, driven: &Driven) {
    let deadline = after_s(PATIENCE_S);
    let earlier: Vec<Driven> = DRIVEN.lock().clone();
    let same_kind = |other: &&Driven| other.name.starts_with(kind.prefix());
    for other in earlier.iter().filter(same_kind).filter(|other| other.id < driven.id) {
        // One that takes so long has said so itself, or will.
        let _ = executor::timeout::<Pollux, _>(deadline, other.known.wait()).await;
    }
}

/// Ends the drivers of the functions that `gone` picks, and forgets the functions.
pub async fn remove(gone: impl Fn(&Function) -> bool) {
    let addresses: Vec<Address> = {
        let mut found = FOUND.lock();
        let addresses = found.iter().filter(|one| gone(one)).map(Function::address).collect();
        found.retain(|one| !gone(one));
        addresses
    };
    let mut all = DRIVEN.lock().clone();
    all.retain(|driven| addresses.contains(&driven.address));
    end(&all).await;
}

/// Ends the drivers of the functions that `picked` picks: from then on they are the caller's.
pub async fn release(picked: impl Fn(&Function) -> bool) {
    let functions: Vec<Function> = FOUND.lock().iter().filter(|one| picked(one)).cloned().collect();
    let mut all = DRIVEN.lock().clone();
    all.retain(|driven| functions.iter().any(|one| one.address() == driven.address));
    end(&all).await;
}

fn after_s(seconds: u64) -> Instant {
    Instant(now().saturating_add(clock::frequency() * seconds))
}

/// Takes the function that `word` names from its driver, for a program.
pub(super) async fn take(word: &str) -> Result<(Driven, Function), LendError> {
    let called = functions()
        .into_iter()
        .find(|(function, driver)| lent::is_called(word, function, driver.as_deref()));
    let (function, driver) = called.ok_or(LendError::Unknown)?;
    if function.header().kind != HeaderKind::Device {
        return Err(LendError::Bridge);
    }
    let here = |driven: &Driven| driven.address == function.address();
    let driving = DRIVEN.lock().iter().find(|driven| here(driven)).cloned();
    match driving {
        Some(driving) if driving.by == By::Kernel => end(&[driving]).await,
        // One that is on its way back is waited for.
        Some(lent) => {
            came_back(&lent).await;
            // Its driver may have begun again.
            let driving = DRIVEN.lock().iter().find(|driven| here(driven)).cloned();
            end(driving.filter(|driving| driving.by == By::Kernel).as_slice()).await;
        }
        None => {}
    }
    let driven = Driven {
        id: NEXT.fetch_add(1, Relaxed),
        name: driver.unwrap_or_else(|| format!("{}", function.address()).into()),
        address: function.address(),
        by: By::Program,
        stop: Arc::new(Notify::new()),
        known: Arc::new(Event::new()),
        ended: Arc::new(Event::new()),
    };
    driven.known.set(());
    let mut all = DRIVEN.lock();
    if all.iter().any(here) || STOPPING.load(Relaxed) {
        return Err(LendError::Taken);
    }
    all.push(driven.clone());
    drop(all);
    Ok((driven, function))
}

/// Waits for a function that was taken to come back, if it is on its way, and for its driver to
/// know its disks.
pub(super) async fn came_back(driven: &Driven) {
    let deadline = after_s(RETURN_S);
    let _ = executor::timeout::<Pollux, _>(deadline, driven.ended.wait()).await;
    let again = DRIVEN.lock().iter().find(|other| other.address == driven.address).cloned();
    if let Some(again) = again {
        let _ = executor::timeout::<Pollux, _>(deadline, again.known.wait()).await;
    }
}

/// A function that was taken is back: its driver begins anew, if it has one and is still there.
pub(super) fn give_back(driven: &Driven, function: &Function) {
    DRIVEN.lock().retain(|other| other.id != driven.id);
    let is_known = FOUND.lock().iter().any(|found| found.address() == function.address());
    if let Some(kind) = Kind::of(function).filter(|_| is_known && !STOPPING.load(Relaxed)) {
        begin(kind, function.clone());
    }
    driven.ended.set(());
}

/// Waits until the disks of all drivers that were started are known, at most for as long as
/// anybody's patience lasts.
pub async fn settled() {
    let deadline = after_s(PATIENCE_S);
    let waited_for: Vec<Driven> = DRIVEN.lock().clone();
    for driven in waited_for {
        if executor::timeout::<Pollux, _>(deadline, driven.known.wait()).await.is_err() {
            log::warn!("{}: still starting after {PATIENCE_S} s: not waited for", driven.name);
        }
    }
}

/// Ends all drivers in an orderly way: the devices bring their caches to rest.
pub async fn stop() {
    STOPPING.store(true, Relaxed);
    let all: Vec<Driven> = DRIVEN.lock().clone();
    end(&all).await;
}

async fn end(all: &[Driven]) {
    let deadline = after_s(REST_S);
    all.iter().for_each(|driven| driven.stop.notify());
    for driven in all {
        if executor::timeout::<Pollux, _>(deadline, driven.ended.wait()).await.is_err() {
            log::error!("{}: its driver does not end within {REST_S} s", driven.name);
        }
    }
}

/// Kinds of storage controllers that are there and have no driver yet.
pub fn without_driver() -> Vec<&'static str> {
    let mut kinds: Vec<&'static str> =
        FOUND.lock().iter().filter_map(kinds::without_driver).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}
