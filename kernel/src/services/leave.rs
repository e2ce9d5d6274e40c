//! Leaving the machine: by its result out of QEMU, or by turning it off.

use super::report;
use super::{commands, commit_log, console};
use crate::authority::log;
use crate::platform::Pollux;
use crate::{clock, devices};
use executor::Instant;
use hal::x86_64::{interrupts, power, time};
use kernel_text::options::Exit;
use protocols::events::Event;

/// What QEMU's isa-debug-exit is told; its status is twice this plus one (33, 35).
const SUCCESS: u8 = 0x10;
const FAILURE: u8 = 0x11;
/// Seconds that replaying the commits may take.
const ACCOUNT_S: u64 = 20;

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
    account().await;
    commit_log::rest().await;
    devices::stop().await;
    leave_at_once(exit, outcome)
}

/// Says what the boot's commits came to, after replaying them.
async fn account() {
    let limit = Instant(time::clock::now() + clock::frequency() * ACCOUNT_S);
    match executor::timeout::<Pollux, _>(limit, log::verify()).await {
        Ok(Ok(report)) => ::log::info!("{report}"),
        Ok(Err(divergence)) => {
            ::log::error!("commits: they do not lead to this state: {divergence}");
        }
        Err(_) => ::log::error!("commits: not replayed within {ACCOUNT_S} s"),
    }
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
