//! What a program at the other end of COM2 is told, and the figures kept for the table.
//!
//! One line at a time, in pieces the UART's FIFO holds, so that interrupts are never off for the
//! milliseconds a line takes at 115,200 baud. Without a COM2 there is nobody to tell.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use hal::console::line::Line;
use hal::serial::{self, Port};
use protocols::abi::metric::Metric;
use protocols::events::Event;

/// Most figures kept: a program can report without end.
const FIGURES_MAX: usize = 20_000;
/// Bytes a 16550 takes at once.
const FIFO: usize = 16;
/// Bytes of a panic's message that are told.
const MESSAGE_MAX: usize = 400;

/// Most figures remembered after they were taken.
const REMEMBERED_MAX: usize = 1_000;

static FIGURES: spin::Mutex<Vec<Metric>> = spin::Mutex::new(Vec::new());
/// Figures of benchmarks that are over, the newest of each kind.
static EARLIER: spin::Mutex<Vec<Metric>> = spin::Mutex::new(Vec::new());
/// Held while a line goes out, so that lines stay whole. Never taken in interrupt handlers.
static SENDING: spin::Mutex<()> = spin::Mutex::new(());
static TOO_MANY: AtomicBool = AtomicBool::new(false);

/// Tells one event.
pub fn emit(event: &Event<'_>) {
    if !serial::is_present(Port::Com2) {
        return;
    }
    let mut line = event.to_string();
    line.push_str("\r\n");
    let _whole = SENDING.lock();
    for piece in line.as_bytes().chunks(FIFO) {
        serial::send(Port::Com2, piece);
    }
}

/// Takes a figure: tells it, keeps it.
pub fn record(metric: Metric) {
    {
        let mut figures = FIGURES.lock();
        if figures.len() >= FIGURES_MAX {
            if !TOO_MANY.swap(true, Relaxed) {
                log::warn!("report: {FIGURES_MAX} figures already: later ones are not kept");
            }
            return;
        }
        if figures.try_reserve(1).is_err() {
            log::warn!("report: no memory for more than {} figures", figures.len());
            return;
        }
        figures.push(metric);
    }
    emit(&Event::Metric(&metric));
}

/// The figures so far, which are no longer those of the benchmark that runs.
pub fn take() -> Vec<Metric> {
    TOO_MANY.store(false, Relaxed);
    let figures = core::mem::take(&mut *FIGURES.lock());
    remember(&mut EARLIER.lock(), &figures);
    figures
}

/// All figures that were ever measured, the newest of each kind.
pub fn measured() -> Vec<Metric> {
    let mut all = EARLIER.lock().clone();
    remember(&mut all, &FIGURES.lock());
    all
}

/// Puts `figures` in the place of those of the same name, core and peer.
fn remember(all: &mut Vec<Metric>, figures: &[Metric]) {
    for figure in figures.iter().take(REMEMBERED_MAX) {
        let same = |other: &Metric| {
            (other.name(), other.core, other.peer) == (figure.name(), figure.core, figure.peer)
        };
        match all.iter().position(same) {
            Some(at) => all[at] = *figure,
            None if all.len() < REMEMBERED_MAX => all.push(*figure),
            None => {}
        }
    }
}

/// Says that the kernel has stopped. Allocates nothing and waits for no lock for long.
pub fn panicked(why: fmt::Arguments<'_>) {
    let mut message = Line::<MESSAGE_MAX>::new();
    // A line that doesn't fit is cut and says so.
    let _ = message.write_fmt(why);
    if let Some(mut out) = serial::panic_writer(Port::Com2) {
        // On a line of its own, whatever was going out when the other cores were stopped.
        let _ = write!(out, "\n{}\n", Event::Panic { message: message.as_str() });
    }
}
