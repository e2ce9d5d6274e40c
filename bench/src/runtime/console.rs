//! `println!` for ring 3: each line is one `ConsoleWrite`, so lines of different threads don't mix.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU32, Ordering};

use super::calls;
use crate::abi::Handle;

static CONSOLE: AtomicU32 = AtomicU32::new(0);

/// Bytes gathered before they are written.
const LINE: usize = 256;

struct Line {
    bytes: [u8; LINE],
    used: usize,
}

impl Line {
    fn flush(&mut self) {
        let mut rest = &self.bytes[..self.used];
        while !rest.is_empty() {
            match calls::console_write(console(), rest) {
                Ok(written) if written > 0 => rest = &rest[written.min(rest.len())..],
                // No console, or a broken one: there is nobody to tell.
                _ => break,
            }
        }
        self.used = 0;
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.used == LINE {
                self.flush();
            }
            self.bytes[self.used] = byte;
            self.used += 1;
        }
        Ok(())
    }
}

/// Where this program prints: the handle, still owned by [`super::Env`].
pub fn console() -> Handle {
    Handle(CONSOLE.load(Ordering::Relaxed))
}

/// Sends everything printed from now on to `console`.
pub fn set_console(console: Handle) {
    CONSOLE.store(console.0, Ordering::Relaxed);
}

/// Prints; use the [`crate::print!`] and [`crate::println!`] macros.
pub fn print(arguments: fmt::Arguments<'_>) {
    let mut line = Line { bytes: [0; LINE], used: 0 };
    // A failing Display is a bug of the value's; what it wrote is shown.
    let _ = line.write_fmt(arguments);
    line.flush();
}

/// Prints to the program's console.
#[macro_export]
macro_rules! print {
    ($($argument:tt)*) => { $crate::runtime::console::print(::core::format_args!($($argument)*)) };
}

/// Prints a line to the program's console.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($argument:tt)*) => {
        $crate::runtime::console::print(::core::format_args!(
            "{}\n", ::core::format_args!($($argument)*)
        ))
    };
}
