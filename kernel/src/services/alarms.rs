//! What the hardware has to say of itself, as log lines: NMIs (a watchdog, a button, a failing
//! part) and machine checks the CPU got over. Each is a task that waits for its latch. And a task
//! for interrupt lines that nobody silences: while there are any, it has their drivers look at
//! their devices by the clock.

use crate::clock;
use crate::platform::Pollux;
use alloc::boxed::Box;
use executor::Priority;
use hal::interrupt::{InterruptControl, InterruptLatch};
use hal::x86_64::interrupt::{self, MACHINE_CHECKS, NMIS, Route};
use hal::x86_64::ioapic::{self, Storms};

/// These cannot be masked.
struct Unmaskable;

impl InterruptControl for Unmaskable {
    fn mask(&self) {}
    fn unmask(&self) {}
}

/// How often drivers behind a line that nobody silences look.
const LOOK_MS: u64 = 10;

/// Starts all.
pub fn start() {
    let nmi = listen(&NMIS, "NMI", "a button, a watchdog, or hardware that is about to fail");
    let machine_check =
        listen(&MACHINE_CHECKS, "corrected machine check", "look after the hardware");
    executor::spawn::<Pollux, _>("nmi", Priority::Low, nmi).detach();
    executor::spawn::<Pollux, _>("machine check", Priority::Low, machine_check).detach();
    executor::spawn::<Pollux, _>("line storms", Priority::Low, storms()).detach();
}

async fn storms() {
    let mut storms = interrupt::storms();
    loop {
        storms.wait().await;
        while ioapic::in_storms() == Storms::Going {
            executor::sleep::<Pollux>(clock::frequency() * LOOK_MS / 1_000).await;
        }
    }
}

async fn listen(latch: &'static InterruptLatch, what: &'static str, meaning: &'static str) {
    let mut alarm = Route::join(latch, Box::new(Unmaskable));
    loop {
        let times = alarm.wait().await;
        log::warn!("machine: {what} (count {times}): {meaning}");
    }
}
