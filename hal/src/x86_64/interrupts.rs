//! Turning this core's interrupts off and on, and sleeping without losing a wake-up.

use core::arch::asm;

/// The interrupt flag in RFLAGS.
const INTERRUPT_FLAG: u64 = 1 << 9;

/// Turns interrupts off on this core.
#[inline(always)]
pub fn disable() {
    // SAFETY: masking interrupts breaks nobody's invariant. Not `nomem`: memory accesses must not
    // drift across.
    unsafe { asm!("cli", options(nostack, preserves_flags)) };
}

/// Turns interrupts on on this core.
#[inline(always)]
pub fn enable() {
    // SAFETY: handlers only ever touch atomics, so they may come between any two instructions.
    unsafe { asm!("sti", options(nostack, preserves_flags)) };
}

/// Whether interrupts are on.
#[inline(always)]
pub fn enabled() -> bool {
    let flags: u64;
    // SAFETY: reads the flags through the stack and gives the stack back.
    unsafe { asm!("pushfq", "pop {}", out(reg) flags, options(preserves_flags)) };
    flags & INTERRUPT_FLAG != 0
}

/// Runs `body` with interrupts off; afterwards they are as they were.
#[inline(always)]
pub fn without<R>(body: impl FnOnce() -> R) -> R {
    let were_on = enabled();
    disable();
    let result = body();
    if were_on {
        enable();
    }
    result
}

/// Turns interrupts on and sleeps until one has been handled. An interrupt that came while they
/// were off wakes at once: `sti` takes effect only after the next instruction, so nothing fits
/// between the two.
#[inline(always)]
pub fn enable_and_halt() {
    // SAFETY: as `enable`.
    unsafe { asm!("sti", "hlt", options(nostack, preserves_flags)) };
}

/// Stops this core for good. Only an NMI gets through, and returns here.
pub fn halt_forever() -> ! {
    loop {
        // SAFETY: stopping is safe.
        unsafe { asm!("cli", "hlt", options(nomem, nostack, preserves_flags)) };
    }
}
