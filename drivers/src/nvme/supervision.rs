//! Looking after a controller while it is served: three futures beside each other, of which the
//! first to end ends the serving.
//!
//! - *work*: bring it up, announce its namespaces, deal with trouble as it comes;
//! - *guard*: is it there and well? Whoever has waited too long, recovery or not, is answered;
//! - *events*: what it reports.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use core::time::Duration;

use executor::sync::Notify;
use executor::{Instant, Platform, sleep};

use super::queue::{Ended, Queue};
use super::{Controller, Namespace, NvmeError, after, first, ticks};
use crate::reaper::CompletionQueue;
use crate::slots::CommandId;

/// How often overdue commands and the controller's health are looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(250);
/// How long after its time a command is answered although nothing else has helped.
const GRACE: Duration = Duration::from_secs(2);
/// How long what is under way may take when the driver is told to stop.
const FINISH_LIMIT: Duration = Duration::from_secs(1);
const FINISH_INTERVAL: Duration = Duration::from_millis(1);
/// So many resets of the controller are tried in so long.
const RESETS_MOST: usize = 3;
const RESETS_WINDOW: Duration = Duration::from_secs(60);

/// What is wrong.
enum Trouble<'a> {
    /// A command is overdue.
    Command(&'a Queue, CommandId),
    /// Something that only a reset of the controller may help with.
    Controller(NvmeError),
}

impl Controller {
    pub(super) async fn serve<P: Platform>(
        self: &Arc<Self>,
        stop: &Notify,
        announce: impl FnOnce(Vec<Namespace<P>>),
    ) -> Result<(), NvmeError> {
        let work = async {
            let identity = self.begin::<P>().await?;
            self.create_queues::<P>().await?;
            let identity = self.identity.call_once(|| identity);
            let (model, firmware) = (identity.model(), identity.firmware());
            log::info!("{}: {model}, firmware {firmware}, {}", self.name, identity.serial());
            let namespaces = self.namespaces::<P>(identity).await?;
            if namespaces.is_empty() {
                log::warn!("{}: no namespace that can be used", self.name);
            }
            announce(namespaces);
            let stopped = async {
                stop.wait().await;
                Ok(())
            };
            let served = first(self.supervise::<P>(), self.report_events::<P>(identity));
            first(stopped, async { Err(served.await) }).await
        };
        first(work, async { Err(self.guard::<P>().await) }).await
    }

    /// Takes no more I/O and waits until what is under way has ended: what the controller is given
    /// while it shuts down may not stay.
    pub(super) async fn finish<P: Platform>(&self) {
        self.io.iter().for_each(Queue::pause);
        let deadline = after::<P>(FINISH_LIMIT);
        while !self.io.iter().all(Queue::is_idle) && self.registers.healthy().is_ok() {
            if P::now() >= deadline {
                return log::warn!("{}: commands are still under way; cut off", self.name);
            }
            sleep::<P>(ticks::<P>(FINISH_INTERVAL)).await;
        }
    }

    /// Ends when the controller is no longer there or well.
    async fn guard<P: Platform>(&self) -> NvmeError {
        loop {
            sleep::<P>(ticks::<P>(WATCH_INTERVAL)).await;
            if let Err(error) = self.registers.healthy() {
                return error;
            }
            let patience = P::now().0.saturating_sub(ticks::<P>(GRACE));
            for queue in &self.io {
                queue.give_up_overdue(Instant(patience), Ended::TimedOut);
            }
        }
    }

    /// Deals with trouble; ends when that is of no more use.
    async fn supervise<P: Platform>(&self) -> NvmeError {
        let mut resets = Resets { times: Vec::new() };
        loop {
            let mut cause = match self.trouble::<P>().await {
                Trouble::Controller(cause) => cause,
                Trouble::Command(queue, id) => match self.recover::<P>(queue, id).await {
                    Ok(()) => continue,
                    Err(cause) => cause,
                },
            };
            loop {
                if matches!(cause, NvmeError::Gone | NvmeError::Fatal | NvmeError::Changed)
                    || !resets.may::<P>()
                {
                    return cause;
                }
                log::error!("{}: {cause}; resetting it", self.name);
                match self.reset::<P>().await {
                    Ok(()) => break,
                    // Trying again would take as long again.
                    Err(error @ NvmeError::NotInTime("reset", _)) => return error,
                    Err(error) => cause = error,
                }
            }
            log::warn!("{}: in use again after a reset", self.name);
        }
    }

    /// Waits for trouble.
    async fn trouble<P: Platform>(&self) -> Trouble<'_> {
        let mut seen: Vec<u64> = Vec::new();
        loop {
            if self.admin_is_stuck.load(Ordering::Relaxed) {
                return Trouble::Controller(NvmeError::Overdue("an admin command"));
            }
            if self.queues().any(Queue::is_flooded) {
                return Trouble::Controller(NvmeError::Stale);
            }
            for queue in self.in_use() {
                match queue.overdue(P::now()) {
                    Ok(Some(id)) => return Trouble::Command(queue, id),
                    Ok(None) => {}
                    Err(error) => return Trouble::Controller(error),
                }
            }
            self.look_for_lost_signals(&mut seen);
            let pause = sleep::<P>(ticks::<P>(WATCH_INTERVAL));
            first(pause, self.trouble.wait()).await;
        }
    }

    /// A queue that has commands in flight and has got nowhere since the last look: its interrupt
    /// may be lost, or the controller may have missed a doorbell.
    fn look_for_lost_signals(&self, seen: &mut Vec<u64>) {
        // With requests for events in flight, nobody polls the admin queue.
        self.admin.control.look_now();
        seen.resize(self.io.len(), u64::MAX);
        for (queue, seen) in self.in_use().iter().zip(seen) {
            let completed = queue.completions.lock().completed;
            if core::mem::replace(seen, completed) == completed && !queue.is_idle() {
                queue.knock();
                queue.control.look_now();
            }
        }
    }
}

/// When the controller was reset.
struct Resets {
    times: Vec<Instant>,
}

impl Resets {
    /// Notes one more, if that is not too many.
    fn may<P: Platform>(&mut self) -> bool {
        let now = P::now();
        let window = ticks::<P>(RESETS_WINDOW);
        self.times.retain(|time| now.since(*time) < window);
        let may = self.times.len() < RESETS_MOST;
        if may {
            self.times.push(now);
        }
        may
    }
}
