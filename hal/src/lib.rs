//! The only place that touches the machine. It holds the `unsafe`, and shows drivers four safe
//! things: a [`mmio::DeviceRegion`], DMA memory ([`dma::DmaBuf`], [`dma::DmaRing`]), an
//! [`interrupt::Interrupt`] and a [`clock::Clock`].
//!
//! Machine-neutral ideas live at the top (`boot`, `memory`, …) and are tested on the host.
//! Everything machine-specific lives under `x86_64`, behind a surface that another architecture
//! can fill. On metal (`target_os = "none"`) the types here drive hardware; compiled for the host
//! only the pure parts are there, and a simulated machine (`sim`) behind the same four types;
//! compiled for a program in ring 3 (`cfg(ring3)`: the kernel's target without the feature `metal`)
//! nothing but the four types is there, and a device that the program was lent behind them. That
//! choice is made in `machine.rs` alone.
#![no_std]

extern crate alloc;
#[cfg(any(test, not(target_os = "none")))]
extern crate std;

#[cfg(not(ring3))]
pub mod backtrace;
#[cfg(not(ring3))]
pub mod boot;
pub mod clock;
#[cfg(not(ring3))]
pub mod console;
#[cfg(all(target_os = "none", not(ring3)))]
pub mod device;
pub mod dma;
pub mod interrupt;
#[cfg(not(ring3))]
pub mod lock;
#[cfg(not(ring3))]
pub mod memory;
pub mod mmio;
#[cfg(not(ring3))]
pub mod pci;
#[cfg(not(ring3))]
pub mod x86_64;

mod machine;
mod pci_terms;
#[cfg(ring3)]
pub mod ring3;
#[cfg(not(target_os = "none"))]
pub mod sim;
#[cfg(target_os = "none")]
mod tsc;

#[cfg(ring3)]
pub use crate::ring3::pci;
#[cfg(all(target_os = "none", not(ring3)))]
pub use crate::x86_64::serial;
