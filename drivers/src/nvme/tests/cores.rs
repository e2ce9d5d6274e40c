//! Several cores, as threads: each submits to the queue of its own.

use std::sync::Arc as Shared;
use std::vec::Vec;

use executor::CoreId;
use executor::host::{Host, start_cores};
use executor::spawn_on;
use executor::sync::oneshot;
use futures_util::future::join_all;

use super::*;

/// What each core does to its own part of the disk.
async fn write_and_read(
    disk: Shared<Namespace<Host>>,
    dma: hal::dma::DmaDomain,
    part: u64,
) -> Result<(), StorageError> {
    for round in 0..20u64 {
        let fill = (part * 20 + round) as u8 + 1;
        let work = (0..16).map(|number| {
            let (disk, dma) = (&disk, &dma);
            async move {
                let lba = Lba(part * 1000 + number * 8);
                let mut buf = dma.buffer(4096).map_err(|_| StorageError::OutOfMemory)?;
                buf.fill(fill);
                disk.write(lba, buf).await.result?;
                let buf = dma.buffer(4096).map_err(|_| StorageError::OutOfMemory)?;
                let read = disk.read(lba, buf).await;
                read.result?;
                let buf = read.buf.ok_or(StorageError::Device)?;
                if buf.iter().all(|byte| *byte == fill) { Ok(()) } else { Err(StorageError::Media) }
            }
        });
        join_all(work).await.into_iter().collect::<Result<(), _>>()?;
    }
    Ok(())
}

/// Serves a model from a core of its own, with I/O queues for `cores`, while each of `users` works.
/// Says how many commands came by each queue.
fn serve(
    mode: CompletionMode,
    model: Model,
    interrupts: u32,
    cores: &[CoreId],
    users: &[CoreId],
) -> Vec<u64> {
    block_on::<Host, _>(async {
        let machine = Rc::new(SimMachine::following(|| Ticks(Host::now().0)));
        let served = machine.clone();
        let service = spawn::<Host, _>("machine", Priority::High, async move {
            served.serve(|at| sleep_until::<Host>(Instant(at.0))).await
        });
        let device = machine.add("nvme", model);
        let stop = Arc::new(Notify::new());
        let parts = Parts {
            name: "nvme0".into(),
            registers: device.region(0x2000),
            dma: machine.dma(),
            writable: Writable::Yes,
            interrupts: (0..interrupts).map(|line| device.interrupt(line)).collect(),
            cores: cores.to_vec(),
            mode,
            stop: stop.clone(),
        };
        let (sender, receiver) = oneshot::channel();
        let driver = spawn::<Host, _>("nvme0", Priority::High, async move {
            run::<Host>(parts, |found| drop(sender.send(found))).await
        });
        let Ok(found) = receiver.await else { panic!("it ended with {:?}", driver.await) };
        let disk = found.into_iter().next();
        let disk = Shared::new(disk.expect("one namespace"));
        let work: Vec<_> = users
            .iter()
            .zip(0..)
            .map(|(core, part)| {
                let (disk, dma) = (disk.clone(), machine.dma());
                spawn_on::<Host, _, _>(*core, "user", Priority::Normal, move || {
                    write_and_read(disk, dma, part)
                })
            })
            .collect();
        for result in join_all(work).await {
            assert_eq!(result, Ok(Ok(())));
        }
        let queues = disk.statistics();
        assert!(queues.iter().all(|queue| queue.stale == 0));
        let polled = |queue: usize| interrupts as usize <= queue || mode == CompletionMode::Poll;
        for (number, queue) in queues.iter().enumerate().skip(1) {
            assert!(!polled(number) || queue.interrupts == 0, "queue {number} is polled");
        }
        drop(disk);
        stop.notify();
        assert_eq!(driver.await, Ok(Ok(())));
        service.cancel();
        let _ = service.await;
        assert_eq!(machine.memory(), MemoryReport::default());
        queues[1..].iter().map(|queue| queue.completed).collect()
    })
}

const MODES: [CompletionMode; 3] =
    [CompletionMode::Poll, CompletionMode::Msix, CompletionMode::Adaptive];

#[test]
fn each_core_uses_a_queue_of_its_own() {
    let cores = start_cores::<Host>(2);
    for mode in MODES {
        let completed = serve(mode, Model::new(), 3, &cores, &cores);
        assert_eq!(completed, [640, 640], "{mode}");
    }
}

#[test]
fn cores_share_queues_where_fewer_are_granted_and_poll_without_interrupts() {
    let cores = start_cores::<Host>(3);
    for (granted, interrupts) in [(2, 4), (1, 2), (3, 2), (3, 1), (3, 0)] {
        let model = model(|model| model.queues_granted = granted);
        let completed = serve(CompletionMode::Msix, model, interrupts, &cores, &cores);
        assert_eq!(completed.len(), usize::from(granted));
        assert_eq!(completed.iter().sum::<u64>(), 3 * 640);
        assert!(completed.iter().all(|completed| *completed > 0), "{completed:?}");
    }
}

#[test]
fn a_controller_that_grants_more_than_it_has_room_for() {
    let cores = start_cores::<Host>(3);
    let model = model(|model| {
        let mut created = 0;
        model.admin_fates = Box::new(move |command| {
            created += u32::from(command.opcode() == 0x05);
            let status = Status { kind: 1, code: 1, do_not_retry: true };
            if command.opcode() == 0x05 && created > 2 { Fate::Fails(status) } else { Fate::Good }
        });
    });
    let completed = serve(CompletionMode::Adaptive, model, 4, &cores, &cores);
    assert_eq!((completed.len(), completed.iter().sum::<u64>()), (2, 3 * 640));
}

#[test]
fn a_core_without_a_queue_uses_another() {
    let cores = start_cores::<Host>(2);
    let completed = serve(CompletionMode::Poll, Model::new(), 0, &cores[..1], &cores);
    assert_eq!(completed, [1280]);
}
