//! Volumes on a disk in memory. Another implementation (the crate `fatfs`) makes them and reads
//! what ours wrote; `fsck.vfat` looks at them where it is installed.

mod damage;
mod loss;
mod model;
mod tools;

use std::format;
use std::future::Future;
use std::io::{Cursor, Read, Write};
use std::pin::pin;
use std::rc::Rc;
use std::string::{String, ToString};
use std::task::{Context, Poll, Waker};
use std::vec;
use std::vec::Vec;

use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};
use futures_util::future::join;
use hal::sim::SimMachine;

use super::*;
use crate::ram_disk::{Pace, RamDisk};
use crate::storage::StorageError;

/// Polls a future to its end. A disk in memory needs no waking.
pub(super) fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..10_000_000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
    }
    panic!("it never ends");
}

/// A kind of volume, small but sound.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) kind: FatType,
    pub(super) sector: u16,
    pub(super) cluster: u32,
    pub(super) bytes: usize,
}

pub(super) const FAT12: Shape =
    Shape { kind: FatType::Fat12, sector: 512, cluster: 512, bytes: 1 << 20 };
pub(super) const FAT16: Shape =
    Shape { kind: FatType::Fat16, sector: 512, cluster: 1024, bytes: 6 << 20 };
pub(super) const FAT32: Shape =
    Shape { kind: FatType::Fat32, sector: 512, cluster: 512, bytes: 36 << 20 };
pub(super) const FAT12_4K: Shape =
    Shape { kind: FatType::Fat12, sector: 4096, cluster: 4096, bytes: 2 << 20 };
pub(super) const FAT16_4K: Shape =
    Shape { kind: FatType::Fat16, sector: 4096, cluster: 4096, bytes: 20 << 20 };

const SHAPES: [Shape; 5] = [FAT12, FAT16, FAT32, FAT12_4K, FAT16_4K];

type Foreign = FileSystem<Cursor<Vec<u8>>>;

/// An empty volume, as the other implementation makes it.
pub(super) fn formatted(shape: Shape) -> Vec<u8> {
    let mut image = Cursor::new(vec![0; shape.bytes]);
    let options = FormatVolumeOptions::new()
        .fat_type(shape.kind)
        .bytes_per_sector(shape.sector)
        .bytes_per_cluster(shape.cluster)
        .total_sectors((shape.bytes / usize::from(shape.sector)) as u32)
        .volume_label(*b"POLLUX     ");
    fatfs::format_volume(&mut image, options).expect("a volume of this shape");
    image.into_inner()
}

pub(super) fn foreign(image: Vec<u8>) -> Foreign {
    FileSystem::new(Cursor::new(image), FsOptions::new()).expect("a volume")
}

/// Bytes that say where they belong.
pub(super) fn pattern(seed: u32, bytes: usize) -> Vec<u8> {
    (0..bytes as u32).map(|at| (at ^ (at >> 8) ^ seed.wrapping_mul(2_654_435_761)) as u8).collect()
}

const LONG: &str = "A rather long name, with größe & spaces.text";

/// A volume with files in it, as the other implementation writes them. (Its directories are ours:
/// it gives `.` and `..` long names, which `fsck.vfat` does not like.)
pub(super) fn filled(shape: Shape) -> Vec<u8> {
    let bench = mounted(formatted(shape), u32::from(shape.sector)).expect("it mounts");
    for path in ["dir", "dir/Sub directory"] {
        run(bench.volume.make_directory(path)).expect("made");
    }
    run(bench.volume.sync()).expect("synced");
    let mut image = bench.disk.bytes.take();
    {
        let disk = Cursor::new(&mut image);
        let fs = FileSystem::new(disk, FsOptions::new()).expect("a volume");
        let root = fs.root_dir();
        let write = |path: &str, bytes: &[u8]| {
            let mut file = root.create_file(path).expect("created");
            file.write_all(bytes).expect("written");
        };
        write("HELLO.TXT", b"hello\n");
        write(LONG, b"long");
        write("empty", b"");
        // Two files written in turns lie in pieces.
        let mut big = root.create_file("dir/Sub directory/big.bin").expect("created");
        let mut other = root.create_file("dir/other").expect("created");
        for piece in pattern(1, 200_000).chunks(20_000) {
            big.write_all(piece).expect("written");
            other.write_all(&piece[..700]).expect("written");
        }
        for number in 0..40 {
            write(&format!("dir/file number {number}"), number.to_string().as_bytes());
        }
        drop((big, other, root));
        fs.unmount().expect("unmounted");
    }
    image
}

pub(super) struct Bench {
    pub(super) machine: SimMachine,
    pub(super) disk: Rc<RamDisk>,
    pub(super) volume: Volume<Rc<RamDisk>>,
}

pub(super) fn mounted(image: Vec<u8>, block: u32) -> Result<Bench, FatError> {
    mounted_disk(RamDisk::of(block, image))
}

pub(super) fn mounted_disk(disk: RamDisk) -> Result<Bench, FatError> {
    let machine = SimMachine::new();
    let disk = Rc::new(disk);
    // Small, so that blocks are written back and evicted in between.
    let options = Options { cache: CacheBytes(96 << 10), ..Options::default() };
    let volume = run(Volume::mount_with(disk.clone(), &machine.dma(), options))?;
    Ok(Bench { machine, disk, volume })
}

fn read_all(volume: &Volume<Rc<RamDisk>>, path: &str, piece: usize) -> Result<Vec<u8>, FatError> {
    let mut all = Vec::new();
    let mut buf = vec![0; piece];
    loop {
        match run(volume.read(path, all.len() as u64, &mut buf))? {
            0 => return Ok(all),
            count => all.extend_from_slice(&buf[..count]),
        }
    }
}

fn names_in(volume: &Volume<Rc<RamDisk>>, path: &str) -> Vec<String> {
    let mut names: Vec<_> =
        run(volume.list(path)).expect("a directory").into_iter().map(|entry| entry.name).collect();
    names.sort();
    names
}

#[test]
fn what_others_wrote_is_read() {
    for shape in SHAPES {
        let bench = mounted(filled(shape), u32::from(shape.sector)).expect("it mounts");
        let volume = &bench.volume;
        let kind = run(volume.kind()).expect("known");
        let bits = match shape.kind {
            FatType::Fat12 => 12,
            FatType::Fat16 => 16,
            FatType::Fat32 => 32,
        };
        assert_eq!((kind.fat_bits, kind.cluster_bytes), (bits, shape.cluster));
        assert_eq!(names_in(volume, "/"), [LONG, "HELLO.TXT", "dir", "empty"]);
        assert_eq!(names_in(volume, "dir").len(), 42);
        assert_eq!(read_all(volume, "/hello.txt", 4096), Ok(b"hello\n".to_vec()));
        assert_eq!(read_all(volume, LONG, 3), Ok(b"long".to_vec()));
        assert_eq!(read_all(volume, "empty", 64), Ok(vec![]));
        for piece in [100, 5000, 65536] {
            let big = read_all(volume, "/dir/Sub directory/big.bin", piece);
            assert!(big == Ok(pattern(1, 200_000)), "{shape:?}, {piece} bytes at a time");
        }
        let metadata = run(volume.metadata("dir/Sub directory/BIG.BIN")).expect("it is there");
        assert_eq!((metadata.kind, metadata.bytes), (EntryKind::File, 200_000));
        assert!(run(volume.metadata("/dir")).expect("it is there").is_directory());
        assert!(run(volume.metadata("/")).expect("it is there").is_directory());
        assert_eq!(run(volume.label()), Ok(Some(String::from("POLLUX"))));
        assert_eq!(bench.disk.writes.get(), 0, "reading writes nothing");
        run(volume.sync()).expect("nothing to do");
        assert_eq!((bench.disk.writes.get(), bench.disk.flushes.get()), (0, 0));
    }
}

#[test]
fn others_read_what_was_written() {
    for shape in SHAPES {
        let bench = mounted(filled(shape), u32::from(shape.sector)).expect("it mounts");
        let volume = &bench.volume;
        let before = run(volume.space()).expect("counted");
        run(volume.make_directory("/new directory")).expect("made");
        let path = "/new directory/Größerer Name für eine Datei.dat";
        for (at, piece) in pattern(2, 150_000).chunks(40_000).enumerate() {
            let count = run(volume.write(path, at as u64 * 40_000, piece, Missing::Create));
            assert_eq!(count, Ok(piece.len()));
        }
        run(volume.write("/hello.txt", 100, b"far", Missing::Fail)).expect("written");
        run(volume.remove("/dir/other")).expect("removed");
        run(volume.truncate("/dir/Sub directory/big.bin", 10)).expect("cut off");
        run(volume.create("/SHORT.TXT")).expect("created");
        run(volume.rename("/dir/file number 7", "/new directory/seven")).expect("renamed");
        assert_eq!(read_all(volume, path, 65536), Ok(pattern(2, 150_000)));
        run(volume.sync()).expect("synced");
        let after = run(volume.space()).expect("counted");
        assert!(after.free > before.free && after.total == before.total, "200 kB went, 150 came");
        let image = bench.disk.bytes.borrow().clone();
        tools::check(&image);
        let fs = foreign(image);
        let root = fs.root_dir();
        let read = |path: &str| {
            let mut bytes = Vec::new();
            root.open_file(path).expect("it is there").read_to_end(&mut bytes).expect("read");
            bytes
        };
        assert!(read(&path[1..]) == pattern(2, 150_000));
        let mut far = b"hello\n".to_vec();
        far.resize(100, 0);
        far.extend_from_slice(b"far");
        assert_eq!(read("HELLO.TXT"), far);
        assert_eq!(read("dir/Sub directory/big.bin"), &pattern(1, 200_000)[..10]);
        assert_eq!(read("new directory/seven"), b"7");
        assert_eq!(read("SHORT.TXT"), b"");
        assert!(root.open_file("dir/other").is_err());
    }
}

#[test]
fn a_file_is_the_same_by_all_its_names() {
    for shape in SHAPES {
        let bench = mounted(filled(shape), u32::from(shape.sector)).expect("it mounts");
        let volume = &bench.volume;
        let is_same = |one: &str, other: &str| run(volume.is_same(one, other));
        run(volume.create("/Über alles.text")).expect("created");
        for other in ["hello.TXT", "//HELLO.TXT", "/dir/../HELLO.TXT", "./HELLO.TXT/"] {
            assert_eq!(is_same("/HELLO.TXT", other), Ok(true), "{other}");
        }
        assert_eq!(is_same(LONG, "/ARATHE~1.TEX"), Ok(true));
        assert_eq!(is_same("Über alles.text", "/üBER ALLES.TEXT"), Ok(true));
        assert_eq!(is_same("/", "/dir/.."), Ok(true));
        for other in ["empty", "/dir", "/dir/other", "/none", "/none/HELLO.TXT", ""] {
            assert_eq!(is_same("/HELLO.TXT", other), Ok(false), "{other}");
        }
        assert_eq!(is_same("/none", "/none"), Ok(false));
        assert_eq!(is_same("/HELLO.TXT/x", "/empty"), Err(FatError::NotADirectory));
    }
}

#[test]
fn errors_say_what_is_wrong() {
    let bench = mounted(filled(FAT12), 512).expect("it mounts");
    let volume = &bench.volume;
    let mut buf = [0; 16];
    assert_eq!(run(volume.read("/none", 0, &mut buf)), Err(FatError::NotFound));
    assert_eq!(run(volume.read("/none/at/all", 0, &mut buf)), Err(FatError::NotFound));
    assert_eq!(run(volume.read("/dir", 0, &mut buf)), Err(FatError::IsADirectory));
    assert_eq!(run(volume.read("/", 0, &mut buf)), Err(FatError::IsADirectory));
    assert_eq!(run(volume.read("/HELLO.TXT/x", 0, &mut buf)), Err(FatError::NotADirectory));
    assert_eq!(run(volume.read("/HELLO.TXT", 6, &mut buf)), Ok(0));
    assert_eq!(run(volume.read("/HELLO.TXT", u64::MAX, &mut buf)), Ok(0));
    assert_eq!(run(volume.list("/HELLO.TXT")), Err(FatError::NotADirectory));
    assert_eq!(run(volume.create("/hello.txt")), Err(FatError::Exists));
    assert_eq!(run(volume.create("/a:b")), Err(FatError::BadName));
    assert_eq!(run(volume.create(&"x".repeat(256))), Err(FatError::BadName));
    assert_eq!(run(volume.create("/")), Err(FatError::BadName));
    assert_eq!(run(volume.remove("/")), Err(FatError::BadName));
    assert_eq!(run(volume.remove("/dir")), Err(FatError::NotEmpty));
    assert_eq!(run(volume.write("/none", 0, b"x", Missing::Fail)), Err(FatError::NotFound));
    assert_eq!(
        run(volume.write("/empty", u64::from(u32::MAX), b"x", Missing::Fail)),
        Err(FatError::TooLarge)
    );
    assert_eq!(
        run(volume.write("/empty", 0, &vec![1; 2 << 20], Missing::Fail)),
        Err(FatError::Full)
    );
    assert_eq!(run(volume.rename("/dir", "/dir/dir")), Err(FatError::BadName));
    assert_eq!(run(volume.rename("/empty", "/HELLO.TXT")), Err(FatError::Exists));
    run(volume.sync()).expect("synced");
    tools::check(&bench.disk.bytes.borrow());
}

#[test]
fn what_is_no_volume_is_refused() {
    assert_eq!(mounted(vec![0; 1 << 20], 512).err(), Some(FatError::NotFat));
    assert_eq!(mounted(vec![0xff; 1 << 20], 4096).err(), Some(FatError::NotFat));
    assert_eq!(mounted(formatted(FAT12), 8192).err(), Some(FatError::Unsupported));
    let cut = formatted(FAT12)[..64 << 10].to_vec();
    assert!(matches!(mounted(cut, 512).err(), Some(FatError::Corrupt(_))));
}

#[test]
fn a_read_only_device_is_left_alone() {
    let bench = mounted_disk(RamDisk::of(512, filled(FAT16)).read_only()).expect("it mounts");
    let volume = &bench.volume;
    assert_eq!(read_all(volume, "HELLO.TXT", 100), Ok(b"hello\n".to_vec()));
    assert_eq!(run(volume.create("/new")), Err(FatError::ReadOnly));
    assert_eq!(run(volume.remove("/empty")), Err(FatError::ReadOnly));
    let written = run(volume.write("/empty", 0, b"x", Missing::Create));
    assert_eq!(written, Err(FatError::ReadOnly));
    assert_eq!(run(volume.truncate("/HELLO.TXT", 0)), Err(FatError::ReadOnly));
    assert_eq!(run(volume.rename("/empty", "/full")), Err(FatError::ReadOnly));
    assert_eq!(run(volume.make_directory("/d")), Err(FatError::ReadOnly));
    assert_eq!(run(volume.sync()), Ok(()));
}

#[test]
fn a_file_is_read_in_large_pieces() {
    let mut image = formatted(FAT32);
    {
        let fs = FileSystem::new(Cursor::new(&mut image), FsOptions::new()).expect("a volume");
        let mut file = fs.root_dir().create_file("large").expect("created");
        file.write_all(&pattern(3, 4 << 20)).expect("written");
    }
    let machine = SimMachine::new();
    for piece in [4 << 10, 64 << 10, 1 << 20] {
        let disk = Rc::new(RamDisk::of(512, image.clone()));
        let volume = run(Volume::mount(disk.clone(), &machine.dma())).expect("it mounts");
        assert!(read_all(&volume, "large", piece) == Ok(pattern(3, 4 << 20)));
        // 64 pieces of 64 KiB, and the table and directories.
        let reads = disk.reads.get();
        assert!(reads <= 64 + 40, "{reads} reads by {piece} bytes");
    }
}

#[test]
fn a_file_is_written_in_large_pieces() {
    let machine = SimMachine::new();
    let disk = Rc::new(RamDisk::of(512, formatted(FAT32)));
    let volume = run(Volume::mount(disk.clone(), &machine.dma())).expect("it mounts");
    let bytes = pattern(4, 4 << 20);
    for (piece, at) in bytes.chunks(256 << 10).zip((0..).step_by(256 << 10)) {
        run(volume.write("large", at, piece, Missing::Create)).expect("written");
    }
    run(volume.sync()).expect("synced");
    assert!(read_all(&volume, "large", 1 << 20) == Ok(bytes));
    // 64 pieces of 64 KiB, two tables of 64 blocks, a few of directories and marks.
    let (writes, reads) = (disk.writes.get(), disk.reads.get());
    assert!(writes <= 64 + 2 * 64 + 20, "{writes} writes");
    assert!(reads <= 64 + 80, "{reads} reads");
    tools::check(&disk.bytes.borrow());
}

#[test]
fn several_volumes_and_several_tasks() {
    let first = mounted(filled(FAT12), 512).expect("it mounts");
    let second = mounted(filled(FAT32), 512).expect("it mounts");
    first.disk.pace.set(Pace::SecondPoll);
    second.disk.pace.set(Pace::SecondPoll);
    let (a, (b, c)) = run(join(
        first.volume.write("/one", 0, b"1", Missing::Create),
        join(
            first.volume.write("/other", 0, b"22", Missing::Create),
            second.volume.write("/two", 0, b"333", Missing::Create),
        ),
    ));
    assert_eq!((a, b, c), (Ok(1), Ok(2), Ok(3)));
    assert_eq!(read_all(&first.volume, "one", 10), Ok(b"1".to_vec()));
    assert_eq!(read_all(&first.volume, "other", 10), Ok(b"22".to_vec()));
    assert_eq!(read_all(&second.volume, "two", 10), Ok(b"333".to_vec()));
}

#[test]
fn a_device_that_fails_is_told() {
    let bench = mounted(filled(FAT16), 512).expect("it mounts");
    bench.disk.errors.borrow_mut().push(Some(StorageError::Media));
    let mut buf = [0; 10];
    let read = run(bench.volume.read("/dir/other", 0, &mut buf));
    assert_eq!(read, Err(FatError::Device(StorageError::Media)));
    assert_eq!(run(bench.volume.read("/dir/other", 0, &mut buf)), Ok(10));
    assert_eq!(bench.machine.memory().lent, 0);
}
