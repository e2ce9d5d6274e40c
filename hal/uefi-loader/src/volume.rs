//! The volume this loader was started from: its files, and what its device path says of it.

use crate::load::Reason;
use crate::pages::Pages;
use alloc::string::String;
use uefi::boot::{self, OpenProtocolAttributes, OpenProtocolParams, ScopedProtocol};
use uefi::proto::device_path::media::PartitionSignature;
use uefi::proto::device_path::{DevicePath, DevicePathNodeEnum};
use uefi::proto::loaded_image::LoadedImage;
use uefi::proto::media::block::BlockIO;
use uefi::proto::media::file::{File, FileAttribute, FileInfo, FileMode, FileType};
use uefi::proto::media::fs::SimpleFileSystem;
use uefi::{CString16, Handle, Status};
use uefi_loader::responses::Volume;

/// A file's bytes, in pages that are zero beyond its end.
#[derive(Debug)]
pub struct Loaded {
    /// The memory it lies in.
    pub pages: Pages,
    /// Its length in bytes.
    pub len: u64,
}

impl Loaded {
    /// The bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        usize::try_from(self.len).ok().and_then(|len| self.pages.get(..len)).unwrap_or(&[])
    }
}

/// The file system this loader was started from.
#[derive(Debug)]
pub struct BootVolume(ScopedProtocol<SimpleFileSystem>);

impl BootVolume {
    /// Opens it.
    pub fn open() -> Result<Self, Reason> {
        let volume = boot::get_image_file_system(boot::image_handle());
        Ok(Self(volume.map_err(|error| Reason::Firmware("boot volume", error.status()))?))
    }

    /// Reads a whole file; `path` has `/` between its parts.
    pub fn read(&mut self, path: &str, limit: u64) -> Result<Loaded, Reason> {
        let native: String = path.chars().map(|c| if c == '/' { '\\' } else { c }).collect();
        let native = CString16::try_from(native.as_str()).map_err(|_| Reason::Name)?;
        let failed = |error: uefi::Error| match error.status() {
            Status::NOT_FOUND => Reason::NotFound,
            status => Reason::Firmware("reading", status),
        };
        let mut root = self.0.open_volume().map_err(failed)?;
        let file = root.open(&native, FileMode::Read, FileAttribute::empty()).map_err(failed)?;
        let FileType::Regular(mut file) = file.into_type().map_err(failed)? else {
            return Err(Reason::Directory);
        };
        let len = file.get_boxed_info::<FileInfo>().map_err(failed)?.file_size();
        if len > limit {
            return Err(Reason::TooLarge { len, limit });
        }
        let mut pages = Pages::allocate(len).ok_or(Reason::NoMemory(len))?;
        let mut done = 0;
        while done < len {
            let rest = usize::try_from(done).ok().zip(usize::try_from(len).ok());
            let rest = rest.and_then(|(done, len)| pages.get_mut(done..len));
            let got = file.read(rest.unwrap_or(&mut [])).map_err(failed)? as u64;
            if got == 0 {
                return Err(Reason::Short { done, len });
            }
            done += got;
        }
        Ok(Loaded { pages, len })
    }
}

fn open<P: uefi::proto::ProtocolPointer + ?Sized>(handle: Handle) -> Option<ScopedProtocol<P>> {
    let params = OpenProtocolParams { handle, agent: boot::image_handle(), controller: None };
    // SAFETY: opened without exclusivity, so that drivers keep their devices; we only read, for the
    // length of one call, and no device is removed meanwhile.
    unsafe { boot::open_protocol(params, OpenProtocolAttributes::GetProtocol) }.ok()
}

/// What the device path and the partition table say; zeroes for what they do not.
pub fn identity() -> Volume {
    let mut volume = Volume::default();
    let device = open::<LoadedImage>(boot::image_handle()).and_then(|image| image.device());
    let Some(path) = device.and_then(open::<DevicePath>) else { return volume };
    for node in path.node_iter() {
        let Ok(DevicePathNodeEnum::MediaHardDrive(drive)) = node.as_enum() else { continue };
        volume.partition = drive.partition_number();
        match drive.partition_signature() {
            PartitionSignature::Mbr(signature) => volume.mbr_disk = u32::from_le_bytes(signature),
            PartitionSignature::Guid(guid) => {
                volume.gpt_partition = guid.to_bytes();
                volume.gpt_disk = gpt_disk(&path).unwrap_or_default();
            }
            _ => {}
        }
    }
    volume
}

/// The disk's GUID, from the GPT header (UEFI 2.10, section 5.3.2) on the disk above the partition.
fn gpt_disk(partition: &DevicePath) -> Option<[u8; 16]> {
    for handle in boot::find_handles::<BlockIO>().ok()? {
        let (Some(path), Some(mut disk)) = (open::<DevicePath>(handle), open::<BlockIO>(handle))
        else {
            continue;
        };
        let media = disk.media();
        if media.is_logical_partition() || !media.is_media_present() {
            continue;
        }
        // The disk's path is the partition's without its last node.
        let mut below = partition.node_iter();
        if !path.node_iter().all(|node| below.next() == Some(node)) {
            continue;
        }
        let (id, size) = (media.media_id(), u64::from(media.block_size()));
        let mut block = Pages::allocate(size)?;
        let block = block.get_mut(..usize::try_from(size).ok()?)?;
        disk.read_blocks(id, 1, block).ok()?;
        if block.get(..8)? == b"EFI PART" {
            return block.get(56..72)?.try_into().ok();
        }
    }
    None
}
