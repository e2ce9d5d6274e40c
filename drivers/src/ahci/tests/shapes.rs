//! What is written is read: every shape of transfer, every mode, many at once.

use futures_util::future::join_all;
use hal::dma::Memory;

use super::*;
use crate::ahci::model::{BLOCKS, Fate};
use crate::storage::{Erase, Lba, StorageDevice, StorageError, Transfer};

const MODES: [CompletionMode; 3] =
    [CompletionMode::Poll, CompletionMode::Msix, CompletionMode::Adaptive];

fn in_every_shape(block: usize, depth: Option<u16>, mode: CompletionMode, wiring: Wiring) {
    let model = Model::new([Some(Modelled::new(block, depth))]);
    drive(model, mode, wiring, async |rig, disks| {
        let disk = disks.into_iter().next().expect("one disk");
        assert_eq!(disk.info().block_size as usize, block);
        assert_eq!(disk.info().blocks as usize, BLOCKS);
        assert_eq!(disk.info().max_transfer_bytes, 1 << 20);
        let shapes = [block, 4096, 8192, 5 * 4096, 64 << 10, 1 << 20];
        for (round, bytes) in shapes.into_iter().enumerate() {
            let fill = 0x30 + round as u8;
            let lba = Lba(7 * round as u64);
            let written = disk.write(lba, rig.buffer(bytes, fill)).await;
            assert_eq!(written.result, Ok(()), "{bytes}");
            let start = lba.0 as usize * block;
            rig.device.act(|model, _| {
                let disk = model.disk(0);
                assert!(disk.bytes[start..start + bytes].iter().all(|byte| *byte == fill));
                assert_ne!(disk.bytes[start + bytes], fill);
                disk.bytes[start + bytes - 1] = 0xff;
            });
            let read = disk.read(lba, rig.buffer(bytes, 0)).await;
            assert_eq!(read.result, Ok(()));
            let buf = read.buf.expect("it comes back");
            assert!(buf[..bytes - 1].iter().all(|byte| *byte == fill) && buf[bytes - 1] == 0xff);
        }
        assert_eq!(disk.flush().await, Ok(()));
        rig.device.act(|model, _| assert_eq!(model.disk(0).flushes, 1));
        for (lba, bytes, error) in [
            (0, 100, StorageError::BadLength),
            (0, 2 << 20, StorageError::BadLength),
            (BLOCKS as u64, block, StorageError::OutOfRange),
        ] {
            let refused = disk.read(Lba(lba), rig.buffer(bytes, 0)).await;
            assert_eq!((refused.result, refused.buf.is_some()), (Err(error), true));
        }
    })
    .well();
}

#[test]
fn what_is_written_is_read_in_every_shape() {
    for mode in MODES {
        in_every_shape(512, Some(32), mode, Wiring::Interrupt);
    }
    in_every_shape(4096, Some(32), CompletionMode::Msix, Wiring::Interrupt);
    in_every_shape(512, None, CompletionMode::Msix, Wiring::Interrupt);
    in_every_shape(4096, None, CompletionMode::Adaptive, Wiring::None);
}

#[test]
fn shared_pages_scattered_over_memory() {
    drive_one(one_disk(), async |rig, disk| {
        let shared = rig.machine.dma().shared_pages(40).expect("memory");
        // Every second page: no two lie side by side.
        for page in 0..40 {
            shared.store(page * 512 + 1, 0x1000 + page as u64);
        }
        let part = shared.part(3..36).expect("33 pages");
        let written = disk.transfer(Transfer::Write, Lba(8), Memory::Shared(part.clone())).await;
        assert_eq!(written.result, Ok(()));
        for page in 0..40 {
            shared.store(page * 512 + 1, 0);
        }
        let read = disk.transfer(Transfer::Read, Lba(8), Memory::Shared(part)).await;
        assert_eq!(read.result, Ok(()));
        assert!(read.buf.is_some());
        for page in 0..40 {
            let expected = if (3..36).contains(&page) { 0x1000 + page as u64 } else { 0 };
            assert_eq!(shared.load(page * 512 + 1), expected);
        }
    })
    .well();
}

#[test]
fn many_at_once_more_than_the_queue_holds_out_of_order() {
    for depth in [Some(32), Some(5), None] {
        let mut numbers = 7u64;
        let mut model = Model::new([Some(Modelled::new(512, depth))]);
        model.fates = std::boxed::Box::new(move |_, _| {
            numbers = numbers.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            Fate::Late(numbers >> 40)
        });
        drive_one(model, async |rig, disk| {
            let depth = depth.unwrap_or(32);
            assert_eq!(disk.info().depth, u32::from(depth));
            rig.device.act(|model, _| {
                for (block, bytes) in model.disk(0).bytes.chunks_mut(512).enumerate() {
                    bytes.fill(block as u8 ^ (block >> 8) as u8);
                }
            });
            let disk = &disk;
            let reads = (0..500usize).map(|block| async move {
                let read = disk.read(Lba(block as u64), rig.buffer(512, 0)).await;
                let expected = block as u8 ^ (block >> 8) as u8;
                read.result == Ok(()) && read.buf.is_some_and(|buf| *buf == [expected; 512])
            });
            assert!(join_all(reads).await.into_iter().all(|good| good));
        })
        .well();
    }
}

#[test]
fn several_disks_at_once() {
    let disk = |block| Some(Modelled::new(block, Some(32)));
    let model = Model::new([disk(512), None, disk(4096), Some(Modelled::new(512, None))]);
    drive(model, CompletionMode::Msix, Wiring::Interrupt, async |rig, disks| {
        let names: Vec<_> = disks.iter().map(|disk| disk.name().1).collect();
        assert_eq!(names, [0, 2, 3]);
        assert_eq!(disks[0].identity().model(), "Mode");
        assert_eq!(disks[0].queue_depth(), Some(32));
        assert_eq!(disks[2].queue_depth(), None);
        let work = disks.iter().flat_map(|disk| {
            (0..100u64).map(move |number| async move {
                let fill = disk.name().1 + number as u8;
                let lba = Lba(number * 8);
                let written = disk.write(lba, rig.buffer(4096, fill)).await;
                assert_eq!(written.result, Ok(()));
                let read = disk.read(lba, rig.buffer(4096, 0)).await;
                assert!(read.buf.is_some_and(|buf| buf.iter().all(|byte| *byte == fill)));
            })
        });
        join_all(work).await;
    })
    .well();
}

#[test]
fn an_hba_of_32_bits_is_given_no_memory_beyond() {
    let mut model = one_disk();
    model.cap &= !(1 << 31);
    drive_one(model, async |rig, disk| {
        let near = disk.dma().buffer(512).expect("memory");
        assert_eq!(disk.read(Lba(0), near).await.result, Ok(()));
        // The simulated machine hands out addresses upwards, up to 4 GiB only once.
        let mut far = rig.machine.dma().buffer(hal::dma::LARGEST).expect("memory");
        for _ in 0..140 {
            far = rig.machine.dma().buffer(hal::dma::LARGEST).expect("memory");
        }
        drop(far);
        let far = rig.machine.dma().buffer(512).expect("memory");
        let refused = disk.read(Lba(0), far).await;
        assert_eq!(refused.result, Err(StorageError::Unsupported));
        assert!(refused.buf.is_some());
        let near = disk.dma().buffer(512).expect("memory");
        assert_eq!(disk.read(Lba(0), near).await.result, Ok(()));
    })
    .well();
}

#[test]
fn trim_and_health() {
    drive_one(one_disk(), async |rig, disk| {
        rig.device.act(|model, _| model.disk(0).bytes.fill(9));
        assert_eq!(disk.erase(Erase::Discard, Lba(5), 3).await, Ok(()));
        rig.device.act(|model, _| {
            let bytes = &model.disk(0).bytes;
            assert!(bytes[5 * 512..8 * 512].iter().all(|byte| *byte == 0));
            assert_eq!((bytes[5 * 512 - 1], bytes[8 * 512]), (9, 9));
        });
        assert_eq!(disk.erase(Erase::Zero, Lba(5), 3).await, Err(StorageError::Unsupported));
        let beyond = disk.erase(Erase::Discard, Lba(BLOCKS as u64 - 1), 2).await;
        assert_eq!(beyond, Err(StorageError::OutOfRange));
        assert_eq!(disk.erase(Erase::Discard, Lba(0), BLOCKS as u64).await, Ok(()));
        rig.device.act(|model, _| assert!(model.disk(0).bytes.iter().all(|byte| *byte == 0)));
        let health = Health { is_failing: false, celsius: Some(36) };
        assert_eq!(disk.health().await, Ok(health));
        rig.device.act(|model, _| model.disk(0).is_failing = true);
        assert_eq!(disk.health().await, Ok(Health { is_failing: true, ..health }));
    })
    .well();
}

#[test]
fn an_orderly_end_flushes_and_lets_the_disk_rest() {
    let disk = drive_one(one_disk(), async |rig, disk| {
        let write = disk.write(Lba(0), rig.buffer(512, 3));
        rig.stop.notify();
        let (write, ()) = futures_util::future::join(write, async {
            while rig.device.act(|model, _| model.disk(0).standbys) == 0 {
                yield_now().await;
            }
        })
        .await;
        assert_eq!(write.result, Ok(()));
        rig.device.act(|model, _| {
            assert_eq!((model.disk(0).flushes, model.disk(0).standbys), (1, 1));
        });
        assert_eq!(disk.flush().await, Err(StorageError::Gone));
    });
    assert_eq!(disk.driver, Ok(()));
    disk.clean();
}
