//! Sums that are right over content that is not: what only the chain, the header or the opening
//! can tell.

use super::group::Group;
use super::*;

/// Changes a group's bytes and makes its sum right again.
fn reseal(disk: &mut Disk, block: u64, change: impl FnOnce(&mut [u8])) {
    let size = disk.partition.block_size;
    let start = block as usize * size as usize;
    let (group, _) = Group::new_checked(&disk.bytes[start..], size).unwrap();
    let bytes = &mut disk.bytes[start..start + (group.blocks * size) as usize];
    change(bytes);
    let sum = crate::gpt::crc32(&bytes[12..]);
    bytes[8..12].copy_from_slice(&sum.to_le_bytes());
}

/// A synced log of groups that begin at these places.
fn written(groups: usize) -> (Disk, History, Writer, Vec<Mark>) {
    let mut disk = Disk::new(512, 64 << 10);
    let mut history = History::new(21);
    let mut writer = history.create(&disk);
    let mut marks = Vec::new();
    for _ in 0..groups {
        marks.push(writer.head());
        (0..5).for_each(|_| history.step(20));
        history.put_into(&mut writer);
    }
    writer.sync();
    disk.run(&mut writer);
    (disk, history, writer, marks)
}

fn tampered(disk: &Disk) -> Damage {
    match disk.recover() {
        Err(Refusal::Tampered(damage)) => damage,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_changed_record_breaks_the_chain_at_the_next_group_or_the_end() {
    let (disk, _, writer, marks) = written(3);
    let geometry = writer.geometry();
    for (at, mark) in marks.iter().enumerate() {
        let mut disk = disk.clone();
        // Its first record's time: three bytes after the head, the length and the sequence.
        reseal(&mut disk, geometry.block(mark.place), |bytes| bytes[103] ^= 1);
        let damage = tampered(&disk);
        match marks.get(at + 1) {
            Some(next) => {
                let place = (damage.block, damage.sequence, damage.why);
                assert_eq!(place, (geometry.block(next.place), next.sequence, Flaw::Chain));
            }
            None => assert_eq!(damage.why, Flaw::End),
        }
    }
}

#[test]
fn a_group_that_is_left_out_is_missed() {
    let (mut disk, _, writer, marks) = written(3);
    let block = writer.geometry().block(marks[1].place) as usize * 512;
    let moved =
        disk.bytes[writer.geometry().block(marks[2].place) as usize * 512..][..512].to_vec();
    disk.bytes[block..block + 512].copy_from_slice(&moved);
    assert_eq!(tampered(&disk).why, Flaw::Misplaced);
    reseal(&mut disk, block as u64 / 512, |bytes| {
        bytes[52..60].copy_from_slice(&marks[1].place.to_le_bytes());
    });
    assert_eq!(tampered(&disk).why, Flaw::Chain);
    reseal(&mut disk, block as u64 / 512, |bytes| {
        bytes[60..68].copy_from_slice(&marks[1].sequence.to_le_bytes());
    });
    assert_eq!(tampered(&disk).why, Flaw::Chain);
}

#[test]
fn a_head_that_the_chain_does_not_reach_is_refused() {
    let (disk, _, _, _) = written(3);
    let header = disk.log().header;
    let forge = |head: Mark| {
        let mut disk = disk.clone();
        let forged = Header { head, ..header };
        disk.put(header.geometry.header(header.slot()), &forged.encode());
        disk
    };
    let Mark { place, sequence, hash } = header.head;
    let end = geometry_block(&header, place);
    for head in [
        Mark { sequence: sequence - 1, ..header.head },
        Mark { hash: Hash([1; 32]), ..header.head },
    ] {
        let damage = tampered(&forge(head));
        assert_eq!((damage.block, damage.why), (end, Flaw::End));
    }
    // In the middle of a group, and beyond all.
    let one_group = written(1).0.log().header;
    assert_eq!(one_group.head.place, 1);
    let beyond = forge(Mark { place: place + 1, sequence: sequence + 3, hash });
    assert!(matches!(beyond.recover(), Err(Refusal::Missing(_))));
    let begins = Header { begin: Mark { hash: Hash([1; 32]), ..header.begin }, ..header };
    let mut disk = disk.clone();
    disk.put(header.geometry.header(header.slot()), &begins.encode());
    assert_eq!(tampered(&disk).why, Flaw::Chain);
}

fn geometry_block(header: &Header, place: u64) -> u64 {
    header.geometry.block(place)
}

#[test]
fn a_checkpoint_on_the_way_is_compared_with_its_record() {
    let (mut disk, mut history, mut writer, _) = written(2);
    let place = writer.head().place;
    history.checkpoint(&mut writer).unwrap();
    // Never synced: the log begins before it still.
    disk.run(&mut writer);
    disk.cut(|_| true);
    let log = disk.log();
    assert_eq!((log.begin.place, log.header.begin.place), (place, 0));
    let block = writer.geometry().block(place);
    let mut other = disk.clone();
    reseal(&mut other, block, |bytes| bytes[120] ^= 1);
    assert_eq!(tampered(&other).why, Flaw::State);
    let mut longer = disk.clone();
    reseal(&mut longer, block, |bytes| bytes[28] ^= 1);
    assert_eq!(tampered(&longer).why, Flaw::Pieces);
    let mut second = disk;
    reseal(&mut second, block, |bytes| bytes[24] ^= 1);
    assert_eq!(tampered(&second).why, Flaw::Pieces);
}

/// What an earlier opening wrote and a recovery dropped stays dropped, even if it would follow.
#[test]
fn what_was_dropped_does_not_come_back() {
    let (mut disk, mut history, mut writer, _) = written(2);
    let (synced, before) = (writer.head(), disk.clone());
    (0..5).for_each(|_| history.step(20));
    history.put_into(&mut writer);
    let between = writer.head();
    (0..5).for_each(|_| history.step(20));
    history.put_into(&mut writer);
    disk.run(&mut writer);
    // The first of the two groups is lost in the cut.
    disk.cut(|at| at > 0);
    let log = disk.log();
    assert_eq!(log.end, synced);
    assert!(matches!(log.tail, Tail::Torn(_)));
    // By some accident the same records come again, up to where the second group begins.
    let mut writer = Writer::resume(&log);
    let again = synced.sequence as usize..between.sequence as usize;
    let pairs = again.clone().map(|at| (&history.records[at][..], history.hashes[at + 1]));
    writer.put(pairs).unwrap();
    assert_eq!(writer.head(), between);
    writer.sync();
    disk.run(&mut writer);
    assert_eq!(disk.log().end, between);
    // Nor if nothing was written in between, twice.
    let mut disk = before;
    for opening in 2..5 {
        let log = disk.log();
        assert_eq!(log.header.opening, opening - 1);
        disk.run(&mut Writer::resume(&log));
    }
}
