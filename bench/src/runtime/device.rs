//! A device that this program was lent, as `hal` shows it to its driver.
//!
//! The kernel says by bits of a notification that an interrupt came; here each has a [`Signal`] and
//! a small task that raises the driver's latch. The driver knows nothing of it: it is the kernel's
//! own, from `drivers`.
//!
//! Signals are heard when the executor parks. A driver whose program never rests is better polled.

use alloc::vec::Vec;
use core::num::NonZeroU64;

use executor::JoinHandle;
use hal::interrupt::Interrupt;
pub use hal::pci::Function;
use hal::pci::{Bell, InterruptKind};

use super::clock;
use super::executor::spawn;
use super::signal::Signal;
use crate::abi::{Error, Handle};

/// A function's interrupts.
pub struct Interrupts {
    /// How they come.
    pub kind: InterruptKind,
    /// In the function's own order; each begins masked.
    pub vectors: Vec<Interrupt>,
    /// They arrive as long as this is kept.
    pub bells: Bells,
}

/// The tasks that raise the latches of interrupts.
pub struct Bells(
    #[allow(dead_code, reason = "dropping a task's handle ends it")] Vec<JoinHandle<()>>,
);

/// What drivers have to say goes to the console.
struct Console;

impl log::Log for Console {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        crate::println!("{}: {}", record.level(), record.args());
    }

    fn flush(&self) {}
}

/// The function behind a device capability, which the result owns. `None`: the handle is no
/// device's, or the device is gone.
pub fn open(handle: Handle) -> Option<Function> {
    if let Some(frequency) = NonZeroU64::new(clock::ticks_per_second()) {
        hal::ring3::set_ticks_per_second(frequency);
    }
    // A second device finds it set.
    if log::set_logger(&Console).is_ok() {
        log::set_max_level(log::LevelFilter::Info);
    }
    Function::new(handle)
}

/// Up to `count` interrupts of a function, for tasks of this thread: fewer where it has fewer, none
/// where it has to be polled.
pub fn interrupts(function: &Function, count: usize) -> Result<Interrupts, Error> {
    let signals = (0..count).map(|_| Signal::new()).collect::<Result<Vec<_>, _>>()?;
    let notifications = signals.iter().map(Signal::capability).collect::<Result<Vec<_>, _>>()?;
    let bells = signals.iter().zip(&notifications).map(|(signal, notification)| Bell {
        notification: notification.handle(),
        bits: signal.bits(),
    });
    let (found, latches) = function.interrupts(&bells.collect::<Vec<_>>());
    // Those of the interrupts that there are moved to the kernel.
    for moved in notifications.into_iter().take(latches.len()) {
        let _ = moved.into_handle();
    }
    let rung = signals.into_iter().zip(latches).map(|(signal, latch)| {
        spawn("interrupt", async move {
            loop {
                signal.wait().await;
                latch.raise();
            }
        })
    });
    Ok(Interrupts { kind: found.kind, vectors: found.vectors, bells: Bells(rung.collect()) })
}
