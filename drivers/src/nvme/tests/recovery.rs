//! The ladder: abort, queue, controller, give up. Namespaces stay in use up to the last step.

use futures_util::future::{join, join_all};

use super::*;

in_every_mode![
    a_late_command_is_aborted,
    a_lost_command_costs_its_queue_a_reset,
    the_controller_is_reset_if_queues_cannot_be,
    those_who_come_during_a_reset_wait,
    many_lost_commands_are_answered_in_time,
    a_controller_that_goes_on_failing_is_given_up,
    an_admin_command_that_is_lost_resets_the_controller,
    mirrored_doorbells_survive_resets,
];

const DELETE: u8 = 0x00;
const ABORT: u8 = 0x08;

/// The I/O of a disk as it should be, after trouble.
async fn works(rig: &Rig, disk: &Namespace<Virtual>) {
    for fill in [1, 2] {
        assert_eq!(disk.write(Lba(9), rig.buffer(8192, fill)).await.result, Ok(()));
        let read = disk.read(Lba(9), rig.buffer(8192, 0)).await;
        assert!(read.buf.expect("it comes back").iter().all(|byte| *byte == fill));
    }
}

/// Waits for the so-manieth reset; the first is that of the start.
async fn reset_is_over(rig: &Rig, number: u32) {
    let limit = Virtual::now().after(20 * SECOND);
    while rig.device.act(|model, _| model.resets < number) {
        assert!(Virtual::now() < limit, "the controller is not reset");
        yield_now().await;
    }
}

fn admin_count(rig: &Rig, opcode: u8) -> usize {
    rig.device.act(|model, _| model.admin_seen.iter().filter(|seen| **seen == opcode).count())
}

fn a_late_command_is_aborted(mode: CompletionMode) {
    let mut turn = 0;
    let model = with_fates(move |_| {
        turn += 1;
        if turn == 1 { Fate::Late(60 * SECOND) } else { Fate::Good }
    });
    let ((), end, memory) = drive(mode, model, async |rig, namespace| {
        let disk = namespace.expect("one namespace");
        let start = Virtual::now();
        let late = disk.read(Lba(0), rig.buffer(512, 0)).await;
        assert_eq!((late.result, late.buf.is_some()), (Err(StorageError::TimedOut), true));
        assert!(Virtual::now().since(start) < 6 * SECOND);
        assert_eq!((admin_count(rig, ABORT), admin_count(rig, DELETE)), (1, 0));
        works(rig, &disk).await;
    });
    assert_eq!((end, memory), CLEAN);
}

fn a_lost_command_costs_its_queue_a_reset(mode: CompletionMode) {
    let ((), end, memory) = drive(mode, losing(1), async |rig, namespace| {
        let disk = namespace.expect("one namespace");
        assert_eq!(disk.read(Lba(0), rig.buffer(512, 0)).await.result, Ok(()));
        let start = Virtual::now();
        let lost = disk.read(Lba(0), rig.buffer(512, 0)).await;
        assert_eq!((lost.result, lost.buf.is_some()), (Err(StorageError::TimedOut), true));
        assert!(Virtual::now().since(start) < 6 * SECOND);
        works(rig, &disk).await;
        assert_eq!((admin_count(rig, ABORT), admin_count(rig, DELETE)), (1, 1));
        rig.device.act(|model, _| assert_eq!(model.resets, 1));
    });
    assert_eq!((end, memory), CLEAN);
}

fn the_controller_is_reset_if_queues_cannot_be(mode: CompletionMode) {
    for opcodes in [[ABORT, DELETE], [DELETE, DELETE]] {
        for answers in [true, false] {
            let ((), end, memory) = drive(mode, losing(0), async |rig, namespace| {
                let disk = namespace.expect("one namespace");
                rig.device.act(|model, _| {
                    let which = if answers { &mut model.refuses } else { &mut model.ignores };
                    which.extend(opcodes);
                });
                let start = Virtual::now();
                let lost = disk.read(Lba(0), rig.buffer(512, 0)).await;
                assert_eq!(lost.result, Err(StorageError::TimedOut));
                // Without its memory if that took too long.
                assert_eq!(lost.buf.is_some(), answers);
                assert!(Virtual::now().since(start) < 8 * SECOND);
                reset_is_over(rig, 2).await;
                works(rig, &disk).await;
            });
            assert_eq!((end, memory), CLEAN);
        }
    }
}

fn those_who_come_during_a_reset_wait(mode: CompletionMode) {
    let ((), end, memory) = drive(mode, losing(0), async |rig, namespace| {
        let disk = &namespace.expect("one namespace");
        rig.device.act(|model, _| model.refuses.extend([ABORT, DELETE]));
        let lost = disk.flush();
        let others = async {
            reset_is_over(rig, 2).await;
            let health = disk.health();
            let reads = (0..100).map(|number| disk.read(Lba(number), rig.buffer(512, 0)));
            let (reads, health) = join(join_all(reads), health).await;
            assert!(reads.into_iter().all(|read| read.result == Ok(())));
            assert!(health.is_ok());
        };
        assert_eq!(join(lost, others).await.0, Err(StorageError::TimedOut));
    });
    assert_eq!((end, memory), CLEAN);
}

fn many_lost_commands_are_answered_in_time(mode: CompletionMode) {
    let mut turn = 0;
    let model = with_fates(move |_| {
        turn += 1;
        if turn <= 40 { Fate::Lost } else { Fate::Good }
    });
    let ((), end, memory) = drive(mode, model, async |rig, namespace| {
        let disk = &namespace.expect("one namespace");
        let start = Virtual::now();
        let reads = (0..40).map(|number| disk.read(Lba(number), rig.buffer(512, 0)));
        for read in join_all(reads).await {
            assert_eq!((read.result, read.buf.is_some()), (Err(StorageError::TimedOut), true));
        }
        assert!(Virtual::now().since(start) < 8 * SECOND);
        works(rig, disk).await;
    });
    assert_eq!((end, memory), CLEAN);
}

fn a_controller_that_goes_on_failing_is_given_up(mode: CompletionMode) {
    let ((), end, memory) = drive(mode, with_fates(|_| Fate::Lost), async |rig, namespace| {
        let disk = namespace.expect("one namespace");
        rig.device.act(|model, _| model.refuses.extend([ABORT, DELETE]));
        let mut answers = 0;
        loop {
            match disk.flush().await {
                Err(StorageError::TimedOut) => answers += 1,
                Err(StorageError::Gone) => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(answers, 3);
        rig.device.act(|model, _| assert_eq!(model.resets, 1 + 3 + 1));
        assert_eq!(disk.health().await, Err(NvmeError::Gone));
    });
    let cause = Err(NvmeError::Refused("deleting a submission queue"));
    assert_eq!((end, memory), (cause, MemoryReport::default()));
}

fn an_admin_command_that_is_lost_resets_the_controller(mode: CompletionMode) {
    let ((), end, memory) = drive(mode, Model::new(), async |rig, namespace| {
        let disk = namespace.expect("one namespace");
        rig.device.act(|model, _| model.ignores.extend([0x02]));
        assert_eq!(disk.health().await, Err(NvmeError::Overdue("the health page")));
        rig.device.act(|model, _| model.ignores.clear());
        reset_is_over(rig, 2).await;
        assert!(disk.health().await.is_ok());
        works(rig, &disk).await;
    });
    assert_eq!((end, memory), CLEAN);
}

fn mirrored_doorbells_survive_resets(mode: CompletionMode) {
    for refused in [&[][..], &[DELETE]] {
        let model = {
            let mut model = losing(70);
            model.optional_admin_commands = 1 << 8;
            model.refuses.extend(refused);
            model
        };
        let ((), end, memory) = drive(mode, model, async |rig, namespace| {
            let disk = &namespace.expect("one namespace");
            for round in 0..4 {
                let reads = (0..50).map(|number| disk.read(Lba(number), rig.buffer(512, 0)));
                let reads = join_all(reads).await;
                let good = reads.iter().filter(|read| read.result.is_ok()).count();
                assert_eq!(good, if round == 1 { 49 } else { 50 });
            }
        });
        assert_eq!((end, memory), CLEAN);
    }
}

#[test]
fn a_namespace_that_is_another_after_a_reset_is_gone() {
    let ((), end, memory) = drive_all(
        CompletionMode::Msix,
        model(|model| {
            model.disks.insert(2, Disk::new(512, 100));
            model.disks.insert(3, Disk::new(512, 100));
            model.ignores.insert(0x02);
        }),
        async |rig, disks| {
            assert!(disks[0].health().await.is_err());
            rig.device.act(|model, _| {
                model.disks.insert(2, Disk::new(4096, 100));
                model.disks.remove(&3);
            });
            reset_is_over(rig, 2).await;
            for (disk, is_there) in disks.iter().zip([true, false, false]) {
                let answer = disk.flush().await;
                assert_eq!(answer, if is_there { Ok(()) } else { Err(StorageError::Gone) });
            }
        },
    );
    assert_eq!((end, memory), CLEAN);
}

#[test]
fn another_controller_after_a_reset_is_not_used() {
    let model = model(|model| {
        model.ignores.insert(0x02);
    });
    let ((), end, memory) = drive(CompletionMode::Poll, model, async |rig, namespace| {
        let disk = namespace.expect("one namespace");
        let health = disk.health();
        rig.device.act(|model, _| {
            model.identify = Box::new(|command, page| {
                if command.dword(10) == 1 {
                    page[4..10].copy_from_slice(b"andere");
                }
            });
        });
        assert!(health.await.is_err());
        while disk.flush().await != Err(StorageError::Gone) {}
    });
    assert_eq!((end, memory), (Err(NvmeError::Changed), MemoryReport::default()));
}
