//! Pollux, the kernel. So far: says where it is.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::fmt::Write;

use hal::serial::{self, Port};

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    serial::init(Port::Com1);
    match hal::boot::init() {
        Ok(info) => {
            let _ = writeln!(
                serial::writer(Port::Com1),
                "Pollux: entered by {} {} (base revision {}), {} MiB, cmdline \"{}\", {:?}",
                info.loader_name,
                info.loader_version,
                info.revision,
                info.usable_bytes() >> 20,
                info.command_line.0,
                info.modules,
            );
            hal::memory::init(info);
            let numbers: Vec<u64> = (0..100_000).collect();
            let _ = writeln!(
                serial::writer(Port::Com1),
                "Pollux: {:?} {:?} {}",
                hal::memory::frames::statistics(),
                hal::memory::heap::statistics(),
                core::hint::black_box(&numbers).len()
            );
        }
        Err(error) => {
            let _ = writeln!(serial::writer(Port::Com1), "Pollux: fatal: {error}");
        }
    }
    loop {
        core::hint::spin_loop();
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    if let Some(mut writer) = serial::panic_writer(Port::Com1) {
        let _ = writeln!(writer, "panic: {info}");
    }
    loop {
        core::hint::spin_loop();
    }
}
