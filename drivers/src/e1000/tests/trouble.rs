//! What goes wrong while frames pass.

use super::*;
use crate::e1000::model::Fate;
use hal::sim::{FaultPlan, InterruptFate};
use protocols::e1000::offset;

in_every_mode![
    the_link_goes_and_comes,
    descriptors_that_make_no_sense_end_in_a_reset,
    a_ring_that_does_not_move_ends_in_a_reset,
    a_device_that_vanishes_ends_its_driver,
    damaged_frames_are_counted,
    every_interrupt_is_lost,
];

fn the_link_goes_and_comes(mode: CompletionMode, way: Way) {
    drive(mode, Model::new(way), async |rig| {
        let nic = rig.nic();
        for round in 0..20 {
            let megabits = [10, 100, 1000][round % 3];
            rig.device.act(|model, bus| model.set_link(bus, false));
            assert_eq!(nic.link_changed(LinkState::Up { megabits: 1000 }).await, LinkState::Down);
            let refused = nic.try_transmit(frame(&nic, &numbered(1, 60)));
            assert!(matches!(refused, Err(Refused::Down(_))));
            assert!(nic.transmit(frame(&nic, &numbered(1, 60))).await.is_err());
            pause(3 * SECOND).await;
            rig.device.act(|model, bus| {
                model.megabits = megabits;
                model.set_link(bus, true);
            });
            assert_eq!(nic.link_changed(LinkState::Down).await, LinkState::Up { megabits });
            rig.arrive(&numbered(round, 60));
            assert_eq!(rig.received().await, numbered(round, 60));
            nic.transmit(frame(&nic, &numbered(round, 60))).await.expect("it is taken");
            rig.wait(1, || rig.device.act(|model, _| !model.sent.is_empty())).await;
            assert_eq!(rig.sent(), [numbered(round, 60)]);
            rig.device.act(|model, _| model.megabits = 1000);
            rig.wait(1, || nic.link() == LinkState::Up { megabits: 1000 }).await;
        }
        assert_eq!(nic.port().statistics().resets, 0);
    });
}

/// Frames pass both ways.
async fn passes(rig: &Rig) {
    let nic = rig.nic();
    for number in 0..300 {
        rig.arrive(&numbered(number, 80));
        assert_eq!(rig.received().await, numbered(number, 80));
        nic.transmit(frame(&nic, &numbered(number, 80))).await.expect("it is taken");
    }
    rig.wait(1, || rig.device.act(|model, _| model.sent.len() >= 300)).await;
    rig.sent();
}

fn descriptors_that_make_no_sense_end_in_a_reset(mode: CompletionMode, way: Way) {
    let nonsense = [
        // Done without a length, longer than the buffer, and not whole.
        Fate::Written(0x03, 0, 0),
        Fate::Written(0x03, 0, 2049),
        Fate::Written(0x03, 0, 0xffff),
        Fate::Written(0x01, 0, 100),
        Fate::Written(0xff, 0xff, 0xffff),
    ];
    for (number, fate) in nonsense.into_iter().enumerate() {
        drive(mode, Model::new(way), async |rig| {
            passes(rig).await;
            let nic = rig.nic();
            let before = rig.device.act(|model, _| {
                model.fates = std::boxed::Box::new(move |_| fate);
                model.resets
            });
            for part in 0..number * 40 {
                assert!(nic.try_transmit(frame(&nic, &numbered(part, 90))).is_ok());
            }
            rig.arrive(&numbered(1, 100));
            rig.wait(1, || nic.port().statistics().resets == 1).await;
            rig.device.act(|model, _| {
                assert_eq!(model.resets, before + 1);
                model.fates = std::boxed::Box::new(|_| Fate::Good);
            });
            rig.sent();
            passes(rig).await;
        });
    }
}

fn a_ring_that_does_not_move_ends_in_a_reset(mode: CompletionMode, way: Way) {
    drive(mode, Model::new(way), async |rig| {
        passes(rig).await;
        let nic = rig.nic();
        rig.device.act(|model, _| model.hangs = true);
        let mut lost = 0;
        let refused = loop {
            match nic.try_transmit(frame(&nic, &numbered(lost, 60))) {
                Ok(()) => lost += 1,
                Err(Refused::Full(back)) => break back,
                Err(other) => panic!("{other:?}"),
            }
        };
        assert_eq!(lost, 255);
        let begun = Virtual::now();
        let sending = nic.transmit(refused);
        rig.device.act(|model, _| model.hangs = true);
        let sent = async {
            rig.wait(4, || nic.port().statistics().resets == 1).await;
            rig.device.act(|model, bus| model.recover(bus));
        };
        let (outcome, ()) = futures_util::future::join(sending, sent).await;
        outcome.expect("it goes on");
        let took = Virtual::now().since(begun);
        assert!((2 * SECOND..4 * SECOND).contains(&took), "{took} ns");
        rig.wait(1, || rig.device.act(|model, _| model.sent.len() == 1)).await;
        rig.sent();
        passes(rig).await;
        assert_eq!(nic.port().statistics().resets, 1);
    });
}

fn a_device_that_vanishes_ends_its_driver(mode: CompletionMode, way: Way) {
    for load in [0, 10, 255] {
        let (nic, end, memory) = drive_as(EXPRESS, mode, Model::new(way), async |rig| {
            let nic = rig.nic();
            for number in 0..load {
                let _ = nic.try_transmit(frame(&nic, &numbered(number, 60)));
                rig.arrive(&numbered(number, 60));
            }
            rig.device.unplug();
            nic.kick();
            rig.wait(1, || nic.link() == LinkState::Down).await;
            assert!(matches!(
                nic.try_transmit(frame(&nic, &numbered(1, 60))),
                Err(Refused::Down(_))
            ));
            while nic.try_receive().is_some() {}
            nic
        });
        assert_eq!(end, Err(E1000Error::Gone));
        // What its user still holds is the pool's.
        let nic = nic.expect("it was announced");
        nic.listen_to(&[]);
        assert_eq!((memory.lent, memory.rings), (0, 0));
    }
}

fn damaged_frames_are_counted(mode: CompletionMode, way: Way) {
    drive(mode, Model::new(way), async |rig| {
        let nic = rig.nic();
        rig.device.act(|model, _| {
            let fate = |frame: &[u8]| match frame[15] % 4 {
                0 => Fate::Good,
                1 => Fate::Written(0x03, 0x01, 60),
                2 => Fate::Written(0x03, 0x80, 60),
                _ => Fate::Written(0x03, 0, 13),
            };
            model.fates = std::boxed::Box::new(fate);
        });
        for number in 0..400 {
            rig.arrive(&numbered(number, 60));
            if number % 4 == 0 {
                assert_eq!(rig.received().await, numbered(number, 60));
            }
        }
        rig.wait(1, || nic.port().statistics().receive_errors == 300).await;
        rig.device.act(|model, _| (model.missed, model.crc_errors) = (5, 7));
        rig.wait(2, || nic.port().statistics().missed == 5).await;
        assert_eq!(nic.port().statistics().receive_errors, 307);
        assert_eq!(nic.port().statistics().resets, 0);
    });
}

/// The slow look finds what they should have brought.
fn every_interrupt_is_lost(mode: CompletionMode, way: Way) {
    if way == Way::Line {
        // A level is not lost.
        return;
    }
    drive(mode, Model::new(way), async |rig| {
        let nic = rig.nic();
        rig.device.set_faults(FaultPlan::new().on_interrupt(|_| InterruptFate::Lose));
        for number in 0..10 {
            rig.arrive(&numbered(number, 60));
            assert_eq!(rig.received().await, numbered(number, 60));
        }
        for number in 0..600 {
            nic.transmit(frame(&nic, &numbered(number, 60))).await.expect("it is taken");
        }
        rig.wait(1, || rig.device.act(|model, _| model.sent.len() == 600)).await;
        // And then they come again.
        rig.device.set_faults(FaultPlan::new());
        passes(rig).await;
    });
}

#[test]
fn interrupts_for_nothing_do_no_harm() {
    drive(CompletionMode::Msix, Model::new(Way::Table), async |rig| {
        rig.device.set_faults(FaultPlan::new().on_interrupt(|_| InterruptFate::Repeat(5)));
        passes(rig).await;
        rig.device.raise(0);
        passes(rig).await;
    });
}

#[test]
fn a_reset_that_never_ends_is_told_in_time() {
    // At the beginning.
    let model = Model { never_resets: true, ..Model::new(Way::Table) };
    let (output, end, memory) = drive_as(EXPRESS, CompletionMode::Poll, model, async |_| ());
    assert_eq!((output, end), (None, Err(E1000Error::NotInTime("reset"))));
    assert_eq!(memory, MemoryReport::default());
    // Under way: the device may still use what it was lent.
    let (_, end, memory) =
        drive_as(EXPRESS, CompletionMode::Adaptive, Model::new(Way::Table), async |rig| {
            let nic = rig.nic();
            rig.device.act(|model, _| (model.hangs, model.never_resets) = (true, true));
            nic.transmit(frame(&nic, &numbered(1, 60))).await.expect("it is taken");
            rig.wait(5, || nic.link() == LinkState::Down).await;
        });
    assert_eq!(end, Err(E1000Error::NotInTime("reset")));
    assert_eq!((memory.lent, memory.rings, memory.owned), (257, 2, 0));
}

#[test]
fn one_that_never_recovers_is_given_up() {
    let (_, end, memory) =
        drive_as(EXPRESS, CompletionMode::Adaptive, Model::new(Way::Table), async |rig| {
            let nic = rig.nic();
            rig.device.act(|model, _| model.hangs = true);
            let sending = async {
                loop {
                    let _ = nic.try_transmit(frame(&nic, &numbered(1, 60)));
                    nic.kick();
                    pause(SECOND / 10).await;
                }
            };
            let given_up = rig.wait(60, || nic.link() == LinkState::Down);
            select(pin!(sending), pin!(given_up)).await;
        });
    assert_eq!((end, memory), (Err(E1000Error::Hopeless), MemoryReport::default()));
}

/// A register that reads as all ones once, as after a machine check, is not yet the end.
#[test]
fn the_device_vanishes_at_any_read() {
    for moment in 0..200 {
        let mut left = moment;
        let model = Model::new(Way::Table);
        let (_, end, memory) = drive_as(EXPRESS, CompletionMode::Adaptive, model, async |rig| {
            let nic = rig.nic();
            rig.device.set_faults(FaultPlan::new().on_read(move |_, width, value| {
                left = u64::saturating_sub(left, 1);
                if left == 0 { width.all_ones() } else { value }
            }));
            for number in 0..50 {
                rig.arrive(&numbered(number, 60));
                let _ = nic.try_transmit(frame(&nic, &numbered(number, 60)));
                nic.kick();
                pause(SECOND / 20).await;
            }
        });
        assert!(matches!(end, Ok(()) | Err(E1000Error::Gone)), "{moment}: {end:?}");
        assert_eq!((memory.lent, memory.rings), (0, 0), "{moment}");
    }
}

/// Whatever registers say: no panic, an end, and no memory lost that is not the device's.
#[test]
fn registers_read_as_anything() {
    for seed in 1..150u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let model = Model::new([Way::Table, Way::Message, Way::Line][seed as usize % 3]);
        let id = [EXPRESS, PLAIN, 0x15b8][seed as usize / 3 % 3];
        let (_, _, memory) = drive_as(id, MODES[seed as usize % 3], model, async |rig| {
            let nic = rig.nic();
            rig.device.set_faults(FaultPlan::new().on_read(move |at, _, value| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                // The bit that says it is there, in half of the runs always.
                if seed % 2 == 0 && at == offset::STATUS || state % 3 != 0 { value } else { state }
            }));
            for number in 0..40 {
                rig.arrive(&numbered(number, 60));
                let _ = nic.try_transmit(frame(&nic, &numbered(number, 60)));
                nic.kick();
                pause(SECOND / 10).await;
                while nic.try_receive().is_some() {}
            }
            rig.device.set_faults(FaultPlan::new());
        });
        assert_eq!((memory.lent, memory.rings), (0, 0), "seed {seed}");
    }
}

#[test]
fn frames_wait_for_memory() {
    drive(CompletionMode::Adaptive, Model::new(Way::Table), async |rig| {
        let nic = rig.nic();
        rig.machine.set_dma_available(0);
        for number in 0..300 {
            rig.arrive(&numbered(number, 60));
            pause(TURN * 4).await;
        }
        assert!(nic.frame(60).is_err());
        // The buffers that were ready hold frames now.
        let received = core::iter::from_fn(|| nic.try_receive()).collect::<Vec<_>>().len() as u64;
        assert_eq!((received, nic.port().statistics().missed), (64, 236));
        rig.machine.set_dma_available(1 << 30);
        passes(rig).await;
    });
}
