//! A queue pair: a ring of commands, a ring of completions, and the table of what is in flight.
//!
//! The table has one slot less than the rings have entries, so neither ring can overflow.
//! Submitting may happen on any core; completions are taken by one reaper. Closing a queue answers
//! everybody.

use alloc::string::{String, ToString};

use executor::{Instant, Platform, timeout};
use hal::clock::Ticks;
use hal::dma::{DeviceAddress, DmaBuf, DmaDomain, DmaLoan, DmaRing, Loan, Memory};
use hal::mmio::{DeviceRegion, Register};
use protocols::nvme::{Command, Completion, Phase, QueueDoorbell, Status};
use spin::Mutex;

use super::registers::Registers;
use super::{COMMAND_LIMIT, MODE, NvmeError, after};
use crate::completion::CompletionControl;
use crate::reaper::CompletionQueue;
use crate::slots::{CommandId, Finished, Lent, SlotTable};

/// So many completions that nobody waits for are survived.
const STALE_MOST: u32 = 16;
/// Bits of a command id.
const ID_BITS: u32 = 16;

/// What a command lends: its data, and the list of their pages.
pub(super) type Loans = (Option<Loan>, Option<DmaLoan>);
/// What comes back of it.
type Returned = (Option<Memory>, Option<DmaBuf>);

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The controller said so.
    Done(Status),
    /// It was not done in time, or there was no room for it in time.
    TimedOut,
    /// The queue was closed under it.
    Reset,
    /// The queue was closed before.
    Gone,
}

/// Whether the controller has provably stopped using memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// It was reset, or is cut off.
    Yes,
    /// Nobody knows.
    No,
}

struct Submission {
    /// `None`: closed.
    ring: Option<DmaRing<8>>,
    tail: usize,
}

struct Completions {
    ring: Option<DmaRing<2>>,
    head: usize,
    phase: Phase,
    stale: u32,
}

pub(super) struct Queue {
    name: String,
    number: u16,
    entries: u16,
    addresses: (DeviceAddress, DeviceAddress),
    region: DeviceRegion,
    submission_tail: Register<u32>,
    completion_head: Register<u32>,
    submission: Mutex<Submission>,
    completions: Mutex<Completions>,
    slots: SlotTable<Loans, Ended>,
    control: CompletionControl,
}

impl Queue {
    /// A pair of rings with `entries` entries each, at least two. Queue 0 is the admin queue.
    pub(super) fn new(
        name: &str,
        number: u16,
        entries: u16,
        registers: &Registers,
        dma: &DmaDomain,
    ) -> Result<Self, NvmeError> {
        let mut submission = dma.ring::<8>(usize::from(entries))?;
        let mut completions = dma.ring::<2>(usize::from(entries))?;
        let addresses = (submission.address(), completions.address());
        Ok(Self {
            name: name.to_string(),
            number,
            entries,
            addresses,
            region: registers.region().clone(),
            submission_tail: registers.doorbell(number, QueueDoorbell::SubmissionTail),
            completion_head: registers.doorbell(number, QueueDoorbell::CompletionHead),
            submission: Mutex::new(Submission { ring: Some(submission), tail: 0 }),
            completions: Mutex::new(Completions {
                ring: Some(completions),
                head: 0,
                phase: Phase::FIRST,
                stale: 0,
            }),
            slots: SlotTable::new(entries - 1, ID_BITS),
            control: CompletionControl::new(MODE),
        })
    }

    pub(super) fn entries(&self) -> u16 {
        self.entries
    }

    pub(super) fn depth(&self) -> u32 {
        u32::from(self.entries - 1)
    }

    pub(super) fn submission_address(&self) -> DeviceAddress {
        self.addresses.0
    }

    pub(super) fn completion_address(&self) -> DeviceAddress {
        self.addresses.1
    }

    pub(super) fn control(&self) -> &CompletionControl {
        &self.control
    }

    /// Has the controller carry out `command` with the memory of `loan`, and waits for it.
    pub(super) async fn carry_out<P: Platform>(
        &self,
        command: Command,
        loan: Loans,
    ) -> Finished<Returned, Ended> {
        let deadline = after::<P>(COMMAND_LIMIT);
        // Not submitted, so the controller knows nothing of the memory.
        let refuse = |loan: Loans, result| Finished { result, returned: Some(Lent::reclaim(loan)) };
        let Ok(reserved) = timeout::<P, _>(deadline, self.slots.reserve()).await else {
            return refuse(loan, Ended::TimedOut);
        };
        let submitted = {
            let mut submission = self.submission.lock();
            let Submission { ring, tail } = &mut *submission;
            let Some(ring) = ring else { return refuse(loan, Ended::Gone) };
            let entry = command.called(reserved.id().0);
            let submitted = reserved.submit(loan, Ticks(deadline.0));
            ring.set_entry(*tail, entry.0);
            *tail = (*tail + 1) % usize::from(self.entries);
            self.region.write(self.submission_tail, *tail as u32);
            submitted
        };
        self.control.submitted();
        submitted.await
    }

    /// Finds a command whose time is over, after a last look at what the controller posted.
    pub(super) fn check_overdue(&self, now: Instant) -> Result<(), NvmeError> {
        if self.slots.overdue(Ticks(now.0)).is_none() {
            return Ok(());
        }
        self.drain(usize::from(self.entries))?;
        match self.slots.overdue(Ticks(now.0)) {
            None => Ok(()),
            Some(id) => {
                log::error!("{}: queue {}: {id} is not done in time", self.name, self.number);
                Err(NvmeError::Overdue("a command"))
            }
        }
    }

    /// Takes no more commands and answers all that are in flight with `verdict`: with their memory
    /// if the controller has stopped, else without.
    pub(super) fn close(&self, stopped: Stopped, verdict: Ended) {
        let submission = self.submission.lock().ring.take();
        let completions = self.completions.lock().ring.take();
        match stopped {
            Stopped::Yes => {
                submission.into_iter().for_each(DmaRing::retire);
                completions.into_iter().for_each(DmaRing::retire);
                self.slots.reset(|| verdict);
            }
            Stopped::No => {
                drop((submission, completions));
                while let Some(id) = self.slots.overdue(Ticks(u64::MAX)) {
                    if self.slots.give_up(id, verdict).is_err() {
                        break;
                    }
                }
            }
        }
    }
}

impl CompletionQueue for Queue {
    type Error = NvmeError;

    fn drain(&self, limit: usize) -> Result<usize, NvmeError> {
        let mut completions = self.completions.lock();
        let Completions { ring, head, phase, stale } = &mut *completions;
        let Some(ring) = ring else { return Err(NvmeError::Gone) };
        let mut found = 0;
        while found < limit {
            // The phase is in the last word: the rest is read after it has been seen.
            let last = ring.word(*head, 1);
            if Phase::of(last) != *phase {
                break;
            }
            let entry = Completion::read([ring.word(*head, 0), last]);
            found += 1;
            *head += 1;
            if *head == usize::from(self.entries) {
                *head = 0;
                *phase = phase.next();
            }
            if let Err(error) = self.slots.complete(CommandId(entry.id), Ended::Done(entry.status))
            {
                *stale += 1;
                log::warn!("{}: queue {}: stale completion: {error}", self.name, self.number);
            }
        }
        if found > 0 {
            self.region.write(self.completion_head, *head as u32);
        }
        if *stale > STALE_MOST { Err(NvmeError::Stale) } else { Ok(found) }
    }

    fn is_idle(&self) -> bool {
        self.slots.free() == self.slots.depth()
    }
}
