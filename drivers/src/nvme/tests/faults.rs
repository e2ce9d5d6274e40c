//! A controller that does not do as it should, and what its callers hear.

use hal::sim::{FaultPlan, InterruptFate, WriteFate};

use super::*;

in_every_mode![
    refusals_say_what_to_do_and_leave_the_controller_running,
    every_status_is_an_answer,
    late_and_out_of_order,
    stale_completions_are_survived_up_to_a_point,
    a_doorbell_that_does_nothing,
    fatal_in_the_middle,
    gone_in_the_middle,
    memory_of_a_controller_that_does_not_stop_is_leaked,
    a_driver_that_is_dropped_answers_everybody,
];

fn refusals_say_what_to_do_and_leave_the_controller_running(mode: CompletionMode) {
    let kinds = [
        (2, 0x81, StorageError::Media),
        (0, 0x80, StorageError::OutOfRange),
        (0, 0x20, StorageError::ReadOnly),
        (0, 0x06, StorageError::Device),
        (0, 0x01, StorageError::Unsupported),
        (0, 0x0b, StorageError::Gone),
    ];
    let mut turn = 0;
    let model = with_fates(move |_| {
        turn += 1;
        kinds.get(turn - 1).map_or(Fate::Good, |(kind, code, _)| {
            Fate::Fails(Status { kind: *kind, code: *code, do_not_retry: true })
        })
    });
    let ((), end, memory) = drive(mode, model, async |rig, namespace| {
        let disk = namespace.expect("one namespace");
        for (_, _, error) in kinds {
            let failed = disk.read(Lba(0), rig.buffer(512, 0)).await;
            assert_eq!((failed.result, failed.buf.is_some()), (Err(error), true));
        }
        assert_eq!(disk.flush().await, Ok(()));
    });
    assert_eq!((end, memory), CLEAN);
}

fn every_status_is_an_answer(mode: CompletionMode) {
    let mut turn = 0u16;
    let model = with_fates(move |_| {
        turn += 1;
        Fate::Fails(Status {
            kind: (turn >> 8) as u8 & 0b111,
            code: turn as u8,
            do_not_retry: turn & 1 == 0,
        })
    });
    let ((), end, memory) = drive(mode, model, async |rig, namespace| {
        let disk = namespace.expect("one namespace");
        for turn in 1..=8 * 256u32 {
            let answer = disk.read(Lba(0), rig.buffer(512, 0)).await;
            assert_eq!(answer.result.is_ok(), turn.is_multiple_of(8 * 256), "{turn}");
            assert!(answer.buf.is_some());
        }
    });
    assert_eq!((end, memory), CLEAN);
}

fn late_and_out_of_order(mode: CompletionMode) {
    let mut turn = 0;
    let model = with_fates(move |_| {
        turn += 1;
        Fate::Late((turn * 7919) % 50 * 100_000)
    });
    let ((), end, memory) = drive(mode, model, async |rig, namespace| {
        let disk = &namespace.expect("one namespace");
        rig.device.act(|model, _| {
            for (block, data) in model.disk().chunks_exact_mut(BLOCK).enumerate() {
                data.fill(block as u8);
            }
        });
        let reads = (0..200u64).map(|number| async move {
            let read = disk.read(Lba(number), rig.buffer(512, 0xff)).await;
            let buf = read.buf.expect("it comes back");
            assert!(buf.iter().all(|byte| *byte == number as u8));
        });
        futures_util::future::join_all(reads).await;
    });
    assert_eq!((end, memory), CLEAN);
}

fn stale_completions_are_survived_up_to_a_point(mode: CompletionMode) {
    let mut turn = 0;
    let model = with_fates(move |_| {
        turn += 1;
        match turn {
            1 => Fate::Twice,
            2 => Fate::AfterStray(0xffff),
            _ => Fate::Good,
        }
    });
    let ((), end, memory) = drive(mode, model, async |rig, namespace| {
        let disk = namespace.expect("one namespace");
        for _ in 0..5 {
            assert_eq!(disk.read(Lba(1), rig.buffer(512, 0)).await.result, Ok(()));
        }
        assert_eq!(disk.statistics()[1].stale, 2);
    });
    assert_eq!((end, memory), CLEAN);
    // It is reset for that, and given up when it does not help.
    let ((), end, memory) = drive(mode, with_fates(|_| Fate::Twice), async |rig, namespace| {
        let disk = namespace.expect("one namespace");
        while disk.read(Lba(1), rig.buffer(512, 0)).await.result != Err(StorageError::Gone) {}
        rig.device.act(|model, _| assert_eq!(model.resets, 1 + 3 + 1));
    });
    assert_eq!((end, memory), (Err(NvmeError::Stale), MemoryReport::default()));
}

fn a_doorbell_that_does_nothing(mode: CompletionMode) {
    let ((), end, memory) = drive(mode, Model::new(), async |rig, namespace| {
        let disk = namespace.expect("one namespace");
        let ignore = |at, _, _| if at == 0x1008 { WriteFate::Ignore } else { WriteFate::Deliver };
        rig.device.set_faults(FaultPlan::new().on_write(ignore));
        let start = Virtual::now();
        assert_eq!(disk.flush().await, Err(StorageError::TimedOut));
        assert!(Virtual::now().since(start) < 8 * SECOND);
        rig.device.set_faults(FaultPlan::new());
        assert_eq!(disk.flush().await, Ok(()));
    });
    assert_eq!((end, memory), CLEAN);
}

/// Whoever is in flight, or waits for room, hears at once that the device is gone.
async fn all_are_told(rig: &Rig, disk: &Namespace<Virtual>, cut: impl FnOnce()) {
    let start = Virtual::now();
    let reads = (0..200u64).map(|number| disk.read(Lba(number), rig.buffer(512, 0)));
    let cut = async {
        for _ in 0..10 {
            yield_now().await;
        }
        cut();
    };
    let reads = futures_util::future::join_all(reads);
    let (reads, ()) = futures_util::future::join(reads, cut).await;
    for read in reads {
        assert_eq!((read.result, read.buf.is_some()), (Err(StorageError::Gone), true));
    }
    assert!(Virtual::now().since(start) < SECOND);
    assert_eq!(disk.flush().await, Err(StorageError::Gone));
    assert_eq!(disk.health().await, Err(NvmeError::Gone));
}

fn fatal_in_the_middle(mode: CompletionMode) {
    let ((), end, memory) = drive(mode, with_fates(|_| Fate::Lost), async |rig, namespace| {
        let disk = namespace.expect("one namespace");
        all_are_told(rig, &disk, || rig.device.act(|model, _| model.fail())).await;
    });
    assert_eq!((end, memory), (Err(NvmeError::Fatal), MemoryReport::default()));
}

fn gone_in_the_middle(mode: CompletionMode) {
    let ((), end, memory) = drive(mode, with_fates(|_| Fate::Lost), async |rig, namespace| {
        let disk = namespace.expect("one namespace");
        all_are_told(rig, &disk, || rig.device.unplug()).await;
    });
    assert_eq!((end, memory), (Err(NvmeError::Gone), MemoryReport::default()));
}

fn memory_of_a_controller_that_does_not_stop_is_leaked(mode: CompletionMode) {
    let ((), end, memory) = drive(mode, with_fates(|_| Fate::Lost), async |rig, namespace| {
        rig.device.act(|model, _| {
            model.never_stops = true;
            model.refuses.extend([0, 8]);
        });
        let disk = namespace.expect("one namespace");
        let lost = disk.read(Lba(0), rig.buffer(512, 0)).await;
        // Whichever comes first: the caller's time is over, or the driver gives up.
        let is_told = matches!(lost.result, Err(StorageError::TimedOut | StorageError::Gone));
        assert!(is_told && lost.buf.is_none());
        assert_eq!(disk.flush().await, Err(StorageError::Gone));
    });
    assert_eq!(end, Err(NvmeError::NotInTime("reset", 2000)));
    assert_eq!((memory.lent, memory.owned, memory.rings), (1, 0, 4));
}

fn a_driver_that_is_dropped_answers_everybody(mode: CompletionMode) {
    let ((), _, memory) = drive(mode, with_fates(|_| Fate::Lost), async |rig, namespace| {
        let disk = namespace.expect("one namespace");
        let cancel = async {
            let driver = rig.driver.take().expect("it runs");
            driver.cancel();
            assert!(driver.await.is_err());
        };
        let read = disk.read(Lba(0), rig.buffer(512, 0));
        let (read, ()) = futures_util::future::join(read, cancel).await;
        assert_eq!((read.result, read.buf.is_some()), (Err(StorageError::Reset), false));
        assert_eq!(disk.flush().await, Err(StorageError::Gone));
    });
    // Leaked: nobody looked whether the controller stopped.
    assert_eq!((memory.lent, memory.owned, memory.rings), (1, 0, 4));
}

#[test]
fn a_controller_that_is_never_ready() {
    let model = model(|model| model.never_ready = true);
    let (taken, end, memory) = drive(CompletionMode::Poll, model, async |_, namespace| {
        assert!(namespace.is_none());
        Virtual::now().0
    });
    assert_eq!(end, Err(NvmeError::NotInTime("ready", 2000)));
    assert!((2 * SECOND..3 * SECOND).contains(&taken), "{taken}");
    assert_eq!(memory, MemoryReport::default());
}

#[test]
fn a_controller_that_runs_and_cannot_be_reset() {
    let model = model(|model| model.never_stops = true);
    let mode = CompletionMode::Poll;
    let (_, end, memory) = drive(mode, model, async |_, namespace| assert!(namespace.is_none()));
    assert_eq!(end, Err(NvmeError::NotInTime("reset", 2000)));
    assert_eq!(memory, MemoryReport::default());
}

#[test]
fn a_controller_that_refuses_what_it_should_know() {
    for (opcode, is_used) in
        [(0x01, false), (0x05, false), (0x06, false), (0x09, false), (0x0c, true), (0x02, true)]
    {
        let model = model(|model| {
            model.refuses.insert(opcode);
        });
        let ((), end, memory) = drive(CompletionMode::Msix, model, async |_, namespace| {
            assert_eq!(namespace.is_some(), is_used, "{opcode:#x}");
            if let Some(disk) = namespace {
                assert_eq!(disk.flush().await, Ok(()));
            }
        });
        assert_eq!((end.is_ok(), memory), (is_used, MemoryReport::default()), "{opcode:#x}");
    }
}

#[test]
fn a_controller_that_leaves_admin_commands_unanswered() {
    for opcode in [0x01, 0x05, 0x06, 0x09] {
        let model = model(|model| {
            model.ignores.insert(opcode);
        });
        let ((), end, memory) = drive(CompletionMode::Msix, model, async |_, namespace| {
            assert!(namespace.is_none());
        });
        assert!(matches!(end, Err(NvmeError::Overdue(_))), "{opcode:#x}: {end:?}");
        assert_eq!(memory, MemoryReport::default());
    }
}

#[test]
fn interrupts_that_are_lost_cost_time_and_nothing_else() {
    for mode in [CompletionMode::Msix, CompletionMode::Adaptive] {
        let ((), end, memory) = drive(mode, Model::new(), async |rig, namespace| {
            let disk = namespace.expect("one namespace");
            let lose = |line| if line == 1 { InterruptFate::Lose } else { InterruptFate::Deliver };
            rig.device.set_faults(FaultPlan::new().on_interrupt(lose));
            for _ in 0..4 {
                let start = Virtual::now();
                assert_eq!(disk.flush().await, Ok(()));
                assert!(Virtual::now().since(start) < SECOND);
            }
        });
        assert_eq!((end, memory), CLEAN);
    }
}
