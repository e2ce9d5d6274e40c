//! A cache of a disk in memory, against the bytes that should be there.

use std::pin::pin;
use std::rc::Rc;
use std::task::Waker;
use std::vec;
use std::vec::Vec;

use futures_util::FutureExt;
use hal::sim::SimMachine;
use proptest::prelude::*;

use super::*;
use crate::ram_disk::{Event, Pace, RamDisk};

const BLOCK: usize = 512;

fn cache(disk: &Rc<RamDisk>, blocks: usize) -> BlockCache<Rc<RamDisk>> {
    let machine = SimMachine::new();
    BlockCache::new(disk.clone(), &machine.dma(), CacheBytes(blocks * BLOCK))
}

fn numbered(blocks: u64) -> Rc<RamDisk> {
    let bytes = (0..blocks).flat_map(|block| [block as u8; BLOCK]).collect();
    Rc::new(RamDisk::of(BLOCK as u32, bytes))
}

fn read(cache: &mut BlockCache<Rc<RamDisk>>, lba: u64, blocks: usize) -> Vec<u8> {
    let mut into = vec![0; blocks * BLOCK];
    cache.read(Lba(lba), &mut into).now_or_never().expect("memory is quick").expect("read");
    into
}

fn write(cache: &mut BlockCache<Rc<RamDisk>>, lba: u64, bytes: &[u8]) -> Result<(), StorageError> {
    cache.write(Lba(lba), bytes).now_or_never().expect("memory is quick")
}

#[test]
fn a_block_is_read_once_and_its_neighbours_with_it() {
    let disk = numbered(200);
    let mut cache = cache(&disk, 64);
    for lba in [5, 6, 7, 12, 5] {
        assert_eq!(read(&mut cache, lba, 1), [lba as u8; BLOCK]);
    }
    assert_eq!(disk.reads.get(), 1);
    assert_eq!(read(&mut cache, 13, 1), [13; BLOCK]);
    assert_eq!(read(&mut cache, 199, 1), [199; BLOCK], "nothing is read beyond the end");
    assert_eq!(disk.reads.get(), 3);
}

#[test]
fn beyond_the_end_and_parts_of_blocks() {
    let disk = numbered(20);
    let mut cache = cache(&disk, 16);
    let mut buf = vec![0; 2 * BLOCK];
    let mut check = |lba, bytes: usize, error| {
        assert_eq!(cache.read(Lba(lba), &mut buf[..bytes]).now_or_never(), Some(Err(error)));
        assert_eq!(cache.write(Lba(lba), &buf[..bytes]).now_or_never(), Some(Err(error)));
    };
    check(19, 2 * BLOCK, StorageError::OutOfRange);
    check(u64::MAX, BLOCK, StorageError::OutOfRange);
    check(0, 100, StorageError::BadLength);
}

#[test]
fn changes_are_written_in_order_and_neighbours_together() {
    let disk = numbered(100);
    disk.history.replace(Some(Vec::new()));
    let mut cache = cache(&disk, 64);
    for lba in [30, 31, 32, 9, 33, 31] {
        write(&mut cache, lba, &[0xee; BLOCK]).expect("kept");
    }
    assert_eq!((disk.writes.get(), cache.dirty_blocks()), (0, 5));
    cache.sync().now_or_never().expect("quick").expect("synced");
    let history = disk.history.take().expect("kept");
    let told: Vec<_> = history
        .iter()
        .map(|event| match event {
            Event::Written(at, bytes) => (at / BLOCK, bytes.len() / BLOCK),
            Event::Flushed => (0, 0),
        })
        .collect();
    assert_eq!(told, [(30, 3), (9, 1), (33, 1), (0, 0)]);
    cache.sync().now_or_never().expect("quick").expect("nothing to do");
    assert_eq!(disk.flushes.get(), 1);
}

#[test]
fn what_the_device_did_not_take_is_kept() {
    let disk = numbered(100);
    let mut cache = cache(&disk, 64);
    write(&mut cache, 3, &[0xee; BLOCK]).expect("kept");
    for error in [StorageError::Media, StorageError::TimedOut] {
        disk.errors.borrow_mut().push(Some(error));
        assert_eq!(cache.sync().now_or_never(), Some(Err(error)));
        assert_eq!(cache.dirty_blocks(), 1);
    }
    // The write succeeds, the flush does not: the next sync flushes again.
    disk.errors.replace(vec![Some(StorageError::Reset), None]);
    assert_eq!(cache.sync().now_or_never(), Some(Err(StorageError::Reset)));
    assert_eq!(cache.sync().now_or_never(), Some(Ok(())));
    assert_eq!((disk.writes.get(), disk.flushes.get()), (1, 1));
}

#[test]
fn an_abandoned_write_does_not_land_on_a_later_one() {
    let disk = numbered(200);
    disk.pace.set(Pace::SecondPoll);
    let mut cache = cache(&disk, 64);
    let mut cx = Context::from_waker(Waker::noop());
    let long = vec![1; DIRECT];
    {
        let mut abandoned = pin!(cache.write(Lba(10), &long));
        assert!(abandoned.as_mut().poll_unpin(&mut cx).is_pending());
    }
    disk.pace.set(Pace::AtOnce);
    let newer = vec![2; DIRECT];
    // The first poll sees the abandoned one to its end.
    assert_eq!(cache.write(Lba(10), &newer).now_or_never(), Some(Ok(())));
    assert_eq!(disk.bytes.borrow()[10 * BLOCK..][..DIRECT], newer);
    assert_eq!(disk.writes.get(), 2);
}

#[test]
fn a_read_only_device() {
    let disk = Rc::new(RamDisk::new(BLOCK as u32, 100).read_only());
    let mut cache = cache(&disk, 64);
    assert_eq!(write(&mut cache, 0, &[1; BLOCK]), Err(StorageError::ReadOnly));
    assert_eq!(read(&mut cache, 0, 1), [0; BLOCK]);
    assert_eq!(cache.sync().now_or_never(), Some(Ok(())));
}

#[derive(Clone, Debug)]
enum Step {
    Read { lba: u64, blocks: usize },
    Write { lba: u64, blocks: usize, byte: u8 },
    Sync,
}

fn step() -> impl Strategy<Value = Step> {
    let lba = || prop_oneof![0u64..40, 0u64..300];
    let blocks = || prop_oneof![1usize..6, 60usize..150];
    prop_oneof![
        4 => (lba(), blocks()).prop_map(|(lba, blocks)| Step::Read { lba, blocks }),
        4 => (lba(), blocks(), any::<u8>())
            .prop_map(|(lba, blocks, byte)| Step::Write { lba, blocks, byte }),
        1 => Just(Step::Sync),
    ]
}

proptest! {
    /// Reads see what was written last, whatever fails and whatever is dropped; where a write
    /// failed or was dropped, each block has the old bytes or the new ones.
    #[test]
    fn reads_see_what_was_written(
        steps in proptest::collection::vec((step(), 0usize..12, 0usize..12), 1..80),
        capacity in 16usize..80,
    ) {
        const BLOCKS: usize = 460;
        let disk = numbered(BLOCKS as u64);
        disk.pace.set(Pace::SecondPoll);
        let mut cache = cache(&disk, capacity);
        let mut bytes: Vec<Vec<u8>> = (0..BLOCKS).map(|block| vec![block as u8]).collect();
        let mut cx = Context::from_waker(Waker::noop());
        for (step, fails, polls) in steps {
            if fails < 3 {
                disk.errors.replace(vec![Some(StorageError::Media); 1]);
                disk.errors.borrow_mut().extend(vec![None; fails]);
            }
            // Most operations are polled to their end.
            let polls = if polls < 3 { polls + 1 } else { usize::MAX };
            let mut into = Vec::new();
            let mut from = Vec::new();
            let outcome = {
                let mut future = match step {
                    Step::Read { lba, blocks } => {
                        into.resize(blocks * BLOCK, 0);
                        cache.read(Lba(lba), &mut into).boxed_local()
                    }
                    Step::Write { lba, blocks, byte } => {
                        from.resize(blocks * BLOCK, byte);
                        cache.write(Lba(lba), &from).boxed_local()
                    }
                    Step::Sync => cache.sync().boxed_local(),
                };
                let mut polled = 0;
                loop {
                    if polled == polls {
                        break None;
                    }
                    polled += 1;
                    if let Poll::Ready(result) = future.as_mut().poll(&mut cx) {
                        break Some(result);
                    }
                }
            };
            disk.errors.borrow_mut().clear();
            match step {
                Step::Read { lba, .. } if outcome == Some(Ok(())) => {
                    for (block, read) in (lba as usize..).zip(into.chunks(BLOCK)) {
                        prop_assert!(read.iter().all(|byte| *byte == read[0]));
                        prop_assert!(bytes[block].contains(&read[0]), "block {}", block);
                        // Once seen it is so.
                        bytes[block] = vec![read[0]];
                    }
                }
                Step::Write { lba, blocks, byte } => {
                    for block in &mut bytes[lba as usize..][..blocks] {
                        if outcome == Some(Ok(())) {
                            block.clear();
                        }
                        block.push(byte);
                    }
                }
                _ => {}
            }
        }
        disk.pace.set(Pace::AtOnce);
        prop_assert_eq!(cache.sync().now_or_never(), Some(Ok(())));
        prop_assert_eq!(cache.dirty_blocks(), 0);
        let disk = disk.bytes.borrow();
        for (block, on_disk) in disk.chunks(BLOCK).enumerate() {
            prop_assert!(bytes[block].contains(&on_disk[0]), "block {}", block);
        }
    }
}
