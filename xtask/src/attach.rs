//! `--disk`: disks that a user attaches to the machine.
//!
//! `FILE` is a raw image; `null` keeps nothing, and is as fast as QEMU can be. The kernel leaves
//! all of them read-only until it is told otherwise.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::drives::{AHCI_MAX, Cache, Drive, Image, NVME_MAX, Port};

/// What `null` seems to hold.
const NULL_BYTES: u64 = 1 << 30;

/// Which controller a disk is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Nvme,
    Ahci,
}

/// A disk as asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The image; `None`: `null`.
    pub file: Option<PathBuf>,
    /// Which controller.
    pub kind: Kind,
    /// Bytes of a block.
    pub block: u32,
}

/// Reads `FILE|null[,kind=nvme|ahci][,block=512|4096]`.
pub fn parse(text: &str) -> Result<Attached> {
    let (mut name, mut kind, mut block) = (text, Kind::Nvme, 512);
    // From the end: a file's name may hold commas too.
    while let Some((before, word)) = name.rsplit_once(',') {
        match word.split_once('=') {
            Some(("kind", "nvme")) => kind = Kind::Nvme,
            Some(("kind", "ahci")) => kind = Kind::Ahci,
            Some(("kind", other)) => bail!("`{other}` is neither nvme nor ahci"),
            Some(("block", "512")) => block = 512,
            Some(("block", "4096")) => block = 4096,
            Some(("block", other)) => bail!("`{other}` is neither 512 nor 4096"),
            _ => break,
        }
        name = before;
    }
    ensure!(!name.is_empty(), "which file? FILE or null");
    if kind == Kind::Ahci && block != 512 {
        bail!("QEMU's AHCI disks have blocks of 512 bytes; kind=nvme can have {block}");
    }
    Ok(Attached { file: (name != "null").then(|| name.into()), kind, block })
}

/// The drives of a machine with all of them.
pub fn drives(disks: &[Attached]) -> Result<Vec<Drive>> {
    let (mut nvme, mut ahci) = (0, 0);
    let mut all = Vec::new();
    for disk in disks {
        let port = match disk.kind {
            Kind::Nvme => {
                nvme += 1;
                Port::Nvme(nvme, 1)
            }
            Kind::Ahci => {
                ahci += 1;
                Port::Ahci(ahci - 1)
            }
        };
        let image = match &disk.file {
            None => Image::Null { bytes: NULL_BYTES },
            Some(path) => {
                check(path, disk.block)?;
                Image::File { path: path.clone(), cache: Cache::Host, faults: &[] }
            }
        };
        all.push(Drive { port, block: disk.block, image, properties: "" });
    }
    ensure!(nvme <= NVME_MAX, "at most {NVME_MAX} NVMe disks");
    ensure!(ahci <= AHCI_MAX, "at most {AHCI_MAX} AHCI disks");
    Ok(all)
}

/// Whether the file can be a disk with such blocks.
fn check(path: &Path, block: u32) -> Result<()> {
    let shown = path.display();
    let metadata = fs::metadata(path)
        .with_context(|| format!("{shown}: make one with `truncate -s 64M {shown}`"))?;
    ensure!(metadata.is_file(), "{shown} is not a file; copy the disk to one first");
    let length = metadata.len();
    if length == 0 || !length.is_multiple_of(block.into()) {
        bail!("{shown} has {length} bytes: not a number of {block}-byte blocks");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drives::named;

    #[test]
    fn words_are_read_from_the_end() {
        let disk = parse("a,b=c.img,block=4096,kind=nvme").unwrap();
        assert_eq!(disk.file.as_deref(), Some(Path::new("a,b=c.img")));
        assert_eq!((disk.kind, disk.block), (Kind::Nvme, 4096));
        let disk = parse("null,kind=ahci").unwrap();
        assert_eq!((disk.file, disk.kind, disk.block), (None, Kind::Ahci, 512));
        for (bad, why) in [
            ("x,kind=scsi", "neither nvme nor ahci"),
            ("x,block=1024", "neither 512 nor 4096"),
            ("x,kind=ahci,block=4096", "512 bytes"),
            (",kind=nvme", "which file?"),
        ] {
            let error = parse(bad).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn disks_are_numbered_by_kind() {
        let disks = ["null", "null,kind=ahci", "null,block=4096", "null,kind=ahci"];
        let disks: Vec<Attached> = disks.iter().map(|disk| parse(disk).unwrap()).collect();
        let all = drives(&disks).unwrap();
        assert!(named(&all).map(|named| named.0).eq(["nvme1n1", "sata0", "nvme2n1", "sata1"]));
        assert!(drives(&vec![disks[0].clone(); 8]).is_err());
        let missing = parse("/no/such/file").unwrap();
        let error = format!("{:#}", drives(&[missing]).unwrap_err());
        assert!(error.contains("truncate"), "{error}");
        let folder = Attached { file: Some("/".into()), ..disks[0].clone() };
        assert!(drives(&[folder]).unwrap_err().to_string().contains("not a file"));
    }
}
