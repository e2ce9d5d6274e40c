//! The device modelled after QEMU's: one copy at a time, an interrupt when it is done.

use hal::clock::Ticks;
use hal::dma::{AddressLimit, DeviceAddress};
use hal::mmio::Width;
use hal::sim::{Bus, DeviceModel, Level};

use super::OWN_BYTES;

/// Ticks a copy takes.
const DELAY: u64 = 100_000;

pub(super) struct Model {
    raised: u32,
    source: u64,
    destination: u64,
    count: u64,
    command: u64,
    memory: [u8; OWN_BYTES],
    /// Copies that are begun and never end.
    pub(super) lost: u32,
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            raised: 0,
            source: 0,
            destination: 0,
            count: 0,
            command: 0,
            memory: [0; OWN_BYTES],
            lost: 0,
        }
    }

    fn own(&mut self, address: u64) -> &mut [u8] {
        let start = address.checked_sub(0x4_0000).expect("the device's own memory") as usize;
        &mut self.memory[start..start + self.count as usize]
    }
}

impl DeviceModel for Model {
    fn read(&mut self, _bus: &mut Bus<'_>, offset: usize, width: Width) -> u64 {
        assert!(width == Width::Bits32 || offset >= 0x80);
        match offset {
            0x00 => 0x0100_00ed,
            0x24 => u64::from(self.raised),
            0x98 => self.command,
            _ => u64::MAX,
        }
    }

    fn write(&mut self, bus: &mut Bus<'_>, offset: usize, width: Width, value: u64) {
        assert!(width == Width::Bits32 || offset >= 0x80);
        match offset {
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
                match self.lost.checked_sub(1) {
                    Some(left) => self.lost = left,
                    None => bus.call_after(Ticks(DELAY), 0),
                }
            }
            _ => {}
        }
    }

    fn event(&mut self, bus: &mut Bus<'_>, _token: u64) {
        let (source, destination) = (self.source, self.destination);
        if self.command & 2 == 0 {
            let _ = bus.dma_read(DeviceAddress(source), self.own(destination));
        } else {
            let bytes = self.own(source).to_vec();
            let _ = bus.dma_write(DeviceAddress(destination), &bytes);
        }
        self.command &= !1;
        self.raised |= 0x100;
        bus.set_level(0, Level::Asserted);
    }

    fn address_limit(&self) -> AddressLimit {
        AddressLimit::bits(28)
    }
}
