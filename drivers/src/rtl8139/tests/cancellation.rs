//! Futures dropped at any moment: those of users, and the driver's own.

use super::*;

#[test]
fn waiting_that_is_dropped_loses_nothing() {
    for mode in MODES {
        drive(Model::new(), mode, async |rig, nic| {
            let (mut arrived, mut taken) = (0u32, 0u32);
            for round in 0..2000u64 {
                if round % 3 == 0 {
                    assert!(rig.arrive(&frame(100, arrived as u8)));
                    arrived += 1;
                }
                let limit = Virtual::now().after(round * 977 % 60_000);
                if let Ok(got) = timeout::<Virtual, _>(limit, nic.receive()).await {
                    assert_eq!(got.bytes(), frame(100, taken as u8));
                    taken += 1;
                }
                let limit = Virtual::now().after(round * 353 % 30_000);
                let _ = timeout::<Virtual, _>(limit, nic.link_changed(nic.link())).await;
            }
            while taken < arrived {
                assert_eq!(nic.receive().await.bytes(), frame(100, taken as u8));
                taken += 1;
            }
        })
        .well();
    }
}

#[test]
fn sending_that_is_dropped_is_done_or_not_done() {
    for mode in MODES {
        drive(Model::new(), mode, async |rig, nic| {
            let mut done = 0;
            for round in 0..2000u64 {
                let limit = Virtual::now().after(round * 977 % 30_000);
                let sending = nic.transmit(outgoing(&nic, 100, round as u8));
                done += usize::from(timeout::<Virtual, _>(limit, sending).await.is_ok());
            }
            rig.until(|| rig.device.act(|model, _| model.sent.len() == done)).await;
            assert!(done > 500, "{done}");
            rig.works(&nic, 1).await;
            assert_eq!(nic.port().statistics().resets, 0);
        })
        .well();
    }
}

/// The driver's future is dropped: the device is silenced, nothing that it may still use is freed,
/// and its users are told.
#[test]
fn the_driver_is_dropped() {
    for moment in 0..40u64 {
        let end =
            attempt(Wiring::Interrupt, Model::new(), CompletionMode::Msix, async |rig, nic| {
                let nic = nic.expect("it is announced");
                for mark in 0..4 {
                    assert!(nic.try_transmit(outgoing(&nic, 100, mark)).is_ok());
                    assert!(rig.arrive(&frame(100, mark)));
                }
                if moment % 2 == 0 {
                    rig.device.act(|model, _| model.header = Some(0));
                    rig.arrive(&frame(100, 9));
                }
                sleep::<Virtual>(moment * 2_500).await;
                let driver = rig.driver.take().expect("it runs");
                driver.cancel();
                assert!(driver.await.is_err());
                assert!(rig.device.is_masked(0));
                assert!(rig.device.act(|model, _| model.is_silent()));
                assert!(nic.transmit(outgoing(&nic, 100, 9)).await.is_err());
                // What was begun may still end.
                sleep::<Virtual>(SECOND).await;
            });
        assert_eq!(end.memory.rings, 1, "leaked, not freed");
    }
}
