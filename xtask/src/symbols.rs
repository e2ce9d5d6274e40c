//! `kernel.sym`: the kernel's functions as text, for its own backtraces.
//!
//! One line per address, `hexaddress demangled-name`, sorted by address, so that the kernel can
//! search it as it lies in memory. Hashes are left off; of several names for one address the
//! shortest stays.

use std::fmt::Write;

use anyhow::Result;
use rustc_demangle::demangle;

use crate::elf::Elf;

/// The symbol file of an unstripped kernel.
pub fn symbol_file(elf: &Elf<'_>) -> Result<String> {
    let mut functions: Vec<(u64, String)> = elf
        .functions()?
        .into_iter()
        .map(|symbol| (symbol.address, readable(symbol.name)))
        .collect();
    functions.sort_by(|a, b| (a.0, a.1.len(), &a.1).cmp(&(b.0, b.1.len(), &b.1)));
    functions.dedup_by_key(|function| function.0);
    let mut text = String::new();
    for (address, name) in functions {
        let _ = writeln!(text, "{address:x} {name}");
    }
    Ok(text)
}

/// A name as a person would say it, on one line.
fn readable(name: &str) -> String {
    let name = format!("{:#}", demangle(name));
    name.replace(|c: char| c.is_control(), "?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_an_address() {
        let file = crate::elf::tests::sample();
        let elf = Elf::new_checked(&file).unwrap();
        assert_eq!(symbol_file(&elf).unwrap(), "ffffffff80000000 _start\n");
    }

    #[test]
    fn names_are_demangled_without_hash() {
        assert_eq!(
            readable("_ZN4core9panicking5panic17h0123456789abcdefE"),
            "core::panicking::panic"
        );
        assert_eq!(readable("_RNvCs1234_7mycrate3foo"), "mycrate::foo");
        assert_eq!(readable("_start"), "_start");
    }
}
