//! Process-context identifiers 1 to 4095; 0 is the kernel's, and shared when there is none left.

use core::sync::atomic::{AtomicU64, Ordering};

static TAKEN: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];

/// One that is free; zero if none is.
pub fn take() -> u16 {
    for (index, word) in TAKEN.iter().enumerate() {
        let reserved = u64::from(index == 0);
        loop {
            let taken = word.load(Ordering::Relaxed);
            let bit = (taken | reserved).trailing_ones();
            if bit == 64 {
                break;
            }
            if word.fetch_or(1 << bit, Ordering::Relaxed) >> bit & 1 == 0 {
                return (index * 64) as u16 + bit as u16;
            }
        }
    }
    0
}

/// Gives it back.
pub fn give(pcid: u16) {
    if pcid != 0 {
        TAKEN[usize::from(pcid / 64)].fetch_and(!(1 << (pcid % 64)), Ordering::Relaxed);
    }
}
