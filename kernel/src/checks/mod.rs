//! Tests that need a machine: they run in the kernel, under `test[=FILTER]` on its command line.
//!
//! Each is an async function in a file of its room, named in that file's [`Check`] list. It runs as
//! a task on the boot core and gives `Err` with what it found. One that doesn't end is named and
//! left behind; if it holds its core, a watchdog on another core names it and leaves.

/// Names async functions as checks: `checks! { "clock", 20: monotonic, calibrated }`.
macro_rules! checks {
    ($room:literal, $limit_s:literal: $($check:ident),* $(,)?) => {
        /// The checks of this room.
        pub const CHECKS: &[$crate::checks::Check] = &[$($crate::checks::Check {
            name: concat!($room, ".", stringify!($check)),
            limit_s: $limit_s,
            begin: || alloc::boxed::Box::pin($check()),
        }),*];
    };
}

/// Leaves the check with a finding unless `$holds`.
macro_rules! ensure {
    ($holds:expr, $($finding:tt)+) => {
        if !$holds {
            return Err(alloc::format!($($finding)+));
        }
    };
}

mod blocks;
mod capabilities;
mod chaos;
mod clocks;
mod commits;
mod dma;
mod interrupts;
mod lines;
mod memory;
mod net;
mod paging;
mod pci;
mod processes;
mod records;
mod storage;
mod tasks;
mod timers;

use crate::clock;
use crate::logs::recent;
use crate::platform::{self, Pollux};
use crate::services::leave::{self, Outcome};
use crate::services::{console, report};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use executor::{CoreId, Instant, Priority};
use hal::x86_64::time::clock::{now, ticks_to_ns};
use kernel_text::options::Exit;
use kernel_text::quantity::Nanoseconds;
use protocols::events::Event;

/// What a check found: nothing wrong, or this.
pub type Finding = Result<(), String>;

/// One check.
#[derive(Clone, Copy)]
pub struct Check {
    /// `room.what_holds`.
    pub name: &'static str,
    /// Seconds it may take.
    pub limit_s: u64,
    /// Begins it.
    pub begin: fn() -> Pin<Box<dyn Future<Output = Finding>>>,
}

/// Seconds a check that holds its core gets beyond its limit.
const GRACE_S: u64 = 10;

/// When the check that runs should be done at the latest, and its name's place; 0: none runs.
static DUE: AtomicU64 = AtomicU64::new(0);
static RUNNING: spin::Mutex<&str> = spin::Mutex::new("");

/// All rooms.
const ROOMS: &[&[Check]] = &[
    clocks::CHECKS,
    tasks::CHECKS,
    timers::CHECKS,
    memory::CHECKS,
    dma::CHECKS,
    paging::CHECKS,
    interrupts::CHECKS,
    net::CHECKS,
    lines::CHECKS,
    pci::CHECKS,
    records::CHECKS,
    storage::CHECKS,
    processes::CHECKS,
    capabilities::CHECKS,
    commits::CHECKS,
    blocks::CHECKS,
    chaos::CHECKS,
];

/// All cores.
fn cores() -> impl Iterator<Item = CoreId> + Clone {
    (0..platform::core_count() as u16).map(CoreId)
}

/// Waits up to a second for `holds` to become true; whether it did.
async fn soon(holds: impl Fn() -> bool) -> bool {
    for _ in 0..1_000 {
        if holds() {
            return true;
        }
        executor::sleep::<Pollux>(clock::frequency() / 1_000).await;
    }
    holds()
}

/// Runs the checks whose names contain `filter`.
pub async fn run(filter: &str, exit: Exit) -> Outcome {
    watch(exit);
    let (mut passed, mut failed) = (0, 0);
    for check in ROOMS.iter().copied().flatten().filter(|check| check.name.contains(filter)) {
        console::raw(&format!("test {} ... ", check.name));
        let lines = recent::count();
        let start = now();
        let finding = limited(check).await;
        let took = Nanoseconds(ticks_to_ns(now().saturating_sub(start)));
        let failure = finding.err();
        report::emit(&Event::Test { name: check.name, failure: failure.as_deref() });
        let verdict = match failure {
            None => {
                passed += 1;
                format!("ok ({took})")
            }
            Some(failure) => {
                failed += 1;
                format!("FAILED: {failure} ({took})")
            }
        };
        if recent::count() == lines {
            console::raw(&format!("{verdict}\n"));
        } else {
            // The log has come between.
            console::say(format_args!("test {} ... {verdict}", check.name));
        }
    }
    if passed + failed == 0 {
        console::say(format_args!("no test has `{filter}` in its name"));
    }
    console::say(format_args!("{passed} passed, {failed} failed"));
    if failed == 0 && passed > 0 { Outcome::Success } else { Outcome::Failure }
}

/// Runs a check as a task of its own, within its limit.
async fn limited(check: &Check) -> Finding {
    let limit = clock::frequency() * check.limit_s;
    *RUNNING.lock() = check.name;
    DUE.store(now().saturating_add(limit + clock::frequency() * GRACE_S), Relaxed);
    let task = executor::spawn::<Pollux, _>("check", Priority::Normal, (check.begin)());
    let ended = executor::timeout::<Pollux, _>(Instant(now().saturating_add(limit)), task).await;
    DUE.store(0, Relaxed);
    match ended {
        Ok(Ok(finding)) => finding,
        Ok(Err(cancelled)) => Err(format!("{cancelled}")),
        Err(_) => Err(format!("hangs: not done after {} s", check.limit_s)),
    }
}

/// Has the last core look after the first one: a check that never lets go of its core is named.
fn watch(exit: Exit) {
    let last = CoreId(platform::core_count() as u16 - 1);
    if last == CoreId(0) {
        return;
    }
    let watchdog = move || async move {
        loop {
            executor::sleep::<Pollux>(clock::frequency()).await;
            let due = DUE.load(Relaxed);
            if due != 0 && now() > due {
                let name = *RUNNING.lock();
                log::error!("test {name} holds core 0 and never lets go");
                report::emit(&Event::Test { name, failure: Some("holds its core for ever") });
                leave::leave_at_once(exit, Outcome::Failure);
            }
        }
    };
    executor::spawn_on::<Pollux, _, _>(last, "watchdog", Priority::High, watchdog).detach();
}
