//! Tables made by hand, damaged, and made up.

extern crate std;

use super::*;
use proptest::prelude::*;
use std::string::String;
use std::vec;
use std::vec::Vec;

const BLOCKS: u64 = 1000;

/// A header block and its entries: one partition at 40 to 49, one that leaves the disk.
fn table() -> (Vec<u8>, Vec<u8>) {
    let mut entries = vec![0; 4 * 128];
    for (slot, (first, last)) in [(1, (40u64, 49u64)), (2, (900, 2000))] {
        let entry = &mut entries[slot * 128..][..128];
        entry[..16].copy_from_slice(&[7; 16]);
        entry[32..40].copy_from_slice(&first.to_le_bytes());
        entry[40..48].copy_from_slice(&last.to_le_bytes());
        for (at, unit) in "boot".encode_utf16().enumerate() {
            entry[56 + 2 * at..58 + 2 * at].copy_from_slice(&unit.to_le_bytes());
        }
    }
    let mut block = vec![0; 512];
    block[..8].copy_from_slice(&SIGNATURE);
    block[8..12].copy_from_slice(&0x0001_0000u32.to_le_bytes());
    block[12..16].copy_from_slice(&92u32.to_le_bytes());
    for (at, value) in [(24, 1u64), (32, BLOCKS - 1), (40, 34), (48, BLOCKS - 34), (72, 2)] {
        block[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    block[80..84].copy_from_slice(&4u32.to_le_bytes());
    block[84..88].copy_from_slice(&128u32.to_le_bytes());
    block[88..92].copy_from_slice(&crc32(&entries).to_le_bytes());
    sign(&mut block);
    (block, entries)
}

fn sign(block: &mut [u8]) {
    let sum = header_crc(&block[..92]);
    block[16..20].copy_from_slice(&sum.to_le_bytes());
}

#[test]
fn the_sum_is_the_usual_one() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
}

#[test]
fn a_sound_table() {
    let (block, entries) = table();
    let header = Header::new_checked(&block, 1, BLOCKS).unwrap();
    assert_eq!((header.entries_lba, header.entries_bytes()), (2, 512));
    let found: Vec<Entry> = header.entries(&entries).unwrap().collect();
    assert_eq!(found.len(), 1, "the one that leaves the disk is left out");
    assert_eq!((found[0].first, found[0].blocks()), (40, 10));
    assert_eq!(found[0].name().collect::<String>(), "boot");
    assert_eq!(found[0].kind, Guid([7; 16]));
}

#[test]
fn contradictions_are_refused() {
    let change = |at: usize, bytes: &[u8]| {
        let (mut block, _) = table();
        block[at..at + bytes.len()].copy_from_slice(bytes);
        sign(&mut block);
        Header::new_checked(&block, 1, BLOCKS)
    };
    assert!(change(24, &[1]).is_ok());
    for (at, bytes) in [(24, &[2]), (41, &[255]), (49, &[255]), (72, &[50]), (72, &[1]), (82, &[1])]
    {
        assert!(matches!(change(at, bytes), Err(GptError::Nonsense(_))), "{at}");
    }
    let (block, mut entries) = table();
    assert_eq!(
        Header::new_checked(&block, 1, 900),
        Err(GptError::Nonsense("its usable blocks are not on the disk"))
    );
    let header = Header::new_checked(&block, 1, BLOCKS).unwrap();
    assert!(header.entries(&entries[1..]).is_err());
    entries[140] ^= 1;
    assert_eq!(header.entries(&entries).err(), Some(GptError::Checksum));
    assert_eq!(Header::new_checked(&[0; 512], 1, BLOCKS), Err(GptError::Absent));
}

proptest! {
    /// A flipped bit anywhere in the header is seen.
    #[test]
    fn damage_is_seen(at in 0usize..92, bit in 0u8..8) {
        let (mut block, _) = table();
        block[at] ^= 1 << bit;
        prop_assert!(Header::new_checked(&block, 1, BLOCKS).is_err());
    }

    /// Signed nonsense does no harm, and what is let through is on the disk.
    #[test]
    fn signed_nonsense(
        fields in proptest::collection::vec((20usize..91, any::<u8>()), 0..40),
        junk in proptest::collection::vec(any::<u8>(), 0..2048),
        blocks: u64,
    ) {
        let (mut block, _) = table();
        for (at, byte) in fields {
            block[at] = byte;
        }
        sign(&mut block);
        for blocks in [blocks, BLOCKS] {
            if let Ok(mut header) = Header::new_checked(&block, 1, blocks) {
                prop_assert!(header.last_usable < blocks);
                prop_assert!(header.entries_bytes() <= MOST_ENTRY_BYTES as usize);
                let length = header.entries_bytes().min(junk.len());
                header.entries_crc = crc32(&junk[..length]);
                for entry in header.entries(&junk).into_iter().flatten() {
                    prop_assert!(entry.first <= entry.last && entry.last < blocks);
                    let _ = entry.name().count();
                }
            }
        }
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..600), lba: u64, blocks: u64) {
        let _ = Header::new_checked(&bytes, lba, blocks);
    }
}
