//! Text from ring 3 on the console.

use core::fmt;

/// Bytes of a program as text: what is not printable shows as `?`.
#[derive(Debug)]
pub struct Shown<'a>(pub &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_str("?")?;
            }
        }
        Ok(())
    }
}

/// Writes what `name` says.
pub fn write_from(name: &str, bytes: &[u8]) {
    hal::console::print(format_args!("{name}: {}", Shown(bytes)));
}
