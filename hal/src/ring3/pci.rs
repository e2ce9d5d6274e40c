//! A PCI function that this program was lent, with as much of the kernel's `pci` as drivers use.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use protocols::abi::device::{Command, InterruptAction, InterruptKind as Code, Range};
use protocols::abi::{Error, Handle, PAGE};
use protocols::pci::{Bar, BarKind, Config, Header};

use super::call::Lease;
use super::seam::{DmaSpace, LatchRef, Window};
use crate::dma::{AddressLimit, DmaDomain};
use crate::interrupt::{Interrupt, InterruptControl, InterruptLatch};
use crate::mmio::{DeviceRegion, MmioError};
pub use crate::pci_terms::{InterruptKind, Interrupts, PciError, ResetError, RouteError};
pub use protocols::pci::Class;

/// A function that was lent.
#[derive(Clone)]
pub struct Function {
    lease: Arc<Lease>,
    header: Header,
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:04x}", self.header.vendor, self.header.device)
    }
}

/// How it is known here that an interrupt came.
#[derive(Clone, Copy, Debug)]
pub struct Bell {
    /// A notification, with the right to signal it. It moves to the kernel with the interrupt.
    pub notification: Handle,
    /// What the kernel sets in it.
    pub bits: u64,
}

impl Function {
    /// The function behind a device capability, which it owns from here on. `None`: the handle is
    /// no device's, or the device is gone.
    pub fn new(handle: Handle) -> Option<Self> {
        let lease = Lease::new(handle);
        let header = Header::read(&Space(&lease))?;
        Some(Self { lease: Arc::new(lease), header })
    }

    /// What it says it is.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The memory that it reaches.
    pub fn dma(&self) -> DmaDomain {
        DmaDomain::new(DmaSpace(self.lease.clone()), AddressLimit::NONE)
    }

    /// What is behind its base address register `index`. Its address is not told.
    pub fn bar(&self, index: u8) -> Result<Bar, PciError> {
        let (bytes, range) = self.lease.range(index).map_err(|_| PciError::NoBar(index))?;
        let kind = match range {
            Range::Ports => BarKind::Ports,
            Range::Memory => BarKind::Memory { is_prefetchable: false, is_64_bit: false },
        };
        Ok(Bar { kind, address: 0, bytes })
    }

    /// Maps the first `bytes` bytes behind base address register `index`, all of them if it has
    /// fewer, and makes the function answer there.
    pub fn map_bar(&self, index: u8, bytes: usize) -> Result<DeviceRegion, PciError> {
        let bar = self.bar(index)?;
        if bar.kind == BarKind::Ports {
            return Err(PciError::Ports(index));
        }
        let bytes = usize::try_from(bar.bytes).map_or(bytes, |all| bytes.min(all));
        if bytes == 0 {
            return Err(PciError::Map(MmioError::OutOfRange));
        }
        let pages = bytes.next_multiple_of(PAGE);
        let base = self.lease.map(index, pages).map_err(|error| match error {
            Error::OutOfMemory | Error::LimitReached => PciError::Map(MmioError::NoSpace),
            Error::InvalidArgument => PciError::Map(MmioError::OutOfRange),
            _ => PciError::Map(MmioError::NotDevice),
        })?;
        let window = Window::new(base, pages, self.lease.clone());
        Ok(DeviceRegion::new(window, bytes))
    }

    /// Its interrupts, one for each of `bells`, in this order: fewer where it has fewer, none where
    /// it has none. Beside each the latch that is to be raised whenever its bell has rung.
    pub fn interrupts(&self, bells: &[Bell]) -> (Interrupts, Vec<Arc<InterruptLatch>>) {
        let none = || Interrupts { kind: InterruptKind::None, vectors: Vec::new() };
        let (count, kind) = match self.lease.interrupts(bells.len()) {
            Ok((count, Code::MsiX)) => (count, InterruptKind::MsiX),
            Ok((count, Code::Msi)) => (count, InterruptKind::Msi),
            Ok((count, Code::Line)) => (count, InterruptKind::Line),
            Ok((_, Code::None)) => return (none(), Vec::new()),
            Err(error) => {
                log::warn!("{self:?}: no interrupts, polled: {error}");
                return (none(), Vec::new());
            }
        };
        let (mut vectors, mut latches) = (Vec::new(), Vec::new());
        for (index, bell) in bells.iter().take(count).enumerate() {
            if let Err(error) = self.lease.wire(index, bell.notification, bell.bits) {
                log::warn!("{self:?}: {index} of {count} interrupts: {error}");
                break;
            }
            let latch = LatchRef::default();
            let wire = Wire { lease: self.lease.clone(), index, kind };
            vectors.push(Interrupt::new(latch.clone(), Box::new(wire)));
            latches.push(latch);
        }
        (Interrupts { kind, vectors }, latches)
    }

    /// Lets it reach memory.
    pub fn enable_bus_master(&self) -> Result<(), PciError> {
        self.lease.command(Command::BUS_MASTER).map_err(|_| PciError::Deaf)
    }

    /// Cuts it off from memory: what it is still doing there ends.
    pub fn disable_bus_master(&self) -> Result<(), PciError> {
        self.lease.command(Command::empty()).map_err(|_| PciError::Deaf)
    }

    /// Resets it, and it alone. It no longer reaches memory. Takes 100 ms, 2.1 s at most.
    pub fn reset(&self) -> Result<(), ResetError> {
        self.lease.reset().map_err(|error| match error {
            Error::NotSupported => ResetError::NotOffered,
            _ => ResetError::Silent,
        })
    }
}

/// The header, a double word at a time.
struct Space<'a>(&'a Lease);

impl Config for Space<'_> {
    fn read(&self, offset: u16) -> u32 {
        self.0.config(offset).unwrap_or(u32::MAX)
    }
}

/// One interrupt, at the kernel.
struct Wire {
    lease: Arc<Lease>,
    index: usize,
    kind: InterruptKind,
}

impl Wire {
    fn act(&self, action: InterruptAction) {
        // Refused only where the device is gone, which does not interrupt.
        let _ = self.lease.interrupt(self.index, action);
    }
}

impl InterruptControl for Wire {
    fn mask(&self) {
        self.act(InterruptAction::Mask);
    }

    fn unmask(&self) {
        self.act(InterruptAction::Unmask);
    }

    fn rearm(&self) {
        if self.kind == InterruptKind::Line {
            self.act(InterruptAction::Rearm);
        }
    }

    fn claim(&self) {
        if self.kind == InterruptKind::Line {
            self.act(InterruptAction::Claim);
        }
    }
}
