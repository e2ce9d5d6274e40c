//! What the kernel writes for people and reads from them, as pure functions: no machine, no clock,
//! no output. A library of its own so that `cargo test -p kernel` runs its tests on the host.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod backlog;
pub mod dump;
pub mod gifts;
pub mod grid;
pub mod matrix;
pub mod net_settings;
pub mod options;
pub mod quantity;
pub mod shown;
pub mod table;
