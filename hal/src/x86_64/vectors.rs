//! Which of the 256 vectors means what, and the bitmap that gives out the free ones.
//!
//! ```text
//!  0x00-0x1f  exceptions
//!  0x20-0x2f  where the PICs point, masked: only their spurious interrupts could come here
//!  0x30-0xef  devices, given out per core
//!  0xf0-0xff  the kernel's own
//! ```

use core::sync::atomic::{AtomicU64, Ordering};

/// First vector of the masked PICs.
pub const PIC_FIRST: u8 = 0x20;
/// Last vector of the masked PICs.
pub const PIC_LAST: u8 = 0x2f;
/// First vector a device may get.
pub const DEVICE_FIRST: u8 = 0x30;
/// Last vector a device may get.
pub const DEVICE_LAST: u8 = 0xef;
/// This core's timer.
pub const TIMER: u8 = 0xf0;
/// Another core has work for this one.
pub const KICK: u8 = 0xf1;
/// Another core changed address translations.
pub const TLB: u8 = 0xf2;
/// Sent by an NMI or machine check handler to its own core.
pub const DEFERRED: u8 = 0xf3;
/// Another core wants a change in an I/O APIC.
pub const IOAPIC: u8 = 0xf4;
/// The local APIC met an error.
pub const ERROR: u8 = 0xfe;
/// The local APIC withdrew an interrupt.
pub const SPURIOUS: u8 = 0xff;

/// The device vectors of one core: a bit each, set while taken. Lock-free; any core may ask.
#[derive(Debug)]
pub struct VectorMap {
    taken: [AtomicU64; 4],
}

impl VectorMap {
    /// All device vectors free.
    #[allow(clippy::new_without_default, reason = "a const initialiser for statics")]
    pub const fn new() -> Self {
        Self { taken: [const { AtomicU64::new(0) }; 4] }
    }

    /// Takes the lowest free device vector. `None`: all are taken.
    pub fn allocate(&self) -> Option<u8> {
        for vector in DEVICE_FIRST..=DEVICE_LAST {
            let (word, bit) = Self::place(vector);
            if word_of(&self.taken, word).fetch_or(bit, Ordering::AcqRel) & bit == 0 {
                return Some(vector);
            }
        }
        None
    }

    /// Takes `count` vectors in a row, the first a multiple of `count`, as plain MSI wants them
    /// (PCI 3.0, 6.8.1.3). `count` is a power of two up to 32; else, or when no such run is free,
    /// `None`.
    pub fn allocate_block(&self, count: u8) -> Option<u8> {
        if !count.is_power_of_two() || count > 32 {
            return None;
        }
        let mask = (1u64 << count) - 1;
        let mut first = DEVICE_FIRST.next_multiple_of(count);
        while first <= DEVICE_LAST - (count - 1) {
            // A multiple of its own length up to 32, so the run lies in one word.
            let word = word_of(&self.taken, usize::from(first / 64));
            let bits = mask << (first % 64);
            let claimed = word.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |taken| {
                (taken & bits == 0).then_some(taken | bits)
            });
            if claimed.is_ok() {
                return Some(first);
            }
            first += count;
        }
        None
    }

    /// Gives a vector back. Nobody's or a fixed one: ignored.
    pub fn free(&self, vector: u8) {
        let (word, bit) = Self::place(vector);
        word_of(&self.taken, word).fetch_and(!bit, Ordering::AcqRel);
    }

    /// How many vectors are taken.
    pub fn in_use(&self) -> u32 {
        self.taken.iter().map(|word| word.load(Ordering::Relaxed).count_ones()).sum()
    }

    fn place(vector: u8) -> (usize, u64) {
        (usize::from(vector / 64), 1 << (vector % 64))
    }
}

fn word_of(words: &[AtomicU64; 4], index: usize) -> &AtomicU64 {
    &words[index & 3]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_each_device_vector_once() {
        let map = VectorMap::new();
        let mut seen = [false; 256];
        for _ in DEVICE_FIRST..=DEVICE_LAST {
            let vector = map.allocate().unwrap();
            assert!((DEVICE_FIRST..=DEVICE_LAST).contains(&vector));
            assert!(!core::mem::replace(&mut seen[usize::from(vector)], true));
        }
        assert_eq!(map.allocate(), None);
        map.free(0x77);
        assert_eq!(map.allocate(), Some(0x77));
    }

    #[test]
    fn blocks_are_aligned_and_do_not_overlap() {
        let map = VectorMap::new();
        assert_eq!(map.allocate(), Some(0x30));
        assert_eq!(map.allocate_block(4), Some(0x34));
        assert_eq!(map.allocate_block(32), Some(0x40));
        assert_eq!(map.allocate_block(8), Some(0x38));
        assert_eq!(map.allocate_block(3), None);
        assert_eq!(map.allocate_block(64), None);
        assert_eq!(map.in_use(), 1 + 4 + 32 + 8);
        let mut blocks = 0;
        while map.allocate_block(16).is_some() {
            blocks += 1;
        }
        assert_eq!(blocks, 9); // 0x60 to 0xef
    }
}
