//! Millions of inputs for everything that reads what a device or an HBA wrote: none may panic.

use super::{Fis, Header, LinkStatus, Piece, PortCommand, Signature, TaskFile, kind};
use crate::ata::fuzz::Numbers;

#[test]
fn no_frame_and_no_register_makes_a_reader_panic() {
    let mut numbers = Numbers(0x0123_4567_89ab_cdef);
    let kinds = [
        kind::TO_DEVICE,
        kind::TO_HOST,
        kind::DMA_ACTIVATE,
        kind::DMA_SETUP,
        kind::PIO_SETUP,
        kind::DEVICE_BITS,
    ];
    let mut read = 0u32;
    for round in 0..3_000_000usize {
        let words: [u64; 4] = core::array::from_fn(|_| numbers.next());
        let mut bytes = [0; 32];
        for (part, word) in bytes.chunks_exact_mut(8).zip(words) {
            part.copy_from_slice(&word.to_le_bytes());
        }
        if round % 8 != 0 {
            bytes[0] = kinds[round % kinds.len()];
        }
        let length = (words[0] >> 40) as usize % 40;
        read += u32::from(Fis::new_checked(&bytes[..length.min(32)]).is_ok());
        let (header, piece) = (Header::read(words), Piece::read([words[0], words[1]]));
        assert_eq!(Header::read(header.words()), header);
        assert_eq!(Piece::read(piece.words()), piece);
        let raw = words[3] as u32;
        let _ = (LinkStatus(raw).detection(), Signature::new(raw), TaskFile(raw).outcome());
        let _ = PortCommand(raw).without(words[2] as u32);
    }
    assert!(read > 500_000, "too few sensible frames: {read}");
}
