//! Frames both ways.

use super::*;
use protocols::e1000::offset;

in_every_mode![
    frames_go_both_ways,
    modes_change_under_load,
    a_full_ring_takes_more_once_frames_were_sent,
    what_the_user_does_not_take_waits_in_the_ring,
    groups_pass_if_they_are_listened_to,
];

fn frames_go_both_ways(mode: CompletionMode, way: Way) {
    for (id, way) in [(EXPRESS, way), (PLAIN, way)] {
        let (output, end, memory) = drive_as(id, mode, Model::new(way), async |rig| {
            let nic = rig.nic();
            assert_eq!(nic.link(), LinkState::Up { megabits: 1000 });
            assert_eq!(nic.info().mac.0, MAC);
            for number in 0..1000 {
                let bytes = numbered(number, 60 + number * 13 % 1455);
                rig.arrive(&bytes);
                assert_eq!(rig.received().await, bytes);
                nic.transmit(frame(&nic, &bytes)).await.expect("it is taken");
                rig.wait(1, || rig.device.act(|model, _| !model.sent.is_empty())).await;
                assert_eq!(rig.sent(), [bytes]);
            }
            nic.port().statistics()
        });
        assert_eq!((end, memory), (Ok(()), MemoryReport::default()));
        let counts = output.expect("it was announced");
        assert_eq!((counts.received_frames, counts.transmitted_frames), (1000, 1000));
        assert_eq!(counts.received_bytes, counts.transmitted_bytes);
        assert_eq!((counts.missed, counts.receive_errors, counts.resets), (0, 0, 0));
    }
}

fn modes_change_under_load(mode: CompletionMode, way: Way) {
    drive(mode, Model::new(way), async |rig| {
        let nic = rig.nic();
        for number in 0..600 {
            if number % 11 == 0 {
                nic.port().control.set_mode(MODES[number / 11 % 3]);
            }
            let burst = number % 20;
            for part in 0..burst {
                rig.arrive(&numbered(part, 100));
                assert!(nic.try_transmit(frame(&nic, &numbered(part, 200))).is_ok());
            }
            nic.kick();
            for part in 0..burst {
                assert_eq!(rig.received().await, numbered(part, 100));
            }
            rig.wait(1, || rig.device.act(|model, _| model.sent.len() == burst)).await;
            let expected: Vec<_> = (0..burst).map(|part| numbered(part, 200)).collect();
            assert_eq!(rig.sent(), expected);
        }
        assert_eq!(nic.port().statistics().resets, 0);
    });
}

fn a_full_ring_takes_more_once_frames_were_sent(mode: CompletionMode, way: Way) {
    drive(mode, Model::new(way), async |rig| {
        let nic = rig.nic();
        let mut full = 0;
        for number in 0..3000 {
            let mut next = frame(&nic, &numbered(number, 60));
            loop {
                match nic.try_transmit(next) {
                    Ok(()) => break,
                    Err(Refused::Full(back)) => next = back,
                    Err(other) => panic!("{other:?}"),
                }
                full += 1;
                let soon = Virtual::now().after(SECOND);
                timeout::<Virtual, _>(soon, nic.room()).await.expect("there is room again");
            }
        }
        nic.kick();
        rig.wait(1, || rig.device.act(|model, _| model.sent.len() == 3000)).await;
        assert!((1..100).contains(&full), "it was full {full} times");
        let expected: Vec<_> = (0..3000).map(|number| numbered(number, 60)).collect();
        assert_eq!(rig.sent(), expected);
    });
}

/// 256 in the port, 255 in the ring; what comes then is missed, and counted.
fn what_the_user_does_not_take_waits_in_the_ring(mode: CompletionMode, way: Way) {
    drive(mode, Model::new(way), async |rig| {
        let nic = rig.nic();
        for number in 0..1000 {
            rig.arrive(&numbered(number, 60));
            pause(TURN * 4).await;
        }
        for number in 0..511 {
            assert_eq!(rig.received().await, numbered(number, 60));
        }
        pause(2 * SECOND).await;
        assert!(nic.try_receive().is_none());
        assert_eq!(nic.port().statistics().missed, 489);
        rig.arrive(&numbered(7, 60));
        assert_eq!(rig.received().await, numbered(7, 60));
    });
}

fn groups_pass_if_they_are_listened_to(mode: CompletionMode, way: Way) {
    const GROUPS: [[u8; 6]; 3] =
        [[1, 0, 0x5e, 0, 0, 0xfb], [0x33, 0x33, 0, 0, 0, 1], [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]];
    let to = |target: [u8; 6]| {
        let mut frame = numbered(1, 60);
        frame[..6].copy_from_slice(&target);
        frame
    };
    drive(mode, Model::new(way), async |rig| {
        let nic = rig.nic();
        for chosen in [0..0, 0..1, 1..3, 0..3, 0..0] {
            let groups: Vec<_> = GROUPS[chosen.clone()].iter().copied().map(MacAddress).collect();
            nic.listen_to(&groups);
            GROUPS.iter().for_each(|group| rig.arrive(&to(*group)));
            rig.arrive(&to([0xff; 6]));
            // Somebody else's.
            rig.arrive(&to([0x52, 0x54, 0, 0, 0, 9]));
            for number in chosen {
                assert_eq!(rig.received().await, to(GROUPS[number]));
            }
            assert_eq!(rig.received().await, to([0xff; 6]));
        }
    });
}

#[test]
fn frames_of_any_length() {
    drive(CompletionMode::Adaptive, Model::new(Way::Table), async |rig| {
        let nic = rig.nic();
        for bytes in (0..14).chain(1515..1530).chain([2047, 2048, 4000, 65_536]) {
            let mut long = nic.frame(bytes).expect("memory");
            long.bytes_mut().fill(7);
            match nic.try_transmit(long) {
                Err(Refused::Unfit(back)) => assert_eq!(back.len(), bytes),
                other => panic!("{bytes} bytes: {other:?}"),
            }
        }
        assert!(nic.frame(65_537).is_err());
        for bytes in (16..60).chain([1513, 1514]) {
            nic.transmit(frame(&nic, &numbered(3, bytes))).await.expect("it is taken");
            let mut padded = numbered(3, bytes);
            padded.resize(bytes.max(60), 0);
            rig.wait(1, || rig.device.act(|model, _| !model.sent.is_empty())).await;
            assert_eq!(rig.sent(), [padded]);
        }
        // With a VLAN tag, as it is, both ways.
        let mut tagged = numbered(5, 1518);
        tagged[12..14].copy_from_slice(&[0x81, 0]);
        nic.transmit(frame(&nic, &tagged)).await.expect("it is taken");
        rig.arrive(&tagged);
        assert_eq!(rig.received().await, tagged);
        assert_eq!(rig.sent(), [tagged]);
    });
}

/// The hot path: doorbells once for a batch, no register is read, whatever the mode.
#[test]
fn registers_are_touched_once_for_a_batch() {
    for (mode, reads_most) in [(CompletionMode::Poll, 0), (CompletionMode::Msix, 8)] {
        drive(mode, Model::new(Way::Table), async |rig| {
            let nic = rig.nic();
            pause(SECOND).await;
            let before = rig.device.act(|model, _| {
                (model.all_reads(), model.written(offset::RDT), model.written(offset::TDT))
            });
            for number in 0..60 {
                rig.arrive(&numbered(number, 60));
                assert!(nic.try_transmit(frame(&nic, &numbered(number, 60))).is_ok());
            }
            nic.kick();
            nic.kick();
            for number in 0..60 {
                assert_eq!(rig.received().await, numbered(number, 60));
            }
            let after = rig.device.act(|model, _| {
                (model.all_reads(), model.written(offset::RDT), model.written(offset::TDT))
            });
            assert_eq!(after.2 - before.2, 1, "transmit doorbells");
            assert!(after.1 - before.1 <= 2, "receive doorbells");
            assert!(after.0 - before.0 <= reads_most, "{} reads", after.0 - before.0);
        });
    }
}
