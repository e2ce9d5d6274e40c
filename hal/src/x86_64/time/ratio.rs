//! Multiplying by a fraction without dividing: how ticks become nanoseconds and back.

/// A fraction as `multiplier / 2^shift`, the multiplier using all of its 64 bits, so that the
/// error is below one part in 2^62 and conversions cost one multiplication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ratio {
    multiplier: u64,
    shift: u32,
}

impl Ratio {
    /// `numerator / denominator`. `None` if either is zero, the numerator exceeds 40 bits, or the
    /// quotient is 2^40 or more.
    pub const fn new(numerator: u64, denominator: u64) -> Option<Self> {
        if numerator == 0 || numerator >> 40 != 0 || denominator == 0 {
            return None;
        }
        let mut shift = 87;
        while shift >= 24 {
            let multiplier = ((numerator as u128) << shift) / denominator as u128;
            if multiplier >> 64 == 0 {
                return Some(Self { multiplier: multiplier as u64, shift });
            }
            shift -= 1;
        }
        None
    }

    /// `value` times the fraction, rounded down; the highest `u64` if it does not fit.
    #[inline]
    pub const fn floor(self, value: u64) -> u64 {
        saturate((value as u128 * self.multiplier as u128) >> self.shift)
    }

    /// `value` times the fraction, rounded up; the highest `u64` if it does not fit.
    #[inline]
    pub const fn ceil(self, value: u64) -> u64 {
        let product = value as u128 * self.multiplier as u128;
        saturate(product.saturating_add((1 << self.shift) - 1) >> self.shift)
    }
}

#[inline]
const fn saturate(value: u128) -> u64 {
    if value >> 64 == 0 { value as u64 } else { u64::MAX }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_fractions() {
        let same = Ratio::new(1_000_000_000, 1_000_000_000).unwrap();
        assert_eq!(same.floor(0), 0);
        assert_eq!(same.floor(u64::MAX), u64::MAX);
        assert_eq!(same.ceil(12_345), 12_345);
        let half = Ratio::new(1, 2).unwrap();
        assert_eq!((half.floor(7), half.ceil(7)), (3, 4));
    }

    #[test]
    fn a_year_is_right_to_the_microsecond() {
        for hz in [1_000_000u64, 999_999_937, 2_419_200_000, 5_700_000_001] {
            let to_ns = Ratio::new(1_000_000_000, hz).unwrap();
            let ticks = hz * 86_400 * 365;
            let ns = to_ns.floor(ticks);
            assert!(ns.abs_diff(86_400 * 365 * 1_000_000_000) < 1_000, "{hz}: {ns}");
        }
    }

    #[test]
    fn agrees_with_division() {
        let mut seed = 1u64;
        for _ in 0..100_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            let hz = 1_000_000 + seed % 6_000_000_000;
            let value = seed.rotate_left(17) >> (seed % 40);
            let ratio = Ratio::new(1_000_000_000, hz).unwrap();
            let exact = u128::from(value) * 1_000_000_000 / u128::from(hz);
            let exact = u64::try_from(exact).unwrap_or(u64::MAX);
            let got = ratio.floor(value);
            assert!(got <= exact && exact - got <= 1 + (exact >> 60), "{value}/{hz}");
            assert!(ratio.ceil(value) >= got);
        }
    }

    #[test]
    fn refuses_what_it_cannot_hold() {
        assert_eq!(Ratio::new(0, 1), None);
        assert_eq!(Ratio::new(1, 0), None);
        assert_eq!(Ratio::new(1 << 40, 1), None);
        assert!(Ratio::new((1 << 40) - 1, 1).is_some());
        assert!(Ratio::new(1, u64::MAX).is_some());
    }
}
