//! Time: how fast the TSC runs, and the timer that interrupts this core at a deadline.
//!
//! Deadlines and durations everywhere are TSC ticks. [`calibration`] and [`ratio`] are pure.

pub mod calibration;
#[cfg(target_os = "none")]
pub mod clock;
#[cfg(target_os = "none")]
mod measure;
pub mod ratio;
#[cfg(target_os = "none")]
pub mod timer;

#[cfg(target_os = "none")]
pub use measure::{TimeError, by_pit, init};
