//! What an interrupt or exception means, and who is asked about it.
//!
//! ```text
//!                      from ring 0                          from ring 3
//!  device vector       handler, then back                   handler, then hooks.user_return
//!  exception           page fault, #GP: kernel_fixup        hooks.user_fault
//!                      firmware's code: left behind
//!                      else hooks.fatal
//!  NMI, machine check  set a flag and self-IPI, or stop     the same, then hooks.user_return
//! ```
//!
//! Handlers take no lock and free nothing. The kernel fills [`Hooks`] once, early.

use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use super::aml::guard;
use super::{apic, cpu, interrupt, interrupts, ipi, percpu, vectors};

/// All that was in the registers when an interrupt or exception struck, as the stubs and the CPU
/// push it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "registers are called what they are called")]
pub struct TrapFrame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rax: u64,
    /// Which vector: an exception below 32, an interrupt from there on.
    pub vector: u64,
    /// The CPU's error code, zero where it gives none.
    pub error_code: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

impl TrapFrame {
    /// Whether ring 3 was interrupted.
    #[inline]
    pub fn from_user(&self) -> bool {
        self.cs & 3 != 0
    }

    /// The exception's name, or "interrupt".
    pub fn what(&self) -> &'static str {
        exception_name(self.vector)
    }
}

/// Exception vectors that someone asks for by name (Intel SDM vol. 3A, table 7-1).
#[allow(missing_docs, reason = "the names are the documentation")]
pub mod exception {
    pub const DEBUG: u64 = 1;
    pub const NMI: u64 = 2;
    pub const GENERAL_PROTECTION: u64 = 13;
    pub const PAGE_FAULT: u64 = 14;
    pub const MACHINE_CHECK: u64 = 18;
}

/// The name of an exception vector.
pub fn exception_name(vector: u64) -> &'static str {
    const NAMES: [&str; 22] = [
        "divide error",
        "debug exception",
        "NMI",
        "breakpoint",
        "overflow",
        "bound range exceeded",
        "invalid opcode",
        "device not available",
        "double fault",
        "coprocessor segment overrun",
        "invalid TSS",
        "segment not present",
        "stack-segment fault",
        "general protection fault",
        "page fault",
        "reserved exception",
        "x87 floating-point error",
        "alignment check",
        "machine check",
        "SIMD floating-point exception",
        "virtualization exception",
        "control protection exception",
    ];
    match usize::try_from(vector).ok().and_then(|vector| NAMES.get(vector)) {
        Some(name) => name,
        None if vector < 32 => "reserved exception",
        None => "interrupt",
    }
}

/// What the kernel does at the ends of the handling here. All run with interrupts off.
#[derive(Clone, Copy, Debug)]
pub struct Hooks {
    /// An interrupt that came in ring 3 has been handled (depth is back to zero). Returning goes
    /// back to where the frame says; or copy the frame and never return, abandoning the stack.
    pub user_return: fn(&mut TrapFrame),
    /// Ring 3 caused an exception. The same rule; returning runs the program on as the frame says.
    pub user_fault: fn(&mut TrapFrame),
    /// A page fault or #GP at this kernel instruction: where to go on, if it was a guarded copy.
    pub kernel_fixup: fn(rip: u64) -> Option<u64>,
    /// Another core changed address translations that this core may have cached.
    pub tlb_shootdown: fn(),
    /// Something the kernel cannot go on from.
    pub fatal: fn(&TrapFrame, what: &'static str) -> !,
}

static DEFAULT_HOOKS: Hooks = Hooks {
    user_return: |_| {},
    user_fault: |frame| fatal_default(frame, "exception in ring 3 before the kernel expects any"),
    kernel_fixup: |_| None,
    tlb_shootdown: || {},
    fatal: fatal_default,
};

static HOOKS: AtomicPtr<Hooks> = AtomicPtr::new((&raw const DEFAULT_HOOKS).cast_mut());

/// Interrupts on vectors nobody owns, over all cores.
static UNEXPECTED: AtomicU64 = AtomicU64::new(0);

/// Tells the exception paths whom to ask. Called once, before ring 3 runs and other cores start.
pub fn set_hooks(hooks: &'static Hooks) {
    HOOKS.store(core::ptr::from_ref(hooks).cast_mut(), Ordering::Release);
}

/// The hooks in force.
#[inline]
pub fn hooks() -> &'static Hooks {
    // SAFETY: only ever `DEFAULT_HOOKS` or what `set_hooks` took, both `'static` and unchanging.
    unsafe { &*HOOKS.load(Ordering::Acquire) }
}

/// How many interrupts came on vectors that nobody owned (a device that was told a wrong vector,
/// or one that was slow to stop).
pub fn unexpected_interrupts() -> u64 {
    UNEXPECTED.load(Ordering::Relaxed)
}

fn fatal_default(frame: &TrapFrame, what: &'static str) -> ! {
    log::error!(
        "core{}: {what} ({}) at {:#x}, error code {:#x}, address {:#x}: stopped",
        percpu::this().core(),
        frame.what(),
        frame.rip,
        frame.error_code,
        cpu::fault_address(),
    );
    interrupts::halt_forever()
}

/// Called by the stubs for every vector, with interrupts off and the kernel's GS.
pub(super) extern "C" fn dispatch(frame: &mut TrapFrame) {
    cpu::clear_user_access();
    match frame.vector {
        exception::NMI => nmi(frame),
        exception::MACHINE_CHECK => machine_check(frame),
        0..32 if frame.from_user() => {} // `user_tail` takes it from here
        0..32 => kernel_exception(frame),
        vector => {
            device(vector as u8);
            if vector == u64::from(vectors::TIMER) {
                guard::tick(frame);
            }
        }
    }
}

/// Called by the stubs last, when ring 3 was interrupted: depth is zero again.
pub(super) extern "C" fn user_tail(frame: &mut TrapFrame) {
    match frame.vector {
        exception::NMI | exception::MACHINE_CHECK | 32.. => (hooks().user_return)(frame),
        _ => (hooks().user_fault)(frame),
    }
}

fn kernel_exception(frame: &mut TrapFrame) {
    let hooks = hooks();
    if matches!(frame.vector, exception::PAGE_FAULT | exception::GENERAL_PROTECTION)
        && let Some(rip) = (hooks.kernel_fixup)(frame.rip)
    {
        frame.rip = rip;
        return;
    }
    if frame.vector == exception::DEBUG {
        // A single step that `syscall` carried into ring 0, or a breakpoint on kernel memory that
        // nobody set: clear it and go on.
        cpu::clear_debug_status();
        frame.rflags &= !cpu::RFLAGS_TRAP;
        return;
    }
    if guard::faulted(frame) {
        return;
    }
    (hooks.fatal)(frame, frame.what())
}

/// NMIs stop the core when another one panicked; else they are noted and looked at outside.
fn nmi(frame: &TrapFrame) {
    let block = percpu::this();
    if block.stop_requested.load(Ordering::Acquire) {
        ipi::stop_here(frame);
    }
    block.nmi_pending.store(true, Ordering::Relaxed);
    apic::self_ipi(vectors::DEFERRED);
}

/// A machine check is fatal unless the CPU says that the interrupted program can go on unharmed.
fn machine_check(frame: &TrapFrame) {
    if !cpu::machine_check_is_survivable() {
        (hooks().fatal)(frame, "machine check: the hardware reports an error it cannot correct")
    }
    percpu::this().machine_check_pending.store(true, Ordering::Relaxed);
    apic::self_ipi(vectors::DEFERRED);
}

fn device(vector: u8) {
    match vector {
        // Both PICs are masked, yet their spurious lines 7 and 15 may still fire: no EOI.
        vectors::PIC_FIRST..=vectors::PIC_LAST => {
            UNEXPECTED.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // "Not an interrupt": no EOI either (Intel SDM vol. 3A, 12.9).
        vectors::SPURIOUS => return,
        vectors::TIMER | vectors::KICK => {} // whoever sleeps is awake now and reads the clock
        vectors::TLB => (hooks().tlb_shootdown)(),
        vectors::IOAPIC => super::ioapic::apply_requests(),
        vectors::DEFERRED => deferred(),
        vectors::ERROR => apic::note_error(),
        vector => {
            if !interrupt::deliver(percpu::this().core(), vector) {
                UNEXPECTED.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    apic::eoi();
}

/// The part of NMI and machine check handling that may touch more than a flag.
fn deferred() {
    let block = percpu::this();
    if block.nmi_pending.swap(false, Ordering::Relaxed) {
        interrupt::NMIS.raise();
    }
    if block.machine_check_pending.swap(false, Ordering::Relaxed) {
        interrupt::MACHINE_CHECKS.raise();
    }
}
