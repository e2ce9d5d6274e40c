//! The sizes of small heap blocks: powers of two from 32 bytes to 2 KiB.

use core::alloc::Layout;

/// Alignment of every small block. What needs more is not small.
pub const BLOCK_ALIGN: usize = 16;
/// How many classes there are.
pub const CLASSES: usize = 7;

const SMALLEST_SHIFT: u32 = 5;
/// Bytes of one class a core keeps at most (but at least four blocks).
const KEPT_BYTES: usize = 4096;

/// A size of small blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SizeClass(u8);

impl SizeClass {
    /// The class that a layout falls into, if it is small.
    #[inline]
    pub const fn of(layout: Layout) -> Option<Self> {
        if layout.size() > 1 << (SMALLEST_SHIFT as usize + CLASSES - 1)
            || layout.align() > BLOCK_ALIGN
        {
            return None;
        }
        // Bits needed for size - 1: the power of two at or above the size.
        let shift = usize::BITS - layout.size().saturating_sub(1).leading_zeros();
        Some(Self(shift.saturating_sub(SMALLEST_SHIFT) as u8))
    }

    /// Every class.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..CLASSES as u8).map(Self)
    }
    /// `0..CLASSES`.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
    /// Bytes in a block.
    pub const fn bytes(self) -> usize {
        1 << (self.0 as u32 + SMALLEST_SHIFT)
    }
    /// A block's layout.
    pub const fn layout(self) -> Layout {
        match Layout::from_size_align(self.bytes(), BLOCK_ALIGN) {
            Ok(layout) => layout,
            Err(_) => unreachable!(),
        }
    }
    /// Blocks a core keeps at most.
    #[inline]
    pub const fn kept_per_core(self) -> u32 {
        let kept = KEPT_BYTES / self.bytes();
        if kept < 4 { 4 } else { kept as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_small_size_fits_its_class_and_not_the_one_below() {
        for size in 0..=2048 {
            let class = SizeClass::of(Layout::from_size_align(size, 8).unwrap()).unwrap();
            assert!(class.bytes() >= size && class.index() < CLASSES);
            assert!(class.index() == 0 || class.bytes() / 2 < size, "{size}");
        }
        assert_eq!(SizeClass::of(Layout::from_size_align(2049, 8).unwrap()), None);
        assert_eq!(SizeClass::of(Layout::from_size_align(8, 32).unwrap()), None);
        assert_eq!(SizeClass::all().last().unwrap().bytes(), 2048);
    }
}
