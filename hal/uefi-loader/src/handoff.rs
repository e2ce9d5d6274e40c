//! Leaving the firmware: the trial run, the end of boot services, the final memory map and page
//! tables, and the jump.

use crate::load::Reason;
use crate::machine::{self, Entry, GDT};
use crate::pages::Pages;
use alloc::vec::Vec;
use core::convert::Infallible;
use uefi::boot::{self, MemoryType};
use uefi::mem::memory_map::{MemoryMap as _, MemoryMapOwned};
use uefi::{Status, runtime};
use uefi_loader::acpi::MAX_IO_APICS;
use uefi_loader::elf::Kernel;
use uefi_loader::memory_map::{Kind, MapFull, MemoryMap};
use uefi_loader::paging::{self, Features, PagingError, Table, Tables};
use uefi_loader::requests::Requests;
use uefi_loader::responses::{self, Arena, FirmwareMap};
use uefi_loader::{HHDM, PAGE};

/// Regions the map may grow by between its sizing and the end of boot services: our own
/// allocations, and what drivers do when they are told that it is over.
const SPARE_REGIONS: usize = 128;
/// Page tables kept in hand for such growth.
const SPARE_TABLES: u64 = 16;

/// Everything that is ready for the kernel.
#[derive(Debug)]
pub struct Prepared<'a> {
    /// The kernel's segments.
    pub kernel: &'a Kernel,
    /// Where its requests are.
    pub requests: &'a Requests,
    /// Its image, placed and answered.
    pub image: &'a mut Pages,
    /// The responses.
    pub arena: Arena<'a>,
    /// Its first stack.
    pub stack: Pages,
    /// Virtual address of its first instruction.
    pub entry: u64,
    /// Physical base and length of image, kernel file and modules.
    pub executable: &'a [(u64, u64)],
    /// Physical base and length of the framebuffer.
    pub framebuffer: Option<(u64, u64)>,
    /// The IO APICs to be silenced.
    pub io_apics: [Option<u64>; MAX_IO_APICS],
    /// An empty map with room enough.
    pub map: MemoryMap,
}

fn firmware_map() -> Result<MemoryMapOwned, Reason> {
    let map = boot::memory_map(MemoryType::LOADER_DATA);
    map.map_err(|error| Reason::Firmware("memory map", error.status()))
}

/// A map with room for what the firmware reports now, and then some.
pub fn empty_map() -> Result<MemoryMap, Reason> {
    Ok(MemoryMap::with_capacity(firmware_map()?.len() + SPARE_REGIONS))
}

/// Makes the kernel's memory map of the firmware's.
fn translate(
    map: &mut MemoryMap,
    firmware: &MemoryMapOwned,
    executable: &[(u64, u64)],
    framebuffer: Option<(u64, u64)>,
) -> Result<(), MapFull> {
    map.clear();
    for entry in firmware.entries() {
        let len = entry.page_count.saturating_mul(PAGE);
        map.add(entry.phys_start, len, Kind::from_efi(entry.ty.0))?;
    }
    // The first page holds the real-mode interrupt table, and its address is null.
    map.add(0, PAGE, Kind::Reserved)?;
    for (base, len) in executable {
        map.add(*base, *len, Kind::ExecutableAndModules)?;
    }
    if let Some((base, len)) = framebuffer {
        map.add(base, len, Kind::Framebuffer)?;
    }
    map.finish();
    Ok(())
}

fn build(
    pool: &mut [Table],
    physical: u64,
    ready: &Prepared<'_>,
    features: Features,
) -> Result<usize, PagingError> {
    let mut tables = Tables::new(pool, physical, features)?;
    let kernel_physical = ready.image.physical();
    let revision = ready.requests.revision();
    paging::lay_out(&mut tables, revision, ready.map.entries(), ready.kernel, kernel_physical)?;
    Ok(tables.used())
}

/// A pool of page tables that is known to be large enough, by trying.
fn pool_by_trial(ready: &Prepared<'_>, features: Features) -> Result<Pages, Reason> {
    let mut count = 64;
    loop {
        let mut pool = Pages::allocate(count * PAGE).ok_or(Reason::NoMemory(count * PAGE))?;
        let physical = pool.physical();
        match build(pool.tables(), physical, ready, features) {
            Ok(used) if used as u64 + SPARE_TABLES <= count => return Ok(pool),
            Ok(_) | Err(PagingError::PoolExhausted) => count *= 2,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Ends boot services and enters the kernel; returns only if it has not ended them.
pub fn hand_over(mut ready: Prepared<'_>) -> Result<Infallible, Reason> {
    let features = machine::features();
    let firmware = firmware_map()?;
    translate(&mut ready.map, &firmware, ready.executable, ready.framebuffer)?;
    drop(firmware);
    let mut pool = pool_by_trial(&ready, features)?;
    let mut bridge = Pages::allocate(PAGE).ok_or(Reason::NoMemory(PAGE))?;
    let mut gdt = Pages::allocate(PAGE).ok_or(Reason::NoMemory(PAGE))?;
    write_gdt(&mut gdt);
    let io_apics = ready.io_apics;
    let entry = Entry {
        bridge: bridge.physical(),
        tables: pool.physical(),
        gdt_virtual: HHDM + gdt.physical() + GDT_POINTER as u64,
        stack_virtual: HHDM + ready.stack.physical() + ready.stack.len(),
        entry_virtual: ready.entry,
    };

    // SAFETY: no protocol is open any more, nothing below allocates, frees or calls the firmware,
    // and nothing returns: what was allocated is never dropped.
    let firmware = unsafe { boot::exit_boot_services(Some(MemoryType::LOADER_DATA)) };
    machine::mask_interrupts(&io_apics);
    if finish(&mut ready, &firmware, &mut pool, &mut bridge, features).is_err() {
        runtime::reset(runtime::ResetType::COLD, Status::LOAD_ERROR, None);
    }
    // SAFETY: boot services have ended and interrupts are off. This image is loader code, so the
    // direct map of the kernel's tables has it; `bridge` adds the firmware's lower half. Pool,
    // stack and GDT are loader data, and `entry` names them.
    unsafe { machine::enter(&entry, features) }
}

/// The second and final run: with the map as it was when boot services ended.
fn finish(
    ready: &mut Prepared<'_>,
    firmware: &MemoryMapOwned,
    pool: &mut Pages,
    bridge: &mut Pages,
    features: Features,
) -> Result<(), Reason> {
    translate(&mut ready.map, firmware, ready.executable, ready.framebuffer)?;
    let meta = firmware.meta();
    let firmware_map = FirmwareMap {
        physical: firmware.buffer().as_ptr() as u64,
        len: meta.map_size as u64,
        descriptor_len: meta.desc_size as u64,
        version: meta.desc_version,
    };
    let entries = ready.map.entries();
    responses::answer_memory_maps(
        ready.requests,
        ready.image,
        &mut ready.arena,
        entries,
        firmware_map,
    )?;
    let physical = pool.physical();
    build(pool.tables(), physical, ready, features)?;
    // SAFETY: the firmware's root table is one page at this address, mapped one to one; nothing
    // writes to it while we copy.
    let lower = unsafe { &*(machine::root() as *const Table) };
    let roots = bridge.tables().first_mut().zip(pool.tables().first());
    let (root, upper) = roots.ok_or(PagingError::PoolExhausted)?;
    root[..256].copy_from_slice(&lower[..256]);
    root[256..].copy_from_slice(&upper[256..]);
    Ok(())
}

/// Offset of the pseudo-descriptor in the page of the GDT.
const GDT_POINTER: usize = 64;

fn write_gdt(page: &mut Pages) {
    let base = HHDM + page.physical();
    let limit = (size_of_val(&GDT) - 1) as u16;
    let words: Vec<u8> = GDT.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    page[..words.len()].copy_from_slice(&words);
    page[GDT_POINTER..GDT_POINTER + 2].copy_from_slice(&limit.to_le_bytes());
    page[GDT_POINTER + 2..GDT_POINTER + 10].copy_from_slice(&base.to_le_bytes());
}
