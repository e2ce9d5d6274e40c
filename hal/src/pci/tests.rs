//! Buses on the simulated machine: bridges, circles, base address registers.

use std::collections::BTreeMap;
use std::vec::Vec;

use protocols::pci::id;

use super::*;
use crate::mmio::Width;
use crate::sim::{Bus, DeviceModel, SimDevice, SimMachine};

const BASE: u64 = 0xe000_0000;
const WINDOW: Window = Window { base: BASE, segment: 0, first_bus: 0, last_bus: 7 };
const NVME: (u8, u8, u8) = (1, 8, 2);

/// Configuration space of a few functions: what is not there reads all ones.
#[derive(Default)]
pub(super) struct Ecam {
    functions: BTreeMap<usize, Vec<u8>>,
    /// The size of each function's first (64-bit) base address register.
    bar_bytes: u64,
}

impl Ecam {
    fn add(&mut self, bus: usize, device: usize, function: usize) -> &mut Vec<u8> {
        let place = (bus * 256 + device * 8 + function) * 4096;
        self.functions.entry(place).or_insert_with(|| std::vec![0; 4096])
    }

    pub(super) fn nvme(&mut self, bus: usize, device: usize) -> &mut Vec<u8> {
        let space = self.add(bus, device, 0);
        space[..4].copy_from_slice(&[0x36, 0x1b, 0x10, 0]);
        space[6] = 0x10;
        space[8..12].copy_from_slice(&[2, 2, 8, 1]);
        space[0x10..0x18].copy_from_slice(&0xc0_0000_0004u64.to_le_bytes());
        space[0x34] = 0x40;
        space[0x40] = id::MSIX;
        space
    }

    pub(super) fn bridge(&mut self, bus: usize, device: usize, secondary: u8) -> &mut Vec<u8> {
        let space = self.add(bus, device, 0);
        space[..4].copy_from_slice(&[0x36, 0x1b, 0x0c, 0]);
        space[8..12].copy_from_slice(&[0, 0, 4, 6]);
        space[14] = 1;
        space[0x19] = secondary;
        space
    }
}

impl DeviceModel for Ecam {
    fn read(&mut self, _bus: &mut Bus<'_>, offset: usize, width: Width) -> u64 {
        let Some(space) = self.functions.get(&(offset & !0xfff)) else { return width.all_ones() };
        let bytes = &space[offset & 0xfff..][..width.bytes()];
        bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }

    fn write(&mut self, _bus: &mut Bus<'_>, offset: usize, width: Width, value: u64) {
        let mask = !(self.bar_bytes.max(16) - 1);
        let Some(space) = self.functions.get_mut(&(offset & !0xfff)) else { return };
        let at = offset & 0xfff;
        let value = match at {
            0x10 => value & mask | 0x4,
            0x14 => value & mask >> 32,
            0x18..0x28 => 0,
            _ => value,
        };
        space[at..at + width.bytes()].copy_from_slice(&value.to_le_bytes()[..width.bytes()]);
    }
}

fn machine(build: impl FnOnce(&mut Ecam)) -> (SimMachine, SimDevice<Ecam>, Arc<Map>) {
    let machine = SimMachine::new();
    let mut model = Ecam { bar_bytes: 0x4000, ..Ecam::default() };
    build(&mut model);
    let device = machine.add("ecam", model);
    let whole = device.region(8 * BUS_BYTES);
    let registers = machine.add("registers", crate::sim::Script::new()).region(0x4000);
    let map: Arc<Map> = Arc::new(move |physical: u64, bytes| match physical {
        0xc0_0000_0000 => registers.part(0..bytes),
        _ => {
            let start = physical.checked_sub(BASE).ok_or(MmioError::NotDevice)? as usize;
            whole.part(start..start + bytes)
        }
    });
    (machine, device, map)
}

fn addresses(functions: &[Function]) -> Vec<(u8, u8, u8)> {
    let place = |found: &Function| {
        let address = found.address();
        (address.bus, address.device, address.function)
    };
    functions.iter().map(place).collect()
}

#[test]
fn buses_behind_bridges_are_found_once() {
    let (_machine, _device, map) = machine(|ecam| {
        ecam.nvme(0, 3);
        ecam.add(0, 3, 1)[..2].copy_from_slice(&[9, 9]);
        ecam.add(0, 31, 0)[..2].copy_from_slice(&[9, 9]);
        ecam.add(0, 31, 0)[14] = 0x80;
        ecam.add(0, 31, 2)[..2].copy_from_slice(&[9, 9]);
        ecam.bridge(0, 4, 2);
        ecam.bridge(2, 0, 5);
        // Back to where we came from, to itself, out of the window, and not set up.
        ecam.bridge(2, 1, 2);
        ecam.bridge(2, 2, 0);
        ecam.bridge(2, 3, 200);
        ecam.nvme(5, 0);
    });
    let functions = scan(&[WINDOW], &map);
    let expected = [
        (0, 3, 0), // not multifunction: function 1 is not looked at
        (0, 4, 0),
        (0, 31, 0),
        (0, 31, 2),
        (2, 0, 0),
        (2, 1, 0),
        (2, 2, 0),
        (2, 3, 0),
        (5, 0, 0),
    ];
    assert_eq!(addresses(&functions), expected);
    for class in [Class::from(NVME), Class::from((1, 8))] {
        let found: Vec<Function> = find_class(&functions, class).cloned().collect();
        assert_eq!(addresses(&found), [(0, 3, 0), (5, 0, 0)]);
    }
    assert_eq!(find_class(&functions, (1, 8, 1)).count(), 0);
    assert_eq!(find(&functions, 0x1b36, 0x10).count(), 2);
    assert_eq!(find(&functions, 0x1b36, 0x11).count(), 0);
}

#[test]
fn windows_that_cannot_be_mapped_are_left_out() {
    let (_machine, _device, map) = machine(|_| {});
    assert!(scan(&[Window { base: 0x1000, ..WINDOW }], &map).is_empty());
    assert!(scan(&[Window { base: u64::MAX - 5, first_bus: 9, ..WINDOW }], &map).is_empty());
    assert!(scan(&[], &map).is_empty());
}

/// The pair of ports in front of the same functions.
struct Ports {
    address: u32,
    ecam: Ecam,
}

impl Ports {
    fn place(&self, offset: usize) -> Option<usize> {
        let (address, enabled) = (self.address as usize, self.address >> 31 == 1);
        let function = (address >> 8 & 0xffff) << 12;
        (enabled && offset >= 4).then(|| function | address & 0xfc | (offset - 4))
    }
}

impl DeviceModel for Ports {
    fn read(&mut self, bus: &mut Bus<'_>, offset: usize, width: Width) -> u64 {
        match self.place(offset) {
            Some(place) => self.ecam.read(bus, place, width),
            None => u64::from(self.address),
        }
    }

    fn write(&mut self, bus: &mut Bus<'_>, offset: usize, width: Width, value: u64) {
        match (offset, self.place(offset)) {
            (0, _) => self.address = value as u32,
            (_, Some(place)) => self.ecam.write(bus, place, width, value),
            _ => {}
        }
    }
}

#[test]
fn ports_show_the_same_functions() {
    let machine = SimMachine::new();
    let mut ecam = Ecam { bar_bytes: 0x4000, ..Ecam::default() };
    ecam.nvme(0, 3);
    ecam.bridge(0, 4, 9);
    ecam.nvme(9, 31)[0x100] = 1;
    let device = machine.add("ports", Ports { address: 0, ecam });
    let registers = machine.add("registers", crate::sim::Script::new()).region(0x4000);
    let map: Arc<Map> = Arc::new(move |physical: u64, bytes| {
        assert_eq!(physical, 0xc0_0000_0000);
        registers.part(0..bytes)
    });
    let ports = ConfigPorts::find(device.region(8)).unwrap();
    let functions = scan_ports(&ports, &map);
    assert_eq!(addresses(&functions), [(0, 3, 0), (0, 4, 0), (9, 31, 0)]);
    let function = &functions[2];
    assert_eq!(function.bar(0).map(|bar| bar.bytes), Ok(0x4000));
    assert_eq!(function.map_bar(0, 0x100).map(|region| region.bytes()), Ok(0x100));
    function.enable_bus_master().unwrap();
    assert_eq!(device.act(|ports, _| ports.ecam.nvme(9, 31)[4..6].to_vec()), [0b110, 0b100]);
    assert_eq!(function.extended_capability(1), None, "it is beyond the ports");
    assert_eq!(function.capability(id::MSIX).map(|found| found.offset), Some(0x40));
    device.unplug();
    assert!(ConfigPorts::find(device.region(8)).is_none());
}

#[test]
fn registers_are_sized_mapped_and_left_as_they_were() {
    let (_machine, device, map) = machine(|ecam| {
        ecam.nvme(0, 3);
    });
    let functions = scan(&[WINDOW], &map);
    let function = &functions[0];
    let bar = function.bar(0).unwrap();
    assert_eq!((bar.address, bar.bytes), (0xc0_0000_0000, 0x4000));
    assert_eq!(function.bar(2), Err(PciError::NoBar(2)));
    assert_eq!(function.bar(6), Err(PciError::NoBar(6)));
    let command = || device.act(|ecam, _| ecam.add(0, 3, 0)[4]);
    assert_eq!(command(), 0);
    assert_eq!(function.map_bar(0, 0x2000).unwrap().bytes(), 0x2000);
    assert_eq!(function.map_bar(0, 1 << 20).unwrap().bytes(), 0x4000, "no more than there is");
    assert_eq!(command(), 0b010);
    function.enable_bus_master().unwrap();
    assert_eq!(command(), 0b110);
    function.disable_bus_master().unwrap();
    assert_eq!(command(), 0b010);
    let base = device.act(|ecam, _| ecam.add(0, 3, 0)[0x10..0x18].to_vec());
    assert_eq!(base, 0xc0_0000_0004u64.to_le_bytes());
    assert_eq!(function.capability(id::MSIX).map(|found| found.offset), Some(0x40));
    assert_eq!(function.capability(id::MSI), None);
}

#[test]
fn what_cannot_be_used_is_refused() {
    let (_machine, device, map) = machine(|ecam| {
        ecam.nvme(0, 3)[0x14] = 0;
        ecam.bridge(0, 4, 0);
        ecam.nvme(0, 5);
    });
    let functions = scan(&[WINDOW], &map);
    assert!(matches!(functions[0].map_bar(0, 64), Err(PciError::Unassigned(0))));
    assert_eq!(functions[1].bar(0), Err(PciError::NoBar(0)));
    device.unplug();
    assert_eq!(functions[2].bar(0), Err(PciError::Deaf));
    assert_eq!(functions[0].enable_bus_master(), Ok(()), "all ones hold every bit");
}
