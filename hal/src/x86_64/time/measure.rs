//! Asking CPUID, and timing the TSC against the HPET and the PIT.
//!
//! A reading of another counter is taken between two readings of the TSC, several times, and the
//! tightest pair counts, so that an interruption (by firmware, or by a hypervisor's scheduler)
//! spoils one try only.

use thiserror_no_std::Error;

use super::calibration::{self, Rate, Source, Verdict, difference_ppm};
use super::{clock, timer};
use crate::x86_64::apic::{self, TimerMode};
use crate::x86_64::cpu::{self, Features};
use crate::x86_64::port;

/// Why the machine has no usable time. Fatal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TimeError {
    /// Neither CPUID nor HPET nor PIT tells how fast the TSC runs.
    #[error("nothing tells how fast this CPU's clock runs (no CPUID 15h, HPET or PIT)")]
    NoRate,
    /// The APIC's counter stands still and there is no TSC deadline.
    #[error("the local APIC's timer does not count: hardware fault")]
    NoTimer,
}

const PIT_HZ: u64 = 1_193_182;
const FEMTOSECONDS_PER_SECOND: u128 = 1_000_000_000_000_000;
/// Each measurement's length.
const WINDOW_MS: u64 = 10;
/// Readings of a counter before it is taken to stand still. At 100 ns and more for each, that is
/// beyond any window.
const READINGS: u32 = 4_000_000;

/// A counter to time the TSC against.
trait Counter {
    /// The count now.
    fn read(&self) -> u64;
    /// How far it went between two readings less than one turn apart.
    fn elapsed(&self, from: u64, to: u64) -> u64;
    /// Counts for `ms` milliseconds.
    fn counts(&self, ms: u64) -> u64;
    /// `hz` of something that made `ticks` while this made `counts`.
    fn rate(&self, ticks: u64, counts: u64) -> u64;
}

struct Hpet {
    registers: *const u64,
    period_fs: u64,
    mask: u64,
}

struct Pit;

/// Finds out how fast the TSC and the APIC's timer run, and readies this core's timer. `hpet` is
/// where the HPET's registers are mapped, uncached, if there is one.
///
/// # Errors
/// There is no time to be had: fatal.
///
/// # Safety
/// Called once, on the boot core, with interrupts off, after `apic::init`; `hpet` is as said.
pub unsafe fn init(hpet: Option<*mut u64>) -> Result<Verdict, TimeError> {
    // SAFETY: passed on.
    let hpet = hpet.and_then(|registers| unsafe { Hpet::start(registers) });
    let mut rates = [Rate { source: Source::Advertised, hz: 0 }; 5];
    rates[0] = Rate { source: Source::Crystal, hz: crystal_hz() };
    rates[1] = Rate { source: Source::Hypervisor, hz: hypervisor_hz() };
    rates[2].hz = u64::from(cpu::cpuid(0x16).eax & 0xffff) * 1_000_000;

    apic::timer_start_silent();
    let apic_count = || u64::from(apic::timer_remaining());
    let (start, apic_from) = sample(apic_count);
    for attempt in 1..=3 {
        let window = WINDOW_MS * attempt;
        let by_hpet = hpet.as_ref().map_or(0, |hpet| measure(hpet, window));
        let pit = Pit::start();
        let by_pit = measure(&pit, window.min(40));
        rates[3] = Rate { source: Source::Hpet, hz: by_hpet };
        rates[4] = Rate { source: Source::Pit, hz: by_pit };
        let comparable = by_hpet != 0 && by_pit != 0;
        if !comparable || difference_ppm(by_hpet, by_pit) <= calibration::TOLERANCE_PPM {
            break;
        }
    }
    let verdict = calibration::decide(&rates).ok_or(TimeError::NoRate)?;
    clock::set_rate(verdict.rate.hz).ok_or(TimeError::NoRate)?;
    // The APIC's counter ran all the while. If nothing was measured, give it a window of its own.
    let window_end = start + clock::us_to_ticks(WINDOW_MS * 1_000);
    clock::spin_until(WINDOW_MS * 1_000, || clock::now() >= window_end);
    let (end, apic_to) = sample(apic_count);
    let spent = end.saturating_sub(start).max(1);
    let counted = u64::from((apic_from as u32).wrapping_sub(apic_to as u32));
    let apic_hz = (u128::from(counted) * u128::from(verdict.rate.hz) / u128::from(spent)) as u64;
    let mode = timer::choose((counted > 0).then_some(apic_hz)).ok_or(TimeError::NoTimer)?;
    timer::init_this_core();
    report(&verdict, apic_hz, mode);
    Ok(verdict)
}

/// The TSC's rate once more, by the PIT over `ms` (at most 40): for tests. `None`: there is no PIT.
/// One user at a time: the counter is shared.
pub fn by_pit(ms: u64) -> Option<u64> {
    Some(measure(&Pit::start(), ms.min(40))).filter(|hz| *hz != 0)
}

fn report(verdict: &Verdict, apic_hz: u64, mode: TimerMode) {
    let Rate { source, hz } = verdict.rate;
    log::info!(
        "time: TSC at {}.{:06} MHz by {source}; timer: {} at {} kHz",
        hz / 1_000_000,
        hz % 1_000_000,
        match mode {
            TimerMode::OneShot => "APIC one-shot",
            TimerMode::TscDeadline => "TSC deadline",
        },
        apic_hz / 1_000,
    );
    match verdict.dissent {
        Some((rate, ppm)) if verdict.is_contradicted() => log::warn!(
            "time: {} says {} Hz, {ppm} ppm off: clocks may be wrong by as much",
            rate.source,
            rate.hz
        ),
        Some((rate, ppm)) => log::debug!("time: {} agrees within {ppm} ppm", rate.source),
        None => log::warn!("time: no second source confirms the TSC's rate"),
    }
    if !cpu::features().has(Features::INVARIANT_TSC) {
        log::warn!("time: the CPU does not promise an invariant TSC: clocks may drift in idle");
    }
}

/// CPUID 15h: TSC = crystal * EBX / EAX; 0 where a part is missing.
fn crystal_hz() -> u64 {
    let leaf = cpu::cpuid(0x15);
    if leaf.eax == 0 || leaf.ebx == 0 {
        return 0;
    }
    u64::from(leaf.ecx) * u64::from(leaf.ebx) / u64::from(leaf.eax)
}

/// The timing leaf that VMware, KVM and QEMU give their guests: kHz in EAX.
fn hypervisor_hz() -> u64 {
    const FIRST: u32 = 0x4000_0000;
    const TIMING: u32 = 0x4000_0010;
    if !cpu::features().has(Features::HYPERVISOR) || cpu::cpuid(FIRST).eax < TIMING {
        return 0;
    }
    u64::from(cpu::cpuid(TIMING).eax) * 1_000
}

/// The TSC and a count at that moment: of eight readings the one that took least, since a virtual
/// CPU may lose the host between the two.
fn sample(read: impl Fn() -> u64) -> (u64, u64) {
    let mut best = (u64::MAX, 0, 0);
    for _ in 0..8 {
        let before = clock::now();
        let count = read();
        let spent = clock::now().saturating_sub(before);
        if spent < best.0 {
            best = (spent, before + spent / 2, count);
        }
    }
    (best.1, best.2)
}

/// The TSC's rate over a window of `ms`; 0 if the counter stands still.
fn measure(counter: &impl Counter, ms: u64) -> u64 {
    let (tsc_from, from) = sample(|| counter.read());
    let window = counter.counts(ms);
    let passed = (0..READINGS).any(|_| counter.elapsed(from, counter.read()) >= window);
    if !passed {
        return 0;
    }
    let (tsc_to, to) = sample(|| counter.read());
    counter.rate(tsc_to.saturating_sub(tsc_from), counter.elapsed(from, to))
}

impl Hpet {
    const CAPABILITIES: usize = 0;
    const CONFIGURATION: usize = 2;
    const MAIN_COUNTER: usize = 30;

    /// # Safety
    /// `registers` is an HPET's page.
    unsafe fn start(registers: *mut u64) -> Option<Self> {
        // SAFETY: the caller's word. Bit 0 lets the counter run.
        let capabilities = unsafe {
            let configuration = registers.add(Self::CONFIGURATION);
            configuration.write_volatile(configuration.read_volatile() | 1);
            registers.add(Self::CAPABILITIES).read_volatile()
        };
        let period_fs = capabilities >> 32;
        // At most 100 ns (IA-PC HPET 1.0a, 2.3.4); zero or all ones: nobody there.
        if !(1..=100_000_000).contains(&period_fs) {
            log::warn!("time: the HPET has an impossible period: not used");
            return None;
        }
        // Bit 13: the counter has 64 bits, else 32.
        let mask = if capabilities >> 13 & 1 != 0 { u64::MAX } else { u64::from(u32::MAX) };
        Some(Self { registers, period_fs, mask })
    }
}

impl Counter for Hpet {
    fn read(&self) -> u64 {
        // SAFETY: `start` was given the page.
        unsafe { self.registers.add(Self::MAIN_COUNTER).read_volatile() & self.mask }
    }

    fn elapsed(&self, from: u64, to: u64) -> u64 {
        to.wrapping_sub(from) & self.mask
    }

    fn counts(&self, ms: u64) -> u64 {
        ms * 1_000_000_000_000 / self.period_fs
    }

    fn rate(&self, ticks: u64, counts: u64) -> u64 {
        let femtoseconds = u128::from(counts.max(1)) * u128::from(self.period_fs);
        (u128::from(ticks) * FEMTOSECONDS_PER_SECOND / femtoseconds) as u64
    }
}

impl Pit {
    const CHANNEL_2: u16 = 0x42;
    const COMMAND: u16 = 0x43;
    const GATE: u16 = 0x61;

    /// Sets channel 2 (the speaker's, silent) counting down once from the top: 55 ms.
    fn start() -> Self {
        // SAFETY: channel 2 is nobody else's here; the gate's other bits stay.
        unsafe {
            let gate = port::read8(Self::GATE) & !0b11;
            port::write8(Self::GATE, gate);
            port::write8(Self::COMMAND, 0b1011_0000); // channel 2, both bytes, mode 0
            port::write8(Self::CHANNEL_2, 0xff);
            port::write8(Self::CHANNEL_2, 0xff);
            port::write8(Self::GATE, gate | 1);
        }
        Self
    }
}

impl Counter for Pit {
    fn read(&self) -> u64 {
        // SAFETY: as in `start`. The latch command freezes the count until it is read.
        let count = unsafe {
            port::write8(Self::COMMAND, 0b1000_0000);
            u16::from_le_bytes([port::read8(Self::CHANNEL_2), port::read8(Self::CHANNEL_2)])
        };
        u64::from(count)
    }

    fn elapsed(&self, from: u64, to: u64) -> u64 {
        from.wrapping_sub(to) & 0xffff
    }

    fn counts(&self, ms: u64) -> u64 {
        ms * PIT_HZ / 1_000
    }

    fn rate(&self, ticks: u64, counts: u64) -> u64 {
        (u128::from(ticks) * u128::from(PIT_HZ) / u128::from(counts.max(1))) as u64
    }
}
