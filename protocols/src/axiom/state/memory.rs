//! Memory objects and registers of devices in address spaces: which pages, and through which capability.

use alloc::vec::Vec;

use super::super::commit::CapabilityId;
use super::outcome::{Effect, Effects, Refusal};
use super::{Mapping, State};
use crate::abi::{ObjectKind, PAGE, Rights, USER_END};

/// Most mappings of a process when it makes one more. Cutting pieces out of some can make more of
/// them, as many as there are gaps between its ranges of memory.
pub const MAPPINGS_MAX: usize = 1024;

/// A range of user memory.
fn is_range(address: u64, pages: u64) -> Option<u64> {
    let end = pages.checked_mul(PAGE as u64)?.checked_add(address)?;
    (pages > 0 && address.is_multiple_of(PAGE as u64) && end <= USER_END).then_some(end)
}

impl State {
    pub(super) fn share(
        &mut self,
        capability: CapabilityId,
        address: u64,
        pages: u64,
        rights: Rights,
    ) -> Result<(), Refusal> {
        let held = *self.capabilities.get(&capability).ok_or(Refusal::NoCapability)?;
        let object = self.objects.get(&held.object).ok_or(Refusal::NoObject)?;
        if !matches!(object.kind, ObjectKind::Memory | ObjectKind::Device) {
            return Err(Refusal::Kind);
        }
        let wanted = rights | Rights::RECEIVE;
        if wanted != rights
            || !(Rights::SEND | Rights::RECEIVE).contains(rights)
            || !held.rights.contains(rights)
        {
            return Err(Refusal::Rights);
        }
        let end = is_range(address, pages).ok_or(Refusal::Range)?;
        let mut mappings = self.mappings.range((held.process, 0)..(held.process, u64::MAX));
        if mappings.nth(MAPPINGS_MAX - 1).is_some() {
            return Err(Refusal::Budget);
        }
        if !object.has_pages(pages) || self.overlapping(held.process, address, end).next().is_some()
        {
            return Err(Refusal::Range);
        }
        let parent = Some(capability);
        let mapping = Mapping { object: held.object, pages, rights, parent };
        self.map((held.process, address), mapping);
        Ok(())
    }

    /// Where mappings of `process` begin that reach into the range.
    fn overlapping(
        &self,
        process: u32,
        address: u64,
        end: u64,
    ) -> impl Iterator<Item = (u32, u64)> {
        let before = self.mappings.range((process, 0)..(process, address)).next_back();
        let before = before.filter(|(at, mapping)| at.1 + mapping.pages * PAGE as u64 > address);
        before
            .into_iter()
            .chain(self.mappings.range((process, address)..(process, end)))
            .map(|at| *at.0)
    }

    pub(super) fn unshare(
        &mut self,
        process: u32,
        address: u64,
        pages: u64,
        effects: Effects<'_>,
    ) -> Result<(), Refusal> {
        let end = is_range(address, pages).ok_or(Refusal::Range)?;
        let hit: Vec<(u32, u64)> = self.overlapping(process, address, end).collect();
        if hit.is_empty() {
            return Err(Refusal::Range);
        }
        for at in hit {
            let Some(old) = self.mappings.get(&at).copied() else { continue };
            let (start, old_end) = (at.1, at.1 + old.pages * PAGE as u64);
            let pages = |from: u64, to: u64| to.saturating_sub(from) / PAGE as u64;
            let (before, after) = (pages(start, address), pages(end, old_end));
            // The rest first, or its object might be gone in between.
            let last = (after > 0).then_some(((process, end), Mapping { pages: after, ..old }));
            if let Some((at, mapping)) = last {
                self.map(at, mapping);
            }
            if before > 0 {
                if let Some(mapping) = self.mappings.get_mut(&at) {
                    mapping.pages = before;
                }
            } else {
                self.forget(at, effects);
            }
        }
        Ok(())
    }

    fn map(&mut self, at: (u32, u64), mapping: Mapping) {
        self.mappings.insert(at, mapping);
        if let Some(parent) = mapping.parent {
            self.mapped.insert((parent, at.0, at.1));
        }
        if let Some(object) = self.objects.get_mut(&mapping.object) {
            object.mappings += 1;
        }
    }

    /// A mapping is gone, by its owner's will.
    pub(super) fn forget(&mut self, at: (u32, u64), effects: Effects<'_>) {
        let Some(mapping) = self.mappings.remove(&at) else { return };
        if let Some(parent) = mapping.parent {
            self.mapped.remove(&(parent, at.0, at.1));
        }
        if let Some(object) = self.objects.get_mut(&mapping.object) {
            object.mappings -= 1;
        }
        self.settle(mapping.object, effects);
    }

    /// A mapping is taken away.
    pub(super) fn unmap(&mut self, at: (u32, u64), effects: Effects<'_>) {
        if let Some(mapping) = self.mappings.get(&at) {
            effects(Effect::Unmapped { process: at.0, address: at.1, pages: mapping.pages });
        }
        self.forget(at, effects);
    }
}
