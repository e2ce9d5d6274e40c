//! The epitaph: what is said when the kernel can't go on. Other cores are stopped first, everything
//! is said once, on serial line and screen, without locks that a dead core might hold, and then the
//! machine stops (or QEMU ends, under test).

use crate::platform;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::*};
use hal::backtrace::Backtrace;
use hal::x86_64::exceptions::TrapFrame;
use hal::x86_64::{interrupts, ipi, percpu, power};

/// Set from the command line: a panic ends QEMU with failure.
pub static EXIT_QEMU: AtomicBool = AtomicBool::new(false);

/// Panics so far: a second one, inside the first one's epitaph, says little and stops.
static DEPTH: AtomicU32 = AtomicU32::new(0);

/// QEMU's isa-debug-exit turns this into status 35.
const EXIT_FAILURE: u8 = 0x11;

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let location = info.location();
    let message = format_args!("{}", info.message());
    hal::x86_64::aml::guard::panicked(message);
    match location {
        Some(at) => die(format_args!("{message} ({}:{})", at.file(), at.line()), None),
        None => die(message, None),
    }
}

/// hal's hook: an exception the kernel can't go on from.
pub fn fatal(frame: &TrapFrame, what: &'static str) -> ! {
    die(format_args!("{what}: {}", frame.what()), Some(frame))
}

/// Says why, and stops for ever.
pub fn die(why: fmt::Arguments<'_>, frame: Option<&TrapFrame>) -> ! {
    interrupts::disable();
    let depth = DEPTH.fetch_add(1, AcqRel);
    if depth == 0 {
        let running = ipi::stop_others();
        epitaph(why, frame, running);
        crate::services::report::panicked(why);
    } else if depth == 1 {
        let _ = writeln!(last_words(), "\npanic in the panic: {why}");
    }
    if EXIT_QEMU.load(Relaxed) {
        power::exit_qemu(EXIT_FAILURE);
    }
    interrupts::halt_forever()
}

/// The console, for good.
fn last_words() -> hal::console::Epitaph {
    // SAFETY: the other cores were stopped, and this one never comes back from here.
    unsafe { hal::console::epitaph() }
}

fn epitaph(why: fmt::Arguments<'_>, frame: Option<&TrapFrame>, running: usize) {
    let mut out = last_words();
    let core = percpu::this().core();
    let task = executor_task();
    let _ = writeln!(out, "\n=== Pollux has stopped ===");
    let _ = writeln!(out, "{why}");
    let _ = writeln!(out, "core{core}, task `{task}`");
    if running > 0 {
        let _ = writeln!(out, "{running} other cores could not be stopped and may still run");
    }
    if let Some(frame) = frame {
        registers(&mut out, frame);
    }
    let calls =
        frame.map_or_else(Backtrace::here, |frame| Backtrace::from_registers(frame.rip, frame.rbp));
    let _ = write!(out, "calls, innermost first:\n{calls}");
    let _ = writeln!(out, "=== end ===");
}

fn executor_task() -> &'static str {
    platform::of(executor::CoreId(percpu::this().core()))
        .executor
        .running()
        .map_or("none", |running| running.task)
}

fn registers(out: &mut impl Write, f: &TrapFrame) {
    let _ = writeln!(
        out,
        "rip {:016x} cs {:x} rflags {:08x} error {:x} cr2 {:016x}",
        f.rip,
        f.cs,
        f.rflags,
        f.error_code,
        hal::x86_64::cpu::fault_address()
    );
    for row in [
        [("rax", f.rax), ("rbx", f.rbx), ("rcx", f.rcx), ("rdx", f.rdx)],
        [("rsi", f.rsi), ("rdi", f.rdi), ("rbp", f.rbp), ("rsp", f.rsp)],
        [("r8 ", f.r8), ("r9 ", f.r9), ("r10", f.r10), ("r11", f.r11)],
        [("r12", f.r12), ("r13", f.r13), ("r14", f.r14), ("r15", f.r15)],
    ] {
        for (name, value) in row {
            let _ = write!(out, "{name} {value:016x} ");
        }
        let _ = writeln!(out);
    }
}
