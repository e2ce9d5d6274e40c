//! The last lines of the kernel log, for the shell.
//!
//! A ring in static memory: keeping a line allocates nothing, and a line that comes while another
//! one is being kept or read on the same core (an interrupt handler that logs) is left out.

use alloc::string::String;
use alloc::vec::Vec;
use hal::console::Ink;
use hal::console::line::Line;

/// Lines kept.
pub const LINES: usize = 128;
/// Bytes of each; longer ones are cut.
const LINE_BYTES: usize = 256;

struct Ring {
    lines: [Line<LINE_BYTES>; LINES],
    /// Lines ever kept.
    count: usize,
}

static RING: spin::Mutex<Ring> =
    spin::Mutex::new(Ring { lines: [const { Line::new() }; LINES], count: 0 });

/// Keeps a line that was logged, given in pieces.
pub fn keep(pieces: &[(Ink, &str)]) {
    let Some(mut ring) = RING.try_lock() else { return };
    let slot = ring.count % LINES;
    ring.count += 1;
    let line = &mut ring.lines[slot];
    line.clear();
    for (_, text) in pieces {
        // A line that doesn't fit is cut and says so.
        let _ = core::fmt::Write::write_str(line, text.trim_end_matches('\n'));
    }
}

/// How many lines have ever been kept.
pub fn count() -> usize {
    RING.lock().count
}

/// The last `most` lines, oldest first.
pub fn last(most: usize) -> Vec<String> {
    let ring = RING.lock();
    let first = ring.count - ring.count.min(LINES).min(most);
    (first..ring.count).map(|at| String::from(ring.lines[at % LINES].as_str())).collect()
}
