//! The registers that decide how this core translates addresses.
//!
//! Source: Intel SDM vol. 3, sections 2.5, 4.10 (TLBs) and 12.12 (PAT).

#[allow(unused_unsafe)] // Newer compilers know that `__cpuid` is safe.
mod cpuid {
    use core::arch::x86_64::{__cpuid, CpuidResult};

    fn leaf(number: u32) -> Option<CpuidResult> {
        // SAFETY: every x86_64 CPU has CPUID.
        let highest = unsafe { __cpuid(number & 0x8000_0000) }.eax;
        // SAFETY: as above.
        (number <= highest).then(|| unsafe { __cpuid(number) })
    }

    /// Bits of a physical address (leaf 8000_0008h, EAX 7:0).
    pub fn physical_bits() -> u32 {
        leaf(0x8000_0008).map_or(36, |sizes| sizes.eax & 0xff)
    }
    /// Pages of 1 GiB (leaf 8000_0001h, EDX 26).
    pub fn has_huge_pages() -> bool {
        leaf(0x8000_0001).is_some_and(|features| features.edx >> 26 & 1 == 1)
    }
    /// No-execute (leaf 8000_0001h, EDX 20).
    pub fn has_no_execute() -> bool {
        leaf(0x8000_0001).is_some_and(|features| features.edx >> 20 & 1 == 1)
    }
    /// Process-context identifiers (leaf 1, ECX 17).
    pub fn has_pcid() -> bool {
        leaf(1).is_some_and(|features| features.ecx >> 17 & 1 == 1)
    }
}

use core::sync::atomic::{AtomicBool, Ordering};

use ::x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags, Efer, EferFlags};
use core::arch::asm;

pub use cpuid::{has_huge_pages, has_no_execute, physical_bits};

use super::entry::PAT;
use crate::memory::{FrameNumber, PhysAddr, VirtAddr};
use crate::x86_64::cpu::write_msr;

const IA32_PAT: u32 = 0x277;
/// Bit 63 of a value for CR3: keep this PCID's translations.
pub(super) const KEEP_TRANSLATIONS: u64 = 1 << 63;

static PCID_ON: AtomicBool = AtomicBool::new(false);

/// Sets up translation on this core and takes `root`.
///
/// # Safety
/// `root` holds the kernel's tables, which map everything this core uses at the same addresses.
pub unsafe fn take(root: FrameNumber) {
    // SAFETY: NX exists (init refuses CPUs without); our tables use it, and the loader's may. Write
    // protection and global pages change nothing for tables that are right. PAT entries 0 to 3 keep
    // their reset meaning and no mapping in use names the others.
    unsafe {
        Efer::update(|flags| flags.insert(EferFlags::NO_EXECUTE_ENABLE));
        Cr0::update(|flags| flags.insert(Cr0Flags::WRITE_PROTECT));
        write_msr(IA32_PAT, PAT);
        write_root(root.start().0);
        Cr4::update(|flags| flags.insert(Cr4Flags::PAGE_GLOBAL));
    }
    if cpuid::has_pcid() {
        // SAFETY: CR3 holds PCID 0 at this point, as enabling demands.
        unsafe { Cr4::update(|flags| flags.insert(Cr4Flags::PCID)) };
        PCID_ON.store(true, Ordering::Relaxed);
    }
    flush_everything();
}

/// Whether PCIDs are in use (the same on all cores).
pub fn pcid_on() -> bool {
    PCID_ON.load(Ordering::Relaxed)
}

/// Loads CR3.
///
/// # Safety
/// The value names a root whose upper half is the kernel's, and a PCID only if those are on.
#[inline]
pub unsafe fn write_root(value: u64) {
    // SAFETY: the caller vouches for the tables.
    unsafe { asm!("mov cr3, {}", in(reg) value, options(nostack, preserves_flags)) };
}

/// CR3 as it is: the root's address, and a PCID if those are on.
#[inline(always)]
pub(super) fn root_word() -> u64 {
    let value: u64;
    // SAFETY: reading CR3 in ring 0 has no effect.
    unsafe { asm!("mov {}, cr3", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// The root in CR3.
#[inline]
pub fn root() -> FrameNumber {
    let value = root_word();
    FrameNumber::containing(PhysAddr(value & 0x000f_ffff_ffff_f000))
}

/// Drops this core's translations for one page, in the current PCID and among global ones.
#[inline]
pub fn flush_page(page: VirtAddr) {
    // SAFETY: dropping translations only costs time.
    unsafe { asm!("invlpg [{}]", in(reg) page.0, options(nostack, preserves_flags)) };
}

/// Drops all of this core's translations: every PCID, global ones too.
pub fn flush_everything() {
    let off = crate::lock::InterruptsOff::new();
    // SAFETY: turning global pages off and on flushes the lot and changes nothing else.
    unsafe {
        Cr4::update(|flags| flags.remove(Cr4Flags::PAGE_GLOBAL));
        Cr4::update(|flags| flags.insert(Cr4Flags::PAGE_GLOBAL));
    }
    drop(off);
}
