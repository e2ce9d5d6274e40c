//! The device's registers, and the wait for its reset.

use core::time::Duration;

use executor::{Platform, sleep};
use hal::dma::DeviceAddress;
use hal::mmio::{DeviceRegion, Register};
use protocols::rtl8139::{
    Causes, Command, GroupFilter, MediaStatus, RECEIVE_CONFIG, RECEIVE_CONFIG_CHECKED, ReadPlace,
    Summary, TRANSMIT_CONFIG, WAKE_CLOCK, offset,
};

use super::{Rtl8139Error, after, ticks};
use crate::net::{LinkState, MacAddress};

const IDR: Register<u8> = Register::at(offset::IDR);
const MAR: Register<u32> = Register::at(offset::MAR);
const TSD: Register<u32> = Register::at(offset::TSD);
const TSAD: Register<u32> = Register::at(offset::TSAD);
const RBSTART: Register<u32> = Register::at(offset::RBSTART);
const CR: Register<u8> = Register::at(offset::CR);
const CAPR: Register<u16> = Register::at(offset::CAPR);
const CBR: Register<u16> = Register::at(offset::CBR);
const IMR: Register<u16> = Register::at(offset::IMR);
const ISR: Register<u16> = Register::at(offset::ISR);
const TCR: Register<u32> = Register::at(offset::TCR);
const RCR: Register<u32> = Register::at(offset::RCR);
const MPC: Register<u32> = Register::at(offset::MPC);
const MSR: Register<u8> = Register::at(offset::MSR);
const HLTCLK: Register<u8> = Register::at(offset::HLTCLK);
const SUMMARY: Register<u16> = Register::at(offset::SUMMARY);

/// What interrupts. Overflows do not: where there is no room, frames have come before, and there
/// is nothing to be done until they are taken.
pub(super) const CAUSES: u16 =
    Causes::RECEIVED | Causes::RECEIVE_ERROR | Causes::LINK | Causes::SYSTEM_ERROR;

/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_micros(50);
/// How long a reset may take. It takes microseconds.
const RESET_MS: u64 = 100;

pub(super) struct Registers(DeviceRegion);

impl Registers {
    pub(super) fn new(region: DeviceRegion) -> Self {
        Self(region)
    }

    pub(super) fn mac(&self) -> MacAddress {
        MacAddress(core::array::from_fn(|index| self.0.read(IDR.nth(index, 1))))
    }

    pub(super) fn command(&self) -> Command {
        Command(self.0.read(CR))
    }

    pub(super) fn causes(&self) -> Causes {
        Causes(self.0.read(ISR))
    }

    /// Has seen these; the device reports them no more.
    pub(super) fn clear(&self, causes: u16) {
        self.0.write(ISR, causes);
    }

    /// Which causes interrupt.
    pub(super) fn let_through(&self, causes: u16) {
        self.0.write(IMR, causes);
    }

    pub(super) fn link(&self) -> LinkState {
        let speed = MediaStatus(self.0.read(MSR)).megabits();
        speed.map_or(LinkState::Down, |megabits| LinkState::Up { megabits })
    }

    /// Whether it accepts the frames that it was told to, and puts them where they are looked for.
    pub(super) fn is_configured(&self) -> bool {
        (self.0.read(RCR) ^ RECEIVE_CONFIG) & RECEIVE_CONFIG_CHECKED == 0
    }

    /// How far the device has written.
    pub(super) fn written(&self) -> u16 {
        self.0.read(CBR)
    }

    /// What is before `place` may be written again.
    pub(super) fn have_read(&self, place: ReadPlace) {
        self.0.write(CAPR, place.told());
    }

    pub(super) fn summary(&self) -> Summary {
        Summary(self.0.read(SUMMARY))
    }

    /// Has descriptor `index` sent.
    pub(super) fn send(&self, index: usize, frame: DeviceAddress, command: u32) {
        self.0.write(TSAD.nth(index, 4), frame.low());
        self.0.write(TSD.nth(index, 4), command);
    }

    pub(super) fn set_groups(&self, groups: GroupFilter) {
        for (index, word) in groups.registers().into_iter().enumerate() {
            self.0.write(MAR.nth(index, 4), word);
        }
    }

    /// How many frames were missed since it was asked last.
    pub(super) fn take_missed(&self) -> u64 {
        let missed = self.0.read(MPC);
        if missed == 0 || missed == u32::MAX {
            return 0;
        }
        self.0.write(MPC, 0);
        u64::from(missed & 0xff_ffff)
    }

    /// Stops everything, and does not look whether it does.
    pub(super) fn stop_unseen(&self) {
        self.let_through(0);
        self.0.write(CR, 0);
    }

    /// Resets it. `Ok`: it uses no memory.
    pub(super) async fn reset<P: Platform>(&self) -> Result<(), Rtl8139Error> {
        self.let_through(0);
        self.0.write(CR, Command::RESET);
        let deadline = after::<P>(Duration::from_millis(RESET_MS));
        loop {
            let (late, command) = (P::now() >= deadline, self.command());
            if command.is_gone() {
                return Err(Rtl8139Error::Gone);
            }
            if !command.is_resetting() {
                return Ok(());
            }
            if late {
                return Err(Rtl8139Error::NotInTime("reset", RESET_MS));
            }
            sleep::<P>(ticks::<P>(LOOK_INTERVAL)).await;
        }
    }

    /// Lets it run after a reset, with the receive buffer at `buffer`.
    pub(super) fn start(&self, buffer: DeviceAddress, groups: GroupFilter) {
        self.0.write(HLTCLK, WAKE_CLOCK);
        self.0.write(RBSTART, buffer.low());
        // It takes the configurations only when it runs; until then it accepts no frame.
        self.0.write(CR, Command::RUN);
        self.set_groups(groups);
        self.0.write(TCR, TRANSMIT_CONFIG);
        self.0.write(RCR, RECEIVE_CONFIG);
        self.have_read(ReadPlace::default());
        self.0.write(MPC, 0);
        self.clear(u16::MAX);
        self.let_through(CAUSES);
    }
}
