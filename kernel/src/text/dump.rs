//! Bytes in rows of sixteen: offset, hexadecimal, and what can be shown of them. A run of equal
//! rows is one row and a `*`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

/// Bytes in a row.
const ROW: usize = 16;

/// The rows of `bytes`, which begin at `offset`.
pub fn lines(offset: u64, bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut before: Option<&[u8]> = None;
    let mut repeated = false;
    let count = bytes.len().div_ceil(ROW);
    for (number, row) in bytes.chunks(ROW).enumerate() {
        let is_last = number + 1 == count;
        if before == Some(row) && !is_last {
            if !core::mem::replace(&mut repeated, true) {
                lines.push(String::from("*"));
            }
            continue;
        }
        repeated = false;
        before = Some(row);
        lines.push(line(offset.wrapping_add((number * ROW) as u64), row));
    }
    lines
}

fn line(offset: u64, row: &[u8]) -> String {
    let mut line = format!("{offset:010x} ");
    for place in 0..ROW {
        let gap = if place % 8 == 0 { " " } else { "" };
        match row.get(place) {
            Some(byte) => write!(line, "{gap}{byte:02x} "),
            None => write!(line, "{gap}   "),
        }
        .unwrap_or_default();
    }
    line.push_str(" |");
    line.extend(
        row.iter().map(|byte| if (0x20..0x7f).contains(byte) { *byte as char } else { '.' }),
    );
    line.push('|');
    line
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::vec;

    #[test]
    fn rows_and_repetitions() {
        let mut bytes = vec![0; 16 * 5];
        bytes[..5].copy_from_slice(b"Hello");
        bytes.extend_from_slice(b"!\xff");
        let shown = lines(0x200, &bytes);
        assert_eq!(
            shown,
            [
                "0000000200  48 65 6c 6c 6f 00 00 00  00 00 00 00 00 00 00 00  |Hello...........|",
                "0000000210  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|",
                "*",
                "0000000250  21 ff                                             |!.|",
            ]
        );
        assert_eq!(lines(0, &[]), [""; 0]);
    }
}
