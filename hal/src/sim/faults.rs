//! What goes wrong, injected between a driver and a device model that is right.

use std::boxed::Box;

use crate::clock::Ticks;
use crate::dma::DeviceAddress;
use crate::mmio::Width;

/// What becomes of a register write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteFate {
    /// It arrives.
    Deliver,
    /// It is lost: a doorbell that does nothing.
    Ignore,
    /// Something else arrives.
    Change(u64),
}

/// What becomes of an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterruptFate {
    /// It arrives.
    Deliver,
    /// It is lost.
    Lose,
    /// It arrives so many times in all.
    Repeat(u32),
    /// It arrives so much later.
    Delay(Ticks),
}

/// A transfer between a device and memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// The device reads.
    Read {
        /// From here.
        address: DeviceAddress,
        /// So much.
        bytes: usize,
    },
    /// The device writes.
    Write {
        /// To here.
        address: DeviceAddress,
        /// So much.
        bytes: usize,
    },
}

/// Decides what goes wrong. Every method has a default under which nothing does.
pub trait Faults: Send {
    /// What the driver reads where the device answered `value`.
    fn read(&mut self, offset: usize, width: Width, value: u64) -> u64 {
        let _ = (offset, width);
        value
    }

    /// What becomes of a write.
    fn write(&mut self, offset: usize, width: Width, value: u64) -> WriteFate {
        let _ = (offset, width, value);
        WriteFate::Deliver
    }

    /// What becomes of an interrupt (edges and messages; levels are not events).
    fn interrupt(&mut self, line: u32) -> InterruptFate {
        let _ = line;
        InterruptFate::Deliver
    }

    /// Whether a transfer happens; a lost one gives the device a bus error.
    fn dma(&mut self, transfer: Transfer) -> bool {
        let _ = transfer;
        true
    }
}

type ReadFault = Box<dyn FnMut(usize, Width, u64) -> u64 + Send>;
type WriteFault = Box<dyn FnMut(usize, Width, u64) -> WriteFate + Send>;
type InterruptFault = Box<dyn FnMut(u32) -> InterruptFate + Send>;
type DmaLoss = Box<dyn FnMut(Transfer) -> bool + Send>;

/// [`Faults`] made of closures.
#[derive(Default)]
pub struct FaultPlan {
    read: Option<ReadFault>,
    write: Option<WriteFault>,
    interrupt: Option<InterruptFault>,
    dma: Option<DmaLoss>,
}

impl FaultPlan {
    /// Nothing goes wrong.
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes what reads give.
    #[must_use]
    pub fn on_read(mut self, fault: impl FnMut(usize, Width, u64) -> u64 + Send + 'static) -> Self {
        self.read = Some(Box::new(fault));
        self
    }

    /// Decides about writes.
    #[must_use]
    pub fn on_write(
        mut self,
        fault: impl FnMut(usize, Width, u64) -> WriteFate + Send + 'static,
    ) -> Self {
        self.write = Some(Box::new(fault));
        self
    }

    /// Decides about interrupts.
    #[must_use]
    pub fn on_interrupt(
        mut self,
        fault: impl FnMut(u32) -> InterruptFate + Send + 'static,
    ) -> Self {
        self.interrupt = Some(Box::new(fault));
        self
    }

    /// Decides about transfers: `false` loses one.
    #[must_use]
    pub fn on_dma(mut self, fault: impl FnMut(Transfer) -> bool + Send + 'static) -> Self {
        self.dma = Some(Box::new(fault));
        self
    }
}

impl Faults for FaultPlan {
    fn read(&mut self, offset: usize, width: Width, value: u64) -> u64 {
        self.read.as_mut().map_or(value, |fault| fault(offset, width, value))
    }

    fn write(&mut self, offset: usize, width: Width, value: u64) -> WriteFate {
        self.write.as_mut().map_or(WriteFate::Deliver, |fault| fault(offset, width, value))
    }

    fn interrupt(&mut self, line: u32) -> InterruptFate {
        self.interrupt.as_mut().map_or(InterruptFate::Deliver, |fault| fault(line))
    }

    fn dma(&mut self, transfer: Transfer) -> bool {
        self.dma.as_mut().is_none_or(|fault| fault(transfer))
    }
}
