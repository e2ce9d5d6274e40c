//! Program images: which bytes of an ELF file go where in a new address space.
//!
//! Pollux runs static 64-bit x86-64 executables without relocations. Everything about the file is
//! checked here, before a frame is taken: an image that parses can be loaded by copying.
//!
//! Source: System V ABI, ELF-64 object file format; the reading itself is the `elf` crate's.

use crate::abi::{PAGE, Protection, USER_END, USER_START};
use elf::ElfBytes;
use elf::abi::{EM_X86_64, ET_EXEC, PF_R, PF_W, PF_X, PT_INTERP, PT_LOAD};
use elf::endian::LittleEndian;

/// Most loadable segments.
pub const SEGMENTS_MAX: usize = 8;
/// Most memory a program's segments may take: 64 MiB.
pub const IMAGE_BYTES_MAX: u64 = 64 << 20;

/// Why a file can't be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum ImageError {
    /// Not a little-endian ELF-64 file, or its tables lie outside of it.
    #[error("not an ELF-64 file, or cut short")]
    Malformed,
    /// Made for another machine.
    #[error("not for x86-64")]
    WrongMachine,
    /// Not a static executable: relocatable, position-independent or in need of an interpreter.
    #[error("not a static executable (link with relocation-model=static)")]
    NotStatic,
    /// No segments to load, or more than [`SEGMENTS_MAX`].
    #[error("no loadable segments, or more than {SEGMENTS_MAX}")]
    SegmentCount,
    /// A segment's bytes lie outside of the file, or it has more of them than memory.
    #[error("a segment's bytes lie outside of the file")]
    SegmentBytes,
    /// A segment lies outside of user space or the image is over [`IMAGE_BYTES_MAX`].
    #[error("a segment lies outside of user space, or the image is too large")]
    SegmentRange,
    /// Two segments share a page, or they are not in ascending order.
    #[error("segments overlap, share a page or are out of order")]
    SegmentOverlap,
    /// A segment is writable and executable.
    #[error("a segment is writable and executable")]
    WritableCode,
    /// The entry point is in no executable segment.
    #[error("the entry point is not in an executable segment")]
    Entry,
}

/// A piece of the address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// First byte; need not be page-aligned.
    pub address: u64,
    /// Bytes in memory; what `bytes` doesn't fill is zero.
    pub size: u64,
    /// What the file has for it, from `address` on.
    pub bytes: &'a [u8],
    /// How it may be used.
    pub protection: Protection,
}

impl Segment<'_> {
    /// Address of its first page.
    pub const fn first_page(&self) -> u64 {
        self.address & !(PAGE as u64 - 1)
    }

    /// Address after its last page.
    pub const fn end_page(&self) -> u64 {
        (self.address + self.size).next_multiple_of(PAGE as u64)
    }
}

/// A checked image.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    segments: [Option<Segment<'a>>; SEGMENTS_MAX],
    /// Where it starts.
    pub entry: u64,
}

impl<'a> Image<'a> {
    /// Checks `file` and plans its loading. Never panics, whatever the bytes.
    pub fn parse(file: &'a [u8]) -> Result<Self, ImageError> {
        let elf =
            ElfBytes::<LittleEndian>::minimal_parse(file).map_err(|_| ImageError::Malformed)?;
        if elf.ehdr.class != elf::file::Class::ELF64 {
            return Err(ImageError::Malformed);
        }
        if elf.ehdr.e_machine != EM_X86_64 {
            return Err(ImageError::WrongMachine);
        }
        if elf.ehdr.e_type != ET_EXEC {
            return Err(ImageError::NotStatic);
        }
        let headers = elf.segments().ok_or(ImageError::SegmentCount)?;
        let mut image = Self { segments: [None; SEGMENTS_MAX], entry: elf.ehdr.e_entry };
        let mut count = 0;
        let mut end = 0;
        let mut total = 0_u64;
        for header in headers {
            if header.p_type == PT_INTERP {
                return Err(ImageError::NotStatic);
            }
            if header.p_type != PT_LOAD || header.p_memsz == 0 {
                continue;
            }
            let slot = image.segments.get_mut(count).ok_or(ImageError::SegmentCount)?;
            let segment = Self::segment(file, &header)?;
            if segment.first_page() < end {
                return Err(ImageError::SegmentOverlap);
            }
            end = segment.end_page();
            total += end - segment.first_page();
            if total > IMAGE_BYTES_MAX {
                return Err(ImageError::SegmentRange);
            }
            *slot = Some(segment);
            count += 1;
        }
        if count == 0 {
            return Err(ImageError::SegmentCount);
        }
        let at_entry = |segment: &Segment<'_>| {
            segment.protection.contains(Protection::EXECUTE)
                && (segment.address..segment.address + segment.size).contains(&image.entry)
        };
        if !image.segments().any(|segment| at_entry(&segment)) {
            return Err(ImageError::Entry);
        }
        Ok(image)
    }

    fn segment(
        file: &'a [u8],
        header: &elf::segment::ProgramHeader,
    ) -> Result<Segment<'a>, ImageError> {
        let end = header.p_vaddr.checked_add(header.p_memsz).ok_or(ImageError::SegmentRange)?;
        if header.p_vaddr < USER_START || end > USER_END || header.p_memsz > IMAGE_BYTES_MAX {
            return Err(ImageError::SegmentRange);
        }
        let first = usize::try_from(header.p_offset).map_err(|_| ImageError::SegmentBytes)?;
        let len = usize::try_from(header.p_filesz).map_err(|_| ImageError::SegmentBytes)?;
        let past = first.checked_add(len).ok_or(ImageError::SegmentBytes)?;
        let bytes = file.get(first..past).ok_or(ImageError::SegmentBytes)?;
        if header.p_filesz > header.p_memsz {
            return Err(ImageError::SegmentBytes);
        }
        let mut protection = Protection::empty();
        for (flag, right) in [
            (PF_R, Protection::READ),
            (PF_W, Protection::READ | Protection::WRITE),
            (PF_X, Protection::READ | Protection::EXECUTE),
        ] {
            if header.p_flags & flag != 0 {
                protection |= right;
            }
        }
        if protection.contains(Protection::WRITE | Protection::EXECUTE) {
            return Err(ImageError::WritableCode);
        }
        Ok(Segment { address: header.p_vaddr, size: header.p_memsz, bytes, protection })
    }

    /// What to load, in ascending order.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'a>> + '_ {
        self.segments.iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    struct Program {
        kind: u16,
        machine: u16,
        entry: u64,
        // type, flags, offset, address, file size, memory size
        headers: Vec<(u32, u32, u64, u64, u64, u64)>,
    }

    impl Program {
        fn good() -> Self {
            Self {
                kind: ET_EXEC,
                machine: EM_X86_64,
                entry: 0x40_1000,
                headers: [
                    (PT_LOAD, PF_R, 0, 0x40_0000, 64, 64),
                    (PT_LOAD, PF_R | PF_X, 64, 0x40_1000, 32, 32),
                    (PT_LOAD, PF_R | PF_W, 96, 0x40_2010, 8, 9000),
                ]
                .into(),
            }
        }

        fn file(&self) -> Vec<u8> {
            let mut file = Vec::new();
            file.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
            file.extend(self.kind.to_le_bytes());
            file.extend(self.machine.to_le_bytes());
            file.extend(1_u32.to_le_bytes());
            file.extend(self.entry.to_le_bytes());
            file.extend(64_u64.to_le_bytes());
            file.extend(0_u64.to_le_bytes());
            file.extend(0_u32.to_le_bytes());
            for half in [64_u16, 56, self.headers.len() as u16, 64, 0, 0] {
                file.extend(half.to_le_bytes());
            }
            for (kind, flags, offset, address, in_file, in_memory) in &self.headers {
                file.extend(kind.to_le_bytes());
                file.extend(flags.to_le_bytes());
                for word in [*offset, *address, *address, *in_file, *in_memory, 4096] {
                    file.extend(word.to_le_bytes());
                }
            }
            file.resize(file.len().max(512), 0xcc);
            file
        }

        fn error(&self) -> Option<ImageError> {
            Image::parse(&self.file()).err()
        }
    }

    #[test]
    fn a_good_program_parses() {
        let file = Program::good().file();
        let image = Image::parse(&file).unwrap();
        let segments: Vec<_> = image.segments().collect();
        assert_eq!(segments.len(), 3);
        assert_eq!(segments[2].first_page(), 0x40_2000);
        assert_eq!(segments[2].end_page(), 0x40_5000);
        assert_eq!(segments[1].protection, Protection::READ | Protection::EXECUTE);
    }

    #[test]
    fn each_fault_has_its_error() {
        let check = |change: fn(&mut Program), error| {
            let mut program = Program::good();
            change(&mut program);
            assert_eq!(program.error(), Some(error));
        };
        check(|p| p.machine = 3, ImageError::WrongMachine);
        check(|p| p.kind = 3, ImageError::NotStatic);
        check(|p| p.headers[0].0 = PT_INTERP, ImageError::NotStatic);
        check(|p| p.headers.clear(), ImageError::SegmentCount);
        check(|p| p.headers[1].2 = 1 << 40, ImageError::SegmentBytes);
        check(|p| p.headers[1].2 = u64::MAX, ImageError::SegmentBytes);
        check(|p| p.headers[1].4 = 33, ImageError::SegmentBytes);
        check(|p| p.headers[0].3 = 0, ImageError::SegmentRange);
        check(|p| p.headers[2].3 = u64::MAX - 8, ImageError::SegmentRange);
        check(|p| p.headers[2].3 = 0xffff_ffff_8000_0000, ImageError::SegmentRange);
        check(|p| p.headers[2].5 = IMAGE_BYTES_MAX + 1, ImageError::SegmentRange);
        check(|p| p.headers[2].3 = 0x40_1800, ImageError::SegmentOverlap);
        check(|p| p.headers[1].1 = PF_R | PF_W | PF_X, ImageError::WritableCode);
        check(|p| p.entry = 0x40_0000, ImageError::Entry);
        assert_eq!(Image::parse(&Program::good().file()[..70]).err(), Some(ImageError::Malformed));
        assert_eq!(Image::parse(b"").err(), Some(ImageError::Malformed));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = Image::parse(&bytes);
        }

        #[test]
        fn no_mutation_panics_or_lies(at in 0_usize..300, value: u8, at2 in 0_usize..300, value2: u8) {
            let mut file = Program::good().file();
            file[at] = value;
            file[at2] = value2;
            if let Ok(image) = Image::parse(&file) {
                let mut end = 0;
                for segment in image.segments() {
                    prop_assert!(segment.first_page() >= end && segment.first_page() >= USER_START);
                    end = segment.end_page();
                    prop_assert!(end <= USER_END && segment.bytes.len() as u64 <= segment.size);
                }
            }
        }
    }
}
