//! The boot medium: a GPT disk with a FAT32 EFI system partition and empty ones for results and for
//! the CommitLog, made without root.
//!
//! Layout: `/EFI/BOOT/BOOTX64.EFI`, `/limine.conf`, `/pollux/kernel` and `/pollux/NAME` for each
//! module. The kernel writes to the second partition ([`crate::results`]) and the third
//! ([`protocols::commit_log`]) alone. The file is sparse; written to a USB stick with `dd` it boots
//! a real machine.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions, format_volume};
use gpt::GptConfig;
use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::partition_types::{EFI, OperatingSystem, Type};
use protocols::gpt::Guid;
use protocols::{commit_log, results};

const SECTOR: u64 = 512;
/// Where the partition begins and what it is aligned to, in bytes.
const ALIGNMENT: u64 = 1 << 20;
/// FAT32 has at least 65,525 clusters; one sector each makes this a little over 32 MiB.
const LEAST: u64 = 48 << 20;
/// Room on the partition beyond its files, for what people add.
const SPARE: u64 = 16 << 20;

/// The partition for results: the 20,000 figures the kernel keeps, at 200 bytes each.
const RESULTS: u64 = 4 << 20;
/// The partition for the CommitLog. The kernel makes a checkpoint when a quarter is full: 4 MiB are
/// some 100,000 commits in large groups, or 8,000 that were each synced alone, and are verified in
/// a few seconds of emulation at the next boot.
const COMMITS: u64 = 16 << 20;

/// A file on the medium.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where, from the root of the partition, such as `EFI/BOOT/BOOTX64.EFI`.
    pub path: String,
    /// What is in it.
    pub contents: Vec<u8>,
}

impl Entry {
    /// A file at `path`.
    pub fn new(path: impl Into<String>, contents: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), contents: contents.into() }
    }
}

/// Writes a disk image with `entries` to `path`, replacing what is there.
pub fn write(path: &Path, entries: &[Entry]) -> Result<()> {
    let context = || format!("cannot write the image {}", path.display());
    let used: u64 = entries.iter().map(|entry| entry.contents.len() as u64).sum();
    let partition = (used + SPARE).max(LEAST).next_multiple_of(ALIGNMENT);
    let disk = partition + RESULTS + COMMITS + 2 * ALIGNMENT;
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .with_context(context)?;
    file.set_len(disk).with_context(context)?;
    let (start, length) = partition_table(&mut file, partition).with_context(context)?;
    file_system(Slice::new(&mut file, start, length)?, entries).with_context(context)?;
    file.sync_data().with_context(context)
}

/// Writes the partition table and returns the partition's place in bytes.
fn partition_table(file: &mut File, size: u64) -> Result<(u64, u64)> {
    let sectors = file.metadata()?.len() / SECTOR;
    let protective = u32::try_from(sectors - 1).unwrap_or(u32::MAX);
    ProtectiveMBR::with_lb_size(protective).overwrite_lba0(file)?;
    let mut disk = GptConfig::new()
        .writable(true)
        .logical_block_size(LogicalBlockSize::Lb512)
        .create_from_device(file, None)?;
    let align = Some(ALIGNMENT / SECTOR);
    let id = disk.add_partition("Pollux", size, EFI, 0, align)?;
    let partition = disk.partitions().get(&id).context("the partition was lost")?;
    let (start, length) = (
        partition.bytes_start(LogicalBlockSize::Lb512)?,
        partition.bytes_len(LogicalBlockSize::Lb512)?,
    );
    let kind = own_type(results::PARTITION_TYPE, results::PARTITION_NAME)?;
    disk.add_partition(results::PARTITION_NAME, RESULTS, kind, 0, align)?;
    disk.add_partition(commit_log::PARTITION_NAME, COMMITS, commits_type()?, 0, align)?;
    disk.write()?;
    Ok((start, length))
}

/// The type of a partition for the CommitLog.
pub fn commits_type() -> Result<Type> {
    own_type(commit_log::PARTITION_TYPE, commit_log::PARTITION_NAME)
}

fn own_type(kind: Guid, name: &str) -> Result<Type> {
    let os = OperatingSystem::Custom(name.to_owned());
    Ok(Type { guid: kind.to_string().parse()?, os })
}

fn file_system(mut partition: Slice<'_>, entries: &[Entry]) -> Result<()> {
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_cluster(SECTOR as u32)
        .volume_label(*b"POLLUX     ");
    format_volume(&mut partition, options).context("cannot format FAT32")?;
    let volume = FileSystem::new(partition, FsOptions::new())?;
    ensure!(volume.fat_type() == FatType::Fat32, "the partition came out as other than FAT32");
    {
        let root = volume.root_dir();
        for entry in entries {
            let mut made = String::new();
            let (folders, _) = entry.path.rsplit_once('/').unwrap_or(("", ""));
            for folder in folders.split('/').filter(|folder| !folder.is_empty()) {
                made = if made.is_empty() { folder.to_owned() } else { format!("{made}/{folder}") };
                root.create_dir(&made).with_context(|| made.clone())?;
            }
            let mut file = root.create_file(&entry.path).with_context(|| entry.path.clone())?;
            file.truncate()?;
            file.write_all(&entry.contents).with_context(|| entry.path.clone())?;
        }
    }
    volume.unmount().context("cannot finish the FAT32 file system")
}

/// The bytes of one partition, as a device of their own.
struct Slice<'a> {
    device: &'a mut File,
    start: u64,
    length: u64,
    at: u64,
}

impl<'a> Slice<'a> {
    fn new(device: &'a mut File, start: u64, length: u64) -> Result<Self> {
        ensure!(start + length <= device.metadata()?.len(), "the partition leaves the disk");
        Ok(Self { device, start, length, at: 0 })
    }

    /// How many of `wanted` bytes there are from here, with the device in place for them.
    fn room(&mut self, wanted: usize) -> std::io::Result<usize> {
        self.device.seek(SeekFrom::Start(self.start + self.at))?;
        let left = usize::try_from(self.length - self.at).unwrap_or(usize::MAX);
        Ok(left.min(wanted))
    }
}

impl Read for Slice<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let room = self.room(buffer.len())?;
        let read = self.device.read(&mut buffer[..room])?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Write for Slice<'_> {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        let room = self.room(buffer.len())?;
        let written = self.device.write(&buffer[..room])?;
        self.at += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.device.flush()
    }
}

impl Seek for Slice<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let end = i128::from(self.length);
        let target = match to {
            SeekFrom::Start(at) => i128::from(at),
            SeekFrom::Current(by) => i128::from(self.at) + i128::from(by),
            SeekFrom::End(by) => end + i128::from(by),
        };
        if !(0..=end).contains(&target) {
            return Err(std::io::Error::other("seek outside the partition"));
        }
        self.at = u64::try_from(target).unwrap_or(0);
        Ok(self.at)
    }
}

/// Reads one file back out of an image; `None` if it isn't there.
#[cfg(test)]
pub fn read(path: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let disk = GptConfig::new().writable(false).open_from_device(&mut file)?;
    let partition = disk.partitions().values().find(|partition| partition.part_type_guid == EFI);
    let partition = partition.context("no EFI system partition")?;
    let start = partition.bytes_start(LogicalBlockSize::Lb512)?;
    let length = partition.bytes_len(LogicalBlockSize::Lb512)?;
    drop(disk);
    // fatfs wants to write (its dirty flag), the image should stay as it is: read it whole.
    let mut bytes = vec![0; usize::try_from(length)?];
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut bytes)?;
    let volume = FileSystem::new(std::io::Cursor::new(bytes), FsOptions::new())?;
    let root = volume.root_dir();
    match root.open_file(name) {
        Ok(mut file) => {
            let mut contents = Vec::new();
            file.read_to_end(&mut contents)?;
            Ok(Some(contents))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back() {
        let path = std::env::temp_dir().join(format!("xtask-image-{}.img", std::process::id()));
        let kernel: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
        let entries = [
            Entry::new("EFI/BOOT/BOOTX64.EFI", *b"MZ"),
            Entry::new("limine.conf", *b"timeout: 0\n"),
            Entry::new("pollux/kernel", kernel.clone()),
            Entry::new("pollux/kernel.sym", *b"ffffffff80000000 _start\n"),
            Entry::new("pollux/empty", *b""),
        ];
        write(&path, &entries).unwrap();
        for entry in &entries {
            assert_eq!(read(&path, &entry.path).unwrap().as_deref(), Some(&entry.contents[..]));
        }
        assert_eq!(read(&path, "pollux/other").unwrap(), None);
        let length = std::fs::metadata(&path).unwrap().len();
        assert_eq!(length % ALIGNMENT, 0);
        let disk = GptConfig::new().writable(false).open(&path).unwrap();
        let parts = disk.partitions().values().map(|part| part.name.clone());
        assert_eq!(parts.collect::<Vec<_>>(), ["Pollux", "pollux-results", "pollux-commits"]);
        let commits = &disk.partitions()[&3];
        let kind = commits.part_type_guid.guid.to_string();
        assert_eq!(kind.to_lowercase(), commit_log::PARTITION_TYPE.to_string());
        assert_eq!(commits.bytes_len(LogicalBlockSize::Lb512).unwrap(), COMMITS);
        let mut first = [0; 512];
        File::open(&path).unwrap().read_exact(&mut first).unwrap();
        assert_eq!((first[450], &first[510..]), (0xee, &[0x55, 0xaa][..]));
        std::fs::remove_file(&path).unwrap();
    }
}
