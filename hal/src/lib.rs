//! The only place that touches the machine.
//!
//! Everything machine-specific lives under [`x86_64`], behind a surface that another architecture
//! can fill. On metal (`target_os = "none"`) the types here drive hardware; compiled for the host
//! only the pure parts are there, and the simulated twin of what drivers see.
#![no_std]

#[cfg(any(test, target_os = "none"))]
extern crate alloc;

pub mod x86_64;
