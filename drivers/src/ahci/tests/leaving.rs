//! Disks that go and come, HBAs that go, futures that are dropped.

use std::boxed::Box;

use futures_util::future::{join, join_all};
use proptest::prelude::*;

use super::*;
use crate::ahci::model::Fate;
use crate::storage::{Lba, StorageDevice, StorageError};

#[test]
fn unplugged_in_the_middle_and_plugged_in_again() {
    for (mode, wiring) in [
        (CompletionMode::Poll, Wiring::None),
        (CompletionMode::Msix, Wiring::Interrupt),
        (CompletionMode::Adaptive, Wiring::Interrupt),
    ] {
        let mut model = Model::new([
            Some(Modelled::new(512, Some(32))),
            Some(Modelled::new(512, Some(32))),
            None,
        ]);
        model.fates = Box::new(|port, _| if port == 0 { Fate::Lost } else { Fate::Good });
        drive(model, mode, wiring, async |rig, disks| {
            let (gone, other) = (&disks[0], &disks[1]);
            let reads = (0..50u64).map(|number| async move {
                let read = gone.read(Lba(number), rig.buffer(512, 0)).await;
                (read.result, read.buf.is_some())
            });
            let pull = async {
                executor::sleep::<Virtual>(1_000_000).await;
                rig.device.act(|model, bus| model.unplug(bus, 0))
            };
            let (results, modelled) = join(join_all(reads), pull).await;
            assert!(results.iter().all(|end| *end == (Err(StorageError::Gone), true)));
            assert_eq!(gone.flush().await, Err(StorageError::Gone));
            assert_eq!(other.read(Lba(0), rig.buffer(512, 0)).await.result, Ok(()));
            rig.device.act(|model, bus| {
                model.fates = Box::new(|_, _| Fate::Good);
                model.plug_in(bus, 0, modelled);
                model.plug_in(bus, 2, Modelled::new(4096, None));
            });
            let mut found = Vec::new();
            while found.len() < 2 {
                let more = rig.announced().await;
                assert!(!more.is_empty(), "nothing announced");
                found.extend(more);
            }
            found.sort_by_key(|disk| disk.name().1);
            assert_eq!((found[0].name().1, found[1].name().1), (0, 2));
            for disk in &found {
                let written = disk.write(Lba(1), rig.buffer(4096, 5)).await;
                assert_eq!(written.result, Ok(()));
            }
            assert_eq!(gone.flush().await, Err(StorageError::Gone));
        })
        .well();
    }
}

/// Out and in again before anybody looked: what its cache held is gone, so it is another disk.
#[test]
fn plugged_in_again_at_once() {
    drive_one(one_disk(), async |rig, disk| {
        rig.device.act(|model, bus| {
            let modelled = model.unplug(bus, 0);
            model.plug_in(bus, 0, modelled);
        });
        let again = rig.announced().await.pop().expect("announced again");
        assert_eq!(disk.flush().await, Err(StorageError::Gone));
        assert_eq!(again.flush().await, Ok(()));
    })
    .well();
}

#[test]
fn an_hba_that_is_gone() {
    let mut model = one_disk();
    model.fates = Box::new(|_, _| Fate::Lost);
    let end = drive_one(model, async |rig, disk| {
        let pull = async {
            executor::sleep::<Virtual>(1_000_000).await;
            rig.device.unplug();
        };
        let read = disk.read(Lba(0), rig.buffer(512, 0));
        let (read, ()) = join(read, pull).await;
        assert_eq!((read.result, read.buf.is_some()), (Err(StorageError::Gone), true));
        let end = rig.driver.take().expect("it runs").await;
        assert_eq!(end, Ok(Err(AhciError::Gone)));
        assert_eq!(disk.flush().await, Err(StorageError::Gone));
    });
    end.clean();
    // Gone before anything was found.
    let end = drive(one_disk(), CompletionMode::Poll, Wiring::None, async |rig, _| {
        rig.device.unplug();
        let end = rig.driver.take().expect("it runs").await;
        assert_eq!(end, Ok(Err(AhciError::Gone)));
    });
    end.clean();
}

#[test]
fn ten_thousand_reads_dropped_in_flight() {
    let mut numbers = 11u64;
    let mut model = one_disk();
    model.fates = Box::new(move |_, _| {
        numbers = numbers.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        Fate::Late(numbers >> 45)
    });
    drive_one(model, async |rig, disk| {
        rig.device.act(|model, _| {
            for (block, bytes) in model.disk(0).bytes.chunks_mut(512).enumerate() {
                bytes.fill(block as u8);
            }
        });
        let disk = &disk;
        let done = &std::cell::Cell::new(false);
        let droppers = (0..20u64).map(|task| async move {
            for number in 0..500u64 {
                let patience = (task * 500 + number) * 7919 % 900_000;
                let read = disk.read(Lba(number), rig.buffer(4096, 0));
                let limit = Virtual::now().after(patience);
                let _ = executor::timeout::<Virtual, _>(limit, read).await;
            }
        });
        let verifier = async {
            let mut verified = 0;
            while !done.get() || verified < 100 {
                let block = verified * 13 % 8000;
                let read = disk.read(Lba(block), rig.buffer(512, 0)).await;
                assert_eq!(read.result, Ok(()));
                let buf = read.buf.expect("it comes back");
                assert!(buf.iter().all(|byte| *byte == block as u8));
                verified += 1;
            }
        };
        let droppers = async {
            join_all(droppers).await;
            done.set(true);
        };
        join(droppers, verifier).await;
    })
    .well();
}

#[test]
fn a_driver_that_is_dropped_answers_everybody() {
    let mut model = one_disk();
    model.fates = Box::new(|_, _| Fate::Lost);
    let end = drive_one(model, async |rig, disk| {
        let cancel = async {
            executor::sleep::<Virtual>(1_000_000).await;
            let driver = rig.driver.take().expect("it runs");
            driver.cancel();
            assert!(driver.await.is_err());
        };
        let read = disk.read(Lba(0), rig.buffer(512, 0));
        let (read, ()) = join(read, cancel).await;
        assert_eq!((read.result, read.buf.is_some()), (Err(StorageError::Reset), false));
        assert_eq!(disk.flush().await, Err(StorageError::Gone));
    });
    // Leaked: nobody looked whether the port stopped.
    assert_eq!((end.memory.lent, end.memory.owned, end.memory.rings), (1, 0, 2));
    assert!(end.complaints.is_empty(), "{:?}", end.complaints);
}

/// Dropped at any moment of its life, it touches nothing that is not its own.
#[test]
fn a_driver_that_is_dropped_at_any_moment() {
    for moment in 0..60u64 {
        block_on::<Virtual, _>(async {
            let machine = Rc::new(SimMachine::following(|| Ticks(Virtual::now().0)));
            let served = machine.clone();
            let service = spawn::<Virtual, _>("machine", Priority::High, async move {
                served.serve(|at| sleep_until::<Virtual>(Instant(at.0))).await
            });
            let device = machine.add("ahci", one_disk());
            let parts = Parts {
                name: "ahci0".into(),
                registers: device.region(PORTS_AT + PORTS * PORT_BYTES),
                dma: machine.dma(),
                writable: Writable::Yes,
                interrupts: Vec::new(),
                cores: Vec::new(),
                mode: CompletionMode::Msix,
                stop: Arc::new(Notify::new()),
            };
            let limit = Virtual::now().after(moment * 100_000);
            let _ = executor::timeout::<Virtual, _>(limit, run::<Virtual>(parts, drop)).await;
            // Its tasks are told, and go.
            executor::sleep::<Virtual>(SECOND).await;
            service.cancel();
            let _ = service.await;
            assert_eq!(device.act(|model, _| model.complaints.len()), 0);
        });
    }
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        10 => Just(Fate::Good),
        1 => Just(Fate::Twice),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(status, error)| {
            // Whatever it says, it is neither busy nor waiting for data.
            Fate::Fails(Outcome::new(status & 0x76 | 1, error))
        }),
        1 => (24u32..31).prop_map(|bit| Fate::Breaks(1 << bit)),
        3 => (0u64..2_000_000).prop_map(Fate::Late),
        1 => Just(Fate::Lost),
        1 => Just(Fate::Untold),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// Whatever becomes of commands, each caller has an answer within the time limit, nothing leaks
    /// and no memory is touched that was not lent (the machine would object).
    #[test]
    fn every_caller_has_an_answer(
        fates in proptest::collection::vec(fate(), 1..60),
        dropped: u64,
        depth in prop_oneof![Just(None), (1u16..=32).prop_map(Some)],
        has_log: bool,
        mode in prop_oneof![
            Just(CompletionMode::Poll), Just(CompletionMode::Msix), Just(CompletionMode::Adaptive)
        ],
    ) {
        let mut fates = fates.into_iter();
        let mut model = Model::new([Some(Modelled::new(512, depth))]);
        model.disk(0).has_log = has_log;
        model.fates = Box::new(move |_, _| fates.next().unwrap_or(Fate::Good));
        let end = drive(model, mode, Wiring::Interrupt, async |rig, disks| {
            let disk = &disks[0];
            let work = (0..60u64).map(|number| async move {
                let start = Virtual::now();
                let limit = start.after(number * 1000);
                if number % 16 == 5 {
                    let _ = disk.flush().await;
                } else if dropped >> number & 1 == 1 {
                    let read = disk.read(Lba(number), rig.buffer(1024, 0));
                    let _ = executor::timeout::<Virtual, _>(limit, read).await;
                } else if number % 3 == 0 {
                    let _ = disk.write(Lba(number), rig.buffer(1024, 0)).await;
                } else {
                    let _ = disk.read(Lba(number), rig.buffer(1024, 0)).await;
                }
                // Its own limit, that of a flush it waits behind, and resets.
                Virtual::now().since(start) > 75 * SECOND
            });
            join_all(work).await.into_iter().any(|late| late)
        });
        prop_assert_eq!(end.driver, Ok(()));
        prop_assert!(!end.clean());
    }

    /// A disk that tells nonsense of itself.
    #[test]
    fn any_identify_data(bytes in proptest::collection::vec((0usize..512, any::<u8>()), 0..50)) {
        let mut model = one_disk();
        for (at, byte) in bytes {
            model.disk(0).identify[at] = byte;
        }
        let end = drive(model, CompletionMode::Poll, Wiring::None, async |rig, disks| {
            if let Some(disk) = disks.into_iter().next() {
                let size = disk.info().block_size as usize;
                assert!(size.is_power_of_two());
                let _ = disk.read(Lba(0), rig.buffer(size, 0)).await;
            }
        });
        prop_assert_eq!(end.memory, MemoryReport::default());
    }
}
