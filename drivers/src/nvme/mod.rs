//! NVM Express controllers.
//!
//! [`run`] is the whole driver: reset, enable, find out what is there, announce each namespace as a
//! [`StorageDevice`](crate::storage::StorageDevice), and look after the controller until it is told
//! to stop or the controller fails for good.
//!
//! ```text
//!          reset, enable         identify, create queues          announce
//!   run ──────────────> admin queue ────────────────> I/O queues ─────────> serving
//!    │ any error             │ any error                  │ any error       │ ^   │ told to stop;
//!    │                       │                            │         trouble v │   │ fatal, gone,
//!    │                       │                            │          recovery     │ given up
//!    v                       v                            v                       v
//!   end <──── close queues: memory back if the controller has stopped, else leaked ── disable
//! ```
//!
//! | file | what |
//! |---|---|
//! | `registers` | reset, enable, shutdown, each within its time |
//! | `controller`, `admin`, `scan` | the queues of a controller; what is done over the admin queue |
//! | `queue`, `reaping` | a queue pair: submitting, taking completions, beginning anew |
//! | `doorbell`, `lists`, `gate` | doorbells in memory; how commands name memory; who may submit |
//! | `supervision`, `recovery` | what goes wrong, and the ladder: abort, queue, controller, give up |
//! | `events`, `report` | what the controller reports, unasked and asked |
//! | `namespace`, `transfer` | a namespace as a storage device; the short way of a read or write |
//!
//! There is a queue pair for each core the driver is given: submitters use that of the core they run
//! on, and its reaper is a task there. Where the controller grants fewer, cores share; where there
//! are fewer interrupts, the queues without one are polled. Nothing here knows how completion is
//! noticed: that is [`reap`]'s business, and may change while it runs.
//!
//! Every wait has a time limit and says in the log what was waited for. Whatever a controller does
//! ends in an answer for the caller; memory is given back only by a completion, or once the
//! controller has provably stopped.
//!
//! Source: NVM Express Base Specification 1.4; formats are in [`protocols::nvme`].

mod admin;
mod controller;
mod doorbell;
mod events;
mod gate;
mod lists;
#[cfg(test)]
mod model;
mod namespace;
mod queue;
mod reaping;
mod recovery;
mod registers;
mod report;
mod scan;
mod supervision;
#[cfg(test)]
mod tests;
mod transfer;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::pin;
use core::time::Duration;

use executor::sync::Notify;
use executor::{CoreId, Instant, JoinHandle, Platform, Priority, spawn_on};
use futures_util::future::{Either, select};
use hal::dma::{DmaDomain, DmaError};
use hal::interrupt::Interrupt;
use hal::mmio::DeviceRegion;
use hal::pci::{Function, PciError};
use protocols::nvme::{IdentifyError, ShortLogPage};

use self::controller::{Controller, Vectors};
pub use self::namespace::Namespace;
use self::queue::Ended;
pub use self::reaping::QueueStatistics;
use self::reaping::Stopped;
use self::registers::Registers;
use crate::completion::CompletionMode;
use crate::reaper::reap;
use crate::storage::Writable;

/// How long a command may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(5);
/// Commands the admin queue and an I/O queue hold at most, and one.
const ADMIN_ENTRIES: u16 = 32;
const IO_ENTRIES: u16 = 256;

/// Why a controller is not served, or no longer. Its namespaces answer with errors from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum NvmeError {
    /// It lacks something that this driver needs. Refuse it.
    #[error("not a controller this driver can use: {0}")]
    Unsupported(&'static str),
    /// It did not become ready, or not-ready, within the time it says of itself.
    #[error("the controller was not {0} within {1} ms")]
    NotInTime(&'static str, u64),
    /// It says that it has failed. Only a reset may help.
    #[error("the controller reports a fatal error")]
    Fatal,
    /// It is no longer there.
    #[error("the controller is gone")]
    Gone,
    /// A command was not done in time.
    #[error("{0} was not done in time")]
    Overdue(&'static str),
    /// It refused a command that it has to know.
    #[error("the controller refused {0}")]
    Refused(&'static str),
    /// It was reset under a command. Repeat it.
    #[error("the controller was reset during {0}")]
    Reset(&'static str),
    /// After a reset it is not what it was before: somebody changed it for another.
    #[error("it is another controller than before")]
    Changed,
    /// It posts completions that nobody waits for.
    #[error("the controller posts completions nobody waits for")]
    Stale,
    /// What it says of itself makes no sense.
    #[error("{0}")]
    Identify(#[from] IdentifyError),
    /// A log page is shorter than it has to be.
    #[error("{0}")]
    LogPage(#[from] ShortLogPage),
    /// There is no memory for its queues.
    #[error("{0}")]
    Memory(#[from] DmaError),
}

/// What a driver needs of a controller.
pub struct Parts {
    /// What it is called in the log, such as `nvme0`.
    pub name: String,
    /// Its registers: all of base address register 0.
    pub registers: DeviceRegion,
    /// The memory it can reach.
    pub dma: DmaDomain,
    /// Whether its namespaces may be written to.
    pub writable: Writable,
    /// Its interrupts: the first for the admin queue, then one for each I/O queue. Fewer, or none:
    /// queues without one are polled.
    pub interrupts: Vec<Interrupt>,
    /// The cores that get an I/O queue of their own; others share. None: the one that runs the
    /// driver. Each must be up.
    pub cores: Vec<CoreId>,
    /// How completion is noticed to begin with.
    pub mode: CompletionMode,
    /// Ends the driver in an orderly way.
    pub stop: Arc<Notify>,
}

/// Most bytes of registers that are mapped: the doorbells of 256 queue pairs at most strides.
const REGISTER_BYTES: usize = 1 << 20;

/// The parts of the controller that `function` is, for I/O queues on `cores`. Lets it reach memory.
/// `interrupts`: as [`Parts`] says.
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
    let registers = function.map_bar(0, REGISTER_BYTES)?;
    function.enable_bus_master()?;
    let cores = cores.iter().copied().map(CoreId).collect();
    let stop = Arc::new(Notify::new());
    Ok(Parts { name, registers, dma, writable, interrupts, cores, mode, stop })
}

/// Serves a controller: see the module's documentation. `announce` is given the namespaces that can
/// be used, once they are known.
///
/// The future may be dropped at any time: the controller is told to stop, and the memory it might
/// still use is leaked.
///
/// # Errors
/// The controller cannot be used, or failed. `Ok`: it was told to stop and did.
pub async fn run<P: Platform>(
    parts: Parts,
    announce: impl FnOnce(Vec<Namespace<P>>),
) -> Result<(), NvmeError> {
    let Parts { name, registers, dma, writable, interrupts, mut cores, mode, stop } = parts;
    if cores.is_empty() {
        cores.extend(P::current());
    }
    let refused = |error| {
        log::error!("{name}: {error}: not used");
        error
    };
    let registers = Registers::new_checked(&name, registers).map_err(refused)?;
    log::info!("{name}: NVMe {}", registers.version());
    registers.disable::<P>().await.map_err(refused)?;
    let vectors = Vectors(interrupts.len());
    let controller = Controller::new::<P>(registers, dma, writable, &cores, &vectors, mode);
    let controller = Arc::new(controller.map_err(refused)?);
    let ending = Ending { controller: &controller };
    let reapers = start_reapers::<P>(&controller, interrupts, &cores);
    let served = controller.serve::<P>(&stop, announce).await;
    if served.is_ok() {
        controller.finish::<P>().await;
    }
    let stopped = match controller.registers.shut_down::<P>(served.is_ok()).await {
        Ok(()) => Stopped::Yes,
        // Cut off from the bus it reaches no memory.
        Err(NvmeError::Gone) => Stopped::Yes,
        Err(error) => {
            log::error!("{name}: {error}: it may still use memory, which is not used again");
            Stopped::No
        }
    };
    core::mem::forget(ending);
    let verdict = if served.is_ok() { Ended::Reset } else { Ended::Gone };
    controller.close(stopped, verdict);
    for reaper in reapers {
        // It sees the queue closed.
        let _ = reaper.await;
    }
    match &served {
        Ok(()) => log::info!("{name}: stopped"),
        Err(error) => log::error!("{name}: {error}; its namespaces are no longer there"),
    }
    served
}

/// Starts the reaper of each queue, on the queue's core.
fn start_reapers<P: Platform>(
    controller: &Arc<Controller>,
    interrupts: Vec<Interrupt>,
    cores: &[CoreId],
) -> Vec<JoinHandle<NvmeError>> {
    let here = P::current().into_iter().chain(cores.first().copied());
    let cores = here.take(1).chain(cores.iter().copied());
    let interrupts = interrupts.into_iter().map(Some).chain(core::iter::repeat_with(|| None));
    let numbers = 0..=controller.io.len();
    let reaper = |((number, core), interrupt)| {
        let controller = controller.clone();
        spawn_on::<P, _, _>(core, "nvme queue", Priority::High, move || async move {
            let queue = match number {
                0 => &controller.admin,
                _ => &controller.io[number - 1],
            };
            reap(queue, &queue.control, interrupt).await
        })
    };
    numbers.zip(cores).zip(interrupts).map(reaper).collect()
}

/// Closes the queues of a driver that is dropped half-way.
struct Ending<'a> {
    controller: &'a Controller,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.controller.registers.disable_unseen();
        self.controller.close(Stopped::No, Ended::Reset);
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
