//! The driver's own commands: one at a time, on a port that has nothing else to do, with the port's
//! own memory. Dropping the future at any point is fine.

use core::time::Duration;

use executor::{Platform, sleep};
use protocols::ahci::PortInterrupts;
use protocols::ata::{Command, SECTOR_BYTES};

use super::memory::Answer;
use super::port::Port;
use super::{PortError, after, ticks};

/// The slot they use; its header is put back afterwards.
const SLOT: usize = 0;
const LOOK_INTERVAL: Duration = Duration::from_micros(100);

impl Port {
    /// Has the device carry out `command` (called `what` in the log) within `limit`. Nothing else
    /// may be issued; the port must run. After an error it may have stopped.
    pub(super) async fn carry_out_own<P: Platform>(
        &self,
        what: &'static str,
        command: Command,
        answer: Answer,
        limit: Duration,
    ) -> Result<[u8; SECTOR_BYTES], PortError> {
        let before = self.page.header(SLOT);
        let header = self.page.own_command(&command, answer);
        self.page.set_header(SLOT, header);
        let ended = self.own_ended::<P>(what, limit).await;
        self.page.set_header(SLOT, before);
        ended.map(|()| self.page.answer())
    }

    async fn own_ended<P: Platform>(
        &self,
        what: &'static str,
        limit: Duration,
    ) -> Result<(), PortError> {
        let registers = &self.registers;
        registers.take_causes();
        registers.issue(1 << SLOT, 0);
        let deadline = after::<P>(limit);
        loop {
            let late = P::now() >= deadline;
            let causes = registers.causes();
            if causes.is_gone() {
                return Err(PortError::Gone);
            }
            if causes.has(PortInterrupts::LINK) {
                return Err(PortError::NoDevice);
            }
            let outcome = registers.task_file().outcome();
            if registers.issued() & 1 << SLOT == 0 || causes.has(PortInterrupts::ERRORS) {
                let failed = causes.has(PortInterrupts::ERRORS) || outcome.status.is_failed();
                return if failed { Err(PortError::Refused(what, outcome)) } else { Ok(()) };
            }
            if late {
                return Err(PortError::NotInTime(what, limit.as_millis() as u64));
            }
            sleep::<P>(ticks::<P>(LOOK_INTERVAL)).await;
        }
    }
}
