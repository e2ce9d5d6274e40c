//! Floating-point and vector registers: nobody sees another's, and new ones start clean.
//!
//! This program is compiled without floating point, so between two pieces of assembly nobody but
//! the kernel touches these registers.

use core::arch::asm;

use alloc::vec::Vec;

use bench::abi::ExitStatus;
use bench::attacks::ATTACK_IMAGE;
use bench::runtime::capability::Image;
use bench::runtime::process::Command;
use bench::runtime::{Env, calls, clock, thread};

use crate::checks::Checks;

/// Sixteen registers of up to 32 bytes, then MXCSR and the x87 control word.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    vectors: [[u64; 4]; 16],
    mxcsr: u32,
    control: u32,
}

impl State {
    const ZERO: Self = Self { vectors: [[0; 4]; 16], mxcsr: 0, control: 0 };
    /// As the architecture's reset and the psABI say a program starts.
    const INITIAL: Self = Self { mxcsr: 0x1f80, control: 0x37f, ..Self::ZERO };

    /// A state that only `owner` has, with rounding modes of its own too.
    fn of(owner: u64) -> Self {
        let mut state = Self::ZERO;
        let lanes = if has_avx() { 4 } else { 2 };
        for (register, vector) in state.vectors.iter_mut().enumerate() {
            for (lane, word) in vector[..lanes].iter_mut().enumerate() {
                *word = owner << 48 | (register as u64) << 8 | lane as u64 | 1;
            }
        }
        state.mxcsr = 0x1f80 | (owner as u32 % 4) << 13;
        state.control = 0x37f & !0xc00 | (owner as u32 % 4) << 10;
        state
    }

    fn load(&self) {
        // SAFETY: changes only registers that compiled code of this target never uses.
        unsafe {
            if has_avx() {
                asm!(
                    "vmovdqu ymm0, [{0}]", "vmovdqu ymm1, [{0} + 32]",
                    "vmovdqu ymm2, [{0} + 64]", "vmovdqu ymm3, [{0} + 96]",
                    "vmovdqu ymm4, [{0} + 128]", "vmovdqu ymm5, [{0} + 160]",
                    "vmovdqu ymm6, [{0} + 192]", "vmovdqu ymm7, [{0} + 224]",
                    "vmovdqu ymm8, [{0} + 256]", "vmovdqu ymm9, [{0} + 288]",
                    "vmovdqu ymm10, [{0} + 320]", "vmovdqu ymm11, [{0} + 352]",
                    "vmovdqu ymm12, [{0} + 384]", "vmovdqu ymm13, [{0} + 416]",
                    "vmovdqu ymm14, [{0} + 448]", "vmovdqu ymm15, [{0} + 480]",
                    "ldmxcsr [{0} + 512]", "fldcw [{0} + 516]",
                    in(reg) self,
                );
            } else {
                asm!(
                    "movdqu xmm0, [{0}]", "movdqu xmm1, [{0} + 32]",
                    "movdqu xmm2, [{0} + 64]", "movdqu xmm3, [{0} + 96]",
                    "movdqu xmm4, [{0} + 128]", "movdqu xmm5, [{0} + 160]",
                    "movdqu xmm6, [{0} + 192]", "movdqu xmm7, [{0} + 224]",
                    "movdqu xmm8, [{0} + 256]", "movdqu xmm9, [{0} + 288]",
                    "movdqu xmm10, [{0} + 320]", "movdqu xmm11, [{0} + 352]",
                    "movdqu xmm12, [{0} + 384]", "movdqu xmm13, [{0} + 416]",
                    "movdqu xmm14, [{0} + 448]", "movdqu xmm15, [{0} + 480]",
                    "ldmxcsr [{0} + 512]", "fldcw [{0} + 516]",
                    in(reg) self,
                );
            }
        }
    }

    fn store() -> Self {
        let mut state = Self::ZERO;
        // SAFETY: writes into `state`, as many bytes as it has.
        unsafe {
            if has_avx() {
                asm!(
                    "vmovdqu [{0}], ymm0", "vmovdqu [{0} + 32], ymm1",
                    "vmovdqu [{0} + 64], ymm2", "vmovdqu [{0} + 96], ymm3",
                    "vmovdqu [{0} + 128], ymm4", "vmovdqu [{0} + 160], ymm5",
                    "vmovdqu [{0} + 192], ymm6", "vmovdqu [{0} + 224], ymm7",
                    "vmovdqu [{0} + 256], ymm8", "vmovdqu [{0} + 288], ymm9",
                    "vmovdqu [{0} + 320], ymm10", "vmovdqu [{0} + 352], ymm11",
                    "vmovdqu [{0} + 384], ymm12", "vmovdqu [{0} + 416], ymm13",
                    "vmovdqu [{0} + 448], ymm14", "vmovdqu [{0} + 480], ymm15",
                    "stmxcsr [{0} + 512]", "fnstcw [{0} + 516]",
                    in(reg) &raw mut state,
                );
            } else {
                asm!(
                    "movdqu [{0}], xmm0", "movdqu [{0} + 32], xmm1",
                    "movdqu [{0} + 64], xmm2", "movdqu [{0} + 96], xmm3",
                    "movdqu [{0} + 128], xmm4", "movdqu [{0} + 160], xmm5",
                    "movdqu [{0} + 192], xmm6", "movdqu [{0} + 224], xmm7",
                    "movdqu [{0} + 256], xmm8", "movdqu [{0} + 288], xmm9",
                    "movdqu [{0} + 320], xmm10", "movdqu [{0} + 352], xmm11",
                    "movdqu [{0} + 384], xmm12", "movdqu [{0} + 416], xmm13",
                    "movdqu [{0} + 448], xmm14", "movdqu [{0} + 480], xmm15",
                    "stmxcsr [{0} + 512]", "fnstcw [{0} + 516]",
                    in(reg) &raw mut state,
                );
            }
        }
        state
    }
}

/// Whether the CPU has AVX and the kernel saves its state.
fn has_avx() -> bool {
    #[allow(unused_unsafe)] // safe in newer core
    // SAFETY: CPUID exists on every x86_64 processor.
    let features = unsafe { core::arch::x86_64::__cpuid(1) }.ecx;
    // OSXSAVE and AVX.
    if features & (1 << 27 | 1 << 28) != (1 << 27 | 1 << 28) {
        return false;
    }
    let enabled: u32;
    // SAFETY: OSXSAVE says that the instruction exists in ring 3.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") enabled, out("edx") _) };
    enabled & 6 == 6
}

/// Makes one of them.
pub fn run(attack: &str, env: &mut Env) -> Option<Checks> {
    let mut checks = Checks::new();
    match attack {
        // The runtime touches none of these registers, so they are still as the kernel set them.
        "fresh_process" => checks.holds("initial", State::store() == State::INITIAL),
        "fresh_thread" => {
            State::of(9).load();
            let seen = thread::spawn(0, State::store).and_then(thread::JoinHandle::join);
            checks.holds(seen, seen == Ok(State::INITIAL));
            checks.holds("mine is kept", State::store() == State::of(9));
        }
        "threads_apart" => threads_apart(&mut checks),
        "processes_apart" => processes_apart(&mut checks, env),
        "hold" => hold(&mut checks, env.value("owner").and_then(|text| text.parse().ok())?),
        _ => return None,
    }
    Some(checks)
}

/// Keeps a state of its own for a while, over system calls, switches and preemption.
fn hold(checks: &mut Checks, owner: u64) {
    State::of(owner).load();
    let until = clock::ticks() + clock::ticks_in(150_000_000);
    let mut rounds = 0u64;
    while clock::ticks() < until {
        rounds += 1;
        let kind = rounds % 3;
        match kind {
            0 => drop(calls::yield_now()),
            1 => drop(calls::null()),
            _ => (0..20_000).for_each(|_| core::hint::spin_loop()),
        }
        let seen = State::store();
        if seen != State::of(owner) {
            checks.holds((owner, rounds, kind, seen), false);
            return;
        }
    }
    checks.holds((owner, "ran"), rounds > 0);
}

fn threads_apart(checks: &mut Checks) {
    let held = |owner| {
        move || {
            let mut checks = Checks::new();
            hold(&mut checks, owner);
            checks.verdict().0
        }
    };
    let threads: Vec<_> = (1..=4).map(|owner| thread::spawn(0, held(owner))).collect();
    for thread in threads {
        let ended = thread.and_then(thread::JoinHandle::join);
        checks.holds(ended, ended == Ok(0));
    }
}

fn processes_apart(checks: &mut Checks, env: &mut Env) {
    let Some(image) = env.take(ATTACK_IMAGE).map(Image::from_handle) else { return };
    let start = |owner| Command::new(&image, "attack").core(0).arg("fpu.hold").arg(owner).spawn();
    let children = ["owner=1", "owner=2", "owner=3"].map(start);
    for child in children {
        let ended = child.and_then(|child| child.wait());
        checks.holds(ended, ended == Ok(ExitStatus::Exited(0)));
    }
}
