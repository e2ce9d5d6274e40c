//! Bits that flip, headers that are lost, and disks that are not what they were.

use super::*;
use std::format;
use std::string::ToString;

/// A log over several segments that begins with a checkpoint, and its history.
fn written(block: u32, bytes: u64) -> (Disk, History) {
    let mut disk = Disk::new(block, bytes);
    let mut history = History::new(11);
    let mut writer = history.create(&disk);
    let mut since = 0;
    while writer.head().place < 2 * writer.geometry().ring() || since != 3 {
        (0..20).for_each(|_| history.step(40));
        history.put_into(&mut writer);
        since += 1;
        if writer.wants_checkpoint() {
            history.checkpoint(&mut writer).unwrap();
            since = 0;
        }
        writer.sync();
        disk.run(&mut writer);
    }
    (disk, history)
}

#[test]
fn every_flipped_bit_before_the_durable_head_is_found_in_its_place() {
    for (block, bytes) in [(512, 64 << 10), (4096, 128 << 10)] {
        let (mut disk, _) = written(block, bytes);
        let sound = disk.log();
        let (geometry, head) = (sound.header.geometry, sound.header.head);
        let mut groups = Vec::new();
        let mut place = sound.header.begin.place;
        while place < head.place {
            let at = geometry.block(place) as usize * block as usize;
            let length = u32::from_le_bytes(disk.bytes[at + 16..at + 20].try_into().unwrap());
            groups.push((geometry.block(place), u64::from(length)));
            place += u64::from(length);
        }
        assert!(groups.len() > 4 && place == head.place);
        let mut flips = 0;
        for (first, blocks) in groups {
            let start = first as usize * block as usize;
            for at in start..start + (blocks * u64::from(block)) as usize {
                // Every byte, and every bit of a head.
                let bits = if at - start < group::HEAD_BYTES { 0..8 } else { at % 8..at % 8 + 1 };
                for bit in bits {
                    disk.bytes[at] ^= 1 << bit;
                    let refusal = disk.recover().map(|_| ()).unwrap_err();
                    let damage = refusal.damage().unwrap();
                    assert_eq!(damage.block, first, "byte {at}, bit {bit}: {refusal}");
                    assert!(matches!(refusal, Refusal::Tampered(_)), "{refusal}");
                    disk.bytes[at] ^= 1 << bit;
                    flips += 1;
                }
            }
        }
        assert!(flips > 5_000, "{flips}");
    }
}

#[test]
fn a_damaged_header_is_seen_and_nothing_is_lost() {
    let (mut disk, history) = written(512, 40 << 10);
    let newest = disk.log().header;
    for slot in [0, 1] {
        let start = newest.geometry.header(slot) as usize * 512;
        for at in start..start + 512 {
            let bit = 1 << (at % 8);
            disk.bytes[at] ^= bit;
            let log = disk.log();
            assert!(matches!(
                log.headers[slot],
                Err(HeaderFlaw::Checksum | HeaderFlaw::Magic | HeaderFlaw::Version(_))
            ));
            assert_eq!(log.replay, history.replay, "byte {at}");
            let behind = u64::from(newest.slot() == slot);
            assert_eq!(log.header.generation, newest.generation - behind);
            disk.bytes[at] ^= bit;
        }
    }
    // The next header takes the place of the damaged one, not of the sound one.
    let start = newest.geometry.header(newest.slot()) as usize * 512;
    disk.bytes[start + 20] ^= 1;
    let mut writer = Writer::resume(&disk.log());
    assert_eq!(writer.step(), Some(Step::Flush));
    let Some(Step::Write { block, .. }) = writer.step() else { panic!() };
    assert_eq!(block, newest.geometry.header(newest.slot()));
}

#[test]
fn without_a_header_it_is_refused() {
    let (disk, _) = written(512, 40 << 10);
    let mut erased = disk.clone();
    erased.bytes[..8192].fill(0);
    let refusal = erased.recover().unwrap_err();
    assert_eq!(refusal, Refusal::Erased { block: 16 });
    let mut garbled = disk.clone();
    garbled.bytes[..8192].fill(0x5a);
    let refusal = garbled.recover().unwrap_err();
    let flaws = [HeaderFlaw::Magic; 2];
    assert_eq!(refusal, Refusal::Headers { flaws, block: 8 });
    assert_eq!(
        refusal.to_string(),
        "no sound header: block 0 holds no header, block 8 holds no header"
    );
    let mut half = disk;
    half.bytes[..4096].fill(0);
    half.bytes[4096] ^= 1;
    assert!(matches!(half.recover(), Err(Refusal::Headers { .. })));
}

#[test]
fn headers_in_each_others_place_are_none() {
    let (mut disk, _) = written(512, 40 << 10);
    let (first, second) = (disk.bytes[..512].to_vec(), disk.bytes[4096..4608].to_vec());
    disk.put(0, &second);
    disk.put(8, &first);
    let flaws = [HeaderFlaw::Slot; 2];
    assert_eq!(disk.recover().unwrap_err(), Refusal::Headers { flaws, block: 8 });
}

#[test]
fn a_log_of_elsewhere_is_foreign() {
    let (disk, _) = written(512, 40 << 10);
    let mut copied = disk.clone();
    copied.partition.id = Guid([9; 16]);
    assert_eq!(copied.recover().unwrap_err(), Refusal::Foreign(PARTITION));
    let mut other_blocks = disk.clone();
    other_blocks.partition.block_size = 1024;
    other_blocks.partition.blocks /= 2;
    assert_eq!(other_blocks.recover().unwrap_err(), Refusal::BlockSize(512));
    let mut larger = disk.clone();
    larger.partition.blocks *= 2;
    larger.bytes.resize(larger.bytes.len() * 2, 0xff);
    assert!(matches!(larger.recover(), Ok(Found::Log(_))));
    let mut smaller = Disk::new(512, 64 << 10);
    let mut writer = History::new(1).create(&smaller);
    smaller.run(&mut writer);
    smaller.partition.blocks = 100;
    assert_eq!(smaller.recover().unwrap_err(), Refusal::Shorter { needed: 128, there: 100 });
}

#[test]
fn a_tail_that_is_not_whole_is_dropped_and_said() {
    let mut disk = Disk::new(512, 64 << 10);
    let mut history = History::new(4);
    let mut writer = history.create(&disk);
    history.put_into(&mut writer);
    writer.sync();
    disk.run(&mut writer);
    let synced = writer.durable();
    // Three groups more, never synced.
    let mut ends = vec![synced];
    for _ in 0..3 {
        (0..30).for_each(|_| history.step(20));
        history.put_into(&mut writer);
        ends.push(writer.head());
    }
    disk.run(&mut writer);
    disk.cut(|_| true);
    let (geometry, whole) = (*writer.geometry(), disk.clone());
    assert_eq!((disk.log().end, disk.log().tail), (ends[3], Tail::Clean));
    // Each of its blocks lost or garbled: what was before that group is taken.
    for place in synced.place..ends[3].place {
        let group = ends.iter().rposition(|end| end.place <= place).unwrap();
        for fill in [0u8, 0xa5] {
            let mut disk = whole.clone();
            disk.put(geometry.block(place), &[fill; 512]);
            let log = disk.log();
            assert_eq!((log.header.head, log.end), (synced, ends[group]), "place {place}");
            let Tail::Torn(damage) = log.tail else {
                // Nothing of the last group's first block was there.
                assert_eq!(place, ends[2].place, "{fill}");
                continue;
            };
            assert_eq!(damage.block, geometry.block(ends[group].place));
            assert_eq!(damage.sequence, ends[group].sequence);
        }
    }
    assert_eq!(format!("{:?}", whole.log().headers.map(|header| header.is_ok())), "[true, true]");
}
