//! Volumes with random damage: errors, but never a panic, and always an end.
//!
//! `FAT_ROUNDS` in the environment says how many volumes each shape gets.

use super::*;

/// A sequence of numbers that looks random and is the same each time (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        ((self.next() >> 16) % limit.max(1) as u64) as usize
    }
}

/// Damages up to `reach` bytes from the start on, where the tables and directories are.
fn damaged(image: &mut [u8], reach: usize, random: &mut Random) {
    let reach = reach.min(image.len());
    for _ in 0..1 + random.below(24) {
        let value = random.next();
        match random.below(6) {
            // The boot sector's parameters.
            0 => image[random.below(90)] = value as u8,
            1 => image[11 + random.below(80)] ^= 1 << (value % 8),
            // Anything.
            2 => image[random.below(reach)] = value as u8,
            3 => image[random.below(reach)] ^= 1 << (value % 8),
            // A cluster number, small enough to exist: loops and crossings.
            4 => {
                let at = random.below(reach - 4) & !1;
                image[at..at + 2].copy_from_slice(&((value % 600) as u16).to_le_bytes());
            }
            // One piece over another.
            _ => {
                let bytes = 1 << random.below(8);
                let (from, to) = (random.below(reach - bytes), random.below(reach - bytes));
                image.copy_within(from..from + bytes, to);
            }
        }
    }
}

/// Whatever can be done to a volume. Most of it fails.
fn everything(bench: &Bench, random: &mut Random) {
    let volume = &bench.volume;
    let mut buf = vec![0; 50_000];
    let mut directories = vec![(String::new(), 0)];
    let mut files = Vec::new();
    let mut seen = 0;
    while let Some((directory, depth)) = directories.pop() {
        for entry in run(volume.list(&directory)).unwrap_or_default() {
            seen += 1;
            let path = format!("{directory}/{}", entry.name);
            if !entry.metadata.is_directory() {
                files.push(path);
            } else if depth < 4 && seen < 500 {
                directories.push((path, depth + 1));
            }
        }
    }
    let _ = run(volume.label());
    let _ = run(volume.space());
    for _ in 0..24 {
        let path = match files.get(random.below(files.len() + 2)) {
            Some(path) => path.clone(),
            None => format!("/dir/New file number {}", random.below(5)),
        };
        let path = path.as_str();
        let offset = random.below(100_000) as u64;
        let bytes = random.below(buf.len());
        match random.below(9) {
            0..3 => drop(run(volume.read(path, offset / 2, &mut buf))),
            3 | 4 => drop(run(volume.write(path, offset, &buf[..bytes], Missing::Create))),
            5 => drop(run(volume.remove(path))),
            6 => drop(run(volume.truncate(path, offset))),
            7 => drop(run(volume.rename(path, "/dir/Sub directory/A new name, a long one"))),
            _ => drop(run(volume.make_directory(&format!("{path} directory")))),
        }
    }
    let _ = run(volume.sync());
}

fn rounds(otherwise: usize) -> usize {
    std::env::var("FAT_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn survives(shape: Shape, reach: usize, rounds: usize) {
    let sound = filled(shape);
    let mut mounts = 0;
    for round in 0..rounds {
        let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (round as u64 + 1));
        random.next();
        let mut image = sound.clone();
        damaged(&mut image, reach, &mut random);
        if let Ok(bench) = mounted(image, 512) {
            mounts += 1;
            everything(&bench, &mut random);
            assert_eq!(bench.machine.memory().lent, 0);
        }
    }
    assert!(mounts > rounds / 4, "only {mounts} of {rounds} volumes mounted");
}

#[test]
fn a_damaged_fat12_volume() {
    survives(FAT12, 48 << 10, rounds(1500));
}

#[test]
fn a_damaged_fat16_volume() {
    survives(FAT16, 64 << 10, rounds(300));
}

#[test]
fn a_damaged_fat32_volume() {
    survives(FAT32, 640 << 10, rounds(40));
}

#[test]
fn random_bytes_do_not_mount() {
    let mut random = Random(7);
    let mut image = vec![0; 64 << 10];
    for _ in 0..rounds(300) {
        for byte in image.chunks_exact_mut(8) {
            byte.copy_from_slice(&random.next().to_le_bytes());
        }
        // Half of them look a little like one.
        if random.below(2) == 0 {
            image[..3].copy_from_slice(&[0xeb, 0x3c, 0x90]);
            image[11..14].copy_from_slice(&[0, 2, 1 << random.below(8)]);
            image[16] = 2;
            image[510..512].copy_from_slice(&[0x55, 0xaa]);
        }
        if let Ok(bench) = mounted(image.clone(), 512) {
            everything(&bench, &mut random);
        }
    }
}

#[test]
fn a_loop_in_a_chain_is_seen() {
    let mut image = filled(FAT12);
    // The table begins after one reserved sector. Every cluster in use leads back to the first
    // one: 12 bits each, 002.
    for pair in image[512 + 3..512 + 3 * 512].chunks_exact_mut(3) {
        if *pair != [0, 0, 0] {
            pair.copy_from_slice(&[0x02, 0x20, 0x00]);
        }
    }
    let bench = mounted(image, 512).expect("the boot sector is sound");
    let big = read_all(&bench.volume, "dir/Sub directory/big.bin", 65536);
    assert!(big.is_err());
    assert!(run(bench.volume.list("/dir/Sub directory/big.bin")).is_err());
    let _ = run(bench.volume.list("/dir"));
    let _ = run(bench.volume.create("/dir/one more"));
    let _ = run(bench.volume.remove("/dir/other"));
}

/// Two million boot records and root directories, damaged in place: mounted and listed, or refused.
#[test]
fn two_million_damaged_records() {
    const ROUNDS: usize = 2_000_000;
    /// Boot record, tables and root directory of the volume lie in its first bytes.
    const REACH: usize = 8 << 10;
    let sound = filled(FAT12);
    let disk = Rc::new(RamDisk::of(512, sound.clone()));
    let machine = SimMachine::new();
    let options = Options { cache: CacheBytes(16 << 10), ..Options::default() };
    let mut random = Random(11);
    let mut mounts = 0;
    for _ in 0..rounds(ROUNDS) {
        let mut touched = [0; 4];
        for at in &mut touched {
            // Half of it goes to the record itself.
            let reach = if random.below(2) == 0 { 64 } else { REACH };
            *at = random.below(reach);
            disk.bytes.borrow_mut()[*at] = random.next() as u8;
        }
        if let Ok(volume) = run(Volume::mount_with(disk.clone(), &machine.dma(), options)) {
            mounts += 1;
            let _ = run(volume.list("/"));
        }
        let mut bytes = disk.bytes.borrow_mut();
        touched.iter().for_each(|at| bytes[*at] = sound[*at]);
    }
    assert!(mounts > 0, "none mounted");
}
