//! The task that takes completions from a queue, in all three completion modes.
//!
//! ```text
//!              found something                      found nothing
//!   ┌──────────────────────────── drain ──────────────────────────────┐
//!   v                               ^                                 v
//!   give others a turn ─────────────┤   Poll:     in flight? next turn : until a submission
//!                                   ├── Msix:     until the interrupt
//!                                   └── Adaptive: a few more turns, then arm, look once more, and
//!                                                 until the interrupt; then disarm
//! ```
//!
//! No wake-up is lost: the interrupt is let through *before* the last look, and one that arrives
//! between that look and the waiting ends the waiting. [`CompletionControl::look_now`] ends it too,
//! for interrupts a device never sent.

#[cfg(test)]
mod tests;

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

use executor::yield_now;
use hal::interrupt::Interrupt;

use crate::completion::{CompletionControl, CompletionMode};

/// A queue a device posts completions to.
pub trait CompletionQueue {
    /// Why the queue can no longer be used.
    type Error;

    /// Takes at most `limit` completions, hands each to its owner, then tells the device once (the
    /// doorbell). Says how many there were.
    fn drain(&self, limit: usize) -> Result<usize, Self::Error>;

    /// Whether nothing is in flight, so that nothing will come.
    fn is_idle(&self) -> bool;

    /// Has the device forget why it interrupted, so that what comes later interrupts again. Called
    /// after each interrupt, and before interrupts are let through; the queue is drained after it.
    fn acknowledge(&self) {}
}

/// How many completions are taken before other tasks get a turn.
pub const BATCH: usize = 64;

/// How many turns in a row `Adaptive` finds nothing before it sleeps.
pub const PATIENCE: u32 = 256;

/// Takes completions from `queue` until it fails. Without an interrupt every mode polls.
pub async fn reap<Q: CompletionQueue>(
    queue: &Q,
    control: &CompletionControl,
    interrupt: Option<Interrupt>,
) -> Q::Error {
    match run(queue, control, interrupt).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn run<Q: CompletionQueue>(
    queue: &Q,
    control: &CompletionControl,
    interrupt: Option<Interrupt>,
) -> Result<core::convert::Infallible, Q::Error> {
    if interrupt.is_none() {
        control.set_polled();
    }
    let mut line = Line { interrupt, state: Armed::No };
    let mut in_vain = 0;
    // Whether an interrupt came, and nothing was found since.
    let mut raised = false;
    // How many were taken since the others had a turn.
    let mut taken = 0;
    loop {
        let found = queue.drain(BATCH - taken)?;
        if found > 0 {
            if raised {
                line.was_mine();
            }
            (in_vain, raised) = (0, false);
            taken += found;
            if taken >= BATCH || line.state == Armed::No {
                taken = 0;
                yield_now().await;
            }
            continue;
        }
        taken = 0;
        match line.mode(control) {
            CompletionMode::Poll => {
                line.disarm(control);
                wait_by_polling(queue, control).await;
            }
            CompletionMode::Adaptive if in_vain < PATIENCE => {
                line.disarm(control);
                in_vain += 1;
                wait_by_polling(queue, control).await;
            }
            CompletionMode::Msix | CompletionMode::Adaptive => {
                if line.state == Armed::No {
                    queue.acknowledge();
                    line.arm();
                    // What came before the line was armed may have raised nothing.
                    continue;
                }
                if raised {
                    // A line that is never let go must not keep others from their turn.
                    yield_now().await;
                }
                raised = line.wait(control).await == Woken::Raised;
                if raised {
                    queue.acknowledge();
                    in_vain = 0;
                }
            }
        }
    }
}

/// Until the next turn, or if there is nothing to look for, until there is.
async fn wait_by_polling<Q: CompletionQueue>(queue: &Q, control: &CompletionControl) {
    if queue.is_idle() {
        poll_fn(|context| control.poll_attention(context)).await;
    } else {
        yield_now().await;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Armed {
    Yes,
    No,
}

/// What ended the waiting.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Woken {
    /// The interrupt.
    Raised,
    /// Somebody who wants the queue looked at.
    Asked,
}

/// The queue's interrupt, if it has one.
struct Line {
    interrupt: Option<Interrupt>,
    state: Armed,
}

impl Line {
    /// The mode that this queue can follow.
    fn mode(&self, control: &CompletionControl) -> CompletionMode {
        if self.interrupt.is_some() { control.mode() } else { CompletionMode::Poll }
    }

    fn arm(&mut self) {
        if let Some(interrupt) = &mut self.interrupt {
            interrupt.unmask();
            self.state = Armed::Yes;
        }
    }

    /// The interrupt that came was for this queue, not for a neighbour's on the same line.
    fn was_mine(&self) {
        if let Some(interrupt) = &self.interrupt {
            interrupt.was_mine();
        }
    }

    fn disarm(&mut self, control: &CompletionControl) {
        if self.state == Armed::Yes {
            self.state = Armed::No;
            if let Some(interrupt) = &mut self.interrupt {
                interrupt.mask();
                if let Some(count) = interrupt.take() {
                    control.note_interrupts(count.get());
                }
            }
        }
    }

    /// Until the interrupt, or until somebody asks for attention.
    async fn wait(&mut self, control: &CompletionControl) -> Woken {
        let Some(interrupt) = &mut self.interrupt else { return Woken::Asked };
        let mut raised = pin!(interrupt.wait());
        poll_fn(|context| {
            if let Poll::Ready(count) = raised.as_mut().poll(context) {
                control.note_interrupts(count.get());
                return Poll::Ready(Woken::Raised);
            }
            control.poll_attention(context).map(|()| Woken::Asked)
        })
        .await
    }
}
