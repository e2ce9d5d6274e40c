//! PCI Express: finding functions and getting at their registers.
//!
//! Firmware names a window of memory in which every function of a segment has 4 KiB of
//! configuration space (ECAM); where it names none, two ports give access to less. [`scan`] walks
//! from a window's first bus through all bridges, each bus once. What it finds are [`Function`]s:
//! they say what they are, map their registers, interrupt cores by message, and are allowed DMA
//! when their driver asks for it, not before. A function is nobody's until its driver takes it;
//! base addresses stay where firmware put them, and [`assign`] gives some to what is plugged in
//! later.
//!
//! Configuration space is a [`DeviceRegion`] like any other, so all this runs on the simulated
//! machine.
//!
//! Source: PCI Express Base Specification 5.0, 7.2.2; PCI Firmware Specification 3.3, 4.1.

mod assign;
#[cfg(test)]
mod assign_tests;
mod config;
#[cfg(test)]
mod endpoint;
mod function;
#[cfg(test)]
mod interrupt_tests;
mod interrupts;
mod lend;
#[cfg(test)]
mod lend_tests;
mod line;
#[cfg(test)]
mod line_tests;
mod msi;
mod msix;
mod port;
mod reset;
#[cfg(test)]
mod reset_tests;
mod segment;
#[cfg(test)]
mod tests;

use alloc::sync::Arc;
use alloc::vec::Vec;

pub use protocols::pci::Class;

use self::segment::Segment;
use crate::mmio::{DeviceRegion, MmioError};
pub use crate::pci_terms::{InterruptKind, Interrupts, PciError, ResetError, RouteError};
pub use assign::{assign, forget};
pub use config::ConfigPorts;
pub use function::Function;
pub use lend::{LentRegisters, Touch};
pub use line::{Hop, Path};
pub use port::Port;

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
    windows.iter().flat_map(|window| Segment::in_window(*window, map).scan()).collect()
}

/// All functions behind the configuration ports: for machines without windows.
pub fn scan_ports(ports: &ConfigPorts, map: &Arc<Map>) -> Vec<Function> {
    Segment::behind(ports.clone(), map).scan()
}

/// The configuration ports of this machine, one lock for all who use them. `None`: it has none.
#[cfg(target_os = "none")]
pub(crate) fn machine_ports() -> Option<&'static ConfigPorts> {
    static PORTS: spin::Once<Option<ConfigPorts>> = spin::Once::new();
    let find = || ConfigPorts::find(crate::x86_64::seam::configuration_ports());
    PORTS.call_once(find).as_ref()
}

/// All functions of this machine, through the windows that firmware names; if it names none,
/// through the configuration ports.
#[cfg(target_os = "none")]
pub fn scan_machine(windows: &[Window]) -> Vec<Function> {
    let map = machine_map();
    if !windows.is_empty() {
        return scan(windows, &map);
    }
    match machine_ports() {
        Some(ports) => {
            log::info!("pci: firmware names no window (MCFG): using ports, 256 bytes a function");
            scan_ports(ports, &map)
        }
        None => {
            log::warn!("pci: neither windows nor ports: no device is found");
            Vec::new()
        }
    }
}

/// The functions with these ids.
pub fn find(functions: &[Function], vendor: u16, device: u16) -> impl Iterator<Item = &Function> {
    let wanted = (vendor, device);
    functions.iter().filter(move |found| (found.header().vendor, found.header().device) == wanted)
}

/// The functions of that class: `(class, subclass)` or `(class, subclass, interface)`.
pub fn find_class(
    functions: &[Function],
    class: impl Into<Class>,
) -> impl Iterator<Item = &Function> {
    let class = class.into();
    functions.iter().filter(move |found| found.header().is_class(class))
}
