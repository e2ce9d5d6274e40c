//! One port's task, from its start to its end: wait for a device, find out what it is, serve it,
//! wait for the next.
//!
//! ```text
//!           a disk            identified                    unplugged, given up
//!   empty ──────────> starting ─────────> serving ─────────────────────────────> empty
//!     ^                  │ not a disk,      │  ^ recover                           (closed: `Gone`)
//!     │                  v not ready        v  │
//!     └── changed ── no use for it       trouble ── does not stop ──> wedged: left alone
//! ```

use alloc::sync::Arc;
use core::pin::pin;
use core::time::Duration;

use executor::sync::mpsc;
use executor::{Platform, sleep};
use protocols::ahci::Detection;
use protocols::ata::{Command, Identity};

use super::memory::Answer;
use super::port::{Ask, Port};
use super::queue::{Ended, Queue, Stopped};
use super::reap::reap;
use super::recover::{Lost, Resets, recover};
use super::{Disk, PortError, Shared, Trouble, WATCH_INTERVAL, after, first, ticks};
use crate::reaper::CompletionQueue;

/// How long what is under way may take when the driver is told to stop.
const FINISH_LIMIT: Duration = Duration::from_secs(5);
const FINISH_INTERVAL: Duration = Duration::from_millis(1);
/// How long a disk may then take to come to rest.
const REST_LIMIT: Duration = Duration::from_secs(30);

/// What a port's task tells the driver.
pub(super) enum Report<P> {
    /// A disk to be announced.
    Found(Disk<P>),
    /// It has looked what there is at the start.
    Looked,
    /// The HBA is no longer there.
    Vanished,
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
    port.occupy(queue.clone());
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
            port.tell();
            port.control.look_now();
        }
    }
}

impl Port {
    /// Takes no more commands, and waits until those that are in have ended.
    async fn quiet<P: Platform>(&self) -> Quiet {
        let Some(queue) = self.occupant() else { return Quiet::Empty };
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
