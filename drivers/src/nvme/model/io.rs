//! What the model does with I/O commands.

use std::vec;
use std::vec::Vec;

use hal::dma::DeviceAddress;
use hal::sim::Bus;
use protocols::nvme::{Command, PAGE_BYTES, Status};

use super::{Model, generic, zeroed};

/// A namespace.
pub(crate) struct Disk {
    /// Bytes of a block.
    pub(crate) block: usize,
    pub(crate) data: Vec<u8>,
    /// What was given up, block by block.
    pub(crate) discarded: Vec<(u64, u32)>,
}

impl Disk {
    pub(crate) fn new(block: usize, blocks: usize) -> Self {
        Self { block, data: zeroed(block * blocks), discarded: Vec::new() }
    }

    pub(super) fn blocks(&self) -> u64 {
        (self.data.len() / self.block) as u64
    }
}

impl Model {
    pub(super) fn carry_out(&mut self, bus: &mut Bus<'_>, command: &Command) -> Status {
        let can = |bit: u16| self.optional_commands >> bit & 1 == 1;
        let Some(disk) = self.disks.get_mut(&command.namespace()) else { return generic(0x0b) };
        let start = u64::from(command.dword(11)) << 32 | u64::from(command.dword(10));
        let count = u64::from(command.dword(12) & 0xffff) + 1;
        let is_inside = start + count <= disk.blocks();
        let first = start as usize * disk.block;
        let bytes = count as usize * disk.block;
        match command.opcode() {
            0x00 => {
                self.flushes += 1;
                Status::SUCCESS
            }
            0x01 | 0x02 | 0x08 if !is_inside => generic(0x80),
            0x01 | 0x02 if bytes > PAGE_BYTES << self.transfer_shift => generic(2),
            0x01 | 0x02 => transfer(bus, command, &mut disk.data[first..first + bytes]),
            0x08 if can(3) => {
                disk.data[first..first + bytes].fill(0);
                Status::SUCCESS
            }
            0x09 if can(2) => {
                let mut range = [0; 16];
                if bus.dma_read(DeviceAddress(command.prp().first), &mut range).is_err() {
                    return generic(4);
                }
                let range = u128::from_le_bytes(range);
                let (start, count) = ((range >> 64) as u64, (range >> 32) as u32);
                if start + u64::from(count) > disk.blocks() {
                    return generic(0x80);
                }
                disk.discarded.push((start, count));
                Status::SUCCESS
            }
            _ => generic(1),
        }
    }
}

fn transfer(bus: &mut Bus<'_>, command: &Command, data: &mut [u8]) -> Status {
    let Some(pages) = pages(bus, command, data.len().div_ceil(PAGE_BYTES)) else {
        return generic(4);
    };
    for (part, page) in data.chunks_mut(PAGE_BYTES).zip(pages) {
        let done = match command.opcode() {
            0x01 => bus.dma_read(DeviceAddress(page), part),
            _ => bus.dma_write(DeviceAddress(page), part),
        };
        if done.is_err() {
            return generic(4);
        }
    }
    Status::SUCCESS
}

/// The addresses of so many pages: in the command, or in its list.
fn pages(bus: &mut Bus<'_>, command: &Command, count: usize) -> Option<Vec<u64>> {
    let prp = command.prp();
    let mut pages = vec![prp.first];
    match count {
        1 => {}
        2 => pages.push(prp.second),
        _ => {
            let mut list = prp.second;
            while pages.len() < count {
                let left = count - pages.len();
                let mut entry = [0; 8];
                bus.dma_read(DeviceAddress(list), &mut entry).ok()?;
                let entry = u64::from_le_bytes(entry);
                if list as usize % PAGE_BYTES == PAGE_BYTES - 8 && left > 1 {
                    list = entry;
                } else {
                    pages.push(entry);
                    list += 8;
                }
            }
        }
    }
    Some(pages)
}
