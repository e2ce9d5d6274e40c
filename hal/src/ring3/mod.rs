//! The ring-3 backend of the seam: a device that this program was lent by the kernel.
//!
//! ```text
//!   driver ── DeviceRegion, DmaBuf, Interrupt, Clock ── the same source as in the kernel
//!                  │            │        │
//!                seam          seam     pci::Function      a device capability
//!                  └── call: the system calls 39..=48 ────────┘
//! ```
//!
//! Registers are mapped, so reading and writing them costs no system call. DMA memory comes from
//! the kernel, which knows where it lies; small pieces are kept for the next buffer. Of an interrupt
//! the kernel sets bits in a notification, and whoever waits for that raises the latch
//! ([`pci::Function::interrupts`]): `hal` knows no executor here either.
//!
//! There is no confinement by an IOMMU yet. A program with a device that does DMA can reach all of
//! memory: lending it is trust.

mod call;
pub mod pci;
pub(crate) mod seam;

pub use crate::tsc::set_ticks_per_second;
