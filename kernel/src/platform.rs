//! The cores as the executor sees them, and what each keeps for the gateway.

use crate::logs::syslog::SysLog;
use core::sync::atomic::{AtomicU16, AtomicU64, Ordering::*};
use executor::{Core, CoreId, Instant, Platform, Stall};
use hal::x86_64::time::{clock, timer};
use hal::x86_64::{MAX_CORES, cpu, interrupts, ipi, paging, percpu, user};

/// The machine Pollux runs on.
#[derive(Debug)]
pub enum Pollux {}

/// What one core keeps, on cache lines of its own: the log's head moves with every system call.
#[repr(align(128))]
pub struct Here {
    /// Its number.
    pub core: CoreId,
    /// Its executor.
    pub executor: &'static Core<Pollux>,
    /// Its ring of system calls.
    pub syslog: SysLog,
    /// When the current stay in ring 3 is over, in ticks.
    pub stay_end: AtomicU64,
}

static EXECUTORS: [Core<Pollux>; MAX_CORES] = Core::array();

static HERES: [Here; MAX_CORES] = {
    let mut heres = [const {
        Here {
            core: CoreId(0),
            executor: &EXECUTORS[0],
            syslog: SysLog::new(),
            stay_end: AtomicU64::new(0),
        }
    }; MAX_CORES];
    let mut at = 0;
    while at < MAX_CORES {
        heres[at].core = CoreId(at as u16);
        heres[at].executor = &EXECUTORS[at];
        at += 1;
    }
    heres
};

static COUNT: AtomicU16 = AtomicU16::new(1);

/// This core's block. After [`init_core`] on this core.
#[inline(always)]
pub fn here() -> &'static Here {
    // SAFETY: `init_core` put a reference to a static there before anything on this core asks.
    unsafe { &*user::gateway().cast::<Here>() }
}

/// A core's block, from any core.
pub fn of(core: CoreId) -> &'static Here {
    &HERES[usize::from(core.0)]
}

/// Cores that run.
pub fn core_count() -> usize {
    usize::from(COUNT.load(Acquire))
}

/// Says how many cores run, once they do.
pub fn set_core_count(count: u16) {
    COUNT.store(count, Release);
}

/// Gives this core its block and its SysLog ring, and opens the system-call door.
pub fn init_core(core: u16) {
    let here = &HERES[usize::from(core)];
    here.syslog.install();
    percpu::this().user.gateway.store(core::ptr::from_ref(here).cast_mut().cast(), Relaxed);
    user::init_core::<crate::gateway::Gate>();
}

// SAFETY: EXECUTORS is one static slice whose ids are its indices; `current` is `Some` only outside
// of interrupt handlers, where exactly one context runs on a core: its executor loop (a system call
// is part of that loop's poll of a thread). `kick` sends an IPI whose handler only acknowledges;
// `park` only halts.
unsafe impl Platform for Pollux {
    fn cores() -> &'static [Core<Self>] {
        &EXECUTORS[..core_count()]
    }

    #[inline(always)]
    fn current() -> Option<CoreId> {
        let cpu = percpu::this();
        if cpu.in_interrupt() { None } else { Some(CoreId(cpu.core())) }
    }

    fn interrupted() -> Option<CoreId> {
        Some(CoreId(percpu::this().core()))
    }

    #[inline(always)]
    fn now() -> Instant {
        Instant(clock::now())
    }

    fn ticks_per_second() -> u64 {
        clock::ticks_per_second()
    }

    fn kick(core: CoreId) {
        ipi::kick(core.0);
    }

    fn park(deadline: Option<Instant>, may_sleep: impl FnOnce() -> bool) {
        interrupts::disable();
        match deadline {
            Some(deadline) => timer::arm(deadline.0),
            None => timer::disarm(),
        }
        paging::begin_park();
        if may_sleep() {
            interrupts::enable_and_halt();
        }
        paging::end_park();
        interrupts::enable();
    }

    /// 50 ms on a machine of our own; 500 ms in a virtual one, which may be held up itself.
    fn stall_ticks() -> u64 {
        let virtual_machine = cpu::features().has(cpu::Features::HYPERVISOR);
        clock::ticks_per_second() / if virtual_machine { 2 } else { 20 }
    }

    fn stalled(stall: &Stall) {
        log::warn!(
            "core{}: task `{}` held the core for {} us",
            stall.core.0,
            stall.task,
            clock::ticks_to_ns(stall.held_ticks) / 1000
        );
    }
}
