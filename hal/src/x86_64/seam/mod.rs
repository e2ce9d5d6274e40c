//! The metal backend of the seam (see `machine.rs`): the same names as `sim::seam`.

mod dma;
mod line;
mod listed;
mod message;
mod mmio;
mod runs;

pub(crate) use dma::{DmaMemory, DmaSpace, LentMemory, RingMemory};
pub(crate) use line::pci_line;
pub(crate) use message::MessageVector;
pub use mmio::Mapping;
pub(crate) use mmio::{WeakWindow, Window, configuration_ports};
pub(crate) use runs::{dma_bytes, drain_dma};

/// Latches lie in a table, one for each vector, and live forever.
pub(crate) type LatchRef = &'static crate::interrupt::InterruptLatch;
