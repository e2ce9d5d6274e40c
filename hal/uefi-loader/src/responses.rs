//! The answers: the protocol's response structures, written as little-endian words into one arena.
//!
//! The arena is a block of bootloader-reclaimable memory of which we know the address in the direct
//! map, so every pointer handed to the kernel is an offset into it plus that address. Layouts are
//! those of the protocol's "Feature List"; each is a sequence of 64-bit words.

use crate::memory_map::Region;
use crate::requests::{Feature, Requests};
use crate::{HHDM, elf::Kernel};
use thiserror_no_std::Error;

/// Smallest stack the protocol allows, in bytes.
const SMALLEST_STACK: u64 = 0x1_0000;
const FIRMWARE_UEFI64: u64 = 2;
const MEMORY_MODEL_RGB: u64 = 1;

/// Why the kernel's requests cannot be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ResponseError {
    /// The arena is too small: a fault of ours.
    #[error("the loader's response arena is too small")]
    ArenaFull,
    /// The kernel refuses 4-level paging.
    #[error("demands 5-level paging; this loader offers 4 levels")]
    PagingMode,
    /// The kernel's requested entry point is not code.
    #[error("asks for an entry point that is in no executable segment")]
    EntryPoint,
}

/// Memory that responses are written to, and the virtual address the kernel will see it at.
#[derive(Debug)]
pub struct Arena<'a> {
    bytes: &'a mut [u8],
    address: u64,
    used: usize,
}

impl<'a> Arena<'a> {
    /// An empty arena; `address` is a multiple of 8.
    pub fn new(bytes: &'a mut [u8], address: u64) -> Self {
        Self { bytes, address, used: 0 }
    }

    /// Appends bytes and returns their virtual address, a multiple of 8.
    pub fn put_bytes(&mut self, content: &[u8]) -> Result<u64, ResponseError> {
        let start = self.used.next_multiple_of(8);
        let end = start.checked_add(content.len()).ok_or(ResponseError::ArenaFull)?;
        let target = self.bytes.get_mut(start..end).ok_or(ResponseError::ArenaFull)?;
        target.copy_from_slice(content);
        self.used = end;
        Ok(self.address + start as u64)
    }

    /// Appends a NUL-terminated string.
    pub fn put_text(&mut self, text: &str) -> Result<u64, ResponseError> {
        let address = self.put_bytes(text.as_bytes())?;
        *self.bytes.get_mut(self.used).ok_or(ResponseError::ArenaFull)? = 0;
        self.used += 1;
        Ok(address)
    }

    /// Appends words.
    pub fn put_words(&mut self, words: &[u64]) -> Result<u64, ResponseError> {
        let address = self.put_bytes(&[])?;
        for word in words {
            self.put_bytes(&word.to_le_bytes())?;
        }
        Ok(address)
    }

    /// Appends as many rows as `rows` gives, then pointers to them; returns (count, pointers).
    fn put_array<const N: usize>(
        &mut self,
        rows: impl Iterator<Item = [u64; N]>,
    ) -> Result<(u64, u64), ResponseError> {
        let first = self.put_bytes(&[])?;
        let mut count = 0;
        for row in rows {
            self.put_words(&row)?;
            count += 1;
        }
        let pointers = self.put_bytes(&[])?;
        for n in 0..count {
            self.put_words(&[first + n * 8 * N as u64])?;
        }
        Ok((count, pointers))
    }
}

/// Where the boot files came from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Volume {
    /// Partition number from 1, or 0.
    pub partition: u32,
    /// Disk signature of an MBR disk, or 0.
    pub mbr_disk: u32,
    /// GUID of a GPT disk, in its on-disk byte order, or zeroes.
    pub gpt_disk: [u8; 16],
    /// GUID of the GPT partition, or zeroes.
    pub gpt_partition: [u8; 16],
}

/// A file in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File<'a> {
    /// Physical address.
    pub physical: u64,
    /// Length in bytes.
    pub len: u64,
    /// Path on the volume.
    pub path: &'a str,
    /// String that goes with it.
    pub cmdline: &'a str,
}

/// Shape of a screen: sizes in pixels, pitch in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VideoMode {
    /// Pixels per row.
    pub width: u64,
    /// Rows.
    pub height: u64,
    /// Bytes from one row to the next.
    pub pitch: u64,
    /// Bits per pixel.
    pub bits: u16,
    /// Size and shift, in bits, of red, green and blue.
    pub masks: [(u8, u8); 3],
}

impl VideoMode {
    /// Size in memory, in bytes.
    pub fn bytes(&self) -> u64 {
        self.pitch.saturating_mul(self.height)
    }

    /// Bits per pixel, memory model and masks, as both structures have them.
    fn colours(&self) -> [u64; 2] {
        let [red, green, blue] =
            self.masks.map(|(size, shift)| (u64::from(size), u64::from(shift)));
        let low = u64::from(self.bits) | MEMORY_MODEL_RGB << 16 | red.0 << 24 | red.1 << 32;
        [low | green.0 << 40 | green.1 << 48 | blue.0 << 56, blue.1]
    }
}

/// The screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framebuffer<'a> {
    /// Physical address.
    pub physical: u64,
    /// Its present shape.
    pub mode: VideoMode,
    /// Shapes it could take.
    pub modes: &'a [VideoMode],
    /// EDID of the display, empty if not known.
    pub edid: &'a [u8],
}

/// All there is to tell the kernel, except memory maps, which are final only later.
/// Addresses are physical.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is what its feature reports")]
pub struct Facts<'a> {
    pub version: &'a str,
    pub volume: Volume,
    pub kernel_file: File<'a>,
    pub modules: &'a [File<'a>],
    pub kernel_physical: u64,
    pub kernel_virtual: u64,
    pub framebuffer: Option<Framebuffer<'a>>,
    pub rsdp: Option<u64>,
    pub smbios: [Option<u64>; 2],
    pub system_table: u64,
    pub unix_seconds: Option<i64>,
}

/// Where to enter the kernel, honouring an Entry Point request.
pub fn entry(requests: &Requests, image: &[u8], kernel: &Kernel) -> Result<u64, ResponseError> {
    match requests.field(image, Feature::EntryPoint, 0) {
        None => Ok(kernel.entry),
        Some(entry) if kernel.may_execute(entry) => Ok(entry),
        Some(_) => Err(ResponseError::EntryPoint),
    }
}

/// Bytes of stack to enter the kernel with, honouring a Stack Size request.
pub fn stack_len(requests: &Requests, image: &[u8]) -> u64 {
    requests.field(image, Feature::StackSize, 0).unwrap_or(0).max(SMALLEST_STACK)
}

/// Answers every request but those for memory maps.
pub fn answer(
    requests: &Requests,
    image: &mut [u8],
    arena: &mut Arena<'_>,
    facts: &Facts<'_>,
) -> Result<(), ResponseError> {
    let paging_revision = requests.request_revision(image, Feature::PagingMode);
    if paging_revision >= Some(1) && requests.field(image, Feature::PagingMode, 2) > Some(0) {
        return Err(ResponseError::PagingMode);
    }
    requests.grant(image);
    // Revision 3 alone reports the firmware's own structures by physical address.
    let firmware = if requests.revision() == 3 { 0 } else { HHDM };

    let mut respond = |feature, arena: &mut Arena<'_>, words: &[u64]| {
        if requests.wants(feature) {
            let address = arena.put_words(words)?;
            requests.respond(image, feature, address);
        }
        Ok(())
    };
    let (name, version) = (arena.put_text("pollux uefi-loader")?, arena.put_text(facts.version)?);
    respond(Feature::BootloaderInfo, arena, &[0, name, version])?;
    let cmdline = arena.put_text(facts.kernel_file.cmdline)?;
    respond(Feature::ExecutableCmdline, arena, &[0, cmdline])?;
    respond(Feature::FirmwareType, arena, &[0, FIRMWARE_UEFI64])?;
    respond(Feature::StackSize, arena, &[0])?;
    respond(Feature::EntryPoint, arena, &[0])?;
    respond(Feature::Hhdm, arena, &[0, HHDM])?;
    respond(Feature::PagingMode, arena, &[0, 0])?;
    respond(Feature::ExecutableAddress, arena, &[0, facts.kernel_physical, facts.kernel_virtual])?;
    respond(Feature::EfiSystemTable, arena, &[0, facts.system_table + firmware])?;
    if let Some(rsdp) = facts.rsdp {
        respond(Feature::Rsdp, arena, &[0, rsdp + firmware])?;
    }
    if facts.smbios.iter().any(Option::is_some) {
        let [short, long] = facts.smbios.map(|entry| entry.map_or(0, |entry| entry + firmware));
        respond(Feature::Smbios, arena, &[0, short, long])?;
    }
    if let Some(seconds) = facts.unix_seconds {
        respond(Feature::DateAtBoot, arena, &[0, seconds.cast_unsigned()])?;
    }
    let words = file(arena, &facts.kernel_file, &facts.volume)?;
    let kernel_file = arena.put_words(&words)?;
    respond(Feature::ExecutableFile, arena, &[0, kernel_file])?;
    if !facts.modules.is_empty() {
        let mut pointers = alloc::vec::Vec::with_capacity(facts.modules.len());
        for module in facts.modules {
            let words = file(arena, module, &facts.volume)?;
            pointers.push(arena.put_words(&words)?);
        }
        let list = arena.put_words(&pointers)?;
        // Response revision 0 says that internal modules (named by the kernel itself) are not
        // loaded.
        respond(Feature::Module, arena, &[0, pointers.len() as u64, list])?;
    }
    if let Some(screen) = &facts.framebuffer {
        let edid = if screen.edid.is_empty() { 0 } else { arena.put_bytes(screen.edid)? };
        let modes = screen.modes.iter().map(|mode| {
            let colours = mode.colours();
            [mode.pitch, mode.width, mode.height, colours[0], colours[1]]
        });
        let (count, modes) = arena.put_array(modes)?;
        let (mode, colours) = (&screen.mode, screen.mode.colours());
        let shape =
            [screen.physical + HHDM, mode.width, mode.height, mode.pitch, colours[0], colours[1]];
        let rest = [screen.edid.len() as u64, edid, count, modes];
        let one = arena.put_words(&[&shape[..], &rest].concat())?;
        let list = arena.put_words(&[one])?;
        respond(Feature::Framebuffer, arena, &[1, 1, list])?;
    }
    Ok(())
}

/// The File structure; its strings are put first.
fn file(
    arena: &mut Arena<'_>,
    file: &File<'_>,
    volume: &Volume,
) -> Result<[u64; 14], ResponseError> {
    let path = arena.put_text(file.path)?;
    let cmdline = arena.put_text(file.cmdline)?;
    let partition = u64::from(volume.partition) | u64::from(volume.mbr_disk) << 32;
    let halves = |guid: [u8; 16]| {
        let number = u128::from_le_bytes(guid);
        [number as u64, (number >> 64) as u64]
    };
    let (disk, part) = (halves(volume.gpt_disk), halves(volume.gpt_partition));
    let address = file.physical + HHDM;
    Ok([
        0, address, file.len, path, cmdline, 0, 0, partition, disk[0], disk[1], part[0], part[1],
        0, 0,
    ])
}

/// Answers the requests for memory maps. Allocates nothing outside the arena.
pub fn answer_memory_maps(
    requests: &Requests,
    image: &mut [u8],
    arena: &mut Arena<'_>,
    entries: &[Region],
    firmware_map: FirmwareMap,
) -> Result<(), ResponseError> {
    if requests.wants(Feature::MemoryMap) {
        let rows =
            entries.iter().map(|entry| [entry.base, entry.end - entry.base, entry.kind as u64]);
        let (count, pointers) = arena.put_array(rows)?;
        let address = arena.put_words(&[0, count, pointers])?;
        requests.respond(image, Feature::MemoryMap, address);
    }
    if requests.wants(Feature::EfiMemoryMap) {
        let FirmwareMap { physical, len, descriptor_len, version } = firmware_map;
        let words = [0, physical + HHDM, len, descriptor_len, u64::from(version)];
        let address = arena.put_words(&words)?;
        requests.respond(image, Feature::EfiMemoryMap, address);
    }
    Ok(())
}

/// Bytes of arena that `entries` memory map entries need.
pub fn memory_map_len(entries: usize) -> usize {
    entries * 32 + 128
}

/// The firmware's own memory map, as it left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirmwareMap {
    /// Physical address.
    pub physical: u64,
    /// Length in bytes.
    pub len: u64,
    /// Length of one descriptor in bytes.
    pub descriptor_len: u64,
    /// Version of the descriptors.
    pub version: u32,
}

#[cfg(test)]
#[path = "responses_tests.rs"]
mod tests;
