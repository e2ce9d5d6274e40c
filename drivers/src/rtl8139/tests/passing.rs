//! Nothing goes wrong: frames pass both ways, in every mode, and the link does what links do.

use super::*;
use hal::dma::Direction;

#[test]
fn frames_pass_in_every_mode_and_across_changes_of_it() {
    for (mode, wiring) in MODES
        .into_iter()
        .flat_map(|mode| [Wiring::Interrupt, Wiring::None].map(|wiring| (mode, wiring)))
    {
        drive_wired(wiring, Model::new(), mode, async |rig, nic| {
            assert_eq!(nic.info().mac, MacAddress(MAC));
            assert_eq!(nic.link(), LinkState::Up { megabits: 100 });
            for next in MODES {
                for mark in 1..20 {
                    rig.works(&nic, mark).await;
                }
                nic.port().control.set_mode(next);
            }
            let counts = nic.port().statistics();
            assert_eq!((counts.received_frames, counts.received_bytes), (57, 5700));
            assert_eq!((counts.transmitted_frames, counts.transmitted_bytes), (57, 11400));
            let faults = counts.missed + counts.receive_errors + counts.transmit_errors;
            assert_eq!((faults, counts.resets), (0, 0));
            let interrupts = nic.port().control.interrupts();
            assert_eq!(interrupts > 0, wiring == Wiring::Interrupt, "{mode} {interrupts}");
        })
        .well();
    }
}

/// Every length, several times around the buffer, with the end of it in every place of a frame.
#[test]
fn bursts_go_around_the_buffer() {
    drive(Model::new(), CompletionMode::Adaptive, async |rig, nic| {
        for round in 0..60usize {
            let lengths: Vec<usize> = (0..40).map(|step| 60 + (round * 40 + step) % 1455).collect();
            for length in &lengths {
                assert!(rig.arrive(&frame(*length, *length as u8)));
            }
            for length in lengths {
                assert_eq!(nic.receive().await.bytes(), frame(length, length as u8));
            }
        }
        assert!(nic.try_receive().is_none());
    })
    .well();
}

#[test]
fn many_frames_are_sent_in_order_and_short_ones_filled_up() {
    for mode in MODES {
        drive(Model::new(), mode, async |rig, nic| {
            for number in 0..200usize {
                let bytes = 20 + number * 7;
                let out = outgoing(&nic, bytes.min(1514), number as u8);
                nic.transmit(out).await.expect("the link is up");
            }
            rig.until(|| rig.device.act(|model, _| model.sent.len() == 200)).await;
            for (number, sent) in rig.sent().into_iter().enumerate() {
                let mut expected = frame((20 + number * 7).min(1514), number as u8);
                expected.resize(expected.len().max(60), 0);
                assert_eq!(sent, expected);
            }
        })
        .well();
    }
}

#[test]
fn frames_in_memory_of_others_are_sent() {
    drive(Model::new(), CompletionMode::Msix, async |rig, nic| {
        for bytes in [20, 60, 100] {
            // One that has no room for what fills it up.
            let mut buf = rig.machine.dma().buffer(bytes).expect("memory");
            buf.copy_from_slice(&frame(bytes, 3));
            nic.transmit(Frame::new(buf, bytes).expect("it fits")).await.expect("the link is up");
            rig.until(|| rig.sent().first().is_some_and(|sent| sent[..bytes] == frame(bytes, 3)))
                .await;
        }
    })
    .well();
}

#[test]
fn what_it_cannot_send_comes_back() {
    drive(Model::new(), CompletionMode::Msix, async |rig, nic| {
        assert_eq!(nic.frame(1515).err(), Some(DmaError::BadSize));
        let long = Frame::new(rig.machine.dma().buffer(1515).expect("memory"), 1515);
        let refused = nic.try_transmit(long.expect("it fits"));
        assert!(matches!(refused, Err(Refused::Unfit(_))));
        let mut cut = outgoing(&nic, 100, 1);
        cut.offload.segment_bytes = 50;
        assert!(nic.transmit(cut).await.is_err());
        let empty = Frame::new(rig.machine.dma().buffer(1).expect("memory"), 0).expect("it fits");
        assert!(matches!(nic.try_transmit(empty), Err(Refused::Unfit(_))));
        // The fifth does not fit.
        rig.device.act(|model, _| model.send_ticks = SECOND);
        for mark in 0..4 {
            assert!(nic.try_transmit(outgoing(&nic, 100, mark)).is_ok());
        }
        let refused = nic.try_transmit(outgoing(&nic, 100, 4));
        assert!(matches!(refused, Err(Refused::Full(_))));
        nic.transmit(outgoing(&nic, 100, 5)).await.expect("the link is up");
    })
    .well();
}

/// While there is room, nobody is interrupted by what was sent.
#[test]
fn sending_costs_no_interrupts_until_somebody_waits() {
    drive(Model::new(), CompletionMode::Msix, async |rig, nic| {
        for mark in 0..50 {
            assert!(nic.try_transmit(outgoing(&nic, 100, mark)).is_ok());
            rig.until(|| !rig.sent().is_empty()).await;
        }
        assert_eq!(rig.device.delivered(0), 0);
    })
    .well();
}

#[test]
fn the_link_goes_and_comes() {
    for (mode, wiring) in MODES
        .into_iter()
        .flat_map(|mode| [Wiring::Interrupt, Wiring::None].map(|wiring| (mode, wiring)))
    {
        drive_wired(wiring, Model::new(), mode, async |rig, nic| {
            let mut seen = nic.link();
            for link in [None, Some(10), None, Some(100), Some(10)] {
                rig.set_link(link);
                seen = nic.link_changed(seen).await;
                match link {
                    Some(megabits) => assert_eq!(seen, LinkState::Up { megabits }),
                    None => {
                        assert_eq!(seen, LinkState::Down);
                        assert!(nic.transmit(outgoing(&nic, 100, 1)).await.is_err());
                    }
                }
            }
            rig.works(&nic, 9).await;
        })
        .well();
    }
}

#[test]
fn a_link_that_is_down_from_the_beginning() {
    let mut model = Model::new();
    drive_wired(
        Wiring::None,
        {
            model.start_without_link();
            model
        },
        CompletionMode::Poll,
        async |rig, nic| {
            assert_eq!(nic.link(), LinkState::Down);
            rig.set_link(Some(10));
            assert_eq!(nic.link_changed(LinkState::Down).await, LinkState::Up { megabits: 10 });
            rig.works(&nic, 1).await;
        },
    )
    .well();
}

/// Who waits for room is told when the link goes down, and when the driver ends.
#[test]
fn waiting_for_room_ends() {
    drive(Model::new(), CompletionMode::Msix, async |rig, nic| {
        rig.device.act(|model, _| model.fate = std::boxed::Box::new(|_| Sending::Lost));
        for mark in 0..4 {
            assert!(nic.try_transmit(outgoing(&nic, 100, mark)).is_ok());
        }
        let fifth = nic.clone();
        let waiting = spawn::<Virtual, _>("fifth", Priority::Normal, async move {
            fifth.transmit(outgoing(&fifth, 100, 5)).await.is_err()
        });
        sleep::<Virtual>(MILLISECOND).await;
        rig.set_link(None);
        assert_eq!(waiting.await, Ok(true));
    })
    .well();
}

#[test]
fn groups_are_let_through_as_told() {
    drive(Model::new(), CompletionMode::Adaptive, async |rig, nic| {
        let to = |address: [u8; 6]| {
            let mut bytes = frame(80, 1);
            bytes[..6].copy_from_slice(&address);
            bytes
        };
        let (one, other) = ([1, 0, 0x5e, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1]);
        assert!(rig.arrive(&to([0xff; 6])), "for everybody");
        assert!(!rig.arrive(&to([0x52, 0x54, 0, 1, 2, 3])), "for somebody else");
        assert!(!rig.arrive(&to(one)));
        nic.listen_to(&[MacAddress(one), MacAddress(other)]);
        assert!(rig.arrive(&to(one)) && rig.arrive(&to(other)));
        // It survives a reset.
        rig.device.act(|model, _| model.forget());
        rig.until(|| nic.port().statistics().resets == 1).await;
        sleep::<Virtual>(MILLISECOND).await;
        assert!(rig.arrive(&to(one)));
        nic.listen_to(&[]);
        assert!(!rig.arrive(&to(one)) && !rig.arrive(&to(other)));
    })
    .well();
}

#[test]
fn a_user_who_takes_nothing_costs_frames_and_nothing_else() {
    for mode in MODES {
        drive(Model::new(), mode, async |rig, nic| {
            let mut arrived = 0;
            for _ in 0..600u32 {
                arrived += u64::from(rig.arrive(&frame(1000, arrived as u8)));
                sleep::<Virtual>(MILLISECOND / 10).await;
            }
            // As many as the port takes, and the buffer holds.
            assert!((256 + 60..256 + 66).contains(&arrived), "{arrived}");
            for number in 0..arrived {
                assert_eq!(nic.receive().await.bytes(), frame(1000, number as u8));
            }
            rig.until(|| nic.port().statistics().missed == 600 - arrived).await;
            assert_eq!(nic.port().statistics().resets, 0);
            rig.works(&nic, 3).await;
        })
        .well();
    }
}

/// What is under way when it is told to stop is still sent.
#[test]
fn it_ends_in_an_orderly_way() {
    for mode in MODES {
        drive(Model::new(), mode, async |rig, nic| {
            rig.device.act(|model, _| model.send_ticks = 20 * MILLISECOND);
            for mark in 0..4 {
                assert!(nic.try_transmit(outgoing(&nic, 100, mark)).is_ok());
            }
            assert!(rig.arrive(&frame(100, 7)));
            rig.until(|| nic.port().space() == 255).await;
            rig.stop.notify();
            assert_eq!(rig.ended().await, Ok(()));
            assert_eq!(rig.sent().len(), 4);
            assert!(rig.device.act(|model, _| model.is_silent()) && rig.device.is_masked(0));
            assert_eq!(nic.link(), LinkState::Down);
            assert!(nic.transmit(outgoing(&nic, 100, 9)).await.is_err());
            nic.listen_to(&[MacAddress::BROADCAST]);
            assert_eq!(nic.receive().await.bytes(), frame(100, 7), "what had come is there");
            let report = rig.machine.memory();
            assert_eq!((report.lent, report.rings), (0, 0));
        })
        .clean();
    }
}

#[test]
fn what_is_no_such_device_is_refused() {
    let mut model = Model::new();
    model.mac = [0xff; 6];
    let end = attempt(Wiring::None, model, CompletionMode::Poll, async |_, nic| nic.is_none());
    assert_eq!(end.driver, Some(Err(Rtl8139Error::BadAddress(MacAddress([0xff; 6])))));
    assert!(end.clean());
    let mut model = Model::new();
    model.is_wedged = true;
    let end = attempt(Wiring::None, model, CompletionMode::Poll, async |_, nic| nic.is_none());
    assert_eq!(end.driver, Some(Err(Rtl8139Error::NotInTime("reset", 100))));
    assert!(end.clean());
    block_on::<Virtual, _>(async {
        let machine = SimMachine::new();
        let device = machine.add("rtl8139", Model::new());
        let parts = |bytes| Parts {
            name: "net0".into(),
            registers: device.region(bytes),
            dma: machine.dma(),
            interrupts: Interrupts { kind: InterruptKind::None, vectors: Vec::new() },
            mode: CompletionMode::Poll,
            stop: Arc::new(Notify::new()),
        };
        device.unplug();
        let ended = run::<Virtual>(parts(REGISTER_BYTES), |_| ()).await;
        assert_eq!(ended, Err(Rtl8139Error::Gone));
        device.plug_in();
        let ended = run::<Virtual>(parts(64), |_| ()).await;
        assert_eq!(ended, Err(Rtl8139Error::TooFewRegisters));
    });
}

/// Memory that only this device has lent, so that a loan's way back is seen.
#[test]
fn a_frame_gives_its_own_memory() {
    drive(Model::new(), CompletionMode::Msix, async |rig, nic| {
        let buf = rig.machine.dma().buffer(BUFFER_BYTES).expect("memory");
        let address = buf.lend(Direction::ToDevice);
        let (at, buf) = (address.address(), address.reclaim());
        rig.device.act(|model, _| model.send_ticks = SECOND);
        assert!(nic.try_transmit(Frame::new(buf, 100).expect("it fits")).is_ok());
        let seen = rig.device.act(|_, bus| bus.dma_read(at, &mut [0; 100]));
        assert_eq!((seen, rig.machine.memory().lent), (Ok(()), 1));
    })
    .well();
}
