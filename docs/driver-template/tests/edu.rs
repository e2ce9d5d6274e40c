//! The driver on a simulated machine, against the device modelled after QEMU's.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use driver_template::{Edu, EduError, OWN_MEMORY_BYTES};
use hal::clock::Ticks;
use hal::dma::{AddressLimit, DeviceAddress};
use hal::mmio::Width;
use hal::sim::{Bus, DeviceModel, FaultPlan, InterruptFate, Level, SimDevice, SimMachine, Stuck};

const COMPUTE: u64 = 0;
const COPY: u64 = 1;

struct Model {
    liveness: u32,
    factorial: u32,
    status: u32,
    raised: u32,
    source: u64,
    destination: u64,
    count: u64,
    command: u64,
    memory: [u8; OWN_MEMORY_BYTES],
}

impl Model {
    fn new() -> Self {
        Self {
            liveness: 0,
            factorial: 0,
            status: 0,
            raised: 0,
            source: 0,
            destination: 0,
            count: 0,
            command: 0,
            memory: [0; OWN_MEMORY_BYTES],
        }
    }

    fn raise(&mut self, bus: &mut Bus<'_>, bits: u32) {
        self.raised |= bits;
        bus.set_level(0, Level::Asserted);
    }

    fn own(address: u64, bytes: usize) -> std::ops::Range<usize> {
        let start = address.checked_sub(0x4_0000).expect("the device's own memory") as usize;
        start..start + bytes
    }

    fn copy(&mut self, bus: &mut Bus<'_>) {
        let bytes = self.count as usize;
        if self.command & 2 == 0 {
            let own = Self::own(self.destination, bytes);
            let _ = bus.dma_read(DeviceAddress(self.source), &mut self.memory[own]);
        } else {
            let own = Self::own(self.source, bytes);
            let _ = bus.dma_write(DeviceAddress(self.destination), &self.memory[own]);
        }
        let interrupt = self.command & 4 != 0;
        self.command &= !1;
        if interrupt {
            self.raise(bus, 0x100);
        }
    }
}

impl DeviceModel for Model {
    fn read(&mut self, _bus: &mut Bus<'_>, offset: usize, width: Width) -> u64 {
        assert!(width == Width::Bits32 || offset >= 0x80);
        match offset {
            0x00 => 0x0100_00ed,
            0x04 => u64::from(!self.liveness),
            0x08 => u64::from(self.factorial),
            0x20 => u64::from(self.status),
            0x24 => u64::from(self.raised),
            0x98 => self.command,
            _ => u64::MAX,
        }
    }

    fn write(&mut self, bus: &mut Bus<'_>, offset: usize, width: Width, value: u64) {
        assert!(width == Width::Bits32 || offset >= 0x80);
        match offset {
            0x04 => self.liveness = value as u32,
            0x08 => {
                self.factorial = value as u32;
                self.status |= 1;
                bus.call_after(Ticks(1000), COMPUTE);
            }
            0x20 => self.status = self.status & 1 | value as u32 & 0x80,
            0x60 => self.raise(bus, value as u32),
            0x64 => {
                self.raised &= !(value as u32);
                if self.raised == 0 {
                    bus.set_level(0, Level::Deasserted);
                }
            }
            0x80 => self.source = value,
            0x88 => self.destination = value,
            0x90 => self.count = value,
            0x98 if value & 1 != 0 => {
                self.command = value;
                bus.call_after(Ticks(100_000), COPY);
            }
            _ => {}
        }
    }

    fn event(&mut self, bus: &mut Bus<'_>, token: u64) {
        if token == COPY {
            return self.copy(bus);
        }
        self.factorial = (1..=self.factorial).fold(1, u32::wrapping_mul);
        self.status &= !1;
        if self.status & 0x80 != 0 {
            self.raise(bus, 1);
        }
    }

    fn address_limit(&self) -> AddressLimit {
        AddressLimit::bits(28)
    }
}

fn probe(machine: &SimMachine, device: &SimDevice<Model>) -> Result<Edu, EduError> {
    Edu::probe(device.region(0x10_0000), device.interrupt(0), &machine.dma())
}

#[test]
fn computes() {
    let machine = SimMachine::new();
    let mut edu = probe(&machine, &machine.add("edu", Model::new())).expect("it is there");
    for (number, factorial) in [(0, 1), (1, 1), (5, 120), (12, 479_001_600), (13, 1_932_053_504)] {
        assert_eq!(machine.run(edu.factorial(number)), Ok(Ok(factorial)));
    }
}

#[test]
fn copies() {
    let machine = SimMachine::new();
    let mut edu = probe(&machine, &machine.add("edu", Model::new())).expect("it is there");
    let data: Vec<u8> = (0..OWN_MEMORY_BYTES).map(|index| (index * 7) as u8).collect();
    for length in [1, 100, OWN_MEMORY_BYTES] {
        let copy = machine.run(edu.echo(&data[..length])).expect("it ends").expect("it works");
        assert_eq!(copy[..], data[..length]);
    }
    let too_long = machine.run(edu.echo(&[0; OWN_MEMORY_BYTES + 1])).expect("it ends");
    assert_eq!(too_long.err(), Some(EduError::TooLong));
    assert_eq!(machine.memory(), Default::default(), "every buffer was freed");
}

#[test]
fn refuses_what_is_no_edu() {
    let machine = SimMachine::new();
    let device = machine.add("edu", Model::new());
    device.unplug();
    assert_eq!(probe(&machine, &device).err(), Some(EduError::NotEdu));
    device.plug_in();
    device.set_faults(FaultPlan::new().on_read(|offset, _, value| match offset {
        0x04 => 0,
        _ => value,
    }));
    assert_eq!(probe(&machine, &device).err(), Some(EduError::NotEdu));
}

#[test]
fn survives_unplugging() {
    let machine = SimMachine::new();
    let device = machine.add("edu", Model::new());
    let mut edu = probe(&machine, &device).expect("it is there");
    device.unplug();
    assert_eq!(machine.run(edu.factorial(3)), Ok(Err(EduError::Gone)));
}

#[test]
fn without_its_interrupt_it_waits() {
    let machine = SimMachine::new();
    let device = machine.add("edu", Model::new());
    let mut edu = probe(&machine, &device).expect("it is there");
    // A driver in the kernel would be given a time limit: executor::timeout(deadline, …).
    device.act(|model, _| model.status = 0);
    assert_eq!(machine.run(edu.factorial(3)), Err(Stuck { at: Ticks(1000) }));
}

#[test]
fn interrupts_for_nothing_do_no_harm() {
    let machine = SimMachine::new();
    let device = machine.add("edu", Model::new());
    device.set_faults(FaultPlan::new().on_interrupt(|_| InterruptFate::Repeat(3)));
    let mut edu = probe(&machine, &device).expect("it is there");
    device.raise(0);
    assert_eq!(machine.run(edu.factorial(4)), Ok(Ok(24)));
}

#[test]
fn a_dropped_copy_corrupts_nothing() {
    let machine = SimMachine::new();
    let device = machine.add("edu", Model::new());
    let mut edu = probe(&machine, &device).expect("it is there");
    {
        let mut copy = pin!(edu.echo(b"dropped"));
        assert!(copy.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    let copy = machine.run(edu.echo(b"whole")).expect("it ends").expect("it works");
    assert_eq!(&copy[..], b"whole");
    assert_eq!(machine.memory().lent, 1, "the device might have been at the dropped one");
}
