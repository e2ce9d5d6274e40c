//! The kernel's ELF file: checked whole before a byte of it is placed.
//!
//! Accepted is what Pollux is: a 64-bit little-endian x86-64 `ET_EXEC` whose loadable segments lie
//! in the top 2 GiB, do not overlap, do not share a page with different permissions, and are never
//! writable and executable at once. Source: System V ABI, ELF-64 object file format; the
//! higher-half rule is the Limine protocol's ("Memory Layout at Entry").

use crate::{PAGE, page_up};
use thiserror_no_std::Error;

/// Lowest address at which the protocol allows an executable.
pub const HIGHER_HALF: u64 = 0xffff_ffff_8000_0000;
/// Most loadable segments accepted.
pub const MAX_SEGMENTS: usize = 32;

const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;
const TYPE_LOAD: u32 = 1;
const TYPE_DYNAMIC: u32 = 2;
const TYPE_INTERPRETER: u32 = 3;

/// One loadable segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Segment {
    /// Virtual address of the first byte; not necessarily page-aligned.
    pub address: u64,
    /// Bytes in memory; those beyond `file_len` are zero.
    pub memory_len: u64,
    /// Offset of the content in the file.
    pub offset: usize,
    /// Bytes of content in the file.
    pub file_len: usize,
    /// Whether the kernel may write to it.
    pub writable: bool,
    /// Whether the kernel may execute it.
    pub executable: bool,
}

impl Segment {
    /// First page of the segment.
    pub fn first_page(&self) -> u64 {
        self.address & !(PAGE - 1)
    }

    /// First page after the segment. Cannot overflow: `Kernel::parse` checked it.
    pub fn end_page(&self) -> u64 {
        page_up(self.address.saturating_add(self.memory_len)).unwrap_or(u64::MAX)
    }
}

/// A kernel that has passed all checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    segments: [Segment; MAX_SEGMENTS],
    count: usize,
    /// Where execution begins.
    pub entry: u64,
    /// Lowest page of the image.
    pub base: u64,
    /// Bytes from `base` to the end of the highest page.
    pub image_len: u64,
}

/// Why a file is not a kernel that can be booted. Segments are numbered as in `readelf -l`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ElfError {
    /// No ELF magic.
    #[error("is not an ELF file")]
    NotElf,
    /// The file ends inside the ELF header or the program headers.
    #[error("is truncated: it ends inside its ELF headers")]
    HeadersTruncated,
    /// 32-bit or big-endian.
    #[error("is not a 64-bit little-endian ELF file")]
    Class,
    /// For another machine.
    #[error("is for another machine (ELF machine {0}, x86-64 is 62)")]
    Machine(u16),
    /// Position-independent or a shared library.
    #[error("is position-independent; this loader takes static executables only")]
    PositionIndependent,
    /// Neither an executable nor a shared object.
    #[error("is not an executable (ELF type {0})")]
    NotExecutable(u16),
    /// Program headers of an unexpected size.
    #[error("has program headers of {0} bytes instead of 56")]
    ProgramHeaderSize(u16),
    /// Nothing to load.
    #[error("has no loadable segment")]
    NothingToLoad,
    /// More segments than this loader takes.
    #[error("has more than {MAX_SEGMENTS} loadable segments")]
    TooManySegments,
    /// The content lies outside the file.
    #[error("is truncated: segment {0} lies beyond the end of the file")]
    SegmentTruncated(u16),
    /// More content than memory.
    #[error("is malformed: segment {0} is larger in the file than in memory")]
    FileLargerThanMemory(u16),
    /// The segment is not in the top 2 GiB.
    #[error("is a lower-half executable: segment {0} is below 0xffffffff80000000")]
    LowerHalf(u16),
    /// The segment wraps around the address space.
    #[error("is malformed: segment {0} runs past the end of the address space")]
    Wraps(u16),
    /// Two segments overlap, or share a page with different permissions.
    #[error("is malformed: segments {0} and {1} overlap in a page")]
    Overlap(u16, u16),
    /// Both writable and executable.
    #[error("breaks W^X: segment {0} is both writable and executable")]
    WritableExecutable(u16),
    /// Execution would begin outside any executable segment.
    #[error("is malformed: its entry point is in no executable segment")]
    Entry,
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

fn double(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

impl Kernel {
    /// Checks a whole file.
    pub fn parse(file: &[u8]) -> Result<Self, ElfError> {
        if file.get(..4) != Some(b"\x7fELF".as_slice()) {
            return Err(ElfError::NotElf);
        }
        let header = file.get(..HEADER).ok_or(ElfError::HeadersTruncated)?;
        if header.get(4..7) != Some([2, 1, 1].as_slice()) {
            return Err(ElfError::Class);
        }
        let short = ElfError::HeadersTruncated;
        match half(header, 18).ok_or(short)? {
            62 => {}
            other => return Err(ElfError::Machine(other)),
        }
        match half(header, 16).ok_or(short)? {
            2 => {}
            3 => return Err(ElfError::PositionIndependent),
            other => return Err(ElfError::NotExecutable(other)),
        }
        match half(header, 54).ok_or(short)? {
            56 => {}
            other => return Err(ElfError::ProgramHeaderSize(other)),
        }
        let entry = double(header, 24).ok_or(short)?;
        let table = usize::try_from(double(header, 32).ok_or(short)?).map_err(|_| short)?;
        let rows = half(header, 56).ok_or(short)?;
        let end =
            usize::from(rows).checked_mul(PROGRAM_HEADER).and_then(|len| table.checked_add(len));
        let table = file.get(table..end.ok_or(short)?).ok_or(short)?;

        let mut kernel = Self {
            segments: [Segment::default(); MAX_SEGMENTS],
            count: 0,
            entry,
            base: u64::MAX,
            image_len: 0,
        };
        let mut end = 0;
        let mut numbers = [0; MAX_SEGMENTS];
        for (number, row) in (0..rows).zip(table.chunks_exact(PROGRAM_HEADER)) {
            let kind = word(row, 0).ok_or(short)?;
            if kind == TYPE_DYNAMIC || kind == TYPE_INTERPRETER {
                return Err(ElfError::PositionIndependent);
            }
            if kind != TYPE_LOAD || double(row, 40) == Some(0) {
                continue;
            }
            let segment = segment(row, number, file.len())?;
            for (other, other_number) in kernel.segments().iter().zip(numbers) {
                let same =
                    (other.writable, other.executable) == (segment.writable, segment.executable);
                if overlap(&segment, other, same) {
                    return Err(ElfError::Overlap(other_number, number));
                }
            }
            *kernel.segments.get_mut(kernel.count).ok_or(ElfError::TooManySegments)? = segment;
            *numbers.get_mut(kernel.count).ok_or(ElfError::TooManySegments)? = number;
            kernel.count += 1;
            kernel.base = kernel.base.min(segment.first_page());
            end = end.max(segment.end_page());
        }
        if kernel.count == 0 {
            return Err(ElfError::NothingToLoad);
        }
        kernel.image_len = end - kernel.base;
        if !kernel.may_execute(entry) {
            return Err(ElfError::Entry);
        }
        Ok(kernel)
    }

    /// The loadable segments, in the order of the file.
    pub fn segments(&self) -> &[Segment] {
        self.segments.get(..self.count).unwrap_or(&[])
    }

    /// Whether `address` lies in an executable segment.
    pub fn may_execute(&self, address: u64) -> bool {
        self.segments().iter().any(|segment| {
            segment.executable
                && address.checked_sub(segment.address).is_some_and(|at| at < segment.memory_len)
        })
    }

    /// Copies the segments of `file` into `image`, which is zeroed and `image_len` bytes long.
    ///
    /// `file` must be the file that was parsed; anything else places less, never panics.
    pub fn place(&self, file: &[u8], image: &mut [u8]) {
        for segment in self.segments() {
            let content = file.get(segment.offset..).and_then(|rest| rest.get(..segment.file_len));
            let at = usize::try_from(segment.address - self.base).unwrap_or(usize::MAX);
            let target = image.get_mut(at..).and_then(|rest| rest.get_mut(..segment.file_len));
            if let (Some(content), Some(target)) = (content, target) {
                target.copy_from_slice(content);
            }
        }
    }
}

fn segment(row: &[u8], number: u16, file_len: usize) -> Result<Segment, ElfError> {
    let short = ElfError::HeadersTruncated;
    let flags = word(row, 4).ok_or(short)?;
    let offset = double(row, 8).ok_or(short)?;
    let address = double(row, 16).ok_or(short)?;
    let content = double(row, 32).ok_or(short)?;
    let memory_len = double(row, 40).ok_or(short)?;
    if content > memory_len {
        return Err(ElfError::FileLargerThanMemory(number));
    }
    let file_end = offset.checked_add(content).ok_or(ElfError::SegmentTruncated(number))?;
    if content != 0 && file_end > file_len as u64 {
        return Err(ElfError::SegmentTruncated(number));
    }
    if address < HIGHER_HALF {
        return Err(ElfError::LowerHalf(number));
    }
    // The very last page stays free, so that the end of the image is an address.
    address.checked_add(memory_len).and_then(page_up).ok_or(ElfError::Wraps(number))?;
    if flags & 3 == 3 {
        return Err(ElfError::WritableExecutable(number));
    }
    let number_fits =
        |value: u64| usize::try_from(value).map_err(|_| ElfError::SegmentTruncated(number));
    Ok(Segment {
        address,
        memory_len,
        offset: if content == 0 { 0 } else { number_fits(offset)? },
        file_len: number_fits(content)?,
        writable: flags & 2 != 0,
        executable: flags & 1 != 0,
    })
}

/// Whether two segments share a byte, or (with different permissions) a page.
fn overlap(a: &Segment, b: &Segment, same_permissions: bool) -> bool {
    if same_permissions {
        a.address < b.address.saturating_add(b.memory_len)
            && b.address < a.address.saturating_add(a.memory_len)
    } else {
        a.first_page() < b.end_page() && b.first_page() < a.end_page()
    }
}

#[cfg(test)]
#[path = "elf_tests.rs"]
mod tests;
