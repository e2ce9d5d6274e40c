//! The kernel's own page tables: built once, then shared by every address space.
//!
//! | where | what | rights |
//! |---|---|---|
//! | the loader's direct map | usable memory, the loader's, ACPI's | read, write |
//! | 〃 | modules | read |
//! | 〃 | the framebuffer | read, write; write-combining |
//! | [`WINDOW`](super::windows::WINDOW) | stacks, device registers | see `windows` |
//! | -2 GiB | the kernel image | text execute, rodata read, data write |
//!
//! The image is left out of the direct map, so no text is writable under another address. All
//! top-level entries of the upper half that will ever be used exist from the start: address spaces
//! copy them.

use core::sync::atomic::{AtomicU64, Ordering};

use super::control;
use super::entry::{Access, Backing, Caching, Entry, Owner, PageSize};
use super::tables::{MapError, Table, TableFrames, Tables};
use super::windows;
use crate::boot::{BootInfo, RegionKind};
use crate::memory::frames::{Frame, FrameRun, RunLimits, memory_map};
use crate::memory::map::FrameRange;
use crate::memory::{FRAME_SIZE, FrameNumber, PhysAddr, VirtAddr, direct_map};

const PAGE: u64 = FRAME_SIZE as u64;

static ROOT: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" {
    // From the kernel's linker script; only their addresses mean anything.
    static __text_start: u8;
    static __text_end: u8;
    static __rodata_start: u8;
    static __rodata_end: u8;
    static __data_start: u8;
    static __data_end: u8;
}

/// Why the kernel could not take its own page tables. Fatal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror_no_std::Error)]
pub enum PagingError {
    /// The CPU cannot forbid execution. Every x86_64 since 2005 can; look in the firmware's set-up.
    #[error("the CPU has no NX, or firmware turned it off: turn it on in the firmware's set-up")]
    NoExecuteMissing,
    /// The loader's direct map reaches into the kernel's own window.
    #[error("the loader's direct map overlaps the kernel's window: boot with another loader")]
    DirectMapTooHigh,
    /// Some mapping failed.
    #[error("cannot build the kernel's page tables: {0}")]
    Map(#[from] MapError),
}

/// Tables in frames, reached through the direct map.
pub(in crate::x86_64) struct FrameTables;

impl TableFrames for FrameTables {
    fn allocate(&self) -> Option<FrameNumber> {
        Frame::allocate_zeroed().ok().map(Frame::into_number)
    }
    fn table(&self, frame: FrameNumber) -> &Table {
        // SAFETY: the frame holds a table (it came from `allocate` and was not freed: tables are
        // freed only after they were unlinked), and the direct map covers it.
        unsafe { &*direct_map::to_virtual(frame.start()).as_ptr() }
    }
}

/// The kernel's tables.
pub(in crate::x86_64) fn kernel_tables() -> Tables<'static, FrameTables> {
    Tables::new(root(), &FrameTables)
}

/// The frame of the kernel's top-level table. Below 4 GiB, so that a core can load it from 32-bit
/// mode.
pub fn root() -> FrameNumber {
    FrameNumber(ROOT.load(Ordering::Relaxed))
}

/// The kernel's code and constants, as the loader put them there: nothing writes to them.
pub fn constant_image() -> [&'static [u8]; 2] {
    let between = |start: *const u8, end: *const u8| {
        // SAFETY: the linker script's symbols, in this order, around a segment of the image that is
        // mapped without the right to write for as long as the kernel runs.
        unsafe { core::slice::from_raw_parts(start, end.addr() - start.addr()) }
    };
    [
        between(&raw const __text_start, &raw const __text_end),
        between(&raw const __rodata_start, &raw const __rodata_end),
    ]
}

/// Builds the kernel's tables and takes them on this core. Called once, after `memory::init`.
pub fn init(info: &BootInfo) -> Result<(), PagingError> {
    if !control::has_no_execute() {
        return Err(PagingError::NoExecuteMissing);
    }
    let limits = RunLimits { below: Some(PhysAddr(1 << 32)), ..RunLimits::default() };
    let mut table = FrameRun::allocate(1, limits).map_err(|_| MapError::OutOfFrames)?;
    table.zero();
    ROOT.store(table.physical().0 / PAGE, Ordering::Relaxed);
    core::mem::forget(table);

    let image = map_image(info)?;
    map_memory(&image)?;
    if let Some(screen) = &info.framebuffer {
        let first = FrameNumber::containing(screen.physical);
        let end = FrameNumber((screen.physical.0 + screen.size()).div_ceil(PAGE));
        let memory = memory_map().is_none_or(|map| map.overlaps_memory(first, end));
        if !memory {
            map_direct(first, end, Access::ReadWrite, Caching::WriteCombining)?;
        }
    }
    kernel_tables().reserve_top(VirtAddr(windows::WINDOW.start), Owner::Kernel)?;
    windows::init()?;
    // SAFETY: the tables map the image where it runs and all memory where the loader mapped it,
    // which holds the stack and the descriptor tables in use.
    unsafe { control::take(root()) };
    Ok(())
}

/// Takes the kernel's tables on a core that has just come up.
///
/// # Safety
/// [`init`] has run, and all that the core uses is mapped by the kernel's tables.
pub unsafe fn init_core() {
    // SAFETY: the caller vouches for the core; `init` built the tables.
    unsafe { control::take(root()) };
}

fn map_image(info: &BootInfo) -> Result<FrameRange, MapError> {
    let address = |symbol: &'static u8| VirtAddr::of(symbol);
    // SAFETY: the linker script defines them; nothing is read.
    let segments = unsafe {
        [
            (address(&__text_start), address(&__text_end), Access::ReadExecute),
            (address(&__rodata_start), address(&__rodata_end), Access::Read),
            (address(&__data_start), address(&__data_end), Access::ReadWrite),
        ]
    };
    let physical = |at: VirtAddr| PhysAddr(at.0 - info.kernel_virtual.0 + info.kernel_physical.0);
    for (start, end, access) in segments {
        let (start, end) = (start.align_down(PAGE), end);
        let count = (end.0 - start.0).div_ceil(PAGE);
        let first = FrameNumber::containing(physical(start));
        map_range(start, first, FrameNumber(first.0 + count), access, Caching::WriteBack)?;
    }
    Ok(FrameRange {
        first: FrameNumber::containing(info.kernel_physical),
        end: FrameNumber(physical(segments[2].1).0.div_ceil(PAGE)),
        kind: RegionKind::KernelAndModules,
    })
}

/// Maps all memory at the direct map's distance, neighbours with the same rights together.
fn map_memory(image: &FrameRange) -> Result<(), PagingError> {
    let Some(map) = memory_map() else { return Err(MapError::OutOfFrames.into()) };
    let mut pending: Option<(FrameNumber, FrameNumber, Access)> = None;
    for range in map.ranges() {
        let access = match range.kind {
            RegionKind::Usable
            | RegionKind::LoaderReclaimable
            | RegionKind::AcpiReclaimable
            | RegionKind::AcpiNvs => Access::ReadWrite,
            RegionKind::KernelAndModules => Access::Read,
            RegionKind::Framebuffer | RegionKind::Bad | RegionKind::Reserved => continue,
        };
        if range.end.start().0.saturating_add(direct_map::offset()) >= windows::WINDOW.start
            || range.end.start().0.checked_add(direct_map::offset()).is_none()
        {
            return Err(PagingError::DirectMapTooHigh);
        }
        // What lies before the kernel image, and what lies behind it.
        let (from, to) =
            (image.first.clamp(range.first, range.end), image.end.clamp(range.first, range.end));
        for (first, end) in [(range.first, from), (to, range.end)] {
            if first >= end {
                continue;
            }
            pending = match pending {
                Some((start, stop, rights)) if stop == first && rights == access => {
                    Some((start, end, access))
                }
                other => {
                    flush_pending(other)?;
                    Some((first, end, access))
                }
            };
        }
    }
    flush_pending(pending)?;
    Ok(())
}

fn flush_pending(pending: Option<(FrameNumber, FrameNumber, Access)>) -> Result<(), MapError> {
    match pending {
        Some((first, end, access)) => map_direct(first, end, access, Caching::WriteBack),
        None => Ok(()),
    }
}

fn map_direct(
    first: FrameNumber,
    end: FrameNumber,
    access: Access,
    caching: Caching,
) -> Result<(), MapError> {
    map_range(direct_map::to_virtual(first.start()), first, end, access, caching)
}

/// Maps frames `first..end` at `start`, with the largest pages that fit.
fn map_range(
    start: VirtAddr,
    first: FrameNumber,
    end: FrameNumber,
    access: Access,
    caching: Caching,
) -> Result<(), MapError> {
    let sizes = [PageSize::Huge, PageSize::Large, PageSize::Small];
    let usable = if control::has_huge_pages() { &sizes[..] } else { &sizes[1..] };
    let (mut at, mut frame) = (start, first);
    while frame < end {
        let left = (end.0 - frame.0) * PAGE;
        let fits = |size: &&PageSize| {
            let bytes = size.bytes();
            at.is_aligned(bytes) && frame.start().is_aligned(bytes) && left >= bytes
        };
        let size = usable.iter().find(fits).copied().unwrap_or(PageSize::Small);
        let entry = Entry::page(frame, size, access, caching, Owner::Kernel, Backing::Borrowed);
        kernel_tables().map(at, size, entry, Owner::Kernel)?;
        at = VirtAddr(at.0.wrapping_add(size.bytes()));
        frame = FrameNumber(frame.0 + size.bytes() / PAGE);
    }
    Ok(())
}
