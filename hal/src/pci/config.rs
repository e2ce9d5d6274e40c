//! How configuration space is reached: a window of memory, or two ports for all of it.
//!
//! The ports are a pair: one names a double word, the other gives access to it. So a lock makes
//! each access one; interrupt handlers never touch configuration space, so none can want it while
//! it is held. Through the ports there are 256 bytes a function, and segment 0 alone.
//!
//! Source: PCI Local Bus Specification 3.0, 3.2.2.3.2; PCI Express 5.0, 7.2.2.

use alloc::sync::Arc;

use protocols::pci::{Address, Config};

use crate::machine;
use crate::mmio::{DeviceRegion, Register, RegisterValue, Width};

/// The address port among the two, as a place in their region.
const ADDRESS: Register<u32> = Register::at(0);
/// The data port.
const DATA: usize = 4;
/// In the address: this is about configuration space.
const ENABLE: u32 = 1 << 31;
/// Bytes of a function that are reached through the ports.
const REACHED: usize = 256;

/// The two ports.
#[derive(Clone)]
pub struct ConfigPorts {
    ports: Arc<spin::Mutex<DeviceRegion>>,
    /// The same ports, for whoever wants to know which machine this is.
    any: DeviceRegion,
}

impl ConfigPorts {
    /// The ports in `region`: eight bytes, the address first. `None`: nothing answers there that
    /// remembers an address.
    pub fn find(region: DeviceRegion) -> Option<Self> {
        let before = region.read(ADDRESS);
        region.write(ADDRESS, ENABLE);
        let found = region.read(ADDRESS) == ENABLE;
        region.write(ADDRESS, before);
        found.then(|| Self { ports: Arc::new(spin::Mutex::new(region.clone())), any: region })
    }

    /// Reads `register` of the function at `address`; all ones where there is none.
    pub fn read<T: RegisterValue>(&self, address: Address, register: Register<T>) -> T {
        self.at(address).map_or(T::ALL_ONES, |space| space.read(register))
    }

    /// Writes `register` of the function at `address`; nothing where there is none.
    pub fn write<T: RegisterValue>(&self, address: Address, register: Register<T>, value: T) {
        if let Some(space) = self.at(address) {
            space.write(register, value);
        }
    }

    fn at(&self, address: Address) -> Option<ConfigSpace> {
        let Address { segment, bus, device, function } = address;
        let is_there = segment == 0 && device < 32 && function < 8;
        is_there.then(|| self.space(bus, device, function))
    }

    /// The space of one function: `device` is below 32, `function` below 8.
    pub(super) fn space(&self, bus: u8, device: u8, function: u8) -> ConfigSpace {
        let place = u32::from(bus) << 16 | u32::from(device) << 11 | u32::from(function) << 8;
        ConfigSpace::Ports { ports: self.clone(), address: ENABLE | place }
    }
}

/// One function's configuration space.
#[derive(Clone)]
pub(super) enum ConfigSpace {
    /// Mapped: all of it.
    Mapped(DeviceRegion),
    /// Behind the ports: its first part.
    Ports {
        /// Which.
        ports: ConfigPorts,
        /// What names the function's first double word.
        address: u32,
    },
}

impl ConfigSpace {
    /// Reads `register`; all ones where there is none.
    pub fn read<T: RegisterValue>(&self, register: Register<T>) -> T {
        match self {
            Self::Mapped(region) => region.read(register),
            Self::Ports { ports, address } => match Self::place(register, *address) {
                Some((address, data)) => {
                    let ports = ports.ports.lock();
                    ports.write(ADDRESS, address);
                    ports.read(data)
                }
                None => T::ALL_ONES,
            },
        }
    }

    /// Writes `register`; nothing where there is none.
    pub fn write<T: RegisterValue>(&self, register: Register<T>, value: T) {
        match self {
            Self::Mapped(region) => region.write(register, value),
            Self::Ports { ports, address } => {
                if let Some((address, data)) = Self::place(register, *address) {
                    let ports = ports.ports.lock();
                    ports.write(ADDRESS, address);
                    ports.write(data, value);
                }
            }
        }
    }

    /// Reads, changes, writes back. Not atomic.
    pub fn modify<T: RegisterValue>(&self, register: Register<T>, change: impl FnOnce(T) -> T) {
        self.write(register, change(self.read(register)));
    }

    /// What to write to the address port for `register`, and where its data then is.
    fn place<T: RegisterValue>(register: Register<T>, address: u32) -> Option<(u32, Register<T>)> {
        let (offset, bytes) = (register.offset(), T::WIDTH.bytes());
        let is_there =
            T::WIDTH <= Width::Bits32 && offset.is_multiple_of(bytes) && offset < REACHED;
        is_there.then(|| (address | (offset & !0b11) as u32, Register::at(DATA + (offset & 0b11))))
    }

    /// A window of the machine it belongs to.
    pub fn window(&self) -> &machine::Window {
        match self {
            Self::Mapped(region) => region.window(),
            Self::Ports { ports, .. } => ports.any.window(),
        }
    }
}

impl Config for ConfigSpace {
    fn read(&self, offset: u16) -> u32 {
        self.read(Register::<u32>::at(usize::from(offset)))
    }
}
