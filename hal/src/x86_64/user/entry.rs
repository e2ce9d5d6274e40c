//! The doors between ring 0 and ring 3: the `syscall` stub, [`enter`], [`resume`], [`leave`].
//!
//! The stub pushes the nine registers that a call must preserve straight into the current thread's
//! record, so a thread that has to wait is already saved, and one that need not wait pays nine
//! stores. Ring 3 can't reach these pages, interrupts are off, and NMI and machine check have
//! stacks of their own, so using the record as a stack for those pushes is safe.
//!
//! Source: AMD APM vol. 2 §6.1 (SYSCALL/SYSRET). The last page of user space is never mapped, so
//! the `rip` that `sysretq` gets is always canonical.

use super::{Registers, ResumeBy, SAVE_TOP, UserSlots, UserThread, fpu};
use crate::x86_64::cpu::{self, Features};
use crate::x86_64::descriptors::{STAR, USER_CODE, USER_DATA};
use crate::x86_64::percpu::{self, PerCpu};
use crate::x86_64::stubs;
use core::arch::{asm, naked_asm};
use core::mem::offset_of;
use core::sync::atomic::Ordering::Relaxed;

/// `rax` and `rdx` of a system call's return.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Pair {
    /// Result, or a negated error.
    pub rax: u64,
    /// Second value, or zero.
    pub rdx: u64,
}

/// What answers system calls. The kernel implements it once; [`init_core`] compiles its stub.
pub trait Gateway {
    /// Called on the core's kernel stack with interrupts off, the caller's preserved registers
    /// already in [`super::current`]. Returning goes straight back to the caller; [`resume`] goes
    /// to another thread; [`leave`] ends the stay. No value with a destructor may be alive when
    /// either of those is called.
    ///
    /// `a0` to `a4` are `rdi rsi rdx r10 r8`. The sixth argument, `r9`, is in the caller's record,
    /// so that the number comes in a register and not on the stack.
    extern "C" fn syscall(a0: u64, a1: u64, a2: u64, a3: u64, a4: u64, number: u64) -> Pair;
}

/// TF, IF, DF, IOPL, NT, RF, AC: cleared on entry.
const SYSCALL_FLAG_MASK: u64 = 0x100 | 0x200 | 0x400 | 0x3000 | 0x4000 | 0x1_0000 | 0x4_0000;

const MSR_EFER: u32 = 0xc000_0080;
const MSR_STAR: u32 = 0xc000_0081;
const MSR_LSTAR: u32 = 0xc000_0082;
const MSR_CSTAR: u32 = 0xc000_0083;
const MSR_SFMASK: u32 = 0xc000_0084;
const MSR_FS_BASE: u32 = 0xc000_0100;
const MSR_KERNEL_GS_BASE: u32 = 0xc000_0102;
const EFER_SCE: u64 = 1;

/// Opens the `syscall` door on this core, which has its GDT, [`PerCpu`] and CR4 set up.
pub fn init_core<G: Gateway>() {
    fpu::init_core();
    super::copy::set_smap(cpu::features().has(Features::SMAP));
    // SAFETY: the registers exist on every x86-64 CPU; the stub handles what they let in.
    unsafe {
        cpu::write_msr(MSR_STAR, STAR);
        cpu::write_msr(MSR_LSTAR, syscall_entry::<G> as *const () as u64);
        // 32-bit code can't run here (no 32-bit user segment), but AMD CPUs would take this door.
        cpu::write_msr(MSR_CSTAR, syscall_entry::<G> as *const () as u64);
        cpu::write_msr(MSR_SFMASK, SYSCALL_FLAG_MASK);
        cpu::write_msr(MSR_EFER, cpu::read_msr(MSR_EFER) | EFER_SCE);
    }
}

const USER_RSP: usize = offset_of!(PerCpu, user_rsp);
const KERNEL_RSP: usize = offset_of!(PerCpu, kernel_rsp);
const RSP0: usize = offset_of!(PerCpu, tss_rsp0);
const USER_SAVE_TOP: usize = offset_of!(PerCpu, user) + offset_of!(UserSlots, save_top);

/// Where `syscall` lands.
///
/// # Safety
/// Only the CPU may come here, from ring 3.
#[unsafe(naked)]
unsafe extern "C" fn syscall_entry<G: Gateway>() {
    naked_asm!(
        "swapgs",
        "mov gs:[{user_rsp}], rsp",
        "mov rsp, gs:[{save_top}]",
        "mov [rsp + {r9}], r9",
        "push rcx", // rip
        "push r11", // rflags
        "push qword ptr gs:[{user_rsp}]",
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov rsp, gs:[{kernel_rsp}]",
        "sub rsp, 8", // `enter_raw` left it 8 off
        "mov r9, rax",
        "mov rcx, r10",
        "call {syscall}",
        "xor edi, edi",
        "xor esi, esi",
        "xor r8d, r8d",
        "xor r9d, r9d",
        "xor r10d, r10d",
        "mov rsp, gs:[{save_top}]",
        "mov rcx, [rsp - 8]",
        "mov r11, [rsp - 16]",
        "mov rsp, [rsp - 24]",
        "swapgs",
        "sysretq",
        user_rsp = const USER_RSP,
        save_top = const USER_SAVE_TOP,
        kernel_rsp = const KERNEL_RSP,
        r9 = const offset_of!(UserThread, registers) + offset_of!(Registers, r9) - SAVE_TOP,
        syscall = sym G::syscall,
    )
}

/// Runs `thread` in ring 3 until [`leave`]. Which thread left is [`super::current`].
///
/// # Safety
/// Interrupts are off. `thread` is a live record on its home core whose registers hold user
/// addresses, whose address space and FPU area live as long as it.
pub unsafe fn enter(thread: *mut UserThread) {
    // SAFETY: the caller's promise is this function's contract.
    unsafe {
        load(thread);
        enter_raw(thread);
    }
}

/// Leaves this system call or interrupt behind and goes on with `thread` instead: the direct
/// switch.
///
/// # Safety
/// As [`enter`]; in addition we are inside a stay on this core, the previous thread's registers are
/// saved, and no value with a destructor is alive on this stack.
#[inline]
pub unsafe fn resume(thread: *mut UserThread) -> ! {
    // SAFETY: the caller's promise.
    unsafe {
        load(thread);
        resume_raw(thread)
    }
}

/// Ends the stay: [`enter`] returns.
///
/// # Safety
/// We are inside a stay on this core with interrupts off, the current thread's registers are saved,
/// and no value with a destructor is alive on this stack.
#[inline]
pub unsafe fn leave() -> ! {
    // SAFETY: `kernel_rsp` was set by `enter_raw`, which is still waiting below us on this stack.
    unsafe { leave_raw() }
}

/// Makes `thread` the core's current one: address space, segment bases, FPU state.
///
/// # Safety
/// As [`enter`].
#[inline(always)]
unsafe fn load(thread: *mut UserThread) {
    let cpu = percpu::this();
    let loaded = cpu.user.loaded.load(Relaxed);
    // SAFETY: `thread` is live (caller) and so is `loaded`, which `thread_ended` clears before a
    // record goes; their areas live as long as they.
    unsafe {
        if loaded != thread {
            if fpu::is_modern() && !loaded.is_null() {
                fpu::save_modern((*loaded).fpu);
                swap_bases(loaded, thread);
                fpu::restore_modern((*thread).fpu);
            } else {
                exchange(loaded, thread);
            }
            cpu.user.loaded.store(thread, Relaxed);
        }
        (*(*thread).space).enter();
        cpu.current.store(thread.cast(), Relaxed);
        cpu.user.save_top.store(thread as u64 + SAVE_TOP as u64, Relaxed);
    }
}

/// Exchanges FPU state and segment bases where there was no thread before, or on a CPU without
/// XSAVEOPT or FSGSBASE.
///
/// # Safety
/// As [`enter`]; `from` is null or live.
#[cold]
#[inline(never)]
unsafe fn exchange(from: *mut UserThread, to: *mut UserThread) {
    let fsgsbase = cpu::features().has(Features::FSGSBASE);
    // SAFETY: both are live, their areas live as long as they; the MSRs exist on every x86-64 CPU.
    unsafe {
        if !from.is_null() {
            fpu::save((*from).fpu);
            if fsgsbase {
                (*from).fs_base = cpu::read_msr(MSR_FS_BASE);
                (*from).gs_base = cpu::read_msr(MSR_KERNEL_GS_BASE);
            }
        }
        // Without the instructions ring 3 can't change its bases, so there was nothing to save.
        cpu::write_msr(MSR_FS_BASE, (*to).fs_base);
        cpu::write_msr(MSR_KERNEL_GS_BASE, (*to).gs_base);
        fpu::restore((*to).fpu);
    }
}

/// Exchanges segment bases by FSGSBASE.
///
/// # Safety
/// Interrupts are off, GS is the kernel's, the CPU has the instructions. Both are live; of a thread
/// that waits on another core's affair that core may be writing the registers, but nobody the
/// bases.
#[inline(always)]
unsafe fn swap_bases(from: *mut UserThread, to: *mut UserThread) {
    // SAFETY: between the two `swapgs` nothing uses GS; NMI and machine check don't rely on it. The
    // caller vouches for the records.
    unsafe {
        asm!(
            "rdfsbase {fs}",
            "swapgs",
            "rdgsbase {gs}",
            "wrgsbase {new_gs}",
            "swapgs",
            "wrfsbase {new_fs}",
            fs = out(reg) (*from).fs_base,
            gs = out(reg) (*from).gs_base,
            new_gs = in(reg) (*to).gs_base,
            new_fs = in(reg) (*to).fs_base,
            options(nostack, preserves_flags)
        );
    }
}

/// Forgets `thread` on this core, its home, so that its record may be freed: nothing will be saved
/// to it again. Its address space may still be loaded; that is the address space's affair.
pub fn thread_ended(thread: *const UserThread) {
    let loaded = &percpu::this().user.loaded;
    if core::ptr::eq(loaded.load(Relaxed), thread) {
        loaded.store(core::ptr::null_mut(), Relaxed);
    }
}

/// Saves the kernel's callee-saved registers, marks the stack, goes to ring 3.
///
/// # Safety
/// As [`enter`], after `load`.
#[unsafe(naked)]
unsafe extern "C" fn enter_raw(thread: *mut UserThread) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov gs:[{kernel_rsp}], rsp",
        "mov rax, gs:[{rsp0}]",
        "mov [rax], rsp",
        "jmp {resume}",
        kernel_rsp = const KERNEL_RSP,
        rsp0 = const RSP0,
        resume = sym resume_raw,
    )
}

/// Returns from [`enter_raw`].
///
/// # Safety
/// As [`leave`].
#[unsafe(naked)]
unsafe extern "C" fn leave_raw() -> ! {
    naked_asm!(
        "mov rsp, gs:[{kernel_rsp}]",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
        kernel_rsp = const KERNEL_RSP,
    )
}

/// Goes to ring 3 with every register from the record.
///
/// # Safety
/// As [`resume`], after `load`.
#[unsafe(naked)]
unsafe extern "C" fn resume_raw(thread: *mut UserThread) -> ! {
    naked_asm!(
        "mov r15, [rdi + {r15}]",
        "mov r14, [rdi + {r14}]",
        "mov r13, [rdi + {r13}]",
        "mov r12, [rdi + {r12}]",
        "mov rbp, [rdi + {rbp}]",
        "mov rbx, [rdi + {rbx}]",
        "mov rax, [rdi + {rax}]",
        "mov rsi, [rdi + {rsi}]",
        "mov rdx, [rdi + {rdx}]",
        "mov r10, [rdi + {r10}]",
        "mov r8, [rdi + {r8}]",
        "mov r9, [rdi + {r9}]",
        "cmp qword ptr [rdi + {resume_by}], 0",
        "jne 2f",
        "mov rcx, [rdi + {rip}]",
        "mov r11, [rdi + {rflags}]",
        "mov rsp, [rdi + {rsp}]",
        "mov rdi, [rdi + {rdi_at}]",
        "swapgs",
        "sysretq",
        "2:",
        "mov rsp, gs:[{kernel_rsp}]",
        "push {user_data}",
        "push qword ptr [rdi + {rsp}]",
        "push qword ptr [rdi + {rflags}]",
        "push {user_code}",
        "push qword ptr [rdi + {rip}]",
        "mov rcx, [rdi + {rcx}]",
        "mov r11, [rdi + {r11}]",
        "mov qword ptr [rdi + {resume_by}], 0", // the next entry is a syscall unless it says otherwise
        "mov rdi, [rdi + {rdi_at}]",
        "swapgs",
        "jmp {iret}",
        r15 = const offset_of!(UserThread, registers) + offset_of!(Registers, r15),
        r14 = const offset_of!(UserThread, registers) + offset_of!(Registers, r14),
        r13 = const offset_of!(UserThread, registers) + offset_of!(Registers, r13),
        r12 = const offset_of!(UserThread, registers) + offset_of!(Registers, r12),
        rbp = const offset_of!(UserThread, registers) + offset_of!(Registers, rbp),
        rbx = const offset_of!(UserThread, registers) + offset_of!(Registers, rbx),
        rsp = const offset_of!(UserThread, registers) + offset_of!(Registers, rsp),
        rflags = const offset_of!(UserThread, registers) + offset_of!(Registers, rflags),
        rip = const offset_of!(UserThread, registers) + offset_of!(Registers, rip),
        rax = const offset_of!(UserThread, registers) + offset_of!(Registers, rax),
        rdi_at = const offset_of!(UserThread, registers) + offset_of!(Registers, rdi),
        rsi = const offset_of!(UserThread, registers) + offset_of!(Registers, rsi),
        rdx = const offset_of!(UserThread, registers) + offset_of!(Registers, rdx),
        r10 = const offset_of!(UserThread, registers) + offset_of!(Registers, r10),
        r8 = const offset_of!(UserThread, registers) + offset_of!(Registers, r8),
        r9 = const offset_of!(UserThread, registers) + offset_of!(Registers, r9),
        rcx = const offset_of!(UserThread, registers) + offset_of!(Registers, rcx),
        r11 = const offset_of!(UserThread, registers) + offset_of!(Registers, r11),
        resume_by = const offset_of!(UserThread, resume_by),
        kernel_rsp = const KERNEL_RSP,
        user_data = const USER_DATA as i32,
        user_code = const USER_CODE as i32,
        iret = sym stubs::iret_to_user,
    )
}

const _: () = assert!(offset_of!(UserThread, registers) == 0 && SAVE_TOP == 72);
const _: () = assert!(ResumeBy::SysReturn as u64 == 0);
