//! The x86_64 machine: descriptors, interrupts, timers, application processors.
//!
//! Modules without a `cfg` here are pure and are tested on the host with `cargo test -p hal`.

#[cfg(target_os = "none")]
pub mod acpi;
#[cfg(target_os = "none")]
pub mod aml;
#[cfg(target_os = "none")]
pub mod apic;
#[cfg(target_os = "none")]
pub mod cpu;
#[cfg(target_os = "none")]
pub mod descriptors;
#[cfg(target_os = "none")]
pub mod exceptions;
#[cfg(target_os = "none")]
pub mod interrupt;
#[cfg(target_os = "none")]
pub mod interrupts;
#[cfg(target_os = "none")]
pub mod ioapic;
#[cfg(target_os = "none")]
pub mod ipi;
pub mod lines;
pub mod madt;
pub mod paging;
#[cfg(target_os = "none")]
pub mod percpu;
#[cfg(target_os = "none")]
mod pic;
#[cfg(target_os = "none")]
pub mod port;
#[cfg(target_os = "none")]
pub mod power;
#[cfg(target_os = "none")]
pub mod probe;
#[cfg(target_os = "none")]
pub mod random;
pub mod routing;
pub mod s5;
#[cfg(target_os = "none")]
pub mod seam;
#[cfg(target_os = "none")]
pub mod serial;
#[cfg(target_os = "none")]
pub mod smp;
#[cfg(target_os = "none")]
pub mod stubs;
pub mod time;
#[cfg(target_os = "none")]
mod trampoline;
#[cfg(target_os = "none")]
pub mod user;
pub mod vectors;

/// The most cores Pollux will run on: per-core blocks are indexed statically.
pub const MAX_CORES: usize = 64;
