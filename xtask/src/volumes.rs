//! FAT volumes for the kernel, made and checked by other people's programs: `mkfs.vfat` and mtools
//! make them, and after the boot `fsck.vfat` has to accept them and every file has to hold what it
//! should, with none missing and none too many.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use protocols::pattern;

use crate::process;
use crate::setup::FatTools;

const LIMIT: Duration = Duration::from_secs(60);

/// A FAT file system.
#[derive(Clone, Copy, Debug)]
pub struct Volume {
    /// Bits of an entry of its table: 12, 16 or 32.
    pub bits: u32,
    /// The files the host puts there.
    pub before: &'static [Kept],
    /// All files it has to hold afterwards.
    pub after: &'static [Kept],
}

/// A file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its path from the root, such as `notes/today.txt`.
    pub path: &'static str,
    /// What is in it.
    pub data: Bytes,
}

/// What is in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bytes {
    /// A text.
    Text(&'static str),
    /// So many bytes of the pattern of a seed.
    Pattern(usize, u64),
}

/// A file with `length` bytes of the pattern of `seed`.
pub const fn pattern_file(path: &'static str, length: usize, seed: u64) -> Kept {
    Kept { path, data: Bytes::Pattern(length, seed) }
}

/// A file with a text.
pub const fn text_file(path: &'static str, text: &'static str) -> Kept {
    Kept { path, data: Bytes::Text(text) }
}

impl Bytes {
    fn bytes(self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.as_bytes().to_vec(),
            Self::Pattern(length, seed) => {
                let mut bytes = vec![0; length];
                pattern::fill(seed, 0, &mut bytes);
                bytes
            }
        }
    }
}

impl Volume {
    /// Makes it as a file of `length` bytes at `path`, for blocks of `block` bytes.
    pub fn make(&self, tools: &FatTools, path: &Path, block: u32, length: u64) -> Result<()> {
        fs::File::create(path)?.set_len(length)?;
        let mut mkfs = Command::new(&tools.mkfs);
        mkfs.args(["-F", &self.bits.to_string(), "-S", &block.to_string(), "-n", "POLLUX"]);
        if self.bits == 32 {
            // FAT32 has at least 65,525 clusters; this way a small partition has them.
            mkfs.args(["-s", "1"]);
        }
        said(mkfs.arg(path))?;
        let mut made: Vec<String> = Vec::new();
        let source = path.with_extension("file");
        for file in self.before {
            let folders = file.path.rsplit_once('/').map_or("", |(folders, _)| folders);
            let mut folder = String::from("::");
            for name in folders.split('/').filter(|name| !name.is_empty()) {
                folder = format!("{folder}/{name}");
                if !made.contains(&folder) {
                    said(mtool(&tools.mmd, path).arg(&folder))?;
                    made.push(folder.clone());
                }
            }
            fs::write(&source, file.data.bytes())?;
            said(mtool(&tools.mcopy, path).arg(&source).arg(format!("::/{}", file.path)))?;
        }
        let _ = fs::remove_file(source);
        Ok(())
    }

    /// Checks what is left of it at `path`.
    pub fn verify(&self, tools: &FatTools, path: &Path) -> Result<()> {
        said(Command::new(&tools.fsck).arg("-n").arg(path)).context("fsck.vfat -n objects")?;
        let listed = said(mtool(&tools.mdir, path).args(["-/", "-b", "::/"]))?;
        let listed: Vec<&str> = files(&listed).collect();
        for file in self.after {
            ensure!(listed.contains(&file.path), "no file {} ({})", file.path, listed.join(", "));
            let out = path.with_extension("file");
            let _ = fs::remove_file(&out);
            said(mtool(&tools.mcopy, path).arg(format!("::/{}", file.path)).arg(&out))?;
            let (is, should) = (fs::read(&out)?, file.data.bytes());
            fs::remove_file(out)?;
            if is.len() != should.len() {
                bail!("{} has {} bytes instead of {}", file.path, is.len(), should.len());
            }
            if let Some(at) = is.iter().zip(&should).position(|(is, should)| is != should) {
                bail!("{} differs from byte {at} on", file.path);
            }
        }
        let known = |path: &&&str| !self.after.iter().any(|file| file.path == **path);
        if let Some(path) = listed.iter().find(known) {
            bail!("there is a file {path} that should not be there");
        }
        Ok(())
    }
}

/// Paths of files (not folders) out of `mdir -/ -b`.
fn files(listed: &str) -> impl Iterator<Item = &str> {
    let paths = listed.lines().filter_map(|line| line.trim().strip_prefix("::/"));
    paths.filter(|path| !path.is_empty() && !path.ends_with('/'))
}

fn mtool(program: &Path, image: &Path) -> Command {
    let mut command = Command::new(program);
    // It would refuse partitions whose size is no whole number of tracks.
    command.env("MTOOLS_SKIP_CHECK", "1").arg("-i").arg(image);
    command
}

/// Runs it to its end and returns what it said; an error shows that.
fn said(command: &mut Command) -> Result<String> {
    command.stdin(Stdio::null());
    let (status, text) = process::said(command, LIMIT)?;
    match status {
        Some(status) if status.success() => Ok(text),
        Some(status) => bail!("{} ({status}): {}", process::shown(command), text.trim()),
        None => bail!("{}: still running after {} s", process::shown(command), LIMIT.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: &[Kept] = &[
        text_file("HELLO.TXT", "hello\n"),
        pattern_file("notes/deep/a-long-name.data", 70_000, 3),
        pattern_file("EMPTY", 0, 0),
    ];

    const OTHER: &[Kept] = &[text_file("HELLO.TXT", "hullo\n")];

    #[test]
    fn files_are_put_there_and_found() {
        // Only who runs the boots has to have the tools.
        let Some(tools) = FatTools::find() else { return };
        let unique = format!("xtask-volume-{}.fat", std::process::id());
        let path = std::env::temp_dir().join(unique);
        for (bits, block, mib) in [(12, 512, 2), (16, 512, 16), (32, 512, 40), (16, 4096, 64)] {
            let volume = Volume { bits, before: FILES, after: FILES };
            volume.make(&tools, &path, block, mib << 20).unwrap();
            volume.verify(&tools, &path).unwrap();
            let more = Volume { after: &FILES[..2], ..volume };
            let why = format!("{:#}", more.verify(&tools, &path).unwrap_err());
            assert!(why.contains("EMPTY that should not be there"), "{why}");
            let other = Volume { after: OTHER, ..volume };
            let why = format!("{:#}", other.verify(&tools, &path).unwrap_err());
            assert!(why.contains("HELLO.TXT differs from byte 1 on"), "{why}");
        }
        // Every copy of the table but the first is another.
        let mut bytes = fs::read(&path).unwrap();
        let first_table = 4096 * usize::from(u16::from_le_bytes([bytes[14], bytes[15]]));
        bytes[first_table + 64] ^= 0x55;
        fs::write(&path, bytes).unwrap();
        let why = format!(
            "{:#}",
            Volume { bits: 16, before: &[], after: FILES }.verify(&tools, &path).unwrap_err()
        );
        assert!(why.contains("fsck.vfat -n objects"), "{why}");
        fs::remove_file(path).unwrap();
    }
}
