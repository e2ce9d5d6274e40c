//! Programming a device that was just reset.

use core::time::Duration;

use hal::dma::DeviceAddress;
use hal::mmio::Register;
use protocols::e1000::{
    Control, ControlExtended, Family, MulticastFilter, interrupt_vectors, offset, receive_control,
    transmit_control,
};

use super::nic::Nic;
use super::receive::{self, ReceiveRing};
use super::registers::{CTRL, IMS, RCTL, RDT, Registers, TCTL, TDT};
use super::transmit::{self, TransmitRing};
use super::{E1000Error, Signal};
use crate::net::NetDevice;

const CTRL_EXT: Register<u32> = Register::at(offset::CTRL_EXT);
const RFCTL: Register<u32> = Register::at(offset::RFCTL);
const TARC0: Register<u32> = Register::at(offset::TARC0);
const MTA: Register<u32> = Register::at(offset::MTA);

/// Between two interrupts: 50 us. The first one comes at once; under load there are at most 20,000
/// a second, and at 1 Gbit/s at most 75 frames arrive between two of them, less than a third of
/// the ring.
const THROTTLE: Duration = Duration::from_micros(50);
const THROTTLE_UNIT: Duration = Duration::from_nanos(256);

/// RFCTL: extended receive descriptors, which are not used.
const EXTENDED_RECEIVE: u32 = 1 << 15;
/// Settings in CTRL that firmware may have left.
const CONTROL_CLEAR: u32 = Control::MASTER_OFF
    | Control::LINK_RESET
    | Control::INVERT_LOSS
    | Control::FORCE_SPEED
    | Control::FORCE_DUPLEX
    | Control::RESET
    | Control::VLAN
    | Control::PHY_RESET;
/// Thresholds of PCI Express models: fetch ahead when fewer than 31 are at hand.
const FETCH_AHEAD: u32 = 1 << 8 | 31;

impl Nic {
    /// Programs everything, hands the rings to the device, and lets it begin.
    pub(super) fn program(&self, receive: &mut ReceiveRing, transmit: &mut TransmitRing) {
        let registers = &self.registers;
        let is_express = registers.model.family != Family::Pci;
        let control = registers.read(CTRL) & !CONTROL_CLEAR;
        registers.write(CTRL, control | Control::LINK_UP | Control::AUTO_SPEED);
        if is_express {
            let mut extended = ControlExtended::RESERVED_SET | ControlExtended::DRIVER_LOADED;
            if self.signal == Signal::Table {
                extended |= ControlExtended::PENDING_CLEARED;
            }
            registers.set(CTRL_EXT, extended);
            registers.write(RFCTL, registers.read(RFCTL) & !EXTENDED_RECEIVE);
            registers.write(Register::at(offset::MRQC), 0);
            registers.set(TARC0, transmit_control::ARBITRATION);
        }
        // No pauses are asked for, and none are heeded: a stalled neighbour would stall us.
        let unused = [
            offset::FCAL,
            offset::FCAH,
            offset::FCT,
            offset::FCTTV,
            offset::FCRTL,
            offset::FCRTH,
            // Interrupts are held back by throttling only.
            offset::RDTR,
            offset::RADV,
            offset::TIDV,
            offset::TADV,
        ];
        unused.into_iter().for_each(|offset| registers.write(Register::at(offset), 0));
        registers.set_station_address(self.info().mac);
        registers.set_filter(&self.filter.lock());
        registers.write(Register::at(offset::RXCSUM), receive_control::CHECKSUMS);
        self.program_rings(receive, transmit, is_express);
        self.program_interrupts();
        let many = registers.read(TCTL) & transmit_control::MANY_REQUESTS;
        registers.write(TCTL, many | transmit_control::NORMAL);
        registers.write(RCTL, receive_control::NORMAL);
        registers.write(RDT, receive.tail());
    }

    fn program_rings(
        &self,
        receive: &mut ReceiveRing,
        transmit: &mut TransmitRing,
        is_express: bool,
    ) {
        let registers = &self.registers;
        let place = |low: usize, high: usize, address: DeviceAddress| {
            registers.write(Register::at(low), address.low());
            registers.write(Register::at(high), address.high());
        };
        place(offset::RDBAL, offset::RDBAH, receive.begin());
        registers.write(Register::at(offset::RDLEN), (receive::ENTRIES * 16) as u32);
        registers.write(Register::at(offset::RDH), 0);
        registers.write(RDT, 0);
        place(offset::TDBAL, offset::TDBAH, transmit.begin(|buf| self.free(buf)));
        registers.write(Register::at(offset::TDLEN), (transmit::ENTRIES * 16) as u32);
        registers.write(Register::at(offset::TDH), 0);
        registers.write(TDT, 0);
        let (mut received, mut sent) =
            (transmit_control::RECEIVE_THRESHOLDS, transmit_control::THRESHOLDS);
        if is_express {
            received |= FETCH_AHEAD;
            sent |= FETCH_AHEAD | transmit_control::COUNTED;
        }
        registers.write(Register::at(offset::RXDCTL), received);
        registers.write(Register::at(offset::TXDCTL), sent);
        registers.write(Register::at(offset::TIPG), transmit_control::GAPS);
    }

    fn program_interrupts(&self) {
        let registers = &self.registers;
        let throttle = (THROTTLE.as_nanos() / THROTTLE_UNIT.as_nanos()) as u32;
        registers.write(Register::at(offset::ITR), throttle);
        if self.signal == Signal::Table {
            registers.write(Register::at(offset::EITR), throttle);
            registers.write(Register::at(offset::IVAR), interrupt_vectors());
            registers.write(Register::at(offset::EIAC), 0);
            registers.write(Register::at(offset::IAM), 0);
        }
        registers.write(IMS, self.signal.always());
    }
}

impl Registers {
    /// Lets these groups pass.
    pub(super) fn set_filter(&self, filter: &MulticastFilter) {
        for (number, word) in filter.words().iter().enumerate() {
            self.write(MTA.nth(number, 4), *word);
        }
    }

    /// Hands the device back to firmware.
    pub(super) fn hand_back(&self) -> Result<(), E1000Error> {
        self.status()?;
        if self.model.family != Family::Pci {
            let extended = self.read(CTRL_EXT);
            self.write(CTRL_EXT, extended & !ControlExtended::DRIVER_LOADED);
        }
        Ok(())
    }
}
