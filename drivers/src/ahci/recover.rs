//! What is done when a port is in trouble: stop it, find out which command is to blame, go on with
//! the others.
//!
//! ```text
//!   trouble ─> halt ─> stop the engine ──────────────────────────> not in time: reset the link;
//!                          │                                        still not: wedged, memory leaks
//!                          ├─ a command failed, alone:    it is that one
//!                          ├─ a queued command failed:    the disk's log names it, else one by one
//!                          ├─ a command is overdue:       ended; reset the link
//!                          └─ cable or memory at fault:   reset the link; one by one
//!                          v
//!                       start, hand over again what is left ──────> too many resets: given up
//!                                                                  (but for failed commands)
//! ```
//!
//! Once the engine has stopped (PxCMD.CR is clear) the port uses no memory, and what ended gets its
//! memory back. (AHCI 1.3.1, section 6.2.2.)

use core::time::Duration;

use executor::{Instant, Platform};
use protocols::ata::{Command, Outcome, QUEUE_LOG, QueueError};

use super::memory::Answer;
use super::queue::Queue;
use super::schedule::{bit, slots};
use super::{PortError, Trouble, ticks};

/// How long a disk may take to be ready after a reset.
const READY_MS: u64 = 5_000;
/// How long it may take to read out its log.
const LOG_LIMIT: Duration = Duration::from_secs(2);
/// So many resets within a window, and the port is given up.
const RESETS_MOST: usize = 5;
const RESET_WINDOW: Duration = Duration::from_secs(60);

/// Why a port's disk is no longer served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// It was unplugged; the port can take another.
    Unplugged,
    /// It needed too many resets, or did not come back from one.
    GivenUp,
    /// The port does not stop: nobody knows what it does to memory.
    Wedged,
    /// The HBA is no longer there.
    Vanished,
    /// The driver is told to stop.
    Stopped,
}

/// When the last resets were.
pub(super) struct Resets([Option<Instant>; RESETS_MOST]);

impl Resets {
    pub(super) const fn new() -> Self {
        Self([None; RESETS_MOST])
    }

    /// One more. `Err`: too many within the window.
    fn count<P: Platform>(&mut self) -> Result<(), Lost> {
        let now = P::now();
        let is_recent = |reset: Instant| now.since(reset) < ticks::<P>(RESET_WINDOW);
        if self.0[0].is_some_and(is_recent) {
            return Err(Lost::GivenUp);
        }
        self.0.rotate_left(1);
        self.0[RESETS_MOST - 1] = Some(now);
        Ok(())
    }
}

/// Gets the port of `queue` out of `trouble`.
///
/// # Errors
/// It cannot be, and why. The commands are still in the queue.
pub(super) async fn recover<P: Platform>(
    queue: &Queue,
    trouble: Trouble,
    resets: &mut Resets,
) -> Result<(), Lost> {
    let port = queue.port();
    let name = &port.name;
    match trouble {
        Trouble::Gone => return Err(Lost::Unplugged),
        Trouble::Vanished => return Err(Lost::Vanished),
        Trouble::Command => {}
        Trouble::Overdue => log::warn!("{name}: a command is overdue; resetting the link"),
        Trouble::Transfer(causes) => log::warn!(
            "{name}: a transfer failed on the cable or in memory (PxIS {:#010x}, PxSERR {:#010x}); resetting the link",
            causes.0,
            port.registers.link_errors()
        ),
    }
    let (issued, queued) = queue.halt();
    let outcome = port.registers.task_file().outcome();
    let mut reset = match port.stop::<P>().await {
        Ok(reset) => reset,
        Err(PortError::Gone) => return Err(Lost::Vanished),
        Err(_) => return Err(Lost::Wedged),
    };
    match trouble {
        Trouble::Overdue => {
            queue.end_overdue(P::now());
            reset = Reset::Needed;
        }
        Trouble::Transfer(_) => {
            queue.suspect();
            reset = Reset::Needed;
        }
        _ if issued == 0 => {}
        _ if queued == 0 => blame(queue, issued, outcome),
        _ => {
            let known = match reset {
                Reset::Needed => None,
                Reset::NotNeeded => failed_one::<P>(queue, issued).await,
            };
            match known {
                Some(failed) => queue.fail(failed.tag, failed.outcome),
                // It was the only one, so it is that one. The log is still to be cleared.
                None if issued.count_ones() == 1 && outcome.status.is_failed() => {
                    blame(queue, issued, outcome);
                }
                None => queue.suspect(),
            }
            if known.is_none() {
                reset = Reset::Needed;
            }
            match port.stop::<P>().await {
                Ok(Reset::NotNeeded) => {}
                Ok(Reset::Needed) => reset = Reset::Needed,
                Err(PortError::Gone) => return Err(Lost::Vanished),
                Err(_) => return Err(Lost::Wedged),
            }
        }
    }
    if !port.registers.task_file().outcome().status.is_free() {
        reset = Reset::Needed;
    }
    if reset == Reset::Needed {
        // One that follows a failed command has found its culprit, or soon will.
        if trouble != Trouble::Command {
            resets.count::<P>()?;
        }
        port.reset::<P>(READY_MS).await.map_err(|error| {
            log::error!("{name}: after a reset: {error}");
            match error {
                PortError::NoDevice => Lost::Unplugged,
                PortError::Gone => Lost::Vanished,
                _ => Lost::GivenUp,
            }
        })?;
    }
    port.start();
    queue.resume();
    Ok(())
}

/// Whether the link has to be reset before the port can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reset {
    Needed,
    NotNeeded,
}

fn blame(queue: &Queue, issued: u32, outcome: Outcome) {
    for slot in slots(issued) {
        queue.fail(slot, outcome);
    }
}

/// The queued command that failed, as the disk's log says. Reading it also lets the disk take
/// commands again.
async fn failed_one<P: Platform>(queue: &Queue, issued: u32) -> Option<QueueError> {
    let port = queue.port();
    if !port.registers.task_file().outcome().status.is_free() {
        return None;
    }
    port.start();
    let log = Command::read_log(QUEUE_LOG);
    let what = "the log of queued commands";
    match port.carry_out_own::<P>(what, log, Answer::Sector, LOG_LIMIT).await {
        Ok(page) => match QueueError::new_checked(&page) {
            Ok(failed) if issued & bit(failed.tag) != 0 => Some(failed),
            Ok(failed) => {
                log::warn!("{}: {what} names tag {}, which is not in use", port.name, failed.tag);
                None
            }
            Err(error) => {
                log::warn!("{}: {what}: {error}", port.name);
                None
            }
        },
        Err(error) => {
            log::debug!("{}: {error}", port.name);
            None
        }
    }
}
