//! Files on a FAT volume (FAT12, FAT16, FAT32; long names), which never block the core.
//!
//! ```text
//!   Volume ── one operation at a time ──> hadris-fat ──> BlockCache ──> a disk or partition
//!                                         (futures)      1 MiB
//! ```
//!
//! The filesystem is the crate `hadris-fat`. It is asynchronous by itself, so it stands on the
//! [cache](crate::cache) directly and nothing is ever run twice; it reads and writes long names,
//! all three kinds of FAT and all block sizes, keeps both copies of the table alike, sees loops in
//! chains, and is `no_std` on stable Rust. (What else there is: `embedded-sdmmc` is synchronous,
//! creates short names only, and takes 512-byte blocks and no FAT12; the published `fatfs` does not
//! build without `std`; `embedded-fatfs` is a placeholder.) It is a release candidate, so its
//! version is pinned.
//!
//! **What survives what.** Changes last once [`sync`](Volume::sync) has returned. The first change
//! after it marks the volume dirty on the device before anything else is written (FAT16 and
//! FAT32), and the next sync marks it clean. A loss of power in between leaves a volume that
//! `fsck.vfat` repairs; what was synced and not touched since is whole. An operation whose future
//! is dropped, or that fails, is finished or undone by the next one that writes. A [`Volume`] that
//! is dropped without a sync loses what was not synced.
//!
//! A volume stays on one core; tasks of that core share it by reference and take turns.

mod device;
mod entry;
mod error;
mod inside;
mod path;

use core::cell::{RefCell, RefMut};
use core::ops::{Deref, DerefMut};

use executor::sync::{Permit, Semaphore};
use hadris_fat::async_::FatFs;
use hadris_fat::{CacheOptions, FatKind};
use hadris_fs::MountOptions;
use hal::dma::DmaDomain;

use self::device::Cached;
use self::inside::Inside;
use crate::cache::{BlockCache, CacheBytes};
use crate::storage::StorageDevice;

pub use self::entry::{DirEntry, EntryKind, Metadata, Modified};
pub use self::error::FatError;
pub use hadris_fs::{Clock, DateTime, NoClock};

/// How a volume is mounted.
#[derive(Clone, Copy)]
pub struct Options {
    /// Memory for blocks.
    pub cache: CacheBytes,
    /// What new and changed files are dated by, in local time if need be. Without one:
    /// 1980-01-01.
    pub clock: &'static dyn Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self { cache: CacheBytes::default(), clock: &NoClock }
    }
}

/// What to do with a file that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Make it.
    Create,
    /// Fail with [`FatError::NotFound`].
    Fail,
}

/// How full a volume is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// All there is for files and directories.
    pub total: u64,
    /// What is left of it.
    pub free: u64,
}

/// What kind of volume it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeKind {
    /// 12, 16 or 32.
    pub fat_bits: u8,
    /// Bytes in a cluster.
    pub cluster_bytes: u32,
    /// Its serial number, if it has one.
    pub serial: Option<u32>,
    /// It was not unmounted cleanly before it was mounted: run `fsck.vfat` on it some time.
    pub was_dirty: bool,
}

/// A mounted volume.
///
/// Paths are names between slashes, from the root on; upper and lower case are the same. Every
/// operation waits for its turn, then for the device where the cache misses.
pub struct Volume<D: StorageDevice + 'static> {
    turn: Semaphore,
    inside: RefCell<Inside<D>>,
}

/// The volume for one operation.
struct Turn<'a, D: StorageDevice + 'static> {
    inside: RefMut<'a, Inside<D>>,
    // Released after `inside`.
    _permit: Permit<'a>,
}

impl<D: StorageDevice + 'static> Deref for Turn<'_, D> {
    type Target = Inside<D>;
    fn deref(&self) -> &Inside<D> {
        &self.inside
    }
}

impl<D: StorageDevice + 'static> DerefMut for Turn<'_, D> {
    fn deref_mut(&mut self) -> &mut Inside<D> {
        &mut self.inside
    }
}

impl<D: StorageDevice + 'static> Volume<D> {
    /// Mounts the volume that fills `device`, with a cache of 1 MiB and no clock.
    ///
    /// # Errors
    /// There is no FAT volume, it contradicts itself, or the device fails.
    pub async fn mount(device: D, dma: &DmaDomain) -> Result<Self, FatError> {
        Self::mount_with(device, dma, Options::default()).await
    }

    /// The same with [`Options`].
    ///
    /// # Errors
    /// As [`mount`](Self::mount).
    pub async fn mount_with(
        device: D,
        dma: &DmaDomain,
        options: Options,
    ) -> Result<Self, FatError> {
        if !(512..=4096).contains(&device.info().block_size) {
            return Err(FatError::Unsupported);
        }
        let (cached, budget) = Cached::new(BlockCache::new(device, dma, options.cache));
        let mount = MountOptions::new().with_clock(options.clock);
        let fs = FatFs::mount(cached, mount).await.map_err(|error| error.into_error())?;
        // Blocks are cached below; where files go on is worth remembering here.
        let caches = CacheOptions::new().with_blocks(0).with_directory_hint(true);
        let inside = RefCell::new(Inside::new(fs.with_cache(caches), budget));
        Ok(Self { turn: Semaphore::new(1), inside })
    }

    /// What is in the directory at `path`, in the order it lies there.
    ///
    /// # Errors
    /// There is no such directory, or [a device or volume that fails](FatError).
    pub async fn list(&self, path: &str) -> Result<alloc::vec::Vec<DirEntry>, FatError> {
        self.turn().await?.list(path).await
    }

    /// What is known of the file or directory at `path`.
    ///
    /// # Errors
    /// There is none, or as [`list`](Self::list).
    pub async fn metadata(&self, path: &str) -> Result<Metadata, FatError> {
        self.turn().await?.metadata(path).await
    }

    /// Whether both paths lead to the same file or directory: names differ in upper and lower case,
    /// and most long ones have a short one besides. What is not there is the same as nothing.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub async fn is_same(&self, one: &str, other: &str) -> Result<bool, FatError> {
        self.turn().await?.is_same(one, other).await
    }

    /// Reads from byte `offset` of a file on, and says how many bytes that were: fewer than
    /// `into.len()` only at its end. Large buffers (64 KiB and more) are fastest.
    ///
    /// # Errors
    /// There is no such file, or as [`list`](Self::list).
    pub async fn read(&self, path: &str, offset: u64, into: &mut [u8]) -> Result<usize, FatError> {
        self.turn().await?.read(path, offset, into).await
    }

    /// Writes at byte `offset` of a file, which grows if need be (a gap is zeros), and says how
    /// many bytes that were: fewer than `from.len()` only at [the size files
    /// end](FatError::TooLarge).
    ///
    /// # Errors
    /// [`Full`](FatError::Full): then nothing was written. Otherwise as [`create`](Self::create),
    /// and part of it may have been written.
    pub async fn write(
        &self,
        path: &str,
        offset: u64,
        from: &[u8],
        missing: Missing,
    ) -> Result<usize, FatError> {
        self.turn().await?.write(path, offset, from, missing).await
    }

    /// Makes a file this long: cuts it off, or adds zeros.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn truncate(&self, path: &str, bytes: u64) -> Result<(), FatError> {
        self.turn().await?.truncate(path, bytes).await
    }

    /// Makes an empty file. Its name may be long.
    ///
    /// # Errors
    /// The name is taken, cannot be used, or its directory is not there; the volume is full,
    /// read-only, or fails.
    pub async fn create(&self, path: &str) -> Result<(), FatError> {
        self.turn().await?.create(path, EntryKind::File).await
    }

    /// Makes an empty directory.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub async fn make_directory(&self, path: &str) -> Result<(), FatError> {
        self.turn().await?.create(path, EntryKind::Directory).await
    }

    /// Removes a file or an empty directory.
    ///
    /// # Errors
    /// There is none, it is not empty, or as [`create`](Self::create).
    pub async fn remove(&self, path: &str) -> Result<(), FatError> {
        self.turn().await?.remove(path).await
    }

    /// Gives a file or directory another name or place. What has that name already stays, and it
    /// fails with [`Exists`](FatError::Exists). Syncs first, so that a loss of power leaves it
    /// under one name or both.
    ///
    /// # Errors
    /// As [`create`](Self::create) and [`sync`](Self::sync).
    pub async fn rename(&self, from: &str, to: &str) -> Result<(), FatError> {
        self.turn().await?.rename(from, to).await
    }

    /// The volume's name, if it has one.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub async fn label(&self) -> Result<Option<alloc::string::String>, FatError> {
        self.turn().await?.label().await
    }

    /// How full it is. The first time this may read the whole allocation table.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub async fn space(&self) -> Result<Space, FatError> {
        let stats = self.turn().await?.fs.statfs().await?;
        Ok(Space { total: stats.total_bytes(), free: stats.free_bytes() })
    }

    /// What kind of volume it is.
    ///
    /// # Errors
    /// None while the volume is mounted.
    pub async fn kind(&self) -> Result<VolumeKind, FatError> {
        let turn = self.turn().await?;
        let geometry = turn.fs.info();
        let fat_bits = match geometry.kind() {
            FatKind::Fat12 => 12,
            FatKind::Fat16 => 16,
            _ => 32,
        };
        Ok(VolumeKind {
            fat_bits,
            cluster_bytes: geometry.cluster_size(),
            serial: turn.fs.volume_serial(),
            was_dirty: turn.fs.was_dirty(),
        })
    }

    /// Makes every change before it last.
    ///
    /// # Errors
    /// The device fails: what it did not take is kept, and may be synced again.
    pub async fn sync(&self) -> Result<(), FatError> {
        self.turn().await?.sync().await
    }

    async fn turn(&self) -> Result<Turn<'_, D>, FatError> {
        let permit = self.turn.acquire(1).await.map_err(|_| FatError::Internal("closed"))?;
        let mut inside = self.inside.borrow_mut();
        inside.begin();
        Ok(Turn { inside, _permit: permit })
    }
}

#[cfg(test)]
mod tests;
