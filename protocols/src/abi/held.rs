//! What a process holds, as [`super::Syscall::CapabilityList`] tells it.

use super::{Handle, ObjectKind, Rights};

/// A capability of the process that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its handle.
    pub handle: Handle,
    /// What it names.
    pub kind: ObjectKind,
    /// What it allows.
    pub rights: Rights,
}

impl Held {
    /// Bytes of one.
    pub const BYTES: usize = 16;

    /// Little-endian: handle (4), kind (1), 3 zero, rights (4), 4 zero.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&self.handle.0.to_le_bytes());
        bytes[4] = self.kind as u8;
        bytes[8..12].copy_from_slice(&self.rights.bits().to_le_bytes());
        bytes
    }

    /// Reads what [`Held::to_bytes`] wrote; `None` if this version does not know the kind. Rights
    /// that it does not know are left out.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let half = |at: usize| {
            let mut le = [0; 4];
            le.copy_from_slice(&bytes[at..at + 4]);
            u32::from_le_bytes(le)
        };
        Some(Self {
            handle: Handle(half(0)),
            kind: ObjectKind::from_raw(bytes[4])?,
            rights: Rights::from_bits_truncate(half(8)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: [u8; Held::BYTES]) {
            if let Some(held) = Held::from_bytes(&bytes) {
                prop_assert_eq!(Held::from_bytes(&held.to_bytes()), Some(held));
                prop_assert_eq!(&held.to_bytes()[..5], &bytes[..5]);
            }
        }
    }
}
