//! Base address registers: where a function's registers are, and how many.

use super::offset::BAR0;

/// How many there are in an ordinary function's header.
pub const BAR_COUNT: u8 = 6;
/// How many there are in a bridge's header.
pub const BRIDGE_BAR_COUNT: u8 = 2;

/// Where a function's registers are to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarKind {
    /// In memory.
    Memory {
        /// Whether reading has no effect.
        is_prefetchable: bool,
        /// Whether it takes two registers.
        is_64_bit: bool,
    },
    /// In I/O ports.
    Ports,
}

/// One base address register, or two that make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Where.
    pub kind: BarKind,
    /// The address on the bus; 0: firmware gave it none.
    pub address: u64,
    /// How many bytes; a power of two, never 0.
    pub bytes: u64,
}

/// The offset of base address register `index`.
pub const fn bar_offset(index: u8) -> u16 {
    BAR0 + 4 * index as u16
}

/// What kind of register reads `value`, and the address it holds, without asking how long its range
/// is. `None`: what it says makes no sense.
pub const fn bar_base(value: u32, value_high: u32) -> Option<(BarKind, u64)> {
    if value & 1 == 1 {
        return Some((BarKind::Ports, (value & !0b11) as u64));
    }
    let is_prefetchable = value & 0b1000 != 0;
    let low = (value & !0xf) as u64;
    match value >> 1 & 0b11 {
        0b00 => Some((BarKind::Memory { is_prefetchable, is_64_bit: false }, low)),
        0b10 => {
            let address = (value_high as u64) << 32 | low;
            Some((BarKind::Memory { is_prefetchable, is_64_bit: true }, address))
        }
        _ => None,
    }
}

/// Decodes a register that read `value`, and `sizing` after all ones were written to it;
/// `value_high` and `sizing_high` are the next register's, 0 if it is the last one. `None`: there
/// are no registers, or what it says makes no sense.
pub fn bar(value: u32, sizing: u32, value_high: u32, sizing_high: u32) -> Option<Bar> {
    if sizing == 0 || (value == u32::MAX && sizing == u32::MAX) {
        return None;
    }
    let (kind, address) = bar_base(value, value_high)?;
    match kind {
        BarKind::Ports => {
            // Functions may leave the upper half of a port's address unimplemented (6.2.5.1).
            let mask = (sizing & !0b11) | if sizing >> 16 == 0 { 0xffff_0000 } else { 0 };
            sized(kind, address, u64::from(mask), 32)
        }
        BarKind::Memory { is_64_bit: false, .. } => {
            sized(kind, address, u64::from(sizing & !0xf), 32)
        }
        BarKind::Memory { is_64_bit: true, .. } => {
            let mask = u64::from(sizing_high) << 32 | u64::from(sizing & !0xf);
            sized(kind, address, mask, 64)
        }
    }
}

/// The size that `mask` says: ones from some bit up to the width.
fn sized(kind: BarKind, address: u64, mask: u64, width: u32) -> Option<Bar> {
    if mask == 0 {
        return None;
    }
    let bytes = 1u64.checked_shl(mask.trailing_zeros())?;
    let all = u64::MAX >> (64 - width);
    let expected = all & !(bytes - 1);
    if mask != expected || address & (bytes - 1) != 0 || address.checked_add(bytes).is_none() {
        return None;
    }
    Some(Bar { kind, address, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MEMORY_64: BarKind = BarKind::Memory { is_prefetchable: false, is_64_bit: true };

    #[test]
    fn registers_as_devices_have_them() {
        let nvme = bar(0x8000_0004, 0xffff_c004, 0xc0, u32::MAX).unwrap();
        assert_eq!(nvme, Bar { kind: MEMORY_64, address: 0xc0_8000_0000, bytes: 0x4000 });
        let small = bar(0xfebf_1008, 0xffff_f008, 0, 0).unwrap();
        assert_eq!((small.address, small.bytes), (0xfebf_1000, 4096));
        assert_eq!(small.kind, BarKind::Memory { is_prefetchable: true, is_64_bit: false });
        let ports = bar(0xc041, 0xffe1, 0, 0).unwrap();
        assert_eq!(ports, Bar { kind: BarKind::Ports, address: 0xc040, bytes: 32 });
        let huge = bar(0x4, 0x4, 0x10, 0xffff_fff0).unwrap();
        assert_eq!((huge.address, huge.bytes), (0x10_0000_0000, 1 << 36));
    }

    #[test]
    fn nonsense_is_none() {
        assert_eq!(bar(0, 0, 0, 0), None, "not there");
        assert_eq!(bar(u32::MAX, u32::MAX, u32::MAX, u32::MAX), None, "unplugged");
        assert_eq!(bar(0, 0xffff_0ff0, 0, 0), None, "holes in the mask");
        assert_eq!(bar(0x1000, 0xffff_0000, 0, 0), None, "not aligned to its size");
        assert_eq!(bar(0x6, 0xffff_f006, 0, 0), None, "reserved type");
    }

    proptest! {
        /// What comes out is a power of two, aligned, and does not wrap.
        #[test]
        fn what_is_decoded_is_sound(value: u32, shift in 0u32..33, high: u32, high_shift in 0u32..33) {
            let ones = |shift: u32| (u64::from(u32::MAX) << shift) as u32;
            let sizing = ones(shift) & !0xf | value & 0xf;
            if let Some(bar) = bar(value, sizing, high, ones(high_shift)) {
                prop_assert!(bar.bytes.is_power_of_two());
                prop_assert_eq!(bar.address % bar.bytes, 0);
                prop_assert!(bar.address.checked_add(bar.bytes).is_some());
            }
        }

        #[test]
        fn any_numbers(value: u32, sizing: u32, high: u32, sizing_high: u32) {
            let _ = bar(value, sizing, high, sizing_high);
        }
    }
}
