//! One port, from its start to its end: wait for a device, find out what it is, serve it, wait for
//! the next.
//!
//! ```text
//!           a disk            identified                    unplugged, given up
//!   empty ──────────> starting ─────────> serving ─────────────────────────────> empty
//!     ^                  │ not a disk,      │  ^ recover                           (closed: `Gone`)
//!     │                  v not ready        v  │
//!     └── changed ── no use for it       trouble ── does not stop ──> wedged: left alone
//! ```

use alloc::string::String;
use alloc::sync::Arc;
use core::pin::pin;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use executor::sync::{Notify, mpsc};
use executor::{Platform, sleep};
use hal::dma::{DmaDomain, DmaError};
use protocols::ahci::{Detection, PortInterrupts, Signature};
use protocols::ata::{Command, Identity};
use spin::Mutex;

use super::memory::{Answer, Page};
use super::port::PortRegisters;
use super::queue::{Ended, Queue, Stopped, trouble_of};
use super::reap::reap;
use super::recover::{Lost, Reset, Resets, recover};
use super::{Disk, PortError, Shared, Trouble, WATCH_INTERVAL, after, first, ticks};
use crate::completion::{CompletionControl, CompletionMode};
use crate::reaper::CompletionQueue;

/// How long a disk may take to be ready after it got power.
const READY_MS: u64 = 15_000;
/// How long it may take to say what it is, and to come to rest.
const OWN_LIMIT: Duration = Duration::from_secs(5);
const REST_LIMIT: Duration = Duration::from_secs(30);
/// How long what is under way may take when the driver is told to stop.
const FINISH_LIMIT: Duration = Duration::from_secs(5);
const FINISH_INTERVAL: Duration = Duration::from_millis(1);
/// Between two looks whether an empty port got a device.
const CHANGE_INTERVAL: Duration = Duration::from_millis(500);
/// Link errors that say: the device was exchanged, the link went up or down.
const CHANGED: u32 = 1 << 26 | 1 << 16;

/// Whether the HBA raises interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noticing {
    /// It does.
    Interrupts,
    /// It has none: everything polls.
    Polling,
}

/// Where to look for trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// At what interrupts have reported.
    Interrupts,
    /// In the port's registers too.
    Port,
}

/// A port, as all who have to do with it share it.
pub(super) struct Port {
    /// What it is called in the log, such as `ahci0: port 2`.
    pub(super) name: String,
    pub(super) number: u8,
    pub(super) registers: PortRegisters,
    pub(super) page: Page,
    pub(super) control: CompletionControl,
    /// Ends its task.
    pub(super) stop: Notify,
    noticing: Noticing,
    /// What interrupts have reported.
    causes: AtomicU32,
    /// The disk being served.
    queue: Mutex<Option<Arc<Queue>>>,
}

/// What a port's task tells the driver.
pub(super) enum Report<P> {
    /// A disk to be announced.
    Found(Disk<P>),
    /// It has looked what there is at the start.
    Looked,
    /// The HBA is no longer there.
    Vanished,
}

impl Port {
    pub(super) fn new(
        name: String,
        number: u8,
        registers: PortRegisters,
        dma: &DmaDomain,
        mode: CompletionMode,
        noticing: Noticing,
    ) -> Result<Self, DmaError> {
        Ok(Self {
            name,
            number,
            registers,
            page: Page::new(dma)?,
            control: CompletionControl::new(mode),
            stop: Notify::new(),
            noticing,
            causes: AtomicU32::new(0),
            queue: Mutex::new(None),
        })
    }

    /// How completion is noticed here.
    pub(super) fn mode(&self) -> CompletionMode {
        match self.noticing {
            Noticing::Interrupts => self.control.mode(),
            Noticing::Polling => CompletionMode::Poll,
        }
    }

    /// The HBA's interrupt names this port.
    pub(super) fn raised(&self) {
        let causes = self.registers.take_causes();
        if causes.has(PortInterrupts::LINK | PortInterrupts::ERRORS) {
            // Not again, until the port's task has dealt with it.
            self.registers.let_through(0);
        }
        self.report(causes);
        self.control.look_now();
    }

    /// Remembers what the port had to report.
    pub(super) fn report(&self, causes: PortInterrupts) {
        if causes.has(!PortInterrupts::DONE) {
            self.causes.fetch_or(causes.0, Ordering::AcqRel);
        }
    }

    /// Whether something is wrong.
    pub(super) fn trouble(&self, ask: Ask) -> Result<(), Trouble> {
        let mut causes = match self.causes.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.causes.swap(0, Ordering::AcqRel),
        };
        if ask == Ask::Port {
            causes |= self.registers.causes().0;
        }
        trouble_of(PortInterrupts(causes))
    }

    /// Stops the command engine, by a reset of the link if need be. `Ok`: it uses no memory.
    pub(super) async fn stop<P: Platform>(&self) -> Result<Reset, PortError> {
        match self.registers.stop::<P>().await {
            Err(PortError::NotInTime(..)) => {}
            other => return other.map(|()| Reset::NotNeeded),
        }
        log::warn!("{}: it does not stop; resetting the link", self.name);
        match self.registers.reset_link::<P>().await {
            Err(PortError::Gone) => return Err(PortError::Gone),
            // What becomes of the link does not matter yet.
            Ok(()) | Err(_) => {}
        }
        self.registers.stop::<P>().await.map(|()| Reset::Needed)
    }

    /// Resets the link, and waits for the device.
    pub(super) async fn reset<P: Platform>(&self, ready_ms: u64) -> Result<(), PortError> {
        self.registers.reset_link::<P>().await?;
        self.registers.free::<P>(ready_ms).await
    }

    /// Finds out what there is, and lets it carry out commands.
    async fn bring_up<P: Platform>(&self) -> Result<Identity, PortError> {
        self.registers.rest::<P>().await?;
        self.registers.power_up(&self.page);
        self.registers.connected::<P>().await?;
        // The first frame of a device that has been exchanged waits for this.
        self.registers.clear_errors();
        match self.registers.free::<P>(READY_MS).await {
            Err(PortError::NotInTime(..)) => {
                log::warn!("{}: not ready within {READY_MS} ms; resetting the link", self.name);
                self.reset::<P>(READY_MS).await?;
            }
            other => other?,
        }
        match self.registers.signature() {
            Signature::Ata => {}
            Signature::Packet => {
                return Err(PortError::NotSupported("a device that takes packets (ATAPI)"));
            }
            Signature::Multiplier => return Err(PortError::NotSupported("a port multiplier")),
            Signature::Enclosure => {
                return Err(PortError::NotSupported("an enclosure's management"));
            }
            Signature::Other(raw) => return Err(PortError::Unknown(raw)),
        }
        self.causes.store(0, Ordering::Release);
        self.registers.start();
        let identify = Command::identify();
        let answer = self.carry_out_own::<P>("identify", identify, Answer::Sector, OWN_LIMIT);
        Ok(Identity::new_checked(&answer.await?)?)
    }

    /// Until the device at the port, or that there is none, may have changed.
    async fn changed<P: Platform>(&self) -> Result<(), Lost> {
        let before = self.registers.link().detection();
        self.registers.clear_errors();
        loop {
            sleep::<P>(ticks::<P>(CHANGE_INTERVAL)).await;
            let link = self.registers.link();
            if link.is_gone() {
                return Err(Lost::Vanished);
            }
            if link.detection() != before || self.registers.link_errors() & CHANGED != 0 {
                return Ok(());
            }
        }
    }

    /// Ends the disk: stops the port and answers everybody with `verdict`. `No`: the port does not
    /// stop.
    async fn part<P: Platform>(&self, verdict: Ended) -> Stopped {
        let stopped = match self.registers.rest::<P>().await {
            // Cut off from the bus it reaches no memory.
            Ok(()) | Err(PortError::Gone) => Stopped::Yes,
            Err(_) => match self.stop::<P>().await {
                Err(error) if error != PortError::Gone => {
                    log::error!(
                        "{}: {error}: it may still use memory, which is not used again",
                        self.name
                    );
                    Stopped::No
                }
                _ => match self.registers.rest::<P>().await {
                    Ok(()) | Err(PortError::Gone) => Stopped::Yes,
                    Err(_) => Stopped::No,
                },
            },
        };
        self.close(stopped, verdict);
        stopped
    }

    /// Answers everybody with `verdict`; the disk is no longer there. If the port has not stopped,
    /// the disk's memory stays with it, for another call once it has.
    pub(super) fn close(&self, stopped: Stopped, verdict: Ended) {
        let queue = match stopped {
            Stopped::Yes => {
                self.page.0.give_back();
                self.queue.lock().take()
            }
            Stopped::No => self.queue.lock().clone(),
        };
        if let Some(queue) = queue {
            queue.close(stopped, verdict);
        }
    }

    /// Lets go of the disk's memory: leaked, if the port has not stopped.
    pub(super) fn let_go(&self) {
        let queue = self.queue.lock().take();
        drop(queue);
    }

    /// Takes no more commands, and waits until those that are in have ended.
    async fn quiet<P: Platform>(&self) -> Quiet {
        let Some(queue) = self.queue.lock().clone() else { return Quiet::Empty };
        queue.shut();
        let deadline = after::<P>(FINISH_LIMIT);
        while !(queue.is_running() && queue.is_idle()) {
            if P::now() >= deadline {
                log::warn!("{}: commands are still under way; cut off", self.name);
                return Quiet::No;
            }
            sleep::<P>(ticks::<P>(FINISH_INTERVAL)).await;
        }
        queue.halt();
        Quiet::Yes(queue)
    }

    /// Lets the disk write its cache to the medium, and come to rest.
    async fn rest_disk<P: Platform>(&self, queue: &Queue) {
        for (what, command) in [("flush", queue.flush()), ("standby", Command::standby())] {
            let rest = self.carry_out_own::<P>(what, command, Answer::None, REST_LIMIT);
            if let Err(error) = rest.await {
                log::warn!("{}: {error}: its cache may not be on its medium", self.name);
                return;
            }
        }
    }
}

/// Whether a disk has nothing to do any more.
enum Quiet {
    Yes(Arc<Queue>),
    No,
    Empty,
}

/// Serves a port until the driver is told to stop. Says whether the port uses no memory any more.
pub(super) async fn serve<P: Platform>(
    port: Arc<Port>,
    shared: Arc<Shared>,
    reports: mpsc::Sender<Report<P>>,
) -> Stopped {
    let mut lives = pin!(lives::<P>(&port, &shared, &reports));
    let stop = async {
        port.stop.wait().await;
        Lost::Stopped
    };
    let lost = first(lives.as_mut(), stop).await;
    let verdict = match lost {
        Lost::Stopped => {
            // A recovery under way comes to its end as well.
            let lost = async {
                lives.await;
                Quiet::No
            };
            if let Quiet::Yes(queue) = first(lost, port.quiet::<P>()).await {
                port.rest_disk::<P>(&queue).await;
            }
            Ended::Reset
        }
        Lost::Vanished => {
            let _ = reports.try_send(Report::Vanished);
            Ended::Gone
        }
        Lost::Unplugged | Lost::GivenUp | Lost::Wedged => Ended::Reset,
    };
    port.part::<P>(verdict).await
}

/// One device after the other.
async fn lives<P: Platform>(
    port: &Arc<Port>,
    shared: &Arc<Shared>,
    reports: &mpsc::Sender<Report<P>>,
) -> Lost {
    let mut looked = Some(Report::Looked);
    loop {
        let found = port.bring_up::<P>().await;
        let queue = match found {
            Ok(identity) => open::<P>(port, shared, &identity),
            Err(error) => Err(error),
        };
        let queue = match queue {
            Ok((queue, disk)) => {
                log::info!("{}: {disk}", port.name);
                let _ = reports.send(Report::Found(disk)).await;
                Some(queue)
            }
            Err(PortError::Gone) => return Lost::Vanished,
            Err(PortError::NoDevice) => None,
            Err(error) => {
                log::warn!("{}: {error}: not used", port.name);
                None
            }
        };
        if let Some(looked) = looked.take() {
            let _ = reports.send(looked).await;
        }
        if let Some(queue) = queue {
            match attend::<P>(&queue).await {
                Lost::Unplugged => {
                    log::warn!("{}: the disk was unplugged", port.name);
                    if port.part::<P>(Ended::Gone).await == Stopped::No {
                        return Lost::Wedged;
                    }
                    continue;
                }
                Lost::GivenUp => {
                    log::error!("{}: given up until it is plugged in again", port.name);
                    if port.part::<P>(Ended::Reset).await == Stopped::No {
                        return Lost::Wedged;
                    }
                }
                lost => return lost,
            }
        }
        if let Err(lost) = port.changed::<P>().await {
            return lost;
        }
    }
}

/// The disk that said it is `identity`, ready for use.
fn open<P: Platform>(
    port: &Arc<Port>,
    shared: &Arc<Shared>,
    identity: &Identity,
) -> Result<(Arc<Queue>, Disk<P>), PortError> {
    let queued = identity.queue_depth.filter(|_| shared.capabilities.has_queued_commands());
    // Commands that are not queued wait here for their turn, as many as the list has room for.
    let depth = queued.map_or(shared.capabilities.slots(), u16::from);
    let depth = depth.min(shared.capabilities.slots());
    let queue = Arc::new(Queue::new(port.clone(), depth, identity.addressing, &shared.dma)?);
    *port.queue.lock() = Some(queue.clone());
    let disk = Disk::new(queue.clone(), shared.clone(), identity, queued);
    Ok((queue, disk))
}

/// Serves a disk until it is lost.
async fn attend<P: Platform>(queue: &Queue) -> Lost {
    let mut resets = Resets::new();
    loop {
        let trouble = first(reap(queue), watch::<P>(queue)).await;
        if let Err(lost) = recover::<P>(queue, trouble, &mut resets).await {
            return lost;
        }
    }
}

/// Ends when a command is overdue, or something is wrong that no interrupt reported.
async fn watch<P: Platform>(queue: &Queue) -> Trouble {
    let port = queue.port();
    loop {
        sleep::<P>(ticks::<P>(WATCH_INTERVAL)).await;
        let link = port.registers.link();
        if link.is_gone() {
            return Trouble::Vanished;
        }
        if link.detection() != Detection::Connected {
            return Trouble::Gone;
        }
        let well = port.trouble(Ask::Port).and_then(|()| queue.check_overdue(P::now()));
        if let Err(trouble) = well {
            return trouble;
        }
        if !queue.is_idle() {
            // Its interrupt may have been lost.
            port.control.look_now();
        }
    }
}
