//! The x86_64 machine: descriptors, interrupts, timers, application processors.
//!
//! Modules without a `cfg` here are pure and are tested on the host with `cargo test -p hal`.

#[cfg(target_os = "none")]
pub mod cpu;
pub mod paging;
#[cfg(target_os = "none")]
pub mod percpu;
#[cfg(target_os = "none")]
pub mod seam;
#[cfg(target_os = "none")]
pub mod serial;
#[cfg(target_os = "none")]
pub mod user;

/// The most cores Pollux will run on: per-core blocks are indexed statically.
pub const MAX_CORES: usize = 64;
