//! The ladder for a command that is overdue: abort it, or else delete and create its queue, or else
//! reset the controller. Each step answers the callers it concerns, with their memory, and leaves
//! the namespaces in use.
//!
//! ```text
//!   overdue ──> abort ──────────────> answered: done
//!                │ refused, or no answer
//!                v
//!               pause, delete queues ──> rewind, create, open: done
//!                │ refused, or no answer
//!                v
//!               pause all, disable ────> rewind all, enable, begin: done
//! ```

use core::sync::atomic::Ordering;
use core::time::Duration;

use executor::{Platform, sleep};
use protocols::nvme::Command;

use super::queue::Queue;
use super::reaping::Stopped;
use super::{Controller, NvmeError, after, ticks};
use crate::reaper::CompletionQueue;
use crate::slots::CommandId;

/// How long an aborted command may take to come back.
const ABORT_LIMIT: Duration = Duration::from_millis(500);
/// Between two looks at it.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

impl Controller {
    /// Ends command `id` of an I/O queue, which is overdue, or the queue.
    ///
    /// # Errors
    /// Neither helped: the controller is to be reset.
    pub(super) async fn recover<P: Platform>(
        &self,
        queue: &Queue,
        id: CommandId,
    ) -> Result<(), NvmeError> {
        let (name, number) = (&self.name, queue.number);
        log::warn!("{name}: queue {number}: {id} is not done in time; aborting it");
        match self.admin::<P>("an abort", Command::abort(number, id.0), None).await {
            // Bit 0: it was not aborted.
            Ok((result, _)) if result & 1 == 0 => {
                let until = after::<P>(ABORT_LIMIT);
                while queue.overdue(P::now())? == Some(id) && P::now() < until {
                    sleep::<P>(ticks::<P>(LOOK_INTERVAL)).await;
                }
            }
            Ok(_) | Err(NvmeError::Refused(_)) => {}
            Err(error) => return Err(error),
        }
        if queue.overdue(P::now())? != Some(id) {
            return Ok(());
        }
        log::warn!("{name}: queue {number}: {id} cannot be aborted; resetting the queue");
        self.reset_queue::<P>(queue).await
    }

    async fn reset_queue<P: Platform>(&self, queue: &Queue) -> Result<(), NvmeError> {
        let number = queue.number;
        queue.pause();
        let command = Command::delete_submission_queue(number);
        self.admin::<P>("deleting a submission queue", command, None).await?;
        // What was done before counts as done.
        queue.drain(usize::from(queue.entries))?;
        let command = Command::delete_completion_queue(number);
        self.admin::<P>("deleting a completion queue", command, None).await?;
        // The controller has ended all that came by the queue (5.6).
        queue.rewind(P::now());
        self.create_queue::<P>(queue).await
    }

    /// Resets the controller and brings it to work again.
    ///
    /// # Errors
    /// It could not be, and takes no commands. `NotInTime("reset", _)`: it has not stopped either.
    pub(super) async fn reset<P: Platform>(&self) -> Result<(), NvmeError> {
        self.queues().for_each(Queue::pause);
        self.registers.disable::<P>().await?;
        let now = P::now();
        self.queues().for_each(|queue| queue.rewind(now));
        self.drop_shadows(Stopped::Yes);
        self.admin_is_stuck.store(false, Ordering::Relaxed);
        let identity = self.begin::<P>().await?;
        let before = self.identity.get().unwrap_or(&identity);
        if (identity.serial(), identity.model()) != (before.serial(), before.model()) {
            return Err(NvmeError::Changed);
        }
        // Before anybody gets at what may be another disk.
        self.look_again::<P>(&identity).await?;
        self.create_queues::<P>().await
    }
}
