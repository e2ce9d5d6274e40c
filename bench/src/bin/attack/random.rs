//! `random seed=N`: random system calls, with all registers random, from several threads at once,
//! for as long as the process survives itself. Nothing is left out: it may end, kill itself, unmap
//! its code, wait for what never comes. Whoever started it restarts it with another seed.
//!
//! Purely random registers would never get past the first check, so an argument is often a handle
//! that exists, a pointer into memory of its own, or a number near a limit.

use core::sync::atomic::{AtomicU64, Ordering};

use bench::abi::{ANY_CORE, PAGE, Syscall, USER_END, USER_START};
use bench::attacks::{PROGRESS, PROGRESS_STEP, RANDOM};
use bench::runtime::capability::{Endpoint, Memory, Notification};
use bench::runtime::memory::Mapping;
use bench::runtime::{Env, ExitCode, calls, thread};

use crate::raw::Registers;

/// Pages of the memory that pointers lead to.
const ARENA: usize = 4 * PAGE;
/// One in so many calls of an ending kind is really made: else little else would be.
const ENDING: u64 = 100;

/// xorshift64*: small, seeded, and good enough to surprise a kernel.
pub struct Chance(u64);

impl Chance {
    /// From a seed; any will do.
    pub fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// 64 bits.
    pub fn word(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        (self.word() >> 16) % limit.max(1)
    }

    fn one_of(&mut self, words: &[u64]) -> u64 {
        let place = self.below(words.len() as u64) as usize;
        words.get(place).copied().unwrap_or(0)
    }
}

/// What arguments are made of.
#[derive(Clone)]
struct Material {
    handles: alloc::vec::Vec<u64>,
    arena: u64,
    signal: u64,
}

static MADE: AtomicU64 = AtomicU64::new(0);

/// Runs until something ends it.
pub fn run(name: &str, env: &mut Env) -> ExitCode {
    let seed = env.value("seed").and_then(|text| text.parse::<u64>().ok());
    let (RANDOM, Some(seed)) = (name, seed) else { return ExitCode(2) };
    let Ok(arena) = Mapping::new(ARENA) else { return ExitCode::FAILURE };
    let mut handles: alloc::vec::Vec<u64> =
        env.handles().map(|entry| u64::from(entry.handle)).collect();
    let made = [
        Endpoint::create().map(Endpoint::into_handle),
        Endpoint::create().map(Endpoint::into_handle),
        Notification::create().map(Notification::into_handle),
        Memory::create(ARENA).map(Memory::into_handle),
    ];
    handles.extend(made.into_iter().flatten().map(|handle| u64::from(handle.0)));
    let signal = env.handle(PROGRESS).map_or(0, |handle| u64::from(handle.0));
    let material = Material { handles, arena: arena.base() as u64, signal };
    for number in 1..4 {
        let material = material.clone();
        // One that can't be started is missed by nobody.
        let _ = thread::spawn(ANY_CORE, move || attack(seed ^ number << 32, &material));
    }
    attack(seed, &material);
    ExitCode::SUCCESS
}

fn attack(seed: u64, material: &Material) {
    let mut chance = Chance::seeded(seed);
    loop {
        let mut registers = Registers {
            rax: number(&mut chance),
            rbx: chance.word(),
            rcx: chance.word(),
            rdx: argument(&mut chance, material),
            rsi: argument(&mut chance, material),
            rdi: argument(&mut chance, material),
            rbp: chance.word(),
            r8: argument(&mut chance, material),
            r9: argument(&mut chance, material),
            r10: argument(&mut chance, material),
            r11: chance.word(),
            r12: chance.word(),
            r13: chance.word(),
            r14: argument(&mut chance, material),
            r15: argument(&mut chance, material),
        };
        if registers.rax == Syscall::SleepUntil as u64 && chance.below(4) != 0 {
            registers.rdi = chance.below(1 << 20);
        }
        let _ = registers.call();
        if MADE.fetch_add(1, Ordering::Relaxed) % PROGRESS_STEP == PROGRESS_STEP - 1 {
            let step = MADE.load(Ordering::Relaxed) / PROGRESS_STEP;
            let signal = bench::abi::Handle(material.signal as u32);
            let _ = calls::notification_signal(signal, 1 << (step % 64));
        }
    }
}

fn number(chance: &mut Chance) -> u64 {
    if chance.below(16) == 0 {
        return chance.word() >> chance.below(64);
    }
    let number = chance.below(Syscall::COUNT as u64);
    let ending = [Syscall::ThreadExit as u64, Syscall::ProcessExit as u64];
    if ending.contains(&number) && chance.below(ENDING) != 0 {
        return Syscall::Null as u64;
    }
    number
}

fn argument(chance: &mut Chance, material: &Material) -> u64 {
    match chance.below(12) {
        0 => chance.word(),
        1 => chance.word() >> chance.below(64),
        2 => chance.below(64),
        3 => chance.below(16) * PAGE as u64,
        4..7 => {
            let handle = chance.one_of(&material.handles);
            if chance.below(2) == 0 {
                handle
            } else {
                handle | chance.one_of(&material.handles) << 32
            }
        }
        7 => chance.below(5) << 32 | chance.below(4),
        8..11 => {
            let inside = material.arena + chance.below(ARENA as u64 + 64);
            if chance.below(2) == 0 { inside } else { inside & !(PAGE as u64 - 1) }
        }
        _ => chance.one_of(&[
            0,
            1,
            USER_START,
            USER_END - 1,
            USER_END,
            0x40_0000,
            0x40_1000,
            1 << 31,
            1 << 32,
            1 << 47,
            1 << 63,
            0xffff_8000_0000_0000,
            0xffff_ffff_8000_0000,
            u64::MAX,
        ]),
    }
}
