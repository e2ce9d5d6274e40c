//! Running firmware's code so that it can break nothing but itself.
//!
//! Its interpreter panics at code that makes no sense, may loop for ever, and takes the heap it
//! wants. So it runs on a stack of its own, and what goes wrong there ends with the stack left
//! behind for good, as a thread is that never runs again: nothing is unwound, nothing is freed, and
//! nobody looks at its data any more.
//!
//! ```text
//!   run(work) ── enter ─► own stack: work ── done ─────────────────────────────► its result
//!        ▲                    │ a panic, a fault, too long, too much heap
//!        └──── Abandoned ◄────┘ the stack and all that it holds are lost
//! ```
//!
//! Time and heap are looked at by the timer's interrupt. It abandons nothing while the kernel does
//! something for the code ([`in_kernel`]), or while a lock of the heap is held: the kernel's own data
//! is whole. One core at a time does this; its interrupts are on.

use alloc::boxed::Box;
use core::arch::naked_asm;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use thiserror_no_std::Error;

use crate::memory::stack::KernelStack;
use crate::memory::{FRAME_SIZE, frames, heap};
use crate::x86_64::exceptions::TrapFrame;
use crate::x86_64::time::{clock, timer};
use crate::x86_64::{interrupts, percpu};

/// The stack, in pages.
const STACK_PAGES: u64 = 64;
/// How long it may take, in microseconds. Big machines' tables take a tenth of a second.
const LIMIT_US: u64 = 3_000_000;
/// How often that is looked at.
const TICK_US: u64 = 1_000;
/// How much the heap may grow meanwhile, and which share of the memory that is free.
const HEAP_LIMIT: u64 = 32 << 20;
const HEAP_SHARE: u64 = 4;

/// Why the code was left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Abandoned {
    /// There is no stack for it.
    #[error("there is no memory for a stack")]
    NoStack,
    /// It panicked or faulted: the log says what.
    #[error("it breaks its interpreter")]
    Broken,
    /// It took too long, or too much memory.
    #[error("it takes too long, or too much memory")]
    Endless,
}

/// Nobody's core.
const NONE: u32 = u32::MAX;

/// The core that runs firmware's code now.
static CORE: AtomicU32 = AtomicU32::new(NONE);
/// Its stack.
static BOTTOM: AtomicU64 = AtomicU64::new(0);
static TOP: AtomicU64 = AtomicU64::new(0);
/// The stack pointer of whoever waits for it.
static WAITING: AtomicU64 = AtomicU64::new(0);
/// When it has to be done, and how large the heap may be by then.
static DEADLINE: AtomicU64 = AtomicU64::new(0);
static HEAP_MOST: AtomicU64 = AtomicU64::new(0);
/// The kernel does something for it.
static IN_KERNEL: AtomicBool = AtomicBool::new(false);
/// It was left behind because of time or memory.
static TIMED_OUT: AtomicBool = AtomicBool::new(false);

/// What runs there, and what comes of it.
struct Job<F, R> {
    work: Option<F>,
    result: Option<R>,
}

/// Runs `work` to its end, if it comes to one. Both own all they use: what is left behind is never
/// looked at again. One caller at a time, from a task.
pub(super) fn run<F, R>(work: F) -> Result<R, Abandoned>
where
    F: FnOnce() -> R + 'static,
    R: 'static,
{
    let stack = KernelStack::new(STACK_PAGES).map_err(|_| Abandoned::NoStack)?;
    let job = Box::into_raw(Box::new(Job { work: Some(work), result: None::<R> }));
    BOTTOM.store(stack.bottom().0, Ordering::Relaxed);
    TOP.store(stack.top().0, Ordering::Relaxed);
    IN_KERNEL.store(false, Ordering::Relaxed);
    TIMED_OUT.store(false, Ordering::Relaxed);
    DEADLINE.store(clock::now() + clock::us_to_ticks(LIMIT_US), Ordering::Relaxed);
    let share = frames::free_in_pool() * FRAME_SIZE as u64 / HEAP_SHARE;
    HEAP_MOST.store(heap::claimed_bytes() + share.min(HEAP_LIMIT), Ordering::Relaxed);
    CORE.store(u32::from(percpu::this().core()), Ordering::Release);
    interrupts::without(|| timer::arm(clock::now() + clock::us_to_ticks(TICK_US)));
    // SAFETY: the stack is mapped and its own; `job` lives until it is done, or for ever; `WAITING`
    // is read by `leave` alone, which runs on that stack before this returns.
    let done = unsafe { enter(stack.top().0, begin::<F, R>, job.cast(), WAITING.as_ptr()) };
    CORE.store(NONE, Ordering::Release);
    // Whoever armed it before finds it early, and arms it again.
    interrupts::without(|| timer::arm(clock::now()));
    if done == LEFT {
        core::mem::forget(stack);
        let endless = TIMED_OUT.load(Ordering::Relaxed);
        return Err(if endless { Abandoned::Endless } else { Abandoned::Broken });
    }
    // SAFETY: made above; the work is done with it.
    let job = unsafe { Box::from_raw(job) };
    job.result.ok_or(Abandoned::Broken)
}

/// Where the work begins, on its stack.
extern "C" fn begin<F, R>(job: *mut u8)
where
    F: FnOnce() -> R,
{
    // SAFETY: `run` made it, and looks at it again when this has returned.
    let job = unsafe { &mut *job.cast::<Job<F, R>>() };
    job.result = job.work.take().map(|work| work());
}

/// What [`enter`] returns when the work was done, and when it was left behind.
const DONE: u64 = 0;
const LEFT: u64 = 1;

/// Calls `work` on the stack that ends at `top`; where to go back to is kept at `waiting`.
///
/// # Safety
/// The stack is mapped, aligned to 16 bytes and nobody's, for as long as `work` runs. If it is left
/// behind, it is for good.
#[unsafe(naked)]
unsafe extern "C" fn enter(
    top: u64,
    work: extern "C" fn(*mut u8),
    argument: *mut u8,
    waiting: *mut u64,
) -> u64 {
    naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rcx], rsp",
        "mov rbx, rsp",
        "mov rsp, rdi",
        "mov rdi, rdx",
        // Backtraces end here.
        "xor ebp, ebp",
        "call rsi",
        "mov rsp, rbx",
        "mov eax, {done}",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
        done = const DONE,
    )
}

/// Goes back to where [`enter`] was called, and leaves this stack for good.
///
/// # Safety
/// This is the stack that `enter` went to, and `waiting` is what it kept.
#[unsafe(naked)]
unsafe extern "C" fn leave(waiting: u64) -> ! {
    naked_asm!(
        "mov rsp, rdi",
        "mov eax, {left}",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
        left = const LEFT,
    )
}

extern "C" fn give_up() -> ! {
    // SAFETY: only reached by `panicked` and `redirect`, on that stack.
    unsafe { leave(WAITING.load(Ordering::Relaxed)) }
}

/// Does something for firmware's code that has to be done as a whole.
pub(super) fn in_kernel<R>(what: impl FnOnce() -> R) -> R {
    let before = IN_KERNEL.swap(true, Ordering::Relaxed);
    let result = what();
    IN_KERNEL.store(before, Ordering::Relaxed);
    result
}

/// In the flags: interrupts are let through.
const INTERRUPTS_ON: u64 = 1 << 9;

/// Whether this core runs firmware's code, with its stack pointer there, and nothing of the
/// kernel's would be left half done.
fn may_be_left(stack_pointer: u64) -> bool {
    // A push that met the page below the stack is still its own.
    const BELOW: u64 = 4096;
    let core = percpu::try_this().map(|block| u32::from(block.core()));
    let stack = BOTTOM.load(Ordering::Relaxed) - BELOW..=TOP.load(Ordering::Relaxed);
    core == Some(CORE.load(Ordering::Acquire))
        && stack.contains(&stack_pointer)
        && !IN_KERNEL.load(Ordering::Relaxed)
}

/// For the panic handler: if it was firmware's code that panicked, says so and never returns.
pub fn panicked(why: fmt::Arguments<'_>) {
    let here = 0u8;
    let in_interrupt = percpu::try_this().is_none_or(percpu::PerCpu::in_interrupt);
    if !in_interrupt && may_be_left(&raw const here as u64) {
        log::warn!("aml: the interpreter of firmware's code cannot go on: {why}");
        give_up();
    }
}

/// For exceptions in ring 0. Whether it was firmware's code that caused it: then the frame leads out
/// of it.
pub(in crate::x86_64) fn faulted(frame: &mut TrapFrame) -> bool {
    if CORE.load(Ordering::Relaxed) == NONE || !may_be_left(frame.rsp) {
        return false;
    }
    // In the middle of an allocation, or of something done with interrupts off, the kernel itself
    // would be left half done: then this is the end, with an epitaph.
    if heap::is_locked() || frame.rflags & INTERRUPTS_ON == 0 {
        return false;
    }
    redirect(frame);
    true
}

/// For the timer's interrupt: has firmware's code left behind if it has taken too long.
#[inline]
pub(in crate::x86_64) fn tick(frame: &mut TrapFrame) {
    if CORE.load(Ordering::Relaxed) == u32::from(percpu::this().core()) {
        look(frame);
    }
}

#[cold]
fn look(frame: &mut TrapFrame) {
    let is_over = clock::now() >= DEADLINE.load(Ordering::Relaxed)
        || heap::claimed_bytes() > HEAP_MOST.load(Ordering::Relaxed);
    if is_over && may_be_left(frame.rsp) && !heap::is_locked() {
        TIMED_OUT.store(true, Ordering::Relaxed);
        redirect(frame);
    } else {
        timer::arm(clock::now() + clock::us_to_ticks(TICK_US));
    }
}

/// Has the interrupted core go on in [`give_up`], as if it had been called at the stack's top.
fn redirect(frame: &mut TrapFrame) {
    let give_up: extern "C" fn() -> ! = give_up;
    frame.rip = give_up as usize as u64;
    frame.rsp = TOP.load(Ordering::Relaxed) - 8;
    frame.rbp = 0;
}
