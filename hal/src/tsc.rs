//! The clock of this machine is its TSC, in the kernel and in ring 3. The kernel's start-up code
//! calibrates it once; a program is told by the kernel.

use core::num::NonZeroU64;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::clock::{Clock, Ticks};

static TICKS_PER_SECOND: AtomicU64 = AtomicU64::new(0);

/// Says what the TSC was found to run at. Until then a second is taken for one tick.
pub fn set_ticks_per_second(frequency: NonZeroU64) {
    TICKS_PER_SECOND.store(frequency.get(), Ordering::Relaxed);
}

/// The TSC.
#[derive(Clone, Copy)]
pub(crate) struct ClockSource;

impl ClockSource {
    #[inline]
    pub(crate) fn now(&self) -> Ticks {
        // SAFETY: every x86_64 CPU has RDTSC, and the kernel never sets CR4.TSD.
        Ticks(unsafe { core::arch::x86_64::_rdtsc() })
    }

    #[inline]
    pub(crate) fn ticks_per_second(&self) -> u64 {
        TICKS_PER_SECOND.load(Ordering::Relaxed)
    }
}

impl Clock {
    /// The machine's clock.
    pub const fn machine() -> Self {
        Self::new(ClockSource)
    }
}
