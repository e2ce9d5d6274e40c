//! A device that is a list: which accesses a driver makes, in order, and what each one gives.

use std::collections::VecDeque;
use std::format;
use std::string::String;
use std::vec::Vec;

use super::device::{Bus, DeviceModel};
use super::violation::Violation;
use crate::mmio::{Register, RegisterValue, Width};

#[derive(Clone, Copy, Debug)]
enum Step {
    Read { offset: usize, width: Width, answer: u64 },
    Write { offset: usize, width: Width, value: u64 },
    Raise { line: u32 },
}

/// Expected register accesses and their answers. Anything else is a violation; reads out of turn
/// give all ones.
#[derive(Debug, Default)]
pub struct Script {
    steps: VecDeque<Step>,
}

impl Script {
    /// A device that expects nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Then the driver reads `register` and gets `answer`.
    #[must_use]
    pub fn read<T: RegisterValue>(mut self, register: Register<T>, answer: T) -> Self {
        let answer = answer.into();
        self.steps.push_back(Step::Read { offset: register.offset(), width: T::WIDTH, answer });
        self
    }

    /// Then the driver writes `value` to `register`.
    #[must_use]
    pub fn write<T: RegisterValue>(mut self, register: Register<T>, value: T) -> Self {
        let value = value.into();
        self.steps.push_back(Step::Write { offset: register.offset(), width: T::WIDTH, value });
        self
    }

    /// Then, with the access before, the device raises interrupt `line`.
    #[must_use]
    pub fn raise(mut self, line: u32) -> Self {
        self.steps.push_back(Step::Raise { line });
        self
    }

    /// What the driver has not done yet; empty at the end of a good test.
    pub fn remaining(&self) -> Vec<String> {
        self.steps.iter().map(|step| format!("{step:x?}")).collect()
    }

    fn then_raise(&mut self, bus: &mut Bus<'_>) {
        while let Some(&Step::Raise { line }) = self.steps.front() {
            self.steps.pop_front();
            bus.raise(line);
        }
    }

    fn object(&self, bus: &Bus<'_>, came: &str) {
        let message = match self.steps.front() {
            Some(step) => format!("expected {step:x?}, but {came} came"),
            None => format!("expected nothing more, but {came} came"),
        };
        bus.world.report(Violation::Script { device: bus.name, message });
    }
}

impl DeviceModel for Script {
    fn read(&mut self, bus: &mut Bus<'_>, offset: usize, width: Width) -> u64 {
        match self.steps.front() {
            Some(&Step::Read { offset: at, width: wide, answer })
                if (at, wide) == (offset, width) =>
            {
                self.steps.pop_front();
                self.then_raise(bus);
                answer
            }
            _ => {
                self.object(bus, &format!("a {width:?} read of {offset:#x}"));
                u64::MAX
            }
        }
    }

    fn write(&mut self, bus: &mut Bus<'_>, offset: usize, width: Width, value: u64) {
        match self.steps.front() {
            Some(&Step::Write { offset: at, width: wide, value: wanted })
                if (at, wide, wanted) == (offset, width, value) =>
            {
                self.steps.pop_front();
                self.then_raise(bus);
            }
            _ => self.object(bus, &format!("a {width:?} write of {value:#x} to {offset:#x}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{FaultPlan, SimMachine, WriteFate};

    const CONTROL: Register<u32> = Register::at(0);
    const STATUS: Register<u8> = Register::at(4);

    #[test]
    fn a_driver_that_follows_it_meets_no_violation() {
        let machine = SimMachine::new();
        let device =
            machine.add("script", Script::new().write(CONTROL, 1).read(STATUS, 0x80).raise(0));
        let region = device.region(8);
        let mut interrupt = device.interrupt(0);
        interrupt.unmask();
        region.write(CONTROL, 1);
        assert_eq!(device.act(|script, _| script.remaining().len()), 2);
        assert_eq!(region.read(STATUS), 0x80);
        assert!(interrupt.take().is_some());
        assert!(device.act(|script, _| script.remaining().is_empty()));
    }

    #[test]
    fn anything_else_is_reported() {
        let machine = SimMachine::new();
        let region = machine.add("script", Script::new().write(CONTROL, 1)).region(8);
        region.write(CONTROL, 2);
        assert_eq!(region.read(STATUS), 0xff);
        region.write(CONTROL, 1);
        region.write(CONTROL, 1);
        assert_eq!(machine.take_violations().len(), 3);
    }

    #[test]
    fn faults_stand_between() {
        let machine = SimMachine::new();
        let device = machine.add("script", Script::new().write(CONTROL, 7).read(STATUS, 1));
        device.set_faults(
            FaultPlan::new()
                .on_write(|_, _, value| match value {
                    1 => WriteFate::Ignore,
                    2 => WriteFate::Change(7),
                    _ => WriteFate::Deliver,
                })
                .on_read(|_, _, value| value | 0x140),
        );
        let region = device.region(8);
        region.write(CONTROL, 1);
        region.write(CONTROL, 2);
        assert_eq!(region.read(STATUS), 0x41, "cut to the register's width");
        device.unplug();
        region.write(CONTROL, 3);
        assert_eq!(region.read(CONTROL), u32::MAX);
    }
}
