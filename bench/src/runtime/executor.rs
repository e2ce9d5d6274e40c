//! The kernel's own executor crate, at home in a ring-3 process.
//!
//! One executor for each thread that wants one. Parking is a wait for the thread's notification
//! with the next timer as its deadline, kicking is a signal to it; the clock is `rdtsc`. Which
//! executor this thread drives stands in its [`ThreadBlock`], at the FS base.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use executor::{Core, CoreId, Instant, JoinHandle, Platform, Priority, Sleep};

use super::thread::{self, ThreadBlock};
use super::{calls, clock, signal};
use crate::abi::{Error, FOREVER, Handle};

/// Most executors of a process.
pub const EXECUTORS_MAX: usize = 16;

/// A ring-3 process as the home of executors.
#[derive(Debug)]
pub struct Ring3;

static EXECUTORS: [Core<Ring3>; EXECUTORS_MAX] = Core::array();
/// Handles of the notifications that parked executors wait for; zero: has never parked.
static DOORBELLS: [AtomicU32; EXECUTORS_MAX] = [const { AtomicU32::new(0) }; EXECUTORS_MAX];
static NEXT: AtomicU16 = AtomicU16::new(0);

// SAFETY: `cores` is one static array made in order of the ids. `current` reads the block of the
// running thread; `attach` writes an index into one block only, and never hands it out again, and
// ring 3 has no interrupt handlers. `kick` and `park` are system calls and touch no executor.
unsafe impl Platform for Ring3 {
    fn cores() -> &'static [Core<Self>] {
        &EXECUTORS
    }

    #[inline(always)]
    fn current() -> Option<CoreId> {
        let place = thread::block()?.executor.get().checked_sub(1)?;
        Some(CoreId(place))
    }

    #[inline(always)]
    fn now() -> Instant {
        Instant(clock::ticks())
    }

    fn ticks_per_second() -> u64 {
        clock::ticks_per_second()
    }

    fn kick(core: CoreId) {
        // An executor that is seen sleeping stored its doorbell before (see `park`).
        let doorbell = DOORBELLS[usize::from(core.0)].load(Ordering::SeqCst);
        if doorbell != 0 {
            // Fails only if the program itself dropped the handle.
            let _ = calls::notification_signal(Handle(doorbell), signal::KICK);
        }
    }

    fn park(deadline: Option<Instant>, may_sleep: impl FnOnce() -> bool) {
        let doorbell = doorbell();
        if !may_sleep() {
            return;
        }
        let until = deadline.map_or(FOREVER, |at| clock::kernel_deadline(at.0));
        match doorbell {
            // Woken or timed out: the loop looks for itself. A signal sent before the wait ends it.
            Ok(handle) => {
                let bits = calls::notification_wait(handle, until);
                if let (Ok(bits), Some(core)) = (bits, Self::current()) {
                    signal::tell(core, bits);
                }
            }
            // No slot left for a notification: stay awake, but let others run.
            Err(_) => drop(calls::yield_now()),
        }
    }
}

/// The notification this thread's executor parks on, made when it is first needed.
pub(super) fn doorbell() -> Result<Handle, Error> {
    let place = Ring3::current().ok_or(Error::InvalidArgument)?;
    let slot = &DOORBELLS[usize::from(place.0)];
    match slot.load(Ordering::Relaxed) {
        0 => {
            let handle = calls::notification_create()?;
            slot.store(handle.0, Ordering::SeqCst);
            Ok(handle)
        }
        handle => Ok(Handle(handle)),
    }
}

/// This thread's executor; its first use makes one.
///
/// # Panics
/// If [`EXECUTORS_MAX`] threads have one.
pub fn attach() -> &'static Core<Ring3> {
    let block: &ThreadBlock = thread::block().expect("threads of this runtime have a block");
    if block.executor.get() == 0 {
        let place = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(usize::from(place) < EXECUTORS_MAX, "too many threads want an executor");
        block.executor.set(place + 1);
    }
    &EXECUTORS[usize::from(block.executor.get() - 1)]
}

/// Runs this thread's tasks until `future` is ready.
pub fn block_on<F: Future>(future: F) -> F::Output {
    attach().block_on(future)
}

/// Starts a thread on a core of the machine that does nothing but run tasks; they get there with
/// [`spawn_on`].
pub fn start_thread(core: u32) -> Result<CoreId, Error> {
    let up = Arc::new(spin::Once::new());
    let announced = up.clone();
    let thread: thread::JoinHandle<()> = thread::spawn(core, move || {
        let core = attach();
        core.bring_up();
        announced.call_once(|| core.id());
        core.run()
    })?;
    // The thread runs until the process ends.
    drop(thread);
    loop {
        if let Some(id) = up.get() {
            return Ok(*id);
        }
        calls::yield_now()?;
    }
}

/// Starts a task on this thread's executor.
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
{
    attach();
    executor::spawn::<Ring3, F>(name, Priority::Normal, future)
}

/// Starts a task on another executor of this process; `make` builds the future there.
pub fn spawn_on<F, M>(core: CoreId, name: &'static str, make: M) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: Send,
    M: FnOnce() -> F + Send + 'static,
{
    executor::spawn_on::<Ring3, F, M>(core, name, Priority::Normal, make)
}

/// Sleeps for so many nanoseconds while other tasks run.
pub fn sleep(nanoseconds: u64) -> Sleep<Ring3> {
    executor::sleep::<Ring3>(clock::ticks_in(nanoseconds))
}

pub use executor::yield_now;
