//! Tests of the ELF checks: one broken file for each error, and mutated files for panics.

use super::*;
use proptest::prelude::*;

const BASE: u64 = HIGHER_HALF + 0x10_0000;

/// An ELF file with the given segments: (flags, address, content, bytes in memory).
fn build(entry: u64, segments: &[(u32, u64, &[u8], u64)]) -> Vec<u8> {
    let mut file = vec![0; HEADER + PROGRAM_HEADER * segments.len()];
    file[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\x00");
    file[16..18].copy_from_slice(&2_u16.to_le_bytes());
    file[18..20].copy_from_slice(&62_u16.to_le_bytes());
    file[24..32].copy_from_slice(&entry.to_le_bytes());
    file[32..40].copy_from_slice(&64_u64.to_le_bytes());
    file[54..56].copy_from_slice(&56_u16.to_le_bytes());
    file[56..58].copy_from_slice(&u16::try_from(segments.len()).unwrap().to_le_bytes());
    for (index, (flags, address, content, memory)) in segments.iter().enumerate() {
        let offset = file.len() as u64;
        let row = HEADER + PROGRAM_HEADER * index;
        file[row..row + 4].copy_from_slice(&1_u32.to_le_bytes());
        file[row + 4..row + 8].copy_from_slice(&flags.to_le_bytes());
        for (at, value) in [(8, offset), (16, *address), (32, content.len() as u64), (40, *memory)]
        {
            file[row + at..row + at + 8].copy_from_slice(&value.to_le_bytes());
        }
        file.extend_from_slice(content);
    }
    file
}

fn good() -> Vec<u8> {
    build(
        BASE,
        &[
            (5, BASE, b"code", 4),
            (4, BASE + 0x1000, b"rodata", 6),
            (6, BASE + 0x2010, b"data", 0x2000),
        ],
    )
}

#[test]
fn a_good_kernel_is_placed() {
    let file = good();
    let kernel = Kernel::parse(&file).unwrap();
    assert_eq!((kernel.base, kernel.image_len, kernel.segments().len()), (BASE, 0x5000, 3));
    let mut image = vec![0; 0x5000];
    kernel.place(&file, &mut image);
    assert_eq!(&image[..5], b"code\0");
    assert_eq!(&image[0x1000..0x1007], b"rodata\0");
    assert_eq!(&image[0x2010..0x2015], b"data\0");
}

#[test]
fn each_fault_is_named() {
    let patched = |at: usize, value: &[u8]| {
        let mut file = good();
        file[at..at + value.len()].copy_from_slice(value);
        Kernel::parse(&file).unwrap_err()
    };
    assert_eq!(Kernel::parse(b""), Err(ElfError::NotElf));
    assert_eq!(Kernel::parse(b"MZ not an elf"), Err(ElfError::NotElf));
    assert_eq!(Kernel::parse(&good()[..40]), Err(ElfError::HeadersTruncated));
    assert_eq!(Kernel::parse(&good()[..HEADER + 60]), Err(ElfError::HeadersTruncated));
    let cut = good();
    assert_eq!(Kernel::parse(&cut[..cut.len() - 1]), Err(ElfError::SegmentTruncated(2)));
    assert_eq!(patched(4, &[1]), ElfError::Class);
    assert_eq!(patched(18, &[183, 0]), ElfError::Machine(183));
    assert_eq!(patched(16, &[3]), ElfError::PositionIndependent);
    assert_eq!(patched(16, &[1]), ElfError::NotExecutable(1));
    assert_eq!(patched(54, &[32]), ElfError::ProgramHeaderSize(32));
    assert_eq!(patched(32, &[0xff; 8]), ElfError::HeadersTruncated);
    assert_eq!(patched(56, &[0]), ElfError::NothingToLoad);
    assert_eq!(patched(64 + 8, &[0xff; 8]), ElfError::SegmentTruncated(0));
    assert_eq!(patched(64 + 4, &[7]), ElfError::WritableExecutable(0));
    assert_eq!(patched(64 + 4, &[4]), ElfError::Entry);
    assert_eq!(patched(24, &[0; 8]), ElfError::Entry);
    assert_eq!(patched(64, &[2]), ElfError::PositionIndependent);

    let low = build(0x40_0000, &[(5, 0x40_0000, b"code", 4)]);
    assert_eq!(Kernel::parse(&low), Err(ElfError::LowerHalf(0)));
    let shrunk = build(BASE, &[(5, BASE, b"code", 2)]);
    assert_eq!(Kernel::parse(&shrunk), Err(ElfError::FileLargerThanMemory(0)));
    let wraps = build(BASE, &[(5, BASE, b"code", u64::MAX - 0xfff)]);
    assert_eq!(Kernel::parse(&wraps), Err(ElfError::Wraps(0)));
    let last_page = build(u64::MAX - 15, &[(5, u64::MAX - 15, b"code", 8)]);
    assert_eq!(Kernel::parse(&last_page), Err(ElfError::Wraps(0)));
    let shared = build(BASE, &[(5, BASE, b"code", 4), (6, BASE + 0x800, b"data", 4)]);
    assert_eq!(Kernel::parse(&shared), Err(ElfError::Overlap(0, 1)));
    let twice = build(BASE, &[(5, BASE, b"code", 4), (5, BASE + 3, b"more", 4)]);
    assert_eq!(Kernel::parse(&twice), Err(ElfError::Overlap(0, 1)));
    let adjoining = build(BASE, &[(5, BASE, b"code", 4), (5, BASE + 4, b"more", 4)]);
    assert!(Kernel::parse(&adjoining).is_ok());
    let many = vec![(5, BASE, b"".as_slice(), 1); MAX_SEGMENTS + 1];
    let many: Vec<_> =
        many.iter().enumerate().map(|(i, s)| (s.0, s.1 + i as u64, s.2, s.3)).collect();
    assert_eq!(Kernel::parse(&build(BASE, &many)), Err(ElfError::TooManySegments));
}

proptest! {
    #[test]
    fn mutated_files_never_panic(
        changes in proptest::collection::vec((0_usize..280, any::<u8>()), 0..12),
        cut in 0_usize..300,
    ) {
        let mut file = good();
        for (at, value) in changes {
            if let Some(byte) = file.get_mut(at) {
                *byte = value;
            }
        }
        file.truncate(cut.max(1));
        if let Ok(kernel) = Kernel::parse(&file) {
            prop_assert!(kernel.may_execute(kernel.entry));
            prop_assert!(kernel.base >= HIGHER_HALF && kernel.image_len <= 1 << 31);
            for segment in kernel.segments() {
                prop_assert!(!(segment.writable && segment.executable));
                prop_assert!(segment.first_page() >= kernel.base);
                prop_assert!(segment.end_page() <= kernel.base + kernel.image_len);
                prop_assert!(segment.offset + segment.file_len <= file.len());
            }
            // Placing into too small an image places less and does not panic.
            kernel.place(&file, &mut [0; 64]);
        }
    }

    #[test]
    fn rubbish_never_panics(tail in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Kernel::parse(&tail);
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.extend_from_slice(&tail);
        let _ = Kernel::parse(&file);
    }
}
