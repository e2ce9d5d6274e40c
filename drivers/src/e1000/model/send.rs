//! The model's end of the transmit ring.

use std::vec;
use std::vec::Vec;

use hal::dma::DeviceAddress;
use hal::sim::Bus;
use protocols::e1000::{Cause, Decoded, TransmitDescriptor, offset, transmit_control};

use super::wire::{cut, insert};
use super::{Model, Way};

/// The shortest frame on the wire, without FCS.
const SHORTEST: usize = 60;

impl Model {
    /// Sends what it has.
    pub(super) fn send(&mut self, bus: &mut Bus<'_>) {
        let mut reported = false;
        while !self.hangs
            && self.link_is_up()
            && self.register(offset::TCTL) & transmit_control::ENABLE != 0
        {
            let (head, entries) = (self.register(offset::TDH), self.register(offset::TDLEN) / 16);
            if entries == 0 || head == self.register(offset::TDT) {
                break;
            }
            let ring = u64::from(self.register(offset::TDBAH)) << 32
                | u64::from(self.register(offset::TDBAL));
            let place = ring + u64::from(head) * 16;
            let mut bytes = [0; 16];
            if bus.dma_read(DeviceAddress(place), &mut bytes).is_err() {
                break;
            }
            let word =
                |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
            let descriptor = TransmitDescriptor([word(0), word(8)]);
            if self.carry_out(bus, descriptor) {
                reported = true;
                let done = descriptor.done().to_le_bytes();
                let _ = bus.dma_write(DeviceAddress(place + 8), &done);
            }
            self.registers.insert(offset::TDH, (head + 1) % entries);
        }
        if reported {
            let table = self.way == Way::Table;
            self.cause(bus, if table { Cause::TRANSMIT_QUEUE } else { Cause::SENT });
        }
    }

    /// Carries a descriptor out; says whether a report is wanted.
    fn carry_out(&mut self, bus: &mut Bus<'_>, descriptor: TransmitDescriptor) -> bool {
        let (address, bytes, is_last, is_segmented, inserts, is_reported) =
            match descriptor.decode() {
                Decoded::Context(context) => {
                    self.contexts += 1;
                    self.context = Some(context);
                    return false;
                }
                Decoded::Data {
                    address,
                    bytes,
                    is_last,
                    is_segmented,
                    inserts_ip,
                    inserts_transport,
                    is_reported,
                } => {
                    let inserts = (inserts_ip, inserts_transport);
                    (address, bytes, is_last, is_segmented, inserts, is_reported)
                }
                Decoded::Other => {
                    self.odd += 1;
                    return false;
                }
            };
        let mut piece = vec![0; bytes as usize];
        if bus.dma_read(DeviceAddress(address), &mut piece).is_err() {
            return false;
        }
        self.frame.extend(piece);
        if is_last {
            let frame = std::mem::take(&mut self.frame);
            let mut frames = match self.context.filter(|_| is_segmented) {
                Some(context) => cut(&frame, context),
                None => vec![insert(frame, self.context, inserts)],
            };
            frames.iter_mut().for_each(pad);
            self.sent.append(&mut frames);
        }
        is_reported
    }
}

fn pad(frame: &mut Vec<u8>) {
    frame.resize(frame.len().max(SHORTEST), 0);
}
