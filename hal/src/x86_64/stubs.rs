//! The first and last instructions of every interrupt and exception.
//!
//! 256 stubs, 16 bytes apart, push a dummy error code where the CPU pushed none, push the vector
//! and join one of two paths:
//!
//! ```text
//!  most vectors ──► common:   swapgs iff from ring 3; depth++; dispatch; depth--;
//!                             from ring 3: user_tail (need not return); swapgs; iretq
//!  1 2 8 18 ──────► paranoid: from ring 3 as above; from ring 0 GS may still be (or already be)
//!                             the program's: save its base, take the block from the stack's top,
//!                             dispatch, put the base back; iretq
//! ```
//!
//! Interrupts stay off all the way.

use core::arch::naked_asm;
use core::mem::{offset_of, size_of};

use super::exceptions::{self, TrapFrame};
use super::percpu::PerCpu;

/// Distance between stubs, in bytes.
const STRIDE: u64 = 16;

/// Where the stub of `vector` starts.
pub(super) fn address(vector: u8) -> u64 {
    let table: unsafe extern "C" fn() = table;
    table as usize as u64 + u64::from(vector) * STRIDE
}

/// Vectors for which the CPU pushes an error code (Intel SDM vol. 3A, table 7-1), a bit each.
const WITH_ERROR_CODE: u32 = 1 << 8
    | 1 << 10
    | 1 << 11
    | 1 << 12
    | 1 << 13
    | 1 << 14
    | 1 << 17
    | 1 << 21
    | 1 << 29
    | 1 << 30;

/// Vectors that run on stacks of their own and must not trust GS, a bit each.
const PARANOID: u32 = 1 << 1 | 1 << 2 | 1 << 8 | 1 << 18;

/// The stubs themselves; never called, only pointed into by the IDT.
#[unsafe(naked)]
unsafe extern "C" fn table() {
    // `push imm8` (2 bytes) + `push imm32` (5) + `jmp rel32` (5) fit the stride. The vector goes
    // down as raw bytes: an assembler symbol as an operand would read as an address. The pushed
    // word is sign-extended, never negative.
    naked_asm!(
        ".balign 16",
        ".set pollux_vector, 0",
        ".rept 256",
        ".balign 16",
        ".if (pollux_vector >= 32) || ((({error} >> pollux_vector) & 1) == 0)",
        "push 0",
        ".endif",
        ".byte 0x68",
        ".long pollux_vector",
        ".if (pollux_vector < 32) && ((({paranoid} >> pollux_vector) & 1) == 1)",
        "jmp {paranoid_path}",
        ".else",
        "jmp {common_path}",
        ".endif",
        ".set pollux_vector, pollux_vector + 1",
        ".endr",
        error = const WITH_ERROR_CODE,
        paranoid = const PARANOID,
        paranoid_path = sym paranoid,
        common_path = sym common,
    )
}

/// The `iretq` that every return to ring 3 through an interrupt frame must `jmp` to, after
/// `swapgs`, with the five words of the frame on the stack. Should it fault, the CPU is still in
/// ring 0 but GS is the program's: `common` recognises this one address and swaps back.
///
/// # Safety
/// Only jumped to from assembly, with interrupts off.
#[unsafe(naked)]
pub unsafe extern "C" fn iret_to_user() {
    naked_asm!("iretq")
}

/// Wraps `$line`s into saving and restoring all registers; the order mirrors [`TrapFrame`]. They
/// leave by falling through (back to ring 0) or by jumping to `9f` (to ring 3, GS swapped).
macro_rules! with_registers {
    ($($line:literal,)* ; $($operands:tt)*) => {
        naked_asm!(
            "push rax", "push rcx", "push rdx", "push rbx", "push rbp", "push rsi", "push rdi",
            "push r8", "push r9", "push r10", "push r11", "push r12", "push r13", "push r14",
            "push r15",
            "cld",
            $($line,)*
            "pop r15", "pop r14", "pop r13", "pop r12", "pop r11", "pop r10", "pop r9", "pop r8",
            "pop rdi", "pop rsi", "pop rbp", "pop rbx", "pop rdx", "pop rcx", "pop rax",
            "add rsp, 16",
            "iretq",
            "9:",
            "pop r15", "pop r14", "pop r13", "pop r12", "pop r11", "pop r10", "pop r9", "pop r8",
            "pop rdi", "pop rsi", "pop rbp", "pop rbx", "pop rdx", "pop rcx", "pop rax",
            "add rsp, 16",
            "jmp {iret_to_user}",
            $($operands)*
            iret_to_user = sym iret_to_user,
            frame_rip = const offset_of!(TrapFrame, rip),
            cs = const offset_of!(TrapFrame, cs),
            depth = const offset_of!(PerCpu, interrupt_depth),
            dispatch = sym exceptions::dispatch,
            user_tail = sym exceptions::user_tail,
        )
    };
}

/// The path of ordinary vectors. The `lfence`s keep a mispredicted branch from running on with
/// the wrong GS (CVE-2019-1125).
#[unsafe(naked)]
unsafe extern "C" fn common() {
    with_registers!(
        "mov rdi, rsp",
        "test byte ptr [rsp + {cs}], 3",
        "jnz 3f",
        // From ring 0.
        "lea rax, [rip + {iret_to_user}]",
        "cmp rax, [rdi + {frame_rip}]",
        "jne 2f",
        "swapgs",
        "2: lfence",
        "inc dword ptr gs:[{depth}]",
        // A frame record of the interrupted function, so that backtraces go on into it.
        "push [rdi + {frame_rip}]",
        "push rbp",
        "mov rbp, rsp",
        "call {dispatch}",
        "add rsp, 16",
        "dec dword ptr gs:[{depth}]",
        "jmp 4f",
        // From ring 3.
        "3: swapgs",
        "lfence",
        "xor ebp, ebp",
        "inc dword ptr gs:[{depth}]",
        "call {dispatch}",
        "dec dword ptr gs:[{depth}]",
        "mov rdi, rsp",
        "call {user_tail}",
        "swapgs",
        "jmp 9f",
        "4:",
        ;
    )
}

/// The path of vectors with stacks of their own. `rbx` holds the GS base to put back and `r12`
/// the per-core block; both survive calls. `0xc0000101` is `IA32_GS_BASE`.
#[unsafe(naked)]
unsafe extern "C" fn paranoid() {
    with_registers!(
        "mov rdi, rsp",
        "test byte ptr [rsp + {cs}], 3",
        "jnz 3f",
        // From ring 0: whose GS this is nobody knows. Save its base, set ours.
        "mov r12, [rsp + {frame}]",
        "mov ecx, 0xc0000101",
        "rdmsr",
        "shl rdx, 32",
        "mov ebx, eax",
        "or rbx, rdx",
        "mov eax, r12d",
        "mov rdx, r12",
        "shr rdx, 32",
        "wrmsr",
        "lfence",
        "inc dword ptr [r12 + {depth}]",
        "push [rdi + {frame_rip}]",
        "push rbp",
        "mov rbp, rsp",
        "call {dispatch}",
        "add rsp, 16",
        "dec dword ptr [r12 + {depth}]",
        "mov ecx, 0xc0000101",
        "mov eax, ebx",
        "mov rdx, rbx",
        "shr rdx, 32",
        "wrmsr",
        "jmp 4f",
        // From ring 3 GS is certainly the program's.
        "3: swapgs",
        "lfence",
        "xor ebp, ebp",
        "inc dword ptr gs:[{depth}]",
        "call {dispatch}",
        "dec dword ptr gs:[{depth}]",
        "mov rdi, rsp",
        "call {user_tail}",
        "swapgs",
        "jmp 9f",
        "4:",
        ;
        frame = const size_of::<TrapFrame>(),
    )
}
