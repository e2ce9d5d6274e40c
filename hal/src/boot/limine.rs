//! The Limine boot protocol: the requests in the kernel image and the one reading of their
//! responses.
//!
//! Source: the Limine boot protocol, base revisions 2 and 3. The loader finds the requests between
//! the two markers (the kernel's linker script keeps them in order) and writes a pointer to each
//! response beside them before it enters the kernel. What differs between revisions: below 3 the
//! ACPI root pointer comes as an address in the direct map, from 3 on as a physical one; both are
//! told apart by the address itself.

use core::ptr;

use limine::BaseRevision;
use limine::framebuffer::MemoryModel;
use limine::memory_map::EntryType;
use limine::request::{
    BootloaderInfoRequest, DateAtBootRequest, ExecutableAddressRequest, ExecutableCmdlineRequest,
    ExecutableFileRequest, FramebufferRequest, HhdmRequest, MemoryMapRequest, ModuleRequest,
    RequestsEndMarker, RequestsStartMarker, RsdpRequest, StackSizeRequest,
};

use super::{
    BootError, BootInfo, ColourMask, CommandLine, Flaws, FramebufferInfo, MAX_MODULES, MAX_REGIONS,
    MemoryRegion, Module, RegionKind, TextStore,
};
use crate::memory::{PhysAddr, VirtAddr};

/// Bytes of stack asked for: enough until the kernel stands on a stack of its own.
const STACK_SIZE: u64 = 128 * 1024;

#[used]
#[unsafe(link_section = ".requests_start")]
static START: RequestsStartMarker = RequestsStartMarker::new();
#[used]
#[unsafe(link_section = ".requests_end")]
static END: RequestsEndMarker = RequestsEndMarker::new();

macro_rules! requests {
    ($($name:ident: $kind:ty = $value:expr;)*) => {
        $(#[used] #[unsafe(link_section = ".requests")] static $name: $kind = $value;)*
    };
}

requests! {
    BASE_REVISION: BaseRevision = BaseRevision::new();
    BOOTLOADER: BootloaderInfoRequest = BootloaderInfoRequest::new();
    DATE: DateAtBootRequest = DateAtBootRequest::new();
    ADDRESS: ExecutableAddressRequest = ExecutableAddressRequest::new();
    COMMAND_LINE: ExecutableCmdlineRequest = ExecutableCmdlineRequest::new();
    FILE: ExecutableFileRequest = ExecutableFileRequest::new();
    FRAMEBUFFER: FramebufferRequest = FramebufferRequest::new();
    HHDM: HhdmRequest = HhdmRequest::new();
    MEMORY_MAP: MemoryMapRequest = MemoryMapRequest::new();
    MODULES: ModuleRequest = ModuleRequest::new();
    RSDP: RsdpRequest = RsdpRequest::new();
    STACK: StackSizeRequest = StackSizeRequest::new().with_size(STACK_SIZE);
}

/// Where the copies live. Written by [`read`] alone, before any other core runs.
struct Storage {
    text: TextStore<8192>,
    regions: [MemoryRegion; MAX_REGIONS],
    modules: [Module; MAX_MODULES],
}

static mut STORAGE: Storage = Storage {
    text: TextStore::new(),
    regions: [MemoryRegion { start: PhysAddr(0), length: 0, kind: RegionKind::Usable };
        MAX_REGIONS],
    modules: [Module { name: "", arguments: "", bytes: &[] }; MAX_MODULES],
};

/// Copies the loader's responses. `super::init` calls it at most once to success, under its `Once`.
pub(super) fn read() -> Result<BootInfo, BootError> {
    use BootError::MissingResponse as Missing;
    let revision = granted_revision().ok_or(BootError::UnsupportedRevision)?;
    let direct_map_offset = HHDM.get_response().ok_or(Missing("HHDM"))?.offset();
    let map = MEMORY_MAP.get_response().ok_or(Missing("memory map"))?;
    let address = ADDRESS.get_response().ok_or(Missing("executable address"))?;

    // SAFETY: `Once` in `super::init` lets one caller in at a time; every check that can fail is
    // above, so this point is passed once and nobody else ever takes a reference to STORAGE.
    let storage: &'static mut Storage = unsafe { &mut *ptr::addr_of_mut!(STORAGE) };
    let mut flaws = Flaws::default();

    let loader = BOOTLOADER.get_response();
    let loader_name = storage.text.push(loader.map_or(b"unnamed loader", |l| l.name().as_bytes()));
    let loader_version = storage.text.push(loader.map_or(b"", |l| l.version().as_bytes()));
    let command_line = storage.text.push(match COMMAND_LINE.get_response() {
        Some(response) => response.cmdline().to_bytes(),
        // Loaders before Limine 9 know only the older way to the same text.
        None => FILE.get_response().map_or(b"", |response| response.file().string().to_bytes()),
    });

    let entries = map.entries();
    for (kept, entry) in storage.regions.iter_mut().zip(entries) {
        let kind = region_kind(entry.entry_type);
        *kept = MemoryRegion { start: PhysAddr(entry.base), length: entry.length, kind };
    }
    let regions = entries.len().min(MAX_REGIONS);
    flaws.regions_ignored = (entries.len() - regions) as u32;

    let files = MODULES.get_response().map_or(&[][..], |response| response.modules());
    let mut names = [((0, 0), (0, 0)); MAX_MODULES];
    for (name, file) in names.iter_mut().zip(files) {
        let text = file.string().to_bytes().trim_ascii();
        let space = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
        let (first, rest) = text.split_at(space);
        *name = (storage.text.push(first), storage.text.push(rest.trim_ascii()));
    }
    let modules = files.len().min(MAX_MODULES);
    flaws.modules_ignored = (files.len() - modules) as u32;

    flaws.texts_replaced = storage.text.replaced;
    flaws.texts_cut = storage.text.cut;
    let text: &'static TextStore<8192> = &storage.text;
    for ((kept, file), name) in storage.modules.iter_mut().zip(files).zip(names) {
        // SAFETY: the loader put `size` bytes at `addr` (an address in the direct map) and marked
        // them KernelAndModules, which the frame allocator never hands out.
        let bytes = unsafe { core::slice::from_raw_parts(file.addr(), file.size() as usize) };
        *kept = Module { name: text.get(name.0), arguments: text.get(name.1), bytes };
    }

    let mut framebuffer = None;
    for candidate in FRAMEBUFFER.get_response().into_iter().flat_map(|r| r.framebuffers()) {
        match framebuffer_info(&candidate, direct_map_offset) {
            Some(info) if framebuffer.is_none() => framebuffer = Some(info),
            Some(_) => {}
            None => flaws.framebuffers_ignored += 1,
        }
    }

    Ok(BootInfo {
        loader_name: text.get(loader_name),
        loader_version: text.get(loader_version),
        revision,
        direct_map_offset,
        memory: &storage.regions[..regions],
        framebuffer,
        rsdp: RSDP.get_response().map(|r| physical(r.address() as u64, direct_map_offset)),
        kernel_virtual: VirtAddr(address.virtual_base()),
        kernel_physical: PhysAddr(address.physical_base()),
        modules: &storage.modules[..modules],
        command_line: CommandLine(text.get(command_line)),
        boot_time_unix_s: DATE.get_response().map(|r| r.timestamp().as_secs()),
        flaws,
    })
}

/// The base revision in force, if it is one the kernel can run on.
///
/// A loader that knows revision 3 writes the one it used into the tag. Older ones (Limine 8.2 is
/// one) leave the tag as it was and fall back to the newest they have, which is 2; what the kernel
/// relies on is the same in all revisions below 3, and a loader without any answers no request at
/// all.
fn granted_revision() -> Option<u64> {
    let revision = match BASE_REVISION.loaded_revision() {
        Some(revision) => revision,
        None if BASE_REVISION.is_supported() => 3,
        None => 2,
    };
    (revision >= 2).then_some(revision)
}

/// An address that may be physical or in the direct map, as a physical one.
fn physical(address: u64, direct_map_offset: u64) -> PhysAddr {
    PhysAddr(if address >= direct_map_offset { address - direct_map_offset } else { address })
}

fn region_kind(kind: EntryType) -> RegionKind {
    match kind {
        EntryType::USABLE => RegionKind::Usable,
        EntryType::BOOTLOADER_RECLAIMABLE => RegionKind::LoaderReclaimable,
        EntryType::ACPI_RECLAIMABLE => RegionKind::AcpiReclaimable,
        EntryType::ACPI_NVS => RegionKind::AcpiNvs,
        EntryType::EXECUTABLE_AND_MODULES => RegionKind::KernelAndModules,
        EntryType::FRAMEBUFFER => RegionKind::Framebuffer,
        EntryType::BAD_MEMORY => RegionKind::Bad,
        _ => RegionKind::Reserved,
    }
}

fn framebuffer_info(
    raw: &limine::framebuffer::Framebuffer<'_>,
    direct_map_offset: u64,
) -> Option<FramebufferInfo> {
    let info = FramebufferInfo {
        address: VirtAddr::of(raw.addr()),
        physical: physical(raw.addr() as u64, direct_map_offset),
        width: raw.width().try_into().ok()?,
        height: raw.height().try_into().ok()?,
        pitch: raw.pitch().try_into().ok()?,
        bits_per_pixel: raw.bpp().try_into().ok()?,
        red: ColourMask { size: raw.red_mask_size(), shift: raw.red_mask_shift() },
        green: ColourMask { size: raw.green_mask_size(), shift: raw.green_mask_shift() },
        blue: ColourMask { size: raw.blue_mask_size(), shift: raw.blue_mask_shift() },
    };
    (raw.memory_model() == MemoryModel::RGB && info.is_drawable()).then_some(info)
}
