//! SATA disks behind an AHCI host bus adapter (HBA).
//!
//! [`run`] is the whole driver: take the HBA over from firmware, reset it, start a task for each
//! port, announce each disk as a [`StorageDevice`](crate::storage::StorageDevice), and go on until
//! it is told to stop or the HBA goes away. Ports are apart from each other: each has its own
//! memory, its own recovery, and its task on a core of its own.
//!
//! ```text
//!   run ── take over, reset ──> ports' tasks ──> announce ──> serving ── told to stop, or gone
//!                               (see `serve`)                    │
//!   one interrupt ──> which ports? ──> their reapers look        v
//!                                    each port: finish, flush, rest ──> memory back, else leaked
//! ```
//!
//! | file | what |
//! |---|---|
//! | `hba` | the HBA: taking over, reset, its interrupt |
//! | `serve` | a port's task: one disk after the other, from plugging in to unplugging |
//! | `port`, `registers` | a port: detection, identification, stopping; its registers and the waits on them |
//! | `queue` | the commands in flight, and the memory that belongs to each |
//! | `schedule`, `issue` | whose turn it is (queued ones together, others alone), and handing them over |
//! | `reap` | taking completions, by polling or interrupt |
//! | `recover` | errors: which command failed, what to do about the others |
//! | `own` | the driver's own commands |
//! | `memory` | what a port shares with the HBA, and when it is freed |
//! | `disk` | the storage device |
//!
//! Every wait has a time limit. Whatever a disk does ends in an error for the caller; memory goes
//! back only once the port's command engine has provably stopped, else it is leaked.
//!
//! Not here: port multipliers, packet devices, more than one interrupt, power management.
//!
//! Source: Serial ATA AHCI 1.3.1 (sections are of that one); formats are in [`protocols::ahci`]
//! and [`protocols::ata`].

mod disk;
mod hba;
mod issue;
mod memory;
#[cfg(test)]
mod model;
mod own;
mod port;
mod queue;
mod reap;
mod recover;
mod registers;
mod schedule;
mod serve;
#[cfg(test)]
mod tests;

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::pin;
use core::time::Duration;

use executor::sync::{Notify, mpsc};
use executor::{CoreId, Instant, JoinHandle, Platform, Priority, sleep, spawn_on};
use futures_util::future::{Either, select};
use hal::dma::{AddressLimit, DmaDomain, DmaError};
use hal::interrupt::Interrupt;
use hal::mmio::{DeviceRegion, MmioError};
use hal::pci::{Function, PciError};
use protocols::ahci::{BAR, Capabilities, PORT_BYTES, PORTS, PORTS_AT, PortInterrupts};
use protocols::ata::{IdentifyError, Outcome};

pub use self::disk::{Disk, Health};
use self::hba::{Registers, take_interrupts};
use self::port::{Noticing, Port};
use self::queue::{Ended, Stopped};
use self::serve::{Report, serve};
use crate::completion::CompletionMode;
use crate::storage::Writable;

/// How often overdue commands and the links are looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(250);

/// Why an HBA is not served, or no longer. Its disks answer with errors from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum AhciError {
    /// It lacks something that this driver needs. Refuse it.
    #[error("not an HBA this driver can use: {0}")]
    Unsupported(&'static str),
    /// It did not do something within the time it has for it.
    #[error("the HBA was not {0} within {1} ms")]
    NotInTime(&'static str, u64),
    /// It is no longer there.
    #[error("the HBA is gone")]
    Gone,
    /// There is no memory for its ports.
    #[error("{0}")]
    Memory(#[from] DmaError),
}

/// Why a port has no disk that can be used. The other ports have nothing to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
enum PortError {
    #[error("there is no device")]
    NoDevice,
    #[error("the HBA is gone")]
    Gone,
    #[error("{0} is not supported")]
    NotSupported(&'static str),
    #[error("a device of unknown kind (signature {0:#010x}) is not supported")]
    Unknown(u32),
    #[error("not {0} within {1} ms")]
    NotInTime(&'static str, u64),
    #[error("the disk refused {0}: {1}")]
    Refused(&'static str, Outcome),
    #[error("{0}")]
    Identify(#[from] IdentifyError),
    #[error("{0}")]
    Memory(#[from] DmaError),
}

/// What is wrong with a disk or its port. See `recover` for what is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// The disk says that a command failed.
    Command,
    /// A transfer failed on the cable or in memory.
    Transfer(PortInterrupts),
    /// A command is not done in time.
    Overdue,
    /// The disk is no longer there.
    Gone,
    /// The HBA is no longer there.
    Vanished,
}

/// What a driver needs of an HBA.
pub struct Parts {
    /// What it is called in the log, such as `ahci0`.
    pub name: String,
    /// Its registers: all of base address register 5.
    pub registers: DeviceRegion,
    /// The memory it can reach.
    pub dma: DmaDomain,
    /// Whether its disks may be written to.
    pub writable: Writable,
    /// Its interrupt, if it has one; more are not used. It should arrive at the first of `cores`.
    pub interrupts: Vec<Interrupt>,
    /// Where its ports' tasks live, in turn. Empty: on the core that runs the driver.
    pub cores: Vec<CoreId>,
    /// How completion is noticed at first.
    pub mode: CompletionMode,
    /// Ends the driver in an orderly way.
    pub stop: Arc<Notify>,
}

/// The parts of the HBA that `function` is. Lets it reach memory.
///
/// # Errors
/// Its registers cannot be had.
pub fn attach(
    name: String,
    function: &Function,
    dma: DmaDomain,
    writable: Writable,
    interrupts: Vec<Interrupt>,
    cores: &[u16],
    mode: CompletionMode,
) -> Result<Parts, PciError> {
    let registers = function.map_bar(BAR, PORTS_AT + PORTS * PORT_BYTES)?;
    function.enable_bus_master()?;
    Ok(Parts {
        name,
        registers,
        dma,
        writable,
        interrupts,
        cores: cores.iter().copied().map(CoreId).collect(),
        mode,
        stop: Arc::new(Notify::new()),
    })
}

/// What all ports and disks of an HBA have in common.
struct Shared {
    name: String,
    dma: DmaDomain,
    writable: Writable,
    capabilities: Capabilities,
}

/// Serves an HBA: see the module's documentation. `announce` is given the disks that are there at
/// the start (maybe none), and later each one that is plugged in.
///
/// The future may be dropped at any time: the ports are told to stop, and the memory they might
/// still use is leaked.
///
/// # Errors
/// The HBA cannot be used, or is gone. `Ok`: it was told to stop and did.
pub async fn run<P: Platform>(
    parts: Parts,
    announce: impl FnMut(Vec<Disk<P>>),
) -> Result<(), AhciError> {
    let Parts { name, registers, dma, writable, interrupts, cores, mode, stop } = parts;
    let refused = |error| {
        log::error!("{name}: {error}: not used");
        error
    };
    let mut registers = Registers::new_checked(&name, registers).map_err(refused)?;
    log::info!("{name}: AHCI {}", registers.version());
    registers.take_over::<P>().await.map_err(refused)?;
    let capabilities = registers.capabilities();
    let limit = if capabilities.is_64_bit() { AddressLimit::NONE } else { AddressLimit::bits(32) };
    let shared = Shared { name, dma: dma.limited(limit), writable, capabilities };
    let noticing = if interrupts.is_empty() { Noticing::Polling } else { Noticing::Interrupts };
    let ports = ports(&shared, &registers, mode, noticing)?;
    let hba = Hba { shared: Arc::new(shared), registers: Arc::new(registers), ports };
    let ending = Ending { hba: &hba };
    let served = hba.serve::<P>(&cores, interrupts, &stop, announce).await;
    core::mem::forget(ending);
    let name = &hba.shared.name;
    match &served {
        Ok(()) => log::info!("{name}: stopped"),
        Err(error) => log::error!("{name}: {error}; its disks are no longer there"),
    }
    served
}

/// The ports there are.
fn ports(
    shared: &Shared,
    registers: &Registers,
    mode: CompletionMode,
    noticing: Noticing,
) -> Result<Vec<Arc<Port>>, AhciError> {
    let mut ports = Vec::new();
    for number in registers.ports() {
        let name = format!("{}: port {number}", shared.name);
        match registers.port(number) {
            Ok(found) => {
                let port = Port::new(name, number, found, &shared.dma, mode, noticing)?;
                ports.push(Arc::new(port));
            }
            Err(MmioError::OutOfRange) => log::warn!("{name}: it has no registers: not used"),
            Err(error) => log::warn!("{name}: {error}: not used"),
        }
    }
    if ports.is_empty() {
        return Err(AhciError::Unsupported("it has no ports"));
    }
    Ok(ports)
}

/// An HBA being served.
struct Hba {
    shared: Arc<Shared>,
    registers: Arc<Registers>,
    ports: Vec<Arc<Port>>,
}

/// Closes the ports of a driver that is dropped half-way.
struct Ending<'a> {
    hba: &'a Hba,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.hba.registers.disable_interrupts();
        for port in &self.hba.ports {
            port.registers.stop_unseen();
            port.close(Stopped::No, Ended::Reset);
            port.let_go();
        }
    }
}

impl Hba {
    async fn serve<P: Platform>(
        &self,
        cores: &[CoreId],
        interrupts: Vec<Interrupt>,
        stop: &Notify,
        announce: impl FnMut(Vec<Disk<P>>),
    ) -> Result<(), AhciError> {
        let here = P::current().unwrap_or(CoreId(0));
        let core_of = |number: usize| match cores {
            [] => here,
            cores => cores[number % cores.len()],
        };
        let interrupt = interrupts.into_iter().next().map(|interrupt| {
            self.registers.enable_interrupts();
            let (registers, ports) = (self.registers.clone(), self.ports.clone());
            spawn_on::<P, _, _>(core_of(0), "ahci-interrupt", Priority::High, move || {
                take_interrupts(registers, ports, interrupt)
            })
        });
        let (sender, mut reports) = mpsc::channel(2 * PORTS);
        let tasks: Vec<JoinHandle<Stopped>> = self
            .ports
            .iter()
            .map(|port| {
                let core = core_of(usize::from(port.number));
                let (port, shared, sender) = (port.clone(), self.shared.clone(), sender.clone());
                spawn_on::<P, _, _>(core, "ahci-port", Priority::High, move || {
                    serve::<P>(port, shared, sender)
                })
            })
            .collect();
        drop(sender);
        let told = async {
            stop.wait().await;
            Ok(())
        };
        let served =
            first(told, first(self.listen(&mut reports, announce), self.watch::<P>())).await;
        // A port that waits to report must not wait for ever.
        drop(reports);
        self.ports.iter().for_each(|port| port.stop.notify());
        let mut stopped = Stopped::Yes;
        for task in tasks {
            if task.await != Ok(Stopped::Yes) {
                stopped = Stopped::No;
            }
        }
        drop(interrupt);
        self.registers.disable_interrupts();
        if stopped == Stopped::No {
            // What does not stop by itself is stopped by a reset.
            match self.registers.reset::<P>().await {
                Ok(()) => {
                    log::warn!("{}: reset, since a port did not stop", self.shared.name);
                    self.ports.iter().for_each(|port| port.close(Stopped::Yes, Ended::Reset));
                }
                Err(error) => log::error!("{}: {error}", self.shared.name),
            }
        }
        self.ports.iter().for_each(|port| port.let_go());
        served
    }

    /// Announces what the ports find.
    async fn listen<P: Platform>(
        &self,
        reports: &mut mpsc::Receiver<Report<P>>,
        mut announce: impl FnMut(Vec<Disk<P>>),
    ) -> Result<(), AhciError> {
        let (mut at_start, mut looking) = (Some(Vec::new()), self.ports.len());
        loop {
            match reports.receive().await {
                Some(Report::Found(disk)) => match &mut at_start {
                    Some(disks) => disks.push(disk),
                    None => announce(alloc::vec![disk]),
                },
                Some(Report::Looked) => looking = looking.saturating_sub(1),
                Some(Report::Vanished) => return Err(AhciError::Gone),
                // No port is left; what is announced still answers.
                None => core::future::pending().await,
            }
            if looking == 0
                && let Some(mut disks) = at_start.take()
            {
                disks.sort_by_key(|disk| disk.name().1);
                if disks.is_empty() {
                    log::info!("{}: no disk that can be used", self.shared.name);
                }
                announce(disks);
            }
        }
    }

    /// Ends when the HBA is gone.
    async fn watch<P: Platform>(&self) -> Result<(), AhciError> {
        loop {
            sleep::<P>(ticks::<P>(WATCH_INTERVAL)).await;
            if self.registers.is_gone() {
                return Err(AhciError::Gone);
            }
        }
    }
}

/// Whichever ends first.
async fn first<T>(one: impl Future<Output = T>, other: impl Future<Output = T>) -> T {
    match select(pin!(one), pin!(other)).await {
        Either::Left((output, _)) | Either::Right((output, _)) => output,
    }
}

fn ticks<P: Platform>(span: Duration) -> u64 {
    let ticks = span.as_nanos().saturating_mul(u128::from(P::ticks_per_second())) / 1_000_000_000;
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

/// The time `span` from now.
fn after<P: Platform>(span: Duration) -> Instant {
    P::now().after(ticks::<P>(span))
}
