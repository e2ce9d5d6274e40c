//! The firmware's console: messages, the wait for a key, and what a panic does.
//!
//! OVMF sends its console to the screen and to the serial port alike. After boot services have ended
//! there is no console, and messages are dropped.

use core::fmt::{Arguments, Write};
use core::time::Duration;
use uefi::{Status, boot, runtime, system, table};

/// Writes to the console, if there is one.
pub fn say(text: Arguments<'_>) {
    let table = table::system_table_raw();
    // SAFETY: the firmware's system table lives as long as the machine, and we only read two
    // pointers from it; both are null once boot services have ended.
    let usable = table.is_some_and(|table| unsafe {
        !table.as_ref().boot_services.is_null() && !table.as_ref().stdout.is_null()
    });
    if usable {
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
    while !key_pressed() {
        boot::stall(Duration::from_millis(50));
    }
}

fn key_pressed() -> bool {
    system::with_stdin(|keys| matches!(keys.read_key(), Ok(Some(_))))
}

/// A panic is a fault of the loader: said if it can be said, then the machine starts anew.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    say(format_args!("\npollux uefi-loader: fault in the loader: {info}\n"));
    let table = table::system_table_raw();
    // SAFETY: as in `say`.
    if table.is_some_and(|table| unsafe { !table.as_ref().boot_services.is_null() }) {
        boot::stall(Duration::from_secs(10));
    }
    runtime::reset(runtime::ResetType::COLD, Status::ABORTED, None)
}
