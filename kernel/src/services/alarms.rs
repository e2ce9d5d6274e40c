//! What the hardware has to say of itself, as log lines: NMIs (a watchdog, a button, a failing
//! part) and machine checks the CPU got over. Each is a task that waits for its latch.

use crate::platform::Pollux;
use alloc::boxed::Box;
use executor::Priority;
use hal::interrupt::{InterruptControl, InterruptLatch};
use hal::x86_64::interrupt::{MACHINE_CHECKS, NMIS, Route};

/// These cannot be masked.
struct Unmaskable;

impl InterruptControl for Unmaskable {
    fn mask(&self) {}
    fn unmask(&self) {}
}

/// Starts both.
pub fn start() {
    let nmi = listen(&NMIS, "NMI", "a button, a watchdog, or hardware that is about to fail");
    let machine_check =
        listen(&MACHINE_CHECKS, "corrected machine check", "look after the hardware");
    executor::spawn::<Pollux, _>("nmi", Priority::Low, nmi).detach();
    executor::spawn::<Pollux, _>("machine check", Priority::Low, machine_check).detach();
}

async fn listen(latch: &'static InterruptLatch, what: &'static str, meaning: &'static str) {
    let mut alarm = Route::join(latch, Box::new(Unmaskable));
    loop {
        let times = alarm.wait().await;
        log::warn!("machine: {what} (count {times}): {meaning}");
    }
}
