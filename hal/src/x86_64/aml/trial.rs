//! Firmware's code at its worst, for tests: what runs in its place misbehaves, and the kernel has to
//! go on.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hint::black_box;

use super::guard;

/// How it misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum Misbehaviour {
    Panics,
    OverflowsItsStack,
    ReadsNowhere,
    AsksForTooMuchAtOnce,
    LoopsForEver,
    EatsTheHeap,
}

impl Misbehaviour {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Panics,
        Self::OverflowsItsStack,
        Self::ReadsNowhere,
        Self::AsksForTooMuchAtOnce,
        Self::LoopsForEver,
        Self::EatsTheHeap,
    ];

    /// Whether the kernel got away from it. It may take seconds, and memory for good.
    pub fn is_survived(self) -> bool {
        guard::run(move || self.misbehave()).is_err()
    }

    fn misbehave(self) {
        match self {
            Self::Panics => panic!("a test of what is made of this"),
            Self::OverflowsItsStack => drop(deep(0)),
            // SAFETY: nothing is mapped there; the fault is what is wanted.
            Self::ReadsNowhere => unsafe {
                black_box(black_box(8 as *const u8).read_volatile());
            },
            Self::AsksForTooMuchAtOnce => drop(black_box(Vec::<u8>::with_capacity(1 << 46))),
            Self::LoopsForEver => loop {
                core::hint::spin_loop();
            },
            Self::EatsTheHeap => {
                let mut eaten = Vec::new();
                loop {
                    eaten.push(black_box(Box::new([0u8; 1024])));
                }
            }
        }
    }
}

#[allow(unconditional_recursion, reason = "what is wanted")]
fn deep(depth: u64) -> Box<[u64; 64]> {
    let here = black_box([depth; 64]);
    let mut below = deep(depth + 1);
    below[0] ^= here[0];
    below
}
