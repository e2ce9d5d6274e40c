//! What the disks of a boot hold before it, and have to hold after it: made and checked here, from
//! outside, byte by byte.
//!
//! Blocks hold [`protocols::pattern`], which the kernel writes and checks with `pattern` at its
//! shell; what nobody wrote to has to be as it was. Files are for [`crate::volumes`].

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use gpt::GptConfig;
use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::partition_types::{BASIC, Type};
use protocols::pattern;

use crate::commits::{self, After, Before};
use crate::drives::{Cache, Drive, Fault, Image, Port};
use crate::image;
use crate::pieces::check;
use crate::setup::FatTools;
use crate::volumes::Volume;

pub use crate::pieces::{Data, Piece, pattern};

const MIB: u64 = 1 << 20;

/// A disk of a boot.
#[derive(Clone, Copy, Debug)]
pub struct Disk {
    /// Where it is attached.
    pub port: Port,
    /// Bytes of a block.
    pub block: u32,
    /// Its size in MiB.
    pub mib: u64,
    /// What is on it.
    pub holds: Layout,
    /// Errors it gives.
    pub faults: &'static [Fault],
    /// More of QEMU's properties for it.
    pub properties: &'static str,
}

/// How a disk is divided.
#[derive(Clone, Copy, Debug)]
pub enum Layout {
    /// Not at all.
    Whole(Area),
    /// By a GPT, into partitions of so many MiB.
    Partitions(&'static [(u64, Area)]),
    /// Nothing is kept, nothing is checked: as fast as QEMU can be.
    Null,
}

/// What is on a disk or a partition.
#[derive(Clone, Copy, Debug)]
pub enum Area {
    /// Blocks. Those of `after` have been written by the end of the boot, over those of `before`,
    /// over zeros; later pieces count.
    Blocks {
        /// What the host writes.
        before: &'static [Piece],
        /// What the kernel has to write.
        after: &'static [Piece],
    },
    /// A FAT file system.
    Fat(&'static Volume),
    /// A CommitLog. In a partition of that type only.
    Commits(Before, After),
}

impl Area {
    fn partition_type(&self) -> Result<Type> {
        if let Self::Commits(..) = self { image::commits_type() } else { Ok(BASIC) }
    }
}

/// A disk of 64 MiB and 512-byte blocks, all zeros, for whoever changes that.
pub const BLANK: Disk = Disk {
    port: Port::Nvme(1, 1),
    block: 512,
    mib: 64,
    holds: Layout::Whole(Area::Blocks { before: &[], after: &[] }),
    faults: &[],
    properties: "",
};

impl Disk {
    /// Whether checking it takes the tools for FAT.
    pub fn has_files(&self) -> bool {
        match self.holds {
            Layout::Whole(area) => matches!(area, Area::Fat(_)),
            Layout::Partitions(parts) => parts.iter().any(|(_, area)| matches!(area, Area::Fat(_))),
            Layout::Null => false,
        }
    }

    fn path(&self, dir: &Path) -> PathBuf {
        dir.join(format!("{}.img", self.port.id()))
    }

    /// As QEMU wants it, with its image in `dir`.
    pub fn drive(&self, dir: &Path) -> Drive {
        let image = match self.holds {
            Layout::Null => Image::Null { bytes: self.mib * MIB },
            _ => Image::File { path: self.path(dir), cache: Cache::Host, faults: self.faults },
        };
        Drive { port: self.port, block: self.block, image, properties: self.properties }
    }

    /// Makes its image in `dir`, over an older one.
    pub fn prepare(&self, dir: &Path, tools: Option<&FatTools>) -> Result<Prepared> {
        let path = self.path(dir);
        let mut prepared = Prepared { disk: *self, path, areas: Vec::new(), outside: Vec::new() };
        if let Layout::Null = self.holds {
            return Ok(prepared);
        }
        let mut file = OpenOptions::new();
        let mut file = file
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&prepared.path)
            .with_context(|| format!("cannot write {}", prepared.path.display()))?;
        file.set_len(self.mib * MIB)?;
        prepared.areas = match self.holds {
            Layout::Whole(area) => vec![(0, self.mib * MIB, area)],
            Layout::Partitions(parts) => partition(&mut file, self.block, parts)?,
            Layout::Null => Vec::new(),
        };
        for (number, (start, length, area)) in prepared.areas.iter().enumerate() {
            match area {
                Area::Blocks { before, .. } => {
                    for piece in *before {
                        let place = piece.lba * u64::from(self.block);
                        let mut bytes = vec![0; bytes_of(piece.blocks, self.block)?];
                        if let Data::Pattern(seed) = piece.data {
                            pattern::fill(seed, place, &mut bytes);
                        }
                        write_at(&mut file, start + place, &bytes)?;
                    }
                }
                Area::Commits(before, _) => {
                    let made = commits::make(*before, &commits::partition(&mut file, *start)?)?;
                    write_at(&mut file, *start, &made)?;
                }
                Area::Fat(volume) => {
                    let tools = tools.context("no tools for FAT")?;
                    let own = prepared.volume_path(number);
                    volume.make(tools, &own, self.block, *length)?;
                    let bytes = std::fs::read(&own)?;
                    write_at(&mut file, *start, &bytes)?;
                    std::fs::remove_file(&own)?;
                }
            }
        }
        prepared.outside = outside(&prepared.areas, self.mib * MIB)
            .into_iter()
            .map(|(start, length)| Ok((start, read_at(&mut file, start, length)?)))
            .collect::<Result<_>>()?;
        file.sync_data()?;
        Ok(prepared)
    }
}

/// A disk that was made.
pub struct Prepared {
    disk: Disk,
    path: PathBuf,
    /// Start and length in bytes of what is on it.
    areas: Vec<(u64, u64, Area)>,
    /// What lies around its partitions: the tables.
    outside: Vec<(u64, Vec<u8>)>,
}

impl Prepared {
    fn volume_path(&self, number: usize) -> PathBuf {
        self.path.with_extension(format!("{number}.fat"))
    }

    /// Checks what the boot left of it.
    pub fn verify(&self, tools: Option<&FatTools>) -> Result<()> {
        let id = self.disk.port.id();
        if let Layout::Null = self.disk.holds {
            return Ok(());
        }
        let mut file = File::open(&self.path)?;
        for (start, bytes) in &self.outside {
            let now = read_at(&mut file, *start, bytes.len() as u64)?;
            if let Some(at) = now.iter().zip(bytes).position(|(now, then)| now != then) {
                bail!("{id}: byte {} outside its partitions was changed", start + at as u64);
            }
        }
        for (number, (start, length, area)) in self.areas.iter().enumerate() {
            match area {
                Area::Blocks { before, after } => {
                    let pieces: Vec<Piece> = before.iter().chain(*after).copied().collect();
                    check(&mut file, *start, *length, self.disk.block, &pieces)
                        .with_context(|| id.clone())?;
                }
                Area::Commits(before, after) => {
                    let partition = commits::partition(&mut file, *start)?;
                    let bytes = read_at(&mut file, *start, *length)?;
                    commits::verify(*before, *after, &partition, &bytes)
                        .with_context(|| id.clone())?;
                }
                Area::Fat(volume) => {
                    let own = self.volume_path(number);
                    std::fs::write(&own, read_at(&mut file, *start, *length)?)?;
                    let tools = tools.context("no tools for FAT")?;
                    volume.verify(tools, &own).with_context(|| id.clone())?;
                    std::fs::remove_file(&own)?;
                }
            }
        }
        Ok(())
    }

    /// Removes its image.
    pub fn remove(&self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Writes a GPT and returns where its partitions are.
fn partition(file: &mut File, block: u32, parts: &[(u64, Area)]) -> Result<Vec<(u64, u64, Area)>> {
    let size = match block {
        512 => LogicalBlockSize::Lb512,
        4096 => LogicalBlockSize::Lb4096,
        other => bail!("no GPT on blocks of {other} bytes"),
    };
    let last = file.metadata()?.len() / u64::from(block) - 1;
    ProtectiveMBR::with_lb_size(u32::try_from(last)?).overwrite_lba0(file)?;
    let mut table = GptConfig::new()
        .writable(true)
        .logical_block_size(size)
        .create_from_device(&mut *file, None)?;
    let mut areas = Vec::new();
    for (number, (mib, area)) in parts.iter().enumerate() {
        let align = Some(MIB / u64::from(block));
        let (name, kind) = (format!("part {}", number + 1), area.partition_type()?);
        let id = table.add_partition(&name, mib * MIB, kind, 0, align)?;
        let made = table.partitions().get(&id).context("the partition was lost")?;
        areas.push((made.bytes_start(size)?, made.bytes_len(size)?, *area));
    }
    table.write()?;
    Ok(areas)
}

/// What no area covers, as starts and lengths.
fn outside(areas: &[(u64, u64, Area)], end: u64) -> Vec<(u64, u64)> {
    let mut gaps = Vec::new();
    let mut at = 0;
    for (start, length, _) in areas {
        gaps.push((at, start - at));
        at = start + length;
    }
    gaps.push((at, end - at));
    gaps.retain(|(_, length)| *length > 0);
    gaps
}

fn bytes_of(blocks: u64, block: u32) -> Result<usize> {
    Ok(usize::try_from(blocks * u64::from(block))?)
}

/// `length` bytes from byte `start` on.
pub fn read_at(file: &mut File, start: u64, length: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length)?];
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut bytes).context("the image has become shorter")?;
    Ok(bytes)
}

fn write_at(file: &mut File, start: u64, bytes: &[u8]) -> Result<()> {
    ensure!(start + bytes.len() as u64 <= file.metadata()?.len(), "more than the disk can hold");
    file.seek(SeekFrom::Start(start))?;
    Ok(file.write_all(bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("xtask-disks-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn what_was_not_written_as_told_is_found() {
        const BEFORE: &[Piece] = &[pattern(100, 5000, 1)];
        const AFTER: &[Piece] = &[
            pattern(2047, 3, 2),
            Piece { lba: 200, blocks: 8, data: Data::Zero },
            Piece { lba: 300, blocks: 1, data: Data::Anything },
        ];
        let holds = Layout::Whole(Area::Blocks { before: BEFORE, after: AFTER });
        let dir = folder("blocks");
        let prepared = Disk { mib: 4, holds, ..BLANK }.prepare(&dir, None).unwrap();
        let why = || format!("{:#}", prepared.verify(None).unwrap_err());
        let mut file = OpenOptions::new().read(true).write(true).open(&prepared.path).unwrap();
        assert!(why().contains("block 200 should be erased"), "{}", why());
        write_at(&mut file, 200 * 512, &[0; 8 * 512]).unwrap();
        assert!(why().contains("block 2047 should hold the pattern of seed 2, but holds else"));
        let mut bytes = vec![0; 3 * 512];
        pattern::fill(2, 2047 * 512, &mut bytes);
        write_at(&mut file, 2047 * 512, &bytes).unwrap();
        prepared.verify(None).unwrap();
        write_at(&mut file, 300 * 512, &[7; 512]).unwrap();
        prepared.verify(None).unwrap();
        write_at(&mut file, 8191 * 512 + 511, &[1]).unwrap();
        assert!(why().contains("block 8191 should not have been written to"), "{}", why());
        drop(file);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn partitions_are_apart_and_their_table_stays() {
        const PARTS: &[(u64, Area)] = &[
            (3, Area::Blocks { before: &[pattern(0, 2, 5)], after: &[] }),
            (2, Area::Blocks { before: &[], after: &[] }),
        ];
        for block in [512, 4096] {
            let dir = folder(&format!("parts-{block}"));
            let holds = Layout::Partitions(PARTS);
            let prepared = Disk { block, mib: 8, holds, ..BLANK }.prepare(&dir, None).unwrap();
            prepared.verify(None).unwrap();
            let places: Vec<_> = prepared.areas.iter().map(|area| (area.0, area.1)).collect();
            assert_eq!(places, [(MIB, 3 * MIB), (4 * MIB, 2 * MIB)]);
            let mut file = OpenOptions::new().read(true).write(true).open(&prepared.path).unwrap();
            write_at(&mut file, 8 * MIB - 1, &[9]).unwrap();
            let why = prepared.verify(None).unwrap_err().to_string();
            assert!(why.contains("byte 8388607 outside its partitions"), "{why}");
            drop(file);
            std::fs::remove_dir_all(dir).unwrap();
        }
    }
}
