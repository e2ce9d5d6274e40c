//! Everything as it should be.

use std::boxed::Box;
use std::vec::Vec;

use futures_util::future::join_all;
use hal::dma::Memory;

use super::*;
use crate::storage::{Erase, Transfer};

in_every_mode![
    what_is_written_is_read_in_every_shape,
    an_orderly_end_is_announced_to_the_controller,
    what_is_under_way_at_the_end_is_carried_out,
    many_at_once_more_than_the_queue_holds,
    blocks_of_4096_bytes_and_several_namespaces,
    long_lists_and_scattered_pages,
    blocks_are_zeroed_and_discarded,
    doorbells_in_memory_save_registers,
    a_burst_rings_once,
    the_mode_changes_under_load,
    what_can_be_asked,
];

fn what_is_written_is_read_in_every_shape(mode: CompletionMode) {
    let ((), end, memory) = drive(mode, Model::new(), async |rig, namespace| {
        let disk = namespace.expect("one namespace");
        assert_eq!(disk.info().block_size as usize, BLOCK);
        assert_eq!(disk.info().blocks as usize, BLOCKS);
        assert_eq!(disk.info().max_transfer_bytes, 512 << 10);
        for (round, bytes) in [512, 4096, 4608, 8192, 12288, 64 << 10, 512 << 10].iter().enumerate()
        {
            let fill = 0x30 + round as u8;
            let lba = Lba(7 * round as u64);
            let written = disk.write(lba, rig.buffer(*bytes, fill)).await;
            assert_eq!(written.result, Ok(()), "{bytes}");
            let start = lba.0 as usize * BLOCK;
            rig.device.act(|model, _| {
                let data = model.disk();
                assert!(data[start..start + bytes].iter().all(|byte| *byte == fill));
                assert_ne!(data[start + bytes], fill);
                data[start + bytes - 1] = 0xff;
            });
            let read = disk.read(lba, rig.buffer(*bytes, 0)).await;
            assert_eq!(read.result, Ok(()));
            let buf = read.buf.expect("it comes back");
            assert!(buf[..bytes - 1].iter().all(|byte| *byte == fill) && buf[bytes - 1] == 0xff);
        }
        assert_eq!(disk.flush().await, Ok(()));
        rig.device.act(|model, _| assert_eq!(model.flushes, 1));
        for (lba, bytes, error) in [
            (0, 100, StorageError::BadLength),
            (0, 1 << 20, StorageError::BadLength),
            (BLOCKS as u64, 512, StorageError::OutOfRange),
        ] {
            let refused = disk.read(Lba(lba), rig.buffer(bytes, 0)).await;
            assert_eq!((refused.result, refused.buf.is_some()), (Err(error), true));
        }
    });
    assert_eq!((end, memory), CLEAN);
}

fn an_orderly_end_is_announced_to_the_controller(mode: CompletionMode) {
    let (device, end, memory) = drive(mode, Model::new(), async |rig, disk| {
        rig.stop.notify();
        while rig.device.act(|model, _| !model.shutdown_seen) {
            yield_now().await;
        }
        disk.expect("one namespace")
    });
    assert_eq!((end, memory), CLEAN);
    assert_eq!(block_on::<Virtual, _>(device.flush()), Err(StorageError::Gone));
}

fn what_is_under_way_at_the_end_is_carried_out(mode: CompletionMode) {
    let model = with_fates(|_| Fate::Late(20_000_000));
    let ((), end, memory) = drive(mode, model, async |rig, namespace| {
        let disk = &namespace.expect("one namespace");
        let writes = (0..9).map(|number| disk.write(Lba(number), rig.buffer(512, 1)));
        let late = async {
            rig.stop.notify();
            executor::sleep::<Virtual>(1_000_000).await;
            disk.write(Lba(20), rig.buffer(512, 1)).await
        };
        let (writes, late) = futures_util::future::join(join_all(writes), late).await;
        assert!(writes.iter().all(|write| write.result == Ok(())), "{writes:?}");
        assert_eq!((late.result, late.buf.is_some()), (Err(StorageError::Gone), true));
        rig.device.act(|model, _| assert!(model.shutdown_seen && model.disk()[20 * BLOCK] == 0));
    });
    assert_eq!((end, memory), CLEAN);
}

fn many_at_once_more_than_the_queue_holds(mode: CompletionMode) {
    let ((), end, memory) = drive(mode, Model::new(), async |rig, namespace| {
        let disk = &namespace.expect("one namespace");
        let reads = (0..500u64)
            .map(|number| async move { disk.read(Lba(number), rig.buffer(512, 1)).await.result });
        assert!(join_all(reads).await.into_iter().all(|result| result == Ok(())));
    });
    assert_eq!((end, memory), CLEAN);
}

fn blocks_of_4096_bytes_and_several_namespaces(mode: CompletionMode) {
    let model = model(|model| {
        model.disks.insert(3, Disk::new(4096, 100));
        model.disks.insert(7, Disk::new(512, 9));
    });
    let ((), end, memory) = drive_all(mode, model, async |rig, disks| {
        let names: Vec<_> = disks.iter().map(|disk| disk.name().1).collect();
        assert_eq!(names, [1, 3, 7]);
        let large = &disks[1];
        assert_eq!((large.info().block_size, large.info().blocks), (4096, 100));
        let half = large.read(Lba(0), rig.buffer(512, 0)).await.result;
        assert_eq!(half, Err(StorageError::BadLength));
        for (disk, fill) in disks.iter().zip(1u8..) {
            let size = disk.info().block_size as usize;
            assert_eq!(disk.write(Lba(8), rig.buffer(size, fill)).await.result, Ok(()));
        }
        rig.device.act(|model, _| {
            for ((id, disk), fill) in model.disks.iter().zip(1u8..) {
                assert_eq!((disk.data[8 * disk.block], disk.data[0]), (fill, 0), "{id}");
            }
        });
        let last = disks[2].read(Lba(9), rig.buffer(512, 0)).await.result;
        assert_eq!(last, Err(StorageError::OutOfRange));
    });
    assert_eq!((end, memory), CLEAN);
}

fn long_lists_and_scattered_pages(mode: CompletionMode) {
    let model = model(|model| {
        model.transfer_shift = 0;
        model.disks.insert(1, Disk::new(4096, 3000));
    });
    // No limit, says the controller; the model applies one of its own.
    let unlimited = |mut model: Model| {
        model.transfer_shift = 12;
        model.identify = Box::new(|command, page| {
            if command.dword(10) == 1 {
                page[77] = 0;
            }
        });
        model
    };
    let ((), end, memory) = drive(mode, unlimited(model), async |rig, namespace| {
        let disk = namespace.expect("one namespace");
        assert_eq!(disk.info().max_transfer_bytes, 8 << 20);
        for pages in [2048usize, 513, 514, 3, 1024, 1025] {
            let shared = rig.machine.dma().shared_pages(pages).expect("memory");
            // Apart from each other in any case: taken from the end.
            for page in 0..pages {
                shared.store(page * 512 + 511, page as u64 + 1);
            }
            let memory = Memory::Shared(shared.clone());
            let written = disk.transfer(Transfer::Write, Lba(100), memory).await;
            assert_eq!(written.result, Ok(()), "{pages} pages");
            let buf = disk.read(Lba(100), rig.buffer(pages * 4096, 0xaa)).await.buf.expect("back");
            for (page, bytes) in buf.chunks_exact(4096).enumerate() {
                let word = u64::from_le_bytes(bytes[4088..].try_into().expect("eight"));
                assert_eq!((word, bytes[0]), (page as u64 + 1, 0), "{pages} pages");
            }
        }
    });
    assert_eq!((end, memory), CLEAN);
}

fn blocks_are_zeroed_and_discarded(mode: CompletionMode) {
    let ((), end, memory) = drive(mode, Model::new(), async |rig, namespace| {
        let disk = namespace.expect("one namespace");
        rig.device.act(|model, _| model.disk().fill(0xee));
        assert_eq!(disk.erase(Erase::Zero, Lba(1), 3000).await, Ok(()));
        assert_eq!(disk.erase(Erase::Discard, Lba(5), 70).await, Ok(()));
        rig.device.act(|model, _| {
            let data = model.disk();
            assert!(data[..512].iter().chain(&data[3001 * 512..]).all(|byte| *byte == 0xee));
            assert!(data[512..3001 * 512].iter().all(|byte| *byte == 0));
            assert_eq!(model.disks[&1].discarded, [(5, 70)]);
            // At most a transfer at once.
            assert_eq!(model.seen[&1], 3000u64.div_ceil(1024) + 1);
        });
        let beyond = disk.erase(Erase::Zero, Lba(4000), 97).await;
        assert_eq!(beyond, Err(StorageError::OutOfRange));
        assert_eq!(disk.erase(Erase::Zero, Lba(0), 0).await, Err(StorageError::BadLength));
    });
    assert_eq!((end, memory), CLEAN);
    let model = model(|model| model.optional_commands = 0);
    let ((), end, memory) = drive(mode, model, async |_, namespace| {
        let disk = namespace.expect("one namespace");
        for what in [Erase::Zero, Erase::Discard] {
            assert_eq!(disk.erase(what, Lba(0), 1).await, Err(StorageError::Unsupported));
        }
    });
    assert_eq!((end, memory), CLEAN);
}

async fn read_in_rounds(rig: &Rig, disk: &Namespace<Virtual>, rounds: u64, depth: u64) {
    for round in 0..rounds {
        let reads = (0..depth).map(|number| async move {
            disk.read(Lba(round * depth + number), rig.buffer(512, 1)).await.result
        });
        assert!(join_all(reads).await.into_iter().all(|result| result == Ok(())));
    }
}

fn doorbells_in_memory_save_registers(mode: CompletionMode) {
    let mirrored = model(|model| model.optional_admin_commands = 1 << 8);
    let count = |model: Model| {
        let (written, end, memory) = drive(mode, model, async |rig, namespace| {
            read_in_rounds(rig, &namespace.expect("one namespace"), 20, 100).await;
            rig.device.act(|model, _| model.rings[&0x1008] + model.rings[&0x100c])
        });
        assert_eq!((end, memory), CLEAN);
        written
    };
    let (plain, mirrored) = (count(Model::new()), count(mirrored));
    assert!(mirrored < plain, "{mirrored} register writes of {plain}");
    // A controller that offers it and then would not.
    let unwilling = model(|model| {
        model.optional_admin_commands = 1 << 8;
        model.refuses.insert(0x7c);
    });
    assert!(count(unwilling) >= mirrored);
}

fn a_burst_rings_once(mode: CompletionMode) {
    let ((), end, memory) = drive(mode, Model::new(), async |rig, namespace| {
        let disk = namespace.expect("one namespace");
        read_in_rounds(rig, &disk, 1, 40).await;
        // The first rings at once, the reaper for the others.
        rig.device.act(|model, _| assert_eq!((model.rings[&0x1008], model.seen[&1]), (2, 40)));
        read_in_rounds(rig, &disk, 1, 1).await;
        rig.device.act(|model, _| assert_eq!(model.rings[&0x1008], 3));
        let queue = disk.statistics()[1];
        assert_eq!((queue.submitted, queue.completed, queue.in_flight), (41, 41, 0));
        assert_eq!((queue.stale, queue.depth), (0, 63));
        assert!(queue.doorbells >= 5);
        match mode {
            CompletionMode::Poll => assert_eq!(queue.interrupts, 0),
            CompletionMode::Msix => assert_ne!(queue.interrupts, 0),
            CompletionMode::Adaptive => {}
        }
    });
    assert_eq!((end, memory), CLEAN);
}

fn the_mode_changes_under_load(mode: CompletionMode) {
    let ((), end, memory) = drive(mode, Model::new(), async |rig, namespace| {
        let disk = namespace.expect("one namespace");
        let change = async {
            for turn in 0..30 {
                let modes = [CompletionMode::Msix, CompletionMode::Poll, CompletionMode::Adaptive];
                disk.set_completion_mode(modes[turn % 3]);
                assert_eq!(disk.completion_mode(), modes[turn % 3]);
                for _ in 0..turn {
                    yield_now().await;
                }
            }
        };
        futures_util::future::join(change, read_in_rounds(rig, &disk, 30, 50)).await;
        let start = Virtual::now();
        read_in_rounds(rig, &disk, 30, 1).await;
        assert!(Virtual::now().since(start) < SECOND, "no interrupt was missed");
    });
    assert_eq!((end, memory), CLEAN);
}

fn what_can_be_asked(mode: CompletionMode) {
    let model = model(|model| {
        model.health[0] = 0b10;
        model.health[1..4].copy_from_slice(&[0x2c, 0x01, 77]);
        let mut error = [0; 64];
        error[0] = 5;
        error[12] = 0x02;
        model.errors = std::vec![error];
    });
    let ((), end, memory) = drive(mode, model, async |_, namespace| {
        let disk = namespace.expect("one namespace");
        let identity = *disk.identity().expect("it is known");
        let known = (identity.model(), identity.serial(), identity.firmware());
        assert_eq!(known, ("Modell", "Nummer", "1.0"));
        let health = disk.health().await.expect("a health page");
        assert_eq!((health.celsius(), health.spare_percent), (Some(27), 77));
        assert_eq!(health.warnings.words().count(), 1);
        let errors = disk.error_log().await.expect("an error log");
        assert_eq!((errors.len(), errors[0].number), (1, 5));
    });
    assert_eq!((end, memory), CLEAN);
}

#[test]
fn namespaces_that_cannot_be_used_are_left_out() {
    let protected = |command: &Command, page: &mut [u8]| {
        if command.dword(10) == 0 {
            page[29] = 1;
        }
    };
    let model = model(|model| model.identify = Box::new(protected));
    let ((), end, memory) = drive(CompletionMode::Poll, model, async |_, namespace| {
        assert!(namespace.is_none());
    });
    assert_eq!((end, memory), CLEAN);
}

#[test]
fn a_namespace_and_its_operations_may_be_used_from_any_core() {
    fn any_core<T: Send + Sync + 'static>() {}
    any_core::<Namespace<Virtual>>();
}
