//! A message's body, taken out of its framing as it comes, in slices of any size (RFC 9112
//! sections 6 and 7).
//!
//! ```text
//!                   digit            CR          LF, size > 0            all of it
//!   chunked:  Size ◄──────► Size ──► SizeEnd ──────────────► Data ────────────────► DataCr
//!              ▲     ;       │         │ LF, size = 0                                 │ CR
//!              │ LF          ▼         ▼                                              ▼
//!            DataLf ◄──  Extension   Trailer ──► empty line ──► Done                DataLf
//! ```

use super::{Framing, HEAD_MAX};

/// Most bytes of one chunk's extension, which nobody reads.
const EXTENSION_MAX: u16 = 1024;
/// Most bytes of the fields after the last chunk, which nobody reads either.
const TRAILER_MAX: u16 = HEAD_MAX as u16;

/// Why a body is broken. The connection is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum BodyError {
    /// A chunk's head is no number, or the end of a chunk is not where it should be.
    #[error("the body's chunks are malformed")]
    Chunk,
    /// Extensions or trailers without end.
    #[error("the body's chunks carry too much beside the data")]
    TooLarge,
    /// The connection ended before the body.
    #[error("the connection ended before the body did")]
    Truncated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes of data are left. Of a chunk if [`Body::chunked`].
    Data(u64),
    UntilClose,
    /// In a chunk's size; whether it has a digit yet.
    Size(u64, Digits),
    /// In what may follow it; so many bytes of that so far.
    Extension(u64, u16),
    /// After its carriage return.
    SizeEnd(u64),
    DataCr,
    DataLf,
    /// In the fields after the last chunk: bytes of them so far, bytes of this line so far.
    Trailer(u16, u16),
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Digits {
    None,
    Some,
}

/// A body being received.
#[derive(Clone, Copy, Debug)]
pub struct Body {
    state: State,
    chunked: bool,
}

/// What some bytes were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The data among them, which may be none.
    pub data: &'a [u8],
    /// How many of the bytes that has used up; the rest is to be fed again, unless the body is
    /// complete.
    pub consumed: usize,
}

impl Body {
    /// A body of which nothing has come yet.
    pub const fn new(framing: Framing) -> Self {
        let (state, chunked) = match framing {
            Framing::Length(0) => (State::Done, false),
            Framing::Length(length) => (State::Data(length), false),
            Framing::Chunked => (State::Size(0, Digits::None), true),
            Framing::UntilClose => (State::UntilClose, false),
        };
        Self { state, chunked }
    }

    /// Whether all of it has come. What comes next on the connection is no part of it.
    pub fn is_complete(&self) -> bool {
        self.state == State::Done
    }

    /// The connection has ended.
    ///
    /// # Errors
    /// The body has not.
    pub fn closed(&mut self) -> Result<(), BodyError> {
        if self.state == State::UntilClose {
            self.state = State::Done;
        }
        if self.is_complete() { Ok(()) } else { Err(BodyError::Truncated) }
    }

    /// Takes the first piece of data out of `bytes`. To be called until all are consumed or the
    /// body is complete; each call consumes something unless one of these holds.
    ///
    /// # Errors
    /// The framing is broken.
    pub fn feed<'a>(&mut self, bytes: &'a [u8]) -> Result<Piece<'a>, BodyError> {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            match &mut self.state {
                State::Done => return Ok(Piece { data: &[], consumed: at }),
                State::UntilClose => return Ok(Piece { data: rest, consumed: bytes.len() }),
                _ if rest.is_empty() => return Ok(Piece { data: &[], consumed: at }),
                State::Data(left) => {
                    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= count as u64;
                    if *left == 0 {
                        self.state = if self.chunked { State::DataCr } else { State::Done };
                    }
                    return Ok(Piece { data: &rest[..count], consumed: at + count });
                }
                state => *state = state.after(rest[0])?,
            }
            at += 1;
        }
    }
}

impl State {
    /// The state after a byte of framing.
    fn after(self, byte: u8) -> Result<Self, BodyError> {
        Ok(match (self, byte) {
            (Self::Size(size, _), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = u64::from(char::from(byte).to_digit(16).unwrap_or(0));
                let size = size.checked_mul(16).ok_or(BodyError::Chunk)? | digit;
                Self::Size(size, Digits::Some)
            }
            (Self::Size(size, Digits::Some) | Self::Extension(size, _), b'\r') => {
                Self::SizeEnd(size)
            }
            (Self::Size(size, Digits::Some), b';' | b' ' | b'\t') => Self::Extension(size, 0),
            (Self::Extension(_, EXTENSION_MAX), _) => return Err(BodyError::TooLarge),
            // A line feed alone ends no line here: others would see another end.
            (Self::Extension(size, seen), other) if other != b'\n' => {
                Self::Extension(size, seen + 1)
            }
            (Self::SizeEnd(0), b'\n') => Self::Trailer(0, 0),
            (Self::SizeEnd(size), b'\n') => Self::Data(size),
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::Size(0, Digits::None),
            (Self::Trailer(_, 0), b'\n') => Self::Done,
            (Self::Trailer(TRAILER_MAX, _), _) => return Err(BodyError::TooLarge),
            (Self::Trailer(seen, _), b'\n') => Self::Trailer(seen + 1, 0),
            (Self::Trailer(seen, line), b'\r') => Self::Trailer(seen + 1, line),
            (Self::Trailer(seen, line), _) => Self::Trailer(seen + 1, line + 1),
            _ => return Err(BodyError::Chunk),
        })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::vec::Vec;

    /// All data of a body, and how many bytes it took.
    fn whole(framing: Framing, bytes: &[u8], step: usize) -> Result<(Vec<u8>, usize), BodyError> {
        let (mut body, mut data, mut at) = (Body::new(framing), Vec::new(), 0);
        while !body.is_complete() {
            if at == bytes.len() {
                body.closed()?;
                break;
            }
            let end = (at + step).min(bytes.len());
            let piece = body.feed(&bytes[at..end])?;
            assert!(piece.consumed > 0);
            data.extend_from_slice(piece.data);
            at += piece.consumed;
        }
        Ok((data, at))
    }

    #[test]
    fn framings_in_any_slices() {
        let chunks = b"4\r\nWiki\r\n5 ;a=\"b\"\r\npedia\r\n000\r\nExpires: never\r\n\r\nnext";
        for step in 1..chunks.len() {
            let (data, used) = whole(Framing::Chunked, chunks, step).unwrap();
            assert_eq!((data.as_slice(), used), (&b"Wikipedia"[..], chunks.len() - 4));
            let (data, used) = whole(Framing::Length(7), b"1234567next", step).unwrap();
            assert_eq!((data.as_slice(), used), (&b"1234567"[..], 7));
            let (data, _) = whole(Framing::UntilClose, b"all of it", step).unwrap();
            assert_eq!(data, b"all of it");
        }
        assert_eq!(whole(Framing::Length(0), b"next", 1), Ok((Vec::new(), 0)));
    }

    #[test]
    fn broken_ones_are_found() {
        let chunked = |bytes: &[u8]| whole(Framing::Chunked, bytes, 3).unwrap_err();
        for bad in
            ["x\r\n", "\r\n", "-1\r\n", "1\n", "1\r\nab\r\n", "1;x\n", "11111111111111111\r\n"]
        {
            assert_eq!(chunked(bad.as_bytes()), BodyError::Chunk, "{bad:?}");
        }
        for short in ["", "5", "5\r\nabc", "5\r\nabcde", "0\r\n", "0\r\nX: y\r\n"] {
            assert_eq!(chunked(short.as_bytes()), BodyError::Truncated, "{short:?}");
        }
        assert_eq!(whole(Framing::Length(3), b"ab", 3), Err(BodyError::Truncated));
        let endless = [b"1;".as_slice(), &[b'x'; 2000]].concat();
        assert_eq!(chunked(&endless), BodyError::TooLarge);
        let endless = [b"0\r\n".as_slice(), &b"X: y\r\n".repeat(2000)].concat();
        assert_eq!(chunked(&endless), BodyError::TooLarge);
    }
}
