//! Cores watch each other, so that no hang goes without a word.
//!
//! A core that polled nothing and never parked for two seconds is asked by interrupt: its handler
//! names the task that holds it, and counts an answer. One that does not even answer has interrupts
//! off somewhere; that is said too. Core 0 watches all the others, core 1 watches core 0; a single
//! core has nobody to watch it.

use crate::platform::{self, Pollux};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use executor::{CoreId, Presence, Priority};
use hal::x86_64::{MAX_CORES, ipi};

const PERIOD_S: u64 = 2;

/// Times each core answered.
static ANSWERS: [AtomicU64; MAX_CORES] = [const { AtomicU64::new(0) }; MAX_CORES];

/// In the handler of the interrupt that asks: names the task that holds this core, if one does for
/// too long.
pub fn answer() {
    let here = platform::here();
    ANSWERS[usize::from(here.core.0)].fetch_add(1, Relaxed);
    here.executor.check_stall();
}

/// Starts this core's watch, if it has one to keep.
pub fn start(core: CoreId) {
    let watched: fn(u16) -> bool = match core.0 {
        0 => |other| other != 0,
        1 => |other| other == 0,
        _ => return,
    };
    executor::spawn::<Pollux, _>("watch", Priority::Low, watch(watched)).detach();
}

/// What was last seen of a core.
#[derive(Clone, Copy, Default)]
struct Seen {
    /// Polls, parks and (so that one long stay counts as life) system calls so far.
    signs: u64,
    /// Answers when it was last asked; `None` if it wasn't.
    asked: Option<u64>,
}

async fn watch(watched: fn(u16) -> bool) {
    let mut seen = [Seen::default(); MAX_CORES];
    loop {
        executor::sleep::<Pollux>(crate::clock::frequency() * PERIOD_S).await;
        for core in (0..platform::core_count() as u16).filter(|core| watched(*core)) {
            look(core, &mut seen[usize::from(core)]);
        }
    }
}

fn look(core: u16, seen: &mut Seen) {
    let other = platform::of(CoreId(core));
    let stats = other.executor.stats();
    let signs = stats.polls + stats.parks + other.syslog.head();
    let answers = ANSWERS[usize::from(core)].load(Relaxed);
    if signs != seen.signs || other.executor.presence() == Presence::Sleeping {
        *seen = Seen { signs, asked: None };
    } else if seen.asked == Some(answers) {
        log::error!("core{core}: nothing for {PERIOD_S} s, and it does not answer interrupts");
    } else {
        seen.asked = Some(answers);
        ipi::tlb_shootdown(core);
    }
}
