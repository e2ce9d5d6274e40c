//! Command ids: slot number in the low bits, generation in the rest.

use core::fmt;
use core::ops::Range;

/// What a command is called towards the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CommandId(pub u16);

impl fmt::Display for CommandId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "command {:#06x}", self.0)
    }
}

#[derive(Clone, Copy)]
pub(super) struct IdLayout {
    depth: u16,
    index_bits: u32,
    generation_mask: u16,
}

impl IdLayout {
    pub(super) fn new(depth: u16, id_bits: u32) -> Self {
        let id_bits = id_bits.clamp(1, 16);
        let depth = u32::from(depth).clamp(1, 1 << id_bits.min(15)) as u16;
        let index_bits = u16::BITS - (depth - 1).leading_zeros();
        let generation_mask = ((1u32 << (id_bits - index_bits.min(id_bits))) - 1) as u16;
        Self { depth, index_bits, generation_mask }
    }

    pub(super) fn depth(self) -> u16 {
        self.depth
    }

    pub(super) fn indices(self) -> Range<u16> {
        0..self.depth
    }

    /// As much of a slot's generation as an id holds.
    pub(super) fn generation(self, generation: u16) -> u16 {
        generation & self.generation_mask
    }

    pub(super) fn join(self, index: u16, generation: u16) -> CommandId {
        let high = u32::from(self.generation(generation)) << self.index_bits;
        CommandId(index | high as u16)
    }

    /// Slot number and generation, if there is such a slot.
    pub(super) fn split(self, id: CommandId) -> Option<(u16, u16)> {
        let low = ((1u32 << self.index_bits) - 1) as u16;
        let index = id.0 & low;
        let generation = (u32::from(id.0) >> self.index_bits) as u16;
        (index < self.depth && generation <= self.generation_mask).then_some((index, generation))
    }
}
