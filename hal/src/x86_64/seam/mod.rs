//! The metal backend of the seam (see `machine.rs`): the same names as `sim::seam`.

mod clock;
mod dma;
mod mmio;

pub(crate) use clock::ClockSource;
pub use clock::set_ticks_per_second;
pub(crate) use dma::{DmaMemory, DmaSpace, LentMemory, RingMemory};
pub use mmio::Mapping;
pub(crate) use mmio::Window;

/// Latches lie in a table, one for each vector, and live forever.
pub(crate) type LatchRef = &'static crate::interrupt::InterruptLatch;
