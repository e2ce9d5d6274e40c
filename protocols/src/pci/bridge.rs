//! A bridge's windows: which addresses it passes on to the buses behind it.
//!
//! Three pairs of base and limit: memory, prefetchable memory (which may lie beyond 4 GiB), I/O
//! ports. A base above its limit: the window is shut.
//!
//! Source: PCI-to-PCI Bridge Architecture Specification 1.2, 3.2.5.6 to 3.2.5.10.

use super::Config;

/// Offsets in a bridge's header.
pub mod place {
    /// I/O base and limit (low half; the upper half is a status register whose ones clear).
    pub const IO: u16 = 0x1c;
    /// Memory base (low half) and limit.
    pub const MEMORY: u16 = 0x20;
    /// Prefetchable memory base (low half) and limit.
    pub const PREFETCHABLE: u16 = 0x24;
    /// The upper 32 bits of the prefetchable base.
    pub const PREFETCHABLE_BASE_HIGH: u16 = 0x28;
    /// The upper 32 bits of the prefetchable limit.
    pub const PREFETCHABLE_LIMIT_HIGH: u16 = 0x2c;
    /// The upper 16 bits of the I/O base (low half) and limit.
    pub const IO_HIGH: u16 = 0x30;
}

/// A range of addresses, the last included; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first address.
    pub first: u64,
    /// The last one.
    pub last: u64,
}

impl Span {
    /// `bytes` bytes from `first` on. `None`: none, or they run past the end of all addresses.
    pub const fn of(first: u64, bytes: u64) -> Option<Self> {
        let Some(beyond) = bytes.checked_sub(1) else { return None };
        match first.checked_add(beyond) {
            Some(last) => Some(Self { first, last }),
            None => None,
        }
    }

    const fn between(first: u64, last: u64) -> Option<Self> {
        if first <= last { Some(Self { first, last }) } else { None }
    }

    /// Whether all of `other` lies in it.
    pub const fn contains(&self, other: &Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    /// Whether the two have an address in common.
    pub const fn overlaps(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// The part of it below 4 GiB.
    pub const fn low(&self) -> Option<Self> {
        let last = if self.last > u32::MAX as u64 { u32::MAX as u64 } else { self.last };
        Self::between(self.first, last)
    }

    /// The lowest place in it for `bytes` bytes (a power of two), aligned to their number, that
    /// keeps clear of everything in `taken`.
    pub fn place(&self, bytes: u64, taken: &[Self]) -> Option<Self> {
        if !bytes.is_power_of_two() {
            return None;
        }
        let mut first = self.first.checked_next_multiple_of(bytes)?;
        loop {
            let found = Self::of(first, bytes).filter(|found| self.contains(found))?;
            // Each turn leaves one of `taken` behind for good.
            match taken.iter().filter(|other| other.overlaps(&found)).map(|other| other.last).max()
            {
                Some(last) => first = last.checked_add(1)?.checked_next_multiple_of(bytes)?,
                None => return Some(found),
            }
        }
    }
}

/// What a bridge passes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BridgeWindows {
    /// Memory, below 4 GiB, in units of 1 MiB.
    pub memory: Option<Span>,
    /// Prefetchable memory, in units of 1 MiB.
    pub prefetchable: Option<Span>,
    /// I/O ports, in units of 4 KiB.
    pub ports: Option<Span>,
}

impl BridgeWindows {
    /// Reads them from a bridge's header.
    pub fn read(config: &impl Config) -> Self {
        let memory = config.read(place::MEMORY);
        let prefetchable = config.read(place::PREFETCHABLE);
        let (low, high) = if prefetchable & 0xf == 1 {
            let high = |offset| u64::from(config.read(offset)) << 32;
            (high(place::PREFETCHABLE_BASE_HIGH), high(place::PREFETCHABLE_LIMIT_HIGH))
        } else {
            (0, 0)
        };
        let io = config.read(place::IO);
        let io_high = if io & 0xf == 1 { config.read(place::IO_HIGH) } else { 0 };
        let base = |word: u32| u64::from(word & 0xfff0) << 16;
        let limit = |word: u32| u64::from(word & 0xfff0_0000) | 0xf_ffff;
        Self {
            memory: Span::between(base(memory), limit(memory)),
            prefetchable: Span::between(low | base(prefetchable), high | limit(prefetchable)),
            ports: Span::between(
                u64::from(io_high & 0xffff) << 16 | u64::from(io & 0xf0) << 8,
                u64::from(io_high >> 16) << 16 | u64::from(io & 0xf000) | 0xfff,
            ),
        }
    }

    /// The double words to write to open exactly these windows, shutting the others: offset, the
    /// bits that count, value. Spans are widened to whole units.
    pub fn encode(&self) -> [(u16, u32, u32); 6] {
        let shut = Span { first: 0xfff0_0000, last: 0 };
        let memory = self.memory.unwrap_or(shut);
        let prefetchable = self.prefetchable.unwrap_or(shut);
        let ports = self.ports.unwrap_or(Span { first: 0xf000, last: 0 });
        let pair =
            |span: Span| (span.first >> 16) as u32 & 0xfff0 | (span.last as u32) & 0xfff0_0000;
        [
            (place::MEMORY, 0xfff0_fff0, pair(memory)),
            (place::PREFETCHABLE, 0xfff0_fff0, pair(prefetchable)),
            (place::PREFETCHABLE_BASE_HIGH, u32::MAX, (prefetchable.first >> 32) as u32),
            (place::PREFETCHABLE_LIMIT_HIGH, u32::MAX, (prefetchable.last >> 32) as u32),
            (place::IO, 0xf0f0, (ports.first >> 8) as u32 & 0xf0 | ports.last as u32 & 0xf000),
            (
                place::IO_HIGH,
                u32::MAX,
                (ports.first >> 16) as u32 & 0xffff | (ports.last as u32) & 0xffff_0000,
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::super::tests::Bytes;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// A bridge with wide windows, told this.
    fn told(windows: &BridgeWindows) -> Bytes {
        let mut space = [0u8; 64].to_vec();
        (space[0x1c], space[0x1d], space[0x24], space[0x26]) = (1, 1, 1, 1);
        for (offset, mask, value) in windows.encode() {
            let place = usize::from(offset)..usize::from(offset) + 4;
            let old = u32::from_le_bytes(space[place.clone()].try_into().unwrap());
            space[place].copy_from_slice(&(old & !mask | value & mask).to_le_bytes());
        }
        Bytes(space)
    }

    #[test]
    fn as_firmware_sets_them() {
        let windows = BridgeWindows {
            memory: Span::of(0xfe40_0000, 2 << 20),
            prefetchable: Span::of(0x80_0000_0000, 1 << 30),
            ports: Span::of(0x1000, 0x1000),
        };
        let space = told(&windows);
        assert_eq!(space.0[0x20..0x24], [0x40, 0xfe, 0x50, 0xfe]);
        assert_eq!(BridgeWindows::read(&space), windows);
        assert_eq!(BridgeWindows::read(&told(&BridgeWindows::default())), Default::default());
    }

    #[test]
    fn places_keep_clear() {
        let window = Span::of(0x1000_0000, 0x10_0000).unwrap();
        let taken = [Span::of(0x1000_0000, 0x1000).unwrap(), Span::of(0x1000_8000, 1).unwrap()];
        let at = |bytes| window.place(bytes, &taken).map(|span| span.first);
        assert_eq!(at(0x1000), Some(0x1000_1000));
        assert_eq!(at(0x8000), Some(0x1001_0000));
        assert_eq!(at(0x10_0000), None);
        assert_eq!(at(3), None, "no power of two");
        assert_eq!(Span::of(u64::MAX, 2), None);
        let end = Span { first: u64::MAX - 10, last: u64::MAX };
        assert_eq!(end.place(8, &[]), Span::of(u64::MAX - 7, 8));
        assert_eq!(end.place(8, &[end]), None);
    }

    proptest! {
        #[test]
        fn what_is_told_is_read(first in 0u64..0xfff, more in 0u64..0xfff, big in 0u64..1 << 43) {
            let memory = Span::between(first << 20, (((first + more).min(0xfff)) << 20) | 0xf_ffff);
            let prefetchable = Span::between(big << 20, ((big + more) << 20) | 0xf_ffff);
            let ports = Span::between(first << 12, ((first + more) << 12) | 0xfff);
            let windows = BridgeWindows { memory, prefetchable, ports };
            prop_assert_eq!(BridgeWindows::read(&told(&windows)), windows);
        }

        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let windows = BridgeWindows::read(&Bytes(bytes));
            for span in [windows.memory, windows.prefetchable, windows.ports].into_iter().flatten() {
                prop_assert!(span.first <= span.last);
            }
        }

        /// Inside, aligned, clear of the others; and refused only where nothing fits.
        #[test]
        fn places_are_sound(
            first in 0u64..1 << 20,
            bytes in 1u64..1 << 20,
            taken in proptest::collection::vec((0u64..1 << 21, 1u64..1 << 16), 0..20),
            shift in 0u32..20,
        ) {
            let window = Span::of(first, bytes).unwrap();
            let taken: Vec<Span> = taken.into_iter().filter_map(|(at, n)| Span::of(at, n)).collect();
            let size = 1u64 << shift;
            let fits = |at: u64| {
                let span = Span::of(at, size).unwrap();
                window.contains(&span) && !taken.iter().any(|other| other.overlaps(&span))
            };
            match window.place(size, &taken) {
                Some(found) => {
                    prop_assert!(found.first.is_multiple_of(size) && fits(found.first));
                    prop_assert_eq!(found.last - found.first + 1, size);
                }
                None => {
                    let lowest = first.next_multiple_of(size);
                    let mut places = (lowest..first + bytes).step_by(size as usize).take(5000);
                    prop_assert!(!places.any(fits));
                }
            }
        }
    }
}
