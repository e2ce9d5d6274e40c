//! The shell's commands on files of FAT volumes, named `VOLUME:/PATH`.
//!
//! Each command mounts the volumes it needs, and before it ends brings to rest what it wrote: what
//! stands on the disk is what the shell has said, and raw writes in between are seen.

use super::unbroken::{Stop, at_rest, unbroken};
use crate::devices::{self, Block, Listed, OpenError};
use crate::services::console;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use drivers::fat::{Clock, DateTime, FatError, Missing, NoClock, Options, Volume};
use drivers::storage::Writable;
use hal::dma::DmaDomain;
use hal::x86_64::time::clock;
use kernel_text::dump;
use kernel_text::grid::Grid;
use kernel_text::quantity::{Bytes, Count};
use kernel_text::shown::Lines;
use thiserror_no_std::Error;

/// Bytes read or written at once.
const PIECE: usize = 256 << 10;
/// Seconds between two lines about how far a copy is.
const REMIND_S: u64 = 5;
/// Bytes of a file that `hexdump` shows.
const DUMPED: usize = 32 << 10;

/// Why a command on files was not carried out, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FileError {
    /// The word names no file.
    #[error("`{0}` is no file: VOLUME:/PATH names one, `disks` lists volumes")]
    NoPath(String),
    /// The disk cannot be had.
    #[error("{0}: {1}")]
    Open(String, OpenError),
    /// The volume failed.
    #[error("{0}: {1}")]
    Volume(String, FatError),
    /// A file is to be copied onto itself.
    #[error("{0}: that is the same file")]
    Same(String),
    /// Nobody wanted it any more.
    #[error("stopped")]
    Stopped,
    /// There is no memory for it.
    #[error("out of memory")]
    OutOfMemory,
}

type Done = Result<(), FileError>;

/// Dates new files.
struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> DateTime {
        let seconds = clock::wall_ns().map_or(0, |ns| ns / 1_000_000_000);
        let seconds = i64::try_from(seconds).unwrap_or(0).max(DOS_EPOCH);
        DateTime::from_unix_seconds(seconds).unwrap_or(NoClock::TIME)
    }
}

/// 1980-01-01, the earliest that FAT can say.
const DOS_EPOCH: i64 = 315_532_800;

/// A file as the shell names it.
struct Place<'a> {
    word: &'a str,
    volume: &'a str,
    path: &'a str,
}

impl<'a> Place<'a> {
    fn new(word: &'a str) -> Result<Self, FileError> {
        let (volume, path) = word.split_once(':').ok_or_else(|| FileError::NoPath(word.into()))?;
        Ok(Self { word, volume, path })
    }

    /// Turns a volume's error into one that names the file.
    fn failed(&self) -> impl FnOnce(FatError) -> FileError + use<> {
        let word = String::from(self.word);
        move |error| FileError::Volume(word, error)
    }

    /// Mounts the volume to read it, once nobody writes to one.
    async fn mount_to_read(&self) -> Result<Volume<Block>, FileError> {
        at_rest().await;
        self.mount(Writable::No).await
    }

    async fn mount(&self, access: Writable) -> Result<Volume<Block>, FileError> {
        let block = devices::open(self.volume, access);
        let block = block.map_err(|error| FileError::Open(self.volume.into(), error))?;
        mount(block).await.map_err(self.failed())
    }
}

async fn mount(block: Block) -> Result<Volume<Block>, FatError> {
    let options = Options { clock: &WallClock, ..Options::default() };
    Volume::mount_with(block, &DmaDomain::machine(), options).await
}

/// `ls`: the volumes there are.
pub async fn volumes() {
    at_rest().await;
    devices::settled().await;
    let mut grid = Grid::new(&["<volume", "<label", "<kind", "size", "free", "<access"]);
    let mut found = false;
    for listed in devices::listed() {
        match volume(&listed).await {
            Ok(row) => grid.row(row),
            Err(FatError::NotFat) => continue,
            // The others are shown all the same.
            Err(error) => console::say(format_args!("ls: {}: {error}", listed.block().name())),
        }
        found = true;
    }
    if found {
        console::say_all(grid.lines());
    } else {
        console::say("ls: no disk or partition holds a FAT volume");
    }
}

async fn volume(listed: &Listed) -> Result<Vec<String>, FatError> {
    let block = listed.block().read_only();
    let name = String::from(block.name());
    let volume = mount(block).await?;
    let label = volume.label().await?.unwrap_or_default();
    let (kind, space) = (volume.kind().await?, volume.space().await?);
    if kind.was_dirty {
        console::say(format_args!(
            "ls: {name}: was left in the middle of a change: run fsck on it"
        ));
    }
    Ok(Vec::from([
        name,
        label,
        format!("FAT{}", kind.fat_bits),
        Bytes(space.total).to_string(),
        Bytes(space.free).to_string(),
        String::from(if listed.access() == Writable::Yes { "writable" } else { "read-only" }),
    ]))
}

/// `ls VOLUME[:/PATH]`.
pub async fn list(word: &str) -> Done {
    let place = Place::new(word).unwrap_or(Place { word, volume: word, path: "/" });
    let volume = place.mount_to_read().await?;
    let path = if place.path.is_empty() { "/" } else { place.path };
    let about = volume.metadata(path).await.map_err(place.failed())?;
    let mut grid = Grid::new(&["bytes", "<modified", "<name"]);
    if !about.is_directory() {
        grid.row(row(&about, path.rsplit('/').next().unwrap_or(path)));
    } else {
        for entry in volume.list(path).await.map_err(place.failed())? {
            grid.row(row(&entry.metadata, &entry.name));
        }
    }
    console::say_all(grid.lines());
    Ok(())
}

fn row(about: &drivers::fat::Metadata, name: &str) -> Vec<String> {
    let bytes = Count(about.bytes).to_string();
    let modified = about.modified.map(|when| when.to_string()).unwrap_or_default();
    // Names come from the disk: what could move the cursor is made fit to be seen.
    let name = kernel_text::shown::Shown(name.as_bytes());
    match about.is_directory() {
        true => Vec::from([String::new(), modified, format!("{name}/")]),
        false => Vec::from([bytes, modified, name.to_string()]),
    }
}

/// `cat FILE`: its lines.
pub async fn cat(word: &str) -> Done {
    let place = Place::new(word)?;
    let volume = place.mount_to_read().await?;
    let mut buffer = room(PIECE)?;
    let (mut offset, mut lines) = (0, Lines::new());
    loop {
        let count = volume.read(place.path, offset, &mut buffer).await.map_err(place.failed())?;
        if count == 0 {
            break;
        }
        offset += count as u64;
        // In small pieces, so that the console is everybody's in between.
        for piece in buffer[..count].chunks(512) {
            lines.write(piece, |line| console::say(line));
            executor::yield_now().await;
        }
    }
    lines.flush(|line| console::say(line));
    Ok(())
}

/// `hexdump FILE`: its first bytes.
pub async fn hexdump(word: &str) -> Done {
    let place = Place::new(word)?;
    let volume = place.mount_to_read().await?;
    let mut buffer = room(DUMPED)?;
    let mut count = 0;
    while count < DUMPED {
        let into = &mut buffer[count..];
        match volume.read(place.path, count as u64, into).await.map_err(place.failed())? {
            0 => break,
            more => count += more,
        }
    }
    console::show(dump::lines(0, &buffer[..count])).await;
    if count == DUMPED {
        console::say(format_args!("the first {} only", Bytes(DUMPED as u64)));
    }
    Ok(())
}

/// `cp FROM TO`. What `TO` held before is gone. What does not come through as a whole is removed.
pub async fn copy(from: &str, to: &str) -> Done {
    let (from, to) = (String::from(from), String::from(to));
    let done = unbroken(move |stop| async move { copy_or_stop(&from, &to, &stop).await });
    done.await.unwrap_or(Err(FileError::Stopped))
}

async fn copy_or_stop(from: &str, to: &str, stop: &Stop) -> Done {
    let (from, to) = (Place::new(from)?, Place::new(to)?);
    let target = to.mount(Writable::Yes).await?;
    // One mount for both ends where they are on the same volume: two would not see each other.
    let other = if from.volume == to.volume { None } else { Some(from.mount(Writable::No).await?) };
    let source = other.as_ref().unwrap_or(&target);
    let whole = source.metadata(from.path).await.map_err(from.failed())?;
    if whole.is_directory() {
        return Err(from.failed()(FatError::IsADirectory));
    }
    let path = if to.path.ends_with('/') {
        format!("{}{}", to.path, from.path.rsplit('/').next().unwrap_or("file"))
    } else {
        String::from(to.path)
    };
    if other.is_none() && target.is_same(from.path, &path).await.map_err(to.failed())? {
        return Err(FileError::Same(to.word.into()));
    }
    match target.metadata(&path).await {
        Ok(_) => target.truncate(&path, 0).await.map_err(to.failed())?,
        Err(FatError::NotFound) => target.create(&path).await.map_err(to.failed())?,
        Err(error) => return Err(to.failed()(error)),
    }
    // From here on it is empty on the device too: should this be given up, no old file is left
    // whose clusters hold parts of the new one.
    target.sync().await.map_err(to.failed())?;
    let copied = carry((source, &from), (&target, &to), &path, whole.bytes, stop).await;
    if copied.is_err() {
        // What this fails with is no news.
        let _ = target.remove(&path).await;
    }
    let synced = target.sync().await.map_err(to.failed());
    let bytes = copied?;
    synced?;
    console::say(format_args!("cp: {} bytes", Count(bytes)));
    Ok(())
}

/// Appends the file `from` to the empty one at `path`, and says how many bytes that was.
async fn carry(
    (source, from): (&Volume<Block>, &Place<'_>),
    (target, to): (&Volume<Block>, &Place<'_>),
    path: &str,
    whole: u64,
    stop: &Stop,
) -> Result<u64, FileError> {
    let mut buffer = room(PIECE)?;
    let (mut offset, mut said) = (0, clock::now());
    while offset < whole {
        if stop.is_asked() {
            return Err(FileError::Stopped);
        }
        let count = source.read(from.path, offset, &mut buffer).await.map_err(from.failed())?;
        if count == 0 {
            break;
        }
        let written = target.write(path, offset, &buffer[..count], Missing::Fail).await;
        if written.map_err(to.failed())? < count {
            return Err(to.failed()(FatError::TooLarge));
        }
        // The table before the length, for each piece: should power go in between, the file is
        // shorter, and none of its clusters are taken for free ones.
        target.sync().await.map_err(to.failed())?;
        offset += count as u64;
        if clock::now().saturating_sub(said) > REMIND_S * clock::ticks_per_second() {
            said = clock::now();
            console::say(format_args!("cp: {} of {}", Bytes(offset), Bytes(whole)));
        }
    }
    Ok(offset)
}

/// `rm FILE`.
pub async fn remove(word: &str) -> Done {
    let word = String::from(word);
    let done = unbroken(move |_| async move { remove_whole(&word).await });
    done.await.unwrap_or(Err(FileError::Stopped))
}

async fn remove_whole(word: &str) -> Done {
    let place = Place::new(word)?;
    let volume = place.mount(Writable::Yes).await?;
    volume.remove(place.path).await.map_err(place.failed())?;
    volume.sync().await.map_err(place.failed())?;
    console::say(format_args!("rm: {word}"));
    Ok(())
}

/// `mkdir DIRECTORY`.
pub async fn make_directory(word: &str) -> Done {
    let word = String::from(word);
    let done = unbroken(move |_| async move { make_directory_whole(&word).await });
    done.await.unwrap_or(Err(FileError::Stopped))
}

async fn make_directory_whole(word: &str) -> Done {
    let place = Place::new(word)?;
    let volume = place.mount(Writable::Yes).await?;
    volume.make_directory(place.path).await.map_err(place.failed())?;
    volume.sync().await.map_err(place.failed())?;
    console::say(format_args!("mkdir: {word}"));
    Ok(())
}

fn room(bytes: usize) -> Result<Vec<u8>, FileError> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(bytes).map_err(|_| FileError::OutOfMemory)?;
    buffer.resize(bytes, 0);
    Ok(buffer)
}
