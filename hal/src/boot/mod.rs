//! What the loader told us, as plain types that keep nothing of the boot protocol.
//!
//! The protocol's own structures are read once, early, by `boot::limine`; all that is kept is
//! copied into the kernel's own static memory (except the bytes of modules), so that the loader's
//! memory can be reclaimed, and so that another protocol could fill the same [`BootInfo`].

mod command_line;
#[cfg(all(target_os = "none", target_arch = "x86_64"))]
mod limine;
mod text;

use core::fmt;

pub use command_line::{CommandLine, Words};
pub use text::TextStore;

use crate::memory::{PhysAddr, VirtAddr};

/// Most memory regions kept of the loader's map; further ones are ignored, with a warning.
pub const MAX_REGIONS: usize = 512;
/// Most modules kept; further ones are ignored, with a warning.
pub const MAX_MODULES: usize = 64;

/// What a stretch of physical memory is used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RegionKind {
    /// Free for the kernel.
    Usable,
    /// Holds the loader's structures, page tables and stack: free once those are left.
    LoaderReclaimable,
    /// ACPI tables: free once nobody reads them any more.
    AcpiReclaimable,
    /// Memory that firmware uses: keep off.
    AcpiNvs,
    /// The kernel image and its modules.
    KernelAndModules,
    /// A framebuffer.
    Framebuffer,
    /// Known to be faulty.
    Bad,
    /// Anything else: firmware, devices.
    Reserved,
}

/// One stretch of physical memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryRegion {
    /// First byte.
    pub start: PhysAddr,
    /// Length in bytes.
    pub length: u64,
    /// What it is used for.
    pub kind: RegionKind,
}

impl MemoryRegion {
    /// One past the last byte, saturating at the end of the 64-bit range.
    pub const fn end(&self) -> PhysAddr {
        PhysAddr(self.start.0.saturating_add(self.length))
    }
}

/// Where one colour lies in a pixel: `size` bits from bit `shift` up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ColourMask {
    /// Bits.
    pub size: u8,
    /// Lowest bit.
    pub shift: u8,
}

/// A linear framebuffer as the loader left it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FramebufferInfo {
    /// Where it is mapped now.
    pub address: VirtAddr,
    /// Where it lies in physical memory.
    pub physical: PhysAddr,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Bytes from one row to the next.
    pub pitch: u32,
    /// Bits a pixel: 16, 24 or 32.
    pub bits_per_pixel: u8,
    /// Red.
    pub red: ColourMask,
    /// Green.
    pub green: ColourMask,
    /// Blue.
    pub blue: ColourMask,
}

impl FramebufferInfo {
    /// Bytes from the first pixel to the end of the last row.
    pub const fn size(&self) -> u64 {
        self.pitch as u64 * self.height as u64
    }

    /// Whether the numbers make sense and the console has a way to draw this format.
    pub fn is_drawable(&self) -> bool {
        let mask_fits = |mask: ColourMask| {
            (1..=8).contains(&mask.size)
                && u32::from(mask.size) + u32::from(mask.shift) <= u32::from(self.bits_per_pixel)
        };
        matches!(self.bits_per_pixel, 16 | 24 | 32)
            && (1..=16384).contains(&self.width)
            && (1..=16384).contains(&self.height)
            && u64::from(self.pitch) >= u64::from(self.width) * u64::from(self.bits_per_pixel / 8)
            && self.pitch <= 1 << 20
            && mask_fits(self.red)
            && mask_fits(self.green)
            && mask_fits(self.blue)
    }
}

/// A file the loader put into memory beside the kernel.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Module {
    /// First word of the module's command line.
    pub name: &'static str,
    /// The rest of its command line.
    pub arguments: &'static str,
    /// Its bytes. They stay where they are for as long as the kernel runs.
    pub bytes: &'static [u8],
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.name, self.bytes.len())
    }
}

/// All that the loader told the kernel.
#[derive(Clone, Copy, Debug)]
pub struct BootInfo {
    /// The loader's name.
    pub loader_name: &'static str,
    /// The loader's version.
    pub loader_version: &'static str,
    /// The base revision of the Limine protocol which the loader granted.
    pub revision: u64,
    /// The direct map: physical address plus this is its virtual address.
    pub direct_map_offset: u64,
    /// The loader's memory map, as it came (not sanitised).
    pub memory: &'static [MemoryRegion],
    /// The first usable framebuffer, if there is a screen.
    pub framebuffer: Option<FramebufferInfo>,
    /// Physical address of the ACPI root pointer.
    pub rsdp: Option<PhysAddr>,
    /// Where the kernel image begins in virtual memory.
    pub kernel_virtual: VirtAddr,
    /// Where the kernel image begins in physical memory (it is contiguous).
    pub kernel_physical: PhysAddr,
    /// Files that came with the kernel.
    pub modules: &'static [Module],
    /// The kernel's command line.
    pub command_line: CommandLine<'static>,
    /// Seconds since 1970 at boot, by the firmware's clock.
    pub boot_time_unix_s: Option<u64>,
    /// What was cut or replaced while reading all this.
    pub flaws: Flaws,
}

impl BootInfo {
    /// The module of that name.
    pub fn module(&self, name: &str) -> Option<&'static Module> {
        self.modules.iter().find(|module| module.name == name)
    }
    /// Bytes of memory that are or will be free for use.
    pub fn usable_bytes(&self) -> u64 {
        self.memory
            .iter()
            .filter(|r| matches!(r.kind, RegionKind::Usable | RegionKind::LoaderReclaimable))
            .map(|r| r.length)
            .sum()
    }
}

/// What of the loader's information had to be cut or replaced. Worth a warning each, never fatal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flaws {
    /// Memory regions beyond [`MAX_REGIONS`], ignored.
    pub regions_ignored: u32,
    /// Modules beyond [`MAX_MODULES`], ignored.
    pub modules_ignored: u32,
    /// Texts which were not UTF-8: the offending bytes became U+FFFD.
    pub texts_replaced: u32,
    /// Texts that did not fit and were cut.
    pub texts_cut: u32,
    /// Framebuffers in a format the console cannot draw.
    pub framebuffers_ignored: u32,
}

/// Why the kernel cannot go on with what the loader gave it. Fatal: show it and stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror_no_std::Error)]
pub enum BootError {
    /// The loader left a request unanswered which the kernel cannot do without.
    #[error(
        "the loader did not answer the {0} request: boot with Limine 8 or newer, or the Pollux loader"
    )]
    MissingResponse(&'static str),
    /// The loader granted a base revision below 2, or does not speak the protocol's revisions.
    #[error(
        "the loader speaks an older Limine protocol than base revision 2: boot with Limine 8 or newer"
    )]
    UnsupportedRevision,
}

static INFO: spin::Once<BootInfo> = spin::Once::new();

/// What the loader told us.
///
/// # Panics
/// Before [`init`] has succeeded: the first thing `main` does.
pub fn info() -> &'static BootInfo {
    INFO.get().expect("boot::init comes first")
}

/// As [`info`], for code that may run before `init` (a panic handler).
pub fn try_info() -> Option<&'static BootInfo> {
    INFO.get()
}

/// Reads the loader's responses into [`info`]. Called once, first thing, on the boot core.
#[cfg(all(target_os = "none", target_arch = "x86_64"))]
pub fn init() -> Result<&'static BootInfo, BootError> {
    INFO.try_call_once(limine::read)
}
