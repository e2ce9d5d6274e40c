//! Frames that arrive at the model.

use hal::dma::DeviceAddress;
use hal::sim::Bus;
use protocols::e1000::{Cause, MulticastFilter, offset, receive_control};

use super::wire::sums;
use super::{Model, Way};

/// What becomes of an arriving frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Fate {
    /// It arrives.
    Good,
    /// It arrives, and its descriptor's status, errors and length are these.
    Written(u8, u8, u16),
}

const DONE_AND_WHOLE: u64 = 0b11;

impl Model {
    /// A frame arrives from the wire.
    pub(in super::super) fn arrive(&mut self, bus: &mut Bus<'_>, frame: &[u8]) {
        let control = self.register(offset::RCTL);
        if control & receive_control::ENABLE == 0 || !self.link_is_up() || !self.is_for_us(frame) {
            return;
        }
        let entries = self.register(offset::RDLEN) / 16;
        let head = self.register(offset::RDH);
        if entries == 0 || head == self.register(offset::RDT) {
            self.missed += 1;
            return;
        }
        let ring =
            u64::from(self.register(offset::RDBAH)) << 32 | u64::from(self.register(offset::RDBAL));
        let descriptor = ring + u64::from(head) * 16;
        let mut buffer = [0; 8];
        if bus.dma_read(DeviceAddress(descriptor), &mut buffer).is_err()
            || bus.dma_write(DeviceAddress(u64::from_le_bytes(buffer)), frame).is_err()
        {
            return;
        }
        let word = match (self.fates)(frame) {
            Fate::Good => {
                let (status, errors) = if self.register(offset::RXCSUM) >> 8 & 0b11 == 0b11 {
                    sums(frame)
                } else {
                    (1 << 2, 0)
                };
                u64::from(errors) << 40
                    | (DONE_AND_WHOLE | u64::from(status)) << 32
                    | frame.len() as u64
            }
            Fate::Written(status, errors, bytes) => {
                u64::from(errors) << 40 | u64::from(status) << 32 | u64::from(bytes)
            }
        };
        let _ = bus.dma_write(DeviceAddress(descriptor + 8), &word.to_le_bytes());
        self.registers.insert(offset::RDH, (head + 1) % entries);
        let cause = if self.way == Way::Table { Cause::RECEIVE_QUEUE } else { Cause::RECEIVED };
        self.cause(bus, cause);
    }

    /// Whether the receive filters let a frame pass.
    fn is_for_us(&self, frame: &[u8]) -> bool {
        let Some(target) = frame.first_chunk::<6>() else { return false };
        if *target == [0xff; 6] {
            return self.register(offset::RCTL) & receive_control::BROADCAST != 0;
        }
        if target[0] & 1 == 0 {
            let (low, high) = (self.register(offset::RAL0), self.register(offset::RAH0));
            let [a, b, c, d, e, f] = *target;
            return low == u32::from_le_bytes([a, b, c, d])
                && high == u32::from_le_bytes([e, f, 0, 0x80]);
        }
        // What the registers would hold if this group alone were listened to.
        let mut wanted = MulticastFilter::new(self.multicast_registers);
        wanted.allow(*target);
        wanted
            .words()
            .iter()
            .enumerate()
            .all(|(number, word)| self.register(offset::MTA + number * 4) & word == *word)
    }
}
