//! The task that takes completions from a port, in all three completion modes.
//!
//! As [`reap`](crate::reaper::reap), but a port has no interrupt of its own: the HBA's one
//! interrupt is taken elsewhere, which then asks for attention here. What is armed and disarmed is
//! the port's share in it, so polling raises none.
//!
//! No wake-up is lost: reports are cleared and let through *before* the last look, and attention
//! asked for after that look ends the waiting.

use core::future::poll_fn;

use executor::yield_now;
use protocols::ahci::{PortInterrupts, SLOTS};

use super::Trouble;
use super::queue::Queue;
use crate::completion::CompletionMode;
use crate::reaper::{CompletionQueue, PATIENCE};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Armed {
    Yes,
    No,
}

/// Takes completions until something is wrong.
pub(super) async fn reap(queue: &Queue) -> Trouble {
    let port = queue.port();
    let mut armed = Armed::No;
    let mut in_vain = 0;
    loop {
        let found = match queue.drain(SLOTS) {
            Err(trouble) => return trouble,
            Ok(found) => found,
        };
        if found > 0 {
            in_vain = 0;
        }
        match port.mode() {
            CompletionMode::Adaptive if in_vain >= PATIENCE => {}
            CompletionMode::Msix => {}
            CompletionMode::Poll | CompletionMode::Adaptive => {
                if armed == Armed::Yes {
                    port.registers.let_through(0);
                    armed = Armed::No;
                }
                in_vain += 1;
                if queue.is_idle() {
                    attention(queue).await;
                } else {
                    yield_now().await;
                }
                continue;
            }
        }
        if armed == Armed::No {
            port.report(port.registers.take_causes());
            port.registers.let_through(PortInterrupts::WANTED);
            armed = Armed::Yes;
            // What ended before may have raised nothing.
            continue;
        }
        if found > 0 {
            // What was reported with it, an error perhaps, is seen by the next look.
            continue;
        }
        attention(queue).await;
    }
}

async fn attention(queue: &Queue) {
    poll_fn(|context| queue.port().control.poll_attention(context)).await;
}
