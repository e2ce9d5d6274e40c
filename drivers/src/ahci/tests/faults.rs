//! What goes wrong with commands, ports and HBAs, and what becomes of everybody.

use std::boxed::Box;

use futures_util::future::join_all;
use hal::sim::{FaultPlan, WriteFate};
use protocols::ahci::port_offset;
use protocols::ata::{Command, opcode};

use super::*;
use crate::ahci::model::{Fate, Firmware, Kind, Style};
use crate::storage::{Lba, StorageDevice, StorageError};

/// Port 0's register at `offset`.
const fn at(offset: usize) -> usize {
    PORTS_AT + offset
}

fn with_fates(mut model: Model, mut fates: impl FnMut(&Command) -> Fate + Send + 'static) -> Model {
    model.fates = Box::new(move |_, command| fates(command));
    model
}

/// The first command at `lba` meets this fate, all others are good.
fn once_at(model: Model, lba: u64, fate: Fate) -> Model {
    let mut fate = Some(fate);
    with_fates(model, move |command| match command.range() {
        Some((at, _)) if at == lba => fate.take().unwrap_or(Fate::Good),
        _ => Fate::Good,
    })
}

/// All at the same time: a read of block 3 and ten others. What became of block 3; the others must
/// succeed.
async fn eleven_reads(rig: &Rig, disk: &Disk<Virtual>) -> Result<(), StorageError> {
    let reads = (0..11u64).map(|block| async move {
        let read = disk.read(Lba(block), rig.buffer(512, 0)).await;
        assert!(read.buf.is_some(), "block {block}: {:?}", read.result);
        read.result
    });
    let mut results = join_all(reads).await;
    let third = results.remove(3);
    assert!(results.iter().all(|result| *result == Ok(())), "{results:?}");
    third
}

fn ata_errors(make: impl Fn() -> Model) {
    for (status, error, expected) in [
        (0x51, 1 << 0, StorageError::Device),
        (0x51, 1 << 1, StorageError::Device),
        (0x51, 1 << 2, StorageError::Device),
        (0x51, 1 << 3, StorageError::Device),
        (0x51, 1 << 4, StorageError::OutOfRange),
        (0x51, 1 << 5, StorageError::Device),
        (0x51, 1 << 6, StorageError::Media),
        (0x51, 1 << 7, StorageError::Device),
        (0x71, 0, StorageError::Device),
        (0x70, 0, StorageError::Device),
        (0x41, 0, StorageError::Device),
    ] {
        let fate = Fate::Fails(Outcome::new(status, error));
        drive_one(once_at(make(), 3, fate), async |rig, disk| {
            let failed = eleven_reads(rig, &disk).await;
            assert_eq!(failed, Err(expected), "{status:#x} {error:#x}");
            assert_eq!(eleven_reads(rig, &disk).await, Ok(()));
            assert_eq!(disk.flush().await, Ok(()));
        })
        .well();
    }
}

#[test]
fn every_ata_error_names_its_command_by_the_log() {
    ata_errors(one_disk);
}

#[test]
fn every_ata_error_without_queued_commands() {
    ata_errors(|| Model::new([Some(Modelled::new(512, None))]));
}

/// Without a log nobody knows which one failed: they are tried one by one, so it fails again.
#[test]
fn an_error_of_a_disk_without_a_log() {
    type Change = fn(&mut Modelled);
    let changes: [Change; 3] = [
        |disk| disk.has_log = false,
        |disk| disk.scribble = Some(|page| page[0] ^= 0x1f),
        |disk| {
            disk.scribble = Some(|page| {
                (page[0], page[2], page[3], page[511]) = (31, 0x51, 0x40, 0x90_u8);
            });
        },
    ];
    for change in changes {
        let mut model = one_disk();
        change(model.disk(0));
        let fails = Fate::Fails(Outcome::new(0x51, 0x40));
        let model = with_fates(model, move |command| match command.range() {
            Some((3, _)) => fails,
            _ => Fate::Good,
        });
        drive_one(model, async |rig, disk| {
            assert_eq!(eleven_reads(rig, &disk).await, Err(StorageError::Media));
            assert_eq!(
                disk.read(Lba(3), rig.buffer(512, 0)).await.result,
                Err(StorageError::Media)
            );
        })
        .well();
    }
}

#[test]
fn an_hba_as_lax_as_qemus() {
    for depth in [Some(32), None] {
        let mut model = Model::new([Some(Modelled::new(512, depth))]);
        model.style = Style::Lax;
        model.disk(0).has_log = false;
        let fails = Fate::Fails(Outcome::new(0x51, 0x40));
        let model = with_fates(model, move |command| match command.range() {
            Some((3, _)) => fails,
            _ => Fate::Good,
        });
        let end = drive_one(model, async |rig, disk| {
            assert_eq!(eleven_reads(rig, &disk).await, Err(StorageError::Media));
            assert_eq!(disk.read(Lba(4), rig.buffer(512, 0)).await.result, Ok(()));
        });
        assert_eq!((end.driver, end.memory), (Ok(()), MemoryReport::default()));
    }
}

#[test]
fn flush_and_trim_that_fail() {
    let model = with_fates(one_disk(), |command| match command.code {
        opcode::FLUSH_CACHE_EXT => Fate::Fails(Outcome::new(0x51, 0x04)),
        opcode::DATA_SET_MANAGEMENT => Fate::Fails(Outcome::new(0x51, 0x10)),
        _ => Fate::Good,
    });
    drive_one(model, async |rig, disk| {
        assert_eq!(disk.flush().await, Err(StorageError::Device));
        let trim = disk.erase(crate::storage::Erase::Discard, Lba(0), 8).await;
        assert_eq!(trim, Err(StorageError::OutOfRange));
        assert_eq!(eleven_reads(rig, &disk).await, Ok(()));
    });
}

#[test]
fn a_cable_or_memory_at_fault_is_tried_again_and_then_given_up() {
    for cause in [
        PortInterrupts::INTERFACE_FATAL,
        PortInterrupts::BUS_DATA,
        PortInterrupts::BUS_FATAL,
        PortInterrupts::OVERFLOW,
    ] {
        drive_one(once_at(one_disk(), 3, Fate::Breaks(cause)), async |rig, disk| {
            assert_eq!(eleven_reads(rig, &disk).await, Ok(()));
            rig.device.act(|model, _| assert_eq!(model.ports[0].resets, 1));
        })
        .well();
    }
    let breaks = |command: &Command| match command.range() {
        Some((3, _)) => Fate::Breaks(PortInterrupts::INTERFACE_FATAL),
        _ => Fate::Good,
    };
    drive_one(with_fates(one_disk(), breaks), async |rig, disk| {
        assert_eq!(eleven_reads(rig, &disk).await, Err(StorageError::Reset));
    })
    .well();
}

#[test]
fn lost_and_late_commands_end_in_time_and_others_go_on() {
    for fate in [Fate::Lost, Fate::Untold, Fate::Late(15 * SECOND)] {
        for depth in [Some(32), None] {
            let model = Model::new([Some(Modelled::new(512, depth))]);
            drive_one(once_at(model, 3, fate), async |rig, disk| {
                let start = Virtual::now();
                let third = disk.read(Lba(3), rig.buffer(512, 0));
                let others = (4..9u64).map(|block| {
                    let disk = &disk;
                    async move { disk.read(Lba(block), rig.buffer(512, 0)).await.result }
                });
                let (third, others) = futures_util::future::join(third, join_all(others)).await;
                let expected = (Err(StorageError::TimedOut), true);
                assert_eq!((third.result, third.buf.is_some()), expected, "{fate:?}");
                assert!(Virtual::now().since(start) < 12 * SECOND);
                // One at a time, they wait behind it as long as it may take.
                let good = Ok(());
                let late = Err(StorageError::TimedOut);
                assert!(others.iter().all(|end| *end == good || depth.is_none() && *end == late));
                assert_eq!(eleven_reads(rig, &disk).await, Ok(()));
            })
            .well();
        }
    }
    drive_one(once_at(one_disk(), 3, Fate::Twice), async |rig, disk| {
        assert_eq!(eleven_reads(rig, &disk).await, Ok(()));
        assert_eq!(eleven_reads(rig, &disk).await, Ok(()));
    })
    .well();
}

#[test]
fn a_doorbell_that_does_nothing() {
    drive_one(one_disk(), async |rig, disk| {
        let mut first = true;
        let ignore = move |offset, _, _| {
            if offset == at(port_offset::CI) && std::mem::take(&mut first) {
                WriteFate::Ignore
            } else {
                WriteFate::Deliver
            }
        };
        rig.device.set_faults(FaultPlan::new().on_write(ignore));
        let lost = disk.read(Lba(3), rig.buffer(512, 0)).await;
        assert_eq!((lost.result, lost.buf.is_some()), (Err(StorageError::TimedOut), true));
        assert_eq!(eleven_reads(rig, &disk).await, Ok(()));
    })
    .well();
}

#[test]
fn an_engine_that_stops_only_by_a_reset_of_the_link() {
    drive_one(once_at(one_disk(), 3, Fate::Lost), async |rig, disk| {
        rig.device.act(|model, _| model.ports[0].never_stops = true);
        assert_eq!(eleven_reads(rig, &disk).await, Err(StorageError::TimedOut));
        rig.device.act(|model, _| {
            model.ports[0].never_stops = false;
            assert!(model.ports[0].resets > 0);
        });
        assert_eq!(eleven_reads(rig, &disk).await, Ok(()));
    })
    .well();
}

/// Its memory comes back only when the HBA is reset in the end, and never if it cannot be.
#[test]
fn an_engine_that_never_stops() {
    for never_resets in [false, true] {
        let end = drive_one(once_at(one_disk(), 3, Fate::Lost), async |rig, disk| {
            rig.device.act(|model, _| {
                (model.ports[0].never_stops, model.ports[0].never_at_all) = (true, true);
                model.never_resets = never_resets;
            });
            let lost = disk.read(Lba(3), rig.buffer(512, 0)).await;
            assert_eq!((lost.result, lost.buf.is_some()), (Err(StorageError::Reset), false));
            assert_eq!(rig.machine.memory().lent, 1);
            let after = disk.read(Lba(3), rig.buffer(512, 0)).await;
            assert_eq!((after.result, after.buf.is_some()), (Err(StorageError::Gone), true));
        });
        assert_eq!(end.driver, Ok(()));
        if never_resets {
            assert_eq!((end.memory.lent, end.memory.owned, end.memory.rings), (1, 0, 2));
        } else {
            assert_eq!(end.memory, MemoryReport::default());
        }
    }
}

#[test]
fn a_port_that_needs_too_many_resets_is_given_up() {
    let breaks = |_: &Command| Fate::Breaks(PortInterrupts::INTERFACE_FATAL);
    drive_one(with_fates(one_disk(), breaks), async |rig, disk| {
        let mut results = Vec::new();
        for block in 0..4 {
            let read = disk.read(Lba(block), rig.buffer(512, 0)).await;
            assert!(read.buf.is_some());
            results.push(read.result);
        }
        let (reset, gone) = (Err(StorageError::Reset), Err(StorageError::Gone));
        assert_eq!(results, [reset, reset, gone, gone]);
        // Plugged in again, it gets another chance.
        rig.device.act(|model, bus| {
            let disk = model.unplug(bus, 0);
            model.fates = Box::new(|_, _| Fate::Good);
            model.plug_in(bus, 0, disk);
        });
        let again = rig.announced().await.pop().expect("announced again");
        assert_eq!(eleven_reads(rig, &again).await, Ok(()));
    })
    .well();
}

#[test]
fn a_disk_that_does_not_come_back_from_a_reset() {
    drive_one(once_at(one_disk(), 3, Fate::Lost), async |rig, disk| {
        rig.device.act(|model, _| model.disk(0).never_ready = true);
        let start = Virtual::now();
        let lost = disk.read(Lba(3), rig.buffer(512, 0)).await;
        assert_eq!((lost.result, lost.buf.is_some()), (Err(StorageError::TimedOut), true));
        assert_eq!(disk.flush().await, Err(StorageError::Reset));
        assert!(Virtual::now().since(start) < 17 * SECOND);
        assert_eq!(disk.flush().await, Err(StorageError::Gone));
    })
    .well();
}

#[test]
fn an_hba_that_never_resets() {
    let mut model = one_disk();
    model.never_resets = true;
    let end = drive(model, CompletionMode::Poll, Wiring::None, async |_, disks| {
        assert!(disks.is_empty());
    });
    assert_eq!(end.driver, Err(AhciError::NotInTime("reset", 1000)));
    end.clean();
}

#[test]
fn firmware_lets_go_or_does_not() {
    for firmware in [Firmware::LetsGo(10_000_000), Firmware::LetsGo(SECOND), Firmware::Keeps] {
        let mut model = one_disk();
        model.firmware = firmware;
        drive_one(model, async |rig, disk| {
            assert_eq!(eleven_reads(rig, &disk).await, Ok(()));
        })
        .well();
    }
}

#[test]
fn what_is_no_disk_is_left_alone() {
    let kinds = [Kind::Packet, Kind::Multiplier, Kind::Disk].map(|kind| {
        let mut disk = Modelled::new(512, None);
        disk.kind = kind;
        Some(disk)
    });
    let mut model = Model::new(kinds);
    // A disk that says it is none.
    model.disk(2).set_word(0, 0x8580);
    drive(model, CompletionMode::Poll, Wiring::None, async |_, disks| {
        assert!(disks.is_empty());
    })
    .well();
}

#[test]
fn read_only_means_read_only() {
    let (mode, wiring) = (CompletionMode::Poll, Wiring::None);
    drive_as(Writable::No, one_disk(), mode, wiring, async |rig, disks| {
        let disk = &disks[0];
        assert_eq!(disk.info().writable, Writable::No);
        let written = disk.write(Lba(0), rig.buffer(512, 1)).await;
        assert_eq!((written.result, written.buf.is_some()), (Err(StorageError::ReadOnly), true));
        let trim = disk.erase(crate::storage::Erase::Discard, Lba(0), 8).await;
        assert_eq!(trim, Err(StorageError::ReadOnly));
        assert_eq!(eleven_reads(rig, disk).await, Ok(()));
    })
    .well();
}

#[test]
fn firmware_that_names_no_port() {
    let mut model = one_disk();
    model.implemented = 0;
    drive_one(model, async |rig, disk| {
        assert_eq!(eleven_reads(rig, &disk).await, Ok(()));
    })
    .well();
}

#[test]
fn no_memory_for_the_ports_or_for_a_list() {
    drive_one(one_disk(), async |rig, disk| {
        rig.machine.set_dma_available(100);
        let trim = disk.erase(crate::storage::Erase::Discard, Lba(0), 8).await;
        assert_eq!(trim, Err(StorageError::OutOfMemory));
        rig.machine.set_dma_available(usize::MAX / 2);
    })
    .well();
}

/// More failures than resets a port may need: bad blocks are no reason to give a disk up.
#[test]
fn many_bad_blocks() {
    for has_log in [true, false] {
        let mut model = one_disk();
        model.disk(0).has_log = has_log;
        let fails = |command: &Command| match command.range() {
            Some((lba, _)) if lba % 2 == 1 => Fate::Fails(Outcome::new(0x51, 0x40)),
            _ => Fate::Good,
        };
        drive_one(with_fates(model, fails), async |rig, disk| {
            let disk = &disk;
            let reads = (0..40u64)
                .map(|block| async move { disk.read(Lba(block), rig.buffer(512, 0)).await.result });
            for (block, result) in join_all(reads).await.into_iter().enumerate() {
                let bad = Err(StorageError::Media);
                assert_eq!(result, if block % 2 == 1 { bad } else { Ok(()) }, "{block}");
            }
        })
        .well();
    }
}
