//! Addresses behind a bridge, on the simulated machine.

use std::collections::BTreeMap;
use std::vec::Vec;

use proptest::prelude::*;
use protocols::pci::{Bar, BarKind, BridgeWindows, Span, command};

use super::*;
use crate::mmio::Width;
use crate::sim::{Bus, DeviceModel, SimDevice, SimMachine};

const BASE: u64 = 0xe000_0000;

/// A root bus with one bridge at device 1 to bus 1, where functions have registers of any size.
struct Slot {
    bridge: Vec<u8>,
    functions: BTreeMap<usize, Card>,
}

struct Card {
    config: Vec<u8>,
    /// Bits of each register that can be written; what it always reads besides.
    bars: [(u32, u32); 6],
    command_writes: usize,
}

impl Card {
    /// A function of device 0 with these registers: kind and bytes (a power of two).
    fn new(kinds: &[(BarKind, u64)]) -> Self {
        let mut config = std::vec![0; 4096];
        config[..4].copy_from_slice(&[0x36, 0x1b, 0x10, 0]);
        config[8..12].copy_from_slice(&[2, 2, 8, 1]);
        config[14] = 0x80;
        let mut bars = [(0, 0); 6];
        let mut at = 0;
        for (kind, bytes) in kinds {
            let mask = !(bytes - 1);
            match kind {
                BarKind::Ports => bars[at] = (mask as u32, 1),
                BarKind::Memory { is_prefetchable, is_64_bit } => {
                    let flags = u32::from(*is_prefetchable) << 3 | u32::from(*is_64_bit) << 2;
                    bars[at] = (mask as u32, flags);
                    if *is_64_bit {
                        at += 1;
                        bars[at] = ((mask >> 32) as u32, 0);
                    }
                }
            }
            at += 1;
        }
        for (index, (_, flags)) in bars.iter().enumerate() {
            config[0x10 + index * 4..][..4].copy_from_slice(&flags.to_le_bytes());
        }
        Self { config, bars, command_writes: 0 }
    }
}

impl DeviceModel for Slot {
    fn read(&mut self, _bus: &mut Bus<'_>, offset: usize, width: Width) -> u64 {
        let config = match offset >> 12 {
            8 => &self.bridge,
            place if place >= 256 && self.functions.contains_key(&(place - 256)) => {
                &self.functions[&(place - 256)].config
            }
            _ => return width.all_ones(),
        };
        let bytes = &config[offset & 0xfff..][..width.bytes()];
        bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }

    fn write(&mut self, _bus: &mut Bus<'_>, offset: usize, width: Width, value: u64) {
        let at = offset & 0xfff;
        let (config, value) = match offset >> 12 {
            8 => (&mut self.bridge, value),
            place => {
                let card = place.checked_sub(256).and_then(|place| self.functions.get_mut(&place));
                let Some(card) = card else { return };
                card.command_writes += usize::from(at == 4);
                let value = match at {
                    0x10..0x28 => {
                        let (mask, flags) = card.bars[(at - 0x10) / 4];
                        u64::from(value as u32 & mask | flags)
                    }
                    _ => value,
                };
                (&mut card.config, value)
            }
        };
        config[at..at + width.bytes()].copy_from_slice(&value.to_le_bytes()[..width.bytes()]);
    }
}

fn bridge(windows: &BridgeWindows) -> Vec<u8> {
    let mut config = std::vec![0; 4096];
    config[..4].copy_from_slice(&[0x36, 0x1b, 0x0c, 0]);
    config[8..12].copy_from_slice(&[0, 0, 4, 6]);
    (config[14], config[0x19], config[0x1a]) = (1, 1, 1);
    (config[0x1c], config[0x1d], config[0x24], config[0x26]) = (1, 1, 1, 1);
    for (offset, mask, value) in windows.encode() {
        let place = usize::from(offset)..usize::from(offset) + 4;
        let old = u32::from_le_bytes(config[place.clone()].try_into().unwrap());
        config[place].copy_from_slice(&(old & !mask | value & mask).to_le_bytes());
    }
    config
}

fn machine(windows: &BridgeWindows) -> (SimMachine, SimDevice<Slot>, Function) {
    let machine = SimMachine::new();
    let slot = Slot { bridge: bridge(windows), functions: BTreeMap::new() };
    let device = machine.add("slot", slot);
    let whole = device.region(2 * BUS_BYTES);
    let registers = machine.add("registers", crate::sim::Script::new()).region(1 << 20);
    let map: Arc<Map> = Arc::new(move |physical: u64, bytes| {
        match physical.checked_sub(BASE).filter(|start| *start < 2 * BUS_BYTES as u64) {
            Some(start) => whole.part(start as usize..start as usize + bytes),
            None => registers.part(0..bytes),
        }
    });
    let window = Window { base: BASE, segment: 0, first_bus: 0, last_bus: 1 };
    // Device 0 is not there; the walk goes on.
    let bridge = scan(&[window], &map).remove(0);
    (machine, device, bridge)
}

fn windows() -> BridgeWindows {
    BridgeWindows {
        memory: Span::of(0xfe00_0000, 2 << 20),
        prefetchable: Span::of(0x80_0000_0000, 4 << 20),
        ports: Span::of(0x2000, 0x1000),
    }
}

const PLAIN: BarKind = BarKind::Memory { is_prefetchable: false, is_64_bit: false };
const WIDE: BarKind = BarKind::Memory { is_prefetchable: false, is_64_bit: true };
const PREFETCHABLE: BarKind = BarKind::Memory { is_prefetchable: true, is_64_bit: true };
const LOW_PREFETCHABLE: BarKind = BarKind::Memory { is_prefetchable: true, is_64_bit: false };

#[test]
fn a_card_that_is_inserted_gets_addresses() {
    let (_machine, device, bridge) = machine(&windows());
    assert!(assign(&bridge).unwrap().is_empty());
    let kinds = [(WIDE, 0x4000), (PLAIN, 0x1000), (PREFETCHABLE, 1 << 20), (BarKind::Ports, 32)];
    device.act(|slot, _| slot.functions.insert(0, Card::new(&kinds)));
    let functions = assign(&bridge).unwrap();
    assert_eq!(functions.len(), 1);
    let bars: Vec<Bar> = [0, 2, 3, 5].map(|index| functions[0].bar(index).unwrap()).to_vec();
    let addresses: Vec<u64> = bars.iter().map(|bar| bar.address).collect();
    assert_eq!(addresses, [0xfe00_0000, 0xfe00_4000, 0x80_0000_0000, 0x2000]);
    let card = |device: &SimDevice<Slot>| {
        device.act(|slot, _| (slot.functions[&0].config.clone(), slot.functions[&0].command_writes))
    };
    let (config, writes) = card(&device);
    assert_eq!(config[0x10..0x18], 0xfe00_0004u64.to_le_bytes());
    assert_eq!(u16::from(config[4]), command::MEMORY | command::IO);
    let bridge_command = device.act(|slot, _| u16::from(slot.bridge[4]));
    assert_eq!(bridge_command, command::MEMORY | command::IO | command::BUS_MASTER);
    assert_eq!(functions[0].map_bar(0, 64).map(|region| region.bytes()), Ok(64));

    // A look while its driver is at work does not disturb it; a sibling keeps clear of it.
    let again = assign(&bridge).unwrap();
    let (same, after) = card(&device);
    assert_eq!(same, config);
    assert_eq!(after - writes, 2, "told to answer, twice, and never not to");
    device.act(|slot, _| slot.functions.insert(1, Card::new(&[(WIDE, 0x4000)])));
    let both = assign(&bridge).unwrap();
    assert_eq!(both[1].bar(0).map(|bar| bar.address), Ok(0xfe00_8000));
    drop((functions, again, both));

    // The same card, pulled out and put back, has forgotten everything.
    let old = assign(&bridge).unwrap();
    forget(&bridge);
    device.act(|slot, _| {
        slot.functions.clear();
        slot.functions.insert(0, Card::new(&kinds))
    });
    let new = assign(&bridge).unwrap();
    assert_eq!(new[0].bar(0).map(|bar| bar.address), Ok(0xfe00_0000));
    let config = device.act(|slot, _| slot.functions[&0].config.clone());
    assert_eq!(config[0x10..0x18], 0xfe00_0004u64.to_le_bytes());
    drop(old);
}

#[test]
fn what_finds_no_room_is_left_without() {
    let (_machine, device, bridge) = machine(&BridgeWindows { ports: None, ..windows() });
    let kinds = [(WIDE, 4 << 20), (PLAIN, 0x1000), (BarKind::Ports, 32)];
    device.act(|slot, _| slot.functions.insert(0, Card::new(&kinds)));
    let functions = assign(&bridge).unwrap();
    assert!(matches!(functions[0].map_bar(0, 64), Err(PciError::Unassigned(0))));
    assert_eq!(device.act(|slot, _| slot.functions[&0].config[4]), 0, "it answers nowhere");
    assert_eq!(functions[0].bar(2).map(|bar| bar.address), Ok(0xfe00_0000));
    assert_eq!(assign(&functions[0]).err(), Some(PciError::NoBus));
    device.act(|slot, _| slot.bridge[0x19] = 0);
    assert_eq!(assign(&bridge).err(), Some(PciError::NoBus));
    device.unplug();
    assert_eq!(assign(&bridge).err(), Some(PciError::Deaf));
}

/// To give it an address its registers would have to be silent for a moment, under its driver.
#[test]
fn a_card_in_use_is_not_silenced_for_a_register_without_an_address() {
    let (_machine, device, bridge) = machine(&BridgeWindows { ports: None, ..windows() });
    let kinds = [(PLAIN, 0x1000), (BarKind::Ports, 32)];
    device.act(|slot, _| slot.functions.insert(0, Card::new(&kinds)));
    let functions = assign(&bridge).unwrap();
    assert!(functions[0].map_bar(0, 64).is_ok());
    device.act(|slot, _| slot.bridge = super::assign_tests::bridge(&windows()));
    let card = || device.act(|slot, _| slot.functions[&0].config[..0x28].to_vec());
    let before = card();
    assign(&bridge).unwrap();
    assert_eq!(card(), before);
    // Nobody has it any more.
    drop(functions);
    assert_eq!(assign(&bridge).unwrap()[0].bar(1).map(|bar| bar.address), Ok(0x2000));
}

proptest! {
    /// Whatever is plugged in: inside a window that suits it, aligned, clear of the others.
    #[test]
    fn places_are_sound(
        cards in proptest::collection::vec(
            proptest::collection::vec((0usize..5, 4u32..21), 1..4), 1..8),
    ) {
        let windows = windows();
        let (_machine, device, bridge) = machine(&windows);
        let kinds = [PLAIN, WIDE, PREFETCHABLE, LOW_PREFETCHABLE, BarKind::Ports];
        for (number, card) in cards.iter().enumerate() {
            let bars: Vec<_> = card.iter().map(|(kind, shift)| {
                let shift = if kinds[*kind] == BarKind::Ports { 2 + shift % 7 } else { *shift };
                (kinds[*kind], 1u64 << shift)
            }).collect();
            // One by one, as people plug them in.
            device.act(|slot, _| slot.functions.insert(number, Card::new(&bars)));
            assign(&bridge).unwrap();
        }
        let mut taken: Vec<(bool, Span)> = Vec::new();
        for function in assign(&bridge).unwrap() {
            for bar in (0..6).filter_map(|index| function.bar(index).ok()) {
                if bar.address == 0 {
                    continue;
                }
                let span = Span::of(bar.address, bar.bytes).unwrap();
                let is_ports = bar.kind == BarKind::Ports;
                let suits = |window: Option<Span>| window.is_some_and(|w| w.contains(&span));
                prop_assert!(bar.address.is_multiple_of(bar.bytes));
                let is_suited = match bar.kind {
                    BarKind::Ports => suits(windows.ports),
                    PREFETCHABLE => suits(windows.prefetchable) || suits(windows.memory),
                    _ => suits(windows.memory),
                };
                prop_assert!(is_suited);
                prop_assert!(!taken.iter().any(|t| t.0 == is_ports && t.1.overlaps(&span)));
                taken.push((is_ports, span));
            }
        }
    }
}
