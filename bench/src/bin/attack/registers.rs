//! Registers and flags before, at and after the system call.

use bench::abi::{Error, PAGE, Protection, Syscall, USER_END, decode};
use bench::runtime::memory::{Mapping, map, protect};
use bench::runtime::{calls, clock};

use crate::checks::Checks;
use crate::raw::Registers;

/// Makes one of them.
pub fn run(attack: &str) -> Option<Checks> {
    match attack {
        "none_leak" => Some(none_leak()),
        "survive_preemption" => Some(survive_preemption()),
        "flag_direction" => Some(with_flag(1 << 10)),
        "flag_nested_task" => Some(with_flag(1 << 14)),
        "flag_alignment" => Some(with_flag(1 << 18)),
        "flag_trap" => {
            trap(false);
            Some(Checks::not_stopped("single step"))
        }
        "flag_trap_after_mov_ss" => {
            trap(true);
            Some(Checks::not_stopped("single step"))
        }
        "wild_stack_pointer" => Some(wild_stack_pointer()),
        "forged_bases" => Some(forged_bases()),
        "forged_selectors" => Some(forged_selectors()),
        "syscall_at_the_edge" => syscall_at_the_edge(),
        "unknown_calls" => Some(unknown_calls()),
        _ => None,
    }
}

/// After a call that carries no message every register is as the ABI says: zero, preserved, or
/// made by the instruction itself.
fn none_leak() -> Checks {
    let mut checks = Checks::new();
    let calls: &[(&str, u64)] = &[
        ("Null", Syscall::Null as u64),
        ("Yield", Syscall::Yield as u64),
        ("Clock", Syscall::Clock as u64),
        ("Core", Syscall::Core as u64),
        ("SleepUntil", Syscall::SleepUntil as u64),
        ("Random", Syscall::Random as u64),
        ("ThreadJoin", Syscall::ThreadJoin as u64),
        ("ProcessSpawn", Syscall::ProcessSpawn as u64),
        ("NotificationWait", Syscall::NotificationWait as u64),
        ("CapabilityInspect", Syscall::CapabilityInspect as u64),
        ("no such call", 4711),
    ];
    for (name, number) in calls {
        let mut before = Registers::patterned(0x0123_4567_89ab_cdef);
        before.rax = *number;
        if *name == "SleepUntil" {
            before.rdi = 1;
        }
        let after = before.call();
        checks.holds((name, "zero", after), {
            [after.rdi, after.rsi, after.r8, after.r9, after.r10] == [0; 5]
        });
        let two_results = matches!(*name, "Clock" | "Core");
        checks.holds((name, "rdx", after.rdx), two_results || after.rdx == 0);
        let kept = |r: &Registers| [r.rbx, r.rbp, r.r12, r.r13, r.r14, r.r15];
        checks.holds((name, "preserved", after), kept(&after) == kept(&before));
        checks.holds((name, "rcx", after.rcx), after.rcx < USER_END);
        checks.holds((name, "r11", after.r11), after.r11 < 1 << 22);
        checks.holds((name, "rax", after.rax), {
            (after.rax as i64) >= 0 || after.rax.wrapping_neg() < 256
        });
    }
    checks
}

/// The timer takes the core away in the middle of this many times; the registers must not notice.
fn survive_preemption() -> Checks {
    let mut checks = Checks::new();
    let until = clock::ticks() + clock::ticks_in(100_000_000);
    let mut changed: u64 = 0;
    while clock::ticks() < until {
        // SAFETY: loads registers that are declared or restored, loops, compares.
        unsafe {
            core::arch::asm!(
                "push rbx", "push rbp",
                "mov rbx, 0x1111", "mov rbp, 0x2222", "mov r8, 0x3333", "mov r9, 0x4444",
                "mov r10, 0x5555", "mov r11, 0x6666", "mov r12, 0x7777", "mov r13, 0x8888",
                "mov r14, 0x9999", "mov r15, 0xaaaa", "mov rdi, 0xbbbb", "mov rsi, 0xcccc",
                "mov rdx, 0xdddd", "mov ecx, 100000",
                "2:", "dec ecx", "jnz 2b",
                "xor eax, eax",
                "sub rbx, 0x1111", "or rax, rbx", "sub rbp, 0x2222", "or rax, rbp",
                "sub r8, 0x3333", "or rax, r8", "sub r9, 0x4444", "or rax, r9",
                "sub r10, 0x5555", "or rax, r10", "sub r11, 0x6666", "or rax, r11",
                "sub r12, 0x7777", "or rax, r12", "sub r13, 0x8888", "or rax, r13",
                "sub r14, 0x9999", "or rax, r14", "sub r15, 0xaaaa", "or rax, r15",
                "sub rdi, 0xbbbb", "or rax, rdi", "sub rsi, 0xcccc", "or rax, rsi",
                "sub rdx, 0xdddd", "or rax, rdx", "or rax, rcx",
                "pop rbp", "pop rbx",
                out("rax") changed, out("rcx") _, out("rdx") _, out("rsi") _, out("rdi") _,
                out("r8") _, out("r9") _, out("r10") _, out("r11") _, out("r12") _,
                out("r13") _, out("r14") _, out("r15") _,
            );
        }
        if changed != 0 {
            break;
        }
    }
    checks.holds(("no register changed", changed), changed == 0);
    checks
}

/// System calls of each kind with a flag set that must not reach the kernel.
fn with_flag(flag: u64) -> Checks {
    let mut checks = Checks::new();
    let mut bytes = [0u8; 64];
    let soon = calls::clock().map_or(0, |(now, _)| now + 1_000_000);
    for (number, first, second) in [
        (Syscall::Null, 0, 0),
        (Syscall::Random, bytes.as_mut_ptr() as u64, 64),
        (Syscall::Yield, 0, 0),
        (Syscall::SleepUntil, soon, 0),
        (Syscall::Random, bytes.as_mut_ptr() as u64 + 1, 63),
    ] {
        let rax: u64;
        // SAFETY: the flag is cleared again before compiled code runs.
        unsafe {
            core::arch::asm!(
                "pushfq", "pushfq", "or [rsp], r12", "popfq",
                "syscall",
                "popfq",
                inlateout("rax") number as u64 => rax, inlateout("rdi") first => _,
                inlateout("rsi") second => _, in("r12") flag,
                lateout("rdx") _, lateout("rcx") _, lateout("r11") _,
                lateout("r8") _, lateout("r9") _, lateout("r10") _,
            );
        }
        checks.works((flag, number), decode(rax));
    }
    checks.holds("the bytes are random", bytes.iter().any(|byte| *byte != 0));
    checks
}

/// System call in single-step mode. The trap comes after it, and must hit the program only.
fn trap(after_mov_ss: bool) {
    // SAFETY: ends in a debug exception; if not, the flag is cleared again.
    unsafe {
        core::arch::asm!(
            "mov r12d, ss",
            "pushfq", "pushfq", "or qword ptr [rsp], 0x100",
            "xor eax, eax",
            "test r13, r13", "jz 2f",
            "popfq", "mov ss, r12d", "syscall", "jmp 3f",
            "2:", "popfq", "syscall",
            "3:", "nop", "nop", "popfq",
            in("r13") u64::from(after_mov_ss), out("r12") _,
            lateout("rax") _, lateout("rdi") _, lateout("rsi") _, lateout("rdx") _,
            lateout("rcx") _, lateout("r11") _, lateout("r8") _, lateout("r9") _, lateout("r10") _,
        );
    }
}

/// Stack pointers that name nothing, the kernel, or no address at all, at the system call and
/// while an interrupt comes.
fn wild_stack_pointer() -> Checks {
    let mut checks = Checks::new();
    for rsp in [0, 1, 8, 0xffff_ffff_8000_0000, 0xffff_8000_0000_1000, 1 << 47, u64::MAX] {
        for number in [Syscall::Null, Syscall::Yield, Syscall::Clock] {
            let rax: u64;
            // SAFETY: nothing uses the stack between the two moves; an interrupt or exception
            // switches to the kernel's own.
            unsafe {
                core::arch::asm!(
                    "mov r12, rsp", "mov rsp, r13",
                    "syscall",
                    "mov ecx, 200000", "2:", "dec ecx", "jnz 2b",
                    "cmp rsp, r13", "mov rsp, r12", "je 3f", "mov rax, -1", "3:",
                    inlateout("rax") number as u64 => rax, in("r13") rsp, out("r12") _,
                    lateout("rdi") _, lateout("rsi") _, lateout("rdx") _, lateout("rcx") _,
                    lateout("r11") _, lateout("r8") _, lateout("r9") _, lateout("r10") _,
                );
            }
            checks.works((rsp, number), decode(rax));
        }
    }
    checks
}

/// Whether ring 3 may set its bases itself: the CPU can, and the kernel allowed it (bit 1 of
/// AT_HWCAP2 elsewhere; here CPUID alone, as the kernel enables what the CPU has).
fn has_fsgsbase() -> bool {
    #[allow(unused_unsafe)] // safe in newer core
    // SAFETY: CPUID exists on every x86_64 processor.
    unsafe {
        core::arch::x86_64::__cpuid(7).ebx & 1 != 0
    }
}

/// GS and FS bases that look like the kernel's own, over system calls, switches and preemption.
fn forged_bases() -> Checks {
    let mut checks = Checks::new();
    checks.holds("the clock runs", clock::ticks() != 0);
    if !has_fsgsbase() {
        return checks;
    }
    for base in [0, 8, 0xffff_8000_0000_0000, 0xffff_ffff_8000_0000, USER_END - 8, u64::MAX] {
        let saved: u64;
        // SAFETY: nothing in this program uses GS; FS is put back below.
        unsafe {
            core::arch::asm!("rdfsbase {}", out(reg) saved);
            core::arch::asm!("wrgsbase {0}", "wrfsbase {0}", in(reg) base);
        }
        let results = [
            calls::null(),
            calls::yield_now(),
            calls::sleep_until(calls::clock().map_or(0, |(now, _)| now + 2_000_000)),
            calls::core().map(|_| ()),
        ];
        let until = clock::ticks() + clock::ticks_in(5_000_000);
        while clock::ticks() < until {}
        let (gs, fs): (u64, u64);
        // SAFETY: as above.
        unsafe {
            core::arch::asm!("rdgsbase {}", "rdfsbase {}", out(reg) gs, out(reg) fs);
            core::arch::asm!("wrfsbase {}", in(reg) saved);
        }
        checks.holds((base, "all calls work", results), results.iter().all(Result::is_ok));
        checks.holds((base, "the bases are kept", gs, fs), gs == base && fs == base);
    }
    checks
}

/// Null selectors in the data segments, over system calls and preemption.
fn forged_selectors() -> Checks {
    let mut checks = Checks::new();
    // SAFETY: 64-bit mode ignores these segments' bases and limits; nothing here uses FS or GS.
    unsafe {
        core::arch::asm!(
            "mov ds, {0:e}", "mov es, {0:e}", "mov fs, {0:e}", "mov gs, {0:e}",
            in(reg) 0u32,
        );
    }
    for _ in 0..3 {
        checks.works("null", calls::null());
        checks.works("yield", calls::yield_now());
        let soon = calls::clock().map_or(0, |(now, _)| now + 2_000_000);
        checks.works("sleep", calls::sleep_until(soon));
    }
    checks
}

/// `syscall` as the last instruction below the end of user space: it returns to an address that
/// is canonical still, but never mapped.
fn syscall_at_the_edge() -> Option<Checks> {
    let last = USER_END - PAGE as u64;
    let base = map(last, PAGE, Protection::WRITE).ok()?;
    // SAFETY: mapped just now; nobody else knows it.
    unsafe {
        base.add(PAGE - 2).write(0x0f);
        base.add(PAGE - 1).write(0x05);
    }
    // SAFETY: nobody has a reference into the page.
    unsafe { protect(base, PAGE, Protection::EXECUTE) }.ok()?;
    // SAFETY: `Null`, then a fault at the end of user space, which ends the process.
    unsafe { core::arch::asm!("jmp {}", in(reg) USER_END - 2, in("rax") 0, options(noreturn)) };
}

/// Numbers that name no call.
fn unknown_calls() -> Checks {
    let mut checks = Checks::new();
    let count = Syscall::COUNT as u64;
    for number in [count, count + 1, 255, 256, 1 << 31, 1 << 32, 1 << 32 | 4, 1 << 63, u64::MAX] {
        let result = crate::raw::call(number, &[1, 2, 3, 4, 5, 6]);
        checks.refused(("call", number), result, &[Error::NoSuchCall]);
    }
    let page = Mapping::new(PAGE);
    checks.works("the program goes on", page.map(drop));
    checks
}
