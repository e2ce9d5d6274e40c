//! A log from its creation on, over wraps and boots.

use super::*;
use crate::axiom::{Cause, Commit, Record};
use std::string::ToString;

#[test]
fn what_was_synced_is_read_back() {
    for (block, bytes) in [(512, 64 << 10), (4096, 200 << 10), (512, 2 << 20), (1024, 40 << 10)] {
        let mut disk = Disk::new(block, bytes);
        assert!(matches!(disk.recover(), Ok(Found::Nothing { generation: 0 })));
        let mut history = History::new(9);
        let mut writer = history.create(&disk);
        disk.run(&mut writer);
        assert!(matches!(disk.recover(), Ok(Found::Nothing { generation: 2 })));
        (0..100).for_each(|_| history.step(20));
        history.put_into(&mut writer);
        writer.sync();
        disk.run(&mut writer);
        assert_eq!(writer.durable(), writer.head());
        let (mut seen, mut begins) = (Vec::new(), 0);
        let found = disk.recover_seeing(&mut |entry| match entry {
            Seen::Beginning(replay) => begins += replay.next() + 1,
            Seen::Record { bytes, kept, replay, record } => {
                assert_eq!((kept, record.sequence + 1), (Kept::Durable, replay.next()));
                seen.push(bytes.to_vec());
            }
        });
        assert_eq!((&seen, begins), (&history.records, 1));
        let Ok(Found::Log(log)) = found else { panic!("{found:?}") };
        assert_eq!((log.end, log.tail), (writer.durable(), Tail::Clean));
        assert_eq!(&log.replay, &history.replay);
    }
}

#[test]
fn it_wraps_many_times_over_many_boots() {
    for (block, bytes) in [(512, 40 << 10), (4096, 40 << 10), (4096, 128 << 10)] {
        let mut disk = Disk::new(block, bytes);
        let mut history = History::new(77);
        let mut writer = history.create(&disk);
        disk.run(&mut writer);
        let ring = writer.geometry().ring();
        let (mut boots, mut checkpoints) = (0, 0);
        while writer.head().place < 60 * ring {
            for _ in 0..=history.random(40) {
                history.step(30);
            }
            history.put_into(&mut writer);
            if writer.wants_checkpoint() {
                history.checkpoint(&mut writer).unwrap();
                checkpoints += 1;
            }
            writer.sync();
            disk.run(&mut writer);
            if history.random(10) == 0 {
                let log = disk.log();
                assert_eq!((log.end, log.tail), (writer.durable(), Tail::Clean));
                assert_eq!(log.replay, history.replay);
                history.reboot(&log);
                writer = Writer::resume(&log);
                disk.run(&mut writer);
                boots += 1;
            }
        }
        assert!(boots > 5 && checkpoints > 20, "{boots} {checkpoints}");
        let begins = disk.log().header.begin;
        assert!(begins.place > 58 * ring && begins.sequence > 0);
    }
}

#[test]
fn a_full_log_says_so_and_takes_a_checkpoint() {
    let mut disk = Disk::new(512, 40 << 10);
    let mut history = History::new(5);
    let mut writer = history.create(&disk);
    let full = loop {
        history.step(10);
        match writer.put(history.unput()) {
            Ok(()) => history.put = history.records.len(),
            Err(error) => break error,
        }
        writer.sync();
        disk.run(&mut writer);
    };
    assert_eq!(full, WriteError::Full { needed: 1, left: 0 });
    assert!(full.to_string().contains("full"));
    // Nothing of it was written.
    assert_eq!(disk.log().end.sequence, history.put as u64);
    let too_long = vec![1; 5000];
    assert_eq!(writer.put([(&too_long[..], Hash::default())]), Err(WriteError::TooLong(5000)));
}

#[test]
fn what_could_not_be_read_back_is_not_written() {
    let disk = Disk::new(512, 40 << 10);
    let history = History::new(5);
    let mut writer = history.create(&disk);
    let late = history.records.last().unwrap().clone();
    assert_eq!(writer.put([(&late[..], Hash::default())]), Err(WriteError::NotNext(0)));
    assert_eq!(writer.checkpoint(&[7], (&late, Hash::default())), Err(WriteError::OtherState));
    assert_eq!((writer.head(), writer.durable()), Default::default());
    // A state that leaves no room beside it.
    let state = vec![7; 30 << 10];
    let commit = Commit::Checkpoint { state: Hash::of(&state) };
    let mut record = Vec::new();
    Record { sequence: 0, time_us: 0, cause: Cause::Kernel, commit }.encode(&mut record);
    let error = writer.checkpoint(&state, (&record, Hash::default())).unwrap_err();
    assert_eq!(error, WriteError::TooSmall { needed: 63, ring: 64 });
}

#[test]
fn a_checkpoint_gives_up_nothing_before_both_headers_say_so() {
    let mut disk = Disk::new(512, 40 << 10);
    let mut history = History::new(5);
    let mut writer = history.create(&disk);
    while !writer.wants_checkpoint() {
        history.step(10);
        history.put_into(&mut writer);
    }
    history.checkpoint(&mut writer).unwrap();
    let before = writer.room();
    writer.sync();
    assert_eq!(writer.room(), before);
    writer.sync();
    assert!(writer.room() > before + 8);
    disk.run(&mut writer);
    assert_eq!(disk.log().replay, history.replay);
}

#[test]
fn a_log_can_begin_with_a_checkpoint_over_another() {
    let mut disk = Disk::new(512, 64 << 10);
    let mut old = History::new(1);
    let mut writer = old.create(&disk);
    (0..300).for_each(|_| old.step(20));
    old.put_into(&mut writer);
    writer.sync();
    disk.run(&mut writer);
    let generation = disk.log().header.generation;
    // A kernel that had refused it has made records since then.
    let mut history = History::new(2);
    (0..50).for_each(|_| history.step(20));
    history.put = history.records.len();
    let log = history.replay.state().log().unwrap();
    let start = Start::Checkpoint(history.replay.next(), history.replay.hash());
    let mut writer = Writer::create(&disk.partition, log, start, generation).unwrap();
    history.checkpoint(&mut writer).unwrap();
    (0..50).for_each(|_| history.step(20));
    history.put_into(&mut writer);
    writer.sync();
    disk.run(&mut writer);
    let log = disk.log();
    assert_eq!(log.replay, history.replay);
    assert_eq!((log.header.generation, log.header.begin.sequence), (generation + 3, 53));
}

#[test]
fn the_type_reads_as_published() {
    assert_eq!(PARTITION_TYPE.to_string(), "a3c1f0d2-6b57-4e1c-8f2a-706f6c6c7578");
}

#[test]
fn a_partition_too_small_says_what_it_takes() {
    let small = Partition { id: PARTITION, block_size: 512, blocks: 79 };
    let error = Geometry::of(&small).unwrap_err();
    assert_eq!(error, TooSmall::Bytes { there: 79 * 512, needed: 80 * 512 });
    assert!(Geometry::of(&Partition { blocks: 80, ..small }).is_ok());
    let odd = Partition { block_size: 520, ..small };
    assert_eq!(Geometry::of(&odd), Err(TooSmall::BlockSize(520)));
}
