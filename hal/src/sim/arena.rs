//! The memory devices can reach, and who owns each piece of it.
//!
//! A buffer's bytes live with whoever may touch them: in the driver's `DmaBuf` while it owns them,
//! here while they are lent. So a device that touches what it was not lent finds nothing to touch,
//! and is reported. Addresses are handed out upwards, with a guard of a page after each buffer, and
//! used again only when the limit is reached, so that stale addresses stay recognisable. A listed
//! buffer is made of pages each with its guard, the last at the lowest address: none is where a
//! device that counts on would look for it.

use std::boxed::Box;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::vec;
use std::vec::Vec;

use super::violation::DmaFault;
use crate::dma::{ALIGNMENT, AddressLimit, Direction, DmaError};

/// The first address handed out; nothing lives below, so null and small numbers are wild.
const LOWEST: u64 = 0x10_0000;

/// How much DMA memory is in use, and by whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryReport {
    /// Buffers their driver owns.
    pub owned: usize,
    /// Buffers lent to a device, or leaked while lent.
    pub lent: usize,
    /// Rings, including leaked ones.
    pub rings: usize,
    /// Bytes in all of these.
    pub bytes: usize,
}

enum Holder {
    /// The driver has the bytes.
    Driver,
    /// The device may use the bytes.
    Device { storage: Box<[u8]>, direction: Direction },
    /// Both may.
    Ring(Arc<[AtomicU64]>),
}

struct Block {
    bytes: usize,
    holder: Holder,
    part: Part,
}

/// Whether a block is counted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// A buffer, or its first page.
    First,
    /// A later page of a listed buffer.
    Later,
}

pub(super) struct Arena {
    blocks: BTreeMap<u64, Block>,
    freed: BTreeMap<u64, usize>,
    next: u64,
    available: usize,
}

fn footprint(bytes: usize) -> u64 {
    (bytes.next_multiple_of(ALIGNMENT) + ALIGNMENT) as u64
}

impl Arena {
    pub(super) fn new() -> Self {
        Self {
            blocks: BTreeMap::new(),
            freed: BTreeMap::new(),
            next: LOWEST,
            available: usize::MAX,
        }
    }

    pub(super) fn set_available(&mut self, bytes: usize) {
        self.available = bytes;
    }

    pub(super) fn report(&self) -> MemoryReport {
        let mut report = MemoryReport::default();
        for block in self.blocks.values() {
            report.bytes += block.bytes;
            if block.part == Part::Later {
                continue;
            }
            match block.holder {
                Holder::Driver => report.owned += 1,
                Holder::Device { .. } => report.lent += 1,
                Holder::Ring(_) => report.rings += 1,
            }
        }
        report
    }

    pub(super) fn allocate(
        &mut self,
        bytes: usize,
        limit: AddressLimit,
    ) -> Result<(u64, Box<[u8]>), DmaError> {
        let base = self.place(bytes, limit, Holder::Driver)?;
        Ok((base, vec![0; bytes].into_boxed_slice()))
    }

    /// Places for `bytes` bytes, a page each; where they are, in order.
    pub(super) fn allocate_listed(
        &mut self,
        bytes: usize,
        limit: AddressLimit,
    ) -> Result<Vec<u64>, DmaError> {
        let mut places = Vec::new();
        let mut left = bytes;
        // The last page, the one that may be shorter, lies lowest.
        while left != 0 {
            let piece = (left - 1) % ALIGNMENT + 1;
            match self.place(piece, limit, Holder::Driver) {
                Ok(base) => places.push(base),
                Err(error) => {
                    places.into_iter().for_each(|base| self.free(base));
                    return Err(error);
                }
            }
            left -= piece;
        }
        places.reverse();
        for later in places.iter().skip(1) {
            if let Some(block) = self.blocks.get_mut(later) {
                block.part = Part::Later;
            }
        }
        Ok(places)
    }

    pub(super) fn allocate_ring(
        &mut self,
        words: usize,
        limit: AddressLimit,
    ) -> Result<(u64, Arc<[AtomicU64]>), DmaError> {
        let ring: Arc<[AtomicU64]> = (0..words).map(|_| AtomicU64::new(0)).collect();
        let base = self.place(words * 8, limit, Holder::Ring(ring.clone()))?;
        Ok((base, ring))
    }

    fn place(
        &mut self,
        bytes: usize,
        limit: AddressLimit,
        holder: Holder,
    ) -> Result<u64, DmaError> {
        if bytes > self.available {
            return Err(DmaError::OutOfMemory);
        }
        let size = footprint(bytes);
        let fits = |base: u64| base.checked_add(size - 1).is_some_and(|end| end <= limit.highest());
        let base = if fits(self.next) {
            self.next += size;
            self.next - size
        } else {
            let base = self.gap(size);
            if !fits(base) {
                return Err(DmaError::OutOfMemory);
            }
            let end = base + size;
            let overlaps = |start: u64, length| start < end && start + footprint(length) > base;
            self.freed.retain(|&start, &mut length| !overlaps(start, length));
            base
        };
        self.available -= bytes;
        self.blocks.insert(base, Block { bytes, holder, part: Part::First });
        Ok(base)
    }

    /// The lowest place with `size` bytes free.
    fn gap(&self, size: u64) -> u64 {
        let mut candidate = LOWEST;
        for (&base, block) in &self.blocks {
            if base >= candidate + size {
                break;
            }
            candidate = base + footprint(block.bytes);
        }
        candidate
    }

    pub(super) fn lend(&mut self, base: u64, storage: Box<[u8]>, direction: Direction) {
        if let Some(block) = self.blocks.get_mut(&base) {
            block.holder = Holder::Device { storage, direction };
        }
    }

    /// Takes lent bytes back. `None` never happens to a loan that exists.
    pub(super) fn reclaim(&mut self, base: u64) -> Option<Box<[u8]>> {
        let block = self.blocks.get_mut(&base)?;
        match std::mem::replace(&mut block.holder, Holder::Driver) {
            Holder::Device { storage, .. } => Some(storage),
            other => {
                block.holder = other;
                None
            }
        }
    }

    pub(super) fn free(&mut self, base: u64) {
        if let Some(block) = self.blocks.remove(&base) {
            self.available = self.available.saturating_add(block.bytes);
            self.freed.insert(base, block.bytes);
        }
    }

    fn find(&mut self, address: u64, bytes: usize) -> Result<(usize, &mut Block), DmaFault> {
        let within = |base: u64, length: usize| address - base < length as u64;
        let Some((&base, _)) = self
            .blocks
            .range(..=address)
            .next_back()
            .filter(|(base, block)| within(**base, block.bytes))
        else {
            let last = self.freed.range(..=address).next_back();
            let freed = last.is_some_and(|(&base, &length)| within(base, length));
            return Err(if freed { DmaFault::Freed } else { DmaFault::Nowhere });
        };
        let offset = (address - base) as usize;
        match self.blocks.get_mut(&base) {
            Some(block) if bytes <= block.bytes - offset => Ok((offset, block)),
            _ => Err(DmaFault::PastEnd),
        }
    }

    /// The device reads.
    pub(super) fn device_read(&mut self, address: u64, into: &mut [u8]) -> Result<(), DmaFault> {
        let (offset, block) = self.find(address, into.len())?;
        match &block.holder {
            Holder::Driver => Err(DmaFault::NotLent),
            Holder::Device { direction, .. } if !direction.device_reads() => {
                Err(DmaFault::Direction)
            }
            Holder::Device { storage, .. } => {
                into.copy_from_slice(&storage[offset..offset + into.len()]);
                Ok(())
            }
            Holder::Ring(words) => {
                for (place, byte) in (offset..).zip(into) {
                    *byte = words[place / 8].load(Ordering::Acquire).to_ne_bytes()[place % 8];
                }
                Ok(())
            }
        }
    }

    /// The device writes, lowest address first.
    pub(super) fn device_write(&mut self, address: u64, from: &[u8]) -> Result<(), DmaFault> {
        let (offset, block) = self.find(address, from.len())?;
        match &mut block.holder {
            Holder::Driver => Err(DmaFault::NotLent),
            Holder::Device { direction, .. } if !direction.device_writes() => {
                Err(DmaFault::Direction)
            }
            Holder::Device { storage, .. } => {
                storage[offset..offset + from.len()].copy_from_slice(from);
                Ok(())
            }
            Holder::Ring(words) => {
                write_words(words, offset, from);
                Ok(())
            }
        }
    }
}

/// Writes bytes into words the driver may be writing beside them.
fn write_words(words: &[AtomicU64], offset: usize, from: &[u8]) {
    let mut done = 0;
    while done < from.len() {
        let place = offset + done;
        let (word, first) = (&words[place / 8], place % 8);
        let count = (8 - first).min(from.len() - done);
        let piece = &from[done..done + count];
        let _ = word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |old| {
            let mut bytes = old.to_ne_bytes();
            bytes[first..first + count].copy_from_slice(piece);
            Some(u64::from_ne_bytes(bytes))
        });
        done += count;
    }
}
