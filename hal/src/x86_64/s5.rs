//! Finding what to write for "soft off" without an AML interpreter.
//!
//! The DSDT says `Name (_S5, Package () {a, b, …})`, where a and b are the SLP_TYP values for PM1a
//! and PM1b. Compiled, that is a fixed byte pattern (ACPI 6.5, 20.2), which every firmware seen so
//! far emits literally. Firmware that computes the package instead is not understood, and then
//! power-off is "not supported".

const NAME_OP: u8 = 0x08;
const PACKAGE_OP: u8 = 0x12;
const ZERO_OP: u8 = 0x00;
const ONE_OP: u8 = 0x01;
const BYTE_PREFIX: u8 = 0x0a;

/// The SLP_TYP values for PM1a and PM1b that turn the machine off, if `dsdt` has them in the
/// literal form. Looks at each byte once.
pub fn sleep_types(dsdt: &[u8]) -> Option<[u8; 2]> {
    dsdt.windows(5).enumerate().filter(|(_, name)| name == b"_S5_\x12").find_map(|(at, _)| {
        // `Name` stands before, perhaps with a root prefix between.
        let before = |n: usize| at.checked_sub(n).and_then(|i| dsdt.get(i)).copied();
        let named =
            before(1) == Some(NAME_OP) || before(1) == Some(b'\\') && before(2) == Some(NAME_OP);
        debug_assert_eq!(dsdt.get(at + 4), Some(&PACKAGE_OP));
        named.then(|| package(dsdt.get(at + 5..)?)).flatten()
    })
}

/// PkgLength, element count, then at least two small integers.
fn package(bytes: &[u8]) -> Option<[u8; 2]> {
    let length_bytes = 1 + usize::from(bytes.first()? >> 6);
    let count = *bytes.get(length_bytes)?;
    let (a, rest) = integer(bytes.get(length_bytes + 1..)?)?;
    let b = if count >= 2 { integer(rest)?.0 } else { a };
    (count >= 1 && a < 8 && b < 8).then_some([a, b])
}

fn integer(bytes: &[u8]) -> Option<(u8, &[u8])> {
    match *bytes {
        [ZERO_OP, ref rest @ ..] => Some((0, rest)),
        [ONE_OP, ref rest @ ..] => Some((1, rest)),
        [BYTE_PREFIX, value, ref rest @ ..] => Some((value, rest)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_literal_forms() {
        // As QEMU's q35 has it: Package (4) {0, 0, 0, 0}.
        let q35 = b"\x10\x08_S5_\x12\x06\x04\x00\x00\x00\x00rest";
        assert_eq!(sleep_types(q35), Some([0, 0]));
        let bytes = b"..\x08_S5_\x12\x08\x04\x0a\x05\x0a\x07\x00\x00";
        assert_eq!(sleep_types(bytes), Some([5, 7]));
        let rooted = b"\x08\\_S5_\x12\x40\x08\x02\x01\x0a\x03";
        assert_eq!(sleep_types(rooted), Some([1, 3]));
    }

    #[test]
    fn passes_over_what_it_does_not_understand() {
        assert_eq!(sleep_types(b""), None);
        assert_eq!(sleep_types(b"\x08_S5_"), None);
        assert_eq!(sleep_types(b"\x08_S5_\x12"), None);
        assert_eq!(sleep_types(b"\x08_S5_\x12\x06\x04"), None);
        assert_eq!(sleep_types(b"x_S5_\x12\x06\x04\x00\x00\x00\x00"), None, "a mention, no name");
        assert_eq!(sleep_types(b"\x08_S5_\x12\x06\x04\x0a\x09\x00"), None, "three bits only");
        assert_eq!(sleep_types(b"\x14_S5_\x12\x08_S5_\x12\x06\x02\x01\x01"), Some([1, 1]));
    }
}
