//! The time-stamp counter, the cycle counter, and how ticks relate to the kernel's nanoseconds.

use core::sync::atomic::{AtomicU64, Ordering};

use super::calls;
use crate::measure::{nanoseconds_of, ticks_of};

static TSC_HZ: AtomicU64 = AtomicU64::new(1);
static ANCHOR_TICKS: AtomicU64 = AtomicU64::new(0);
static ANCHOR_NS: AtomicU64 = AtomicU64::new(0);

/// Ticks of the time-stamp counter now, after everything before it has finished.
#[inline(always)]
pub fn ticks() -> u64 {
    // SAFETY: reading the counter has no effect; the kernel leaves CR4.TSD clear.
    unsafe {
        core::arch::x86_64::_mm_lfence();
        core::arch::x86_64::_rdtsc()
    }
}

/// Ticks in a second, as the kernel measured them.
pub fn ticks_per_second() -> u64 {
    TSC_HZ.load(Ordering::Relaxed)
}

/// Remembers the rate; called once at the start of the program.
#[cfg_attr(not(target_os = "none"), allow(dead_code))]
pub(super) fn initialise(tsc_hz: u64) {
    TSC_HZ.store(tsc_hz.max(1), Ordering::Relaxed);
}

/// The kernel's clock (nanoseconds since boot) at a tick count in the future. Asks the kernel once
/// per program; both clocks run off the same counter.
pub fn kernel_deadline(at_ticks: u64) -> u64 {
    let mut anchor = ANCHOR_TICKS.load(Ordering::Acquire);
    if anchor == 0 {
        let now = ticks();
        let nanoseconds = calls::clock().map_or(0, |(ns, _)| ns);
        ANCHOR_NS.store(nanoseconds, Ordering::Relaxed);
        // Several threads may do this at once: their anchors are equally good, and a mix of two
        // is off by the distance of the two calls, microseconds.
        ANCHOR_TICKS.store(now, Ordering::Release);
        anchor = now;
    }
    let ahead = at_ticks.saturating_sub(anchor);
    ANCHOR_NS.load(Ordering::Relaxed).saturating_add(nanoseconds_of(ahead, ticks_per_second()))
}

/// Nanoseconds as ticks.
pub fn ticks_in(nanoseconds: u64) -> u64 {
    ticks_of(nanoseconds, ticks_per_second())
}

/// Whether the CPU says that it counts unhalted core cycles in a fixed counter. Whether the kernel
/// lets ring 3 read it only an attempt can tell (the probe program makes it in a child).
pub fn has_cycle_counter() -> bool {
    #[allow(unused_unsafe)] // safe in newer core
    // SAFETY: CPUID exists on every x86_64 processor.
    let (highest, leaf) =
        unsafe { (core::arch::x86_64::__cpuid(0).eax, core::arch::x86_64::__cpuid(0xa)) };
    // Version 2 brings fixed counters; EDX 4:0 says how many, number 1 counts core cycles.
    highest >= 0xa && leaf.eax & 0xff >= 2 && leaf.edx & 0x1f >= 2
}

/// Core cycles so far (fixed counter 1). Faults where the kernel has not opened it to ring 3.
#[inline(always)]
pub fn cycles() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reads a counter; at worst the process faults, which is a defined end.
    unsafe {
        core::arch::asm!(
            "lfence", "rdpmc",
            in("ecx") 1 << 30 | 1, out("eax") low, out("edx") high,
            options(nomem, nostack, preserves_flags),
        );
    }
    u64::from(high) << 32 | u64::from(low)
}
