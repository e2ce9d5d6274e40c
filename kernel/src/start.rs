//! The order of boot, from the loader's jump to the executors.
//!
//! ```text
//!  entry ─► serial ─► loader's word ─► frames, heap ─► log ─► descriptors, CPU features ─► own page tables
//!        ─► exceptions ─► ACPI ─► APIC, I/O APIC ─► time ─► gateway ─► other cores ─► executors ─► init task
//! ```
//!
//! Whatever is missing on the way and can't be done without ends in [`fatal`]: one clear line on
//! every output there is by then.

use crate::panic::{self, die};
use crate::platform::{self, Pollux};
use crate::process::{image, reclaim, run};
use crate::{authority, clock, devices, ipc, services, watch};
use core::fmt;
use core::sync::atomic::Ordering::Relaxed;
use executor::{CoreId, Priority};
use hal::boot::{BootInfo, CommandLine};
use hal::console;
use hal::memory::PhysAddr;
use hal::memory::stack::KernelStack;
use hal::serial::{self, Port};
use hal::x86_64::acpi::Acpi;
use hal::x86_64::descriptors::{self, FaultStacks};
use hal::x86_64::exceptions::{self, Hooks};
use hal::x86_64::smp::{self, Startup};
use hal::x86_64::user::copy;
use hal::x86_64::{aml, apic, cpu, interrupts, ioapic, paging, percpu, power, probe, random, time};

/// Where the loader enters, on its stack, with interrupts off.
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    let entered = time::clock::now();
    serial::init(Port::Com1);
    serial::init(Port::Com2);
    console::init(log::LevelFilter::Info);
    console::observe_log(services::console::logged);
    let info = match hal::boot::init() {
        Ok(info) => info,
        Err(error) => fatal(format_args!("{error}")),
    };
    hal::memory::init(info);
    clock::init(entered);
    if let Some(word) = info.command_line.value("log") {
        match console::parse_level(word) {
            Some(level) => console::set_level(level),
            None => log::warn!("log={word} is no level: off, error, warn, info, debug or trace"),
        }
    }
    if let Some(screen) = &info.framebuffer {
        // SAFETY: the loader mapped it, our own tables will map it at the same place, and only the
        // console draws there.
        unsafe { console::attach_screen(screen) };
    }
    panic::EXIT_QEMU.store(info.command_line.value("exit") == Some("qemu"), Relaxed);
    log::info!(
        "Pollux {} entered by {} {}, base revision {}, {} MiB of memory",
        env!("CARGO_PKG_VERSION"),
        info.loader_name,
        info.loader_version,
        info.revision,
        info.usable_bytes() >> 20
    );
    processor(info);
    let stack = must("stack", KernelStack::new(smp::STACK_BYTES as u64 / 4096));
    // SAFETY: this function's frame on the loader's stack holds nothing to drop and is never
    // returned to.
    unsafe { hal::memory::stack::run_on(stack, on_own_stack) }
}

/// The rest of the boot, on a stack with a guard page.
extern "C" fn on_own_stack() -> ! {
    let info = hal::boot::info();
    // SAFETY: we left the loader's stack and tables, and its responses were copied when they were
    // read.
    let reclaimed = unsafe { hal::memory::frames::reclaim_loader_memory() };
    log::debug!("{} KiB of the loader's memory reclaimed", reclaimed * 4);
    let acpi = machine(info);
    let cores = others(&acpi, &info.command_line);
    log::info!(
        "{} core{} running, TSC {} MHz",
        cores,
        if cores == 1 { "" } else { "s" },
        clock::frequency() / 1_000_000
    );
    authority::log::begin();
    executor::spawn::<Pollux, _>("init", Priority::Normal, services::init()).detach();
    run_core()
}

/// Says why the boot can't go on, and stops.
fn fatal(why: fmt::Arguments<'_>) -> ! {
    die(format_args!("boot: {why}"), None)
}

/// Unwraps what the boot can't do without.
fn must<T, E: fmt::Display>(what: &str, result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| fatal(format_args!("{what}: {error}")))
}

static HOOKS: Hooks = Hooks {
    user_return: run::interrupted,
    user_fault: run::faulted,
    kernel_fixup: |rip| copy::fixup(rip).or_else(|| probe::fixup(rip)),
    tlb_shootdown: || {
        paging::acknowledge();
        watch::answer();
    },
    fatal: panic::fatal,
};

/// This core's descriptors, features and page tables.
fn processor(info: &'static BootInfo) {
    let lapic_id = cpu::cpuid(1).ebx >> 24;
    // SAFETY: once, on the boot core, interrupts off; the boot stacks are for exactly this.
    unsafe { descriptors::install(0, lapic_id, FaultStacks::boot()) };
    exceptions::set_hooks(&HOOKS);
    must("page tables", paging::init(info));
    // SAFETY: interrupts are off and the tables are our own, with CR3's low bits zero.
    must("processor", unsafe { cpu::enable() });
    // SAFETY: this core's block is installed; the others install theirs before they allocate.
    unsafe { hal::memory::enable_core_caches() };
    log::debug!("{:?}", cpu::features());
    if !cpu::features().has(cpu::Features::NO_MELTDOWN) {
        log::warn!(
            "this CPU may leak kernel memory to programs (Meltdown, CVE-2017-5754): not safe for hostile programs"
        );
    }
}

/// ACPI, interrupt controllers and time.
fn machine(info: &'static BootInfo) -> Acpi {
    // SAFETY: `map_table` maps firmware's tables for good.
    let acpi = must("ACPI", unsafe { Acpi::find(info.rsdp.map(|rsdp| rsdp.0), map_table) });
    let madt = must("MADT", acpi.madt());
    // SAFETY: the boot core, interrupts off, IDT loaded; `map_registers` maps uncached and for
    // good.
    must("local APIC", unsafe { apic::init(|at| map_registers(at).map(<*mut u8>::cast)) });
    // SAFETY: as above, after the local APIC.
    must("I/O APIC", unsafe { ioapic::init(&madt, |at| map_registers(at).map(<*mut u8>::cast)) });
    let hpet = acpi.hpet().and_then(map_registers).map(<*mut u8>::cast);
    // SAFETY: as above; the HPET's registers are mapped uncached and for good.
    let verdict = must("clock", unsafe { time::init(hpet) });
    console::set_clock(|| clock::nanoseconds() / 1000);
    if verdict.is_contradicted() {
        log::warn!("clock: sources disagree: {verdict:?}");
    }
    if let Some(unix) = info.boot_time_unix_s {
        time::clock::set_boot_date(unix, clock::entry_ticks());
    }
    power::init(&acpi, map_table);
    aml::init(&acpi);
    devices::remember_windows(acpi.pci_windows().map(Into::into));
    log::debug!("random numbers: {:?}", random::quality());
    acpi
}

/// A firmware table, readable for good.
fn map_table(physical: u64, bytes: usize) -> Option<*const u8> {
    // SAFETY: ACPI names it as a table of its own; reading has no effect.
    let table = unsafe { hal::device::FirmwareTable::map(PhysAddr(physical), bytes) }.ok()?;
    let start = table.start().as_ptr::<u8>();
    core::mem::forget(table);
    Some(start)
}

/// A page of device registers, mapped for good.
fn map_registers(physical: u64) -> Option<*mut u8> {
    hal::device::map_forever(PhysAddr(physical), 4096).ok()
}

/// Starts the other cores; how many run in the end.
fn others(acpi: &Acpi, line: &CommandLine<'_>) -> u16 {
    platform::init_core(0);
    paging::flush::set_interrupt(|cores| {
        (0..64).filter(|core| cores >> core & 1 == 1).for_each(hal::x86_64::ipi::tlb_shootdown);
    });
    let madt = must("MADT", acpi.madt());
    let startup = Startup {
        allocate_stack: |bytes| Some(KernelStack::new(bytes as u64 / 4096).ok()?.leak().0),
        entry: enter_core,
        max_cores: line.value("smp").and_then(|count| count.parse().ok()).unwrap_or(usize::MAX),
    };
    // SAFETY: the boot core with everything ready, on the kernel's tables; stacks are for good.
    let online = unsafe { smp::start(&madt, &startup) }.online;
    platform::set_core_count(online);
    GO.store(true, core::sync::atomic::Ordering::Release);
    image::init();
    online
}

/// Set once all cores are counted: only then may an executor look at the others.
static GO: core::sync::atomic::AtomicBool = core::sync::atomic::AtomicBool::new(false);

/// Where the other cores enter, with everything of theirs set up.
fn enter_core(core: u16) -> ! {
    platform::init_core(core);
    while !GO.load(core::sync::atomic::Ordering::Acquire) {
        core::hint::spin_loop();
    }
    run_core()
}

/// This core's executor, for ever.
fn run_core() -> ! {
    let here = platform::here();
    here.executor.bring_up();
    interrupts::enable();
    ipc::mail::start(here.core);
    watch::start(here.core);
    if here.core == CoreId(0) {
        reclaim::start();
        authority::log::start();
    }
    log::debug!("core{}: lapic {} runs", here.core.0, percpu::this().lapic_id());
    here.executor.run()
}
