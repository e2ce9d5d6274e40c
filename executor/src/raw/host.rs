//! The host platforms' promises (see [`crate::host`]).

use core::cell::Cell;
use std::{eprintln, thread::LocalKey, thread_local};

use crate::{
    Core, CoreId, Instant, Platform, Stall,
    host::{HostPlatform, House, MAX_CORES, duration, rate},
};

/// Threads as cores, on real time.
pub struct Host;

/// Threads as cores, on virtual time.
pub struct Virtual;

static HOST_CORES: [Core<Host>; MAX_CORES] = Core::array();
static VIRTUAL_CORES: [Core<Virtual>; MAX_CORES] = Core::array();
static HOST: House = House::new();
static VIRTUAL: House = House::new();

thread_local! {
    static HOST_ME: Cell<Option<CoreId>> = const { Cell::new(None) };
    static VIRTUAL_ME: Cell<Option<CoreId>> = const { Cell::new(None) };
}

#[cfg(target_arch = "x86_64")]
fn ticks() -> u64 {
    // SAFETY: every x86_64 processor has RDTSC, and Linux lets user code use it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
fn ticks() -> u64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    let nanos = START.get_or_init(std::time::Instant::now).elapsed().as_nanos();
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

#[allow(private_interfaces)]
impl HostPlatform for Host {
    fn house() -> &'static House {
        &HOST
    }
    fn me() -> &'static LocalKey<Cell<Option<CoreId>>> {
        &HOST_ME
    }
}

#[allow(private_interfaces)]
impl HostPlatform for Virtual {
    fn house() -> &'static House {
        &VIRTUAL
    }
    fn me() -> &'static LocalKey<Cell<Option<CoreId>>> {
        &VIRTUAL_ME
    }
}

fn report(house: &House, stall: &Stall, rate: u64) {
    house.note_stall(stall.core);
    let ms = stall.held_ticks.saturating_mul(1000) / rate;
    eprintln!("{}: task `{}` held the core for {ms} ms", stall.core, stall.task);
}

// SAFETY: `me` is a thread's own and set once, to an id that no other thread gets (`attach`), so
// one thread is one core, for ever. `kick` and `sleep` know nothing of the executor.
unsafe impl Platform for Host {
    fn cores() -> &'static [Core<Self>] {
        &HOST_CORES
    }

    #[inline(always)]
    fn current() -> Option<CoreId> {
        HOST_ME.get()
    }

    #[inline(always)]
    fn now() -> Instant {
        Instant(ticks())
    }

    fn ticks_per_second() -> u64 {
        rate(ticks)
    }

    fn kick(core: CoreId) {
        HOST.kick(core);
    }

    fn park(deadline: Option<Instant>, may_sleep: impl FnOnce() -> bool) {
        let Some(core) = Self::current() else { return };
        if may_sleep() {
            let timeout = deadline.map(|at| duration(Self::now(), at, Self::ticks_per_second()));
            HOST.sleep(core, timeout);
        }
    }

    fn stalled(stall: &Stall) {
        report(&HOST, stall, Self::ticks_per_second());
    }
}

// SAFETY: as for `Host`.
unsafe impl Platform for Virtual {
    fn cores() -> &'static [Core<Self>] {
        &VIRTUAL_CORES
    }

    #[inline(always)]
    fn current() -> Option<CoreId> {
        VIRTUAL_ME.get()
    }

    fn now() -> Instant {
        Instant(Self::current().map_or(0, |core| VIRTUAL.clock(core)))
    }

    fn ticks_per_second() -> u64 {
        1_000_000_000
    }

    fn kick(core: CoreId) {
        VIRTUAL.kick(core);
    }

    fn park(deadline: Option<Instant>, may_sleep: impl FnOnce() -> bool) {
        let Some(core) = Self::current() else { return };
        if !may_sleep() {
            return;
        }
        match deadline {
            Some(at) if !VIRTUAL.take_kick(core) => VIRTUAL.set_clock(core, at.0),
            Some(_) => {}
            None => VIRTUAL.sleep(core, None),
        }
    }

    fn stalled(stall: &Stall) {
        report(&VIRTUAL, stall, Self::ticks_per_second());
    }
}
