//! Partitions of a disk in memory.

use std::vec;

use futures_util::FutureExt;
use hal::sim::SimMachine;
use proptest::prelude::*;
use protocols::gpt::crc32;

use super::*;
use crate::ram_disk::RamDisk;

const BLOCK: usize = 512;
const BLOCKS: u64 = 200;
const KIND: Guid = Guid([9; 16]);

/// A disk with these partitions, in both tables.
fn disk(partitions: &[(Guid, u64, u64)]) -> RamDisk {
    let mut bytes = vec![0; BLOCK * BLOCKS as usize];
    let mut entries = vec![0; 8 * 128];
    for (entry, (kind, first, last)) in entries.chunks_mut(128).zip(partitions) {
        entry[..16].copy_from_slice(&kind.0);
        entry[32..40].copy_from_slice(&first.to_le_bytes());
        entry[40..48].copy_from_slice(&last.to_le_bytes());
    }
    for (lba, entries_lba) in [(1, 2), (BLOCKS - 1, BLOCKS - 3)] {
        let mut header = [0u8; 92];
        header[..8].copy_from_slice(b"EFI PART");
        header[10] = 1;
        header[12] = 92;
        for (at, value) in [(24, lba), (40, 10), (48, BLOCKS - 10), (72, entries_lba)] {
            header[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        header[80] = 8;
        header[84] = 128;
        header[88..].copy_from_slice(&crc32(&entries).to_le_bytes());
        let sum = crc32(&header);
        header[16..20].copy_from_slice(&sum.to_le_bytes());
        bytes[lba as usize * BLOCK..][..92].copy_from_slice(&header);
        bytes[entries_lba as usize * BLOCK..][..entries.len()].copy_from_slice(&entries);
    }
    RamDisk::of(BLOCK as u32, bytes)
}

fn list_now(disk: &RamDisk) -> Result<Vec<Entry>, PartitionError> {
    let machine = SimMachine::new();
    list("disk", disk, &machine.dma()).now_or_never().expect("memory does not wait")
}

fn find_now(disk: &RamDisk) -> Result<Partition<'_, RamDisk>, PartitionError> {
    let machine = SimMachine::new();
    find("disk", disk, &machine.dma(), KIND).now_or_never().expect("memory does not wait")
}

#[test]
fn the_one_partition_is_found_by_either_table() {
    let disk = disk(&[(Guid([1; 16]), 10, 19), (KIND, 20, 29)]);
    assert_eq!(find_now(&disk).map(|found| found.info.blocks).ok(), Some(10));
    disk.bytes.borrow_mut()[BLOCK + 60] ^= 1;
    assert_eq!(find_now(&disk).map(|found| found.first).ok(), Some(Lba(20)));
    disk.bytes.borrow_mut()[(BLOCKS as usize - 3) * BLOCK] ^= 1;
    assert_eq!(find_now(&disk).err(), Some(PartitionError::Table(GptError::Checksum)));
    disk.bytes.borrow_mut()[..].fill(0);
    assert_eq!(find_now(&disk).err(), Some(PartitionError::Table(GptError::Absent)));
}

#[test]
fn a_disk_too_small_for_a_table_has_none() {
    for blocks in [1, 2] {
        let disk = RamDisk::of(BLOCK as u32, vec![0; blocks * BLOCK]);
        assert_eq!(list_now(&disk).err(), Some(PartitionError::Table(GptError::Absent)));
    }
}

#[test]
fn none_and_several() {
    assert_eq!(find_now(&disk(&[])).err(), Some(PartitionError::Absent));
    let both = disk(&[(KIND, 20, 29), (KIND, 30, 39)]);
    assert_eq!(find_now(&both).err(), Some(PartitionError::Ambiguous));
    let outside = disk(&[(KIND, 20, 5000)]);
    let beyond = GptError::Nonsense("a partition reaches beyond the usable blocks");
    assert_eq!(find_now(&outside).err(), Some(PartitionError::Table(beyond)));
}

#[test]
fn all_are_listed() {
    let disk = disk(&[(Guid([1; 16]), 10, 19), (KIND, 20, 29), (KIND, 30, 30)]);
    let spans = |entries: Vec<Entry>| -> Vec<_> {
        entries.iter().map(|entry| (entry.number, entry.first, entry.blocks())).collect()
    };
    assert_eq!(list_now(&disk).map(spans), Ok(vec![(1, 10, 10), (2, 20, 10), (3, 30, 1)]));
    // The primary header cannot be read: errors are popped from the end.
    disk.errors.borrow_mut().push(Some(StorageError::Media));
    assert_eq!(list_now(&disk).map(spans), Ok(vec![(1, 10, 10), (2, 20, 10), (3, 30, 1)]));
    let overlapping = self::disk(&[(KIND, 20, 29), (KIND, 29, 39)]);
    let overlap = PartitionError::Table(GptError::Nonsense("two partitions overlap"));
    assert_eq!(list_now(&overlapping).err(), Some(overlap));
}

#[test]
fn disks_without_a_table_say_what_they_have() {
    // The backup is left over: it must not be believed.
    let disk = disk(&[(KIND, 20, 29)]);
    let first_block = |disk: &RamDisk, at: usize, bytes: &[u8]| {
        disk.bytes.borrow_mut()[at..at + bytes.len()].copy_from_slice(bytes);
    };
    first_block(&disk, BLOCK, &[0; BLOCK]);
    assert_eq!(list_now(&disk).map(|entries| entries.len()), Ok(1));
    first_block(&disk, 446, &[0x80, 0, 0, 0, 0x0c, 0, 0, 0, 0, 8, 0, 0, 0, 16, 0, 0]);
    first_block(&disk, 510, &[0x55, 0xaa]);
    assert_eq!(list_now(&disk), Err(PartitionError::Mbr));
    first_block(&disk, 0, &[0xeb, 0x3c, 0x90]);
    first_block(&disk, 11, &[0, 2, 8, 32, 0, 2]);
    assert_eq!(list_now(&disk), Err(PartitionError::WholeVolume));
}

proptest! {
    /// Whatever is written, not a byte outside of the partition changes.
    #[test]
    fn nothing_leaves_the_partition(
        lba in prop_oneof![0u64..20, any::<u64>()],
        blocks in 1usize..9,
    ) {
        let disk = disk(&[(KIND, 20, 29)]);
        let before = disk.bytes.borrow().clone();
        let machine = SimMachine::new();
        {
            let partition = find_now(&disk).expect("there is one");
            let mut buf = machine.dma().buffer(blocks * BLOCK).expect("memory");
            buf.fill(0xab);
            let done = partition.write(Lba(lba), buf).now_or_never().expect("at once");
            let fits = lba.checked_add(blocks as u64).is_some_and(|end| end <= 10);
            prop_assert_eq!(done.result.is_ok(), fits);
            prop_assert!(done.buf.is_some());
            partition.flush().now_or_never().expect("at once").expect("it works");
        }
        let after = disk.bytes.borrow();
        let outside = |at: &usize| !(20 * BLOCK..30 * BLOCK).contains(at);
        prop_assert!((0..before.len()).filter(outside).all(|at| before[at] == after[at]));
    }
}
