//! What this CPU can do, and turning it on.
//!
//! [`features`] reads CPUID once, on the boot core; [`enable`] runs on every core and turns on
//! each protection that is there. A core that lacks what the boot core has is refused: the kernel
//! chooses its paths once.

use core::arch::asm;
use core::arch::x86_64::{__cpuid, __cpuid_count, CpuidResult};
use core::fmt;

use spin::Once;
use thiserror_no_std::Error;

/// RFLAGS: single step.
pub const RFLAGS_TRAP: u64 = 1 << 8;

const IA32_MCG_STATUS: u32 = 0x17a;
const IA32_ARCH_CAPABILITIES: u32 = 0x10a;
const IA32_EFER: u32 = 0xc000_0080;
const EFER_NO_EXECUTE: u64 = 1 << 11;

const CR0_MONITOR_COPROCESSOR: u64 = 1 << 1;
const CR0_EMULATION: u64 = 1 << 2;
const CR0_TASK_SWITCHED: u64 = 1 << 3;
const CR0_NUMERIC_ERROR: u64 = 1 << 5;
const CR0_WRITE_PROTECT: u64 = 1 << 16;
const CR0_ALIGNMENT_MASK: u64 = 1 << 18;

const CR4_TIME_STAMP_DISABLE: u64 = 1 << 2;
const CR4_DEBUGGING_EXTENSIONS: u64 = 1 << 3;
const CR4_MACHINE_CHECK: u64 = 1 << 6;
const CR4_GLOBAL_PAGES: u64 = 1 << 7;
const CR4_FXSAVE: u64 = 1 << 9;
const CR4_SIMD_EXCEPTIONS: u64 = 1 << 10;
const CR4_UMIP: u64 = 1 << 11;
const CR4_FSGSBASE: u64 = 1 << 16;
const CR4_PCID: u64 = 1 << 17;
const CR4_XSAVE: u64 = 1 << 18;
const CR4_SMEP: u64 = 1 << 20;
const CR4_SMAP: u64 = 1 << 21;

/// XCR0 bits that ring 3 may have: x87, SSE, AVX and the three parts of AVX-512.
const XCR0_WANTED: u64 = 0b1110_0111;
const XCR0_AVX: u64 = 1 << 2;
const XCR0_AVX512: u64 = 0b1110_0000;

/// Why a CPU cannot run Pollux.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CpuError {
    /// The CPU lacks something every supported machine has: run on another one.
    #[error("this CPU has no {0}: Pollux cannot run on it")]
    Missing(&'static str),
    /// This core lacks what the boot core has: leave it off.
    #[error("this core lacks features of the boot core: it stays off")]
    Unequal,
}

bitflags::bitflags! {
    /// What the CPU has beyond the x86_64 baseline.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Features: u64 {
        /// Pages that are not code.
        const NO_EXECUTE = 1 << 0;
        /// Ring 0 cannot execute ring 3's pages.
        const SMEP = 1 << 1;
        /// Ring 0 cannot touch ring 3's pages unless it says so.
        const SMAP = 1 << 2;
        /// Ring 3 cannot read descriptor table addresses.
        const UMIP = 1 << 3;
        /// `rdfsbase` and friends.
        const FSGSBASE = 1 << 4;
        /// Process-context identifiers in CR3.
        const PCID = 1 << 5;
        /// `invpcid`.
        const INVPCID = 1 << 6;
        /// Local APIC through MSRs, with 32-bit ids.
        const X2APIC = 1 << 7;
        /// The local APIC's timer compares with the TSC.
        const TSC_DEADLINE = 1 << 8;
        /// The TSC runs at one rate in every power state.
        const INVARIANT_TSC = 1 << 9;
        /// `rdrand`.
        const RDRAND = 1 << 10;
        /// `rdseed`.
        const RDSEED = 1 << 11;
        /// `xsave` and XCR0.
        const XSAVE = 1 << 12;
        /// `xsaveopt`.
        const XSAVEOPT = 1 << 13;
        /// `xsavec`.
        const XSAVEC = 1 << 14;
        /// 1 GiB pages.
        const GIGABYTE_PAGES = 1 << 15;
        /// `rdtscp` and `rdpid`'s MSR.
        const RDTSCP = 1 << 16;
        /// Machine checks.
        const MACHINE_CHECK = 1 << 17;
        /// Runs under a hypervisor that says so.
        const HYPERVISOR = 1 << 18;
        /// Fast `rep movsb`.
        const FAST_REP_MOV = 1 << 19;
        /// Says it does not leak ring 0's pages to ring 3 (CVE-2017-5754), or is of a make that
        /// never did.
        const NO_MELTDOWN = 1 << 20;
        /// The AVX registers.
        const AVX = 1 << 21;
    }
}

/// The CPU as CPUID describes it.
#[derive(Clone, Copy)]
pub struct Cpu {
    /// What it has.
    pub features: Features,
    /// The highest basic CPUID leaf.
    pub highest_leaf: u32,
    /// Bits of a physical address.
    pub physical_address_bits: u8,
    /// XCR0 as [`enable`] sets it; zero without XSAVE.
    pub xcr0: u64,
    /// Bytes an XSAVE area of those components takes; 512 without XSAVE (FXSAVE).
    pub xsave_bytes: u32,
    vendor: [u8; 12],
    brand: [u8; 48],
}

impl fmt::Debug for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}), {:?}", self.brand(), self.vendor(), self.features)
    }
}

static CPU: Once<Cpu> = Once::new();

/// CPUID, subleaf 0. Leaves above the highest return zeroes here, not another leaf's data.
pub fn cpuid(leaf: u32) -> CpuidResult {
    cpuid_count(leaf, 0)
}

/// CPUID with a subleaf. Leaves above the highest return zeroes here, not another leaf's data.
#[allow(unused_unsafe, reason = "safe or not, depending on the compiler's version")]
pub fn cpuid_count(leaf: u32, subleaf: u32) -> CpuidResult {
    // SAFETY: every x86_64 has CPUID.
    let highest = unsafe { __cpuid(leaf & 0xffff_0000) }.eax;
    // A hypervisor's range is there only if the feature bit says so; callers check it.
    if leaf > highest || highest & 0xffff_0000 != leaf & 0xffff_0000 {
        return CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 };
    }
    // SAFETY: as above.
    unsafe { __cpuid_count(leaf, subleaf) }
}

impl Cpu {
    /// The maker, as in "GenuineIntel".
    pub fn vendor(&self) -> &str {
        core::str::from_utf8(&self.vendor).unwrap_or("?")
    }

    /// The model's name.
    pub fn brand(&self) -> &str {
        let text = core::str::from_utf8(&self.brand).unwrap_or("?");
        text.trim_matches(|c: char| c == '\0' || c == ' ')
    }

    /// Whether the CPU has all of `features`.
    pub fn has(&self, features: Features) -> bool {
        self.features.contains(features)
    }

    fn detect() -> Self {
        let [leaf1, leaf7, leaf_d] = [cpuid(1), cpuid(7), cpuid_count(0xd, 1)];
        let [ext1, ext7, ext8] = [cpuid(0x8000_0001), cpuid(0x8000_0007), cpuid(0x8000_0008)];
        let mut features = Features::empty();
        for (register, bit, feature) in [
            (ext1.edx, 20, Features::NO_EXECUTE),
            (leaf7.ebx, 7, Features::SMEP),
            (leaf7.ebx, 20, Features::SMAP),
            (leaf7.ecx, 2, Features::UMIP),
            (leaf7.ebx, 0, Features::FSGSBASE),
            (leaf1.ecx, 17, Features::PCID),
            (leaf7.ebx, 10, Features::INVPCID),
            (leaf1.ecx, 21, Features::X2APIC),
            (leaf1.ecx, 24, Features::TSC_DEADLINE),
            (ext7.edx, 8, Features::INVARIANT_TSC),
            (leaf1.ecx, 30, Features::RDRAND),
            (leaf7.ebx, 18, Features::RDSEED),
            (leaf1.ecx, 26, Features::XSAVE),
            (leaf_d.eax, 0, Features::XSAVEOPT),
            (leaf_d.eax, 1, Features::XSAVEC),
            (ext1.edx, 26, Features::GIGABYTE_PAGES),
            (ext1.edx, 27, Features::RDTSCP),
            (leaf1.edx, 7, Features::MACHINE_CHECK),
            (leaf1.ecx, 31, Features::HYPERVISOR),
            (leaf7.ebx, 9, Features::FAST_REP_MOV),
            (leaf1.ecx, 28, Features::AVX),
        ] {
            features.set(feature, register >> bit & 1 != 0);
        }

        let leaf0 = cpuid(0);
        let mut vendor = [0; 12];
        for (bytes, word) in vendor.chunks_exact_mut(4).zip([leaf0.ebx, leaf0.edx, leaf0.ecx]) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        let mut brand = [0; 48];
        for (leaf, part) in (0x8000_0002..).zip(brand.chunks_exact_mut(16)) {
            let r = cpuid(leaf);
            for (bytes, word) in part.chunks_exact_mut(4).zip([r.eax, r.ebx, r.ecx, r.edx]) {
                bytes.copy_from_slice(&word.to_le_bytes());
            }
        }

        // CPUID.7.EDX bit 29 announces the MSR, whose bit 0 (RDCL_NO) denies Meltdown; AMD's and
        // Hygon's CPUs never had it.
        // SAFETY: the MSR is there when CPUID says so.
        let says_no =
            leaf7.edx >> 29 & 1 != 0 && unsafe { read_msr(IA32_ARCH_CAPABILITIES) } & 1 != 0;
        let immune = matches!(&vendor, b"AuthenticAMD" | b"HygonGenuine");
        features.set(Features::NO_MELTDOWN, says_no || immune);

        let (xcr0, xsave_bytes) = xsave_layout(features);
        let bits = (ext8.eax & 0xff) as u8;
        Self {
            features,
            highest_leaf: leaf0.eax,
            physical_address_bits: if bits == 0 { 36 } else { bits },
            xcr0,
            xsave_bytes,
            vendor,
            brand,
        }
    }
}

/// The XSAVE components to turn on and the bytes they take in the standard format.
fn xsave_layout(features: Features) -> (u64, u32) {
    if !features.contains(Features::XSAVE) {
        return (0, 512);
    }
    let leaf = cpuid_count(0xd, 0);
    let mut xcr0 = (u64::from(leaf.edx) << 32 | u64::from(leaf.eax)) & XCR0_WANTED;
    if xcr0 & XCR0_AVX == 0 || xcr0 & XCR0_AVX512 != XCR0_AVX512 {
        xcr0 &= !XCR0_AVX512; // all three or none, and not without AVX (SDM vol. 1, 13.3)
    }
    // Legacy area and header, then each component where CPUID.D.n puts it.
    let bytes = (2..63)
        .filter(|n| xcr0 >> n & 1 != 0)
        .map(|n| cpuid_count(0xd, n))
        .fold(576, |end, part| end.max(part.eax + part.ebx));
    (xcr0, bytes)
}

/// The CPU's description, read at the first call.
#[inline]
pub fn features() -> &'static Cpu {
    CPU.call_once(Cpu::detect)
}

/// Turns on, on this core, every protection and register set the CPU has.
///
/// SMAP is on afterwards: ring 3's pages can be touched only between `stac` and `clac`.
///
/// # Errors
/// The CPU cannot run Pollux, or this core differs from the boot core.
///
/// # Safety
/// Called on each core before it runs tasks, with interrupts off, on page tables that use no bits
/// these settings redefine (CR3 bits 0 to 11 are zero) and that mark the kernel's writable pages
/// so.
pub unsafe fn enable() -> Result<(), CpuError> {
    let cpu = features();
    for (feature, name) in [(Features::NO_EXECUTE, "no-execute pages (NX)")] {
        if !cpu.has(feature) {
            return Err(CpuError::Missing(name));
        }
    }
    let mine = Cpu::detect();
    if !mine.has(cpu.features) || mine.xcr0 != cpu.xcr0 {
        return Err(CpuError::Unequal);
    }

    let mut cr4 = CR4_GLOBAL_PAGES | CR4_FXSAVE | CR4_SIMD_EXCEPTIONS | CR4_DEBUGGING_EXTENSIONS;
    for (feature, bit) in [
        (Features::SMEP, CR4_SMEP),
        (Features::SMAP, CR4_SMAP),
        (Features::UMIP, CR4_UMIP),
        (Features::FSGSBASE, CR4_FSGSBASE),
        (Features::PCID, CR4_PCID),
        (Features::XSAVE, CR4_XSAVE),
        (Features::MACHINE_CHECK, CR4_MACHINE_CHECK),
    ] {
        if cpu.has(feature) {
            cr4 |= bit;
        }
    }
    // SAFETY: each bit is set only where CPUID has it; the caller vouches for the page tables.
    unsafe {
        write_msr(IA32_EFER, read_msr(IA32_EFER) | EFER_NO_EXECUTE);
        let mut cr0: u64;
        asm!("mov {}, cr0", out(reg) cr0, options(nostack, preserves_flags));
        cr0 &= !(CR0_EMULATION | CR0_TASK_SWITCHED | CR0_ALIGNMENT_MASK);
        cr0 |= CR0_MONITOR_COPROCESSOR | CR0_NUMERIC_ERROR | CR0_WRITE_PROTECT;
        asm!("mov cr0, {}", in(reg) cr0, options(nostack, preserves_flags));
        let before: u64;
        asm!("mov {}, cr4", out(reg) before, options(nostack, preserves_flags));
        let after = (before | cr4) & !CR4_TIME_STAMP_DISABLE;
        asm!("mov cr4, {}", in(reg) after, options(nostack, preserves_flags));
        if cpu.has(Features::XSAVE) {
            asm!(
                "xsetbv",
                in("ecx") 0,
                in("eax") cpu.xcr0 as u32,
                in("edx") (cpu.xcr0 >> 32) as u32,
                options(nostack, preserves_flags)
            );
        }
    }
    Ok(())
}

/// Reads a model-specific register.
///
/// # Safety
/// The register exists on this CPU and reading it has no effect the kernel does not expect.
#[inline]
pub unsafe fn read_msr(msr: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the caller vouches for the register.
    unsafe {
        asm!("rdmsr", in("ecx") msr, out("eax") low, out("edx") high, options(nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Writes a model-specific register.
///
/// # Safety
/// The register exists on this CPU, takes this value, and what it changes keeps the kernel's
/// memory and control flow sound.
#[inline]
pub unsafe fn write_msr(msr: u32, value: u64) {
    // SAFETY: the caller vouches for register and value.
    unsafe {
        asm!(
            "wrmsr",
            in("ecx") msr,
            in("eax") value as u32,
            in("edx") (value >> 32) as u32,
            options(nostack, preserves_flags)
        );
    }
}

/// The address whose access caused the last page fault on this core (CR2).
#[inline]
pub fn fault_address() -> u64 {
    let address: u64;
    // SAFETY: reading CR2 has no effect.
    unsafe { asm!("mov {}, cr2", out(reg) address, options(nomem, nostack, preserves_flags)) };
    address
}

/// Takes back the permission to touch ring 3's pages (`clac`), where there is SMAP. Interrupts do
/// not, and ring 3 may set the flag itself.
#[inline]
pub(super) fn clear_user_access() {
    if CPU.get().is_some_and(|cpu| cpu.has(Features::SMAP)) {
        // SAFETY: the instruction exists with SMAP and only takes a right away.
        unsafe { asm!("clac", options(nostack)) };
    }
}

/// Turns all hardware breakpoints off and clears their status.
pub(super) fn clear_debug_status() {
    // SAFETY: the kernel sets no breakpoints. DR6's fixed bits read as ones (SDM vol. 3B, 18.2).
    unsafe {
        asm!("mov dr7, {}", in(reg) 0x400u64, options(nostack, preserves_flags));
        asm!("mov dr6, {}", in(reg) 0xffff_0ff0u64, options(nostack, preserves_flags));
    }
}

/// After a machine check: whether the interrupted code can be resumed (RIPV). Clears the CPU's
/// "in progress" mark if so, else the next one shuts the machine down.
pub(super) fn machine_check_is_survivable() -> bool {
    const RESUMABLE: u64 = 1 << 0;
    const EXACT_ADDRESS: u64 = 1 << 1;
    // SAFETY: a machine check only comes where the MSR is.
    let status = unsafe { read_msr(IA32_MCG_STATUS) };
    // An error tied to the interrupted instruction (EIPV) would strike again at once.
    let survivable = status & RESUMABLE != 0 && status & EXACT_ADDRESS == 0;
    if survivable {
        // SAFETY: as above; zero acknowledges.
        unsafe { write_msr(IA32_MCG_STATUS, 0) };
    }
    survivable
}
