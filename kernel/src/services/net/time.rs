//! The kernel's clock as smoltcp has it: microseconds since the kernel's entry.

use crate::clock;
use smoltcp::time::Instant;

/// Now.
pub fn now() -> Instant {
    Instant::from_micros((clock::nanoseconds() / 1000).cast_signed())
}

/// The executor's time for `instant`.
pub fn deadline(instant: Instant) -> executor::Instant {
    let micros = u64::try_from(instant.total_micros()).unwrap_or(0);
    executor::Instant(clock::ticks_at(micros.saturating_mul(1000)))
}

/// The executor's time in so many milliseconds.
pub fn after_ms(milliseconds: u64) -> executor::Instant {
    let ticks = (clock::frequency() / 1000).saturating_mul(milliseconds);
    executor::Instant(hal::x86_64::time::clock::now().saturating_add(ticks))
}
