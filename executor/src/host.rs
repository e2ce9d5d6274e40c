//! The host home: a core is a thread. For tests, benches and simulated devices.
//!
//! [`Host`] runs on real time (on x86_64 the TSC, else nanoseconds). [`Virtual`] has a clock per
//! core, in nanoseconds, that stands still while tasks run and jumps to the next deadline when the
//! core would sleep: a test of an hour's timeouts takes no time and comes out the same each time.
//!
//! A thread becomes a core with [`attach`] and stays that core for life; a core whose thread has
//! ended is never given to another one, since its tasks belong to that thread.

use std::{
    sync::{Condvar, Mutex, OnceLock, atomic::AtomicU64, atomic::Ordering},
    thread,
    time::Duration,
};

use core::{cell::Cell, sync::atomic::AtomicU16};

use crate::{Core, CoreId, Instant, Platform};

pub use crate::raw::host::{Host, Virtual};

/// How many threads of a process can be cores of one platform.
pub const MAX_CORES: usize = 1024;

struct Seat {
    kicked: Mutex<bool>,
    changed: Condvar,
    /// Virtual time of this core.
    clock: AtomicU64,
    /// How often its tasks stalled.
    stalls: AtomicU64,
}

/// What a host platform has besides its cores.
pub(crate) struct House {
    next: AtomicU16,
    seats: [Seat; MAX_CORES],
}

// A `const` evaluation for a static: nothing of this size is ever on a stack.
#[allow(clippy::large_stack_arrays)]
impl House {
    pub(crate) const fn new() -> Self {
        Self {
            next: AtomicU16::new(0),
            seats: [const {
                Seat {
                    kicked: Mutex::new(false),
                    changed: Condvar::new(),
                    clock: AtomicU64::new(0),
                    stalls: AtomicU64::new(0),
                }
            }; MAX_CORES],
        }
    }

    fn seat(&self, core: CoreId) -> &Seat {
        &self.seats[usize::from(core.0)]
    }

    pub(crate) fn kick(&self, core: CoreId) {
        let seat = self.seat(core);
        *seat.kicked.lock().expect("no panics under this lock") = true;
        seat.changed.notify_one();
    }

    /// Sleeps until kicked or `timeout` is over.
    pub(crate) fn sleep(&self, core: CoreId, timeout: Option<Duration>) {
        let seat = self.seat(core);
        let kicked = seat.kicked.lock().expect("no panics under this lock");
        let mut kicked = match timeout {
            None => seat.changed.wait_while(kicked, |kicked| !*kicked).expect("as above"),
            Some(timeout) => {
                seat.changed
                    .wait_timeout_while(kicked, timeout, |kicked| !*kicked)
                    .expect("as above")
                    .0
            }
        };
        *kicked = false;
    }

    /// Takes a kick that has arrived.
    pub(crate) fn take_kick(&self, core: CoreId) -> bool {
        core::mem::take(&mut *self.seat(core).kicked.lock().expect("as above"))
    }

    pub(crate) fn clock(&self, core: CoreId) -> u64 {
        self.seat(core).clock.load(Ordering::Relaxed)
    }

    pub(crate) fn set_clock(&self, core: CoreId, ticks: u64) {
        self.seat(core).clock.fetch_max(ticks, Ordering::Relaxed);
    }

    pub(crate) fn note_stall(&self, core: CoreId) {
        self.seat(core).stalls.fetch_add(1, Ordering::Relaxed);
    }
}

/// A platform whose cores are threads.
#[allow(private_interfaces)]
pub trait HostPlatform: Platform {
    /// What the platform has besides its cores.
    #[doc(hidden)]
    fn house() -> &'static House;
    /// Where the thread notes which core it is.
    #[doc(hidden)]
    fn me() -> &'static thread::LocalKey<Cell<Option<CoreId>>>;
}

/// Makes this thread a core, or says which core it is already.
///
/// # Panics
///
/// If [`MAX_CORES`] threads have become cores.
pub fn attach<P: HostPlatform>() -> &'static Core<P> {
    let id = P::me().with(|me| {
        me.get().unwrap_or_else(|| {
            let id = CoreId(P::house().next.fetch_add(1, Ordering::Relaxed));
            assert!(usize::from(id.0) < MAX_CORES, "too many threads became cores");
            me.set(Some(id));
            id
        })
    });
    &P::cores()[usize::from(id.0)]
}

/// Makes this thread a core and runs `future` there.
pub fn block_on<P: HostPlatform, F: Future>(future: F) -> F::Output {
    attach::<P>().block_on(future)
}

/// Starts `count` threads that are cores and run for ever; returns once they are up.
pub fn start_cores<P: HostPlatform>(count: usize) -> std::vec::Vec<CoreId> {
    (0..count)
        .map(|_| {
            let (up, is_up) = std::sync::mpsc::channel();
            thread::spawn(move || {
                let core = attach::<P>();
                core.bring_up();
                up.send(core.id()).expect("the starter waits");
                core.run()
            });
            is_up.recv().expect("the thread comes up")
        })
        .collect()
}

/// Moves this core's virtual clock on, as if a task had worked for so long.
pub fn advance(ticks: u64) {
    if let Some(core) = Virtual::current() {
        let house = Virtual::house();
        house.set_clock(core, house.clock(core) + ticks);
    }
}

/// How often tasks of `core` stalled.
pub fn stalls<P: HostPlatform>(core: CoreId) -> u64 {
    P::house().seat(core).stalls.load(Ordering::Relaxed)
}

/// Real time in ticks, and how many of them make a second.
pub(crate) fn rate(ticks: fn() -> u64) -> u64 {
    static RATE: OnceLock<u64> = OnceLock::new();
    *RATE.get_or_init(|| {
        let (clock, start) = (std::time::Instant::now(), ticks());
        thread::sleep(Duration::from_millis(20));
        let (elapsed, end) = (clock.elapsed(), ticks());
        let rate = u128::from(end - start) * 1_000_000_000 / elapsed.as_nanos();
        u64::try_from(rate).expect("a clock below 10^19 Hz").max(1)
    })
}

/// The real time between two instants of a clock of `rate` ticks a second.
pub(crate) fn duration(from: Instant, to: Instant, rate: u64) -> Duration {
    let nanos = u128::from(to.since(from)) * 1_000_000_000 / u128::from(rate);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
