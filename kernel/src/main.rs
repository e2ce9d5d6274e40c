//! Pollux, the kernel. So far: stands on its own page tables and says so.
#![no_std]
#![no_main]

extern crate alloc;

use core::fmt::Write;

use hal::console;
use hal::serial::{self, Port};
use log::{LevelFilter, error, info, warn};

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    serial::init(Port::Com1);
    console::init(LevelFilter::Info);
    match hal::boot::init() {
        Ok(boot) => start(boot),
        Err(reason) => error!("fatal: {reason}"),
    }
    halt()
}

fn start(boot: &'static hal::boot::BootInfo) {
    if let Some(level) = boot.command_line.value("log") {
        match console::parse_level(level) {
            Some(level) => console::set_level(level),
            None => warn!("log={level} is no level: off, error, warn, info, debug or trace"),
        }
    }
    if let Some(screen) = &boot.framebuffer {
        // SAFETY: the loader mapped it, the kernel's own tables map it at the same place, and only the
        // console draws there.
        unsafe { console::attach_screen(screen) };
    }
    info!(
        "entered by {} {} (base revision {}), {} MiB, command line \"{}\"",
        boot.loader_name,
        boot.loader_version,
        boot.revision,
        boot.usable_bytes() >> 20,
        boot.command_line.0,
    );
    hal::memory::init(boot);
    // SAFETY: this is the boot core, first and alone.
    unsafe { hal::x86_64::percpu::install(0, 0) };
    // SAFETY: the block was just installed, and no other core runs.
    unsafe { hal::memory::enable_core_caches() };
    match hal::x86_64::paging::init(boot) {
        Ok(()) => info!("own page tables; {:?}", hal::memory::frames::statistics()),
        Err(reason) => {
            error!("fatal: {reason}");
            halt()
        }
    }
    match hal::memory::stack::KernelStack::new(STACK_PAGES) {
        // SAFETY: nothing of the loader's stack is used any more.
        Ok(stack) => unsafe { hal::memory::stack::run_on(stack, main) },
        Err(reason) => error!("fatal: no stack: {reason}"),
    }
}

/// Pages of the boot core's stack.
const STACK_PAGES: u64 = 16;

extern "C" fn main() -> ! {
    info!("on a stack of our own\n{}", hal::backtrace::Backtrace::here());
    halt()
}

fn halt() -> ! {
    loop {
        core::hint::spin_loop();
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    // SAFETY: one core runs, and it ends here.
    let mut out = unsafe { console::epitaph() };
    let _ = writeln!(out, "panic: {info}\n{}", hal::backtrace::Backtrace::here());
    halt()
}
