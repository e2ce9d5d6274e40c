//! A read or write on its way. Written out by hand: as a chain of `async fn`s the memory would be
//! moved from future to future, which costs more than all the rest.
//!
//! ```text
//!   Asked ── queue open, slot free, no list needed ──> InFlight ──woken──> done
//!     └───── else ──> Waiting (for room, for a reset to end) ─────────────> done
//! ```

use alloc::boxed::Box;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use executor::Platform;
use hal::dma::{Loan, Memory};
use protocols::nvme::Command;

use super::namespace::Namespace;
use super::queue::{Ended, NotStarted};
use crate::slots::{Finished, Submitted};
use crate::storage::{Asked, Completion, Lba, StorageError, Transfer};

type Waiting<'a> = Pin<Box<dyn Future<Output = Finished<Option<Memory>, Ended>> + 'a>>;

/// Each of the three is there in its state only. Not an `enum`: its variants would share bytes, and
/// be taken apart and put together at each step.
pub(super) struct Carrying<'a, P> {
    namespace: &'a Namespace<P>,
    what: Transfer,
    lba: Lba,
    /// How many, or why it may not begin.
    blocks: Result<u32, StorageError>,
    asked: Option<Memory>,
    in_flight: Option<Submitted<'a, Option<Loan>, Ended>>,
    waiting: Option<Waiting<'a>>,
}

impl<'a, P: Platform> Carrying<'a, P> {
    #[inline(always)]
    pub(super) fn new(
        namespace: &'a Namespace<P>,
        what: Transfer,
        lba: Lba,
        memory: Memory,
    ) -> Self {
        let blocks = namespace.check(what, lba, memory.bytes());
        Self::checked(namespace, what, lba, blocks, memory)
    }

    /// Of so many blocks, whoever found that they may be moved.
    #[inline(always)]
    pub(super) fn checked(
        namespace: &'a Namespace<P>,
        what: Transfer,
        lba: Lba,
        blocks: Result<u32, StorageError>,
        memory: Memory,
    ) -> Self {
        Self { namespace, what, lba, blocks, asked: Some(memory), in_flight: None, waiting: None }
    }

    /// The first step. `Err`: it was refused.
    #[inline(always)]
    fn begin(&mut self, context: &mut Context<'_>) -> Result<(), StorageError> {
        let Self { namespace, what, lba, .. } = *self;
        let blocks = self.blocks?;
        namespace.check_there()?;
        let command = match what {
            Transfer::Read => Command::read(namespace.id(), lba.0, blocks),
            Transfer::Write => Command::write(namespace.id(), lba.0, blocks),
        };
        let queue = namespace.controller.queue_here::<P>();
        let deadline = queue.deadline::<P>();
        let direction = what.direction();
        match queue.start(command, &mut self.asked, direction, deadline, context.waker()) {
            Ok(submitted) => self.in_flight = Some(submitted),
            Err(NotStarted::Refused(ended)) => {
                return namespace.verdict(ended, Asked::Transfer(what, lba));
            }
            Err(NotStarted::NotNow) => {
                let cargo = self.asked.take().map(|memory| (memory, direction));
                let waiting = queue.carry_out_until::<P>(command, cargo, deadline);
                self.waiting = Some(Box::pin(waiting));
            }
        }
        Ok(())
    }

    #[cold]
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<Completion<Memory>> {
        let Some(waiting) = &mut self.waiting else { return Poll::Pending };
        let Poll::Ready(Finished { result, returned }) = waiting.as_mut().poll(context) else {
            return Poll::Pending;
        };
        self.waiting = None;
        let result = self.namespace.verdict(result, Asked::Transfer(self.what, self.lba));
        Poll::Ready(Completion { result, buf: returned.flatten() })
    }
}

impl<P: Platform> Future for Carrying<'_, P> {
    type Output = Completion<Memory>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.asked.is_some() {
            if let Err(error) = this.begin(context) {
                return Poll::Ready(Completion { result: Err(error), buf: this.asked.take() });
            }
            if this.in_flight.is_some() {
                // Its waker is with it.
                return Poll::Pending;
            }
        }
        let Some(submitted) = &mut this.in_flight else { return this.wait(context) };
        let Finished { result, returned } = match submitted.finished() {
            Some(finished) => finished,
            None => match submitted.look(context) {
                Poll::Ready(finished) => finished,
                Poll::Pending => return Poll::Pending,
            },
        };
        let buf = returned.flatten();
        if result.is_success() {
            return Poll::Ready(Completion { result: Ok(()), buf });
        }
        let asked = Asked::Transfer(this.what, this.lba);
        Poll::Ready(Completion { result: this.namespace.verdict(result, asked), buf })
    }
}
