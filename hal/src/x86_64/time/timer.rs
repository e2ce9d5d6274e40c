//! This core's timer: one interrupt at or soon after a deadline.
//!
//! Its handler does nothing but end a sleep; whoever armed it reads the clock again, and arms it
//! again if it came early (a deadline beyond the counter's range) or late.

use spin::Once;

use super::clock;
use super::ratio::Ratio;
use crate::x86_64::apic::{self, TimerMode};
use crate::x86_64::cpu;

/// `IA32_TSC_DEADLINE` (Intel SDM vol. 3A, 12.5.4.1).
const IA32_TSC_DEADLINE: u32 = 0x6e0;

#[derive(Debug, Clone, Copy)]
enum Timer {
    /// TSC ticks to counts of the APIC's timer.
    OneShot(Ratio),
    TscDeadline,
}

static TIMER: Once<Timer> = Once::new();

/// Chooses how timers run, on all cores. `apic_hz` is the measured rate of the APIC's counter.
/// `None`: there is no working timer.
pub(super) fn choose(apic_hz: Option<u64>) -> Option<TimerMode> {
    let timer = if cpu::features().has(cpu::Features::TSC_DEADLINE) {
        Timer::TscDeadline
    } else {
        Timer::OneShot(Ratio::new(apic_hz?, clock::ticks_per_second())?)
    };
    Some(TIMER.call_once(|| timer).mode())
}

impl Timer {
    fn mode(&self) -> TimerMode {
        match self {
            Timer::OneShot(_) => TimerMode::OneShot,
            Timer::TscDeadline => TimerMode::TscDeadline,
        }
    }
}

/// Readies this core's timer, disarmed. After its APIC is on and the boot core ran
/// [`init`](super::init).
pub fn init_this_core() {
    if let Some(timer) = TIMER.get() {
        apic::timer_setup(timer.mode());
    }
}

/// Has this core interrupted once the clock shows `deadline` (in TSC ticks), at once if that is
/// past. Replaces the deadline armed before. May interrupt early when the deadline is far away.
#[inline]
pub fn arm(deadline: u64) {
    match TIMER.get() {
        Some(Timer::TscDeadline) => {
            // SAFETY: the MSR comes with the feature. Zero would disarm.
            unsafe { cpu::write_msr(IA32_TSC_DEADLINE, deadline.max(1)) };
        }
        Some(Timer::OneShot(to_counts)) => {
            let left = deadline.saturating_sub(clock::now());
            let count = to_counts.ceil(left).clamp(1, u64::from(u32::MAX));
            apic::timer_start(count as u32);
        }
        None => {}
    }
}

/// No timer interrupt until armed again. One under way may still come.
#[inline]
pub fn disarm() {
    match TIMER.get() {
        // SAFETY: as in `arm`; zero disarms.
        Some(Timer::TscDeadline) => unsafe { cpu::write_msr(IA32_TSC_DEADLINE, 0) },
        Some(Timer::OneShot(_)) => apic::timer_start(0),
        None => {}
    }
}
