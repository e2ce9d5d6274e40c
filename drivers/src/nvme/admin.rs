//! What is done over the admin queue: finding out what the controller is, creating queues, asking
//! for log pages.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use executor::{Platform, timeout};
use hal::dma::{Direction, DmaBuf, DmaError, Memory};
use protocols::nvme::{
    Command, Controller as Identity, EVENTS_WANTED, IDENTIFY_BYTES, LogPage, granted_queues,
};

use super::doorbell::Shadows;
use super::queue::{Cargo, Ended, Queue};
use super::reaping::Stopped;
use super::{COMMAND_LIMIT, Controller, NvmeError, after};

impl Controller {
    /// Enables the controller, which has been reset. Says what it is.
    pub(super) async fn begin<P: Platform>(&self) -> Result<Identity, NvmeError> {
        self.registers.enable::<P>(&self.admin).await?;
        self.admin.open(None);
        let page = self.identify::<P>("identify", Command::identify_controller()).await?;
        let identity = Identity::new_checked(&page)?;
        if identity.has_doorbell_buffer() && self.io.iter().all(Queue::can_be_mirrored) {
            self.mirror_doorbells::<P>().await?;
        }
        match self.admin::<P>("reporting events", Command::set_events(EVENTS_WANTED), None).await {
            Ok(_) | Err(NvmeError::Refused(_)) => Ok(identity),
            Err(error) => Err(error),
        }
    }

    async fn mirror_doorbells<P: Platform>(&self) -> Result<(), NvmeError> {
        let shadows = Arc::new(Shadows::new(&self.dma)?);
        let (doorbells, events) = shadows.pages();
        let command = Command::set_doorbell_buffer(doorbells, events);
        // Kept first: should it not answer, it may use them.
        *self.shadows.lock() = Some(shadows);
        match self.admin::<P>("doorbells in memory", command, None).await {
            Ok(_) => Ok(()),
            Err(NvmeError::Refused(_)) => {
                // It said that it could, and then would not: it does not use them.
                self.drop_shadows(Stopped::Yes);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Creates and opens as many I/O queues as the controller grants.
    pub(super) async fn create_queues<P: Platform>(&self) -> Result<(), NvmeError> {
        let wanted = self.io.len();
        let command = Command::set_queue_count(wanted as u16);
        let (result, _) = self.admin::<P>("the number of queues", command, None).await?;
        let granted = wanted.min(granted_queues(result) as usize);
        let mut serving = 0;
        for queue in &self.io[..granted] {
            match self.create_queue::<P>(queue).await {
                Ok(()) => serving += 1,
                // Some grant more than they have room for.
                Err(NvmeError::Refused(_)) if serving > 0 => break,
                Err(error) => return Err(error),
            }
        }
        if serving < wanted {
            log::info!("{}: {serving} queues for {wanted} cores", self.name);
        }
        self.serve_with(serving);
        Ok(())
    }

    /// Creates an I/O queue pair and opens it.
    pub(super) async fn create_queue<P: Platform>(&self, queue: &Queue) -> Result<(), NvmeError> {
        let Queue { number, entries, .. } = *queue;
        let completions = queue.completion_page();
        let command =
            Command::create_completion_queue(number, entries, completions, queue.vector());
        self.admin::<P>("an I/O completion queue", command, None).await?;
        let command = Command::create_submission_queue(number, entries, queue.submission_page());
        self.admin::<P>("an I/O submission queue", command, None).await?;
        queue.open(self.shadows.lock().as_ref());
        Ok(())
    }

    /// The answer to an identify command.
    pub(super) async fn identify<P: Platform>(
        &self,
        what: &'static str,
        command: Command,
    ) -> Result<DmaBuf, NvmeError> {
        self.fetch::<P>(what, command, IDENTIFY_BYTES).await
    }

    /// The first `bytes` bytes of a log page.
    pub(super) async fn log_page<P: Platform>(
        &self,
        what: &'static str,
        page: LogPage,
        bytes: usize,
    ) -> Result<DmaBuf, NvmeError> {
        self.fetch::<P>(what, Command::log_page(page, bytes), bytes).await
    }

    async fn fetch<P: Platform>(
        &self,
        what: &'static str,
        command: Command,
        bytes: usize,
    ) -> Result<DmaBuf, NvmeError> {
        let cargo = Some((self.dma.buffer(bytes)?.into(), Direction::FromDevice));
        let (_, page) = self.admin::<P>(what, command, cargo).await?;
        page.ok_or(NvmeError::Overdue(what))
    }

    /// Carries out an admin command: its result, and its memory. One that is overdue brings a reset
    /// on.
    pub(super) async fn admin<P: Platform>(
        &self,
        what: &'static str,
        command: Command,
        cargo: Cargo,
    ) -> Result<(u32, Option<DmaBuf>), NvmeError> {
        let deadline = after::<P>(COMMAND_LIMIT);
        let finished = self.admin.carry_out_until::<P>(command, cargo, deadline);
        let finished = timeout::<P, _>(deadline, finished).await;
        let ended = finished.as_ref().map_or(Ended::TimedOut, |finished| finished.result);
        match ended {
            Ended::Done { status, result } if status.is_success() => {
                let memory = finished.ok().and_then(|finished| finished.returned).flatten();
                Ok((result, memory.and_then(Memory::into_buf)))
            }
            Ended::Done { status, .. } => {
                log::warn!("{}: {what} refused: {status}", self.name);
                Err(NvmeError::Refused(what))
            }
            Ended::TimedOut => {
                self.admin_is_stuck.store(true, Ordering::Relaxed);
                self.trouble.notify();
                Err(NvmeError::Overdue(what))
            }
            Ended::Reset => Err(NvmeError::Reset(what)),
            Ended::Gone => Err(NvmeError::Gone),
            Ended::NoMemory => Err(NvmeError::Memory(DmaError::OutOfMemory)),
        }
    }
}
