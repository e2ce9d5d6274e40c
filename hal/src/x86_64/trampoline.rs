//! The code an application processor starts with, copied to a page below 1 MiB.
//!
//! A SIPI starts the core in real mode at offset 0 of that page. The code goes straight to 64-bit
//! mode: paging on, with tables that map these few pages to themselves and the kernel where it
//! belongs; then onto its stack and to [`Parameters::entry`]. Everything it needs lies in
//! [`Parameters`] at a fixed offset, addressed relative to the page, so the copy works anywhere.
//!
//! ```text
//!  page 0  code (first), Parameters (from PARAMETERS on)
//!  page 1  PML4: entry 0 → page 2, upper half as the kernel's
//!  page 2  PDPT: entry 0 → page 3
//!  page 3  PD:   entry 0 → the first 2 MiB, to themselves
//! ```

use core::arch::global_asm;
use core::mem::offset_of;

/// Pages the trampoline takes, in a row, all below 1 MiB.
pub const PAGES: usize = 4;
pub(super) const PAGE: usize = 4096;
/// Offset of [`Parameters`] in page 0.
pub(super) const PARAMETERS: usize = 2048;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 2;
const LARGE: u64 = 1 << 7;

/// What the starting core finds. Offsets are used from the assembly below.
#[repr(C)]
pub(super) struct Parameters {
    /// Pseudo-descriptor for `lgdt`.
    gdt_limit: u16,
    gdt_base: [u16; 2],
    _pad: u16,
    /// Far pointer to the 64-bit part.
    far_offset: u32,
    far_selector: u16,
    _pad2: u16,
    /// Physical address of the PML4.
    cr3: u32,
    _pad3: u32,
    gdt: [u64; 3],
    /// The stack's upper end, 16-byte aligned.
    stack: u64,
    /// Where to go, with `argument` as the first.
    entry: u64,
    argument: u64,
}

global_asm!(
    ".pushsection .rodata.trampoline, \"a\"",
    ".balign 16",
    ".code16",
    "pollux_trampoline_start:",
    "cli",
    "cld",
    "mov ax, cs",
    "mov ds, ax",
    "mov eax, dword ptr ds:[{parameters} + {cr3}]",
    "mov cr3, eax",
    "mov eax, 0x20", // PAE
    "mov cr4, eax",
    "mov ecx, 0xc0000080", // EFER: long mode, and no-execute since the kernel's tables use it
    "rdmsr",
    "or eax, 0x900",
    "wrmsr",
    ".byte 0x66", // 32-bit base
    "lgdt ds:[{parameters} + {gdt_limit}]",
    "mov eax, 0x80010033", // paging, write protection, native FPU errors, protected mode; caches on
    "mov cr0, eax",
    // Far jump, 32-bit offset, through memory: the encoding is spelt out since assemblers differ.
    ".byte 0x66, 0xff, 0x2e",
    ".word {parameters} + {far_offset}",
    ".code64",
    ".balign 16",
    "pollux_trampoline_long:",
    "mov eax, 0x10",
    "mov ds, eax",
    "mov es, eax",
    "mov ss, eax",
    "lea rbx, [rip + pollux_trampoline_start]",
    "mov rsp, [rbx + {parameters} + {stack}]",
    "mov rdi, [rbx + {parameters} + {argument}]",
    "xor ebp, ebp",
    "mov rax, [rbx + {parameters} + {entry}]",
    "call rax",
    "2: cli",
    "hlt",
    "jmp 2b",
    "pollux_trampoline_end:",
    ".popsection",
    parameters = const PARAMETERS,
    gdt_limit = const offset_of!(Parameters, gdt_limit),
    far_offset = const offset_of!(Parameters, far_offset),
    cr3 = const offset_of!(Parameters, cr3),
    stack = const offset_of!(Parameters, stack),
    entry = const offset_of!(Parameters, entry),
    argument = const offset_of!(Parameters, argument),
);

unsafe extern "C" {
    static pollux_trampoline_start: u8;
    static pollux_trampoline_long: u8;
    static pollux_trampoline_end: u8;
}

/// Four pages below 1 MiB, ours until the cores are up.
#[derive(Debug, Clone, Copy)]
pub struct LowPages {
    /// Physical address, a multiple of 4096; the end is at most 1 MiB.
    pub physical: u64,
    /// Where they are mapped, writable.
    pub mapped: *mut u8,
}

impl LowPages {
    /// Whether the address is one a SIPI can name.
    pub(super) fn is_usable(&self) -> bool {
        self.physical % PAGE as u64 == 0
            && self.physical != 0
            && self.physical + (PAGES * PAGE) as u64 <= 1 << 20
    }

    /// Writes code, tables and parameters for one core's start.
    ///
    /// # Safety
    /// The pages are as said and no core runs in them. `kernel_pml4` points to the PML4 in force.
    pub(super) unsafe fn prepare(
        &self,
        kernel_pml4: *const u64,
        stack: u64,
        entry: u64,
        argument: u64,
    ) {
        // SAFETY: the caller's word; code and parameters do not overlap, as asserted.
        unsafe {
            let start = &raw const pollux_trampoline_start;
            let length = (&raw const pollux_trampoline_end).offset_from(start) as usize;
            let long = (&raw const pollux_trampoline_long).offset_from(start) as u32;
            assert!(length <= PARAMETERS, "the trampoline's code reaches into its parameters");
            self.mapped.write_bytes(0, PAGES * PAGE);
            self.mapped.copy_from_nonoverlapping(start, length);

            let table = |page: usize| self.mapped.add(page * PAGE).cast::<u64>();
            let address = |page: usize| self.physical + (page * PAGE) as u64;
            table(1).add(256).copy_from_nonoverlapping(kernel_pml4.add(256), 256);
            table(1).write(address(2) | PRESENT | WRITABLE);
            table(2).write(address(3) | PRESENT | WRITABLE);
            table(3).write(PRESENT | WRITABLE | LARGE);

            let base = self.physical as u32;
            let gdt = base + (PARAMETERS + offset_of!(Parameters, gdt)) as u32;
            self.mapped.add(PARAMETERS).cast::<Parameters>().write(Parameters {
                gdt_limit: 3 * 8 - 1,
                gdt_base: [gdt as u16, (gdt >> 16) as u16],
                _pad: 0,
                far_offset: base + long,
                far_selector: 0x08,
                _pad2: 0,
                cr3: address(1) as u32,
                _pad3: 0,
                gdt: [0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff],
                stack,
                entry,
                argument,
            });
        }
    }
}
