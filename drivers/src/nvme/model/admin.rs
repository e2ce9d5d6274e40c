//! What the model does with admin commands.

use hal::dma::DeviceAddress;
use hal::sim::Bus;
use protocols::nvme::{Command, Status};

use super::rings::{CompletionRing, SubmissionRing};
use super::{Fate, Model, generic, zeroed};

/// Event requests it takes at once, and one.
const EVENT_REQUESTS: u8 = 3;

impl Model {
    /// Carries out an admin command: its status and result; `None`: no answer now.
    pub(super) fn administer(
        &mut self,
        bus: &mut Bus<'_>,
        command: &Command,
    ) -> Option<(Status, u32)> {
        let opcode = command.opcode();
        if self.ignores.contains(&opcode) {
            return None;
        }
        if self.refuses.contains(&opcode) {
            return Some((generic(1), 0));
        }
        let done = Some((Status::SUCCESS, 0));
        let (low, high) = (command.dword(10), command.dword(11));
        let (queue, entries) = (low as u16, u64::from(low >> 16) + 1);
        let base = command.prp().first;
        let no_queue = Some((Status { kind: 1, code: 1, do_not_retry: true }, 0));
        match opcode {
            0x00 => {
                self.pending.retain(|pending| pending.queue != queue);
                self.submissions.remove(&queue).map_or(no_queue, |_| done)
            }
            0x01 if queue > self.queues_granted => no_queue,
            0x01 => {
                self.submissions.insert(queue, SubmissionRing::new(base, entries));
                done
            }
            0x02 => Some((self.log_page(bus, command), 0)),
            0x04 => self.completions.remove(&queue).map_or(no_queue, |_| done),
            0x05 => {
                let vector = (high >> 1 & 1 == 1).then_some((high >> 16) as u16);
                self.completions.insert(queue, CompletionRing::new(base, entries, vector));
                done
            }
            0x06 => Some((self.identify(bus, command), 0)),
            0x08 => Some((Status::SUCCESS, u32::from(!self.abort(bus, queue, (low >> 16) as u16)))),
            0x09 if low == 0x07 => {
                let most = u32::from(self.queues_granted) - 1;
                Some((Status::SUCCESS, most << 16 | most))
            }
            0x09 if low == 0x0b => done,
            0x0c if self.event_requests.len() > usize::from(EVENT_REQUESTS) => {
                Some((Status { kind: 1, code: 5, do_not_retry: true }, 0))
            }
            0x0c => {
                self.event_requests.push_back(command.id());
                self.tell_events(bus);
                None
            }
            0x7c if self.optional_admin_commands >> 8 & 1 == 1 => {
                self.shadows = Some((base, command.prp().second));
                done
            }
            _ => Some((generic(1), 0)),
        }
    }

    /// Whether the command could be aborted.
    fn abort(&mut self, bus: &mut Bus<'_>, queue: u16, id: u16) -> bool {
        let is_meant = |pending: &super::Pending| {
            pending.queue == queue && pending.command.id() == id && pending.fate != Fate::Lost
        };
        let Some(at) = self.pending.iter().position(is_meant) else { return false };
        self.pending.remove(at);
        self.post(bus, queue, id, generic(7), 0);
        true
    }

    fn identify(&mut self, bus: &mut Bus<'_>, command: &Command) -> Status {
        let mut page = zeroed(4096);
        match (command.dword(10), self.disks.get(&command.namespace())) {
            (0, None) => return generic(0x0b),
            (0, Some(disk)) => {
                page[..8].copy_from_slice(&disk.blocks().to_le_bytes());
                page[128 + 2] = disk.block.ilog2() as u8;
            }
            (1, _) => {
                page[4..10].copy_from_slice(b"Nummer");
                page[24..30].copy_from_slice(b"Modell");
                page[64..67].copy_from_slice(b"1.0");
                page[77] = self.transfer_shift;
                page[256..258].copy_from_slice(&self.optional_admin_commands.to_le_bytes());
                page[259] = EVENT_REQUESTS;
                page[262] = 15;
                page[516] = 8;
                page[520..522].copy_from_slice(&self.optional_commands.to_le_bytes());
            }
            (2, _) => {
                for (place, id) in page.chunks_exact_mut(4).zip(self.disks.keys()) {
                    place.copy_from_slice(&id.to_le_bytes());
                }
            }
            _ => return generic(2),
        }
        (self.identify)(command, &mut page);
        let _ = bus.dma_write(DeviceAddress(command.prp().first), &page);
        Status::SUCCESS
    }

    fn log_page(&mut self, bus: &mut Bus<'_>, command: &Command) -> Status {
        let low = command.dword(10);
        let bytes = (u64::from(command.dword(11)) << 16 | u64::from(low >> 16)) as usize * 4 + 4;
        let mut page = zeroed(bytes.min(4096));
        match low as u8 {
            1 => {
                for (place, entry) in page.chunks_exact_mut(64).zip(&self.errors) {
                    place.copy_from_slice(entry);
                }
            }
            2 => page.copy_from_slice(&self.health[..bytes.min(512)]),
            4 => {
                for (place, id) in page.chunks_exact_mut(4).zip(self.changed.drain(..)) {
                    place.copy_from_slice(&id.to_le_bytes());
                }
            }
            _ => return Status { kind: 1, code: 9, do_not_retry: true },
        }
        let _ = bus.dma_write(DeviceAddress(command.prp().first), &page);
        Status::SUCCESS
    }
}
