//! FPU, SSE and AVX state: one save area per thread, saved and restored whenever the core changes
//! threads, never lazily (CVE-2018-3665). The kernel itself is soft-float and touches none of it.
//!
//! Source: Intel SDM vol. 1 ch. 13 (XSAVE), vol. 2 FXSAVE.

use crate::x86_64::cpu::{self, Features};
use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use core::arch::asm;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

const FXSAVE_BYTES: u32 = 512;
const MXCSR_START: u32 = 0x1f80;
const FCW_START: u16 = 0x037f;

/// The instruction this machine saves with: all cores have the same, the first one decides.
static METHOD: AtomicU8 = AtomicU8::new(FXSAVE);
static AREA_BYTES: AtomicU32 = AtomicU32::new(FXSAVE_BYTES);

const FXSAVE: u8 = 0;
const XSAVE: u8 = 1;
const XSAVEOPT: u8 = 2;

/// Chooses the instruction and the size of the area, after `cpu::enable` turned the components on.
pub fn init_core() {
    let cpu = cpu::features();
    AREA_BYTES.store(cpu.xsave_bytes.max(FXSAVE_BYTES), Ordering::Relaxed);
    let method = if cpu.has(Features::XSAVEOPT) {
        XSAVEOPT
    } else if cpu.has(Features::XSAVE) {
        XSAVE
    } else {
        FXSAVE
    };
    METHOD.store(method, Ordering::Relaxed);
    MODERN.store(method == XSAVEOPT && cpu.has(Features::FSGSBASE), Ordering::Relaxed);
}

/// Whether the CPU has XSAVEOPT and FSGSBASE, which the fast switch uses: one look for both.
static MODERN: AtomicBool = AtomicBool::new(false);

/// See [`MODERN`].
#[inline(always)]
pub(super) fn is_modern() -> bool {
    MODERN.load(Ordering::Relaxed)
}

/// [`save`] where [`is_modern`].
///
/// # Safety
/// As [`save`]; the CPU has XSAVEOPT.
#[inline(always)]
pub(super) unsafe fn save_modern(area: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("xsaveopt64 [{}]", in(reg) area, in("eax") u32::MAX, in("edx") u32::MAX,
            options(nostack, preserves_flags));
    }
}

/// [`restore`] where [`is_modern`].
///
/// # Safety
/// As [`restore`]; the CPU has XSAVE.
#[inline(always)]
pub(super) unsafe fn restore_modern(area: *const u8) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("xrstor64 [{}]", in(reg) area, in("eax") u32::MAX, in("edx") u32::MAX,
            options(nostack, preserves_flags));
    }
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
        // A zero XSTATE_BV makes XRSTOR load initial state, except for MXCSR, which it takes from
        // here; FXRSTOR takes both from here. SAFETY: offsets 0 and 24 are the control words of the
        // legacy region, inside the area and aligned.
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
                options(nostack, preserves_flags));
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
