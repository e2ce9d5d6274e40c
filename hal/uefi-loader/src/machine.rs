//! The processor and interrupt controllers as the kernel must find them: the protocol's "Machine
//! State at Entry" for x86-64.

use core::arch::asm;
use core::arch::x86_64::{__cpuid, CpuidResult};
use core::ptr::NonNull;
use uefi_loader::paging::{Features, PAT};
use uefi_loader::{HHDM, acpi};

const MSR_PAT: u32 = 0x277;
const MSR_EFER: u32 = 0xc000_0080;
const EFER_LME: u64 = 1 << 8;
const EFER_NXE: u64 = 1 << 11;
const CR4_LA57: u64 = 1 << 12;

/// Null; 16-bit code, data; 32-bit code, data; 64-bit code, data. The last two are 0x28 and 0x30.
pub const GDT: [u64; 7] = [
    0,
    0x0000_9b00_0000_ffff,
    0x0000_9300_0000_ffff,
    0x00cf_9b00_0000_ffff,
    0x00cf_9300_0000_ffff,
    0x0020_9b00_0000_0000,
    0x0000_9300_0000_0000,
];

/// What this processor can do.
pub fn features() -> Features {
    let highest = __cpuid(0x8000_0000).eax;
    let extended = if highest > 0x8000_0000 { __cpuid(0x8000_0001).edx } else { 0 };
    let CpuidResult { edx, .. } = __cpuid(1);
    Features {
        no_execute: extended & 1 << 20 != 0,
        gib_pages: extended & 1 << 26 != 0,
        pat: edx & 1 << 16 != 0,
    }
}

/// Whether the firmware runs with 5-level paging, which cannot be left without leaving long mode.
pub fn five_levels() -> bool {
    let cr4: u64;
    // SAFETY: reading CR4 changes nothing, and UEFI applications run in ring 0.
    unsafe { asm!("mov {}, cr4", out(reg) cr4, options(nomem, nostack, preserves_flags)) };
    cr4 & CR4_LA57 != 0
}

/// The page tables in force.
pub fn root() -> u64 {
    let cr3: u64;
    // SAFETY: reading CR3 changes nothing, and UEFI applications run in ring 0.
    unsafe { asm!("mov {}, cr3", out(reg) cr3, options(nomem, nostack, preserves_flags)) };
    cr3 & 0x000f_ffff_ffff_f000
}

/// Addresses of the IO APICs, read from the firmware's tables while it still answers for them.
pub fn io_apics(rsdp: u64) -> [Option<u64>; acpi::MAX_IO_APICS] {
    acpi::io_apics(rsdp, &|address, len| {
        let start = NonNull::new(address as *mut u8)?;
        address.checked_add(len as u64).filter(|end| *end < 1 << 46)?;
        // SAFETY: the firmware maps all memory it names in its tables one to one; nothing writes to
        // ACPI tables while we run. `acpi` bounds the lengths.
        Some(unsafe { core::slice::from_raw_parts(start.as_ptr(), len) })
    })
}

fn out(port: u16, value: u8) {
    // SAFETY: only used for the mask registers of the legacy interrupt controllers; where there are
    // none, nothing answers.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nostack, preserves_flags)) };
}

fn write_msr(msr: u32, value: u64) {
    let (low, high) = (value as u32, (value >> 32) as u32);
    // SAFETY: the callers below write only values the processor has told us it supports.
    unsafe { asm!("wrmsr", in("ecx") msr, in("eax") low, in("edx") high, options(nostack)) };
}

/// Turns interrupts off and masks them at their controllers. After boot services have ended.
pub fn mask_interrupts(io_apics: &[Option<u64>]) {
    // SAFETY: boot services have ended, so nobody waits for an interrupt any more.
    unsafe { asm!("cli", "cld", options(nomem, nostack)) };
    out(0x21, 0xff);
    out(0xa1, 0xff);
    for address in io_apics.iter().flatten() {
        let (select, window) = (*address as *mut u32, (*address + 0x10) as *mut u32);
        let access = |register: u32, value: Option<u32>| {
            // SAFETY: the MADT names an IO APIC here, mapped one to one by the firmware's tables,
            // which are still in force; select-then-window is its access protocol and nobody else
            // runs.
            unsafe {
                select.write_volatile(register);
                if let Some(value) = value {
                    window.write_volatile(value);
                }
                window.read_volatile()
            }
        };
        let last = access(1, None) >> 16 & 0xff;
        for entry in 0..=last {
            let register = 0x10 + 2 * entry;
            let low = access(register, None);
            // Delivery modes fixed (0) and lowest priority (1) only.
            if low >> 8 & 7 <= 1 {
                access(register, Some(low | 1 << 16));
            }
        }
    }
}

/// What the jump into the kernel needs. Addresses without "virtual" are physical.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Root of tables with the firmware's lower half and the kernel's upper half.
    pub bridge: u64,
    /// Root of the kernel's tables.
    pub tables: u64,
    /// Virtual address of a GDT pseudo-descriptor (limit, base).
    pub gdt_virtual: u64,
    /// Virtual address of the end of the stack, a multiple of 16.
    pub stack_virtual: u64,
    /// Virtual address of the first instruction.
    pub entry_virtual: u64,
}

/// Enters the kernel.
///
/// # Safety
/// Boot services have ended; interrupts are off; both sets of tables map this loader's image in the
/// direct map, `bridge` also where it is; everything in `entry` is as its fields say.
pub unsafe fn enter(entry: &Entry, features: Features) -> ! {
    if features.pat {
        write_msr(MSR_PAT, PAT);
    }
    let no_execute = if features.no_execute { EFER_NXE } else { 0 };
    write_msr(MSR_EFER, EFER_LME | no_execute);
    // SAFETY: the caller vouches for tables, stack and entry. The first table switch keeps this
    // code where it is and adds its alias in the direct map; the second, made there, drops the
    // lower half. CR4 = PAE and CR0 = PG|WP|ET|PE as the protocol has them: changing CR4.PGE
    // flushes every translation, and shadow stacks are off before the first return.
    unsafe {
        asm!(
            "wbinvd",
            "mov cr3, r8",
            "lea rax, [rip + 2f]",
            "add rax, r13",
            "jmp rax",
            "2:",
            "mov cr3, r9",
            "mov eax, 0x20",
            "mov cr4, rax",
            "mov eax, 0x80010011",
            "mov cr0, rax",
            "mov rsp, r11",
            "lgdt [r10]",
            "push 0",
            "push 0",
            "lidt [rsp]",
            "mov rsp, r11",
            "push 0x28",
            "lea rax, [rip + 3f]",
            "push rax",
            "retfq",
            "3:",
            "mov eax, 0x30",
            "mov ds, eax",
            "mov es, eax",
            "mov fs, eax",
            "mov gs, eax",
            "mov ss, eax",
            "xor eax, eax",
            "lldt ax",
            "mov rsp, r11",
            "push 0",
            "push r12",
            "xor ebx, ebx",
            "xor ecx, ecx",
            "xor edx, edx",
            "xor esi, esi",
            "xor edi, edi",
            "xor ebp, ebp",
            "xor r8d, r8d",
            "xor r9d, r9d",
            "xor r10d, r10d",
            "xor r11d, r11d",
            "xor r12d, r12d",
            "xor r13d, r13d",
            "xor r14d, r14d",
            "xor r15d, r15d",
            "push 2",
            "popfq",
            "ret",
            in("r8") entry.bridge,
            in("r9") entry.tables,
            in("r10") entry.gdt_virtual,
            in("r11") entry.stack_virtual,
            in("r12") entry.entry_virtual,
            in("r13") HHDM,
            options(noreturn),
        )
    }
}
