//! A queue pair: a ring of commands, a ring of completions, and the table of what is in flight.
//!
//! The table has one slot less than the rings have entries, so neither ring can overflow.
//! Submitting may happen on any core; completions are taken by one reaper ([`super::reaping`]).
//!
//! **Doorbells are batched.** A command that finds nothing in flight rings at once. One that finds
//! others in flight only notes that the bell is to be rung and asks for the reaper, which rings
//! once for all that were queued in this turn.
//!
//! No command waits for a bell that nobody rings. Noting happens under the submission lock, and
//! whoever is the first to note then notifies the reaper (`look_now`). The reaper never waits, in
//! any mode, without its notification being able to end the waiting, or takes another turn by
//! itself; and the first thing each turn does is to take the lock, ring if it is noted, and clear
//! the note. So after the last note there is a notification, after that a turn of the reaper, and
//! that turn rings. Nothing of this is lock-free but the notification, which the executor checks.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};
use core::task::Waker;

use executor::sync::Notify;
use executor::{Instant, Platform, timeout};
use futures_util::future::{Either, select};
use hal::clock::Ticks;
use hal::dma::{DeviceAddress, Direction, DmaDomain, DmaRing, Loan, Memory};
use protocols::nvme::{Command, Page, Phase, QueueDoorbell, ShadowPlace, Status};
use spin::{Mutex, MutexGuard};

use super::doorbell::Doorbell;
use super::gate::{Gate, Passage};
use super::lists::{Lists, describe_short};
use super::registers::Registers;
use super::{COMMAND_LIMIT, NvmeError, ticks};
use crate::completion::{CompletionControl, CompletionMode};
use crate::slots::{Finished, Lent, Reservation, SlotTable, Submitted};

/// Bits of a command id.
const ID_BITS: u32 = 16;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The controller said so, and gave this result.
    Done { status: Status, result: u32 },
    /// It was not done in time, or there was no room for it in time.
    TimedOut,
    /// The queue was reset under it.
    Reset,
    /// The queue was closed.
    Gone,
    /// There is no memory for the list of its pages.
    NoMemory,
}

impl Ended {
    /// Whether the command did what it should.
    #[inline(always)]
    pub(super) fn is_success(self) -> bool {
        matches!(self, Self::Done { status, .. } if status.is_success())
    }
}

pub(super) struct Submission {
    pub(super) passage: Passage,
    /// `None`: gone.
    pub(super) ring: Option<DmaRing<8>>,
    pub(super) tail: u16,
    pub(super) doorbell: Doorbell,
    /// Whether commands lie beyond what the doorbell says.
    pub(super) unrung: bool,
    pub(super) submitted: u64,
}

pub(super) struct Completions {
    /// `None`: gone.
    pub(super) ring: Option<DmaRing<2>>,
    pub(super) head: u16,
    pub(super) phase: Phase,
    pub(super) doorbell: Doorbell,
    pub(super) completed: u64,
    /// Completions that nobody waited for: since the queue began anew, and before.
    pub(super) stale: u32,
    pub(super) stale_before: u64,
}

pub(super) struct Queue {
    pub(super) name: String,
    pub(super) number: u16,
    pub(super) entries: u16,
    vector: Option<u16>,
    limit_ticks: u64,
    addresses: (DeviceAddress, DeviceAddress),
    /// Lock order: completions, submission, slots.
    pub(super) submission: Mutex<Submission>,
    pub(super) completions: Mutex<Completions>,
    /// Commands the controller has; changes under the submission lock.
    pub(super) in_flight: AtomicU32,
    /// Those of them that may take for ever: requests for events.
    pub(super) standing: AtomicU32,
    pub(super) slots: SlotTable<Option<Loan>, Ended>,
    pub(super) lists: Lists,
    pub(super) gate: Gate,
    pub(super) control: CompletionControl,
    /// Tells the driver that completions came that nobody waits for.
    pub(super) trouble: Arc<Notify>,
}

/// The memory of a command, if it has any, and what the controller does with it. It is lent only
/// once there is a slot to own it: until then whoever waits may go away with it.
pub(super) type Cargo = Option<(Memory, Direction)>;

/// Why a command was not submitted; its memory stays where it was.
pub(super) enum NotStarted {
    /// There is no room, or the queue is being reset: it may wait.
    NotNow,
    /// It will not be.
    Refused(Ended),
}

type Started<'a> = Result<Submitted<'a, Option<Loan>, Ended>, NotStarted>;

/// Who is to be told of a command.
enum Tell {
    /// The controller knows; a polling reaper wants to.
    Poller,
    /// The reaper, who rings.
    Ringer,
    /// Nobody: the reaper has been told.
    Nobody,
}

impl Queue {
    /// A pair of rings with `entries` entries each, at least two. Queue 0 is the admin queue. It
    /// takes no commands before it is opened.
    pub(super) fn new<P: Platform>(
        registers: &Registers,
        dma: &DmaDomain,
        number: u16,
        entries: u16,
        vector: Option<u16>,
        mode: CompletionMode,
        trouble: Arc<Notify>,
    ) -> Result<Self, NvmeError> {
        let mut submission = dma.ring::<8>(usize::from(entries))?;
        let mut completions = dma.ring::<2>(usize::from(entries))?;
        let addresses = (submission.address(), completions.address());
        let slots = SlotTable::new(entries - 1, ID_BITS);
        let doorbell = |which| {
            let stride = registers.capabilities().doorbell_stride();
            // The admin queue's are not mirrored: some controllers do not look there.
            let place = match number {
                0 => None,
                _ => ShadowPlace::new(number, which, stride),
            };
            let register = registers.doorbell(number, which);
            Doorbell::new(registers.region().clone(), register, place)
        };
        let control = CompletionControl::new(mode);
        if vector.is_none() {
            control.set_polled();
        }
        Ok(Self {
            name: registers.name().to_string(),
            number,
            entries,
            vector,
            limit_ticks: ticks::<P>(COMMAND_LIMIT),
            addresses,
            submission: Mutex::new(Submission {
                passage: Passage::Paused,
                ring: Some(submission),
                tail: 0,
                doorbell: doorbell(QueueDoorbell::SubmissionTail),
                unrung: false,
                submitted: 0,
            }),
            completions: Mutex::new(Completions {
                ring: Some(completions),
                head: 0,
                phase: Phase::FIRST,
                doorbell: doorbell(QueueDoorbell::CompletionHead),
                completed: 0,
                stale: 0,
                stale_before: 0,
            }),
            in_flight: AtomicU32::new(0),
            standing: AtomicU32::new(0),
            lists: Lists::new(dma.clone(), slots.depth()),
            slots,
            gate: Gate::new(),
            control,
            trouble,
        })
    }

    pub(super) fn depth(&self) -> u32 {
        u32::from(self.entries - 1)
    }

    /// The interrupt it raises.
    pub(super) fn vector(&self) -> Option<u16> {
        self.vector
    }

    pub(super) fn submission_page(&self) -> Page {
        Page(self.addresses.0.0)
    }

    pub(super) fn completion_page(&self) -> Page {
        Page(self.addresses.1.0)
    }

    /// Has the controller carry out `command` with the memory of `cargo`, and waits for it.
    pub(super) async fn carry_out<P: Platform>(
        &self,
        command: Command,
        cargo: Cargo,
    ) -> Finished<Option<Memory>, Ended> {
        self.carry_out_until::<P>(command, cargo, self.deadline::<P>()).await
    }

    /// The same, and it is overdue from `deadline` on.
    pub(super) async fn carry_out_until<P: Platform>(
        &self,
        command: Command,
        cargo: Cargo,
        deadline: Instant,
    ) -> Finished<Option<Memory>, Ended> {
        let (mut memory, direction) = match cargo {
            Some((memory, direction)) => (Some(memory), direction),
            None => (None, Direction::Both),
        };
        loop {
            let reserved = match self.wait_for_room::<P>(deadline).await {
                Ok(reserved) => reserved,
                Err(result) => return Finished { result, returned: Some(memory) },
            };
            match self.attempt(reserved, command, &mut memory, direction, deadline) {
                Ok(submitted) => return submitted.await,
                Err(NotStarted::Refused(result)) => {
                    return Finished { result, returned: Some(memory) };
                }
                Err(NotStarted::NotNow) => {}
            }
            let open = self.gate.leaves(Passage::Paused);
            if timeout::<P, _>(deadline, open).await.is_err() {
                return Finished { result: Ended::TimedOut, returned: Some(memory) };
            }
        }
    }

    async fn wait_for_room<P: Platform>(
        &self,
        deadline: Instant,
    ) -> Result<Reservation<'_, Option<Loan>, Ended>, Ended> {
        let gone = core::pin::pin!(self.gate.closes());
        match timeout::<P, _>(deadline, select(self.slots.reserve(), gone)).await {
            Ok(Either::Left((reserved, _))) => Ok(reserved),
            Ok(Either::Right(_)) => Err(Ended::Gone),
            Err(_) => Err(Ended::TimedOut),
        }
    }

    /// Submits `command` with what is in `memory` if there is room, to end by waking `waker`: the
    /// short way, for memory that needs no list.
    #[inline(always)]
    pub(super) fn start(
        &self,
        command: Command,
        memory: &mut Option<Memory>,
        direction: Direction,
        deadline: Instant,
        waker: &Waker,
    ) -> Started<'_> {
        let Some(lent) = memory.take() else { return Err(NotStarted::NotNow) };
        let lent = lent.lend(direction);
        let Ok(prp) = describe_short(&lent) else {
            *memory = Some(lent.reclaim());
            return Err(NotStarted::NotNow);
        };
        let waker = waker.clone();
        let submission = self.submission.lock();
        let refused = match submission.passage {
            Passage::Open => match self.slots.try_submit(Some(lent), Ticks(deadline.0), waker) {
                Ok(started) => {
                    let entry = command.with_memory(prp).called(started.id().0);
                    self.enqueue(submission, entry);
                    return Ok(started);
                }
                Err(back) => back,
            },
            Passage::Paused | Passage::Gone => (Some(lent), waker),
        };
        drop(submission);
        *memory = refused.0.reclaim();
        Err(NotStarted::NotNow)
    }

    /// When a command that is submitted now is overdue.
    #[inline(always)]
    pub(super) fn deadline<P: Platform>(&self) -> Instant {
        P::now().after(self.limit_ticks)
    }

    /// The long way, with a slot that was waited for.
    fn attempt<'a>(
        &'a self,
        reserved: Reservation<'a, Option<Loan>, Ended>,
        mut command: Command,
        memory: &mut Option<Memory>,
        direction: Direction,
        deadline: Instant,
    ) -> Started<'a> {
        let loan = memory.take().map(|memory| memory.lend(direction));
        if let Some(lent) = &loan {
            match self.lists.describe(reserved.index(), lent) {
                Ok(prp) => command = command.with_memory(prp),
                Err(_) => {
                    *memory = loan.reclaim();
                    return Err(NotStarted::Refused(Ended::NoMemory));
                }
            }
        }
        let submission = self.submission.lock();
        let refusal = match submission.passage {
            Passage::Open => {
                let entry = command.called(reserved.id().0);
                let started = reserved.submit(loan, Ticks(deadline.0));
                self.enqueue(submission, entry);
                return Ok(started);
            }
            Passage::Paused => NotStarted::NotNow,
            Passage::Gone => NotStarted::Refused(Ended::Gone),
        };
        drop(submission);
        *memory = loan.reclaim();
        Err(refusal)
    }

    /// Puts a command into the ring, and sees to it that the bell is rung.
    #[inline(always)]
    fn enqueue(&self, mut submission: MutexGuard<'_, Submission>, entry: Command) {
        let Submission { ring, tail, doorbell, unrung, submitted, .. } = &mut *submission;
        if let Some(ring) = ring {
            ring.set_entry(usize::from(*tail), entry.0);
        }
        *tail = if *tail + 1 == self.entries { 0 } else { *tail + 1 };
        *submitted += 1;
        let others = self.in_flight.load(Ordering::Relaxed);
        self.in_flight.store(others + 1, Ordering::Relaxed);
        let tell = if others <= self.standing.load(Ordering::Relaxed) {
            *unrung = false;
            doorbell.ring(u32::from(*tail));
            Tell::Poller
        } else if core::mem::replace(unrung, true) {
            Tell::Nobody
        } else {
            Tell::Ringer
        };
        drop(submission);
        match tell {
            Tell::Poller => self.control.submitted(),
            Tell::Ringer => self.control.look_now(),
            Tell::Nobody => {}
        }
    }
}
