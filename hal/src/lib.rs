//! The only place that touches the machine. It holds the `unsafe`, and shows drivers four safe
//! things: a [`mmio::DeviceRegion`], DMA memory ([`dma::DmaBuf`], [`dma::DmaRing`]), an
//! [`interrupt::Interrupt`] and a [`clock::Clock`].
//!
//! Machine-neutral ideas live at the top (`boot`, `memory`, …) and are tested on the host.
//! Everything machine-specific lives under [`x86_64`], behind a surface that another architecture
//! can fill. On metal (`target_os = "none"`) the types here drive hardware; compiled for the host
//! only the pure parts are there, and a simulated machine (`sim`) behind the same four types. That
//! choice is made in `machine.rs` alone.
#![no_std]

extern crate alloc;
#[cfg(any(test, not(target_os = "none")))]
extern crate std;

pub mod backtrace;
pub mod boot;
pub mod clock;
pub mod console;
#[cfg(target_os = "none")]
pub mod device;
pub mod dma;
pub mod interrupt;
pub mod lock;
pub mod memory;
pub mod mmio;
pub mod pci;
pub mod x86_64;

mod machine;
#[cfg(not(target_os = "none"))]
pub mod sim;

#[cfg(target_os = "none")]
pub use crate::x86_64::serial;
