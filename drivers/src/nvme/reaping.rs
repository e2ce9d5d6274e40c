//! The other half of a queue pair: taking completions, and bringing the queue to an end or back to
//! its beginning.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use executor::Instant;
use hal::clock::Ticks;
use hal::dma::DmaRing;
use protocols::nvme::{Completion, Phase};

use super::NvmeError;
use super::doorbell::Shadows;
use super::gate::Passage;
use super::queue::{Completions, Ended, Queue};
use crate::reaper::CompletionQueue;
use crate::slots::CommandId;

/// So many completions that nobody waits for are survived; more, and the controller is reset.
const STALE_MOST: u32 = 16;

/// Whether the controller has provably stopped using memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// It was reset, or is cut off.
    Yes,
    /// Nobody knows.
    No,
}

/// What a queue has done since its driver started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStatistics {
    /// Commands handed to the controller.
    pub submitted: u64,
    /// Completions taken that somebody waited for, or had waited for.
    pub completed: u64,
    /// Doorbell registers written, both of the pair.
    pub doorbells: u64,
    /// Interrupts that arrived.
    pub interrupts: u64,
    /// Completions nobody waited for.
    pub stale: u64,
    /// Commands in flight now.
    pub in_flight: u32,
    /// Commands it holds at most.
    pub depth: u32,
}

impl Queue {
    /// Rings for the commands that wait for it, if there are any.
    fn ring_noted(&self) {
        let mut submission = self.submission.lock();
        if core::mem::take(&mut submission.unrung) {
            let tail = u32::from(submission.tail);
            submission.doorbell.ring(tail);
        }
    }

    /// Takes commands from now on, with doorbells in `shadows`. The queue is as it was made, or
    /// [`rewound`](Self::rewind).
    pub(super) fn open(&self, shadows: Option<&Arc<Shadows>>) {
        self.completions.lock().doorbell.restart(shadows.cloned());
        let mut submission = self.submission.lock();
        submission.doorbell.restart(shadows.cloned());
        if submission.passage == Passage::Paused {
            submission.passage = Passage::Open;
        }
        drop(submission);
        self.gate.set(Passage::Open);
    }

    /// Takes no commands for now: those who come wait.
    pub(super) fn pause(&self) {
        let mut submission = self.submission.lock();
        if submission.passage == Passage::Open {
            submission.passage = Passage::Paused;
        }
        drop(submission);
        self.gate.set(Passage::Paused);
    }

    /// The controller has stopped with a paused queue: answers what is in flight, with its memory
    /// (late at `now`: timed out; else reset), and makes the queue as new.
    pub(super) fn rewind(&self, now: Instant) {
        {
            let mut completions = self.completions.lock();
            let mut submission = self.submission.lock();
            (submission.tail, submission.unrung) = (0, false);
            if let Some(ring) = &completions.ring {
                (0..ring.entries()).for_each(|entry| ring.set_entry(entry, [0; 2]));
            }
            (completions.head, completions.phase) = (0, Phase::FIRST);
            completions.stale_before += u64::from(core::mem::take(&mut completions.stale));
            self.in_flight.store(0, Ordering::Relaxed);
            submission.doorbell.restart(None);
            completions.doorbell.restart(None);
        }
        self.slots.reset_each(
            |deadline| {
                if deadline.0 <= now.0 { Ended::TimedOut } else { Ended::Reset }
            },
        );
    }

    /// Takes no more commands and answers all that are in flight with `verdict`: with their memory
    /// if the controller has stopped, else without.
    pub(super) fn close(&self, stopped: Stopped, verdict: Ended) {
        let completions = {
            let mut completions = self.completions.lock();
            completions.doorbell.restart(None);
            completions.ring.take()
        };
        let submission = {
            let mut submission = self.submission.lock();
            submission.passage = Passage::Gone;
            submission.doorbell.restart(None);
            submission.ring.take()
        };
        self.gate.set(Passage::Gone);
        match stopped {
            Stopped::Yes => {
                submission.into_iter().for_each(DmaRing::retire);
                completions.into_iter().for_each(DmaRing::retire);
                self.slots.reset(|| verdict);
                self.lists.retire();
            }
            Stopped::No => {
                drop((submission, completions));
                self.give_up_overdue(Instant(u64::MAX), verdict);
            }
        }
        self.control.look_now();
    }

    /// Answers commands that are overdue at `now` with `verdict`, without their memory, which stays
    /// with the queue.
    pub(super) fn give_up_overdue(&self, now: Instant, verdict: Ended) {
        self.slots.give_up_overdue(Ticks(now.0), || verdict);
    }

    /// A command that is overdue at `now`, whoever waits for it, after a last look at what the controller posted.
    pub(super) fn overdue(&self, now: Instant) -> Result<Option<CommandId>, NvmeError> {
        if self.slots.overdue(Ticks(now.0)).is_none() {
            return Ok(None);
        }
        self.drain(usize::from(self.entries))?;
        Ok(self.slots.overdue(Ticks(now.0)))
    }

    /// Whether too many completions came that nobody waits for.
    pub(super) fn is_flooded(&self) -> bool {
        self.completions.lock().stale > STALE_MOST
    }

    /// Whether its doorbells have a place in memory.
    pub(super) fn can_be_mirrored(&self) -> bool {
        self.completions.lock().doorbell.can_be_mirrored()
    }

    /// Writes the doorbell registers if they are behind.
    pub(super) fn knock(&self) {
        self.submission.lock().doorbell.knock();
    }

    pub(super) fn statistics(&self) -> QueueStatistics {
        let completions = self.completions.lock();
        let submission = self.submission.lock();
        QueueStatistics {
            submitted: submission.submitted,
            completed: completions.completed,
            doorbells: submission.doorbell.writes() + completions.doorbell.writes(),
            interrupts: self.control.interrupts(),
            stale: completions.stale_before + u64::from(completions.stale),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            depth: self.depth(),
        }
    }
}

impl CompletionQueue for Queue {
    type Error = NvmeError;

    fn drain(&self, limit: usize) -> Result<usize, NvmeError> {
        self.ring_noted();
        let mut completions = self.completions.lock();
        let Completions { ring, head, phase, doorbell, completed, stale, .. } = &mut *completions;
        let Some(ring) = ring else { return Err(NvmeError::Gone) };
        let (mut found, mut ended) = (0, 0);
        while found < limit {
            // The phase is in the last word: the rest is read after it has been seen.
            let last = ring.word(usize::from(*head), 1);
            if Phase::of(last) != *phase {
                break;
            }
            let entry = Completion::read([ring.word(usize::from(*head), 0), last]);
            found += 1;
            *head += 1;
            if *head == self.entries {
                *head = 0;
                *phase = phase.next();
            }
            let verdict = Ended::Done { status: entry.status, result: entry.result };
            match self.slots.complete(CommandId(entry.id), verdict) {
                Ok(_) => ended += 1,
                Err(error) => {
                    *stale += 1;
                    log::warn!("{}: queue {}: stale completion: {error}", self.name, self.number);
                }
            }
        }
        if found > 0 {
            *completed += u64::from(ended);
            doorbell.ring(u32::from(*head));
            let _submission = self.submission.lock();
            let before = self.in_flight.load(Ordering::Relaxed);
            self.in_flight.store(before.saturating_sub(ended), Ordering::Relaxed);
        }
        if *stale > STALE_MOST {
            self.trouble.notify();
        }
        Ok(found)
    }

    fn is_idle(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) <= self.standing.load(Ordering::Relaxed)
    }
}
