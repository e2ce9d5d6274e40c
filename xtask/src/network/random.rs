//! Random numbers that are the same for the same seed (SplitMix64), so that what failed can be done
//! again.

/// A generator.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number below `end`, which is not zero.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Whether something happens that does so `in_10_000` times out of ten thousand.
    pub fn happens(&mut self, in_10_000: u32) -> bool {
        self.below(10_000) < u64::from(in_10_000)
    }

    /// One of `choices`, which are not none.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        for piece in bytes.chunks_mut(8) {
            piece.copy_from_slice(&self.next().to_le_bytes()[..piece.len()]);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_repeat_themselves() {
        let numbers = |seed| {
            let mut random = Random::new(seed);
            (0..5).map(|_| random.next()).collect::<Vec<_>>()
        };
        assert_eq!(numbers(1), numbers(1));
        assert_ne!(numbers(1), numbers(2));
    }

    #[test]
    fn what_is_likely_happens_about_as_often() {
        let mut random = Random::new(3);
        let count = (0..100_000).filter(|_| random.happens(2_500)).count();
        assert!((24_000..26_000).contains(&count), "{count}");
        assert!(!random.happens(0) && random.happens(10_000));
        assert_eq!(random.bytes(13).len(), 13);
    }
}
