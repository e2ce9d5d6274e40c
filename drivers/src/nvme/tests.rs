//! The driver against a modelled controller, on virtual time: as it should be, and with everything
//! that goes wrong.

use std::boxed::Box;
use std::cell::RefCell;
use std::rc::Rc;

use executor::host::{Virtual, advance, block_on};
use executor::sync::mpsc;
use executor::{JoinHandle, Platform, Priority, sleep_until, spawn, yield_now};
use futures_util::future::join_all;
use hal::clock::Ticks;
use hal::sim::{FaultPlan, MemoryReport, SimDevice, SimMachine, WriteFate};
use proptest::prelude::*;
use protocols::nvme::Status;

use super::model::{BLOCK, BLOCKS, Fate, Model};
use super::*;
use crate::storage::{Lba, StorageDevice, StorageError};

const SECOND: u64 = 1_000_000_000;
/// What a turn costs: time moves although the reaper polls.
const TURN: u64 = 20_000;

struct Rig {
    machine: Rc<SimMachine>,
    device: SimDevice<Model>,
    stop: Arc<Notify>,
    driver: Driver,
}

type Driver = RefCell<Option<JoinHandle<Result<(), NvmeError>>>>;

impl Rig {
    fn buffer(&self, bytes: usize, fill: u8) -> hal::dma::DmaBuf {
        let mut buf = self.machine.dma().buffer(bytes).expect("memory");
        buf.fill(fill);
        buf
    }
}

/// Runs the driver on `model` and `work` on its namespace; says how the driver ended and what
/// memory is still in use.
fn drive<T: 'static>(
    model: Model,
    work: impl AsyncFnOnce(&Rig, Option<Namespace<Virtual>>) -> T,
) -> (T, Result<(), NvmeError>, MemoryReport) {
    block_on::<Virtual, _>(async {
        let machine = Rc::new(SimMachine::following(|| Ticks(Virtual::now().0)));
        let served = machine.clone();
        let service = spawn::<Virtual, _>("machine", Priority::High, async move {
            served.serve(|at| sleep_until::<Virtual>(Instant(at.0))).await
        });
        let time = spawn::<Virtual, _>("time", Priority::Normal, async {
            loop {
                advance(TURN);
                yield_now().await;
            }
        });
        let device = machine.add("nvme", model);
        let stop = Arc::new(Notify::new());
        let parts = Parts {
            name: "nvme0".into(),
            registers: device.region(0x2000),
            dma: machine.dma(),
            writable: Writable::Yes,
            interrupts: Vec::new(),
            cores: Vec::new(),
            mode: CompletionMode::Poll,
            stop: stop.clone(),
        };
        let (sender, mut receiver) = mpsc::channel(1);
        let driver = spawn::<Virtual, _>("nvme0", Priority::High, async move {
            run::<Virtual>(parts, |found| drop(sender.try_send(found))).await
        });
        let rig =
            Rig { machine: machine.clone(), device, stop, driver: RefCell::new(Some(driver)) };
        let soon = Virtual::now().after(10 * SECOND);
        let first = executor::timeout::<Virtual, _>(soon, receiver.receive()).await;
        let namespace = first.ok().flatten().and_then(|found| found.into_iter().next());
        let output = work(&rig, namespace).await;
        rig.stop.notify();
        let end = match rig.driver.take() {
            Some(driver) => driver.await.expect("nobody cancelled it"),
            None => Ok(()),
        };
        drop(receiver);
        time.cancel();
        let _ = time.await;
        service.cancel();
        let _ = service.await;
        (output, end, machine.memory())
    })
}

fn with_fates(fates: impl FnMut(&protocols::nvme::Command) -> Fate + Send + 'static) -> Model {
    model(|model| model.fates = Box::new(fates))
}

fn model(change: impl FnOnce(&mut Model)) -> Model {
    let mut model = Model::new();
    change(&mut model);
    model
}

#[test]
fn what_is_written_is_read_in_every_shape() {
    let ((), end, memory) = drive(Model::new(), async |rig, namespace| {
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
                assert!(model.disk()[start..start + bytes].iter().all(|byte| *byte == fill));
                assert_ne!(model.disk()[start + bytes], fill);
                model.disk()[start + bytes - 1] = 0xff;
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
    assert_eq!((end, memory), (Ok(()), MemoryReport::default()));
}

#[test]
fn an_orderly_end_is_announced_to_the_controller() {
    let (device, end, _) = drive(Model::new(), async |rig, disk| {
        rig.stop.notify();
        while rig.device.act(|model, _| !model.shutdown_seen) {
            yield_now().await;
        }
        disk.expect("one namespace")
    });
    assert_eq!(end, Ok(()));
    assert_eq!(block_on::<Virtual, _>(device.flush()), Err(StorageError::Gone));
}

#[test]
fn many_at_once_more_than_the_queue_holds() {
    let ((), end, memory) = drive(Model::new(), async |rig, namespace| {
        let disk = &namespace.expect("one namespace");
        let reads = (0..500u64)
            .map(|number| async move { disk.read(Lba(number), rig.buffer(512, 1)).await.result });
        assert!(join_all(reads).await.into_iter().all(|result| result == Ok(())));
    });
    assert_eq!((end, memory), (Ok(()), MemoryReport::default()));
}

#[test]
fn a_controller_that_is_never_ready() {
    let model = model(|model| model.never_ready = true);
    let (taken, end, memory) = drive(model, async |_, namespace| {
        assert!(namespace.is_none());
        Virtual::now().0
    });
    assert_eq!(end, Err(NvmeError::NotInTime("ready", 2000)));
    assert!((2 * SECOND..3 * SECOND).contains(&taken), "{taken}");
    assert_eq!(memory, MemoryReport::default());
}

#[test]
fn refusals_say_what_to_do_and_leave_the_controller_running() {
    let kinds = [
        (2, 0x81, StorageError::Media),
        (0, 0x80, StorageError::OutOfRange),
        (0, 0x20, StorageError::ReadOnly),
        (0, 0x06, StorageError::Device),
    ];
    let mut turn = 0;
    let model = with_fates(move |_| {
        turn += 1;
        kinds.get(turn - 1).map_or(Fate::Good, |(kind, code, _)| {
            Fate::Fails(Status { kind: *kind, code: *code, do_not_retry: true })
        })
    });
    let ((), end, memory) = drive(model, async |rig, namespace| {
        let disk = namespace.expect("one namespace");
        for (_, _, error) in kinds {
            let failed = disk.read(Lba(0), rig.buffer(512, 0)).await;
            assert_eq!((failed.result, failed.buf.is_some()), (Err(error), true));
        }
        assert_eq!(disk.flush().await, Ok(()));
    });
    assert_eq!((end, memory), (Ok(()), MemoryReport::default()));
}

#[test]
fn a_command_that_is_lost_ends_in_time_and_gives_its_memory_back() {
    let mut turn = 0;
    let model = with_fates(move |_| {
        turn += 1;
        if turn == 2 { Fate::Lost } else { Fate::Good }
    });
    let ((), end, memory) = drive(model, async |rig, namespace| {
        let disk = namespace.expect("one namespace");
        assert_eq!(disk.read(Lba(0), rig.buffer(512, 0)).await.result, Ok(()));
        let start = Virtual::now();
        let lost = disk.read(Lba(0), rig.buffer(512, 0)).await;
        assert_eq!((lost.result, lost.buf.is_some()), (Err(StorageError::TimedOut), true));
        assert!(Virtual::now().since(start) < 6 * SECOND);
        let after = disk.write(Lba(0), rig.buffer(512, 0)).await;
        assert_eq!((after.result, after.buf.is_some()), (Ok(()), true));
        assert_eq!(disk.flush().await, Ok(()));
    });
    assert_eq!((end, memory), (Ok(()), MemoryReport::default()));
}

#[test]
fn memory_of_a_controller_that_does_not_stop_is_leaked() {
    let model = model(|model| model.never_stops = true);
    // It runs already, as firmware left it, and cannot be reset: not even started.
    let (_, end, memory) = drive(model, async |_, namespace| assert!(namespace.is_none()));
    assert_eq!(end, Err(NvmeError::NotInTime("reset", 2000)));
    assert_eq!(memory, MemoryReport::default());

    let ((), end, memory) = drive(with_fates(|_| Fate::Lost), async |rig, namespace| {
        rig.device.act(|model, _| {
            model.never_stops = true;
            model.refuses.extend([0, 8]);
        });
        let disk = namespace.expect("one namespace");
        let lost = disk.read(Lba(0), rig.buffer(512, 0)).await;
        assert_eq!((lost.result, lost.buf.is_some()), (Err(StorageError::TimedOut), false));
        assert_eq!(disk.flush().await, Err(StorageError::Gone));
    });
    assert_eq!(end, Err(NvmeError::NotInTime("reset", 2000)));
    assert_eq!((memory.lent, memory.owned, memory.rings), (1, 0, 4));
}

#[test]
fn stale_completions_are_survived_up_to_a_point() {
    let mut turn = 0;
    let model = with_fates(move |_| {
        turn += 1;
        match turn {
            1 => Fate::Twice,
            2 => Fate::AfterStray(0xffff),
            _ => Fate::Good,
        }
    });
    let ((), end, memory) = drive(model, async |rig, namespace| {
        let disk = namespace.expect("one namespace");
        for _ in 0..5 {
            assert_eq!(disk.read(Lba(1), rig.buffer(512, 0)).await.result, Ok(()));
        }
    });
    assert_eq!((end, memory), (Ok(()), MemoryReport::default()));

    let ((), end, memory) = drive(with_fates(|_| Fate::Twice), async |rig, namespace| {
        let disk = namespace.expect("one namespace");
        while disk.read(Lba(1), rig.buffer(512, 0)).await.result.is_ok() {}
    });
    assert_eq!((end, memory), (Err(NvmeError::Stale), MemoryReport::default()));
}

#[test]
fn a_doorbell_that_does_nothing() {
    let (_, end, memory) = drive(Model::new(), async |rig, namespace| {
        let ignore = |at, _, _| if at == 0x1008 { WriteFate::Ignore } else { WriteFate::Deliver };
        rig.device.set_faults(FaultPlan::new().on_write(ignore));
        let lost = namespace.expect("one namespace").flush().await;
        assert_eq!(lost, Err(StorageError::TimedOut));
    });
    assert_eq!((end, memory), (Ok(()), MemoryReport::default()));
}

#[test]
fn fatal_and_gone_in_the_middle() {
    let ((), end, memory) = drive(with_fates(|_| Fate::Lost), async |rig, namespace| {
        let disk = namespace.expect("one namespace");
        let read = disk.read(Lba(0), rig.buffer(512, 0));
        rig.device.act(|model, _| model.fail());
        assert_eq!(read.await.result, Err(StorageError::Gone));
    });
    assert_eq!((end, memory), (Err(NvmeError::Fatal), MemoryReport::default()));

    let ((), end, memory) = drive(Model::new(), async |rig, namespace| {
        let disk = namespace.expect("one namespace");
        rig.device.unplug();
        assert_eq!(disk.flush().await, Err(StorageError::Gone));
    });
    assert_eq!((end, memory), (Err(NvmeError::Gone), MemoryReport::default()));
}

#[test]
fn reads_dropped_in_flight_give_their_memory_back_in_the_end() {
    let ((), end, memory) = drive(Model::new(), async |rig, namespace| {
        let disk = namespace.expect("one namespace");
        for number in 0..300u64 {
            let limit = Virtual::now().after(number % 7 * 10_000);
            let read = disk.read(Lba(number), rig.buffer(4096, 0));
            let _ = executor::timeout::<Virtual, _>(limit, read).await;
        }
        assert_eq!(disk.read(Lba(0), rig.buffer(512, 9)).await.result, Ok(()));
    });
    assert_eq!((end, memory), (Ok(()), MemoryReport::default()));
}

#[test]
fn a_driver_that_is_dropped_answers_everybody() {
    let ((), _, memory) = drive(with_fates(|_| Fate::Lost), async |rig, namespace| {
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
fn namespaces_that_cannot_be_used_are_left_out() {
    let protected = |command: &protocols::nvme::Command, page: &mut [u8]| {
        if command.dword(10) == 0 {
            page[29] = 1;
        }
    };
    let model = model(|model| model.identify = Box::new(protected));
    let ((), end, _) = drive(model, async |_, namespace| assert!(namespace.is_none()));
    assert_eq!(end, Ok(()));
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        8 => Just(Fate::Good),
        1 => Just(Fate::Twice),
        1 => (0u8..8, any::<u8>()).prop_map(|(kind, code)| {
            Fate::Fails(Status { kind, code, do_not_retry: false })
        }),
        1 => any::<u16>().prop_map(Fate::AfterStray),
        2 => (0u64..2_000_000).prop_map(Fate::Late),
        1 => Just(Fate::Lost),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// Whatever becomes of commands, each caller has an answer within the time limit, nothing leaks
    /// and no memory is touched that was not lent (the machine would object).
    #[test]
    fn every_caller_has_an_answer(fates in proptest::collection::vec(fate(), 1..60), dropped: u64) {
        let mut fates = fates.into_iter();
        let model = with_fates(move |_| fates.next().unwrap_or(Fate::Good));
        let (late, _, memory) = drive(model, async |rig, namespace| {
            let disk = &namespace.expect("one namespace");
            let work = (0..60u64).map(|number| async move {
                let start = Virtual::now();
                let read = disk.read(Lba(number), rig.buffer(1024, 0));
                if dropped >> number & 1 == 1 {
                    let limit = start.after(number * 1000);
                    let _ = executor::timeout::<Virtual, _>(limit, read).await;
                } else {
                    let _ = read.await;
                }
                Virtual::now().since(start) > 12 * SECOND
            });
            join_all(work).await.into_iter().any(|late| late)
        });
        prop_assert!(!late);
        prop_assert_eq!(memory, MemoryReport::default());
    }

    /// A controller that tells nonsense of itself.
    #[test]
    fn any_identify_data(bytes in proptest::collection::vec((0usize..1024, any::<u8>()), 0..50)) {
        let scribble = move |_: &protocols::nvme::Command, page: &mut [u8]| {
            for (at, byte) in &bytes {
                page[*at] = *byte;
            }
        };
        let model = model(|model| model.identify = Box::new(scribble));
        let ((), _, memory) = drive(model, async |rig, namespace| {
            if let Some(disk) = namespace {
                let size = disk.info().block_size as usize;
                assert!(size.is_power_of_two());
                let _ = disk.read(Lba(0), rig.buffer(size, 0)).await;
            }
        });
        prop_assert_eq!(memory, MemoryReport::default());
    }
}
