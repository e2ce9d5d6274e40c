//! Lines of the kernel log on their way to a syslog server, from the boot's first line on.
//!
//! Keeping a line allocates nothing, logs nothing and waits for nothing: a line that comes while the
//! ring is held (by a non-maskable interrupt that hit its holder, or by many cores at once) is lost
//! and counted. If no server is named, nothing is kept any more as soon as that is known.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use executor::sync::Notify;
use hal::console::Logged;
use hal::lock::InterruptLock;
use kernel_text::backlog::{Backlog, ENTRY_MAX, Entry, Taken};

/// Bytes of lines kept: some 600 lines.
const RING: usize = 64 << 10;
/// How often a taken lock is looked at before a line is given up: longer than anybody needs to copy
/// a line.
const PATIENCE: u32 = 10_000;

static LINES: InterruptLock<Backlog<RING>> = InterruptLock::new(Backlog::new());
static LOST: AtomicU64 = AtomicU64::new(0);
static UNWANTED: AtomicBool = AtomicBool::new(false);
/// A line has come.
pub static ARRIVED: Notify = Notify::new();

/// Keeps a line that was logged. In any context.
pub fn keep(line: &Logged<'_>) {
    if UNWANTED.load(Relaxed) {
        return;
    }
    let Some(mut lines) = LINES.try_lock_for(PATIENCE) else {
        LOST.fetch_add(1, Relaxed);
        return;
    };
    lines.push(&Entry {
        microseconds: line.microseconds,
        core: line.core,
        level: line.level as u8,
        target: line.target,
        text: line.text,
    });
    drop(lines);
    ARRIVED.notify();
}

/// Takes the oldest line, by way of `buffer`.
pub fn take(buffer: &mut [u8; ENTRY_MAX]) -> Option<Taken<'_>> {
    let mut lines = LINES.lock();
    lines.note_lost(LOST.swap(0, Relaxed));
    lines.take(buffer)
}

/// Nobody will ever take a line.
pub fn close() {
    UNWANTED.store(true, Relaxed);
}
