//! FPU, SSE and AVX state: one save area per thread, saved and restored whenever the core changes
//! threads, never lazily (CVE-2018-3665). The kernel itself is soft-float and touches none of it.
//!
//! Source: Intel SDM vol. 1 ch. 13 (XSAVE), vol. 2 FXSAVE.

use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use core::arch::asm;
use core::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// x87, SSE, AVX and the three AVX-512 components: all the state a thread may have.
const WANTED: u64 = 0b1110_0111;
const FXSAVE_BYTES: u32 = 512;
const MXCSR_START: u32 = 0x1f80;
const FCW_START: u16 = 0x037f;

/// The instruction this machine saves with: all cores have the same, the first one decides.
static METHOD: AtomicU8 = AtomicU8::new(FXSAVE);
static AREA_BYTES: AtomicU32 = AtomicU32::new(FXSAVE_BYTES);

const FXSAVE: u8 = 0;
const XSAVE: u8 = 1;
const XSAVEOPT: u8 = 2;

/// Turns the state components on for this core and learns the size of the area. CR4.OSFXSR and,
/// where the CPU has XSAVE, CR4.OSXSAVE must be set.
pub fn init_core() {
    let has_xsave = __cpuid(1).ecx & (1 << 26) != 0;
    if !has_xsave {
        return;
    }
    let supported = __cpuid_count(0xd, 0);
    let mut components = (u64::from(supported.edx) << 32 | u64::from(supported.eax)) & WANTED;
    if components & 0b1110_0000 != 0b1110_0000 {
        components &= 0b111; // AVX-512 comes whole or not at all
    }
    // SAFETY: the value is a subset of what CPUID lists, with x87 always on; OSXSAVE is set
    // (caller's duty, stated above).
    unsafe {
        asm!("xsetbv", in("ecx") 0, in("eax") components as u32, in("edx") (components >> 32) as u32,
            options(nostack, preserves_flags));
    }
    // With XCR0 written, leaf 0xD.0 EBX is the size of the area for just these components.
    AREA_BYTES.store(__cpuid_count(0xd, 0).ebx.max(FXSAVE_BYTES + 64), Ordering::Relaxed);
    let has_opt = __cpuid_count(0xd, 1).eax & 1 != 0;
    METHOD.store(if has_opt { XSAVEOPT } else { XSAVE }, Ordering::Relaxed);
}

/// The state components that are on, as XCR0 has them; zero where the CPU has no XSAVE.
pub fn components() -> u64 {
    if METHOD.load(Ordering::Relaxed) == FXSAVE {
        return 0;
    }
    // SAFETY: METHOD says XSAVE, so OSXSAVE is set and XGETBV exists.
    unsafe { xgetbv0() }
}

#[target_feature(enable = "xsave")]
fn xgetbv0() -> u64 {
    // SAFETY: XCR0 always exists where XGETBV does.
    unsafe { _xgetbv(0) }
}

/// A thread's save area, in the state a program expects at its start.
#[derive(Debug)]
pub struct Area {
    bytes: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the area is plain memory owned by this value.
unsafe impl Send for Area {}

impl Area {
    /// A fresh area; `None` without memory.
    pub fn new() -> Option<Self> {
        let size = AREA_BYTES.load(Ordering::Relaxed) as usize;
        let layout = Layout::from_size_align(size, 64).ok()?;
        // SAFETY: the layout has a size over zero.
        let bytes = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        // A zero XSTATE_BV makes XRSTOR load initial state, except for MXCSR, which it takes from here;
        // FXRSTOR takes both from here.
        // SAFETY: offsets 0 and 24 are the control words of the legacy region, inside the area and aligned.
        unsafe {
            bytes.as_ptr().cast::<u16>().write(FCW_START);
            bytes.as_ptr().add(24).cast::<u32>().write(MXCSR_START);
        }
        Some(Self { bytes, layout })
    }

    /// Where it is, for [`super::UserThread::fpu`].
    pub fn as_ptr(&self) -> *mut u8 {
        self.bytes.as_ptr()
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout; nobody else frees it.
        unsafe { dealloc(self.bytes.as_ptr(), self.layout) }
    }
}

/// Saves this core's state to `area`.
///
/// # Safety
/// `area` comes from a live [`Area`] that nothing else writes.
#[inline]
pub(super) unsafe fn save(area: *mut u8) {
    // SAFETY: METHOD names an instruction the CPU has; the area is large enough and aligned.
    unsafe {
        match METHOD.load(Ordering::Relaxed) {
            XSAVEOPT => {
                asm!("xsaveopt64 [{}]", in(reg) area, in("eax") u32::MAX, in("edx") u32::MAX,
                options(nostack, preserves_flags))
            }
            XSAVE => asm!("xsave64 [{}]", in(reg) area, in("eax") u32::MAX, in("edx") u32::MAX,
                options(nostack, preserves_flags)),
            _ => asm!("fxsave64 [{}]", in(reg) area, options(nostack, preserves_flags)),
        }
    }
}

/// Loads this core's state from `area`.
///
/// # Safety
/// `area` comes from a live [`Area`] and was written by nothing but [`Area::new`] and [`save`].
#[inline]
pub(super) unsafe fn restore(area: *const u8) {
    // SAFETY: as for `save`; the contents are what the CPU saved, so no reserved bit faults.
    unsafe {
        match METHOD.load(Ordering::Relaxed) {
            FXSAVE => asm!("fxrstor64 [{}]", in(reg) area, options(nostack, preserves_flags)),
            _ => asm!("xrstor64 [{}]", in(reg) area, in("eax") u32::MAX, in("edx") u32::MAX,
                options(nostack, preserves_flags)),
        }
    }
}
