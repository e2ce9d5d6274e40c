//! Interrupts by message on the simulated machine.

use core::num::NonZeroU32;
use std::vec::Vec;

use protocols::pci::{command, msi, msix};

use super::endpoint::{BAR_BYTES, Endpoint, MSI, machine};
use super::*;
use crate::interrupt::Interrupt;

fn taken(interrupt: &mut Interrupt) -> u32 {
    interrupt.take().map_or(0, NonZeroU32::get)
}

#[test]
fn each_entry_interrupts_its_core() {
    let (machine, device, function) = machine(Endpoint::new().with_msix(5, 0).with_msi(0));
    function.enable_bus_master().unwrap();
    let registers = function.map_bar(0, 0x1000).unwrap();
    let Interrupts { kind, mut vectors } = function.interrupts(&[3, 0, 3]);
    assert_eq!((kind, vectors.len(), machine.vectors_in_use()), (InterruptKind::MsiX, 3, 3));
    assert_eq!(registers.bytes(), 0x1000);
    device.act(|endpoint, _| {
        assert_ne!(endpoint.config16(4) & command::INTERRUPT_OFF, 0);
        assert_eq!(endpoint.msix_control(), 4 | msix::control::ENABLE);
        assert!((0..5).all(|index| endpoint.entry_masked(index)));
        assert_eq!(endpoint.bar[0x2001..0x2003], [0x30, 0xe0], "core 3");
        assert_eq!(endpoint.bar[0x2011..0x2013], [0x00, 0xe0], "core 0");
    });
    vectors.iter_mut().for_each(Interrupt::unmask);
    for fired in 0..3 {
        device.act(|endpoint, bus| endpoint.fire(bus, fired));
        let counts: Vec<u32> = vectors.iter_mut().map(taken).collect();
        assert!(counts.iter().enumerate().all(|(index, n)| *n == u32::from(index == fired)));
    }
    // Nobody has the fourth.
    device.act(|endpoint, bus| endpoint.fire(bus, 3));
    assert!(machine.take_violations().is_empty());
}

#[test]
fn what_comes_while_masked_is_delivered_when_unmasked() {
    let maskable = msi::control::MASKABLE | msi::control::WIDE;
    for (endpoint, kind) in [
        (Endpoint::new().with_msix(2, 0), InterruptKind::MsiX),
        (Endpoint::new().with_msi(maskable), InterruptKind::Msi),
        (Endpoint::new().with_msi(msi::control::MASKABLE), InterruptKind::Msi),
        (Endpoint::new().with_msi(msi::control::WIDE), InterruptKind::Msi),
        (Endpoint::new().with_msi(0), InterruptKind::Msi),
    ] {
        let (machine, device, function) = machine(endpoint);
        function.enable_bus_master().unwrap();
        let mut interrupts = function.interrupts(&[1]);
        assert_eq!((interrupts.kind, interrupts.vectors.len()), (kind, 1));
        let interrupt = &mut interrupts.vectors[0];
        device.act(|endpoint, bus| endpoint.fire(bus, 0));
        assert_eq!(taken(interrupt), 0, "it begins masked");
        interrupt.unmask();
        assert_eq!(machine.run(interrupt.wait()).map(NonZeroU32::get), Ok(1));
        device.act(|endpoint, bus| endpoint.fire(bus, 0));
        assert_eq!(taken(interrupt), 1);
        interrupt.mask();
        device.act(|endpoint, bus| endpoint.fire(bus, 0));
        device.act(|endpoint, bus| endpoint.fire(bus, 0));
        assert_eq!(taken(interrupt), 0);
        interrupt.unmask();
        assert_eq!(taken(interrupt), 1);
        interrupt.unmask();
        assert_eq!(taken(interrupt), 0, "it was not masked in between");
    }
}

#[test]
fn dropped_ones_are_masked_and_their_vectors_free() {
    let (machine, device, function) = machine(Endpoint::new().with_msix(4, 0));
    function.enable_bus_master().unwrap();
    for _ in 0..100 {
        let mut interrupts = function.interrupts(&[0, 1]);
        interrupts.vectors.iter_mut().for_each(Interrupt::unmask);
        assert_eq!(function.interrupts(&[0]).kind, InterruptKind::None, "in use");
        drop(interrupts.vectors.remove(0));
        assert_eq!(machine.vectors_in_use(), 1);
        device.act(|endpoint, bus| {
            assert!(endpoint.entry_masked(0) && !endpoint.entry_masked(1));
            endpoint.fire(bus, 0);
            endpoint.fire(bus, 1);
            endpoint.pending.fill(false);
        });
        assert_eq!(taken(&mut interrupts.vectors[0]), 1);
        drop(interrupts);
        assert_eq!(machine.vectors_in_use(), 0);
        device.act(|endpoint, bus| {
            assert_eq!(endpoint.msix_control() & msix::control::ENABLE, 0);
            endpoint.fire(bus, 1);
        });
    }
    let (machine, device, function) = self::machine(Endpoint::new().with_msi(0));
    drop(function.interrupts(&[0]));
    assert_eq!(device.act(|endpoint, _| endpoint.config16(MSI + 2)), 0);
    assert_eq!(machine.vectors_in_use(), 0);
}

#[test]
fn fewer_than_asked_for_or_none() {
    let (machine, _, function) = machine(Endpoint::new().with_msix(3, 0));
    assert_eq!(function.interrupts(&[]).vectors.len(), 0);
    assert_eq!(function.interrupts(&[0; 9]).vectors.len(), 3, "the table is that long");
    assert_eq!(function.interrupts(&[0, 1, 200]).vectors.len(), 2, "there is no such core");
    assert_eq!(function.interrupts(&[200]).kind, InterruptKind::None);
    assert_eq!(machine.vectors_in_use(), 0);
    let (_machine, _, function) = self::machine(Endpoint::new().with_msix(64, 0));
    assert_eq!(function.interrupts(&[1; 64]).vectors.len(), 32, "a core has no more vectors");
    let (_machine, device, function) = self::machine(Endpoint::new().with_msix(3, 1).with_msi(0));
    assert_eq!(function.interrupts(&[0, 0]).kind, InterruptKind::Msi, "the table is nowhere");
    assert_eq!(device.act(|endpoint, _| endpoint.msix_control() & msix::control::ENABLE), 0);
    let (_machine, _, function) = self::machine(Endpoint::new().with_msix(3, 7));
    assert_eq!(function.interrupts(&[0]).kind, InterruptKind::None);
    let (_machine, _, function) = self::machine(Endpoint::new());
    assert_eq!(function.interrupts(&[0]).kind, InterruptKind::None);
}

#[test]
fn a_table_beyond_the_registers_is_refused() {
    let (_machine, _, function) = machine(Endpoint::new().with_msix(2048, 0));
    assert_eq!(function.interrupts(&[0]).kind, InterruptKind::None);
}

#[test]
fn a_bridge_has_them_too() {
    let (_machine, device, function) = machine(Endpoint::new().with_msix(1, 0).into_bridge());
    function.enable_bus_master().unwrap();
    let mut interrupts = function.interrupts(&[0, 0]);
    assert_eq!((interrupts.kind, interrupts.vectors.len()), (InterruptKind::MsiX, 1));
    interrupts.vectors[0].unmask();
    device.act(|endpoint, bus| endpoint.fire(bus, 0));
    assert_eq!(taken(&mut interrupts.vectors[0]), 1);
}

#[test]
fn what_was_unplugged_is_left_alone() {
    let (machine, device, function) = machine(Endpoint::new().with_msix(2, 0));
    let mut interrupts = function.interrupts(&[0]);
    device.unplug();
    interrupts.vectors[0].unmask();
    drop(interrupts);
    assert_eq!(machine.vectors_in_use(), 0);
    assert_eq!(function.interrupts(&[0]).kind, InterruptKind::None);
    device.plug_in();
    let writes = device.act(|endpoint, _| endpoint.writes);
    for endpoint in [Endpoint::new().with_msi(0), Endpoint::new().with_msix(1, 0)] {
        device.act(|old, _| *old = endpoint);
        let interrupts = function.interrupts(&[0]);
        device.unplug();
        drop(interrupts);
        device.plug_in();
    }
    assert_ne!(writes, 0);
    assert!(function.map_bar(0, BAR_BYTES).is_ok());
}
