//! A segment: buses that share their numbers, and how their configuration space is reached.
//!
//! A bus is mapped as long as anybody has a function on it; who comes later shares the mapping.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use protocols::pci::{Address, Header, HeaderKind};
use spin::Mutex;

use super::config::{ConfigPorts, ConfigSpace};
use super::function::Shared;
use super::{BUS_BYTES, FUNCTION_BYTES, Function, Map, Window};
use crate::mmio::{DeviceRegion, MmioError, WeakRegion};

/// How configuration space is reached.
enum Reach {
    Window(Window),
    Ports(ConfigPorts),
}

/// A segment, or as much of one as has a window.
pub(super) struct Segment {
    reach: Reach,
    map: Arc<Map>,
    mapped: Mutex<BTreeMap<u8, WeakRegion>>,
    /// What is known of functions that somebody has.
    known: Mutex<BTreeMap<Address, Weak<Shared>>>,
}

/// One bus of it.
enum Bus<'a> {
    Mapped(DeviceRegion),
    Ports(&'a ConfigPorts),
}

impl Segment {
    pub fn in_window(window: Window, map: &Arc<Map>) -> Arc<Self> {
        Self::new(Reach::Window(window), map)
    }

    pub fn behind(ports: ConfigPorts, map: &Arc<Map>) -> Arc<Self> {
        Self::new(Reach::Ports(ports), map)
    }

    fn new(reach: Reach, map: &Arc<Map>) -> Arc<Self> {
        Arc::new(Self {
            reach,
            map: map.clone(),
            mapped: Mutex::default(),
            known: Mutex::default(),
        })
    }

    /// Maps registers of its functions.
    pub fn map(&self) -> &Map {
        &*self.map
    }

    fn number(&self) -> u16 {
        match &self.reach {
            Reach::Window(window) => window.segment,
            Reach::Ports(_) => 0,
        }
    }

    /// The first and the last bus.
    fn buses(&self) -> (u8, u8) {
        match &self.reach {
            Reach::Window(window) => (window.first_bus, window.last_bus),
            Reach::Ports(_) => (0, u8::MAX),
        }
    }

    fn bus(&self, bus: u8) -> Result<Bus<'_>, MmioError> {
        let window = match &self.reach {
            Reach::Window(window) => window,
            Reach::Ports(ports) => return Ok(Bus::Ports(ports)),
        };
        let mut mapped = self.mapped.lock();
        if let Some(region) = mapped.get(&bus).and_then(WeakRegion::upgrade) {
            return Ok(Bus::Mapped(region));
        }
        let place = window.base.checked_add(u64::from(bus) * BUS_BYTES as u64);
        let region = (self.map)(place.ok_or(MmioError::OutOfRange)?, BUS_BYTES)?;
        mapped.insert(bus, region.downgrade());
        Ok(Bus::Mapped(region))
    }

    /// All functions from the first bus on, through all bridges.
    pub fn scan(self: &Arc<Self>) -> Vec<Function> {
        self.scan_from(self.buses().0)
    }

    /// All functions on that bus and behind its bridges. A bus that cannot be mapped is logged and
    /// left out.
    pub fn scan_from(self: &Arc<Self>, first: u8) -> Vec<Function> {
        let mut found = Vec::new();
        // A bus is looked at once, whatever bridges say: their numbers may form circles.
        let mut seen = [false; 256];
        let mut buses = VecDeque::from([first]);
        let (lowest, highest) = self.buses();
        while let Some(bus) = buses.pop_front() {
            let inside = (lowest..=highest).contains(&bus);
            if !inside || core::mem::replace(&mut seen[usize::from(bus)], true) {
                continue;
            }
            let on_bus = match self.scan_bus(bus) {
                Ok(on_bus) => on_bus,
                Err(error) => {
                    let segment = self.number();
                    log::warn!("pci: bus {bus:#04x} of segment {segment} left out: {error}");
                    continue;
                }
            };
            let bridges = on_bus.iter().filter_map(|function| match function.header().kind {
                HeaderKind::Bridge { secondary, .. } if secondary != 0 => Some(secondary),
                _ => None,
            });
            buses.extend(bridges);
            found.extend(on_bus);
        }
        found
    }

    /// The functions on that bus alone.
    pub fn scan_bus(self: &Arc<Self>, bus: u8) -> Result<Vec<Function>, MmioError> {
        let space = self.bus(bus)?;
        let mut found = Vec::new();
        for device in 0..32 {
            self.scan_device(bus, device, &space, &mut found);
        }
        Ok(found)
    }

    fn scan_device(
        self: &Arc<Self>,
        bus: u8,
        device: u8,
        space: &Bus<'_>,
        found: &mut Vec<Function>,
    ) {
        for function in 0..8 {
            let Some(config) = space.function(bus, device, function) else { return };
            let Some(header) = Header::read(&config) else {
                if function == 0 {
                    return;
                }
                continue;
            };
            let address = Address { segment: self.number(), bus, device, function };
            let shared = self.known(address, &header);
            found.push(Function::new(address, header, config, self.clone(), shared));
            if function == 0 && !header.is_multifunction {
                return;
            }
        }
    }
}

impl Segment {
    /// What is known of that function: if somebody has found it before and still has it, all that
    /// he knows.
    fn known(&self, address: Address, header: &Header) -> Arc<Shared> {
        let mut known = self.known.lock();
        let before = known.get(&address).and_then(Weak::upgrade);
        if let Some(shared) = before.filter(|s| s.ids == (header.vendor, header.device)) {
            return shared;
        }
        let shared = Shared::of(header);
        known.insert(address, Arc::downgrade(&shared));
        shared
    }

    /// Takes the functions on these buses for others from now on.
    pub fn forget(&self, buses: RangeInclusive<u8>) {
        self.known.lock().retain(|address, _| !buses.contains(&address.bus));
    }
}

impl Bus<'_> {
    fn function(&self, bus: u8, device: u8, function: u8) -> Option<ConfigSpace> {
        match self {
            Bus::Mapped(region) => {
                let start = (usize::from(device) * 8 + usize::from(function)) * FUNCTION_BYTES;
                region.part(start..start + FUNCTION_BYTES).ok().map(ConfigSpace::Mapped)
            }
            Bus::Ports(ports) => Some(ports.space(bus, device, function)),
        }
    }
}
