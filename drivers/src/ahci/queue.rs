//! The commands of one disk: their slots, whose turn it is, and what the port says of them.
//!
//! ```text
//!                       halt                     resume
//!   Running ────────────────────────> Halted ─────────────> Running
//!      │  trouble: see `recover`         │
//!      └───────────── close ─────────────┴──> Closed: nothing comes in, everybody is answered
//! ```
//!
//! A slot's number is the command's tag. Its table stays as it is until the command has ended, so a
//! command can be handed over again after a reset. Submitting may happen on any core; one task per
//! port takes completions.

use alloc::sync::Arc;
use core::time::Duration;

use executor::{Instant, Platform, timeout};
use hal::clock::Ticks;
use hal::dma::{Direction, DmaDomain, DmaError, Loan, Memory};
use protocols::ahci::{Header, PortInterrupts, SLOTS};
use protocols::ata::{Addressing, Command, Outcome};
use spin::Mutex;

use super::issue::{Done, Entrance, Look, Stage, State};
use super::memory::{Tables, Written};
use super::port::{Ask, Port};
use super::schedule::{Turn, bit, slots};
use super::{Trouble, after};
use crate::reaper::CompletionQueue;
use crate::slots::{CommandId, Finished, Lent, Reservation, SlotTable, Submitted};

/// Bits of the ids by which the table knows repeated completions from new ones.
const ID_BITS: u32 = 16;
/// Looks in vain until the port's registers are asked what is done, or wrong.
const VAIN_MOST: u32 = 128;
/// So often a command is handed over again when nobody knows which one failed.
const TRIES_MOST: u8 = 3;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It succeeded. What a command that came alone left in the address registers.
    Done(u64),
    /// The disk says that it failed.
    Failed(Outcome),
    /// It was not done in time, or there was no room for it in time.
    TimedOut,
    /// The port was reset under it too often, or ended.
    Reset,
    /// The disk is gone.
    Gone,
    /// Its memory is beyond what the HBA reaches.
    Unreachable,
}

/// Whether the port has provably stopped using memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// It is at rest, or cut off.
    Yes,
    /// Nobody knows.
    No,
}

/// Which way a command's data go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// From the disk, or there are none.
    In,
    /// To the disk.
    Out,
}

impl Flow {
    fn direction(self) -> Direction {
        match self {
            Self::In => Direction::FromDevice,
            Self::Out => Direction::ToDevice,
        }
    }
}

/// A command that the disk never heard of.
fn refused(memory: Option<Memory>, result: Ended) -> Finished<Option<Memory>, Ended> {
    Finished { result, returned: Some(memory) }
}

pub(super) struct Queue {
    port: Arc<Port>,
    tables: Tables,
    slots: SlotTable<Option<Loan>, Ended>,
    state: Mutex<State>,
    addressing: Addressing,
    highest: u64,
}

impl Queue {
    /// A queue of `depth` slots (1 to 32) that runs.
    pub(super) fn new(
        port: Arc<Port>,
        depth: u16,
        addressing: Addressing,
        dma: &DmaDomain,
    ) -> Result<Self, DmaError> {
        let depth = depth.clamp(1, SLOTS as u16);
        let tables = Tables::new(dma, depth)?;
        tables.0.lend();
        Ok(Self {
            port,
            tables,
            slots: SlotTable::new(depth, ID_BITS),
            state: Mutex::new(State::new()),
            addressing,
            highest: dma.limit().highest(),
        })
    }

    pub(super) fn depth(&self) -> u32 {
        self.slots.depth() as u32
    }

    pub(super) fn addressing(&self) -> Addressing {
        self.addressing
    }

    /// The command that writes the disk's cache to its medium.
    pub(super) fn flush(&self) -> Command {
        Command::flush(self.addressing)
    }

    pub(super) fn port(&self) -> &Port {
        &self.port
    }

    /// Has the disk carry out `command` with `memory`, and waits for it.
    ///
    /// Memory is lent only once there is a slot for it to belong to: a future dropped before that
    /// frees it.
    pub(super) async fn carry_out<P: Platform>(
        &self,
        command: Command,
        flow: Flow,
        memory: Option<Memory>,
        limit: Duration,
    ) -> Finished<Option<Memory>, Ended> {
        let deadline = after::<P>(limit);
        if self.state.lock().entrance == Entrance::Shut {
            return refused(memory, Ended::Gone);
        }
        let Ok(reserved) = timeout::<P, _>(deadline, self.slots.reserve()).await else {
            return refused(memory, Ended::TimedOut);
        };
        match self.submit(reserved, command, flow, memory, Ticks(deadline.0)) {
            Ok(submitted) => {
                self.port.control.submitted();
                submitted.await
            }
            Err(finished) => finished,
        }
    }

    fn submit<'a>(
        &'a self,
        reserved: Reservation<'a, Option<Loan>, Ended>,
        command: Command,
        flow: Flow,
        memory: Option<Memory>,
        deadline: Ticks,
    ) -> Result<Submitted<'a, Option<Loan>, Ended>, Finished<Option<Memory>, Ended>> {
        let (slot, id) = (reserved.index() as u8, reserved.id());
        let queued = if command.is_queued() { bit(slot) } else { 0 };
        let command = if queued != 0 { command.tagged(slot) } else { command };
        let loan = memory.map(|memory| memory.lend(flow.direction()));
        // The disk knows nothing of the memory yet.
        let refuse = |loan: Option<Loan>, result| Err(refused(loan.reclaim(), result));
        let table = self.tables.set(usize::from(slot), &command, loan.as_ref(), self.highest);
        let Some(Written { table, pieces }) = table else {
            return refuse(loan, Ended::Unreachable);
        };
        let header = Header { table, pieces, writes_device: flow == Flow::Out };
        let state = &mut *self.state.lock();
        if state.entrance == Entrance::Shut {
            return refuse(loan, Ended::Gone);
        }
        let submitted = reserved.submit(loan, deadline);
        self.port.page.set_header(usize::from(slot), header);
        state.ids[usize::from(slot)] = id;
        state.tries[usize::from(slot)] = 0;
        state.queued = state.queued & !bit(slot) | queued;
        state.schedule.push(slot, if queued != 0 { Turn::Together } else { Turn::Alone });
        state.hand_over(&self.port);
        Ok(submitted)
    }

    /// Ends `slots`, all of them found in `ids`, in the same way.
    fn end(&self, mask: u32, ids: &[CommandId; SLOTS], result: Ended) {
        for slot in slots(mask) {
            if let Err(error) = self.slots.complete(ids[usize::from(slot)], result) {
                log::warn!("{}: {error}", self.port.name);
            }
        }
    }

    /// Finds a command at the disk whose time is over, after a last look at what is done. Ends
    /// those whose turn had not come.
    pub(super) fn check_overdue(&self, now: Instant) -> Result<(), Trouble> {
        if self.slots.overdue(Ticks(now.0)).is_none() {
            return Ok(());
        }
        self.port.tell();
        self.drain(SLOTS)?;
        let state = &mut *self.state.lock();
        while let Some(id) = self.slots.overdue(Ticks(now.0)) {
            let slot = state.ids.iter().position(|known| *known == id).unwrap_or(0) as u8;
            if !state.schedule.leave(slot) {
                log::error!("{}: {id} is not done in time", self.port.name);
                return Err(Trouble::Overdue);
            }
            let _ = self.slots.complete(id, Ended::TimedOut);
        }
        Ok(())
    }

    /// Takes what has been done, and nothing after that: the port is going to be stopped. Says
    /// which commands it was at, and which of them are queued ones.
    pub(super) fn halt(&self) -> (u32, u32) {
        let (done, ids, at_work) = {
            let state = &mut *self.state.lock();
            let done = match state.stage {
                Stage::Running => state.take_done(&self.port, Look::AtRegister).unwrap_or_default(),
                Stage::Halted | Stage::Closed => Done::default(),
            };
            if state.stage == Stage::Running {
                state.stage = Stage::Halted;
            }
            let issued = state.schedule.issued();
            (done, state.ids, (issued, issued & state.queued))
        };
        self.end(done.slots, &ids, Ended::Done(done.left));
        at_work
    }

    /// With the port stopped: this one failed.
    pub(super) fn fail(&self, slot: u8, outcome: Outcome) {
        let ids = {
            let mut state = self.state.lock();
            state.schedule.done(bit(slot));
            state.ids
        };
        self.end(bit(slot), &ids, Ended::Failed(outcome));
    }

    /// With the port stopped: ends what is overdue.
    pub(super) fn end_overdue(&self, now: Instant) {
        let state = &mut *self.state.lock();
        while let Some(id) = self.slots.overdue(Ticks(now.0)) {
            let slot = state.ids.iter().position(|known| *known == id).unwrap_or(0) as u8;
            state.schedule.leave(slot);
            state.schedule.done(bit(slot));
            let _ = self.slots.complete(id, Ended::TimedOut);
        }
    }

    /// With the port stopped: nobody knows which of the commands it was at failed. They are tried
    /// one by one, but not for ever.
    pub(super) fn suspect(&self) {
        let (ended, ids) = {
            let state = &mut *self.state.lock();
            let mut ended = 0;
            for slot in slots(state.schedule.issued()) {
                let tries = &mut state.tries[usize::from(slot)];
                *tries += 1;
                ended |= if *tries > TRIES_MOST { bit(slot) } else { 0 };
            }
            state.schedule.done(ended);
            state.schedule.isolate();
            (ended, state.ids)
        };
        self.end(ended, &ids, Ended::Reset);
    }

    /// The port runs again: hands over what it was at, then the rest.
    pub(super) fn resume(&self) {
        let mut state = self.state.lock();
        if state.stage == Stage::Halted {
            state.stage = Stage::Running;
            state.schedule.put_back();
            state.hand_over(&self.port);
        }
        drop(state);
        self.port.control.look_now();
    }

    /// Takes no more commands; those that are in go on.
    pub(super) fn shut(&self) {
        self.state.lock().entrance = Entrance::Shut;
    }

    /// Whether commands are handed over to the port.
    pub(super) fn is_running(&self) -> bool {
        self.state.lock().stage == Stage::Running
    }

    /// Takes no more commands and answers all that are in with `verdict`: with their memory if the
    /// port has stopped, or never heard of them, else without. Again, once the port has stopped
    /// after all.
    pub(super) fn close(&self, stopped: Stopped, verdict: Ended) {
        let (waiting, ids) = {
            let state = &mut *self.state.lock();
            (state.stage, state.entrance) = (Stage::Closed, Entrance::Shut);
            let waiting = state.schedule.take_waiting().fold(0, |mask, slot| mask | bit(slot));
            (waiting, state.ids)
        };
        self.end(waiting, &ids, verdict);
        match stopped {
            Stopped::Yes => {
                self.tables.0.give_back();
                self.slots.reset(|| verdict);
            }
            Stopped::No => self.slots.give_up_overdue(Ticks(u64::MAX), || verdict),
        }
    }
}

impl CompletionQueue for Queue {
    type Error = Trouble;

    /// Takes everything the port has done, at most 32 commands, whatever `limit` says.
    fn drain(&self, _limit: usize) -> Result<usize, Trouble> {
        let (done, ids) = {
            let state = &mut *self.state.lock();
            match state.stage {
                Stage::Running => {}
                Stage::Halted => return Ok(0),
                Stage::Closed => return Err(Trouble::Gone),
            }
            let is_time = (state.in_vain + 1).is_multiple_of(VAIN_MOST);
            let look = if self.port.told() || is_time { Look::AtRegister } else { Look::AtFrames };
            let done = state.take_done(&self.port, look)?;
            if done.slots == 0 {
                state.in_vain = state.in_vain.wrapping_add(1) % VAIN_MOST;
                let ask = is_time && state.schedule.issued() != 0;
                self.port.trouble(if ask { Ask::Port } else { Ask::Interrupts })?;
                return Ok(0);
            }
            state.hand_over(&self.port);
            (done, state.ids)
        };
        self.end(done.slots, &ids, Ended::Done(done.left));
        Ok(done.slots.count_ones() as usize)
    }

    fn is_idle(&self) -> bool {
        self.state.lock().schedule.is_empty()
    }
}

/// Which trouble these reports mean, if any.
pub(super) fn trouble_of(causes: PortInterrupts) -> Result<(), Trouble> {
    if causes.is_gone() {
        Err(Trouble::Vanished)
    } else if causes.has(PortInterrupts::LINK) {
        Err(Trouble::Gone)
    } else if causes.has(PortInterrupts::TASK_FILE) {
        Err(Trouble::Command)
    } else if causes.has(PortInterrupts::ERRORS) {
        Err(Trouble::Transfer(causes))
    } else {
        Ok(())
    }
}
