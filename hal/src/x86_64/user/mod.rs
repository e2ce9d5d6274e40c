//! Ring 3 as the kernel sees it: a [`UserThread`] is the machine state of one thread, [`enter`]
//! runs it until something needs the executor, and the system-call stub ([`entry`]) answers
//! everything that does not need it without ever leaving the thread's stay.
//!
//! One kernel stack per core is enough, because a stay in ring 3 *is* the call of [`enter`]: its
//! frame lies at the top of that stack, system calls and interrupts from ring 3 start right below
//! it, and [`leave`] drops whatever they put there and returns from [`enter`].
//!
//! ```text
//!            enter(thread)                       leave()
//!  executor ───────────────► ring 3 ──syscall──► gateway ──────────► executor
//!                              ▲  ▲  fast answer │ │
//!                              │  └──────────────┘ │
//!                              └── resume(other) ──┘   direct switch
//! ```
//!
//! Relies on: interrupts off from [`enter`] to its return, GS naming the core's [`PerCpu`], the
//! kernel half of every address space being the same.

pub mod copy;
pub mod entry;
pub mod fpu;

use super::paging::AddressSpace;
use super::percpu::PerCpu;
use core::arch::asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicPtr, AtomicU64};

pub use entry::{Gateway, Pair, enter, init_core, leave, resume, thread_ended};

/// How a thread goes back to ring 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum ResumeBy {
    /// `sysretq`: it is at a system call, `rcx` and `r11` carry nothing of its own.
    SysReturn = 0,
    /// `iretq`: it was interrupted anywhere, every register counts.
    InterruptReturn = 1,
}

/// Machine state of a ring-3 thread while it is not running, its save area while it is.
///
/// The first nine fields are pushed by the system-call stub in exactly this (reverse) order.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct UserThread {
    /// General registers, as at the last entry to the kernel.
    pub registers: Registers,
    /// How to go back.
    pub resume_by: ResumeBy,
    /// FS base: thread-local storage.
    pub fs_base: u64,
    /// GS base, which a thread may set itself where the CPU has FSGSBASE.
    pub gs_base: u64,
    /// Its process's address space, alive as long as this record.
    pub space: *const AddressSpace,
    /// The thread's FPU save area (see [`fpu`]), 64-byte aligned, owned by the thread's record.
    pub fpu: *mut u8,
}

/// The registers of a thread, in the order the entry stub lays them down.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
#[allow(missing_docs, reason = "they are named as the architecture names them")]
pub struct Registers {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub rsp: u64,
    pub rflags: u64,
    pub rip: u64,
    // `entry::SAVE_TOP` is here: the stub pushes down from it.
    pub rax: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub r10: u64,
    pub r8: u64,
    pub r9: u64,
    pub rcx: u64,
    pub r11: u64,
}

/// Offset in [`UserThread`] that the system-call stub pushes down from.
pub(super) const SAVE_TOP: usize = offset_of!(UserThread, registers.rax);

/// Flags a thread starts with: interrupts on, nothing else.
pub const RFLAGS_START: u64 = 0x202;

/// Flags a thread may have when it goes back to ring 3: the status flags, DF, TF, AC, ID, RF.
/// IOPL, NT, VM and the virtual-interrupt flags never pass; IF is always on.
pub const RFLAGS_ALLOWED: u64 = 0x25_0dd5 | 0x200;

impl UserThread {
    /// State of a thread about to start at `rip` with its stack at `rsp` and `argument` in `rdi`.
    /// The caller has checked both addresses to be in user space. `fpu` is an area made by
    /// [`fpu::Area`] that outlives this record.
    pub fn new(
        rip: u64,
        rsp: u64,
        argument: u64,
        fs_base: u64,
        space: *const AddressSpace,
        fpu: *mut u8,
    ) -> Self {
        Self {
            registers: Registers {
                rip,
                rsp,
                rdi: argument,
                rflags: RFLAGS_START,
                ..Registers::default()
            },
            resume_by: ResumeBy::SysReturn,
            fs_base,
            gs_base: 0,
            space,
            fpu,
        }
    }

    /// Copies in the registers of a thread that was interrupted in ring 3.
    pub fn save_interrupted(&mut self, frame: &super::exceptions::TrapFrame) {
        self.registers = Registers {
            r15: frame.r15,
            r14: frame.r14,
            r13: frame.r13,
            r12: frame.r12,
            rbp: frame.rbp,
            rbx: frame.rbx,
            rsp: frame.rsp,
            rflags: (frame.rflags & RFLAGS_ALLOWED) | 0x202,
            rip: frame.rip,
            rax: frame.rax,
            rdi: frame.rdi,
            rsi: frame.rsi,
            rdx: frame.rdx,
            r10: frame.r10,
            r8: frame.r8,
            r9: frame.r9,
            rcx: frame.rcx,
            r11: frame.r11,
        };
        self.resume_by = ResumeBy::InterruptReturn;
    }
}

/// What a core knows about ring 3; a part of [`PerCpu`](super::percpu::PerCpu). Only its own core
/// touches it, outside of interrupt handlers, so relaxed order is enough.
#[derive(Debug)]
#[repr(C)]
pub struct UserSlots {
    /// `current + SAVE_TOP`: where the system-call stub pushes the registers.
    pub save_top: AtomicU64,
    /// Whose FS, GS and FPU state the core's registers hold; null for nobody's.
    pub loaded: AtomicPtr<UserThread>,
    /// What the gateway keeps for this core; hal only carries it.
    pub gateway: AtomicPtr<()>,
}

impl UserSlots {
    /// Nobody has run yet.
    pub const fn new() -> Self {
        Self {
            save_top: AtomicU64::new(0),
            loaded: AtomicPtr::new(core::ptr::null_mut()),
            gateway: AtomicPtr::new(core::ptr::null_mut()),
        }
    }
}

impl Default for UserSlots {
    fn default() -> Self {
        Self::new()
    }
}

/// The thread that is in ring 3 (or in a system call) on this core, or was last.
#[inline(always)]
pub fn current() -> *mut UserThread {
    let thread;
    // SAFETY: GS names this core's block; one load from it.
    unsafe {
        asm!("mov {}, gs:[{at}]", out(reg) thread, at = const offset_of!(PerCpu, current),
            options(readonly, nostack, preserves_flags));
    }
    thread
}

/// What the gateway left in [`UserSlots::gateway`] on this core.
#[inline(always)]
pub fn gateway() -> *const () {
    const AT: usize = offset_of!(PerCpu, user) + offset_of!(UserSlots, gateway);
    let gateway;
    // SAFETY: as in `current`.
    unsafe {
        asm!("mov {}, gs:[{at}]", out(reg) gateway, at = const AT,
            options(pure, readonly, nostack, preserves_flags));
    }
    gateway
}
