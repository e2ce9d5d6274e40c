//! What a queue knows of its port: which commands it was handed, and which of them it has done.
//! Under the queue's lock.

use protocols::ahci::SLOTS;

use super::Trouble;
use super::memory::Frames;
use super::port::Port;
use super::schedule::{Schedule, bit};
use crate::slots::CommandId;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Running,
    Halted,
    Closed,
}

/// Whether commands still come in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Entrance {
    Open,
    Shut,
}

pub(super) struct State {
    pub(super) stage: Stage,
    pub(super) entrance: Entrance,
    pub(super) schedule: Schedule,
    /// Slots whose command is a queued one.
    pub(super) queued: u32,
    pub(super) ids: [CommandId; SLOTS],
    pub(super) tries: [u8; SLOTS],
    pub(super) in_vain: u32,
}

/// Where to look for what is done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// At the frames in memory, and at the register if any has come.
    AtFrames,
    /// At the register.
    AtRegister,
}

/// Commands the port has done.
#[derive(Clone, Copy, Default)]
pub(super) struct Done {
    pub(super) slots: u32,
    /// What one that came alone left in the address registers.
    pub(super) left: u64,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            stage: Stage::Running,
            entrance: Entrance::Open,
            schedule: Schedule::new(),
            queued: 0,
            ids: [CommandId(0); SLOTS],
            tries: [0; SLOTS],
            in_vain: 0,
        }
    }

    /// Takes what the port has done.
    ///
    /// A look at the frames that have come costs no register. One that comes between forgetting
    /// them and reading the register is found by the next look; an HBA that puts no frames into
    /// memory, or too early, by one at the register, which comes now and then in any case.
    pub(super) fn take_done(&mut self, port: &Port, look: Look) -> Result<Done, Trouble> {
        let issued = self.schedule.issued();
        if issued == 0 {
            return Ok(Done::default());
        }
        let is_queued = issued & self.queued != 0;
        let frames = if is_queued { Frames::Queued } else { Frames::Alone };
        if look == Look::AtFrames && !port.page.came(frames) {
            return Ok(Done::default());
        }
        let busy = if is_queued {
            port.page.forget(frames);
            port.registers.active()
        } else {
            port.registers.issued()
        };
        let mut done = Done { slots: issued & !busy, left: 0 };
        if done.slots == 0 {
            return Ok(done);
        }
        if !is_queued {
            // Some HBAs count a command that failed as done.
            if port.registers.task_file().outcome().status.is_failed() {
                return Err(Trouble::Command);
            }
            done.left = port.page.received_lba();
        }
        self.in_vain = 0;
        self.schedule.done(done.slots);
        Ok(done)
    }

    /// Hands over everything whose turn it is.
    pub(super) fn hand_over(&mut self, port: &Port) {
        if self.stage != Stage::Running {
            return;
        }
        let mut turn = 0;
        while let Some(slot) = self.schedule.next() {
            turn |= bit(slot);
        }
        if turn != 0 {
            if turn & self.queued == 0 {
                port.page.forget(Frames::Alone);
            }
            port.registers.issue(turn, turn & self.queued);
        }
    }
}
