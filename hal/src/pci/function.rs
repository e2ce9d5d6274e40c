//! One function: what it is, its registers, whether it may reach memory.

use alloc::sync::Arc;
use core::fmt;

use protocols::pci::{
    Address, BAR_COUNT, Bar, BarKind, Capability, Config, Header, HeaderKind, bar, bar_offset,
    capabilities, command, offset,
};

use super::Map;
use crate::mmio::{DeviceRegion, MmioError, Register};

/// Why a function's registers cannot be had. Refuse the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum PciError {
    /// There is no such base address register, or it makes no sense.
    #[error("base address register {0} is not there or makes no sense")]
    NoBar(u8),
    /// Firmware gave it no address, and the kernel gives none either.
    #[error("firmware gave base address register {0} no address")]
    Unassigned(u8),
    /// It is in I/O ports, where the driver wants memory.
    #[error("base address register {0} is in I/O ports")]
    Ports(u8),
    /// The function did not take a change of its command register: it is gone, or broken.
    #[error("it does not obey its command register: gone, or broken")]
    Deaf,
    /// The registers cannot be mapped.
    #[error("{0}")]
    Map(#[from] MmioError),
}

/// A configuration space, read a double word at a time.
pub(super) struct Space<'a>(pub &'a DeviceRegion);

impl Config for Space<'_> {
    fn read(&self, offset: u16) -> u32 {
        self.0.read(Register::<u32>::at(usize::from(offset)))
    }
}

const COMMAND: Register<u16> = Register::at(offset::COMMAND as usize);

/// A function on a bus.
#[derive(Clone)]
pub struct Function {
    address: Address,
    header: Header,
    config: DeviceRegion,
    map: Arc<Map>,
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:04x}:{:04x}", self.address, self.header.vendor, self.header.device)
    }
}

impl Function {
    pub(super) fn new(
        address: Address,
        header: Header,
        config: DeviceRegion,
        map: Arc<Map>,
    ) -> Self {
        Self { address, header, config, map }
    }

    /// Where it is.
    pub fn address(&self) -> Address {
        self.address
    }

    /// What it says it is, as of the scan.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Its first capability with this id (see [`protocols::pci::id`]).
    pub fn capability(&self, id: u8) -> Option<Capability> {
        capabilities(&Space(&self.config), &self.header).find(|found| found.id == id)
    }

    /// Its base address register `index`. The function answers nobody while it is asked how long
    /// the register's range is, so this is for before its driver starts.
    pub fn bar(&self, index: u8) -> Result<Bar, PciError> {
        if index >= BAR_COUNT || self.header.kind != HeaderKind::Device {
            return Err(PciError::NoBar(index));
        }
        let before = self.config.read(COMMAND);
        self.set_command(before & !(command::MEMORY | command::IO))?;
        let (value, sizing) = self.probe(index);
        let is_64_bit = value & 0b111 == 0b100;
        let (high, sizing_high) =
            if is_64_bit && index + 1 < BAR_COUNT { self.probe(index + 1) } else { (0, 0) };
        self.set_command(before)?;
        bar(value, sizing, high, sizing_high).ok_or(PciError::NoBar(index))
    }

    /// What the register reads, and what it reads after all ones; then it is as before.
    fn probe(&self, index: u8) -> (u32, u32) {
        let register = Register::<u32>::at(usize::from(bar_offset(index)));
        let value = self.config.read(register);
        self.config.write(register, u32::MAX);
        let sizing = self.config.read(register);
        self.config.write(register, value);
        (value, sizing)
    }

    /// Maps the first `bytes` bytes behind base address register `index`, all of them if it has
    /// fewer, and makes the function answer there.
    pub fn map_bar(&self, index: u8, bytes: usize) -> Result<DeviceRegion, PciError> {
        let bar = self.bar(index)?;
        if bar.kind == BarKind::Ports {
            return Err(PciError::Ports(index));
        }
        if bar.address == 0 {
            return Err(PciError::Unassigned(index));
        }
        let bytes = usize::try_from(bar.bytes).unwrap_or(usize::MAX).min(bytes);
        let region = (self.map)(bar.address, bytes)?;
        self.set_command(self.config.read(COMMAND) | command::MEMORY)?;
        Ok(region)
    }

    /// Lets it reach memory, and keeps it from raising legacy interrupts that nobody handles.
    pub fn enable_bus_master(&self) -> Result<(), PciError> {
        let wanted = command::BUS_MASTER | command::INTERRUPT_OFF;
        self.set_command(self.config.read(COMMAND) | wanted)
    }

    /// Cuts it off from memory: what it is still doing there ends.
    pub fn disable_bus_master(&self) -> Result<(), PciError> {
        self.set_command(self.config.read(COMMAND) & !command::BUS_MASTER)
    }

    fn set_command(&self, value: u16) -> Result<(), PciError> {
        self.config.write(COMMAND, value);
        // The bits used here are ones that every function with registers has.
        let asked = command::MEMORY | command::BUS_MASTER;
        if self.config.read(COMMAND) & asked == value & asked {
            Ok(())
        } else {
            Err(PciError::Deaf)
        }
    }
}
