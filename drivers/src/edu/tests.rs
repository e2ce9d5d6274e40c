//! The driver on a simulated machine and virtual time, in every mode and with faults.

use std::rc::Rc;
use std::vec::Vec;

use executor::host::{Virtual, advance, block_on};
use executor::{Instant, JoinHandle, Priority, sleep_until, spawn, yield_now};
use hal::sim::{FaultPlan, InterruptFate, MemoryReport, SimDevice, SimMachine};

use super::model::Model;
use super::*;

const MODES: [CompletionMode; 3] =
    [CompletionMode::Poll, CompletionMode::Msix, CompletionMode::Adaptive];

struct Rig {
    machine: Rc<SimMachine>,
    device: SimDevice<Model>,
    driver: JoinHandle<EduError>,
}

impl Rig {
    fn buffer(&self, edu: &Edu, bytes: &[u8]) -> DmaBuf {
        let mut buffer = edu.dma.buffer(bytes.len()).expect("memory");
        buffer.copy_from_slice(bytes);
        buffer
    }

    async fn echo(&self, edu: &Edu, bytes: &[u8]) -> Result<Vec<u8>, EduError> {
        let buffer = edu.copy::<Virtual>(self.buffer(edu, bytes), Direction::ToDevice).await?;
        let mut cleared = buffer;
        cleared.fill(0);
        Ok(edu.copy::<Virtual>(cleared, Direction::FromDevice).await?.to_vec())
    }
}

/// Runs the driver and `work` on its device; then unplugs it and looks for what was lost.
fn drive(mode: CompletionMode, faults: FaultPlan, work: impl AsyncFnOnce(&Rig, &Edu)) {
    block_on::<Virtual, _>(async {
        let machine = Rc::new(SimMachine::following(|| Ticks(Virtual::now().0)));
        let served = machine.clone();
        let service = spawn::<Virtual, _>("machine", Priority::High, async move {
            served.serve(|at| sleep_until::<Virtual>(Instant(at.0))).await
        });
        // Time moves although the reaper polls.
        let time = spawn::<Virtual, _>("time", Priority::Normal, async {
            loop {
                advance(20_000);
                yield_now().await;
            }
        });
        let device = machine.add("edu", Model::new());
        device.set_faults(faults);
        let (sender, receiver) = executor::sync::oneshot::channel();
        let (region, interrupt) = (device.region(0x10_0000), device.interrupt(0));
        let dma = machine.dma();
        let driver = spawn::<Virtual, _>("edu", Priority::High, async move {
            run(region, &dma, Some(interrupt), mode, |edu| drop(sender.send(edu))).await
        });
        let edu = receiver.await.expect("it is announced");
        let rig = Rig { machine, device, driver };
        work(&rig, &edu).await;
        rig.device.unplug();
        edu.control.look_now();
        assert_eq!(rig.driver.await, Ok(EduError::Gone));
        drop(edu);
        assert_eq!(rig.machine.memory(), MemoryReport::default(), "every buffer was freed");
        assert!(rig.machine.take_violations().is_empty());
        time.cancel();
        let _ = time.await;
        service.cancel();
        let _ = service.await;
    });
}

#[test]
fn copies_in_every_mode_and_across_changes_of_it() {
    for mode in MODES {
        drive(mode, FaultPlan::new(), async |rig, edu| {
            let bytes: Vec<u8> = (0..OWN_BYTES).map(|index| (index * 7) as u8).collect();
            for next in MODES {
                for length in [1, 100, OWN_BYTES] {
                    assert_eq!(rig.echo(edu, &bytes[..length]).await, Ok(bytes[..length].to_vec()));
                }
                edu.control.set_mode(next);
            }
            let long = edu.dma.buffer(OWN_BYTES + 1).expect("memory");
            let refused = edu.copy::<Virtual>(long, Direction::ToDevice).await;
            assert_eq!(refused.err(), Some(EduError::TooLong));
        });
    }
}

#[test]
fn refuses_what_is_no_edu() {
    block_on::<Virtual, _>(async {
        let machine = SimMachine::new();
        let device = machine.add("edu", Model::new());
        device.unplug();
        let region = device.region(0x10_0000);
        let ended = run(region, &machine.dma(), None, CompletionMode::Poll, |_| ()).await;
        assert_eq!(ended, EduError::NotEdu);
    });
}

#[test]
fn copies_dropped_in_flight_give_their_memory_back() {
    drive(CompletionMode::Msix, FaultPlan::new(), async |rig, edu| {
        for number in 0..50 {
            let limit = Virtual::now().after(number * 5_000);
            let copy = edu.copy::<Virtual>(rig.buffer(edu, b"dropped"), Direction::FromDevice);
            let _ = timeout::<Virtual, _>(limit, copy).await;
            assert_eq!(rig.echo(edu, b"whole").await.as_deref(), Ok(&b"whole"[..]));
        }
    });
}

#[test]
fn a_copy_that_never_ends_is_told_in_time_and_blocks_nobody_forever() {
    drive(CompletionMode::Adaptive, FaultPlan::new(), async |rig, edu| {
        rig.device.act(|model, _| model.lost = 1);
        for _ in 0..2 {
            let start = Virtual::now();
            assert_eq!(rig.echo(edu, b"lost").await, Err(EduError::TimedOut));
            assert!(Virtual::now().since(start) < 2 * Virtual::ticks_per_second());
        }
    });
}

#[test]
fn interrupts_for_nothing_do_no_harm() {
    let faults = FaultPlan::new().on_interrupt(|_| InterruptFate::Repeat(3));
    drive(CompletionMode::Msix, faults, async |rig, edu| {
        rig.device.raise(0);
        assert_eq!(rig.echo(edu, b"four").await.as_deref(), Ok(&b"four"[..]));
    });
}

/// What the tutorial shows is this driver's own code.
#[test]
fn the_tutorial_quotes_the_driver() {
    let (source, text) =
        (include_str!("mod.rs"), include_str!("../../../docs/writing-a-driver.md"));
    let mut pieces = 0;
    for piece in text.split("```rust\n").skip(1) {
        let code = piece.split("```").next().expect("a split has a first part");
        assert!(source.contains(code), "not in drivers/src/edu/mod.rs:\n{code}");
        pieces += 1;
    }
    assert!(pieces > 4);
}
