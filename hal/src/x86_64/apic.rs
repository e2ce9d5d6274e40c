//! The local APIC: each core's own interrupt controller.
//!
//! One type drives both forms: registers in memory (xAPIC) and registers as MSRs (x2APIC, where
//! the CPU has it; ids then have 32 bits). The old PICs are masked for good. There is no other
//! way to get interrupts here: without a working local APIC the machine cannot be run, and
//! [`init`] says so. Source: Intel SDM vol. 3A, chapter 12.

use core::sync::atomic::{AtomicU32, Ordering};

use spin::Once;
use thiserror_no_std::Error;

use super::cpu::{self, Features};
use super::{percpu, pic, vectors};

const IA32_APIC_BASE: u32 = 0x1b;
const BASE_ENABLE: u64 = 1 << 11;
const BASE_X2APIC: u64 = 1 << 10;
const BASE_ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// First MSR of the x2APIC; a register at offset `o` in memory is MSR `X2APIC_MSRS + o / 16`.
const X2APIC_MSRS: u32 = 0x800;

/// Register offsets in the xAPIC's page.
mod register {
    pub const ID: u32 = 0x20;
    pub const VERSION: u32 = 0x30;
    pub const TASK_PRIORITY: u32 = 0x80;
    pub const EOI: u32 = 0xb0;
    pub const LOGICAL_DESTINATION: u32 = 0xd0;
    pub const DESTINATION_FORMAT: u32 = 0xe0;
    pub const SPURIOUS: u32 = 0xf0;
    pub const IN_SERVICE: u32 = 0x100;
    pub const ERROR_STATUS: u32 = 0x280;
    pub const COMMAND: u32 = 0x300;
    pub const COMMAND_HIGH: u32 = 0x310;
    pub const LVT_TIMER: u32 = 0x320;
    pub const LVT_THERMAL: u32 = 0x330;
    pub const LVT_PERFORMANCE: u32 = 0x340;
    pub const LVT_LINT0: u32 = 0x350;
    pub const LVT_ERROR: u32 = 0x370;
    pub const TIMER_INITIAL: u32 = 0x380;
    pub const TIMER_CURRENT: u32 = 0x390;
    pub const TIMER_DIVIDE: u32 = 0x3e0;
}

const MASKED: u32 = 1 << 16;
const SOFTWARE_ENABLE: u32 = 1 << 8;
const DELIVERY_NMI: u32 = 4 << 8;
const DELIVERY_INIT: u32 = 5 << 8;
const DELIVERY_STARTUP: u32 = 6 << 8;
const COMMAND_PENDING: u32 = 1 << 12;
const COMMAND_ASSERT: u32 = 1 << 14;
const COMMAND_TO_SELF: u32 = 1 << 18;
const TIMER_TSC_DEADLINE: u32 = 2 << 17;
const DIVIDE_BY_1: u32 = 0b1011;

/// How often the command register is asked whether the last IPI has left. It takes well under a
/// microsecond; the limit is for hardware that does not answer.
const SEND_ATTEMPTS: u32 = 1_000_000;

/// Why there is no local APIC to work with. All are fatal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ApicError {
    /// CPUID says there is none.
    #[error("this CPU has no local APIC: Pollux cannot run without one")]
    Missing,
    /// Firmware turned it off and it does not come back.
    #[error("the local APIC does not turn on: enable it in the firmware's settings")]
    Disabled,
    /// Its registers cannot be mapped.
    #[error("the local APIC's registers at {0:#x} cannot be mapped")]
    Unmapped(u64),
    /// Reading the version gives nonsense.
    #[error("the local APIC does not answer (version register {0:#x}): hardware fault")]
    NoAnswer(u32),
    /// It does not take settings.
    #[error("the local APIC does not keep what is written to it: hardware fault")]
    NotWritable,
    /// An IPI never left.
    #[error("the local APIC did not send an interrupt to APIC id {0} in time")]
    NotSent(u32),
}

/// A core's local APIC, as this core reaches its own.
#[derive(Debug, Clone, Copy)]
pub struct LocalApic {
    access: Access,
}

#[derive(Debug, Clone, Copy)]
enum Access {
    /// The page of registers; every core sees its own at the same address.
    Memory(*mut u32),
    Msr,
}

// SAFETY: the page is mapped for good, and accesses to it reach the accessing core's own APIC.
unsafe impl Send for LocalApic {}
// SAFETY: as above; two-step commands are sent with interrupts off.
unsafe impl Sync for LocalApic {}

static LOCAL: Once<LocalApic> = Once::new();
/// Bits of the error status register seen on any core since last asked.
static ERRORS: AtomicU32 = AtomicU32::new(0);

/// How a core's timer is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimerMode {
    /// Counts down from a value, at the bus clock.
    OneShot,
    /// Fires when the TSC passes a value.
    TscDeadline,
}

/// Finds and turns on the boot core's local APIC, and masks the PICs; from then on the boot core
/// counts as online and can be interrupted by others. `map` yields where a device's
/// page of registers (by physical address) is mapped, uncached, for good.
///
/// # Errors
/// Any is fatal: see [`ApicError`].
///
/// # Safety
/// Called once, on the boot core, with interrupts off, after `descriptors::install`; `map` keeps
/// its word.
pub unsafe fn init(map: impl FnOnce(u64) -> Option<*mut u32>) -> Result<(), ApicError> {
    if cpu::cpuid(1).edx >> 9 & 1 == 0 {
        return Err(ApicError::Missing);
    }
    pic::mask();
    // SAFETY: every CPU with an APIC that runs 64-bit code has this MSR.
    let base = unsafe { cpu::read_msr(IA32_APIC_BASE) };
    let access = if cpu::features().has(Features::X2APIC) || base & BASE_X2APIC != 0 {
        Access::Msr
    } else {
        let address = base & BASE_ADDRESS;
        Access::Memory(map(address).ok_or(ApicError::Unmapped(address))?)
    };
    let apic = LOCAL.call_once(|| LocalApic { access });
    // SAFETY: the boot core's own, interrupts off by the caller's word.
    unsafe { apic.enable([false, false])? };
    let block = percpu::this();
    block.lapic_id.store(id(), Ordering::Relaxed);
    block.online.store(true, Ordering::Release);
    Ok(())
}

/// Turns on this application processor's local APIC.
///
/// # Errors
/// See [`ApicError`]; this core cannot be used then.
///
/// # Safety
/// Called on that core with interrupts off and its IDT loaded, after [`init`].
pub unsafe fn init_this_core() -> Result<(), ApicError> {
    // SAFETY: passed on.
    unsafe { LOCAL.get().ok_or(ApicError::Missing)?.enable([false, false]) }
}

/// Makes local pins LINT0 and LINT1 raise NMIs where `pins` (from the MADT) says so. On this core.
pub fn wire_nmi_pins(pins: [bool; 2]) {
    let Some(apic) = LOCAL.get() else { return };
    for (pin, nmi) in (0..).zip(pins) {
        apic.write(register::LVT_LINT0 + pin * 0x10, if nmi { DELIVERY_NMI } else { MASKED });
    }
}

impl LocalApic {
    #[inline]
    fn read(&self, register: u32) -> u32 {
        match self.access {
            // SAFETY: the page is mapped and `register` one of the offsets above.
            Access::Memory(base) => unsafe { base.byte_add(register as usize).read_volatile() },
            // SAFETY: in x2APIC mode these MSRs exist.
            Access::Msr => unsafe { cpu::read_msr(X2APIC_MSRS + register / 16) as u32 },
        }
    }

    #[inline]
    fn write(&self, register: u32, value: u32) {
        match self.access {
            // SAFETY: as for `read`. What the writes cause stays within this module's contract.
            Access::Memory(base) => unsafe {
                base.byte_add(register as usize).write_volatile(value);
            },
            // SAFETY: as above.
            Access::Msr => unsafe {
                cpu::write_msr(X2APIC_MSRS + register / 16, u64::from(value));
            },
        }
    }

    /// # Safety
    /// On the core in question, with interrupts off.
    unsafe fn enable(&self, nmi_pins: [bool; 2]) -> Result<(), ApicError> {
        // SAFETY: the MSR exists; x2APIC only where the CPU has it. From "disabled" the way leads
        // through xAPIC mode (SDM 12.12.5); from xAPIC on the same write is harmless.
        unsafe {
            let base = cpu::read_msr(IA32_APIC_BASE) | BASE_ENABLE;
            cpu::write_msr(IA32_APIC_BASE, base);
            if matches!(self.access, Access::Msr) {
                cpu::write_msr(IA32_APIC_BASE, base | BASE_X2APIC);
            }
            if cpu::read_msr(IA32_APIC_BASE) & BASE_ENABLE == 0 {
                return Err(ApicError::Disabled);
            }
        }
        let version = self.read(register::VERSION);
        if version == 0 || version == u32::MAX {
            return Err(ApicError::NoAnswer(version));
        }
        // Everything local off, before the APIC itself goes on.
        let highest_lvt = version >> 16 & 0xff;
        self.write(register::LVT_TIMER, MASKED | u32::from(vectors::TIMER));
        self.write(register::LVT_ERROR, MASKED | u32::from(vectors::ERROR));
        if highest_lvt >= 4 {
            self.write(register::LVT_PERFORMANCE, MASKED);
        }
        if highest_lvt >= 5 {
            self.write(register::LVT_THERMAL, MASKED);
        }
        for (pin, nmi) in (0..).zip(nmi_pins) {
            self.write(register::LVT_LINT0 + pin * 0x10, if nmi { DELIVERY_NMI } else { MASKED });
        }
        if let Access::Memory(_) = self.access {
            // Flat logical mode, of which no use is made: all destinations are physical.
            self.write(register::DESTINATION_FORMAT, u32::MAX);
            self.write(register::LOGICAL_DESTINATION, 0);
        }
        self.write(register::TASK_PRIORITY, 0);
        self.write(register::TIMER_INITIAL, 0);
        self.write(register::TIMER_DIVIDE, DIVIDE_BY_1);
        let spurious = SOFTWARE_ENABLE | u32::from(vectors::SPURIOUS);
        self.write(register::SPURIOUS, spurious);
        if self.read(register::SPURIOUS) & 0x1ff != spurious {
            return Err(ApicError::NotWritable);
        }
        // Anything in service from before (firmware, S3) would hold back lower vectors.
        for _ in 0..256 {
            if (0..8).all(|word| self.read(register::IN_SERVICE + word * 0x10) == 0) {
                break;
            }
            self.write(register::EOI, 0);
        }
        self.write(register::ERROR_STATUS, 0);
        self.write(register::ERROR_STATUS, 0);
        self.write(register::LVT_ERROR, u32::from(vectors::ERROR));
        Ok(())
    }

    /// Sends a command. `apic_id` is left out of account for commands to self.
    fn command(&self, apic_id: u32, command: u32) -> Result<(), ApicError> {
        match self.access {
            // SAFETY: the MSR exists in x2APIC mode; one write sends. The fence keeps earlier
            // stores from being seen after the interrupt (SDM 12.12.3).
            Access::Msr => unsafe {
                core::arch::asm!("mfence", "lfence", options(nostack, preserves_flags));
                let value = u64::from(apic_id) << 32 | u64::from(command);
                cpu::write_msr(X2APIC_MSRS + register::COMMAND / 16, value);
                Ok(())
            },
            // Both halves with interrupts off: a handler on this core may send, too. A command to
            // self leaves the destination half alone, so that an NMI may interrupt even this.
            Access::Memory(_) => super::interrupts::without(|| {
                if command & COMMAND_TO_SELF == 0 {
                    self.write(register::COMMAND_HIGH, apic_id << 24);
                }
                self.write(register::COMMAND, command);
                let sent = (0..SEND_ATTEMPTS).any(|_| {
                    self.read(register::COMMAND) & COMMAND_PENDING == 0 || {
                        core::hint::spin_loop();
                        false
                    }
                });
                sent.then_some(()).ok_or(ApicError::NotSent(apic_id))
            }),
        }
    }
}

fn local() -> Result<&'static LocalApic, ApicError> {
    LOCAL.get().ok_or(ApicError::Missing)
}

/// Whether [`init`] has succeeded in finding an APIC.
pub fn is_ready() -> bool {
    LOCAL.is_completed()
}

/// Whether APIC ids have 32 bits (x2APIC).
pub fn is_x2apic() -> bool {
    LOCAL.get().is_some_and(|apic| matches!(apic.access, Access::Msr))
}

/// This core's APIC id as its APIC has it; before [`init`], as CPUID has it.
pub fn id() -> u32 {
    match LOCAL.get() {
        Some(apic @ LocalApic { access: Access::Memory(_) }) => apic.read(register::ID) >> 24,
        Some(apic) => apic.read(register::ID),
        None if cpu::features().highest_leaf >= 0xb && cpu::cpuid(0xb).ebx != 0 => {
            cpu::cpuid(0xb).edx
        }
        None => cpu::cpuid(1).ebx >> 24,
    }
}

/// Tells this core's APIC that the interrupt in service is done.
#[inline]
pub(super) fn eoi() {
    if let Some(apic) = LOCAL.get() {
        apic.write(register::EOI, 0);
    }
}

/// Sends `vector` to the core with this APIC id.
///
/// # Errors
/// [`ApicError::NotSent`]: the hardware did not take it.
#[inline]
pub(super) fn send(apic_id: u32, vector: u8) -> Result<(), ApicError> {
    local()?.command(apic_id, COMMAND_ASSERT | u32::from(vector))
}

/// Sends an NMI to the core with this APIC id.
pub(super) fn send_nmi(apic_id: u32) -> Result<(), ApicError> {
    local()?.command(apic_id, COMMAND_ASSERT | DELIVERY_NMI)
}

/// Resets the core with this APIC id; it then waits for [`send_startup`].
pub(super) fn send_init(apic_id: u32) -> Result<(), ApicError> {
    local()?.command(apic_id, COMMAND_ASSERT | DELIVERY_INIT)
}

/// Starts a core that waits after [`send_init`], in real mode at `page` (times 4096).
pub(super) fn send_startup(apic_id: u32, page: u8) -> Result<(), ApicError> {
    local()?.command(apic_id, COMMAND_ASSERT | DELIVERY_STARTUP | u32::from(page))
}

/// Sends `vector` to this core. Good in NMI handlers; before [`init`] nothing happens.
#[inline]
pub(super) fn self_ipi(vector: u8) {
    if let Some(apic) = LOCAL.get() {
        // A command to self cannot be refused by another core; a stuck APIC shows elsewhere.
        let _ = apic.command(0, COMMAND_ASSERT | COMMAND_TO_SELF | u32::from(vector));
    }
}

/// The error vector's handler: keeps what the APIC complains about.
pub(super) fn note_error() {
    if let Some(apic) = LOCAL.get() {
        apic.write(register::ERROR_STATUS, 0);
        ERRORS.fetch_or(apic.read(register::ERROR_STATUS), Ordering::Relaxed);
    }
}

/// The error bits (SDM vol. 3A, figure 12-9) seen on any core since last asked; 0: none.
pub fn take_errors() -> u32 {
    ERRORS.swap(0, Ordering::Relaxed)
}

/// Unmasks this core's timer in `mode`, stopped.
pub(super) fn timer_setup(mode: TimerMode) {
    let Some(apic) = LOCAL.get() else { return };
    let mode_bits = match mode {
        TimerMode::OneShot => 0,
        TimerMode::TscDeadline => TIMER_TSC_DEADLINE,
    };
    apic.write(register::LVT_TIMER, mode_bits | u32::from(vectors::TIMER));
    // A deadline written right after must not overtake the mode (SDM vol. 3A, 12.5.4.1).
    // SAFETY: a fence.
    unsafe { core::arch::asm!("mfence", options(nostack, preserves_flags)) };
    apic.write(register::TIMER_INITIAL, 0);
}

/// Starts this core's one-shot countdown; 0 stops it.
#[inline]
pub(super) fn timer_start(count: u32) {
    if let Some(apic) = LOCAL.get() {
        apic.write(register::TIMER_INITIAL, count);
    }
}

/// What is left of the countdown. For calibration, masked.
pub(super) fn timer_remaining() -> u32 {
    LOCAL.get().map_or(0, |apic| apic.read(register::TIMER_CURRENT))
}

/// Starts the countdown from the top without interrupting at its end. For calibration.
pub(super) fn timer_start_silent() {
    if let Some(apic) = LOCAL.get() {
        apic.write(register::LVT_TIMER, MASKED | u32::from(vectors::TIMER));
        apic.write(register::TIMER_INITIAL, u32::MAX);
    }
}
