//! What goes wrong with a device: each ends in an error or in a reset, and then things go on.

use std::boxed::Box;

use hal::sim::{FaultPlan, WriteFate};
use protocols::rtl8139::offset;

use super::*;

/// Waits for the reset, and that all is well afterwards.
async fn recovers(rig: &Rig, nic: &Nic, resets: u64) {
    rig.until(|| nic.port().statistics().resets >= resets && nic.state() == State::Running).await;
    while nic.try_receive().is_some() {}
    rig.works(nic, 77).await;
}

#[test]
fn headers_that_make_no_sense() {
    let header = |status: u32, length: u32| length << 16 | status;
    for mode in MODES {
        drive(Model::new(), mode, async |rig, nic| {
            for (number, bad) in [
                header(0, 104),
                header(0x21, 104),
                header(1, 0),
                header(1, 3),
                header(1, 17),
                header(1, 1523),
                header(1, 0x8000),
                header(1, 0xffff),
                0,
                u32::MAX,
            ]
            .into_iter()
            .enumerate()
            {
                // One before it, which arrives.
                assert!(rig.arrive(&frame(300, 5)));
                rig.device.act(|model, _| model.header = Some(bad));
                assert!(rig.arrive(&frame(100, 6)));
                assert_eq!(nic.receive().await.bytes(), frame(300, 5));
                recovers(rig, &nic, number as u64 + 1).await;
            }
            assert_eq!(nic.port().statistics().receive_errors, 10);
        })
        .well();
    }
}

/// A header that promises more than was written, or that its frame is not whole, and never is.
#[test]
fn a_frame_that_is_never_whole() {
    for bad in [1512 << 16 | 1, 0xfff0 << 16 | 1] {
        drive(Model::new(), CompletionMode::Msix, async |rig, nic| {
            rig.device.act(|model, _| model.header = Some(bad));
            assert!(rig.arrive(&frame(100, 6)));
            recovers(rig, &nic, 1).await;
        })
        .well();
    }
}

#[test]
fn a_frame_that_is_never_sent() {
    for mode in MODES {
        drive(Model::new(), mode, async |rig, nic| {
            let mut lost = 1;
            rig.device.act(|model, _| {
                model.fate = Box::new(move |_| {
                    lost -= 1;
                    if lost == 0 { Sending::Lost } else { Sending::Good }
                });
            });
            let start = Virtual::now();
            // The fifth waits for the reset.
            for mark in 0..5 {
                nic.transmit(outgoing(&nic, 100, mark)).await.expect("the link is up");
            }
            let took = Virtual::now().since(start);
            assert!((5 * SECOND..7 * SECOND).contains(&took), "{took}");
            assert_eq!(nic.port().statistics().transmit_errors, 4);
            recovers(rig, &nic, 1).await;
        })
        .well();
    }
}

#[test]
fn frames_given_up_and_frames_sent_late() {
    drive(Model::new(), CompletionMode::Adaptive, async |rig, nic| {
        let mut fates = [Sending::Late, Sending::Good, Sending::Aborted].into_iter();
        rig.device.act(|model, _| {
            model.fate = Box::new(move |_| fates.next().unwrap_or(Sending::Good));
        });
        for mark in 0..5 {
            nic.transmit(outgoing(&nic, 100, mark)).await.expect("the link is up");
        }
        recovers(rig, &nic, 1).await;
        let command = rig.device.act(|model, _| model.last_command);
        assert_eq!(command >> 16 & 0x3f, 16, "it waits for more of a frame");
    })
    .well();
}

#[test]
fn a_device_that_forgets() {
    drive(Model::new(), CompletionMode::Msix, async |rig, nic| {
        rig.device.act(|model, _| model.forget());
        recovers(rig, &nic, 1).await;
        // It goes on sending, but nothing arrives any more.
        rig.device.act(|model, _| model.forget_receiving());
        recovers(rig, &nic, 2).await;
    })
    .well();
}

/// The device loses its way to memory: it says so, and is reset.
#[test]
fn the_bus_fails() {
    for mode in MODES {
        drive(Model::new(), mode, async |rig, nic| {
            let mut left = 1;
            rig.device.set_faults(FaultPlan::new().on_dma(move |_| {
                left -= 1;
                left != 0
            }));
            assert!(!rig.arrive(&frame(100, 1)));
            recovers(rig, &nic, 1).await;
            let mut left = 1;
            rig.device.set_faults(FaultPlan::new().on_dma(move |_| {
                left -= 1;
                left != 0
            }));
            assert!(nic.try_transmit(outgoing(&nic, 100, 1)).is_ok());
            recovers(rig, &nic, 2).await;
        })
        .well();
    }
}

/// What is written to the causes does not arrive: the line stays up, and the core is not lost.
#[test]
fn causes_that_do_not_go_away() {
    for mode in MODES {
        drive(Model::new(), mode, async |rig, nic| {
            let mut ignored = 1500;
            rig.device.set_faults(FaultPlan::new().on_write(move |at, _, _| {
                if at == offset::ISR && ignored > 0 {
                    ignored -= 1;
                    return WriteFate::Ignore;
                }
                WriteFate::Deliver
            }));
            assert!(rig.arrive(&frame(100, 1)));
            recovers(rig, &nic, 1).await;
        })
        .well();
    }
}

/// The line is up whatever is written, and never comes down.
#[test]
fn a_line_that_never_comes_down() {
    for mode in [CompletionMode::Msix, CompletionMode::Adaptive] {
        drive(Model::new(), mode, async |rig, nic| {
            let deaf = |at| at == offset::ISR || at == offset::IMR || at == offset::CR;
            rig.device.set_faults(FaultPlan::new().on_write(move |at, _, _| {
                if deaf(at) { WriteFate::Ignore } else { WriteFate::Deliver }
            }));
            assert!(rig.arrive(&frame(100, 1)));
            rig.until(|| nic.port().statistics().resets == 1).await;
            rig.device.set_faults(FaultPlan::new());
            rig.until(|| nic.state() == State::Running).await;
            // It was not even reset.
            rig.device.act(|model, _| model.complaints.clear());
        });
    }
}

#[test]
fn a_receiver_that_does_not_recover_from_an_overflow() {
    drive(Model::new(), CompletionMode::Poll, async |rig, nic| {
        let overflow = protocols::rtl8139::Causes::BUFFER_OVERFLOW;
        let mut times = 5;
        rig.device.set_faults(FaultPlan::new().on_read(move |at, _, value| {
            if at == offset::ISR && times > 0 {
                times -= 1;
                return value | u64::from(overflow);
            }
            value
        }));
        recovers(rig, &nic, 1).await;
    })
    .well();
}

/// Nothing interrupts after a reset: what comes is found by the watch.
#[test]
fn lost_interrupts() {
    drive(Model::new(), CompletionMode::Msix, async |rig, nic| {
        rig.device.set_faults(FaultPlan::new().on_write(move |at, _, _| {
            if at == offset::IMR { WriteFate::Change(0) } else { WriteFate::Deliver }
        }));
        rig.device.act(|model, _| model.forget());
        recovers(rig, &nic, 1).await;
    })
    .well();
}

#[test]
fn a_device_that_does_not_reset_any_more_is_given_up_with_its_memory() {
    let end = attempt(Wiring::Interrupt, Model::new(), CompletionMode::Msix, async |rig, nic| {
        let nic = nic.expect("it is announced");
        rig.device.act(|model, _| {
            model.is_wedged = true;
            model.send_ticks = SECOND;
        });
        assert!(nic.try_transmit(outgoing(&nic, 100, 1)).is_ok());
        rig.device.act(|model, _| model.header = Some(0));
        assert!(rig.arrive(&frame(100, 1)));
        assert_eq!(rig.ended().await, Err(Rtl8139Error::NotInTime("reset", 100)));
        assert!(nic.transmit(outgoing(&nic, 100, 1)).await.is_err());
    });
    assert_eq!((end.memory.lent, end.memory.rings), (1, 1), "leaked, not freed");
}

/// Pulled out at any moment, with frames under way in both directions.
#[test]
fn unplugged() {
    for (moment, mode) in (0..40).flat_map(|moment| MODES.map(|mode| (moment, mode))) {
        let end = attempt(Wiring::Interrupt, Model::new(), mode, async |rig, nic| {
            let nic = nic.expect("it is announced");
            for mark in 0..5 {
                let _ = nic.try_transmit(outgoing(&nic, 100, mark));
                rig.arrive(&frame(100, mark));
            }
            sleep::<Virtual>(moment * 2_500).await;
            rig.device.unplug();
            let waiting = nic.room();
            assert_eq!(rig.ended().await, Err(Rtl8139Error::Gone));
            waiting.await;
            assert_eq!(nic.link(), LinkState::Down);
            assert!(nic.transmit(outgoing(&nic, 100, 9)).await.is_err());
        });
        end.clean();
    }
}

#[test]
fn no_memory_for_what_arrives() {
    drive(Model::new(), CompletionMode::Adaptive, async |rig, nic| {
        rig.machine.set_dma_available(0);
        for _ in 0..10 {
            assert!(rig.arrive(&frame(1000, 1)));
        }
        rig.until(|| nic.port().statistics().missed == 10).await;
        let short = Frame::new(outgoing_without_memory(rig), 40).expect("it fits");
        assert!(matches!(nic.try_transmit(short), Err(Refused::Full(_))));
        rig.machine.set_dma_available(usize::MAX);
        nic.room().await;
        rig.works(&nic, 1).await;
    })
    .well();
}

/// A buffer with no room for what fills a frame up; it is had although there is no memory left.
fn outgoing_without_memory(rig: &Rig) -> hal::dma::DmaBuf {
    rig.machine.set_dma_available(40);
    rig.machine.dma().buffer(40).expect("memory")
}

#[test]
fn no_memory_at_all() {
    block_on::<Virtual, _>(async {
        let machine = SimMachine::new();
        let mut model = Model::new();
        model.reset_ticks = 0;
        let device = machine.add("rtl8139", model);
        machine.set_dma_available(4096);
        let parts = Parts {
            name: "net0".into(),
            registers: device.region(REGISTER_BYTES),
            dma: machine.dma(),
            interrupts: Interrupts { kind: InterruptKind::None, vectors: Vec::new() },
            mode: CompletionMode::Poll,
            stop: Arc::new(Notify::new()),
        };
        let mut run = pin!(run::<Virtual>(parts, |_| ()));
        let ended = loop {
            machine.advance(Ticks(1000));
            if let Some(ended) = futures_util::FutureExt::now_or_never(run.as_mut()) {
                break ended;
            }
            advance(100_000);
            yield_now().await;
        };
        assert_eq!(ended, Err(Rtl8139Error::Memory(DmaError::OutOfMemory)));
    });
}
