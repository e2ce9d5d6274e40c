//! Globally unique identifiers as they lie on a disk: the first three fields little-endian.

use core::fmt;

/// A GUID by its bytes on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Guid(pub [u8; 16]);

impl Guid {
    /// No GUID: an entry not in use.
    pub const ZERO: Self = Self([0; 16]);
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a0, a1, a2, a3, b0, b1, c0, c1, d @ ..] = self.0;
        let a = u32::from_le_bytes([a0, a1, a2, a3]);
        let (b, c) = (u16::from_le_bytes([b0, b1]), u16::from_le_bytes([c0, c1]));
        write!(f, "{a:08x}-{b:04x}-{c:04x}-{:02x}{:02x}-", d[0], d[1])?;
        d[2..].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
