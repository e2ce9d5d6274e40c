//! A port, as all who have to do with it share it: what is there, what is wrong with it, how it is
//! stopped.

use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::time::Duration;

use executor::sync::Notify;
use executor::{Platform, sleep};
use hal::dma::{DmaDomain, DmaError};
use protocols::ahci::{PortInterrupts, Signature};
use protocols::ata::{Command, Identity};
use spin::Mutex;

use super::memory::{Answer, Page};
use super::queue::{Ended, Queue, Stopped, trouble_of};
use super::recover::{Lost, Reset};
use super::registers::PortRegisters;
use super::{PortError, Trouble, ticks};
use crate::completion::{CompletionControl, CompletionMode};

/// How long a disk may take to be ready after it got power.
const READY_MS: u64 = 15_000;
/// How long it may take to say what it is.
const IDENTIFY_LIMIT: Duration = Duration::from_secs(5);
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
    /// Whether anybody has said that something is done.
    told: AtomicBool,
    /// The disk being served.
    queue: Mutex<Option<Arc<Queue>>>,
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
            told: AtomicBool::new(false),
            queue: Mutex::new(None),
        })
    }

    /// A disk is served from here on.
    pub(super) fn occupy(&self, queue: Arc<Queue>) {
        *self.queue.lock() = Some(queue);
    }

    /// The disk being served.
    pub(super) fn occupant(&self) -> Option<Arc<Queue>> {
        self.queue.lock().clone()
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
        if causes.has(PortInterrupts::DONE) {
            self.tell();
        }
        if causes.has(!PortInterrupts::DONE) {
            self.causes.fetch_or(causes.0, Ordering::AcqRel);
        }
    }

    /// Something is done, or may be: the next look is at the register.
    pub(super) fn tell(&self) {
        self.told.store(true, Ordering::Release);
    }

    /// Whether anybody has said so since the last time.
    pub(super) fn told(&self) -> bool {
        self.told.load(Ordering::Relaxed) && self.told.swap(false, Ordering::AcqRel)
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
        // What becomes of the link does not matter yet.
        if let Err(PortError::Gone) = self.registers.reset_link::<P>().await {
            return Err(PortError::Gone);
        }
        self.registers.stop::<P>().await.map(|()| Reset::Needed)
    }

    /// Lets the port carry out commands, and forgets what was wrong.
    pub(super) fn start(&self) {
        self.causes.store(0, Ordering::Release);
        self.registers.start();
    }

    /// Resets the link, and waits for the device.
    pub(super) async fn reset<P: Platform>(&self, ready_ms: u64) -> Result<(), PortError> {
        self.registers.reset_link::<P>().await?;
        self.registers.free::<P>(ready_ms).await
    }

    /// Finds out what there is, and lets it carry out commands.
    pub(super) async fn bring_up<P: Platform>(&self) -> Result<Identity, PortError> {
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
        self.start();
        let identify = Command::identify();
        let answer = self.carry_out_own::<P>("identify", identify, Answer::Sector, IDENTIFY_LIMIT);
        Ok(Identity::new_checked(&answer.await?)?)
    }

    /// Until the device at the port, or that there is none, may have changed.
    pub(super) async fn changed<P: Platform>(&self) -> Result<(), Lost> {
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
    pub(super) async fn part<P: Platform>(&self, verdict: Ended) -> Stopped {
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
}
