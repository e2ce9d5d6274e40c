//! Instructions that ring 3 must not execute, and those that raise each kind of exception.

use core::arch::asm;

use crate::checks::Checks;

macro_rules! instructions {
    ($attack:expr, $($name:literal: $($line:literal),+;)*) => {
        match $attack {
            $($name => {
                // SAFETY: the instruction faults, which ends the process; should the CPU execute
                // it after all, the next line says so and the process ends with a failure.
                unsafe {
                    asm!(
                        $($line),+,
                        out("rax") _, out("rcx") _, out("rdx") _, out("r8") _, out("r11") _,
                    );
                }
                Some(Checks::not_stopped($name))
            })*
            _ => None,
        }
    };
}

/// Executes one of them.
pub fn run(attack: &str) -> Option<Checks> {
    instructions! { attack,
        "hlt": "hlt";
        "cli": "cli";
        "sti": "sti";
        "in": "in al, 0x60";
        "out": "mov al, 0xfe", "out 0x64, al";
        "rdmsr": "mov ecx, 0xc0000080", "rdmsr";
        "wrmsr": "mov ecx, 0xc0000082", "xor eax, eax", "xor edx, edx", "wrmsr";
        "read_cr0": "mov rax, cr0";
        "write_cr0": "xor eax, eax", "mov cr0, rax";
        "write_cr3": "xor eax, eax", "mov cr3, rax";
        "write_cr4": "xor eax, eax", "mov cr4, rax";
        "write_cr8": "mov eax, 15", "mov cr8, rax";
        "write_dr7": "mov eax, 0x403", "mov dr7, rax";
        "lgdt": "push 0", "push 0", "lgdt [rsp]", "pop rax", "pop rax";
        "lidt": "push 0", "push 0", "lidt [rsp]", "pop rax", "pop rax";
        "lldt": "xor eax, eax", "lldt ax";
        "ltr": "mov eax, 0x28", "ltr ax";
        "clts": "clts";
        "lmsw": "xor eax, eax", "lmsw ax";
        "invlpg": "mov eax, 0x400000", "invlpg [rax]";
        "invd": "invd";
        "wbinvd": "wbinvd";
        "swapgs": "swapgs";
        "sysret": "mov rcx, 0xffffffff80000000", "mov r11d, 0x202", "sysretq";
        "xsetbv": "xor ecx, ecx", "mov eax, 1", "xor edx, edx", "xsetbv";
        "sysenter": "sysenter";
        "sysexit": "sysexit";
        "stac": "stac";
        "ud2": "ud2";
        "divide_by_zero": "mov eax, 1", "xor edx, edx", "xor ecx, ecx", "div ecx";
        "int3": "int3";
        "icebp": ".byte 0xf1";
        "int_2": "int 2";
        "int_8": "int 8";
        "int_14": "int 14";
        "int_18": "int 18";
        "int_32": "int 32";
        "int_128": "int 128";
        "int_255": "int 255";
        "iret_to_ring_0":
            "mov rcx, rsp", "push 0x10", "push rcx", "pushfq", "push 0x8",
            "lea rax, [rip + 2f]", "push rax", "iretq", "2:";
        "far_return_to_ring_0":
            "push 0x8", "lea rax, [rip + 2f]", "push rax", "retfq", "2:";
        "load_kernel_segment": "mov eax, 0x10", "mov ds, ax";
        // Unmask the x87's divide error, divide one by zero, let it be seen.
        "x87_unmasked":
            "push 0x33b", "fninit", "fldcw [rsp]", "pop rax", "fld1", "fldz", "fdivp", "fwait";
        // The same for SSE.
        "simd_unmasked":
            "push 0x1d80", "ldmxcsr [rsp]", "pop rax", "xorps xmm1, xmm1", "mov eax, 1",
            "cvtsi2ss xmm0, eax", "divss xmm0, xmm1";
        "bad_mxcsr": "mov rax, -1", "push rax", "ldmxcsr [rsp]", "pop rax";
    }
}
