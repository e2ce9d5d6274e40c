//! Millions of inputs for everything that reads what a disk says: none may panic.

use super::identify::tests::disk;
use super::{Identity, QueueError, SECTOR_BYTES, SmartData, ranges};

/// Inputs for each parser.
const INPUTS: u32 = 1_000_000;

/// A stream of numbers that looks random (xorshift).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Starts from something sensible, changes a few bytes each time, and starts over now and then.
#[test]
fn no_sector_makes_a_parser_panic() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut sector = disk();
    let mut accepted = 0u32;
    for round in 0..INPUTS {
        if round % 64 == 0 {
            sector = disk();
        }
        for _ in 0..=numbers.next() % 4 {
            let number = numbers.next();
            sector[number as usize % SECTOR_BYTES] = (number >> 32) as u8;
        }
        // Half of them get past the checksums.
        if numbers.next() & 1 == 0 {
            let sum = sector.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
            sector[511] = sector[511].wrapping_sub(sum);
        }
        accepted += u32::from(Identity::new_checked(&sector).is_ok());
        let _ = QueueError::new_checked(&sector);
        let _ = SmartData::new_checked(&sector);
        let length = numbers.next() as usize % SECTOR_BYTES;
        let _ = Identity::new_checked(&sector[..length]);
        let _ = ranges(&sector[..length.min(64)]).count();
    }
    assert!(accepted > INPUTS / 50, "too few sensible inputs: {accepted}");
}
