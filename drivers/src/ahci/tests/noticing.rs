//! How completion is noticed: all three modes, lost interrupts, changes under load.

use futures_util::future::{join, join_all, select};
use hal::sim::{FaultPlan, InterruptFate, Transfer};
use protocols::ata::opcode;

use super::*;
use crate::ahci::model::Fate;
use crate::storage::{Lba, StorageDevice};
use core::pin::pin;

async fn reads(rig: &Rig, disk: &Disk<Virtual>, tasks: u64, each: u64) {
    let work = (0..tasks).map(|task| async move {
        for number in 0..each {
            let lba = Lba((task * each + number) % 8000);
            assert_eq!(disk.read(lba, rig.buffer(512, 0)).await.result, Ok(()));
        }
    });
    join_all(work).await;
}

#[test]
fn polling_raises_no_interrupt() {
    drive(one_disk(), CompletionMode::Poll, Wiring::Interrupt, async |rig, disks| {
        assert_eq!(disks[0].completion_mode(), CompletionMode::Poll);
        reads(rig, &disks[0], 8, 20).await;
        disks[0].flush().await.expect("flushed");
        assert_eq!(rig.device.delivered(0), 0);
    })
    .well();
}

#[test]
fn interrupts_alone_are_enough() {
    drive(one_disk(), CompletionMode::Msix, Wiring::Interrupt, async |rig, disks| {
        reads(rig, &disks[0], 1, 20).await;
        let alone = rig.device.delivered(0);
        assert!((20..=22).contains(&alone), "{alone}");
        reads(rig, &disks[0], 32, 20).await;
        disks[0].flush().await.expect("flushed");
        assert!(rig.device.delivered(0) > alone);
    })
    .well();
}

#[test]
fn without_an_interrupt_every_mode_polls() {
    drive(one_disk(), CompletionMode::Msix, Wiring::None, async |rig, disks| {
        assert_eq!(disks[0].completion_mode(), CompletionMode::Poll);
        disks[0].set_completion_mode(CompletionMode::Adaptive);
        reads(rig, &disks[0], 8, 20).await;
        assert_eq!(disks[0].completion_mode(), CompletionMode::Poll);
    })
    .well();
}

#[test]
fn adaptive_sleeps_on_a_slow_disk() {
    let mut model = one_disk();
    // Longer than its patience lasts.
    model.fates = std::boxed::Box::new(|_, _| Fate::Late(20_000_000));
    drive(model, CompletionMode::Adaptive, Wiring::Interrupt, async |rig, disks| {
        reads(rig, &disks[0], 1, 10).await;
        let interrupts = rig.device.delivered(0);
        assert!((10..=11).contains(&interrupts), "{interrupts}");
    })
    .well();
    drive(one_disk(), CompletionMode::Adaptive, Wiring::Interrupt, async |rig, disks| {
        reads(rig, &disks[0], 4, 100).await;
        assert!(rig.device.delivered(0) <= 1);
    })
    .well();
}

#[test]
fn lost_late_and_repeated_interrupts() {
    for fate in
        [InterruptFate::Lose, InterruptFate::Repeat(3), InterruptFate::Delay(Ticks(5_000_000))]
    {
        drive(one_disk(), CompletionMode::Msix, Wiring::Interrupt, async |rig, disks| {
            rig.device.set_faults(FaultPlan::new().on_interrupt(move |_| fate));
            let start = Virtual::now();
            reads(rig, &disks[0], 4, 3).await;
            // Found by the watch at the latest.
            assert!(Virtual::now().since(start) < 2 * SECOND);
        })
        .well();
    }
}

/// The frames that say what is done are a hint, no more.
#[test]
fn frames_that_never_reach_memory() {
    for mode in [CompletionMode::Poll, CompletionMode::Msix, CompletionMode::Adaptive] {
        for depth in [Some(32), None] {
            let model = Model::new([Some(Modelled::new(512, depth))]);
            drive(model, mode, Wiring::Interrupt, async |rig, disks| {
                let lose = |transfer| match transfer {
                    // Those of queued commands, and of others.
                    Transfer::Write { bytes, .. } => bytes != 8 && bytes != 20,
                    Transfer::Read { .. } => true,
                };
                rig.device.set_faults(FaultPlan::new().on_dma(lose));
                let start = Virtual::now();
                reads(rig, &disks[0], 8, 20).await;
                assert_eq!(disks[0].flush().await, Ok(()));
                assert!(Virtual::now().since(start) < 3 * SECOND);
            })
            .well();
        }
    }
}

#[test]
fn modes_change_under_load() {
    drive(one_disk(), CompletionMode::Poll, Wiring::Interrupt, async |rig, disks| {
        use CompletionMode::{Adaptive, Msix, Poll};
        let disk = &disks[0];
        let switch = async {
            for mode in [Msix, Poll, Adaptive, Msix, Adaptive, Poll].into_iter().cycle() {
                executor::sleep::<Virtual>(190_000).await;
                disk.set_completion_mode(mode);
                assert_eq!(disk.completion_mode(), mode);
            }
        };
        select(pin!(reads(rig, disk, 4, 200)), pin!(switch)).await;
    })
    .well();
}

/// Flushes and queued commands never mix (the model would object), and neither starves the other.
#[test]
fn flushes_among_queued_commands() {
    let mut model = one_disk();
    let mut numbers = 3u64;
    model.fates = std::boxed::Box::new(move |_, command| {
        numbers = numbers.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let most = if command.code == opcode::FLUSH_CACHE_EXT { 44 } else { 46 };
        Fate::Late(numbers >> most)
    });
    drive_one(model, async |rig, disk| {
        let disk = &disk;
        let flushes = async {
            let mut longest = 0;
            for _ in 0..50 {
                let start = Virtual::now();
                assert_eq!(disk.flush().await, Ok(()));
                longest = longest.max(Virtual::now().since(start));
            }
            longest
        };
        let (longest, ()) = join(flushes, reads(rig, disk, 40, 50)).await;
        // It waits for those that came before it, each 0.3 ms at most, and for its own end.
        assert!(longest < 20_000_000, "{longest}");
        rig.device.act(|model, _| assert_eq!(model.disk(0).flushes, 50));
    })
    .well();
}
