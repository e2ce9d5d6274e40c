//! Tables made by hand, damaged, and made up.

extern crate std;

use super::*;
use proptest::prelude::*;
use std::string::String;
use std::vec;
use std::vec::Vec;

const BLOCKS: u64 = 1000;

/// A header block and its entries: a partition at 40 to 49 and one after it, in the second and
/// fourth place.
fn table() -> (Vec<u8>, Vec<u8>) {
    table_of(&[(1, 40, 49), (3, 50, 50)])
}

/// A table with entries in these places, of these first and last blocks.
fn table_of(partitions: &[(usize, u64, u64)]) -> (Vec<u8>, Vec<u8>) {
    let mut entries = vec![0; 4 * 128];
    for &(slot, first, last) in partitions {
        let entry = &mut entries[slot * 128..][..128];
        entry[..16].copy_from_slice(&[7; 16]);
        entry[32..40].copy_from_slice(&first.to_le_bytes());
        entry[40..48].copy_from_slice(&last.to_le_bytes());
        entry[48] = 4;
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
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].number, found[0].first, found[0].blocks()), (2, 40, 10));
    assert_eq!((found[1].number, found[1].first, found[1].blocks()), (4, 50, 1));
    assert_eq!(found[0].attributes, Attributes::LEGACY_BOOTABLE);
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

#[test]
fn partitions_that_cannot_be_are_refused() {
    let entries_of = |partitions: &[(usize, u64, u64)]| {
        let (block, entries) = table_of(partitions);
        let header = Header::new_checked(&block, 1, BLOCKS).unwrap();
        header.entries(&entries).map(Iterator::count)
    };
    assert_eq!(entries_of(&[]), Ok(0));
    assert_eq!(entries_of(&[(0, 34, 40), (1, 41, BLOCKS - 34)]), Ok(2));
    let overlap = Err(GptError::Nonsense("two partitions overlap"));
    assert_eq!(entries_of(&[(0, 34, 40), (3, 40, 50)]), overlap);
    assert_eq!(entries_of(&[(1, 45, 46), (2, 40, 50)]), overlap);
    let beyond = Err(GptError::Nonsense("a partition reaches beyond the usable blocks"));
    assert_eq!(entries_of(&[(0, 33, 40)]), beyond);
    assert_eq!(entries_of(&[(0, 34, 40), (1, 900, BLOCKS)]), beyond);
    let backward = Err(GptError::Nonsense("a partition ends before it begins"));
    assert_eq!(entries_of(&[(0, 41, 40)]), backward);
}

#[test]
fn the_backup_agrees_or_not() {
    let read = |block: &[u8], lba| Header::new_checked(block, lba, BLOCKS).unwrap();
    let (block, _) = table();
    let primary = read(&block, 1);
    let mut backup = block.clone();
    backup[24..32].copy_from_slice(&(BLOCKS - 1).to_le_bytes());
    backup[72..80].copy_from_slice(&(BLOCKS - 3).to_le_bytes());
    sign(&mut backup);
    assert!(primary.agrees_with(&read(&backup, BLOCKS - 1)));
    backup[88] ^= 1;
    sign(&mut backup);
    assert!(!primary.agrees_with(&read(&backup, BLOCKS - 1)));
}

#[test]
fn first_blocks() {
    let mut block = [0; 512];
    assert_eq!(FirstBlock::of(&block), FirstBlock::Unknown);
    block[510..].copy_from_slice(&[0x55, 0xaa]);
    assert_eq!(FirstBlock::of(&block), FirstBlock::Unknown);
    block[446..462].copy_from_slice(&[0x80, 0, 0, 0, 0x0c, 0, 0, 0, 0, 8, 0, 0, 0, 16, 0, 0]);
    assert_eq!(FirstBlock::of(&block), FirstBlock::Mbr);
    block[450] = 0xee;
    assert_eq!(FirstBlock::of(&block), FirstBlock::Protective);
    block[..3].copy_from_slice(&[0xeb, 0x58, 0x90]);
    block[11..17].copy_from_slice(&[0, 2, 8, 32, 0, 2]);
    assert_eq!(FirstBlock::of(&block), FirstBlock::FatVolume);
    block[510] = 0;
    assert_eq!(FirstBlock::of(&block), FirstBlock::Unknown);
    assert_eq!(FirstBlock::of(&block[..300]), FirstBlock::Unknown);
}

/// Two million tables, random and damaged, signed so that the sums do not hide the rest.
#[test]
fn millions_of_tables() {
    let (block, entries) = table();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8
    };
    let (mut headers, mut tables) = (0u32, 0u32);
    for _ in 0..2_000_000u32 {
        let mut block = block.clone();
        for _ in 0..random() % 4 {
            let value = random();
            let at = 8 + (value % 84) as usize;
            // Small numbers and flipped bits get further than anything else.
            match value >> 40 & 3 {
                0 => block[at] = (value >> 16) as u8,
                1 => block[at] ^= 1 << (value >> 16 & 7),
                _ => block[at] = (value >> 16) as u8 % 5,
            }
        }
        sign(&mut block);
        let Ok(mut header) = Header::new_checked(&block, 1, BLOCKS) else { continue };
        headers += 1;
        let mut entries = entries.clone();
        for _ in 0..random() % 4 {
            let value = random();
            entries[(value % 512) as usize] = (value >> 16) as u8;
        }
        let length = header.entries_bytes().min(entries.len());
        header.entries_crc = crc32(&entries[..length]);
        let Ok(found) = header.entries(&entries) else { continue };
        tables += 1;
        for entry in found {
            assert!(entry.first <= entry.last && entry.last < BLOCKS);
            assert!(entry.name().count() <= 36);
        }
    }
    assert!(headers > 100_000 && tables > 50_000, "{headers} headers, {tables} tables");
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
        let _ = FirstBlock::of(&bytes);
    }
}
