//! The device modelled after its data sheet and QEMU's: a receive buffer that goes around, four
//! descriptors sent in turn, one interrupt line.

use std::boxed::Box;
use std::collections::VecDeque;
use std::format;
use std::string::String;
use std::vec::Vec;

use hal::clock::Ticks;
use hal::dma::{AddressLimit, DeviceAddress};
use hal::mmio::Width;
use hal::sim::{Bus, BusError, DeviceModel, Level};
use protocols::rtl8139::{
    BUFFER_BYTES, Causes, Command, DESCRIPTORS, GroupFilter, ReadPlace, offset,
};

pub(super) const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

/// What becomes of a frame that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    Good,
    /// At the second attempt.
    Late,
    /// Given up; nothing more is sent.
    Aborted,
    /// Never ends.
    Lost,
}

/// Decides what becomes of a frame.
type Judge = Box<dyn FnMut(&[u8]) -> Sending + Send>;

const RESET_DONE: u64 = 0;
const SEND: u64 = 1;

pub(super) struct Model {
    pub(super) mac: [u8; 6],
    /// Mbit/s, if it is up.
    link: Option<u32>,
    command: u8,
    causes: u16,
    mask: u16,
    receive_config: u32,
    groups: [u32; 2],
    buffer: u64,
    written: u16,
    read: ReadPlace,
    missed: u32,
    status: [u32; DESCRIPTORS],
    address: [u32; DESCRIPTORS],
    pending: VecDeque<usize>,
    next: usize,
    /// Nothing more is sent until a reset.
    is_stuck: bool,
    /// What began before a reset has no effect after it.
    epoch: u64,
    /// What went over the wire.
    pub(super) sent: Vec<Vec<u8>>,
    /// How the driver wanted the last frame sent.
    pub(super) last_command: u32,
    pub(super) send_ticks: u64,
    pub(super) reset_ticks: u64,
    /// Resets that never end.
    pub(super) is_wedged: bool,
    /// What becomes of each frame.
    pub(super) fate: Judge,
    /// The header that the next frame gets instead of its own.
    pub(super) header: Option<u32>,
    /// What the driver did that no driver should.
    pub(super) complaints: Vec<String>,
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            mac: MAC,
            link: Some(100),
            command: 0,
            causes: 0,
            mask: 0,
            receive_config: 0,
            groups: [0; 2],
            buffer: 0,
            written: 0,
            read: ReadPlace::default(),
            missed: 0,
            status: [0x2000; DESCRIPTORS],
            address: [0; DESCRIPTORS],
            pending: VecDeque::new(),
            next: 0,
            is_stuck: false,
            epoch: 0,
            sent: Vec::new(),
            last_command: 0,
            send_ticks: 10_000,
            reset_ticks: 10_000,
            is_wedged: false,
            fate: Box::new(|_| Sending::Good),
            header: None,
            complaints: Vec::new(),
        }
    }

    fn is_on(&self, bit: u8) -> bool {
        self.command & bit != 0
    }

    pub(super) fn is_silent(&self) -> bool {
        self.mask == 0 && self.command & Command::RUN == 0
    }

    fn report(&mut self, bus: &mut Bus<'_>, causes: u16) {
        self.causes |= causes;
        self.set_line(bus);
    }

    fn set_line(&self, bus: &mut Bus<'_>) {
        let is_up = self.causes & self.mask != 0;
        bus.set_level(0, if is_up { Level::Asserted } else { Level::Deasserted });
    }

    /// The cable.
    pub(super) fn set_link(&mut self, bus: &mut Bus<'_>, link: Option<u32>) {
        self.link = link;
        self.report(bus, Causes::LINK);
    }

    pub(super) fn start_without_link(&mut self) {
        self.link = None;
    }

    /// It stops of itself, and says nothing.
    pub(super) fn forget(&mut self) {
        self.command = 0;
    }

    /// It accepts no frames any more, and says nothing.
    pub(super) fn forget_receiving(&mut self) {
        self.receive_config = 0;
    }

    fn admits(&self, frame: &[u8]) -> bool {
        let Some(to) = frame.first_chunk::<6>() else { return false };
        let (everybody, group) = (*to == [0xff; 6], to[0] & 1 == 1);
        let groups = u64::from(self.groups[1]) << 32 | u64::from(self.groups[0]);
        let bit = |bit: u32| self.receive_config >> bit & 1 == 1;
        if everybody {
            bit(3)
        } else if group {
            bit(2) && GroupFilter(groups).admits(to)
        } else {
            bit(1) && *to == self.mac
        }
    }

    /// A frame comes over the wire. Whether it is in the buffer.
    pub(super) fn arrive(&mut self, bus: &mut Bus<'_>, frame: &[u8]) -> bool {
        if self.link.is_none() || !self.is_on(Command::RECEIVE) || !self.admits(frame) {
            return false;
        }
        let mut frame = frame.to_vec();
        frame.resize(frame.len().max(60), 0);
        let room = usize::from((self.read.offset() as u16).wrapping_sub(self.written));
        if room != 0 && (frame.len() + 8).next_multiple_of(4) >= room {
            self.missed += 1;
            self.report(bus, Causes::BUFFER_OVERFLOW);
            return false;
        }
        let header = self.header.take().unwrap_or((frame.len() as u32 + 4) << 16 | 1);
        let mut bytes = header.to_le_bytes().to_vec();
        bytes.extend_from_slice(&frame);
        bytes.extend_from_slice(b"FCS.");
        if self.put(bus, &bytes).is_err() {
            self.report(bus, Causes::SYSTEM_ERROR);
            return false;
        }
        self.written = self.written.wrapping_add(bytes.len().next_multiple_of(4) as u16);
        self.report(bus, Causes::RECEIVED);
        true
    }

    fn put(&self, bus: &mut Bus<'_>, bytes: &[u8]) -> Result<(), BusError> {
        let at = usize::from(self.written);
        let (now, around) = bytes.split_at(bytes.len().min(BUFFER_BYTES - at));
        bus.dma_write(DeviceAddress(self.buffer + at as u64), now)?;
        if around.is_empty() { Ok(()) } else { bus.dma_write(DeviceAddress(self.buffer), around) }
    }

    fn reset(&mut self, bus: &mut Bus<'_>) {
        self.epoch += 1;
        self.is_stuck = false;
        self.command = Command::RESET;
        (self.causes, self.mask, self.receive_config, self.missed) = (0, 0, 0, 0);
        (self.written, self.read, self.next) = (0, ReadPlace::default(), 0);
        (self.status, self.address) = ([0x2000; DESCRIPTORS], [0; DESCRIPTORS]);
        self.pending.clear();
        self.set_line(bus);
        if !self.is_wedged {
            bus.call_after(Ticks(self.reset_ticks), self.epoch << 8 | RESET_DONE);
        }
    }

    fn begin(&mut self, bus: &mut Bus<'_>, index: usize, value: u32) {
        if self.pending.contains(&index) {
            self.complaints.push(format!("descriptor {index} is in use"));
        }
        if index != self.next {
            self.complaints.push(format!("descriptor {index} is not the next"));
        }
        if !self.is_on(Command::TRANSMIT) {
            // Not taken: as a stopped device.
            return;
        }
        (self.status[index], self.last_command) = (value, value);
        self.next = (index + 1) % DESCRIPTORS;
        self.pending.push_back(index);
        bus.call_after(Ticks(self.send_ticks), self.epoch << 8 | SEND);
    }

    fn send(&mut self, bus: &mut Bus<'_>) {
        let Some(index) = self.pending.front().copied().filter(|_| !self.is_stuck) else { return };
        let mut frame = std::vec![0; self.status[index] as usize & 0x1fff];
        if bus.dma_read(DeviceAddress(self.address[index].into()), &mut frame).is_err() {
            return self.report(bus, Causes::SYSTEM_ERROR);
        }
        if !(60..=1514).contains(&frame.len()) {
            self.complaints.push(format!("a frame of {} bytes", frame.len()));
        }
        let (bits, cause) = match (self.fate)(&frame) {
            Sending::Good => (1 << 15 | 1 << 13, Causes::SENT),
            Sending::Late => (1 << 14 | 1 << 13, Causes::SEND_ERROR),
            Sending::Aborted => (1 << 30 | 1 << 13, Causes::SEND_ERROR),
            Sending::Lost => {
                self.is_stuck = true;
                return;
            }
        };
        self.status[index] |= bits;
        if bits & 1 << 30 == 0 {
            self.pending.pop_front();
            self.sent.push(frame);
        } else {
            self.is_stuck = true;
        }
        self.report(bus, cause);
    }

    fn summary(&self) -> u64 {
        let bits = self.status.iter().enumerate().map(|(index, status)| {
            let bit = |from: u32| u64::from(status >> from & 1);
            (bit(13) | bit(30) << 4 | bit(14) << 8 | bit(15) << 12) << index
        });
        bits.fold(0, |all, one| all | one)
    }

    fn have_read(&mut self, told: u16) {
        let place = ReadPlace::of_told(told);
        let (whole, moved) = (self.read.available(self.written), self.read.available(told) + 16);
        if !place.offset().is_multiple_of(4) || moved % BUFFER_BYTES > whole {
            self.complaints.push(format!("read up to {place:?} of {}", self.written));
        }
        self.read = place;
    }

    fn check_width(&mut self, at: usize, width: Width) {
        let expected = match at {
            0..8 | offset::CR | offset::MSR | offset::HLTCLK => Width::Bits8,
            offset::CAPR | offset::CBR | offset::IMR | offset::ISR | offset::SUMMARY => {
                Width::Bits16
            }
            _ => Width::Bits32,
        };
        if width != expected {
            self.complaints.push(format!("{width:?} at {at:#x}"));
        }
    }
}

impl DeviceModel for Model {
    fn read(&mut self, _bus: &mut Bus<'_>, at: usize, width: Width) -> u64 {
        self.check_width(at, width);
        match at {
            0..6 => self.mac[at].into(),
            offset::CR => {
                let is_empty = self.read.offset() == usize::from(self.written);
                u64::from(self.command) | u64::from(is_empty)
            }
            offset::CBR => self.written.into(),
            offset::ISR => self.causes.into(),
            offset::MPC => self.missed.into(),
            offset::RCR => self.receive_config.into(),
            offset::MSR => match self.link {
                None => 0xd4,
                Some(10) => 0xd8,
                Some(_) => 0xd0,
            },
            offset::SUMMARY => self.summary(),
            _ => {
                self.complaints.push(format!("read of {at:#x}"));
                0
            }
        }
    }

    fn write(&mut self, bus: &mut Bus<'_>, at: usize, width: Width, value: u64) {
        self.check_width(at, width);
        let low = value as u32;
        match at {
            offset::MAR => self.groups[0] = low,
            0x0c => self.groups[1] = low,
            offset::TSD..0x20 => self.begin(bus, (at - offset::TSD) / 4, low),
            offset::TSAD..0x30 => self.address[(at - offset::TSAD) / 4] = low,
            offset::RBSTART => self.buffer = value,
            offset::CR if value as u8 & Command::RESET != 0 => self.reset(bus),
            offset::CR if self.is_on(Command::RESET) => {}
            offset::CR => self.command = value as u8 & Command::RUN,
            offset::CAPR => self.have_read(value as u16),
            offset::IMR => {
                self.mask = value as u16;
                self.set_line(bus);
            }
            offset::ISR => {
                self.causes &= !(value as u16);
                self.set_line(bus);
            }
            offset::RCR if self.is_on(Command::RECEIVE) => self.receive_config = low,
            offset::MPC => self.missed = 0,
            offset::TCR | offset::RCR | offset::HLTCLK => {}
            _ => self.complaints.push(format!("write of {at:#x}")),
        }
    }

    fn event(&mut self, bus: &mut Bus<'_>, token: u64) {
        if token >> 8 != self.epoch {
            return;
        }
        match token & 0xff {
            RESET_DONE => self.command = 0,
            _ => self.send(bus),
        }
    }

    fn address_limit(&self) -> AddressLimit {
        AddressLimit::bits(32)
    }
}
