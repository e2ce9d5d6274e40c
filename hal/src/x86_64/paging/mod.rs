//! Page tables.

use core::arch::x86_64::__cpuid;

/// Bits of a physical address on this CPU (CPUID 8000_0008h, EAX 7:0).
#[allow(unused_unsafe)] // Newer compilers know that `__cpuid` is safe.
pub fn physical_bits() -> u32 {
    // SAFETY: every x86_64 CPU has CPUID.
    let highest = unsafe { __cpuid(0x8000_0000) }.eax;
    // SAFETY: as above.
    let sizes = unsafe { __cpuid(highest.min(0x8000_0008)) }.eax;
    if highest >= 0x8000_0008 { sizes & 0xff } else { 36 }
}
