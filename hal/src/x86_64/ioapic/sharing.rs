//! Level-triggered lines and their owners: what [`lines`](crate::x86_64::lines) decides, done to the
//! I/O APIC.
//!
//! A line has one vector, on the boot core, as long as it has owners. Its handler masks the line
//! before the vector is acknowledged, since the line still asks and would interrupt again at once.
//!
//! In a storm the line stays masked, and [`STORMS`] is raised for the one task that calls
//! [`in_storms`]: it has owners look from time to time, and the line tried again.

use alloc::collections::BTreeMap;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use spin::Mutex;

use super::{ENTRY_MASKED, HOME_CORE, IO_APICS, MAX_LINES, WANTED, entry, request, usable};
use crate::interrupt::{InterruptControl, InterruptError, InterruptLatch};
use crate::x86_64::interrupt::{self, Latch, Vector};
use crate::x86_64::lines::{Change, Left, Owner, SharedLine, Verdict, Wants};
use crate::x86_64::madt::Line;
use crate::x86_64::time::clock::{self, Span};

/// How soon after a line was opened an interrupt counts as one that was there all the time.
static AT_ONCE: Span = Span::of_us(50);
/// How many looks in a storm there are to one trial.
const TRIAL_EVERY: u32 = 1_000;

static LINES: [SharedLine; MAX_LINES] = [const { SharedLine::new() }; MAX_LINES];
/// Lines that have owners. Handlers do not look here.
static SHARED: Mutex<BTreeMap<u32, Shared>> = Mutex::new(BTreeMap::new());

/// A line has become a storm.
pub(in crate::x86_64) static STORMS: InterruptLatch = InterruptLatch::new();

/// Storms that were reported: each line's first.
static SAID: [AtomicBool; MAX_LINES] = [const { AtomicBool::new(false) }; MAX_LINES];

struct Shared {
    line: Line,
    _vector: Vector,
}

/// What a line's entry is to be: masked unless it may interrupt, which is noted.
pub(super) fn masked_or_open(gsi: u32, wanted: u64) -> u64 {
    match LINES.get(gsi as usize) {
        Some(line) if line.is_open() => {
            line.opened(clock::now());
            wanted & !ENTRY_MASKED
        }
        _ => wanted,
    }
}

/// The handler of a shared line, on the boot core, before the vector is acknowledged.
pub(in crate::x86_64) fn fired(gsi: u32) {
    let Some(line) = LINES.get(gsi as usize) else { return };
    let now = clock::now();
    let wanted = WANTED[gsi as usize].load(Ordering::Acquire);
    if let Some(chip) = IO_APICS.get().and_then(|io_apics| io_apics.chip_of(gsi)) {
        chip.mask_entry(gsi, wanted);
    }
    let verdict = line.fired(now, AT_ONCE.ticks(), |latch| {
        interrupt::raise(latch);
    });
    if verdict == Verdict::Storm {
        STORMS.raise();
    }
}

/// One owner's share of a level-triggered line. Dropping it leaves the line to the others.
#[derive(Debug)]
pub(in crate::x86_64) struct Share {
    gsi: u32,
    owner: Owner,
    latch: Latch,
}

impl Share {
    /// A share of `line`, masked.
    pub fn of(line: Line) -> Result<Self, InterruptError> {
        let gsi = line.gsi;
        usable(gsi)?;
        let latch = Latch::allocate()?;
        let mut shared = SHARED.lock();
        match shared.get(&gsi) {
            Some(other) if other.line != line => return Err(InterruptError::LineTaken(gsi)),
            Some(_) => {}
            None => {
                if super::TAKEN[gsi as usize].swap(true, Ordering::AcqRel) {
                    return Err(InterruptError::LineTaken(gsi));
                }
                let vector = Vector::to_line(HOME_CORE, gsi as u16);
                let led = vector.and_then(|vector| Ok((vector.message()?, vector)));
                let (message, vector) = led.inspect_err(|_| free(gsi))?;
                WANTED[gsi as usize].store(entry(&line, &message), Ordering::Release);
                shared.insert(gsi, Shared { line, _vector: vector });
            }
        }
        let owner = LINES[gsi as usize].join(latch.number());
        let owner = owner.ok_or(InterruptError::LineTaken(gsi))?;
        drop(shared);
        request(gsi);
        Ok(Self { gsi, owner, latch })
    }

    /// What is raised when the line fires.
    pub fn latch(&self) -> &'static InterruptLatch {
        self.latch.get()
    }

    fn line(&self) -> &'static SharedLine {
        &LINES[self.gsi as usize]
    }

    fn after(&self, change: Change) {
        if change == Change::Possible {
            request(self.gsi);
        }
    }
}

impl InterruptControl for Share {
    fn mask(&self) {
        self.after(self.line().set(self.owner, Wants::Nothing));
    }

    fn unmask(&self) {
        self.after(self.line().set(self.owner, Wants::Interrupts));
    }

    fn rearm(&self) {
        self.after(self.line().rearm(self.owner));
    }

    fn claim(&self) {
        self.line().claim();
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut shared = SHARED.lock();
        if self.line().leave(self.owner) == Left::Nobody {
            let unowned =
                IO_APICS.get().map_or(ENTRY_MASKED, |io_apics| io_apics.unowned(self.gsi));
            WANTED[self.gsi as usize].store(unowned, Ordering::Release);
            shared.remove(&self.gsi);
            free(self.gsi);
        }
        drop(shared);
        request(self.gsi);
    }
}

fn free(gsi: u32) {
    super::TAKEN[gsi as usize].store(false, Ordering::Release);
}

/// What there is of storms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storms {
    /// None: nothing is to be done until the next one.
    Over,
    /// Some: owners were told to look.
    Going,
}

/// To be called every 10 ms or so while there are storms: has the owners of those lines look at
/// their devices, and opens a line again every thousandth time.
pub fn in_storms() -> Storms {
    static TIMES: AtomicU32 = AtomicU32::new(0);
    let is_trial = TIMES.fetch_add(1, Ordering::Relaxed) % TRIAL_EVERY == TRIAL_EVERY - 1;
    let mut storms = Storms::Over;
    for (gsi, line) in (0u32..).zip(&LINES) {
        let is_storm = line.raise_in_storm(|latch| {
            interrupt::raise(latch);
        });
        if is_storm && !SAID[gsi as usize].swap(true, Ordering::Relaxed) {
            log::error!(
                "ioapic: line {gsi} interrupts all the time and no driver silences it: it is \
                 masked, and its drivers look at their devices every 10 ms"
            );
        }
        if is_storm && is_trial && line.try_again() == Change::Possible {
            log::debug!("ioapic: line {gsi} is tried again");
            request(gsi);
        }
        if is_storm {
            storms = Storms::Going;
        }
    }
    storms
}
