//! NVM Express controllers.
//!
//! [`run`] is the whole driver: reset, enable, find out what is there, announce each namespace as a
//! [`StorageDevice`](crate::storage::StorageDevice), and reap until it is told to stop or the
//! controller fails.
//!
//! ```text
//!          reset, enable         identify, create queues          announce
//!   run ──────────────> admin queue ────────────────> I/O queue ──────────> serving
//!    │ any error             │ any error                  │ any error          │ told to stop, or:
//!    v                       v                            v                    v overdue, fatal, gone
//!   end <──── close queues: memory back if the controller has stopped, else leaked ──── disable
//! ```
//!
//! Every wait has a time limit and says in the log what was waited for. Whatever a controller does
//! ends in an error for the caller: a command that is overdue ends the controller (everything in
//! flight is answered, its memory given back only once the controller has provably stopped).
//! Nothing here knows how completion is noticed: that is [`reap`]'s business.
//!
//! Not here yet: interrupts, more than one I/O queue, starting anew after a failure, asynchronous
//! events.
//!
//! Source: NVM Express Base Specification 1.4; formats are in [`protocols::nvme`].

mod admin;
#[cfg(test)]
mod model;
mod namespace;
mod queue;
mod registers;
#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::pin;
use core::time::Duration;

use executor::sync::Notify;
use executor::{Instant, Platform, sleep};
use futures_util::future::{Either, select};
use hal::dma::{DmaDomain, DmaError};
use hal::mmio::DeviceRegion;
use hal::pci::{Function, PciError};
use protocols::nvme::IdentifyError;

pub use self::namespace::Namespace;
use self::queue::{Ended, Queue, Stopped};
use self::registers::Registers;
use crate::completion::CompletionMode;
use crate::reaper::reap;
use crate::storage::Writable;

/// How long a command may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(5);
/// How often overdue commands and the controller's health are looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(250);
/// Commands the admin queue and the I/O queue hold at most.
const ADMIN_ENTRIES: u16 = 8;
const IO_ENTRIES: u16 = 64;

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
    /// It posts completions that nobody waits for.
    #[error("the controller posts completions nobody waits for")]
    Stale,
    /// What it says of itself makes no sense.
    #[error("{0}")]
    Identify(#[from] IdentifyError),
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
    /// Ends the driver in an orderly way.
    pub stop: Arc<Notify>,
}

/// Most bytes of registers that are mapped: the doorbells of two queue pairs at the widest stride.
const REGISTER_BYTES: usize = 1 << 20;

/// The parts of the controller that `function` is. Lets it reach memory.
///
/// # Errors
/// Its registers cannot be had.
pub fn attach(
    name: String,
    function: &Function,
    dma: DmaDomain,
    writable: Writable,
) -> Result<Parts, PciError> {
    let registers = function.map_bar(0, REGISTER_BYTES)?;
    function.enable_bus_master()?;
    Ok(Parts { name, registers, dma, writable, stop: Arc::new(Notify::new()) })
}

/// A controller being served.
struct Controller {
    name: String,
    registers: Registers,
    dma: DmaDomain,
    writable: Writable,
    admin: Queue,
    io: Queue,
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
    let Parts { name, registers, dma, writable, stop } = parts;
    let refused = |error| {
        log::error!("{name}: {error}: not used");
        error
    };
    let registers = Registers::new_checked(&name, registers).map_err(refused)?;
    log::info!("{name}: NVMe {}", registers.version());
    registers.disable::<P>().await.map_err(refused)?;
    let queue = |number, most: u16| {
        let entries = registers.capabilities().max_entries().min(u32::from(most)) as u16;
        Queue::new(&name, number, entries, &registers, &dma)
    };
    let (admin, io) = (queue(0, ADMIN_ENTRIES)?, queue(1, IO_ENTRIES)?);
    let controller = Arc::new(Controller { name, registers, dma, writable, admin, io });
    let ending = Ending { controller: &controller };
    let served = serve::<P>(&controller, &stop, announce).await;
    let name = &controller.name;
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
    let verdict = match &served {
        Err(NvmeError::Overdue(_)) => Ended::TimedOut,
        Err(NvmeError::Gone) => Ended::Gone,
        _ => Ended::Reset,
    };
    controller.close(stopped, verdict);
    match &served {
        Ok(()) => log::info!("{name}: stopped"),
        Err(error) => log::error!("{name}: {error}; its namespaces are no longer there"),
    }
    served
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

impl Controller {
    /// Answers everything in flight with `verdict`.
    fn close(&self, stopped: Stopped, verdict: Ended) {
        self.admin.close(stopped, verdict);
        self.io.close(stopped, verdict);
    }
}

async fn serve<P: Platform>(
    controller: &Arc<Controller>,
    stop: &Notify,
    announce: impl FnOnce(Vec<Namespace<P>>),
) -> Result<(), NvmeError> {
    controller.registers.enable::<P>(&controller.admin).await?;
    let admin = reap(&controller.admin, controller.admin.control(), None);
    let io = reap(&controller.io, controller.io.control(), None);
    let background = first(first(admin, io), watch::<P>(controller));
    let work = async {
        let namespaces: Vec<Namespace<P>> = admin::bring_up(controller).await?;
        if namespaces.is_empty() {
            log::warn!("{}: no namespace that can be used", controller.name);
        }
        announce(namespaces);
        stop.wait().await;
        Ok(())
    };
    first(work, async { Err(background.await) }).await
}

/// Whichever ends first.
async fn first<T>(one: impl Future<Output = T>, other: impl Future<Output = T>) -> T {
    match select(pin!(one), pin!(other)).await {
        Either::Left((output, _)) | Either::Right((output, _)) => output,
    }
}

/// Ends when a command is overdue or the controller is no longer well.
async fn watch<P: Platform>(controller: &Controller) -> NvmeError {
    loop {
        sleep::<P>(ticks::<P>(WATCH_INTERVAL)).await;
        if let Err(error) = controller.registers.healthy() {
            return error;
        }
        for queue in [&controller.admin, &controller.io] {
            if let Err(error) = queue.check_overdue(P::now()) {
                return error;
            }
        }
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

/// How completion is noticed: there are no interrupts yet.
const MODE: CompletionMode = CompletionMode::Poll;
