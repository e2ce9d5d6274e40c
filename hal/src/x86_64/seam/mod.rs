//! The metal backend of the seam (see `machine.rs`): the same names as `sim::seam`.

mod clock;
mod dma;
mod message;
mod mmio;

pub(crate) use clock::ClockSource;
pub use clock::set_ticks_per_second;
pub(crate) use dma::{DmaMemory, DmaSpace, LentMemory, RingMemory};
pub(crate) use message::MessageVector;
pub use mmio::Mapping;
pub(crate) use mmio::{WeakWindow, Window, configuration_ports};

/// Latches lie in a table, one for each vector, and live forever.
pub(crate) type LatchRef = &'static crate::interrupt::InterruptLatch;
