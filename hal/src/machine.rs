//! The choice of machine: the one place where metal and simulation part ways.
//!
//! A backend provides, with the same names and signatures:
//!
//! - `Window`: a mapped piece of a device's registers (`Clone`; the last clone unmaps), and
//!   `WeakWindow`, which keeps nothing mapped;
//! - `DmaSpace`, `DmaMemory`, `LentMemory`, `RingMemory`: memory a device can reach;
//!   `dma_bytes`, `drain_dma`: how much of it is handed out and pooled, and an end to the pooled;
//! - `LatchRef`: how an [`Interrupt`](crate::interrupt::Interrupt) holds the latch its handler
//!   sets;
//! - `MessageVector`: what a device is told to send to interrupt a core;
//! - `ClockSource`: a monotonic tick counter.

#[cfg(target_os = "none")]
pub(crate) use crate::x86_64::seam::{
    ClockSource, DmaMemory, DmaSpace, LatchRef, LentMemory, MessageVector, RingMemory, WeakWindow,
    Window, dma_bytes, drain_dma,
};

#[cfg(not(target_os = "none"))]
pub(crate) use crate::sim::seam::{
    ClockSource, DmaMemory, DmaSpace, LatchRef, LentMemory, MessageVector, RingMemory, WeakWindow,
    Window, dma_bytes, drain_dma,
};
