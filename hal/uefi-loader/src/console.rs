//! The firmware's console: messages, the wait for a key, and what a panic does.
//!
//! OVMF sends its console to the screen and to the serial port alike. After boot services have
//! ended there is no console, and messages are dropped.

use core::fmt::{Arguments, Write};
use core::time::Duration;
use uefi::{Status, boot, runtime, system, table};

/// What the firmware still offers: boot services, and with them a screen and a keyboard.
#[derive(Default)]
struct Offered {
    services: bool,
    output: bool,
    input: bool,
}

fn offered() -> Offered {
    let Some(table) = table::system_table_raw() else { return Offered::default() };
    // SAFETY: the firmware's system table lives as long as the machine, and we only look at it.
    let table = unsafe { table.as_ref() };
    let services = !table.boot_services.is_null();
    Offered {
        services,
        output: services && !table.stdout.is_null(),
        input: services && !table.stdin.is_null(),
    }
}

/// Writes to the console, if there is one.
pub fn say(text: Arguments<'_>) {
    if offered().output {
        // A console that cannot show a message cannot show that it could not, either.
        system::with_stdout(|out| {
            let _ = out.write_fmt(text);
        });
    }
}

/// Counts down, until a key is pressed or `seconds` have passed.
pub fn wait_for_key(what: &str, seconds: u32) {
    say(format_args!("{what} in {seconds} s, or at a key.\n"));
    for _ in 0..seconds.saturating_mul(20) {
        if key_pressed() {
            return;
        }
        boot::stall(Duration::from_millis(50));
    }
}

/// Waits for a key for as long as it takes, as `timeout: no` asks.
pub fn wait_for_ever(what: &str) {
    say(format_args!("{what} at a key.\n"));
    // The firmware would otherwise restart a program that runs for five minutes.
    let _ = boot::set_watchdog_timer(0, 0x1_0000, None);
    while !key_pressed() {
        boot::stall(Duration::from_millis(50));
    }
}

/// Whether a key was pressed; on a machine without a console, one always was.
fn key_pressed() -> bool {
    if !offered().input {
        return true;
    }
    system::with_stdin(|keys| matches!(keys.read_key(), Ok(Some(_))))
}

/// A panic is a fault of the loader: said if it can be said, then the machine starts anew.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    say(format_args!("\npollux uefi-loader: fault in the loader: {info}\n"));
    if offered().services {
        boot::stall(Duration::from_secs(10));
    }
    runtime::reset(runtime::ResetType::COLD, Status::ABORTED, None)
}
