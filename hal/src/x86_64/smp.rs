//! Starting the other cores: INIT, SIPI, SIPI (Intel SDM vol. 3A, 10.4.4).
//!
//! One at a time, since they share the trampoline. Each gets its stacks, its descriptors, its
//! per-core block and every protection the boot core has, then enters the kernel and stays there.
//!
//! ```text
//!  boot core                             the other
//!  write trampoline, INIT, a pause
//!  SIPI (again after 300 us)   ────────► real mode → long mode → `arrive`
//!                                        status = ARRIVED, tables, features, APIC, timer
//!  see READY within the limit  ◄──────── online, status = READY, then entry(core)
//!  else: INIT again, so that a late one cannot run in a reused trampoline; log; next
//! ```
//!
//! Callable again after a sleep that reset the others: see [`forget_others`].

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use spin::Once;
use thiserror_no_std::Error;

use super::descriptors::{self, FaultStacks};
use super::madt::{Madt, Processor};
use super::time::{clock, timer};
use super::trampoline::Trampoline;
use super::{MAX_CORES, apic, cpu, interrupts, paging, percpu};
use crate::memory::FrameNumber;

/// Bytes of the stack each core's executor runs on.
pub const STACK_BYTES: usize = 128 * 1024;

/// How long a core has to come. Generous: a virtual core may have to wait for a host core.
const ARRIVAL_LIMIT_US: u64 = 2_000_000;
/// Between the two SIPIs.
const SECOND_SIPI_AFTER_US: u64 = 300;

const WAITING: u32 = 0;
const ARRIVED: u32 = 1;
const READY: u32 = 2;
const UNSUITABLE: u32 = 3;
const APIC_FAILED: u32 = 4;

/// Why a core stays off. The machine runs on without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum StartError {
    /// No memory for its stacks.
    #[error("no memory for its stacks")]
    NoMemory,
    /// The start-up interrupts could not be sent.
    #[error("its start-up interrupt could not be sent")]
    NotSent,
    /// It did not come.
    #[error("it did not come within 2 s: check firmware settings, or a hypervisor's CPU limit")]
    NoArrival,
    /// It came, and then fell silent.
    #[error("it started and fell silent before it was ready")]
    Lost,
    /// It differs from the boot core.
    #[error("it lacks features of the boot core")]
    Unsuitable,
    /// Its local APIC does not work.
    #[error("its local APIC does not work")]
    ApicFailed,
}

/// What starting the others takes.
#[derive(Debug, Clone, Copy)]
pub struct Startup {
    /// Upper end (16-byte aligned) of that many fresh bytes of stack, for good.
    pub allocate_stack: fn(bytes: usize) -> Option<u64>,
    /// What each core does in the end, interrupts off, with its number.
    pub entry: fn(core: u16) -> !,
    /// Use no more than this many cores, the boot core included.
    pub max_cores: usize,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Started {
    /// Cores that run, the boot core included.
    pub online: u16,
    /// Cores that did not come.
    pub failed: u16,
    /// Cores left alone because of `max_cores` or [`MAX_CORES`].
    pub unused: u16,
}

/// What a starting core reads; lives on the boot core's stack until the core is ready or reset.
struct Arrival {
    core: u16,
    lapic_id: u32,
    nmi_pins: [bool; 2],
    faults: FaultStacks,
    entry: fn(u16) -> !,
    status: AtomicU32,
    tsc: AtomicU64,
}

static TRAMPOLINE: Once<Option<Trampoline>> = Once::new();
/// Each core's stacks, kept for the next start.
static STACKS: [Once<(u64, FaultStacks)>; MAX_CORES] = [const { Once::new() }; MAX_CORES];

/// Starts every enabled core of the MADT that is not running. Cores get numbers in table order,
/// those that fail none.
///
/// # Safety
/// On the boot core, with its APIC, timer and clock ready and the kernel's own page tables in
/// force; `startup` is as its fields say.
pub unsafe fn start(madt: &Madt, startup: &Startup) -> Started {
    let boot_id = percpu::this().lapic_id();
    let limit = startup.max_cores.clamp(1, MAX_CORES);
    let mut result = Started { online: 1, failed: 0, unused: 0 };
    wire_boot_core(madt, boot_id);
    let Some(trampoline) = TRAMPOLINE.call_once(Trampoline::allocate) else {
        log::error!("smp: no free page below 1 MiB: only the boot core runs");
        result.failed = madt.processors.as_slice().len().saturating_sub(1) as u16;
        return result;
    };
    for processor in madt.processors.as_slice().iter().filter(|p| p.apic_id != boot_id) {
        if usize::from(result.online) >= limit {
            result.unused += 1;
            continue;
        }
        // SAFETY: passed on.
        match unsafe { start_one(result.online, processor, madt, startup, trampoline) } {
            Ok(()) => result.online += 1,
            Err(error) => {
                log::error!("smp: the core with APIC id {} stays off: {error}", processor.apic_id);
                result.failed += 1;
            }
        }
    }
    result.unused += madt.processors.dropped as u16;
    if result.unused > 0 {
        log::info!("smp: {} cores are left unused", result.unused);
    }
    result
}

/// After a sleep that reset all cores but this one: lets [`start`] bring them back.
///
/// # Safety
/// The other cores really are not running.
pub unsafe fn forget_others() {
    let me = percpu::this().core();
    for block in percpu::online().filter(|block| block.core() != me) {
        block.online.store(false, Ordering::Release);
    }
}

fn wire_boot_core(madt: &Madt, boot_id: u32) {
    if let Some(me) = madt.processors.as_slice().iter().find(|p| p.apic_id == boot_id) {
        apic::wire_nmi_pins(madt.nmi_pins(me.acpi_id));
    }
}

/// How long to wait between INIT and SIPI, in microseconds. The 10 ms of the manuals are for chips
/// with an APIC of their own; since Intel's family 6 and AMD's 15 a reset takes no time to speak
/// of.
fn init_settle_us() -> u64 {
    let signature = cpu::cpuid(1).eax;
    let base = signature >> 8 & 0xf;
    let family = if base == 0xf { base + (signature >> 20 & 0xff) } else { base };
    match cpu::features().vendor() {
        "GenuineIntel" if family == 6 || family > 15 => 100,
        "AuthenticAMD" | "HygonGenuine" if family >= 15 => 100,
        _ => 10_000,
    }
}

/// # Safety
/// As for [`start`]; `core` is free.
unsafe fn start_one(
    core: u16,
    processor: &Processor,
    madt: &Madt,
    startup: &Startup,
    trampoline: &Trampoline,
) -> Result<(), StartError> {
    let stacks = &STACKS[usize::from(core)];
    let (stack, faults) = *stacks
        .try_call_once(|| {
            let stack = (startup.allocate_stack)(STACK_BYTES);
            let faults = FaultStacks::allocate(startup.allocate_stack);
            stack.zip(faults).ok_or(StartError::NoMemory)
        })
        .map_err(|_: StartError| StartError::NoMemory)?;
    let page = FrameNumber::containing(trampoline.physical());
    let tables = paging::TrampolineTables::new(page).map_err(|_| StartError::NoMemory)?;
    let arrival = Arrival {
        core,
        lapic_id: processor.apic_id,
        nmi_pins: madt.nmi_pins(processor.acpi_id),
        faults,
        entry: startup.entry,
        status: AtomicU32::new(WAITING),
        tsc: AtomicU64::new(0),
    };
    let argument = &raw const arrival as u64;
    // SAFETY: the core before has left the page (or was reset).
    unsafe {
        trampoline.prepare(tables.root().start(), stack, arrive as *const () as u64, argument);
    }

    let id = processor.apic_id;
    let status = || arrival.status.load(Ordering::Acquire);
    let before = clock::now();
    let sent = apic::send_init(id)
        .and_then(|()| {
            clock::spin_us(init_settle_us());
            apic::send_startup(id, trampoline.vector())
        })
        .and_then(|()| {
            let came = clock::spin_until(SECOND_SIPI_AFTER_US, || status() != WAITING);
            if came { Ok(()) } else { apic::send_startup(id, trampoline.vector()) }
        });
    if sent.is_ok() {
        clock::spin_until(ARRIVAL_LIMIT_US, || !matches!(status(), WAITING | ARRIVED));
    }
    let result = match status() {
        READY => Ok(()),
        _ if sent.is_err() => Err(StartError::NotSent),
        UNSUITABLE => Err(StartError::Unsuitable),
        APIC_FAILED => Err(StartError::ApicFailed),
        ARRIVED => Err(StartError::Lost),
        _ => Err(StartError::NoArrival),
    };
    if result.is_err() {
        // Back to waiting for a SIPI, so that it can never touch `arrival`, the trampoline or its
        // tables again.
        let _ = apic::send_init(id);
        clock::spin_us(init_settle_us());
        if let Some(block) = percpu::of(core) {
            block.online.store(false, Ordering::Release);
        }
        return result;
    }
    let (tsc, after) = (arrival.tsc.load(Ordering::Relaxed), clock::now());
    if tsc < before || tsc > after {
        let off = if tsc < before { before - tsc } else { tsc - after };
        log::warn!(
            "core{core}: its TSC is off by at least {} ns: times across cores will not compare",
            clock::ticks_to_ns(off)
        );
    }
    Ok(())
}

/// Where the trampoline leads: on the core's own stack, on the trampoline's page tables.
extern "C" fn arrive(arrival: *const Arrival) -> ! {
    // SAFETY: the boot core keeps it alive until this core has said READY or was reset.
    let arrival = unsafe { &*arrival };
    arrival.tsc.store(clock::now(), Ordering::Relaxed);
    arrival.status.store(ARRIVED, Ordering::Release);
    let &Arrival { core, lapic_id, nmi_pins, faults, entry, .. } = arrival;
    // SAFETY: the kernel's tables map this code, this stack and `arrival` as the trampoline's do;
    // number and stacks were given to this core; this is its start.
    let suitable = unsafe {
        paging::init_core();
        descriptors::install(core, lapic_id, faults);
        cpu::enable()
    };
    if suitable.is_err() {
        arrival.status.store(UNSUITABLE, Ordering::Release);
        interrupts::halt_forever();
    }
    // SAFETY: interrupts are off and the IDT is loaded.
    if unsafe { apic::init_this_core() }.is_err() {
        arrival.status.store(APIC_FAILED, Ordering::Release);
        interrupts::halt_forever();
    }
    apic::wire_nmi_pins(nmi_pins);
    timer::init_this_core();
    percpu::this().online.store(true, Ordering::Release);
    // The last look at `arrival`: after this the boot core lets go of it.
    arrival.status.store(READY, Ordering::Release);
    entry(core)
}
