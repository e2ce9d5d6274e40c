//! Ends of all kinds: futures that are dropped, the driver that is stopped, the driver that is
//! dropped.

use super::*;

in_every_mode![
    dropped_futures_lose_nothing,
    it_stops_in_the_middle_of_things,
    it_is_dropped_in_the_middle_of_things,
];

fn dropped_futures_lose_nothing(mode: CompletionMode, way: Way) {
    drive(mode, Model::new(way), async |rig| {
        let nic = rig.nic();
        let (mut received, mut taken) = (0, 0);
        for number in 0..400usize {
            let limit = |span: usize| Virtual::now().after((number * span % 130_000) as u64);
            rig.arrive(&numbered(number, 60));
            if let Ok(frame) = timeout::<Virtual, _>(limit(1009), nic.receive()).await {
                assert_eq!(frame.bytes(), numbered(received, 60));
                received += 1;
            }
            let sending = nic.transmit(frame(&nic, &numbered(number, 60)));
            taken += usize::from(timeout::<Virtual, _>(limit(733), sending).await.is_ok());
            let _ = timeout::<Virtual, _>(limit(491), nic.room()).await;
            let link = nic.link_changed(LinkState::Up { megabits: 1000 });
            let _ = timeout::<Virtual, _>(limit(97), link).await;
        }
        while received < 400 {
            assert_eq!(rig.received().await, numbered(received, 60));
            received += 1;
        }
        rig.wait(1, || rig.device.act(|model, _| model.sent.len() >= taken)).await;
    });
}

/// Frames under way both ways, for so long.
async fn busy(rig: &Rig, ticks: u64) {
    let nic = rig.nic();
    let end = Virtual::now().after(ticks);
    let mut number = 0;
    while Virtual::now() < end {
        rig.arrive(&numbered(number, 60));
        let _ = nic.try_transmit(frame(&nic, &numbered(number, 600)));
        if number % 3 == 0 {
            nic.kick();
            yield_now().await;
        }
        number += 1;
    }
}

fn it_stops_in_the_middle_of_things(mode: CompletionMode, way: Way) {
    for step in 0..20 {
        drive(mode, Model::new(way), async |rig| {
            busy(rig, step * 7919).await;
            rig.stop.notify();
            let nic = rig.nic();
            rig.wait(1, || nic.link() == LinkState::Down).await;
            // It is silent: nothing reaches memory any more.
            rig.arrive(&numbered(1, 60));
            assert!(nic.try_transmit(frame(&nic, &numbered(1, 60))).is_err());
            nic.kick();
            nic.listen_to(&[MacAddress([1, 0, 0x5e, 0, 0, 1])]);
            while nic.try_receive().is_some() {}
        });
    }
}

/// Its memory may still be used by the device, and is leaked; nothing else is.
fn it_is_dropped_in_the_middle_of_things(mode: CompletionMode, way: Way) {
    for step in 0..20u64 {
        let (_, _, memory) = drive_as(EXPRESS, mode, Model::new(way), async |rig| {
            busy(rig, step * 7919).await;
            let nic = rig.nic();
            let driver = rig.driver.take().expect("it runs");
            driver.cancel();
            let _ = driver.await;
            assert_eq!(nic.link(), LinkState::Down);
            assert!(matches!(
                nic.try_transmit(frame(&nic, &numbered(1, 60))),
                Err(Refused::Down(_))
            ));
            pause(SECOND).await;
            while nic.try_receive().is_some() {}
        });
        assert_eq!((memory.owned, memory.rings), (0, 2));
        assert!((256..512).contains(&memory.lent), "{memory:?}");
    }
}

/// From the first register access on.
#[test]
fn it_is_dropped_while_it_begins() {
    for step in 0..60u64 {
        block_on::<Virtual, _>(async {
            let machine = Rc::new(SimMachine::following(|| Ticks(Virtual::now().0)));
            let device = machine.add("e1000", Model::new(Way::Table));
            let parts = Parts {
                name: "net0".into(),
                device: EXPRESS,
                registers: device.region(0x2_0000),
                dma: machine.dma(),
                interrupts: Interrupts {
                    kind: InterruptKind::MsiX,
                    vectors: std::vec![device.interrupt(0)],
                },
                mode: CompletionMode::Msix,
                stop: Arc::new(Notify::new()),
            };
            let limit = Virtual::now().after(step * 200_000);
            let ended = timeout::<Virtual, _>(limit, run::<Virtual>(parts, |_| ())).await;
            assert!(ended.is_err());
            pause(SECOND).await;
            // Before the rings are programmed nothing is lent.
            let memory = machine.memory();
            assert!(memory == MemoryReport::default() || (memory.rings, memory.lent) == (2, 256));
        });
    }
}
