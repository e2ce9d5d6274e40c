//! The code an application processor starts with, copied to a page below 1 MiB.
//!
//! A SIPI starts the core in real mode at offset 0 of that page. The code goes straight to 64-bit
//! mode, on [`TrampolineTables`](super::paging::TrampolineTables), which map the page to itself
//! (read and execute) and the kernel where it belongs; then onto its stack and to
//! [`Parameters::entry`]. Everything it needs lies in [`Parameters`] at a fixed offset, addressed
//! relative to the page, so the copy works anywhere.

use core::arch::global_asm;
use core::mem::offset_of;

use crate::memory::frames::{FrameRun, RunLimits};
use crate::memory::{FRAME_SIZE, PhysAddr};

const PAGE: usize = FRAME_SIZE;
/// Offset of [`Parameters`] in page 0.
const PARAMETERS: usize = 2048;

/// What the starting core finds. Offsets are used from the assembly below.
#[repr(C)]
struct Parameters {
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

/// The page below 1 MiB, kept for as long as the kernel runs: a sleep needs it again.
pub(super) struct Trampoline {
    page: FrameRun,
}

impl Trampoline {
    /// Takes a page. `None`: there is none left below 1 MiB.
    pub(super) fn allocate() -> Option<Self> {
        let limits = RunLimits { below: Some(PhysAddr(1 << 20)), ..RunLimits::default() };
        let page = FrameRun::allocate(1, limits).ok()?;
        // Page 0 is where firmware keeps things, and not a vector worth relying on.
        (page.physical().0 != 0).then_some(Self { page })
    }

    /// Where it is: a multiple of 4096 below 1 MiB.
    pub(super) fn physical(&self) -> PhysAddr {
        self.page.physical()
    }

    /// What a SIPI names it by.
    pub(super) fn vector(&self) -> u8 {
        (self.physical().0 / PAGE as u64) as u8
    }

    /// Writes code and parameters for one core's start: `cr3` is the root of tables below 4 GiB
    /// that map this page to itself, `stack` a stack's upper end, and the core goes to
    /// `entry(argument)`.
    ///
    /// # Safety
    /// No core runs in the page.
    pub(super) unsafe fn prepare(&self, cr3: PhysAddr, stack: u64, entry: u64, argument: u64) {
        let mapped = self.page.virtual_address().as_mut_ptr::<u8>();
        let base = self.physical().0 as u32;
        let gdt = base + (PARAMETERS + offset_of!(Parameters, gdt)) as u32;
        // SAFETY: the page is ours and no core looks at it; code and parameters do not overlap.
        unsafe {
            let start = &raw const pollux_trampoline_start;
            let length = (&raw const pollux_trampoline_end).offset_from(start) as usize;
            let long = (&raw const pollux_trampoline_long).offset_from(start) as u32;
            assert!(length <= PARAMETERS, "the trampoline's code reaches into its parameters");
            mapped.write_bytes(0, PAGE);
            mapped.copy_from_nonoverlapping(start, length);
            mapped.add(PARAMETERS).cast::<Parameters>().write(Parameters {
                gdt_limit: 3 * 8 - 1,
                gdt_base: [gdt as u16, (gdt >> 16) as u16],
                _pad: 0,
                far_offset: base + long,
                far_selector: 0x08,
                _pad2: 0,
                cr3: cr3.0 as u32,
                _pad3: 0,
                gdt: [0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff],
                stack,
                entry,
                argument,
            });
        }
    }
}
