//! Leaving the machine: by its result out of QEMU, or by turning it off.

use super::report;
use super::{commands, console};
use crate::devices;
use hal::x86_64::{interrupts, power};
use kernel_text::options::Exit;
use protocols::events::Event;

/// What QEMU's isa-debug-exit is told; its status is twice this plus one (33, 35).
const SUCCESS: u8 = 0x10;
const FAILURE: u8 = 0x11;

/// How what was asked for ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Success,
    /// Not well.
    Failure,
}

impl Outcome {
    /// Success if `result` is.
    pub fn of<T, E>(result: &Result<T, E>) -> Self {
        if result.is_ok() { Self::Success } else { Self::Failure }
    }
}

/// Brings the devices to rest, says how it went, to whoever listens, and leaves.
pub async fn leave(exit: Exit, outcome: Outcome) -> ! {
    commands::at_rest().await;
    devices::stop().await;
    leave_at_once(exit, outcome)
}

/// Says how it went and leaves, when no task can be waited for any more.
pub fn leave_at_once(exit: Exit, outcome: Outcome) -> ! {
    report::emit(&Event::Done { success: outcome == Outcome::Success });
    match exit {
        Exit::Qemu => power::exit_qemu(if outcome == Outcome::Success { SUCCESS } else { FAILURE }),
        Exit::PowerOff => {
            let error = power::power_off();
            console::say(format_args!("power: {error}"));
            interrupts::halt_forever()
        }
    }
}
