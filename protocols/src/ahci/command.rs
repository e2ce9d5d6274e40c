//! A port's list of commands, and each command's table (AHCI 1.3.1, section 4.2.2 and 4.2.3).
//!
//! ```text
//!   list: 32 headers of 32 bytes ──> table: 0x00 the frame with the command (64 bytes)
//!                                           0x40 a packet (16 bytes, not used here)
//!                                           0x80 pieces of memory, 16 bytes each
//! ```

/// Commands a list holds.
pub const SLOTS: usize = 32;
/// Bytes of a header.
pub const COMMAND_BYTES: usize = 32;
/// Where the pieces of memory begin in a table. Tables begin at multiples of 128 bytes.
pub const PRDT_OFFSET: usize = 0x80;
/// Most bytes of one piece.
pub const PIECE_MOST: u64 = 4 << 20;
/// Words of 32 bits of the frame that a command is sent in.
const FRAME_WORDS: u64 = 5;
/// Header bit: data go to the device.
pub const WRITES_DEVICE: u64 = 1 << 6;

/// A header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The table's address, a multiple of 128.
    pub table: u64,
    /// How many pieces of memory it has.
    pub pieces: u16,
    /// Whether data go to the device.
    pub writes_device: bool,
}

impl Header {
    /// As words, with the count of bytes transferred set to 0.
    pub const fn words(self) -> [u64; 4] {
        let write = if self.writes_device { WRITES_DEVICE } else { 0 };
        [FRAME_WORDS | write | (self.pieces as u64) << 16, self.table & !0x7f, 0, 0]
    }

    /// Reads it.
    pub const fn read(words: [u64; 4]) -> Self {
        Self {
            table: words[1] & !0x7f,
            pieces: (words[0] >> 16) as u16,
            writes_device: words[0] & WRITES_DEVICE != 0,
        }
    }
}

/// A piece of memory: an even address, and an even number of bytes from 2 to [`PIECE_MOST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins.
    pub address: u64,
    /// How long it is.
    pub bytes: u64,
}

impl Piece {
    /// As words.
    pub const fn words(self) -> [u64; 2] {
        [self.address & !1, (self.bytes.wrapping_sub(1) & 0x3f_ffff) << 32]
    }

    /// Reads it.
    pub const fn read(words: [u64; 2]) -> Self {
        Self { address: words[0] & !1, bytes: (words[1] >> 32 & 0x3f_ffff) + 1 }
    }
}

/// Makes pieces of pages: see [`merge`].
pub struct Pieces<I> {
    pages: I,
    left: u64,
    page_bytes: u64,
    next: Option<Piece>,
}

/// The pieces that `bytes` bytes in these pages of `page_bytes` bytes are: what lies side by side
/// is one piece, up to [`PIECE_MOST`]. Pages that are missing end it.
pub fn merge<I: Iterator<Item = u64>>(pages: I, page_bytes: u64, bytes: u64) -> Pieces<I> {
    Pieces { pages, left: bytes, page_bytes, next: None }
}

impl<I: Iterator<Item = u64>> Pieces<I> {
    fn page(&mut self) -> Option<Piece> {
        let bytes = self.left.min(self.page_bytes);
        if bytes == 0 {
            return None;
        }
        let address = self.pages.next()?;
        self.left -= bytes;
        Some(Piece { address, bytes })
    }
}

impl<I: Iterator<Item = u64>> Iterator for Pieces<I> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let mut piece = match self.next.take() {
            Some(piece) => piece,
            None => self.page()?,
        };
        while let Some(page) = self.page() {
            if piece.address.checked_add(piece.bytes) == Some(page.address)
                && piece.bytes + page.bytes <= PIECE_MOST
            {
                piece.bytes += page.bytes;
            } else {
                self.next = Some(page);
                break;
            }
        }
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn what_lies_side_by_side_is_one_piece() {
        let pages = [0x1000, 0x2000, 0x3000, 0x9000, 0xa000];
        let pieces: Vec<_> = merge(pages.into_iter(), 4096, 4 * 4096 + 512).collect();
        let expected = [
            Piece { address: 0x1000, bytes: 3 * 4096 },
            Piece { address: 0x9000, bytes: 4096 + 512 },
        ];
        assert_eq!(pieces, expected);
        let long: Vec<_> = merge((0..2000).map(|page| page * 4096), 4096, 8_000_000).collect();
        assert_eq!(long.len(), 2);
        assert_eq!(long[0].bytes, PIECE_MOST);
        let last = [u64::MAX - 4095, 0];
        assert_eq!(merge(last.into_iter(), 4096, 8192).count(), 2);
    }

    proptest! {
        /// The pieces are the pages, in order, none longer than allowed.
        #[test]
        fn nothing_is_lost(pages in proptest::collection::vec(0u64..40, 1..60), rest in 1u64..9) {
            let bytes = (pages.len() as u64 - 1) * 4096 + rest * 512;
            let pieces = merge(pages.iter().map(|page| page * 4096), 4096, bytes);
            let mut sectors = Vec::new();
            for piece in pieces {
                prop_assert!((1..=PIECE_MOST).contains(&piece.bytes));
                prop_assert_eq!(Piece::read(piece.words()), piece);
                sectors.extend((0..piece.bytes / 512).map(|sector| piece.address + sector * 512));
            }
            let expected: Vec<u64> = (0..bytes / 512)
                .map(|sector| pages[(sector / 8) as usize] * 4096 + sector % 8 * 512)
                .collect();
            prop_assert_eq!(sectors, expected);
        }

        #[test]
        fn headers_there_and_back(table in 0u64..1 << 57, pieces: u16, writes_device: bool) {
            let header = Header { table: table << 7, pieces, writes_device };
            prop_assert_eq!(Header::read(header.words()), header);
            prop_assert_eq!(header.words()[0] & 0x1f, 5);
        }
    }
}
