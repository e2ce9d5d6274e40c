//! A device for tests, after the manuals, and what may go wrong with it: its registers are here,
//! frames in `receive` and `send`, what it does to their bytes in `wire`.

mod receive;
mod send;
mod wire;

use std::boxed::Box;
use std::collections::BTreeMap;
use std::vec::Vec;

use hal::clock::Ticks;
use hal::mmio::Width;
use hal::sim::{Bus, DeviceModel, Level};
use protocols::e1000::{Cause, Context, Control, EepromLayout, NVM_SUM, ReceiveAddress, offset};

pub(super) use self::receive::Fate;
pub(super) use self::wire::{Transport, ip_frame, is_right};

/// Ticks from a doorbell to the frames on the wire.
const DELAY: u64 = 20_000;
/// Ticks a reset takes.
const RESET: u64 = 1_000_000;
/// `event` token: sending.
const SEND: u64 = 0;

/// How it interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By MSI-X.
    Table,
    /// By one message.
    Message,
    /// By a line.
    Line,
}

/// What firmware does with the transceiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Firmware {
    /// It lets it go.
    Fair,
    /// It never lets it go.
    Keeps,
}

type Fates = Box<dyn FnMut(&[u8]) -> Fate + Send>;

pub(super) struct Model {
    pub(super) way: Way,
    pub(super) registers: BTreeMap<usize, u32>,
    pub(super) causes: u32,
    pub(super) mask: u32,
    /// Causes that a message was sent for.
    pub(super) told: u32,
    pub(super) eeprom: [u16; 64],
    pub(super) layout: EepromLayout,
    pub(super) eeprom_answers: bool,
    /// What the receive address registers hold after a reset.
    pub(super) preset: Option<[u8; 6]>,
    pub(super) phy_address: u32,
    pub(super) phy: [u16; 32],
    pub(super) firmware: Firmware,
    pub(super) multicast_registers: usize,
    pub(super) link: bool,
    pub(super) megabits: u32,
    pub(super) reset_until: Option<Ticks>,
    pub(super) never_resets: bool,
    /// It sends nothing.
    pub(super) hangs: bool,
    pub(super) resets: u32,
    pub(super) context: Option<Context>,
    /// The pieces of a frame so far, and what is to be done to it.
    pub(super) frame: Vec<u8>,
    /// What went out.
    pub(super) sent: Vec<Vec<u8>>,
    /// Contexts that were read, and descriptors that no driver of ours writes.
    pub(super) contexts: u32,
    pub(super) odd: u32,
    /// What becomes of arriving frames.
    pub(super) fates: Fates,
    pub(super) missed: u32,
    pub(super) crc_errors: u32,
    /// How often each register was read, and written.
    pub(super) reads: BTreeMap<usize, u64>,
    pub(super) writes: BTreeMap<usize, u64>,
}

/// What the model's EEPROM says it is.
pub(super) const MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];

/// An EEPROM with this address and the right sum.
pub(super) fn eeprom(mac: [u8; 6]) -> [u16; 64] {
    let mut words = [0; 64];
    for (word, pair) in words.iter_mut().zip(mac.chunks_exact(2)) {
        *word = u16::from_le_bytes([pair[0], pair[1]]);
    }
    words[10] = 0x1234;
    let sum = words.iter().fold(0u16, |sum, word| sum.wrapping_add(*word));
    words[63] = NVM_SUM.wrapping_sub(sum);
    words
}

impl Model {
    /// With its link up.
    pub(super) fn new(way: Way) -> Self {
        let mut phy = [0; 32];
        phy[0] = 0x1140;
        (phy[2], phy[3]) = (0x0141, 0x0cb1);
        Self {
            way,
            registers: BTreeMap::new(),
            causes: 0,
            mask: 0,
            told: 0,
            eeprom: eeprom(MAC),
            layout: EepromLayout::Late,
            eeprom_answers: true,
            preset: Some(MAC),
            phy_address: 1,
            phy,
            firmware: Firmware::Fair,
            multicast_registers: 128,
            link: true,
            megabits: 1000,
            reset_until: None,
            never_resets: false,
            hangs: false,
            resets: 0,
            context: None,
            frame: Vec::new(),
            sent: Vec::new(),
            contexts: 0,
            odd: 0,
            fates: Box::new(|_| Fate::Good),
            missed: 0,
            crc_errors: 0,
            reads: BTreeMap::new(),
            writes: BTreeMap::new(),
        }
    }

    fn register(&self, at: usize) -> u32 {
        self.registers.get(&at).copied().unwrap_or(0)
    }

    /// How often any register was read.
    pub(super) fn all_reads(&self) -> u64 {
        self.reads.values().sum()
    }

    /// How often a register was written.
    pub(super) fn written(&self, at: usize) -> u64 {
        self.writes.get(&at).copied().unwrap_or(0)
    }

    /// The cable is pulled out or plugged in.
    pub(super) fn set_link(&mut self, bus: &mut Bus<'_>, up: bool) {
        self.link = up;
        self.cause(bus, Cause::LINK);
        if up {
            bus.call_after(Ticks(DELAY), SEND);
        }
    }

    /// Sends again.
    pub(super) fn recover(&mut self, bus: &mut Bus<'_>) {
        self.hangs = false;
        bus.call_after(Ticks(DELAY), SEND);
    }

    /// Whether the link is up and the transceiver powered.
    fn link_is_up(&self) -> bool {
        self.link && self.phy[0] & 1 << 11 == 0
    }

    fn status(&self) -> u32 {
        let speed = match self.megabits {
            10 => 0,
            100 => 1,
            _ => 2,
        };
        let master = u32::from(self.register(offset::CTRL) & Control::MASTER_OFF == 0);
        1 | u32::from(self.link_is_up()) << 1 | speed << 6 | master << 19
    }

    fn cause(&mut self, bus: &mut Bus<'_>, bits: u32) {
        self.causes |= bits;
        if self.way == Way::Table && bits & Cause::LINK != 0 {
            self.causes |= Cause::OTHER;
        }
        self.tell(bus);
    }

    /// Interrupts for causes that were not told yet; a line follows all of them.
    fn tell(&mut self, bus: &mut Bus<'_>) {
        let pending = self.causes & self.mask;
        let fresh = pending & !self.told;
        self.told = pending;
        match self.way {
            Way::Line if pending != 0 => bus.set_level(0, Level::Asserted),
            Way::Line => bus.set_level(0, Level::Deasserted),
            Way::Table | Way::Message if fresh != 0 => bus.raise(0),
            Way::Table | Way::Message => {}
        }
    }

    fn control(&mut self, bus: &mut Bus<'_>, value: u32) {
        if value & Control::RESET == 0 {
            return;
        }
        if self.never_resets {
            self.reset_until = Some(Ticks(u64::MAX));
            return;
        }
        self.resets += 1;
        self.registers.clear();
        (self.causes, self.mask) = (0, 0);
        self.tell(bus);
        (self.context, self.frame) = (None, Vec::new());
        if let Some(mac) = self.preset {
            let address = ReceiveAddress::of_mac(mac);
            self.registers.insert(offset::RAL0, address.low);
            self.registers.insert(offset::RAH0, address.high);
        }
        self.registers.insert(offset::EECD, 1 << 9);
        self.reset_until = Some(bus.now().plus(Ticks(RESET)));
    }

    fn eerd(&self) -> u32 {
        let request = self.register(offset::EERD);
        if request & 1 == 0 || !self.eeprom_answers {
            return request;
        }
        let (word, done) = match self.layout {
            EepromLayout::Early => (request >> 8 & 0xff, 1 << 4),
            EepromLayout::Late => (request >> 2 & 0x3fff, 1 << 1),
        };
        let word = self.eeprom.get(word as usize).copied().unwrap_or(0xffff);
        u32::from(word) << 16 | request & 0xffff | done
    }

    fn mdic(&mut self) -> u32 {
        let request = self.register(offset::MDIC);
        if request >> 21 & 0x1f != self.phy_address {
            return request | 1 << 28 | 1 << 30;
        }
        let register = &mut self.phy[(request >> 16 & 0x1f) as usize];
        match request >> 26 & 0b11 {
            0b01 => *register = request as u16 & !(1 << 9),
            0b10 => return request & !0xffff | u32::from(*register) | 1 << 28,
            _ => {}
        }
        request | 1 << 28
    }
}

impl DeviceModel for Model {
    fn read(&mut self, bus: &mut Bus<'_>, at: usize, width: Width) -> u64 {
        assert_eq!(width, Width::Bits32);
        *self.reads.entry(at).or_default() += 1;
        u64::from(match at {
            offset::STATUS => self.status(),
            offset::CTRL => {
                let is_resetting = self.reset_until.is_some_and(|until| bus.now() < until);
                self.register(at) | if is_resetting { Control::RESET } else { 0 }
            }
            offset::EERD => self.eerd(),
            offset::MDIC => self.mdic(),
            offset::EXTCNF_CTRL if self.firmware == Firmware::Keeps => self.register(at) | 1 << 5,
            offset::ICR => {
                let causes = self.causes;
                if self.way != Way::Table {
                    self.causes = 0;
                    self.tell(bus);
                }
                causes
            }
            offset::MPC => std::mem::take(&mut self.missed),
            offset::CRCERRS => std::mem::take(&mut self.crc_errors),
            _ => self.register(at),
        })
    }

    fn write(&mut self, bus: &mut Bus<'_>, at: usize, width: Width, value: u64) {
        assert_eq!(width, Width::Bits32);
        *self.writes.entry(at).or_default() += 1;
        let value = value as u32;
        match at {
            offset::ICR => {
                self.causes &= !value;
                self.tell(bus);
                return;
            }
            offset::IMS => self.mask |= value,
            offset::IMC => self.mask &= !value,
            _ => {
                self.registers.insert(at, value);
            }
        }
        match at {
            offset::CTRL => self.control(bus, value),
            offset::IMS | offset::IMC => self.tell(bus),
            offset::TDT => bus.call_after(Ticks(DELAY), SEND),
            offset::MDIC => {
                let before = self.link_is_up();
                let _ = self.mdic();
                if before != self.link_is_up() {
                    self.cause(bus, Cause::LINK);
                }
            }
            _ => {}
        }
    }

    fn event(&mut self, bus: &mut Bus<'_>, token: u64) {
        assert_eq!(token, SEND);
        self.send(bus);
    }
}
