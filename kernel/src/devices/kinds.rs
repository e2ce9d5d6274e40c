//! The kinds of devices that have a driver: which functions each is for, and how it is started.

use super::disks::{self, Listed};
use super::drive::Driven;
use super::{Block, default_mode, nics, partitions};
use crate::platform::{self, Pollux};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::pin::pin;
use drivers::ahci;
use drivers::block::Device;
use drivers::edu::{self, Edu};
use drivers::nvme::{self, Namespace};
use drivers::registry::{Match, PciId, Registry};
use drivers::storage::Writable;
use executor::Priority;
use futures_util::future::{Either, select};
use hal::dma::DmaDomain;
use hal::pci::Function;
use protocols::{e1000, rtl8139};

/// The drivers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `drivers::nvme`.
    Nvme,
    /// `drivers::ahci`.
    Ahci,
    /// `drivers::edu`.
    Edu,
    /// `drivers::e1000`.
    E1000,
    /// `drivers::rtl8139`.
    Rtl8139,
}

/// Which functions they are for. Of network devices there are too many: [`e1000::model`] and
/// [`rtl8139::PCI_IDS`] know them.
const DRIVERS: Registry<'_, Kind> = Registry::new(&[
    (Match::Class { class: 0x01, subclass: 0x08, interface: Some(0x02) }, Kind::Nvme),
    (Match::Class { class: 0x01, subclass: 0x06, interface: Some(0x01) }, Kind::Ahci),
    (Match::Device { vendor: 0x1234, device: 0x11e8 }, Kind::Edu),
]);

/// PCI class and subclass of storage whose drivers are still to come.
const NOT_YET: &[(u8, u8, &str)] = &[(0x0c, 0x03, "USB")];

impl Kind {
    /// The driver for `function`.
    pub fn of(function: &Function) -> Option<Self> {
        let header = function.header();
        let id = PciId {
            vendor: header.vendor,
            device: header.device,
            class: header.class,
            subclass: header.subclass,
            interface: header.interface,
        };
        let is_e1000 = id.vendor == e1000::VENDOR && e1000::model(id.device).is_some();
        let is_rtl8139 = rtl8139::PCI_IDS.contains(&(id.vendor, id.device));
        let by_id = || is_e1000.then_some(Self::E1000).or(is_rtl8139.then_some(Self::Rtl8139));
        DRIVERS.find(&id).copied().or_else(by_id)
    }

    /// What its devices are called, a number behind.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Nvme => "nvme",
            Self::Ahci => "ahci",
            Self::Edu => "edu",
            Self::E1000 | Self::Rtl8139 => "net",
        }
    }

    /// Whether disks of several controllers are numbered through.
    pub const fn numbers_its_disks(self) -> bool {
        matches!(self, Self::Ahci)
    }

    /// Drives `function` until its driver ends.
    pub async fn drive(self, driven: &Driven, function: &Function) {
        match self {
            Self::Nvme => drive_nvme(driven, function).await,
            Self::Ahci => drive_ahci(driven, function).await,
            Self::Edu => drive_edu(driven, function).await,
            Self::E1000 => nics::drive_e1000(driven, function).await,
            Self::Rtl8139 => nics::drive_rtl8139(driven, function).await,
        }
    }
}

/// What kind of storage that has no driver yet `function` is, if it is any.
pub fn without_driver(function: &Function) -> Option<&'static str> {
    let header = function.header();
    let found = NOT_YET.iter().find(|kind| (kind.0, kind.1) == (header.class, header.subclass));
    found.map(|kind| kind.2)
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
        list(&announced, disks);
    };
    // It has said in the log how it ended.
    let _ended = nvme::run::<Pollux>(parts, announce).await;
}

async fn drive_ahci(driven: &Driven, function: &Function) {
    let cores: Vec<u16> = (0..platform::core_count() as u16).collect();
    let interrupts = function.interrupts(&[0]).vectors;
    let attached = ahci::attach(
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
    let announce = move |found: Vec<ahci::Disk<Pollux>>| {
        let disks = found.into_iter().map(|disk| {
            // A disk that was at this port before is not this one.
            disks::remove_at_port(announced.id, disk.name().1);
            let who = disk.identity();
            let description = format!("{} {}", who.model(), who.serial());
            let name = disks::free_name("sata");
            (Block::new(name, Device::Ahci(disk)), description)
        });
        list(&announced, disks);
    };
    // It has said in the log how it ended.
    let _ended = ahci::run::<Pollux>(parts, announce).await;
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
fn list(driven: &Driven, found: impl Iterator<Item = (Block, String)>) {
    let listed: Vec<Listed> = found
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
