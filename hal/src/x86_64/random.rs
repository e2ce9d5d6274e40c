//! Unpredictable numbers: a ChaCha20 generator on each core, seeded by the CPU.
//!
//! The CPU's `rdseed` and `rdrand` are never handed out raw: they are mixed with timing into the
//! generator's key, so that a poor one makes nothing worse. Each batch of output begins with the
//! key for the next, and what is given out is wiped (nothing in memory tells what was given out
//! before); every 64 KiB the CPU is asked for more. Where it has neither instruction the key comes
//! from timing jitter alone, and [`quality`] and the log say so.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU8, Ordering};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::cpu::{self, Features};
use super::time::clock;
use super::{MAX_CORES, interrupts, percpu};

/// How good the seed is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quality {
    /// From the CPU's random number generator.
    Hardware,
    /// From timing alone: the CPU has no generator, or it fails. Not for keys.
    TimingOnly,
}

/// Output after which the CPU is asked for more.
const RESEED_BYTES: usize = 64 * 1024;
/// `rdseed` may run dry for a while under load; `rdrand` does not (Intel DRNG guide, 5.2).
const RDSEED_TRIES: u32 = 256;
const RDRAND_TRIES: u32 = 16;

/// Output made at a time. Small requests are served from it.
const BATCH_BYTES: usize = 256;

struct Generator {
    /// For the next batch.
    key: [u8; 32],
    /// Output not given out yet, at the end; zeroes before it.
    batch: [u8; BATCH_BYTES],
    unused: usize,
    /// Bytes until the CPU is asked again.
    until_reseed: usize,
}

struct Generators([UnsafeCell<Option<Generator>>; MAX_CORES]);

// SAFETY: element `n` is touched only by core `n`, with interrupts off, and never from an NMI.
unsafe impl Sync for Generators {}

static GENERATORS: Generators = Generators([const { UnsafeCell::new(None) }; MAX_CORES]);

/// 0: nothing asked yet; 1: hardware; 2: timing only on some core.
static QUALITY: AtomicU8 = AtomicU8::new(0);

/// Fills `bytes`. Not in NMI or machine check handlers.
pub fn fill(bytes: &mut [u8]) {
    interrupts::without(|| {
        let core = usize::from(percpu::this().core());
        // SAFETY: this core's own, interrupts off; nothing in here calls back.
        let slot = unsafe { &mut *GENERATORS.0[core].get() };
        let generator = slot.get_or_insert_with(|| Generator::seeded([0; 32]));
        if bytes.len() <= BATCH_BYTES / 2 {
            generator.fill_small(bytes);
        } else {
            bytes.chunks_mut(RESEED_BYTES).for_each(|part| generator.fill_large(part));
        }
    });
}

/// 64 unpredictable bits.
pub fn next_u64() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// How well the generators are seeded: the worst of all cores that were asked so far.
pub fn quality() -> Quality {
    if QUALITY.load(Ordering::Relaxed) == 0 {
        next_u64();
    }
    match QUALITY.load(Ordering::Relaxed) {
        1 => Quality::Hardware,
        _ => Quality::TimingOnly,
    }
}

impl Generator {
    /// A generator keyed by `key` (what the last one left), the CPU's generator and timing.
    fn seeded(mut key: [u8; 32]) -> Self {
        let mut quality = Quality::Hardware;
        for word in key.chunks_exact_mut(8) {
            match hardware_word() {
                Some(random) => mix(word, random),
                None => quality = Quality::TimingOnly,
            }
        }
        // Timing goes through the cipher, block by block, so that it cannot cancel out what is
        // there.
        let rounds = if quality == Quality::Hardware { 2 } else { 64 };
        for _ in 0..rounds {
            for word in key.chunks_exact_mut(8) {
                mix(word, jitter());
            }
            ChaCha20Rng::from_seed(key).fill_bytes(&mut key);
        }
        note(quality);
        Self { key, batch: [0; BATCH_BYTES], unused: 0, until_reseed: RESEED_BYTES }
    }

    /// At most half a batch.
    fn fill_small(&mut self, bytes: &mut [u8]) {
        if self.unused < bytes.len() {
            let mut batch = [0; BATCH_BYTES];
            self.fill_large(&mut batch);
            self.batch = batch;
            self.unused = BATCH_BYTES;
        }
        let start = BATCH_BYTES - self.unused;
        let given = &mut self.batch[start..start + bytes.len()];
        bytes.copy_from_slice(given);
        given.fill(0);
        self.unused -= bytes.len();
    }

    /// At most [`RESEED_BYTES`], straight from the cipher.
    fn fill_large(&mut self, bytes: &mut [u8]) {
        if self.until_reseed < bytes.len() {
            *self = Self::seeded(self.key);
        }
        self.until_reseed -= bytes.len();
        let mut rng = ChaCha20Rng::from_seed(self.key);
        rng.fill_bytes(&mut self.key);
        rng.fill_bytes(bytes);
    }
}

fn mix(word: &mut [u8], value: u64) {
    for (byte, fresh) in word.iter_mut().zip(value.to_le_bytes()) {
        *byte ^= fresh;
    }
}

fn note(quality: Quality) {
    let level = match quality {
        Quality::Hardware => 1,
        Quality::TimingOnly => 2,
    };
    let before = QUALITY.fetch_max(level, Ordering::Relaxed);
    if level == 2 && before != 2 {
        log::warn!(
            "random: the CPU's random number generator is missing or fails; numbers come from \
             timing alone and must not be used for keys"
        );
    }
}

/// From `rdseed`, else `rdrand`. `None`: neither is there, or they fail.
fn hardware_word() -> Option<u64> {
    let cpu = cpu::features();
    let seed = cpu.has(Features::RDSEED).then(|| retry(RDSEED_TRIES, rdseed)).flatten();
    let word = seed.or_else(|| cpu.has(Features::RDRAND).then(|| retry(RDRAND_TRIES, rdrand))?);
    // Some CPUs return all ones, "successfully", when broken (AMD erratum after resume).
    word.filter(|word| *word != u64::MAX && *word != 0)
}

fn retry(tries: u32, instruction: fn() -> Option<u64>) -> Option<u64> {
    (0..tries).find_map(|_| {
        instruction().or_else(|| {
            core::hint::spin_loop();
            None
        })
    })
}

fn rdseed() -> Option<u64> {
    let (value, good): (u64, u8);
    // SAFETY: only called where CPUID has it.
    unsafe {
        asm!("rdseed {}", "setc {}", out(reg) value, out(reg_byte) good, options(nomem, nostack));
    };
    (good != 0).then_some(value)
}

fn rdrand() -> Option<u64> {
    let (value, good): (u64, u8);
    // SAFETY: only called where CPUID has it.
    unsafe {
        asm!("rdrand {}", "setc {}", out(reg) value, out(reg_byte) good, options(nomem, nostack));
    };
    (good != 0).then_some(value)
}

/// A word whose low bits depend on how long memory and the serialising CPUID take right now.
fn jitter() -> u64 {
    (0..16).fold(0u64, |sum, n| {
        let from = clock::now();
        core::hint::black_box(cpu::cpuid(0));
        sum.rotate_left(5) ^ clock::now().wrapping_sub(from) ^ from.wrapping_mul(n | 1)
    })
}
