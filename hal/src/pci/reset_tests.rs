//! Reset and power on the simulated machine.

use core::num::NonZeroU32;
use core::time::Duration;

use protocols::pci::express::place;
use protocols::pci::{command, power};

use super::endpoint::{BAR, EXPRESS, Endpoint, POWER, machine};
use super::*;
use crate::clock::Ticks;
use crate::sim::SimMachine;

/// Waits on the machine's clock.
fn sleep<'a>(machine: &'a SimMachine) -> impl FnMut(Duration) -> Waiting<'a> {
    move |span| {
        let until = machine.clock().now().plus(Ticks(span.as_nanos() as u64));
        std::boxed::Box::pin(machine.sleep_until(until))
    }
}

type Waiting<'a> = core::pin::Pin<std::boxed::Box<dyn Future<Output = ()> + 'a>>;

#[test]
fn what_it_was_told_is_told_again() {
    let (machine, device, function) = machine(Endpoint::new().with_express().with_msix(3, 0));
    function.enable_bus_master().unwrap();
    let registers = function.map_bar(0, 64).unwrap();
    let mut interrupts = function.interrupts(&[0, 1, 2]);
    interrupts.vectors[1].unmask();
    device.act(|endpoint, _| {
        endpoint.config[0x3c] = 11;
        endpoint.config[EXPRESS + usize::from(place::DEVICE_CONTROL)] = 0x5f;
        (endpoint.silent, endpoint.busy) = (3, 5);
    });
    assert!(function.can_reset());
    let before = device.act(|endpoint, _| endpoint.config.clone());
    assert_eq!(machine.run(function.reset(sleep(&machine))), Ok(Ok(())));
    assert_eq!(device.act(|endpoint, _| endpoint.config.clone()), before);
    assert_eq!(machine.clock().now(), Ticks(50_000_000 + 100_000_000 + 30_000_000));
    for entry in 0..3 {
        device.act(|endpoint, bus| endpoint.fire(bus, entry));
        let count = interrupts.vectors[entry].take().map_or(0, NonZeroU32::get);
        assert_eq!(count, u32::from(entry == 1), "the others are masked");
    }
    drop((registers, interrupts));
    assert!(machine.take_violations().is_empty());
}

#[test]
fn one_that_stays_busy_or_silent_or_is_gone_ends() {
    let (machine, device, function) = machine(Endpoint::new().with_express());
    device.act(|endpoint, _| endpoint.busy = 10_000);
    assert_eq!(machine.run(function.reset(sleep(&machine))), Ok(Ok(())));
    device.act(|endpoint, _| (endpoint.silent, endpoint.busy) = (10_000, 0));
    assert_eq!(machine.run(function.reset(sleep(&machine))), Ok(Err(ResetError::Silent)));
    device.unplug();
    assert_eq!(machine.run(function.reset(sleep(&machine))), Ok(Err(ResetError::NotOffered)));
    let (machine, _, function) = self::machine(Endpoint::new());
    assert_eq!(machine.run(function.reset(sleep(&machine))), Ok(Err(ResetError::NotOffered)));
}

#[test]
fn power_comes_back() {
    for control in [0, power::NO_SOFT_RESET] {
        let (machine, device, function) = machine(Endpoint::new().asleep(control));
        function.enable_bus_master().unwrap();
        assert_eq!(machine.run(function.power_on(sleep(&machine))), Ok(Ok(())));
        device.act(|endpoint, _| {
            assert_eq!(endpoint.config16(POWER + usize::from(power::CONTROL)), control);
            assert_eq!(endpoint.config16(4), command::BUS_MASTER | command::INTERRUPT_OFF);
            assert_eq!(endpoint.config[0x10..0x18], (BAR | 4).to_le_bytes());
        });
        let now = machine.clock().now();
        assert_eq!(machine.run(function.power_on(sleep(&machine))), Ok(Ok(())));
        assert_eq!(machine.clock().now(), now, "it is awake");
    }
    let (machine, _, function) = self::machine(Endpoint::new());
    assert_eq!(machine.run(function.power_on(sleep(&machine))), Ok(Ok(())));
}
