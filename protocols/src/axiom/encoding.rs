//! The canonical encoding: numbers as little-endian base-128 in the fewest bytes, everything else
//! byte by byte. Each value has one encoding, and bytes that are no encoding of anything are
//! refused: so two encodings are equal exactly if what they say is.

use alloc::vec::Vec;

use super::chain::Hash;
use super::commit::{Budget, CapabilityId, ObjectId};
use crate::abi::{Handle, ObjectKind, Rights};

/// Bytes that are no encoding: truncated, too long, or not the shortest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
#[error("no canonical encoding at byte {at}")]
pub struct Malformed {
    /// The first byte that cannot be.
    pub at: usize,
}

/// What is left to be read.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub const fn malformed(&self) -> Malformed {
        Malformed { at: self.at }
    }

    pub const fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Everything must have been read.
    pub fn finish(self) -> Result<(), Malformed> {
        if self.is_at_end() { Ok(()) } else { Err(self.malformed()) }
    }

    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(count).ok_or(self.malformed())?;
        let bytes = self.bytes.get(self.at..end).ok_or(self.malformed())?;
        self.at = end;
        Ok(bytes)
    }

    pub fn take<T: Field>(&mut self) -> Result<T, Malformed> {
        T::take(self)
    }
}

/// A value with an encoding.
pub trait Field: Sized {
    /// Appends it.
    fn put(&self, out: &mut Vec<u8>);
    /// Reads it.
    fn take(from: &mut Reader<'_>) -> Result<Self, Malformed>;
}

impl Field for u64 {
    fn put(&self, out: &mut Vec<u8>) {
        let mut left = *self;
        while left >= 0x80 {
            out.push(left as u8 | 0x80);
            left >>= 7;
        }
        out.push(left as u8);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let begun = from.malformed();
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = u64::from(from.bytes(1)?[0]);
            let part = byte & 0x7f;
            if part << shift >> shift != part || (byte == 0 && shift > 0) {
                return Err(begun);
            }
            value |= part << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(begun)
    }
}

macro_rules! narrow {
    ($($number:ty),*) => {$(
        impl Field for $number {
            fn put(&self, out: &mut Vec<u8>) {
                u64::from(*self).put(out);
            }

            fn take(from: &mut Reader<'_>) -> Result<Self, Malformed> {
                let begun = from.malformed();
                Self::try_from(u64::take(from)?).map_err(|_| begun)
            }
        }
    )*};
}

narrow!(u8, u16, u32);

/// By its bits.
impl Field for i32 {
    fn put(&self, out: &mut Vec<u8>) {
        self.cast_unsigned().put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        u32::take(from).map(u32::cast_signed)
    }
}

impl<const N: usize> Field for [u8; N] {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(from.bytes(N)?);
        Ok(bytes)
    }
}

impl Field for Handle {
    fn put(&self, out: &mut Vec<u8>) {
        (self.index() as u64).put(out);
        self.generation().put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (index, generation) = (from.take()?, from.take()?);
        Ok(Self::new(index, generation))
    }
}

impl Field for Rights {
    fn put(&self, out: &mut Vec<u8>) {
        self.bits().put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let begun = from.malformed();
        Self::from_bits(from.take()?).ok_or(begun)
    }
}

impl Field for ObjectKind {
    fn put(&self, out: &mut Vec<u8>) {
        (*self as u8).put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let begun = from.malformed();
        Self::from_raw(from.take()?).ok_or(begun)
    }
}

impl Field for Budget {
    fn put(&self, out: &mut Vec<u8>) {
        let Self { frames, threads, handles, messages } = self;
        frames.put(out);
        [threads, handles, messages].iter().for_each(|number| number.put(out));
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let frames = from.take()?;
        let [threads, handles, messages] = [from.take()?, from.take()?, from.take()?];
        Ok(Self { frames, threads, handles, messages })
    }
}

macro_rules! wrapped {
    ($($type:ident),*) => {$(
        impl Field for $type {
            fn put(&self, out: &mut Vec<u8>) {
                self.0.put(out);
            }

            fn take(from: &mut Reader<'_>) -> Result<Self, Malformed> {
                from.take().map(Self)
            }
        }
    )*};
}

wrapped!(ObjectId, CapabilityId, Hash);
