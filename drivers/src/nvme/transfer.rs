//! A read or write on its way. Written out by hand: as a chain of `async fn`s the memory would be
//! moved from future to future, which costs more than all the rest.
//!
//! ```text
//!   Asked ── queue open, slot free ──> InFlight ──woken──> done
//!     └───── else ──> Waiting (for room, for a reset to end) ──> done
//! ```

use alloc::boxed::Box;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use executor::Platform;
use hal::dma::{Loan, Memory};
use protocols::nvme::Command;

use super::namespace::Namespace;
use super::queue::{Attempt, Ended};
use crate::slots::{Finished, Submitted};
use crate::storage::{Completion, Lba, Transfer};

type Waiting<'a> = Pin<Box<dyn Future<Output = Finished<Option<Memory>, Ended>> + 'a>>;

enum State<'a> {
    Asked(Memory),
    InFlight(Submitted<'a, Option<Loan>, Ended>),
    Waiting(Waiting<'a>),
    Over,
}

pub(super) struct Carrying<'a, P> {
    namespace: &'a Namespace<P>,
    what: Transfer,
    lba: Lba,
    state: State<'a>,
}

impl<'a, P: Platform> Carrying<'a, P> {
    #[inline]
    pub(super) fn new(
        namespace: &'a Namespace<P>,
        what: Transfer,
        lba: Lba,
        memory: Memory,
    ) -> Self {
        Self { namespace, what, lba, state: State::Asked(memory) }
    }

    /// The first step. `Some`: it was refused.
    #[inline(always)]
    fn begin(&mut self, context: &mut Context<'_>) -> Option<Completion<Memory>> {
        let State::Asked(memory) = core::mem::replace(&mut self.state, State::Over) else {
            return None;
        };
        let Self { namespace, what, lba, .. } = *self;
        let blocks = match namespace.check(what, lba, memory.bytes()) {
            Ok(blocks) => blocks,
            Err(error) => return Some(Completion::refused(error, memory)),
        };
        let command = match what {
            Transfer::Read => Command::read(namespace.id(), lba.0, blocks),
            Transfer::Write => Command::write(namespace.id(), lba.0, blocks),
        };
        let queue = namespace.controller.queue_here::<P>();
        let deadline = queue.deadline::<P>();
        let waker = context.waker();
        match queue.start(command, Some(memory), what.direction(), deadline, waker) {
            Attempt::Started(submitted) => self.state = State::InFlight(submitted),
            Attempt::Refused(buf, ended) => {
                return Some(Completion { result: namespace.verdict(ended), buf });
            }
            Attempt::NotNow(memory) => {
                let cargo = memory.map(|memory| (memory, what.direction()));
                let waiting = queue.carry_out_until::<P>(command, cargo, deadline);
                self.state = State::Waiting(Box::pin(waiting));
            }
        }
        None
    }
}

impl<P: Platform> Future for Carrying<'_, P> {
    type Output = Completion<Memory>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if matches!(this.state, State::Asked(_)) {
            if let Some(refused) = this.begin(context) {
                return Poll::Ready(refused);
            }
            if matches!(this.state, State::InFlight(_)) {
                // Its waker is with it.
                return Poll::Pending;
            }
        }
        let finished = match &mut this.state {
            State::InFlight(submitted) => Pin::new(submitted).poll(context),
            State::Waiting(waiting) => waiting.as_mut().poll(context),
            State::Asked(_) | State::Over => return Poll::Pending,
        };
        let Poll::Ready(Finished { result, returned }) = finished else { return Poll::Pending };
        this.state = State::Over;
        let buf = returned.flatten();
        Poll::Ready(Completion { result: this.namespace.verdict(result), buf })
    }
}
