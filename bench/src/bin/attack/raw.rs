//! The `syscall` instruction with every register in the attacker's hands.

use bench::abi::{Error, decode};

/// All registers a program can load before `syscall`, but the stack pointer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Registers {
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub rbp: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
}

impl Registers {
    /// Every register holds `value`, turned by its place, so that no two are alike.
    pub fn patterned(value: u64) -> Self {
        let word = |place: u32| value.rotate_left(place) ^ u64::from(place);
        Self {
            rax: word(0),
            rbx: word(1),
            rcx: word(2),
            rdx: word(3),
            rsi: word(4),
            rdi: word(5),
            rbp: word(6),
            r8: word(8),
            r9: word(9),
            r10: word(10),
            r11: word(11),
            r12: word(12),
            r13: word(13),
            r14: word(14),
            r15: word(15),
        }
    }

    /// Makes the system call; the registers as they came back.
    #[must_use]
    pub fn call(mut self) -> Self {
        #[cfg(target_os = "none")]
        // SAFETY: the function saves and restores what its caller relies on. What the call does
        // is the attacker's intention; a process that unmaps itself dies by a fault.
        unsafe {
            exchange(&raw mut self);
        }
        #[cfg(not(target_os = "none"))]
        {
            self.rax = Error::NotSupported.to_raw();
        }
        self
    }
}

/// A system call by number with up to six arguments, and its result.
pub fn call(number: u64, arguments: &[u64]) -> Result<u64, Error> {
    let argument = |place: usize| arguments.get(place).copied().unwrap_or(0);
    let registers = Registers {
        rax: number,
        rdi: argument(0),
        rsi: argument(1),
        rdx: argument(2),
        r10: argument(3),
        r8: argument(4),
        r9: argument(5),
        ..Registers::default()
    };
    decode(registers.call().rax)
}

/// Loads all registers from `registers`, makes the call, stores them back.
#[cfg(target_os = "none")]
#[unsafe(naked)]
unsafe extern "C" fn exchange(registers: *mut Registers) {
    core::arch::naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "push rdi",
        "mov rax, [rdi]",
        "mov rbx, [rdi + 8]",
        "mov rcx, [rdi + 16]",
        "mov rdx, [rdi + 24]",
        "mov rsi, [rdi + 32]",
        "mov rbp, [rdi + 48]",
        "mov r8,  [rdi + 56]",
        "mov r9,  [rdi + 64]",
        "mov r10, [rdi + 72]",
        "mov r11, [rdi + 80]",
        "mov r12, [rdi + 88]",
        "mov r13, [rdi + 96]",
        "mov r14, [rdi + 104]",
        "mov r15, [rdi + 112]",
        "mov rdi, [rdi + 40]",
        "syscall",
        // The pointer comes back from the stack, the result in rdi takes its place.
        "xchg rdi, [rsp]",
        "mov [rdi], rax",
        "mov [rdi + 8], rbx",
        "mov [rdi + 16], rcx",
        "mov [rdi + 24], rdx",
        "mov [rdi + 32], rsi",
        "mov [rdi + 48], rbp",
        "mov [rdi + 56], r8",
        "mov [rdi + 64], r9",
        "mov [rdi + 72], r10",
        "mov [rdi + 80], r11",
        "mov [rdi + 88], r12",
        "mov [rdi + 96], r13",
        "mov [rdi + 104], r14",
        "mov [rdi + 112], r15",
        "pop rax",
        "mov [rdi + 40], rax",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
    )
}
