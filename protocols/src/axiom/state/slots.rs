//! A process's slots. Each has a generation that advances when its capability goes, so that a
//! handle kept from before fails.

use alloc::vec::Vec;

use super::super::commit::CapabilityId;
use super::super::encoding::{Field, Malformed, Reader};
use crate::abi::Handle;

/// Most slots of a process.
pub const SLOTS_MAX: usize = 1024;

#[derive(Clone, Debug, Default)]
pub struct Slots {
    slots: Vec<Slot>,
    /// Slots below the end that are empty. Its order is nobody's business: commits name slots.
    free: Vec<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    generation: u16,
    capability: Option<CapabilityId>,
}

const FRESH: Slot = Slot { generation: 1, capability: None };

impl PartialEq for Slots {
    fn eq(&self, other: &Self) -> bool {
        self.slots == other.slots
    }
}

impl Eq for Slots {}

impl Slots {
    pub fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub fn find(&self, handle: Handle) -> Option<CapabilityId> {
        let slot = self.slots.get(handle.index())?;
        slot.capability.filter(|_| slot.generation == handle.generation())
    }

    pub fn taken(&self) -> impl Iterator<Item = (Handle, CapabilityId)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            Some((Handle::new(index as u16, slot.generation), slot.capability?))
        })
    }

    /// The empty slot used last that `may_take` agrees to, or one never used.
    pub fn vacant(&self, may_take: impl Fn(u16) -> bool) -> Option<Handle> {
        if let Some(index) = self.free.iter().rev().find(|index| may_take(**index)) {
            return Some(Handle::new(*index, self.slots[usize::from(*index)].generation));
        }
        (self.slots.len() < SLOTS_MAX).then(|| Handle::new(self.slots.len() as u16, 1))
    }

    pub fn is_vacant(&self, handle: Handle) -> bool {
        match self.slots.get(handle.index()) {
            Some(slot) => slot.capability.is_none() && slot.generation == handle.generation(),
            None => {
                handle.index() == self.slots.len()
                    && handle == Handle::new(handle.0 as u16, 1)
                    && handle.index() < SLOTS_MAX
            }
        }
    }

    /// The slot must be vacant.
    pub fn fill(&mut self, handle: Handle, capability: CapabilityId) {
        if handle.index() == self.slots.len() {
            self.slots.push(FRESH);
        } else if let Some(at) =
            self.free.iter().rposition(|index| usize::from(*index) == handle.index())
        {
            self.free.swap_remove(at);
        }
        self.slots[handle.index()].capability = Some(capability);
    }

    pub fn empty(&mut self, handle: Handle) {
        let slot = &mut self.slots[handle.index()];
        slot.capability = None;
        // Zero is skipped: handle 0 is never valid.
        slot.generation = slot.generation.wrapping_add(1).max(1);
        self.free.push(handle.index() as u16);
    }
}

impl Field for Slots {
    fn put(&self, out: &mut Vec<u8>) {
        (self.slots.len() as u64).put(out);
        for slot in &self.slots {
            slot.generation.put(out);
            // Shifted by one: zero is an empty slot.
            slot.capability.map_or(0, |CapabilityId(id)| id.wrapping_add(1)).put(out);
        }
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let begun = from.malformed();
        let count: u16 = from.take()?;
        let mut slots = Self::default();
        for index in 0..count {
            let (generation, capability) = (from.take::<u16>()?, from.take::<u64>()?);
            if generation == 0 || usize::from(index) >= SLOTS_MAX {
                return Err(begun);
            }
            let capability = capability.checked_sub(1).map(CapabilityId);
            slots.slots.push(Slot { generation, capability });
            if capability.is_none() {
                slots.free.push(index);
            }
        }
        Ok(slots)
    }
}
