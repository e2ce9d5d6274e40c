//! The clock: TSC ticks since some start, what they are in nanoseconds, and the date.

use core::sync::atomic::{AtomicU64, Ordering};

use spin::Once;

use super::ratio::Ratio;

const NS_PER_SECOND: u64 = 1_000_000_000;

#[derive(Debug, Clone, Copy)]
struct Conversion {
    hz: u64,
    to_ns: Ratio,
    from_ns: Ratio,
}

static CONVERSION: Once<Conversion> = Once::new();
/// Ticks at which the date was [`BOOT_DATE_NS`].
static BOOT_TICKS: AtomicU64 = AtomicU64::new(0);
/// The date as nanoseconds since 1970, UTC; 0: not known.
static BOOT_DATE_NS: AtomicU64 = AtomicU64::new(0);

/// Ticks on this core. The same on all cores where firmware set their counters right; `smp` says
/// so when it did not.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: every x86_64 has a TSC, and the kernel leaves it readable.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Sets the rate, once.
pub(super) fn set_rate(hz: u64) -> Option<()> {
    let to_ns = Ratio::new(NS_PER_SECOND, hz)?;
    let from_ns = Ratio::new(hz, NS_PER_SECOND)?;
    CONVERSION.call_once(|| Conversion { hz, to_ns, from_ns });
    crate::tsc::set_ticks_per_second(core::num::NonZeroU64::new(hz)?);
    Some(())
}

/// Ticks per second; before calibration a plausible 1 GHz, so that time limits work from the start.
#[inline]
pub fn ticks_per_second() -> u64 {
    CONVERSION.get().map_or(NS_PER_SECOND, |c| c.hz)
}

/// Ticks as nanoseconds, rounded down.
#[inline]
pub fn ticks_to_ns(ticks: u64) -> u64 {
    CONVERSION.get().map_or(ticks, |c| c.to_ns.floor(ticks))
}

/// Nanoseconds as ticks, rounded up: a deadline is never early.
#[inline]
pub fn ns_to_ticks(ns: u64) -> u64 {
    CONVERSION.get().map_or(ns, |c| c.from_ns.ceil(ns))
}

/// Microseconds as ticks, rounded up.
#[inline]
pub fn us_to_ticks(us: u64) -> u64 {
    ns_to_ticks(us.saturating_mul(1_000))
}

/// A span of time whose ticks are worked out once: for hot paths.
#[derive(Debug)]
pub struct Span {
    us: u64,
    /// 0: not worked out yet.
    ticks: AtomicU64,
}

impl Span {
    /// So many microseconds.
    pub const fn of_us(us: u64) -> Self {
        Self { us, ticks: AtomicU64::new(0) }
    }

    /// The same as ticks, rounded up.
    #[inline]
    pub fn ticks(&self) -> u64 {
        match self.ticks.load(Ordering::Relaxed) {
            0 => self.work_out(),
            ticks => ticks,
        }
    }

    #[cold]
    fn work_out(&self) -> u64 {
        // Before calibration it is a guess.
        let is_known = CONVERSION.is_completed();
        let ticks = us_to_ticks(self.us);
        if is_known {
            self.ticks.store(ticks, Ordering::Relaxed);
        }
        ticks
    }
}

/// Tells the clock the date at boot, in seconds since 1970 UTC, as the loader read it; `ticks` is
/// when that was.
pub fn set_boot_date(unix_seconds: u64, ticks: u64) {
    BOOT_TICKS.store(ticks, Ordering::Relaxed);
    BOOT_DATE_NS.store(unix_seconds.saturating_mul(NS_PER_SECOND), Ordering::Release);
}

/// The date as nanoseconds since 1970 UTC, as exact as the boot date (a second). `None`: the loader
/// gave none.
pub fn wall_ns() -> Option<u64> {
    let date = BOOT_DATE_NS.load(Ordering::Acquire);
    let since = now().saturating_sub(BOOT_TICKS.load(Ordering::Relaxed));
    (date != 0).then(|| date.saturating_add(ticks_to_ns(since)))
}

/// Waits by spinning, for hardware that wants a moment. Not for tasks.
pub fn spin_us(us: u64) {
    let until = now().saturating_add(us_to_ticks(us));
    while now() < until {
        core::hint::spin_loop();
    }
}

/// Spins until `done` or `limit_us` has passed; whether it was done.
pub fn spin_until(limit_us: u64, mut done: impl FnMut() -> bool) -> bool {
    let until = now().saturating_add(us_to_ticks(limit_us));
    loop {
        if done() {
            return true;
        }
        if now() >= until {
            return done();
        }
        core::hint::spin_loop();
    }
}
