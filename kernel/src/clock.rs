//! Time since boot: TSC ticks inside, nanoseconds for ring 3 and people.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use hal::x86_64::time::clock;

/// The TSC when the kernel began.
static ENTRY: AtomicU64 = AtomicU64::new(0);

/// Remembers the kernel's first moment.
pub fn init(entry_ticks: u64) {
    ENTRY.store(entry_ticks, Relaxed);
}

/// TSC at the kernel's entry.
pub fn entry_ticks() -> u64 {
    ENTRY.load(Relaxed)
}

/// Nanoseconds since the kernel's entry.
pub fn nanoseconds() -> u64 {
    clock::ticks_to_ns(clock::now().saturating_sub(entry_ticks()))
}

/// The TSC at `nanoseconds` since the kernel's entry; the end of time if that is later.
pub fn ticks_at(nanoseconds: u64) -> u64 {
    entry_ticks().saturating_add(clock::ns_to_ticks(nanoseconds))
}

/// Ticks in a second.
pub fn frequency() -> u64 {
    clock::ticks_per_second()
}

/// Seconds since 1970 at boot, by the firmware's clock; zero if it has none.
pub fn boot_unix_seconds() -> u64 {
    hal::boot::info().boot_time_unix_s.unwrap_or(0)
}
