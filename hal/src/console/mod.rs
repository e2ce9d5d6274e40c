//! The human console: serial port and screen, and the kernel's log on both.
//!
//! ```text
//!   log::info! ──▶ Line (on the caller's stack) ──▶ console lock ──▶ COM1, screen
//!   print      ──▶            〃                ──▶     〃
//!   epitaph    ──▶ both, taking the lock by force if need be
//! ```
//!
//! Any context on any core may log: nothing is formatted or allocated under the lock, and whoever
//! cannot have the lock in a bounded time (an NMI that hit its holder) loses the line, which is
//! counted and said with the next one.

pub mod grid;
pub mod line;
#[cfg(target_os = "none")]
mod output;
pub mod painter;

pub use grid::Ink;
#[cfg(target_os = "none")]
pub use output::{
    Displaced, Epitaph, Logged, Place, attach_screen, begin_line, continue_line, epitaph, init,
    observe_log, parse_level, print, print_in, print_line, set_clock, set_level,
};
