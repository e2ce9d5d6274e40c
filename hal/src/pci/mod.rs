//! PCI Express: finding functions and getting at their registers.
//!
//! Firmware names a window of memory in which every function of a segment has 4 KiB of
//! configuration space (ECAM). [`scan`] walks from a window's first bus through all bridges, each
//! bus once. What it finds are [`Function`]s: they say what they are, map their registers, and are
//! allowed DMA when their driver asks for it, not before. A function is nobody's until its driver
//! takes it; base addresses stay where firmware put them.
//!
//! Configuration space is a [`DeviceRegion`] like any other, so all this runs on the simulated
//! machine. Not here yet: the legacy ports (machines without ECAM), hot-plug.
//!
//! Source: PCI Express Base Specification 5.0, 7.2.2; PCI Firmware Specification 3.3, 4.1.

#[cfg(test)]
mod endpoint;
mod function;
#[cfg(test)]
mod interrupt_tests;
mod interrupts;
mod msi;
mod msix;
#[cfg(test)]
mod tests;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use protocols::pci::{Address, Header, HeaderKind};

use crate::mmio::{DeviceRegion, MmioError};
pub use function::{Function, PciError};
pub use interrupts::{InterruptKind, Interrupts};

/// Configuration space of one function, and of one bus.
const FUNCTION_BYTES: usize = 4096;
const BUS_BYTES: usize = 256 * FUNCTION_BYTES;

/// Maps registers: physical address and length.
pub type Map = dyn Fn(u64, usize) -> Result<DeviceRegion, MmioError> + Send + Sync;

/// The configuration window of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Physical address of bus 0's first function, even if the window begins later.
    pub base: u64,
    /// Segment group.
    pub segment: u16,
    /// First bus in the window.
    pub first_bus: u8,
    /// Last bus in the window.
    pub last_bus: u8,
}

#[cfg(target_os = "none")]
impl From<crate::x86_64::acpi::PciWindow> for Window {
    fn from(window: crate::x86_64::acpi::PciWindow) -> Self {
        let crate::x86_64::acpi::PciWindow { base, segment, first_bus, last_bus } = window;
        Self { base, segment, first_bus, last_bus }
    }
}

/// Maps the registers of this machine's functions.
#[cfg(target_os = "none")]
pub fn machine_map() -> Arc<Map> {
    Arc::new(|physical, bytes| crate::device::map(crate::memory::PhysAddr(physical), bytes))
}

/// All functions of all windows. A bus that cannot be mapped is logged and left out.
pub fn scan(windows: &[Window], map: &Arc<Map>) -> Vec<Function> {
    windows.iter().flat_map(|window| scan_segment(window, map)).collect()
}

/// The functions of that class, subclass and programming interface.
pub fn find_class(
    functions: &[Function],
    (class, subclass, interface): (u8, u8, u8),
) -> impl Iterator<Item = &Function> {
    functions.iter().filter(move |found| found.header().is_class(class, subclass, interface))
}

fn scan_segment(window: &Window, map: &Arc<Map>) -> Vec<Function> {
    let mut found = Vec::new();
    // A bus is looked at once, whatever bridges say: their numbers may form circles.
    let mut seen = [false; 256];
    let mut buses = VecDeque::from([window.first_bus]);
    while let Some(bus) = buses.pop_front() {
        let inside = (window.first_bus..=window.last_bus).contains(&bus);
        if !inside || core::mem::replace(&mut seen[usize::from(bus)], true) {
            continue;
        }
        let place = window.base.checked_add(u64::from(bus) * BUS_BYTES as u64);
        let space = place.ok_or(MmioError::OutOfRange).and_then(|place| map(place, BUS_BYTES));
        let space = match space {
            Ok(space) => space,
            Err(error) => {
                log::warn!("pci: bus {bus:#04x} of segment {} left out: {error}", window.segment);
                continue;
            }
        };
        for device in 0..32 {
            scan_device(window.segment, bus, device, &space, map, &mut found, &mut buses);
        }
    }
    found
}

fn scan_device(
    segment: u16,
    bus: u8,
    device: u8,
    space: &DeviceRegion,
    map: &Arc<Map>,
    found: &mut Vec<Function>,
    buses: &mut VecDeque<u8>,
) {
    for function in 0..8 {
        let start = (usize::from(device) * 8 + usize::from(function)) * FUNCTION_BYTES;
        let Ok(config) = space.part(start..start + FUNCTION_BYTES) else { return };
        let header = Header::read(&function::Space(&config));
        let Some(header) = header else {
            if function == 0 {
                return;
            }
            continue;
        };
        if let HeaderKind::Bridge { secondary, .. } = header.kind
            && secondary != 0
        {
            buses.push_back(secondary);
        }
        let address = Address { segment, bus, device, function };
        found.push(Function::new(address, header, config, map.clone()));
        if function == 0 && !header.is_multifunction {
            return;
        }
    }
}
