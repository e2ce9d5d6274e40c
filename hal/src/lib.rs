//! The only place that touches the machine.
//!
//! Machine-neutral ideas live at the top (`boot`, `memory`, …) and are tested on the host. Everything
//! machine-specific lives under [`x86_64`], behind a surface that another architecture can fill. On
//! metal (`target_os = "none"`) the types here drive hardware; compiled for the host only the pure
//! parts are there, and the simulated twin of what drivers see.
#![no_std]

extern crate alloc;
#[cfg(any(test, not(target_os = "none")))]
extern crate std;

pub mod boot;
pub mod lock;
pub mod memory;
pub mod x86_64;

#[cfg(target_os = "none")]
pub use crate::x86_64::serial;
