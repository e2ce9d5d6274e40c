//! Threads of this process: own stack with a guard page below, own FS block, result by `join`.
//!
//! ```text
//! base                                                        end
//!  │ guard page │ stack, growing down ...        │ ThreadBlock │
//!                                                ▲ FS base
//! ```

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::cell::Cell;
use core::mem::ManuallyDrop;

use super::calls;
use super::capability::Thread;
use super::memory::Mapping;
use super::syscall::call5;
use crate::abi::{Error, FOREVER, Handle, PAGE, Syscall};

/// Bytes of a thread's stack unless said otherwise.
pub const STACK: usize = 64 * 1024;

/// Lies at the FS base of every thread of this runtime.
#[repr(C, align(64))]
#[derive(Debug)]
pub(super) struct ThreadBlock {
    /// The block's own address, as the x86-64 TLS ABI wants at `fs:0`.
    this: Cell<*const ThreadBlock>,
    /// Place of the executor this thread drives, plus one; zero for none.
    pub(super) executor: Cell<u16>,
}

impl ThreadBlock {
    #[cfg(target_os = "none")]
    const fn new() -> Self {
        Self { this: Cell::new(core::ptr::null()), executor: Cell::new(0) }
    }
}

/// The block of the main thread.
#[cfg(target_os = "none")]
struct MainBlock(ThreadBlock);

// SAFETY: only the main thread gets to it, through its FS base (`adopt_main`).
#[cfg(target_os = "none")]
unsafe impl Sync for MainBlock {}

#[cfg(target_os = "none")]
static MAIN: MainBlock = MainBlock(ThreadBlock::new());

/// This thread's block; none on the host.
#[cfg(target_os = "none")]
#[inline(always)]
pub(super) fn block() -> Option<&'static ThreadBlock> {
    let block: *const ThreadBlock;
    // SAFETY: `adopt_main` and `spawn` give every thread a block before any code that asks.
    unsafe {
        core::arch::asm!(
            "mov {}, fs:[0]", out(reg) block,
            options(nostack, preserves_flags, readonly),
        );
    }
    // SAFETY: the block lives as long as its thread, and nobody else refers to it.
    unsafe { block.as_ref() }
}

/// This thread's block; none on the host.
#[cfg(not(target_os = "none"))]
pub(super) fn block() -> Option<&'static ThreadBlock> {
    None
}

/// Gives the main thread its block, then goes on with `rest`. The kernel starts it with FS base
/// zero; where the CPU can't set the base from ring 3, a second thread takes the place of the
/// first.
#[cfg(target_os = "none")]
pub(super) fn adopt_main(rest: impl FnOnce() + Send + 'static) {
    MAIN.0.this.set(&raw const MAIN.0);
    #[allow(unused_unsafe)] // safe in newer core
    // SAFETY: CPUID exists on every x86_64 processor. Leaf 7, EBX bit 0: FSGSBASE, which the kernel
    // enables wherever it is.
    let settable = unsafe { core::arch::x86_64::__cpuid_count(7, 0) }.ebx & 1 != 0;
    if settable {
        // SAFETY: nothing in this program used FS before.
        unsafe { core::arch::asm!("wrfsbase {}", in(reg) &raw const MAIN.0) };
        rest();
        return;
    }
    let here = calls::core().map_or(crate::abi::ANY_CORE, |(core, _)| core);
    let ended = spawn(here, rest).and_then(JoinHandle::join);
    if ended.is_err() {
        calls::process_exit(super::ExitCode::FAILURE.0);
    }
}

/// What is waiting at the other end of a thread.
struct Packet<T> {
    result: spin::Mutex<Option<T>>,
}

/// A running thread of this process. Dropping the value leaves the thread running, and its stack
/// mapped until the process ends.
pub struct JoinHandle<T> {
    thread: Thread,
    /// Not unmapped with this value: the thread may run on.
    stack: ManuallyDrop<Mapping>,
    packet: Arc<Packet<T>>,
}

impl<T> core::fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("JoinHandle").field("thread", &self.thread).finish_non_exhaustive()
    }
}

/// Starts a thread on `core` ([`crate::abi::ANY_CORE`]: the kernel chooses) with [`STACK`] bytes.
pub fn spawn<T, F>(core: u32, work: F) -> Result<JoinHandle<T>, Error>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    spawn_with_stack(core, STACK, work)
}

/// Starts a thread on `core` with a stack of `bytes` bytes, a multiple of [`PAGE`]: for large
/// futures, such as a driver's.
pub fn spawn_with_stack<T, F>(core: u32, bytes: usize, work: F) -> Result<JoinHandle<T>, Error>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let len = bytes.checked_add(PAGE).ok_or(Error::InvalidArgument)?;
    let stack = Mapping::new(len)?.guard(PAGE)?;
    let packet = Arc::new(Packet { result: spin::Mutex::new(None) });
    let shared = packet.clone();
    let job: Job = Box::new(move || *shared.result.lock() = Some(work()));
    let argument = Box::into_raw(Box::new(job));

    let block = stack.end().wrapping_sub(size_of::<ThreadBlock>()).cast::<ThreadBlock>();
    // SAFETY: inside the mapping, above the guard, aligned (the end of a page less a multiple of
    // 64).
    unsafe { block.write(ThreadBlock { this: Cell::new(block), executor: Cell::new(0) }) };
    // As after a call: the return address' slot, then 16-byte alignment above it.
    let top = block as u64 - 8;
    let entry = thread_entry as extern "C" fn(*mut Job) -> ! as usize as u64;
    // SAFETY: `entry` takes the job's pointer in `rdi` and never returns; the stack is mapped and
    // lives until the thread is joined (or for ever).
    let spawned = unsafe {
        call5(Syscall::ThreadSpawn, entry, top, argument as u64, u64::from(core), block as u64)
    };
    match spawned {
        Ok((handle, _)) => {
            let thread = Thread::from_handle(Handle(handle as u32));
            Ok(JoinHandle { thread, stack: ManuallyDrop::new(stack), packet })
        }
        Err(error) => {
            // SAFETY: the thread was not started, so the job is still ours.
            drop(unsafe { Box::from_raw(argument) });
            Err(error)
        }
    }
}

type Job = Box<dyn FnOnce() + Send>;

extern "C" fn thread_entry(job: *mut Job) -> ! {
    // SAFETY: `spawn` made this pointer from a box and gave it to this thread alone.
    let job = unsafe { Box::from_raw(job) };
    job();
    calls::thread_exit(0)
}

impl<T> JoinHandle<T> {
    /// The capability of the thread, still owned by this value.
    pub const fn handle(&self) -> Handle {
        self.thread.handle()
    }

    /// Waits for the thread's end and takes its result. `PeerGone` if it ended by other means
    /// than returning.
    pub fn join(self) -> Result<T, Error> {
        self.join_by(FOREVER)
    }

    /// The same until `deadline_ns`; after that the thread is left running.
    pub fn join_by(self, deadline_ns: u64) -> Result<T, Error> {
        let Self { thread, stack, packet } = self;
        match calls::thread_join(thread.handle(), deadline_ns) {
            Ok(_) => {
                drop(ManuallyDrop::into_inner(stack));
                packet.result.lock().take().ok_or(Error::PeerGone)
            }
            Err(error) => Err(error),
        }
    }
}
