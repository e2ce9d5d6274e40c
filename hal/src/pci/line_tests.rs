//! Interrupts by line on the simulated machine.

use std::vec::Vec;

use protocols::pci::command;

use super::endpoint::{Endpoint, machine, machine_with};
use super::*;
use crate::interrupt::Interrupt;
use crate::sim::{Level, SimDevice, SimMachine, Wire};

/// The line that the endpoint's pin is.
const PIN: u32 = 0;

/// Functions with a pin each, on one wire.
fn on_a_wire(count: usize) -> (SimMachine, Wire, Vec<(SimDevice<Endpoint>, Function)>) {
    let machine = SimMachine::new();
    let wire = machine.wire();
    let functions = (0..count).map(|_| {
        let (device, function) = machine_with(&machine, Endpoint::new().with_pin(1));
        device.join_pin(PIN, &wire);
        function.enable_bus_master().unwrap();
        (device, function)
    });
    let functions = functions.collect();
    (machine, wire, functions)
}

fn line(function: &Function) -> Interrupt {
    let mut found = function.interrupts(&[3]);
    assert_eq!((found.kind, found.vectors.len()), (InterruptKind::Line, 1));
    found.vectors.remove(0)
}

fn asks(device: &SimDevice<Endpoint>, level: Level) {
    device.act(|endpoint, bus| endpoint.set_pin(bus, level));
}

fn is_off(device: &SimDevice<Endpoint>) -> bool {
    device.act(|endpoint, _| endpoint.config16(4) & command::INTERRUPT_OFF != 0)
}

#[test]
fn functions_share_a_wire() {
    let (machine, wire, functions) = on_a_wire(2);
    let mut lines: Vec<_> = functions.iter().map(|(_, function)| line(function)).collect();
    assert!(functions.iter().all(|(device, _)| is_off(device)), "it begins masked");
    lines.iter_mut().for_each(Interrupt::unmask);
    assert!(!functions.iter().any(|(device, _)| is_off(device)));
    for round in 0..10 {
        let asking = &functions[round % 2].0;
        asks(asking, Level::Asserted);
        // Both are raised; the wire is quiet until both have looked.
        assert!(!wire.is_open());
        for line in &mut lines {
            assert_eq!(machine.run(line.wait()).map(|count| count.get()), Ok(1));
        }
        asks(asking, Level::Deasserted);
        for line in &mut lines {
            assert!(!wire.is_open());
            assert!(machine.run(line.wait()).is_err(), "nothing more");
        }
        assert!(wire.is_open());
    }
    assert_eq!(wire.fired(), 10);
}

#[test]
fn who_is_polled_or_gone_does_not_matter() {
    let (machine, wire, functions) = on_a_wire(3);
    let mut lines: Vec<_> = functions.iter().map(|(_, function)| line(function)).collect();
    lines.iter_mut().for_each(Interrupt::unmask);
    lines[1].mask();
    asks(&functions[1].0, Level::Asserted);
    assert_eq!(wire.fired(), 0, "its own switch keeps it quiet");
    asks(&functions[0].0, Level::Asserted);
    assert!(machine.run(lines[0].wait()).is_ok());
    asks(&functions[0].0, Level::Deasserted);
    drop(lines.remove(2));
    assert!(machine.run(lines[0].wait()).is_err());
    assert!(wire.is_open());
    lines[1].unmask();
    assert!(machine.run(lines[1].wait()).is_ok(), "what it asked while masked is not lost");
    functions[1].0.unplug();
    drop(lines.remove(1));
    let _ = lines[0].take();
    assert!(machine.run(lines[0].wait()).is_err());
    assert!(wire.is_open());
}

#[test]
fn masking_is_the_functions_too_and_survives_others() {
    let (_machine, _, functions) = on_a_wire(1);
    let (device, function) = &functions[0];
    let mut own = line(function);
    assert_eq!(function.interrupts(&[0]).kind, InterruptKind::None, "in use");
    own.unmask();
    function.enable_bus_master().unwrap();
    assert!(!is_off(device), "that it may reach memory changes nothing");
    own.mask();
    function.enable_bus_master().unwrap();
    assert!(is_off(device));
    own.unmask();
    drop(own);
    assert!(is_off(device));
    drop(line(function));
}

#[test]
fn without_a_pin_or_a_wire_it_is_polled() {
    let (_machine, device, function) = machine(Endpoint::new());
    device.join_pin(PIN, &SimMachine::new().wire());
    assert_eq!(function.interrupts(&[0]).kind, InterruptKind::None);
    let (_machine, _, function) = machine(Endpoint::new().with_pin(2));
    assert_eq!(function.interrupts(&[0]).kind, InterruptKind::None);
}

#[test]
fn messages_come_first() {
    let (machine, device, function) = machine(Endpoint::new().with_pin(1).with_msi(0));
    device.join_pin(PIN, &machine.wire());
    assert_eq!(function.interrupts(&[0]).kind, InterruptKind::Msi);
    assert!(is_off(&device));
    let line = function.interrupts(&[200]);
    assert_eq!(line.kind, InterruptKind::Line, "messages cannot be had for that core");
}
