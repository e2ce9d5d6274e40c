//! A disk with a partition for the CommitLog and one for the marks of syncs, in a file.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use gpt::GptConfig;
use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::partition_types::{BASIC, OperatingSystem, Type};
use protocols::commit_log::{PARTITION_NAME, PARTITION_TYPE, Partition};
use protocols::gpt::Guid;
use protocols::sync_mark;

use crate::drives::{Cache, Drive, Image, Port};

const MIB: u64 = 1 << 20;
/// Bytes of the partition for marks.
const MARKS: u64 = MIB;

/// The disk.
#[derive(Clone, Debug)]
pub struct Volume {
    /// Its image.
    pub path: PathBuf,
    /// Where it is attached.
    pub port: Port,
    /// The partition for the log; the first one.
    pub partition: Partition,
    /// Where that lies, in bytes.
    pub log: Range<u64>,
    /// Where the partition for marks lies; the second one.
    marks: Range<u64>,
}

impl Volume {
    /// Makes one in `path` that holds nothing yet, with `bytes` for the log.
    pub fn make(path: PathBuf, port: Port, block: u32, bytes: u64) -> Result<Self> {
        let size = match block {
            512 => LogicalBlockSize::Lb512,
            4096 => LogicalBlockSize::Lb4096,
            other => bail!("no GPT on blocks of {other} bytes"),
        };
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        let total = bytes.next_multiple_of(MIB) + MARKS + 2 * MIB;
        file.set_len(total)?;
        let last = u32::try_from(total / u64::from(block) - 1)?;
        ProtectiveMBR::with_lb_size(last).overwrite_lba0(&mut file)?;
        let mut table = GptConfig::new()
            .writable(true)
            .logical_block_size(size)
            .create_from_device(&mut file, None)?;
        let kind = Type {
            guid: PARTITION_TYPE.to_string().parse()?,
            os: OperatingSystem::Custom(PARTITION_NAME.to_owned()),
        };
        let align = Some(MIB / u64::from(block));
        let log = table.add_partition(PARTITION_NAME, bytes, kind, 0, align)?;
        let marks = table.add_partition("marks", MARKS, BASIC, 0, align)?;
        let place = |id: u32| {
            let made = table.partitions().get(&id).context("a partition was lost")?;
            let (start, length) = (made.bytes_start(size)?, made.bytes_len(size)?);
            anyhow::Ok((start..start + length, Guid(made.part_guid.to_bytes_le())))
        };
        let ((log, id), (marks, _)) = (place(log)?, place(marks)?);
        table.write()?;
        let partition =
            Partition { id, block_size: block, blocks: (log.end - log.start) / u64::from(block) };
        Ok(Self { path, port, partition, log, marks })
    }

    /// A copy in another file, with these bytes in the log's partition.
    pub fn copy(&self, path: PathBuf, bytes: &[u8]) -> Result<Self> {
        std::fs::copy(&self.path, &path)?;
        let copy = Self { path, ..self.clone() };
        copy.write(bytes)?;
        Ok(copy)
    }

    /// Halves the log's partition, which stays what it is otherwise.
    pub fn halve(&mut self) -> Result<()> {
        let size = match self.partition.block_size {
            512 => LogicalBlockSize::Lb512,
            _ => LogicalBlockSize::Lb4096,
        };
        let file = OpenOptions::new().read(true).write(true).open(&self.path)?;
        let mut table =
            GptConfig::new().writable(true).logical_block_size(size).open_from_device(file)?;
        let mut all = table.partitions().clone();
        let log = all.values_mut().next().context("there is no partition")?;
        self.partition.blocks /= 2;
        log.last_lba = log.first_lba + self.partition.blocks - 1;
        table.update_partitions(all)?;
        table.write()?;
        self.log.end =
            self.log.start + self.partition.blocks * u64::from(self.partition.block_size);
        Ok(())
    }

    /// As QEMU wants it.
    pub fn drive(&self) -> Drive {
        let (path, cache) = (self.path.clone(), Cache::Host);
        self.with(Image::File { path, cache, faults: &[] })
    }

    /// The same, with a new log of its writes in the file `log`.
    pub fn recorded(&self, log: &Path) -> Result<Drive> {
        File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let (path, log) = (self.path.clone(), log.to_owned());
        Ok(self.with(Image::Recorded { path, log }))
    }

    fn with(&self, image: Image) -> Drive {
        Drive { port: self.port, block: self.partition.block_size, image, properties: "" }
    }

    /// All bytes of the log's partition.
    pub fn read(&self) -> Result<Vec<u8>> {
        self.bytes(&self.log)
    }

    /// Writes the log's partition, from its beginning.
    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        ensure!(bytes.len() as u64 <= self.log.end - self.log.start, "more than it can hold");
        let mut file = OpenOptions::new().write(true).open(&self.path)?;
        file.seek(SeekFrom::Start(self.log.start))?;
        Ok(file.write_all(bytes)?)
    }

    /// The last record of which a mark says that it is durable.
    pub fn synced(&self) -> Result<Option<u64>> {
        let bytes = self.bytes(&self.marks)?;
        let blocks = bytes.chunks(self.partition.block_size as usize);
        Ok(blocks.filter_map(sync_mark::decode).max())
    }

    fn bytes(&self, range: &Range<u64>) -> Result<Vec<u8>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(range.start))?;
        let mut bytes = vec![0; usize::try_from(range.end - range.start)?];
        file.read_exact(&mut bytes).context("the image has become shorter")?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_partitions_are_where_its_table_says() {
        let path = std::env::temp_dir().join(format!("xtask-volume-{}", std::process::id()));
        for block in [512_u32, 4096] {
            let volume = Volume::make(path.clone(), Port::Ahci(0), block, 512 << 10).unwrap();
            assert_eq!(
                (volume.log.clone(), volume.marks.clone()),
                (MIB..MIB * 3 / 2, 2 * MIB..3 * MIB)
            );
            assert_eq!(volume.partition.blocks, (512 << 10) / u64::from(block));
            let disk = std::fs::read(&path).unwrap();
            let id: Vec<u8> = volume.partition.id.0.to_vec();
            let entries = &disk[2 * block as usize..][..256];
            assert_eq!((&entries[..16], &entries[16..32]), (&PARTITION_TYPE.0[..], &id[..]));
            assert_eq!(volume.synced().unwrap(), None);
            volume.write(&[5; 700]).unwrap();
            assert_eq!(volume.read().unwrap()[698..702], [5, 5, 0, 0]);
            assert!(volume.write(&vec![0; 513 << 10]).is_err());
            let mut half = volume.clone();
            half.halve().unwrap();
            let disk = std::fs::read(&path).unwrap();
            let entry = &disk[2 * block as usize..][..128];
            assert_eq!((&entries[..40], half.log.end), (&entry[..40], MIB + (256 << 10)));
            let last = u64::from_le_bytes(entry[40..48].try_into().unwrap());
            assert_eq!((last + 1) * u64::from(block), half.log.end);
        }
        std::fs::remove_file(path).unwrap();
    }
}
