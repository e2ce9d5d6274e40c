//! Names of programs, for people.

use alloc::vec::Vec;
use core::fmt;

use super::encoding::{Field, Malformed, Reader};

/// A program's name, for people: UTF-8, cut at 24 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name {
    bytes: [u8; Self::MOST],
    len: u8,
}

impl Name {
    /// Most bytes of a name.
    pub const MOST: usize = 24;

    /// As much of `text` as there is room for.
    pub fn new(text: &str) -> Self {
        let mut len = text.len().min(Self::MOST);
        while !text.is_char_boundary(len) {
            len -= 1;
        }
        let mut bytes = [0; Self::MOST];
        bytes[..len].copy_from_slice(&text.as_bytes()[..len]);
        Self { bytes, len: len as u8 }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or("")
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Field for Name {
    fn put(&self, out: &mut Vec<u8>) {
        self.len.put(out);
        out.extend_from_slice(self.as_str().as_bytes());
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let begun = from.malformed();
        let len: u8 = from.take()?;
        if usize::from(len) > Self::MOST {
            return Err(begun);
        }
        let text = core::str::from_utf8(from.bytes(len.into())?).map_err(|_| begun)?;
        Ok(Self::new(text))
    }
}
