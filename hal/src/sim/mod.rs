//! A simulated machine: the seam's twin for the host, so every driver runs in ordinary tests.
//!
//! A [`SimMachine`] has a clock that moves only when told, memory a device can reach, and devices:
//! each a [`DeviceModel`] in Rust, or a [`Script`] of expected accesses. A driver under test is
//! given the same [`DeviceRegion`](crate::mmio::DeviceRegion),
//! [`DmaDomain`](crate::dma::DmaDomain), [`Interrupt`](crate::interrupt::Interrupt) and
//! [`Clock`](crate::clock::Clock) as on metal.
//!
//! What no real machine tells, this one does: a register access outside the region, a device that
//! touches memory it was not lent, memory already freed, past the end of a buffer, or in the wrong
//! direction, is a [`Violation`]. Unless a test takes them, they fail it when the machine is
//! dropped.
//!
//! What real machines do to drivers can be injected by [`Faults`]: lost, repeated and late
//! interrupts, ignored writes, wrong reads, lost DMA, and [`SimDevice::unplug`] at any moment.
//!
//! There is no `unsafe` here: lent buffers move into the machine and come back.

mod arena;
mod device;
mod faults;
mod line;
mod machine;
mod script;
pub(crate) mod seam;
mod vectors;
mod violation;
mod wire;
mod world;

pub use arena::MemoryReport;
pub use device::{Bus, BusError, DeviceModel, Level};
pub use faults::{FaultPlan, Faults, InterruptFate, Transfer, WriteFate};
pub use machine::{SimDevice, SimMachine, Stuck};
pub use script::Script;
pub use violation::{DmaFault, Violation};
pub use wire::Wire;
