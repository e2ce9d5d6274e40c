//! The choice of machine: the one place where metal, ring 3 and simulation part ways.
//!
//! A backend provides, with the same names and signatures:
//!
//! - `Window`: a mapped piece of a device's registers (`Clone`; the last clone unmaps);
//! - `DmaSpace`, `DmaMemory`, `LentMemory`, `RingMemory`: memory a device can reach;
//!   `dma_bytes`, `drain_dma`: how much of it is handed out and pooled, and an end to the pooled;
//! - `LatchRef`: how an [`Interrupt`](crate::interrupt::Interrupt) holds the latch its handler
//!   sets;
//! - `ClockSource`: a monotonic tick counter;
//!
//! and where functions are found and interrupts made (for ring 3 the kernel does both):
//!
//! - `WeakWindow`, which keeps nothing mapped;
//! - `MessageVector`: what a device is told to send to interrupt a core;
//! - `pci_line`: the interrupt line that a PCI function's pin leads to.

#[cfg(ring3)]
pub(crate) use crate::ring3::seam::{
    DmaMemory, DmaSpace, LatchRef, LentMemory, RingMemory, Window, dma_bytes, drain_dma,
};
#[cfg(target_os = "none")]
pub(crate) use crate::tsc::ClockSource;

#[cfg(all(target_os = "none", not(ring3)))]
pub(crate) use crate::x86_64::seam::{
    DmaMemory, DmaSpace, LatchRef, LentMemory, MessageVector, RingMemory, WeakWindow, Window,
    dma_bytes, drain_dma, pci_line,
};

#[cfg(not(target_os = "none"))]
pub(crate) use crate::sim::seam::{
    ClockSource, DmaMemory, DmaSpace, LatchRef, LentMemory, MessageVector, RingMemory, WeakWindow,
    Window, dma_bytes, drain_dma, pci_line,
};
