//! What a read costs in instructions, to be counted by a tool: run with `--ignored` under
//! `valgrind --tool=callgrind`, and look at `measured`, less what the simulated registers take.

use std::boxed::Box;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::vec::Vec;

use hal::dma::DmaBuf;
use hal::mmio::Width;
use hal::sim::{Bus, DeviceModel};
use protocols::nvme::{Completion, Phase};

use super::*;
use crate::reaper::CompletionQueue;

/// Registers that say what a controller must, and do nothing.
struct Registers;

impl DeviceModel for Registers {
    fn read(&mut self, _bus: &mut Bus<'_>, at: usize, _width: Width) -> u64 {
        if at == 0 { 1 << 37 | 255 } else { 0 }
    }

    fn write(&mut self, _bus: &mut Bus<'_>, _at: usize, _width: Width, _value: u64) {}
}

type Read<'a> = Pin<Box<dyn Future<Output = crate::storage::Completion> + 'a>>;

#[inline(never)]
fn measured_submit(reads: &mut [Read<'_>], context: &mut Context<'_>) {
    for read in reads {
        assert!(read.as_mut().poll(context).is_pending());
    }
}

#[inline(never)]
fn measured_reap(queue: &super::super::queue::Queue) -> usize {
    queue.drain(64).expect("it is open")
}

#[inline(never)]
fn measured_finish(reads: &mut [Read<'_>], context: &mut Context<'_>, buffers: &mut Vec<DmaBuf>) {
    for read in reads {
        let Poll::Ready(read) = read.as_mut().poll(context) else { panic!("it is done") };
        buffers.extend(read.buf);
    }
}

#[test]
#[ignore = "counts nothing by itself"]
fn reads_at_depth_32() {
    const DEPTH: usize = 32;
    let _ = executor::host::attach::<Virtual>();
    let machine = SimMachine::new();
    let device = machine.add("nvme", Registers);
    let registers = super::super::registers::Registers::new_checked("nvme0", device.region(0x2000));
    let controller = Controller::new::<Virtual>(
        registers.expect("it can be used"),
        machine.dma(),
        Writable::Yes,
        &[CoreId(0)],
        &Vectors(0),
        CompletionMode::Poll,
    );
    let controller = Arc::new(controller.expect("memory"));
    let mut bytes = [0; 4096];
    bytes[77] = 5;
    let identity = protocols::nvme::Controller::new_checked(&bytes).expect("it can be used");
    (bytes[1], bytes[77], bytes[130]) = (16, 0, 9);
    let what = protocols::nvme::Namespace::new_checked(&bytes).expect("it can be used");
    let is_there = Arc::new(core::sync::atomic::AtomicBool::new(true));
    let disk = Namespace::<Virtual>::new(controller.clone(), 1, &what, &identity, is_there);
    let queue = &controller.io[0];
    queue.open(None);
    let mut buffers: Vec<DmaBuf> =
        (0..DEPTH).map(|_| machine.dma().buffer(4096).expect("memory")).collect();
    let mut context = Context::from_waker(Waker::noop());
    let (mut place, mut phase) = (0, Phase::FIRST);
    for _ in 0..1000 {
        let mut reads: Vec<Read<'_>> = buffers
            .drain(..)
            .zip(0..)
            .map(|(buf, number)| Box::pin(disk.read(Lba(number * 8), buf)) as Read<'_>)
            .collect();
        let first = queue.submission.lock().tail;
        measured_submit(&mut reads, &mut context);
        for number in 0..DEPTH as u16 {
            let at = (first + number) % queue.entries;
            let command = queue.submission.lock().ring.as_ref().expect("open").word(at.into(), 0);
            let entry = Completion {
                result: 0,
                submission_head: 0,
                submission_queue: 1,
                id: (command >> 16) as u16,
                phase,
                status: Status::SUCCESS,
            };
            queue.completions.lock().ring.as_ref().expect("open").set_entry(place, entry.words());
            place += 1;
            if place == usize::from(queue.entries) {
                (place, phase) = (0, phase.next());
            }
        }
        assert_eq!(measured_reap(queue), DEPTH);
        measured_finish(&mut reads, &mut context, &mut buffers);
    }
    controller.close(super::super::reaping::Stopped::Yes, Ended::Gone);
}
