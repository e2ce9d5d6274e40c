//! Numbers as people read them: three digits and a unit, or digits in groups.
//!
//! All of it is integer arithmetic, rounded to nearest.

use core::fmt::{self, Display, Formatter};

/// Pads what `text` writes as the formatter asks (right-aligned unless it says otherwise).
fn padded(f: &mut Formatter<'_>, text: fmt::Arguments<'_>) -> fmt::Result {
    let mut line = Small { bytes: [0; 32], length: 0 };
    fmt::write(&mut line, text)?;
    let text = line.as_str();
    match (f.width(), f.align()) {
        (Some(width), Some(fmt::Alignment::Left)) => write!(f, "{text}{:1$}", "", gap(width, text)),
        (Some(width), _) => write!(f, "{:1$}{text}", "", gap(width, text)),
        (None, _) => f.write_str(text),
    }
}

fn gap(width: usize, text: &str) -> usize {
    width.saturating_sub(text.len())
}

struct Small {
    bytes: [u8; 32],
    length: usize,
}

impl Small {
    fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.length]).unwrap_or("")
    }
}

impl fmt::Write for Small {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// `value` with three digits in the largest of `units`, each 1,000 times the one before.
fn three_digits(f: &mut Formatter<'_>, value: u64, units: &[&str]) -> fmt::Result {
    let (mut scale, mut at) = (1u64, 0);
    // 999.5 rounds to 1,000: that is 1.00 of the next unit.
    while at + 1 < units.len() && rounded(value, scale, 1) >= 1_000 {
        scale *= 1_000;
        at += 1;
    }
    let unit = units[at];
    if scale == 1 {
        return padded(f, format_args!("{value}{unit}"));
    }
    // Rounding may add a digit, which moves it one place on.
    let hundredths = rounded(value, scale, 100);
    if hundredths < 1_000 {
        return padded(f, format_args!("{}.{:02}{unit}", hundredths / 100, hundredths % 100));
    }
    let tenths = rounded(value, scale, 10);
    if tenths < 1_000 {
        return padded(f, format_args!("{}.{}{unit}", tenths / 10, tenths % 10));
    }
    padded(f, format_args!("{}{unit}", rounded(value, scale, 1)))
}

fn rounded(value: u64, scale: u64, parts: u64) -> u64 {
    let scaled = u128::from(value) * u128::from(parts) + u128::from(scale / 2);
    u64::try_from(scaled / u128::from(scale)).unwrap_or(u64::MAX)
}

/// A span in nanoseconds: `238 ns`, `12.3 us`, `1.02 ms`, `3.10 s`.
#[derive(Clone, Copy, Debug)]
pub struct Nanoseconds(pub u64);

impl Display for Nanoseconds {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        three_digits(f, self.0, &[" ns", " us", " ms", " s"])
    }
}

/// Operations a second: `95 /s`, `812 k/s`, `4.21 M/s`.
#[derive(Clone, Copy, Debug)]
pub struct PerSecond(pub u64);

impl Display for PerSecond {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        three_digits(f, self.0, &[" /s", " k/s", " M/s", " G/s"])
    }
}

/// Bytes a second, in powers of 1,000: `1.95 GB/s`.
#[derive(Clone, Copy, Debug)]
pub struct BytesPerSecond(pub u64);

impl Display for BytesPerSecond {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        three_digits(f, self.0, &[" B/s", " kB/s", " MB/s", " GB/s"])
    }
}

/// A count in groups of three digits: `12,345`.
#[derive(Clone, Copy, Debug)]
pub struct Count(pub u64);

impl Display for Count {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut text = Small { bytes: [0; 32], length: 0 };
        let mut scale = 1u64;
        while self.0 / scale >= 1_000 {
            scale *= 1_000;
        }
        fmt::write(&mut text, format_args!("{}", self.0 / scale))?;
        while scale > 1 {
            scale /= 1_000;
            fmt::write(&mut text, format_args!(",{:03}", self.0 / scale % 1_000))?;
        }
        padded(f, format_args!("{}", text.as_str()))
    }
}

/// Tenths: `75.5`.
#[derive(Clone, Copy, Debug)]
pub struct Tenths(pub u64);

impl Display for Tenths {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        padded(f, format_args!("{}.{}", self.0 / 10, self.0 % 10))
    }
}

/// Bytes in powers of 1,024: `4 KiB`, `496 MiB`, `1.5 GiB`.
#[derive(Clone, Copy, Debug)]
pub struct Bytes(pub u64);

impl Display for Bytes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut unit = ("B", 1u64);
        for next in [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)] {
            if self.0 >= next.1 {
                unit = next;
            }
        }
        let tenths = rounded(self.0, unit.1, 10);
        if tenths.is_multiple_of(10) || tenths >= 1_000 {
            return padded(f, format_args!("{} {}", rounded(self.0, unit.1, 1), unit.0));
        }
        padded(f, format_args!("{}.{} {}", tenths / 10, tenths % 10, unit.0))
    }
}

/// A part of a whole in per cent: `7.3 %`.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// The part.
    pub part: u64,
    /// The whole.
    pub whole: u64,
}

impl Display for Share {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.whole == 0 {
            return padded(f, format_args!("-"));
        }
        let tenths = rounded(self.part, self.whole, 1_000);
        padded(f, format_args!("{}.{} %", tenths / 10, tenths % 10))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn three_digits_and_a_unit() {
        let cases = [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 us"),
            (9_994, "9.99 us"),
            (9_996, "10.0 us"),
            (99_960, "100 us"),
            (999_499, "999 us"),
            (999_500, "1.00 ms"),
            (1_234_567_890, "1.23 s"),
            (u64::MAX, "18446744074 s"),
        ];
        for (value, shown) in cases {
            assert_eq!(format!("{}", Nanoseconds(value)), shown);
        }
        assert_eq!(
            format!("{:>9}|{:<9}|", PerSecond(4_207_000), PerSecond(3)),
            " 4.21 M/s|3 /s     |"
        );
    }

    #[test]
    fn groups_and_bytes() {
        assert_eq!(
            format!("{} {} {}", Count(7), Count(1_000), Count(12_345_678)),
            "7 1,000 12,345,678"
        );
        assert_eq!(format!("{}", Count(u64::MAX)), "18,446,744,073,709,551,615");
        let bytes = [0, 1023, 4096, 1536, 520_093_696].map(|n| format!("{}", Bytes(n)));
        assert_eq!(bytes, ["0 B", "1023 B", "4 KiB", "1.5 KiB", "496 MiB"]);
        assert_eq!(format!("{:>7}", Share { part: 73, whole: 1000 }), "  7.3 %");
        assert_eq!(format!("{}", Share { part: 1, whole: 0 }), "-");
    }
}
